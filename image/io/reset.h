/* image/io/reset.h - factory reset: the data partition is wiped and made anew; the image stays.  Layer: image/io.
 *
 *   reset_ask   relabels the partition `gatehouse-data` to `gatehouse-wipe`: one commit of the partition table, so a
 * power cut leaves a box that was reset or one that was not.  The next boot does the rest: reset_run   zeroes it whole,
 * removes it from the table (again one commit), and systemd-repart makes it as on first boot. A power cut meanwhile: it
 * begins again. Thread rule: one thread. */
#pragma once
#include "lib/base.h"

int reset_ask(const char *disk, struct err *reterr) NONNULL(1) MUST_USE; /* -ENOENT: no data partition */
/* 0: nothing was asked for; 1: done.  progress may be NULL. */
int reset_run(const char *disk, void (*progress)(uint64_t done, uint64_t total), struct err *reterr)
        NONNULL(1) MUST_USE;
