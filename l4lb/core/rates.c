/* l4lb/core/rates.c - see rates.h. */
#include "lib/base.h"
#include <assert.h>
#include "l4lb/core/rates.h"

#define FULL_MS 1000 /* after this long a bucket is full, whatever it held */

static_assert((RATES_LINES & (RATES_LINES - 1)) == 0, "masked");

static struct rate *find(struct rates *r, uint64_t key, uint32_t now, bool *found)
{
        struct rate *oldest = NULL;
        for (unsigned choice = 0; choice < 2; choice++) {
                struct rate *line = r->lines[(uint32_t)(key >> (choice ? 32 : 0)) & (RATES_LINES - 1)];
                for (unsigned i = 0; i < 4; i++) {
                        if (line[i].key == key) {
                                *found = true;
                                return &line[i];
                        }
                        if (!oldest || line[i].key == 0 || (oldest->key != 0 && now - line[i].last_ms > now - oldest->last_ms))
                                oldest = &line[i];
                }
        }
        *found = false;
        return oldest;
}

bool rates_take(struct rates *r, uint64_t key, uint32_t per_s, uint64_t now_ms)
{
        uint32_t now = (uint32_t)now_ms;
        bool found;
        key |= 1; /* 0 = empty */
        struct rate *b = find(r, key, now, &found);
        uint64_t full = (uint64_t)per_s * 1000, milli = full;
        if (found && now - b->last_ms < FULL_MS)
                milli = MIN(full, b->milli + (uint64_t)(now - b->last_ms) * per_s);
        bool ok = milli >= 1000;
        *b = (struct rate){ key, now, (uint32_t)(ok ? milli - 1000 : milli) };
        return ok;
}
