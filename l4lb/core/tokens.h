/* l4lb/core/tokens.h - token bucket, integer milliseconds, no division.  Layer: l4lb/core, pure, header only. */
#pragma once
#include "lib/base.h"

struct tokens {
        uint64_t last_ms;
        uint64_t milli;  /* thousandths of a token */
        uint32_t per_s;  /* also the burst: one second's worth */
};
static inline void tokens_init(struct tokens *t, uint32_t per_s, uint64_t now_ms)
{
        *t = (struct tokens){ now_ms, (uint64_t)per_s * 1000, per_s };
}
static inline bool tokens_take(struct tokens *t, uint64_t now_ms)
{
        uint64_t full = (uint64_t)t->per_s * 1000;
        if (now_ms > t->last_ms) {
                uint64_t passed = MIN(now_ms - t->last_ms, (uint64_t)1000);
                t->milli = MIN(full, t->milli + passed * t->per_s);
                t->last_ms = now_ms;
        }
        if (t->milli < 1000)
                return false;
        t->milli -= 1000;
        return true;
}
