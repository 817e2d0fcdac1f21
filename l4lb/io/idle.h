/* l4lb/io/idle.h - the back-off ladder of a worker with nothing to do: poll, poll with pauses, then rest longer and
 * longer. Layer: l4lb/io; no effect of its own.  Thread rule: one worker. */
#pragma once
#include "lib/base.h"

#define IDLE_SLEEP_US_MIN 10u
enum idle_step { IDLE_SPIN, IDLE_PAUSE, IDLE_REST };
struct idle {
        unsigned spin_polls, pause_polls, sleep_us_max; /* settings */
        unsigned empty;                                 /* polls in a row that brought nothing */
        unsigned sleep_us;                              /* of the next rest, when it is a sleep */
};

static inline void idle_busy(struct idle *i)
{
        i->empty = 0;
        i->sleep_us = 0;
}
/* After an empty poll: what to do now.  For IDLE_REST sleep_us says how long, where there is nothing to wait on. */
static inline enum idle_step idle_next(struct idle *i)
{
        if (i->empty < i->spin_polls) {
                i->empty++;
                return IDLE_SPIN;
        }
        if (i->empty < i->spin_polls + i->pause_polls) {
                i->empty++;
                return IDLE_PAUSE;
        }
        if (i->sleep_us_max == 0)
                return IDLE_PAUSE;
        i->sleep_us = i->sleep_us ? MIN(i->sleep_us * 2, i->sleep_us_max) : MIN(IDLE_SLEEP_US_MIN, i->sleep_us_max);
        return IDLE_REST;
}
