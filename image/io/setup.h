/* image/io/setup.h - a configuration put to work: read, rendered, checked by the daemons themselves, written, activated.
 * Layer: image/io.  Thread rule: one thread. */
#pragma once
#include "image/io/files_write.h"
#include "image/io/store.h"

struct setup {
        struct arena arena;
        struct config *c;
        struct files files;
};
/* Reads seed's file and renders it.  seed is borrowed for as long as the setup lives. */
int setup_make(const struct host *h, const struct seed_copy *seed, const char *place, struct setup *ret, struct err *reterr) NONNULL(1, 2, 3, 4, 5) MUST_USE;
void setup_unconfigured(struct setup *ret) NONNULL(1);
void setup_fini(struct setup *s) NONNULL(1);
/* The whole validation of a new configuration: setup_make, and each daemon's --check on what would be rendered. */
int setup_check(const struct host *h, const struct seed_copy *seed, const char *place, struct err *reterr) NONNULL(1, 2, 3, 4) MUST_USE;
int setup_put(const struct host *h, struct setup *s, struct path_list *ret_changed, struct err *reterr) NONNULL(1, 2, 3, 4) MUST_USE;
/* Restarts what the changes ask for.  The first failure ends it. */
int setup_activate(const struct host *h, struct setup *s, const struct path_list *changed, struct err *reterr) NONNULL(1, 2, 3, 4) MUST_USE;
