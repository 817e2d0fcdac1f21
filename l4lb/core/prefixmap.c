/* l4lb/core/prefixmap.c - see prefixmap.h. */
#include "lib/base.h"
#include "l4lb/core/prefixmap.h"

typedef unsigned __int128 addr_t; /* IPv4 in the low 32 bits */

#define DEPTH 130 /* prefixes around one address: one of each length, and none at all */

static addr_t number(const uint8_t *b, size_t n)
{
        addr_t v = 0;
        for (size_t i = 0; i < n; i++)
                v = v << 8 | b[i];
        return v;
}

static addr_t host_bits(unsigned bits, unsigned len)
{
        unsigned host = bits - len;
        return host == 0 ? 0 : ~(addr_t)0 >> (128 - host);
}

static addr_t first_of(const struct ipprefix *p)
{
        size_t n = ipaddr_len(&p->addr);
        return number(p->addr.b, n) & ~host_bits((unsigned)n * 8, p->len);
}
static addr_t last_of(const struct ipprefix *p)
{
        return first_of(p) | host_bits((unsigned)ipaddr_len(&p->addr) * 8, p->len);
}

/* By family, first address, the wider one first, the smaller value first. */
static int entry_cmp(const void *pa, const void *pb)
{
        const struct prefixmap_entry *a = pa, *b = pb;
        if (a->prefix.addr.af != b->prefix.addr.af)
                return a->prefix.addr.af < b->prefix.addr.af ? -1 : 1;
        addr_t x = first_of(&a->prefix), y = first_of(&b->prefix);
        if (x != y)
                return x < y ? -1 : 1;
        if (a->prefix.len != b->prefix.len)
                return a->prefix.len < b->prefix.len ? -1 : 1;
        return a->value < b->value ? -1 : a->value > b->value;
}

struct out {
        struct prefixmap *m;
        bool v4;
        uint32_t n;
};

/* From this address on, the value.  The last word about an address counts; equal neighbours become one. */
static void emit(struct out *o, addr_t at, uint16_t value)
{
        struct prefixmap *m = o->m;
        uint16_t *values = o->v4 ? m->value4 : m->value6;
        addr_t last = o->n == 0 ? 0
                      : o->v4   ? m->start4[o->n - 1]
                                : (addr_t)m->start6[o->n - 1].hi << 64 | m->start6[o->n - 1].lo;
        if (o->n && last == at)
                o->n--;
        if (o->n && values[o->n - 1] == value)
                return;
        if (o->v4)
                m->start4[o->n] = (uint32_t)at;
        else
                m->start6[o->n] = (struct prefixmap_start6){ (uint64_t)(at >> 64), (uint64_t)at };
        values[o->n++] = value;
}

/* Prefixes lie within each other or apart: those around the current address are a stack. */
static uint32_t flatten(struct prefixmap *m, bool v4, const struct prefixmap_entry *e, size_t n)
{
        struct out o = { m, v4, 0 };
        const struct prefixmap_entry *around[DEPTH];
        const addr_t end = v4 ? UINT32_MAX : ~(addr_t)0;
        size_t depth = 0;
        emit(&o, 0, PREFIXMAP_NONE);
        for (size_t i = 0; i <= n; i++) {
                if (i > 0 && i < n && first_of(&e[i].prefix) == first_of(&e[i - 1].prefix) && e[i].prefix.len == e[i - 1].prefix.len)
                        continue; /* said before, by a smaller value */
                while (depth && (i == n || last_of(&around[depth - 1]->prefix) < first_of(&e[i].prefix))) {
                        addr_t last = last_of(&around[--depth]->prefix);
                        if (last != end)
                                emit(&o, last + 1, depth ? around[depth - 1]->value : (uint16_t)PREFIXMAP_NONE);
                }
                if (i == n)
                        break;
                BUG_ON(depth == DEPTH);
                around[depth++] = &e[i];
                emit(&o, first_of(&e[i].prefix), e[i].value);
        }
        return o.n;
}

int prefixmap_build(struct prefixmap *ret, struct arena *a, struct prefixmap_entry *e, size_t n)
{
        struct prefixmap m = { 0 };
        size_t n4 = 0;
        if (n)
                qsort(e, n, sizeof *e, entry_cmp);
        while (n4 < n && e[n4].prefix.addr.af == 4)
                n4++;
        if (n4) {
                m.start4 = arena_calloc(a, 2 * n4 + 1, sizeof *m.start4);
                m.value4 = arena_calloc(a, 2 * n4 + 1, sizeof *m.value4);
                if (!m.start4 || !m.value4)
                        return -ENOMEM;
                m.n4 = flatten(&m, true, e, n4);
        }
        if (n > n4) {
                m.start6 = arena_calloc(a, 2 * (n - n4) + 1, sizeof *m.start6);
                m.value6 = arena_calloc(a, 2 * (n - n4) + 1, sizeof *m.value6);
                if (!m.start6 || !m.value6)
                        return -ENOMEM;
                m.n6 = flatten(&m, false, e + n4, n - n4);
        }
        *ret = m;
        return 0;
}

uint16_t prefixmap6(const struct prefixmap *m, const uint8_t addr[16])
{
        const addr_t key = number(addr, 16);
        const struct prefixmap_start6 *at = m->start6;
        if (m->n6 == 0)
                return PREFIXMAP_NONE;
        for (uint32_t n = m->n6; n > 1; n -= n / 2) {
                const struct prefixmap_start6 *mid = at + n / 2;
                at = ((addr_t)mid->hi << 64 | mid->lo) <= key ? mid : at;
        }
        return m->value6[at - m->start6];
}
