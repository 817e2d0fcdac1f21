/* image/io/update_auto.h - where updates come from, and taking them without being asked.  Layer: image/io.  Thread rule: one thread. */
#pragma once
#include "image/core/auto_update.h"
#include "image/io/host.h"

#define AUTO_STATE_PATH "/run/gatehouse/auto-update" /* a sentence: what was found the last time */

struct update_source {
        char url[512]; /* update.url, and update.channel below it */
        bool automatic;
        struct auto_window window;
};
/* From the configuration in force.  -EINVAL: it names none. */
int update_source_read(const struct host *h, struct update_source *ret, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
