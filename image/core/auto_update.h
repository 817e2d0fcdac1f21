/* image/core/auto_update.h - whether a box takes an update by itself, now.  Layer: image/core, pure.  Thread rule: values.
 * It is asked every quarter of an hour or so.  Inside the window each box has a moment of its own, from its identity and the
 * version, so that not all restart at once; from that moment to the window's end it may begin.
 * A version that this box once left again (rolled back by the gate, or by the operator) is not taken, nor an older one. */
#pragma once
#include "image/core/version.h"

#define AUTO_WINDOW_MIN 30   /* a shorter window could be missed between two looks */
#define AUTO_LAST_CALL_MIN 29 /* no box's moment is later than this before the end: two looks fit */
struct auto_window { /* minutes of the day, UTC; may go over midnight */
        uint16_t from_min, len_min;
};
int auto_window_parse(const char *text, struct auto_window *ret) NONNULL(1, 2) MUST_USE; /* "03:00-05:00"; -EINVAL */

struct auto_facts {
        struct version running, found, left; /* left: which was rolled back; n = 0: none */
        bool on_trial;                       /* the running version has not passed its gate yet */
        struct auto_window window;
        uint16_t now_min;
        uint64_t box; /* any number that is the box's own */
};
enum auto_verdict { AUTO_CURRENT, AUTO_REJECTED, AUTO_TRIAL, AUTO_LATER, AUTO_INSTALL, AUTO_N };
enum auto_verdict auto_decide(const struct auto_facts *f) NONNULL(1);
/* The box's moment in the window, in minutes from its beginning. */
uint16_t auto_moment(const struct auto_facts *f) NONNULL(1);
