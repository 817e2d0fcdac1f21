/* lib/io/random.h - randomness from the kernel.  Layer: lib/io.  Thread rule: any thread. */
#pragma once
#include "lib/base.h"

/* 0 or -errno.  Blocks only before the kernel's pool is ready, once per boot of the machine. */
int random_fill(void *p, size_t n) NONNULL(1) MUST_USE;
/* Gives maps made from now on a random key (lib/core/map.h).  First thing in main of every daemon, before threads; without
 * randomness the process aborts. */
void map_seed_random(void);
