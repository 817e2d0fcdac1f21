/* l4lb/core/tunnel.h - IPIP (RFC 2003, 2473, 4213) and GUE (variant 0 of the IETF's draft, which Linux' FOU and GLB speak): an
 * outer IP header, for GUE with UDP and four bytes more, in front of a packet that stays as it is.  Layer: l4lb/core, pure.
 * Thread rule: tunnel_wrap runs on workers, the rest anywhere.
 *
 *   Ethernet | outer IPv4 or IPv6 | UDP, entropy -> 6080, checksum 0 | GUE: 0, hlen 0, protocol 4 or 41 | the packet
 *            '--- IPIP: protocol 4 or 41 ---------------------------------------------------------------'
 *
 * Outer TTL 64, DSCP and ECN as inside (RFC 6040 4.1, normal mode), DF set and id 0 (RFC 6864): the path's MTU is found out, nothing
 * is fragmented.  UDP has no checksum, over IPv6 neither (RFC 6935, 6936): the packet inside has its own. */
#pragma once
#include "lib/base.h"

#define GUE_PORT 6080       /* IANA: gue */
#define GUE_LEN 4
#define TUNNEL_MAX_BYTES 52 /* IPv6, UDP, GUE */
#define TUNNEL_MTU_MIN 576  /* a router that says less is not believed below this (RFC 1191 3: every host takes 576) */

struct tunnel {
        uint8_t src[16], dst[16]; /* IPv4 in the first 4, rest 0 */
        uint8_t af;
        uint8_t gue;
        uint16_t port; /* of GUE */
};
struct pkt;
struct worker;

static inline uint32_t tunnel_bytes(const struct tunnel *t) { return (t->af == 4 ? 20u : 40u) + (t->gue ? 8u + GUE_LEN : 0); }
bool tunnel_eq(const struct tunnel *a, const struct tunnel *b) NONNULL(1, 2); /* a port 0 equals every port */
/* The outer headers, tunnel_bytes at ip, for the whole IP packet of inner_bytes that follows them.  entropy: of its flow. */
void tunnel_write(const struct tunnel *t, uint8_t *ip, uint32_t inner_bytes, uint32_t entropy) NONNULL(1, 2);
/* Puts the headers in front of a packet whose adjacency and backend are known; false: the verdict is set (too big, no room). */
bool tunnel_wrap(struct worker *w, uint64_t now_ms, struct pkt *p) NONNULL(1, 3);
/* Is the frame an ICMP error "too big" about a packet that somebody sent through a tunnel?  Which, and the MTU it tells. */
bool tunnel_quoted(const uint8_t *frame, size_t len, struct tunnel *ret, uint16_t *ret_mtu) NONNULL(1, 3, 4);
