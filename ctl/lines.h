/* ctl/lines.h - what differs between two texts, line by line.  Thread rule: single-threaded program. */
#pragma once
#include "lib/base.h"

/* Prints "-line" and "+line" and "@@ line N @@" of the new text before each place.
 * True when the texts are the same. */
bool lines_diff(struct span from, struct span to, FILE *out) NONNULL(3);
