/* image/io/bundle.h - the files of an update in their order, from where they are: a directory, an archive, or http(s).
 *   /DIR or /DIR/          the files lie in it         http://HOST/DIR/     below it, one request each
 *   /FILE                  ustar archive               http://HOST/FILE     ustar archive, one request
 * Layer: image/io.  Thread rule: one thread; calls block.  Memory is bounded whatever comes. */
#pragma once
#include "lib/base.h"

struct bundle;
int bundle_open(const char *source, struct bundle **ret, struct err *reterr) NONNULL(1, 2) MUST_USE;
void bundle_close(struct bundle *b);
/* Goes to the next file, which must have that name (of an archive: the next member).  Whatever was not read of the one
 * before is skipped. */
int bundle_next(struct bundle *b, const char *name, struct err *reterr) NONNULL(1, 2) MUST_USE;
/* 1 to n bytes; 0 at the end of the file; -errno. */
ssize_t bundle_read(struct bundle *b, void *p, size_t n, struct err *reterr) NONNULL(1, 2) MUST_USE;
/* The whole file, at most max bytes: else -EFBIG. */
int bundle_read_small(struct bundle *b, const char *name, uint8_t *p, size_t max, size_t *ret_n, struct err *reterr)
        NONNULL(1, 2, 3, 5) MUST_USE;
