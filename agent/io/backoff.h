/* agent/io/backoff.h - growing waits with jitter, so that many who fail together do not come back together.
 * Layer: agent/io (it draws random numbers).  Thread rule: one thread. */
#pragma once
#include "lib/base.h"

struct backoff { uint32_t ms, min_ms, max_ms; };
static inline struct backoff backoff_of(uint32_t min_ms, uint32_t max_ms) { return (struct backoff){ min_ms, min_ms, max_ms }; }
static inline void backoff_reset(struct backoff *b) { b->ms = b->min_ms; }
uint32_t backoff_next(struct backoff *b) NONNULL(1); /* half to all of ms; then ms doubles */
uint32_t random_below(uint32_t n);                   /* 0 for n = 0 */
