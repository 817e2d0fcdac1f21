/* l4lb/core/route.h - the adjacency towards an address by the configured routes.  Layer: l4lb/core, pure.
 * Thread rule: the packet's worker. */
#pragma once
#include "l4lb/core/pipeline.h"

/* addr: 4 or 16 bytes in wire order.  0: the packet's verdict is set (DROP_NO_ROUTE, DROP_NO_NEIGHBOUR, PUNT_RESOLVE), because
 * nobody knows the way, or back out by the port it came from would be the way of a shard's reply. */
uint64_t route_known(const struct worker *w, uint8_t version, const uint8_t *addr) NONNULL(1, 3) MUST_USE; /* the same; 0 is all it says */
uint64_t route_adjacency(struct worker *w, struct pkt *p, uint8_t version, const uint8_t *addr) NONNULL(1, 2, 4) MUST_USE;
