/* image/io/adopt.h - a seed meets what is stored: which configuration is in force.  Layer: image/io.  Thread rule: one process. */
#pragma once
#include "image/io/setup.h"

#define ADOPT_NOTE "/run/gatehouse/refused" /* why the newest configuration is not in force; absent when it is */

/* Is found what its source gave the last time, or another file?  cur: what is in force, or NULL. */
bool adopt_is_new(const struct seed_copy *found, const struct seed_copy *cur) NONNULL(1);
/* Fills found->seen from cur and its own digest. */
void adopt_mark(struct seed_copy *found, const struct seed_copy *cur) NONNULL(1);
/* Says and keeps why a configuration was refused; e = NULL: nothing to say any more. */
void adopt_note(const struct host *h, const struct err *e) NONNULL(1);
