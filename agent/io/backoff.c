/* agent/io/backoff.c - see backoff.h. */
#include "lib/base.h"
#include "agent/io/backoff.h"
#include "lib/io/random.h"

uint32_t random_below(uint32_t n)
{
        uint32_t v = 0;
        if (n == 0 || random_fill(&v, sizeof v) < 0)
                return 0;
        return (uint32_t)((uint64_t)v * n >> 32);
}

uint32_t backoff_next(struct backoff *b)
{
        uint32_t ms = b->ms / 2 + random_below(b->ms / 2 + 1);
        b->ms = MIN(b->ms * 2, b->max_ms);
        return ms;
}
