/* l4lb/core/refuse.h - "no" in words: TCP reset, ICMP unreachable, ICMP packet too big, made in place of the packet they are
 * about.  Layer: l4lb/core, pure.  Thread rule: the packet's worker.
 * Each takes the verdict that stands when there is no answer: over the budget (limits.refusals_pps), about a packet that must
 * not be answered (RST, ICMP error, fragment: RFC 9293 3.10.7.1, RFC 1122 3.2.2, RFC 4443 2.4), or no room. */
#pragma once
#include "l4lb/core/pipeline.h"

/* Nobody serves this TCP or UDP packet: RST from where it went to, or ICMP port unreachable. */
void refuse_closed(struct worker *w, uint64_t now_ms, struct pkt *p, enum l4_verdict otherwise) NONNULL(1, 3);
/* Larger than the link it would leave by: fragmentation needed or packet too big, from the VIP or from our own address on the
 * link it came from.  IPv4 without DF is told too: we never fragment. */
/* Its last hop was the tunnel: ICMP time exceeded from our address on the way back, within the same budget; else dropped. */
void refuse_expired(struct worker *w, uint64_t now_ms, struct pkt *p) NONNULL(1, 3);
void refuse_too_big(struct worker *w, uint64_t now_ms, struct pkt *p, uint16_t mtu) NONNULL(1, 3);
