/* l4lb/core/reply.h - answers made in place: ARP, neighbour discovery, echo.  Layer: l4lb/core, pure.
 * Thread rule: the packet's worker.  Each decides the packet's verdict; REPLY_* frames leave by the port they came from. */
#pragma once
#include "l4lb/core/pipeline.h"

void reply_arp(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p) NONNULL(1, 4);
void reply_nd(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p) NONNULL(1, 4);
/* p is an ICMP packet whose destination is a VIP or our own address and whose type is echo request. */
void reply_echo(struct worker *w, uint64_t now_ms, struct pkt *p) NONNULL(1, 3);
