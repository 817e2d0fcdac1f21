/* l4lb/core/nat_rewrite.h - headers of a packet under NAT, rewritten in place; checksums by difference (RFC 1624), so that what
 * was broken stays broken.  Layer: l4lb/core, pure.
 * `to` is a tuple as the other side sends: the packet leaves with it turned around. */
#pragma once
#include "l4lb/core/pkt.h"

/* Bytes of IP that the packet will have. */
uint32_t nat_rewrite_len(const struct pkt *p, const struct tuple *to) NONNULL(1, 2);
/* Addresses, ports, TTL; between the families the whole IP header (RFC 7915 4.1, 5.1: options and extension headers are left
 * behind, DF is set).  A later fragment keeps its payload.  False: not possible (DROP_NAT_FAMILY). */
bool nat_rewrite(struct pkt *p, const struct tuple *to) NONNULL(1, 2) MUST_USE;
/* An ICMP error whose quotation belongs to the connection: outer addresses, quoted addresses and ports, all checksums
 * (RFC 5508 4).  It goes to the side that sent `to`, as the quotation of what that side sent. */
bool nat_rewrite_error(struct pkt *p, const struct tuple *to) NONNULL(1, 2) MUST_USE;
