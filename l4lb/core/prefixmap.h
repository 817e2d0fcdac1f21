/* l4lb/core/prefixmap.h - addresses to values by the longest prefix: access lists and VIPs that are prefixes.  Layer: l4lb/core, pure.
 * Thread rule: built by the control thread, immutable afterwards; any thread may read.
 *
 * Prefixes are flattened into intervals: `start` ascending, start[0] = 0, the value of an address is that of the last start that is
 * not above it.  A lookup is one binary search without branches; n prefixes make at most 2 n + 1 intervals of 6 bytes (IPv4) or 18 (IPv6):
 * 100,000 of each take 4.8 MB.  DPDK's tables are faster for a full routing table, at 64 MB each. */
#pragma once
#include "lib/core/arena.h"
#include "lib/core/ipaddr.h"

#define PREFIXMAP_NONE 0xffff
struct prefixmap {
        struct prefixmap_start6 { uint64_t hi, lo; } *start6;
        uint32_t *start4;
        uint16_t *value4, *value6;
        uint32_t n4, n6; /* 0 = no prefix of that family: every address has PREFIXMAP_NONE */
};
struct prefixmap_entry {
        struct ipprefix prefix; /* host bits do not count */
        uint16_t value;
};
/* Of equal prefixes the one with the smaller value counts.  Memory of the result is a's; e is sorted in place.  -ENOMEM. */
int prefixmap_build(struct prefixmap *ret, struct arena *a, struct prefixmap_entry *e, size_t n) NONNULL(1, 2) MUST_USE;

static inline uint16_t prefixmap4(const struct prefixmap *m, const uint8_t addr[4])
{
        const uint32_t key = (uint32_t)addr[0] << 24 | (uint32_t)addr[1] << 16 | (uint32_t)addr[2] << 8 | addr[3], *at = m->start4;
        if (m->n4 == 0)
                return PREFIXMAP_NONE;
        for (uint32_t n = m->n4; n > 1; n -= n / 2)
                at += at[n / 2] <= key ? n / 2 : 0;
        return m->value4[at - m->start4];
}
uint16_t prefixmap6(const struct prefixmap *m, const uint8_t addr[16]) NONNULL(1, 2);
