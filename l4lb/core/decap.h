/* l4lb/core/decap.h - the other end of tunnel.h: IPIP and GUE to one of our addresses, from an l4lb that has no shards here, is
 * opened, and what is inside goes to our shards like a packet from the wire.  Layer: l4lb/core, pure.  Thread rule: the worker.
 *
 * Only to the addresses and from the sources of net.decap; once (what was inside is opened no further, and never goes into a
 * tunnel again: two l4lb cannot play ball); only for VIPs; never to NAT.  ECN by RFC 6040 4.2; the hop counts (RFC 2003 3.1). */
#pragma once
#include "l4lb/core/pipeline.h"

bool decap_wanted(const struct net *net, const struct pkt *p) NONNULL(1, 2);
/* A packet that is wanted: opened, parsed again, its vip found and kind one of TCP, UDP, FRAGMENT or ICMP; or its verdict is set. */
void decap_open(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p) NONNULL(1, 4);
