/* l4lb/core/pick.h - which backend a packet of a service goes to.  Layer: l4lb/core, pure.
 * Thread rule: the packet's worker.  On success the packet is PKT_SEND with verdict FORWARD_SHARD, backend, epoch and
 * adjacency set; otherwise its verdict says why not. */
#pragma once
#include "l4lb/core/pipeline.h"

/* A TCP or UDP packet (or first fragment) whose key and hash are set: flow table, else Maglev. */
void pick_flow(struct worker *w, const struct tables *t, uint64_t now_s, struct pkt *p) NONNULL(1, 2, 4);
/* The client's packet again, from the beginning: its flow is gone. */
void pick_new(struct worker *w, const struct tables *t, struct pkt *p) NONNULL(1, 2, 3);
/* An ICMP error about the flow p->key: the same choice, but read-only.  The error may arrive at another worker than the flow
 * (its outer addresses are a router's): that one has no entry and follows the tables, which is the flow's backend unless
 * the flow is older than both of them. */
void pick_icmp(struct worker *w, const struct tables *t, uint64_t now_s, struct pkt *p) NONNULL(1, 2, 4);
/* A later fragment: follows its first. */
void pick_fragment(struct worker *w, uint64_t now_s, struct pkt *p) NONNULL(1, 3);
