/* image/io/files_write.h - puts what was rendered below a host's root.  Layer: image/io.  Thread rule: one thread per root. */
#pragma once
#include "image/core/files.h"
#include "image/io/host.h"

struct path_list {
        const char **v; /* in the arena of the files */
        size_t n;
};
/* Writes what differs (each file by rename) and removes what the last call wrote and this one does not hold.
 * *ret_changed: paths written or removed.  The tree is a tmpfs on a running box: nothing is synced. */
int files_write(const struct host *h, struct files *f, struct path_list *ret_changed, struct err *reterr) NONNULL(1, 2, 3, 4) MUST_USE;
