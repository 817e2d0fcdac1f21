/* image/io/fetch.h - reads one http(s) URL after the other as a stream, in bounded memory.  Layer: image/io (libcurl).
 * Thread rule: one thread; calls block.  Redirects are followed (five, http and https only); a body must come with
 * status 200; fewer than 512 bytes a second for a minute is a failure. */
#pragma once
#include "lib/base.h"

struct fetch;
int fetch_new(struct fetch **ret, struct err *reterr) NONNULL(1) MUST_USE;
void fetch_free(struct fetch *f);
/* Begins with the URL; what was left of the one before is dropped.  Errors come with the first read. */
int fetch_start(struct fetch *f, const char *url, struct err *reterr) NONNULL(1, 2) MUST_USE;
/* 1 to n bytes; 0 at the end of the body; -errno. */
ssize_t fetch_read(struct fetch *f, void *p, size_t n, struct err *reterr) NONNULL(1, 2) MUST_USE;
