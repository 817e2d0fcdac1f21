/* lib/core/cursor.h - bounds-checked reading of bytes.  Layer: lib/core, pure, header only.
 * A read past the end returns false, sets `bad` and leaves the target untouched; later reads fail too. */
#pragma once
#include "lib/base.h"

struct cursor {
        const uint8_t *p, *end;
        bool bad;
};

static inline struct cursor cur_of(struct span s) { return (struct cursor){ s.p, s.p + s.n, false }; }
static inline size_t cur_left(const struct cursor *c) { return (size_t)(c->end - c->p); }
static inline bool cur_need(struct cursor *c, size_t n)
{
        if (c->bad || cur_left(c) < n) {
                c->bad = true;
                return false;
        }
        return true;
}
static inline bool cur_span(struct cursor *c, size_t n, struct span *ret)
{
        if (!cur_need(c, n))
                return false;
        *ret = SPAN(c->p, n);
        c->p += n;
        return true;
}
static inline bool cur_u8(struct cursor *c, uint8_t *ret)
{
        if (!cur_need(c, 1))
                return false;
        *ret = *c->p++;
        return true;
}
static inline bool cur_u16_be(struct cursor *c, uint16_t *ret)
{
        if (!cur_need(c, 2))
                return false;
        *ret = (uint16_t)((unsigned)c->p[0] << 8 | c->p[1]);
        c->p += 2;
        return true;
}
static inline bool cur_u32_be(struct cursor *c, uint32_t *ret)
{
        if (!cur_need(c, 4))
                return false;
        *ret = (uint32_t)c->p[0] << 24 | (uint32_t)c->p[1] << 16 | (uint32_t)c->p[2] << 8 | c->p[3];
        c->p += 4;
        return true;
}
static inline void put_u16_be(uint8_t *p, uint16_t v)
{
        p[0] = (uint8_t)(v >> 8);
        p[1] = (uint8_t)v;
}
static inline void put_u32_be(uint8_t *p, uint32_t v)
{
        p[0] = (uint8_t)(v >> 24);
        p[1] = (uint8_t)(v >> 16);
        p[2] = (uint8_t)(v >> 8);
        p[3] = (uint8_t)v;
}
