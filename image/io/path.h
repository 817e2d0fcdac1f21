/* image/io/path.h - files and directories: whole reads, writes that survive a power cut.  Layer: image/io.  Thread rule: any. */
#pragma once
#include "lib/core/arena.h"

/* The whole file, at most max bytes (-EFBIG).  *ret lives in a. */
int path_read(const char *path, size_t max, struct arena *a, struct span *ret, struct err *reterr) NONNULL(1, 3, 4, 5) MUST_USE;
int path_mkdirs(const char *dir, unsigned mode, struct err *reterr) NONNULL(1, 3) MUST_USE; /* with its parents (0755) */
int path_mkparent(const char *path, struct err *reterr) NONNULL(1, 2) MUST_USE;
/* Temporary file, rename; synced: fsync of the file before and of the directory after.  gid (gid_t)-1 = leave. */
int path_write(const char *path, struct span bytes, unsigned mode, unsigned gid, bool synced, struct err *reterr) NONNULL(1, 6) MUST_USE;
int path_link(const char *to, const char *path, bool synced, struct err *reterr) NONNULL(1, 2, 4) MUST_USE; /* replaces by rename */
int path_sync_dir(const char *dir, struct err *reterr) NONNULL(1, 2) MUST_USE;
int path_remove_tree(const char *path, struct err *reterr) NONNULL(1, 2) MUST_USE; /* not there: 0; follows no link */
