/* l4lb/core/rates.h - token buckets by key, in a table of fixed size: connection and packet rates of services and of sources.
 * Layer: l4lb/core, pure.  Thread rule: one worker.  No allocation: a key that is new takes the place of the one of its eight that was
 * used longest ago.  Who sends fast is used often, so a flood of other keys does not make it new again before their number
 * is eight times the table's lines per pause between two of its packets. */
#pragma once
#include "lib/base.h"

#define RATES_LINES 4096 /* of 4: 16,384 keys, 256 KiB per worker */
#define RATE_MAX 4000000 /* a second: a bucket's thousandths fit 32 bits */

struct rates {
        struct rate {
                uint64_t key; /* keyed hash; 0 = empty */
                uint32_t last_ms, milli;
        } CACHE_ALIGNED lines[RATES_LINES][4];
};
/* One token of the key's bucket, which holds per_s (1 .. RATE_MAX) and gets as many a second; false = empty.  key: a hash that
 * nobody outside can aim. */
bool rates_take(struct rates *r, uint64_t key, uint32_t per_s, uint64_t now_ms) NONNULL(1) MUST_USE;
