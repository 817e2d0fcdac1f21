/* image/io/apply.h - a new configuration in force, and back again when nobody confirms it.  Layer: image/io.
 * Thread rule: the loop's thread.
 *
 *   IDLE ─ start ─▶ ACTIVATING ─ done ─▶ WAITING ─ confirm ─▶ IDLE        (current is now what was the candidate)
 *                       │ failed            │ cancel, time over
 *                       ▼                   ▼
 *                    REVERTING ─ done ─▶ IDLE                            (current was never touched)
 *
 * Only `current` survives a restart of the box or of this service, so power lost in any state ends with what was confirmed
 * last.  Writing files and restarting units happens in a child process: the loop goes on answering. */
#pragma once
#include "image/io/setup.h"
#include "lib/core/json.h"
#include "lib/io/loop.h"

/* S(state, legal next, shown as) */
#define APPLY_STATES(S)                                                          \
        S(IDLE, B(ACTIVATING) | B(REVERTING), "idle")                            \
        S(ACTIVATING, B(WAITING) | B(IDLE) | B(REVERTING), "activating")         \
        S(WAITING, B(IDLE) | B(REVERTING), "waiting for confirm")                \
        S(REVERTING, B(IDLE), "reverting")
enum apply_state {
#define S(id, next, text) APPLY_##id,
        APPLY_STATES(S)
#undef S
                APPLY_N
};

#define APPLY_CONFIRM_MAX_S 86400u
struct apply;
/* An unconfirmed candidate that is still there is taken back.  h and l are borrowed. */
int apply_new(const struct host *h, struct loop *l, struct apply **ret, struct err *reterr) NONNULL(1, 2, 3, 4) MUST_USE;
void apply_free(struct apply *a);
/* Checks the whole, stores it as candidate, begins to activate it.  found->source says who brought it; what it brings no
 * kubeconfig or manifests for keeps those in force.  confirm_s 0: no confirmation is needed.
 * -EBUSY: another one is under way; -EINVAL: refused, and nothing has changed. */
int apply_start(struct apply *a, struct seed_copy *found, unsigned confirm_s, struct err *reterr) NONNULL(1, 2, 4) MUST_USE;
int apply_is_idle(const struct apply *a, struct err *reterr) NONNULL(1, 2) MUST_USE; /* -EBUSY: another one is under way */
/* Renders what is in force once more and activates what comes out different; how: why, for the status. */
int apply_again(struct apply *a, const char *how, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
int apply_confirm(struct apply *a, struct err *reterr) NONNULL(1, 2) MUST_USE;
int apply_cancel(struct apply *a, struct err *reterr) NONNULL(1, 2) MUST_USE; /* back now */
/* What runs: the candidate while it waits to be confirmed, else current. */
enum store_slot apply_in_force(const struct apply *a) NONNULL(1);
/* state, what it ended with last, seconds left: keys into an open object. */
void apply_describe(const struct apply *a, struct json *out) NONNULL(1, 2);
