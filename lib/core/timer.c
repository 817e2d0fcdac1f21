/* lib/core/timer.c - see timer.h.
 *
 * 11 levels of 64 slots: the six-bit digits of a 64-bit millisecond.  A timer sits at the level of the highest digit in
 * which its time differs from the wheel's time, so everything at a level is due before anything at the next one, and
 * finding the next event is one bit scan per level.  When the wheel reaches a slot of level l > 0, its timers move
 * down. A bit may be stale (timer_stop does not know the wheel): readers check the list behind it. */
#include "lib/core/timer.h"

#define BITS 6u
#define SLOTS (1u << BITS)
#define LEVELS 11u

struct timers {
        uint64_t now_ms;   /* everything due up to here has fired */
        uint64_t floor_ms; /* while running: first millisecond that waits for the next run */
        bool running;
        uint64_t used[LEVELS];
        struct timer *slot[LEVELS][SLOTS];
};

struct timers *timers_new(uint64_t now_ms)
{
        struct timers *ts = calloc(1, sizeof *ts);
        if (ts)
                ts->now_ms = now_ms;
        return ts;
}

static void timer_link(struct timer **head, struct timer *t)
{
        t->next = *head;
        t->pprev = head;
        if (t->next)
                t->next->pprev = &t->next;
        *head = t;
}

void timer_stop(struct timer *t)
{
        if (!t->pprev)
                return;
        *t->pprev = t->next;
        if (t->next)
                t->next->pprev = t->pprev;
        t->next = NULL;
        t->pprev = NULL;
}

void timers_free(struct timers *ts)
{
        if (!ts)
                return;
        for (unsigned l = 0; l < LEVELS; l++)
                for (unsigned i = 0; i < SLOTS; i++)
                        while (ts->slot[l][i])
                                timer_stop(ts->slot[l][i]);
        free(ts);
}

static void timer_insert(struct timers *ts, struct timer *t, uint64_t at) /* at >= now_ms */
{
        uint64_t diff = at ^ ts->now_ms;
        unsigned level = diff ? (63u - (unsigned)__builtin_clzll(diff)) / BITS : 0;
        unsigned i = (unsigned)(at >> (BITS * level)) & (SLOTS - 1);
        t->slot_ms = at;
        timer_link(&ts->slot[level][i], t);
        ts->used[level] |= 1ull << i;
}

void timer_set(struct timers *ts, struct timer *t, uint64_t deadline_ms)
{
        t->deadline_ms = deadline_ms;
        if (timer_armed(t)) {
                if (t->slot_ms <= deadline_ms) /* lazy: the slot fires first and re-inserts */
                        return;
                timer_stop(t);
        }
        timer_insert(ts, t, MAX(deadline_ms, ts->running ? ts->floor_ms : ts->now_ms));
}

/* The next slot that holds a timer: its level, index and the time it begins. */
static bool timers_next_slot(const struct timers *ts, unsigned *ret_level, unsigned *ret_i, uint64_t *ret_ms)
{
        for (unsigned l = 0; l < LEVELS; l++) {
                unsigned shift = BITS * l;
                unsigned cur = (unsigned)(ts->now_ms >> shift) & (SLOTS - 1);
                for (uint64_t bits = ts->used[l] >> cur << cur; bits; bits &= bits - 1) {
                        unsigned i = (unsigned)__builtin_ctzll(bits);
                        if (!ts->slot[l][i])
                                continue;
                        uint64_t above = shift + BITS < 64 ? ts->now_ms >> (shift + BITS) << (shift + BITS) : 0;
                        *ret_level = l;
                        *ret_i = i;
                        *ret_ms = above | (uint64_t)i << shift;
                        return true;
                }
        }
        return false;
}

static size_t slot_run(struct timers *ts, unsigned level, unsigned i, uint64_t now_ms)
{
        struct timer *due = ts->slot[level][i]; /* a private list: callbacks may stop any timer on it */
        size_t fired = 0;
        ts->slot[level][i] = NULL;
        ts->used[level] &= ~(1ull << i);
        if (due)
                due->pprev = &due;
        while (due) {
                struct timer *t = due;
                timer_stop(t);
                if (t->slot_ms > ts->now_ms || t->deadline_ms > now_ms) {
                        timer_insert(ts, t, MAX(t->deadline_ms, t->slot_ms));
                        continue;
                }
                fired++;
                t->fn(t, now_ms);
        }
        return fired;
}

size_t timers_run(struct timers *ts, uint64_t now_ms)
{
        size_t fired = 0;
        unsigned level, i;
        uint64_t at;
        BUG_ON(ts->running);
        if (now_ms < ts->now_ms)
                return 0;
        ts->running = true;
        ts->floor_ms = now_ms + 1; /* what a callback arms for now or the past waits one turn, so a run always ends */
        while (timers_next_slot(ts, &level, &i, &at) && at <= now_ms) {
                ts->now_ms = MAX(ts->now_ms, at);
                fired += slot_run(ts, level, i, now_ms);
        }
        ts->now_ms = now_ms;
        ts->running = false;
        return fired;
}

uint64_t timers_next_ms(const struct timers *ts, uint64_t now_ms, uint64_t max_ms)
{
        unsigned level, i;
        uint64_t at;
        if (!timers_next_slot(ts, &level, &i, &at))
                return max_ms;
        return at <= now_ms ? 0 : MIN(at - now_ms, max_ms);
}
