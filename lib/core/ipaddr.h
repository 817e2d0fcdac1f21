/* lib/core/ipaddr.h - IPv4/IPv6 addresses and prefixes as values.  Layer: lib/core, pure (no resolver, no sockets).
 * IPv4 uses the first 4 bytes.  Text forms: RFC 5952 for IPv6; parsing accepts only canonical decimal IPv4. */
#pragma once
#include "lib/base.h"

#define IPADDR_STR_MAX 48
struct ipaddr {
        uint8_t af; /* 4, 6, or 0 = unset */
        uint8_t b[16];
};
struct ipprefix {
        struct ipaddr addr;
        uint8_t len;
};
int ipaddr_parse(struct span s, struct ipaddr *ret) NONNULL(2) MUST_USE;      /* 0 or -EINVAL */
int ipprefix_parse(struct span s, struct ipprefix *ret) NONNULL(2) MUST_USE;  /* "addr/len"; bare address = full length */
int ipaddr_from_bytes(const void *p, size_t n, struct ipaddr *ret) NONNULL(3) MUST_USE; /* n must be 4 or 16 */
const char *ipaddr_str(const struct ipaddr *a, char ret[IPADDR_STR_MAX]) NONNULL(1, 2);
bool ipaddr_eq(const struct ipaddr *a, const struct ipaddr *b) NONNULL(1, 2);
int ipaddr_cmp(const struct ipaddr *a, const struct ipaddr *b) NONNULL(1, 2);
bool ipprefix_contains(const struct ipprefix *p, const struct ipaddr *a) NONNULL(1, 2);
static inline size_t ipaddr_len(const struct ipaddr *a) { return a->af == 4 ? 4 : a->af == 6 ? 16 : 0; }
