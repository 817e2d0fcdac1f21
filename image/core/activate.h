/* image/core/activate.h - which files changed -> what has to be restarted, and nothing else.  Layer: image/core, pure.
 * Thread rule: any.  Ownership: steps live in the arena.  What is not in a step goes on undisturbed; the agent reads
 * manifests/ by itself. */
#pragma once
#include "lib/core/arena.h"

#define ACTIVATE_MAX_UNITS 20
struct activate_step {
        const char *verb;                          /* of systemctl */
        const char *units[ACTIVATE_MAX_UNITS + 1]; /* NULL at the end */
};
/* changed: paths as files_write reports them.  gone(path): is this path no longer there?  Steps are to be done in order. */
int activate_plan(const char *const *changed, size_t n, bool (*gone)(void *arg, const char *path), void *arg, struct arena *a,
                  struct activate_step **ret, size_t *ret_n) NONNULL(3, 5, 6, 7) MUST_USE; /* 0 or -ENOMEM */
