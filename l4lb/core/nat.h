/* l4lb/core/nat.h - full NAT: connections of a VIP straight to endpoints, both directions through us.
 * Layer: l4lb/core, pure.  Thread rule: the packet's worker.
 *
 *   client ── C:c > VIP:v ──▶ ┌──────┐ ── L:p > E:e ──▶ endpoint      L: our address on the endpoint's link, p: a port of this
 *   client ◀── VIP:v > C:c ── │ l4lb │ ◀── E:e > L:p ── endpoint      worker's share that no other connection to E:e has
 *                             └──────┘
 * A connection is a pair of flow entries (flow.h): (C:c > VIP:v) and (E:e > L:p); a packet that finds one leaves with the other
 * turned around.  It begins with a SYN or a UDP packet and nothing else: other TCP without a connection is reset.
 * Answers arrive at the worker that has the connection where RSS or the number of queues makes it so; elsewhere the local port
 * tells the worker, and the packet is handed over. */
#pragma once
#include "l4lb/core/pipeline.h"

/* Is this packet, for our own address on its port, one of a NAT connection or of another worker's?  By its port alone. */
static inline bool nat_port_ours(const struct worker *w, uint16_t port) { return (uint16_t)(port - w->nat.lo) < w->nat.n; }

/* The packet has found this flow of a pair.  The client's side: its service may choose again when the backend is gone. */
void nat_hit(struct worker *w, const struct tables *t, struct pkt *p, uint32_t slot) NONNULL(1, 2, 3);
/* A client's packet without a flow, to a service under NAT, whose backend has been chosen. */
void nat_open(struct worker *w, const struct service *s, struct pkt *p, uint16_t backend) NONNULL(1, 2, 3);
/* A packet to our own address that no flow has: another worker's, the kernel's, or nobody's. */
void nat_stray(struct worker *w, struct pkt *p) NONNULL(1, 2);
/* An ICMP error about a packet of ours (p->key) that no flow here has. */
void nat_stray_icmp(struct worker *w, struct pkt *p) NONNULL(1, 2);
/* An ICMP error about a packet of a VIP under NAT that no flow here has: nothing in it names the worker, so it goes around. */
void nat_around(struct worker *w, struct pkt *p) NONNULL(1, 2);
/* An ICMP error about the pair that f is a half of. */
void nat_icmp(struct worker *w, struct pkt *p, const struct flow *f) NONNULL(1, 2, 3);
/* A later fragment whose first one found f.  False: the flow is another one by now. */
bool nat_fragment(struct worker *w, struct pkt *p, const struct flow *f) NONNULL(1, 2, 3) MUST_USE;
