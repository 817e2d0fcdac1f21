/* image/core/keyvalue.h - small state files: lines KEY=VALUE.  Layer: image/core, pure.  Thread rule: any. */
#pragma once
#include "lib/core/buf.h"

/* The value of the first line with that key; false: none. */
bool keyvalue_get(struct span text, const char *key, struct span *ret) NONNULL(2, 3) MUST_USE;
/* Adds a line; what would break it (control characters) becomes a blank. */
void keyvalue_put(struct buf *b, const char *key, struct span value) NONNULL(1, 2);
