/* l7gw/io/access_log.h - access log lines from the workers to a file, by a thread of its own.  Layer: l7gw/io.
 * A worker never blocks: it copies a finished line into its ring (one writer, one reader, no lock); the log thread
 * sleeps until a ring becomes non-empty, gathers for L7_LOG_FLUSH_MS and writes.  A full ring drops whole lines and
 * counts them. No line, no wake-up: an idle shard's log thread does nothing. */
#pragma once
#include "lib/base.h"

struct access_log;
/* path: a file (appended), "-" = stdout, "" = off (then *ret = NULL, and access_log_put does nothing). */
int access_log_new(const char *path, unsigned n_workers, struct access_log **ret, struct err *reterr) MUST_USE;
bool access_log_put(struct access_log *l, unsigned worker, struct span line); /* false: dropped */
void access_log_reopen(struct access_log *l);                                 /* after rotation; any thread */
void access_log_free(struct access_log *l);                                   /* writes what is left */
