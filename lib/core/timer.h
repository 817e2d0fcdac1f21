/* lib/core/timer.h - hierarchical timer wheel, 1 ms tick, lazy re-arm.  Layer: lib/core, pure: time comes in as now_ms.
 * Thread rule: one thread.  Ownership: a timer is embedded in its owner and must be stopped before the owner is freed.
 * Lazy re-arm: timer_set to a later deadline only stores it; the wheel re-inserts when the old slot fires. */
#pragma once
#include "lib/base.h"

struct timer;
typedef void timer_fn(struct timer *t, uint64_t now_ms);
struct timer {
        struct timer *next, **pprev; /* wheel slot list; pprev NULL = not armed */
        uint64_t deadline_ms;        /* the wanted deadline */
        uint64_t slot_ms;            /* where it sits in the wheel; after deadline_ms only when that was past already */
        timer_fn *fn;
};
struct timers;

struct timers *timers_new(uint64_t now_ms);
void timers_free(struct timers *ts);
static inline void timer_init(struct timer *t, timer_fn *fn) { *t = (struct timer){ .fn = fn }; }
static inline bool timer_armed(const struct timer *t) { return t->pprev != NULL; }
void timer_set(struct timers *ts, struct timer *t, uint64_t deadline_ms) NONNULL(1, 2);
void timer_stop(struct timer *t) NONNULL(1);
/* Fires everything due at now_ms; callbacks may set or stop any timer.  Returns how many fired. */
size_t timers_run(struct timers *ts, uint64_t now_ms) NONNULL(1);
/* Milliseconds until something may be due (0 = now, capped at max_ms). */
uint64_t timers_next_ms(const struct timers *ts, uint64_t now_ms, uint64_t max_ms) NONNULL(1);
