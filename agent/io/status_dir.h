/* agent/io/status_dir.h - statuses as files, for the directory source: one YAML document per object,
 * NAMESPACE.KIND.NAME.yaml (kind in lower case, "_" for cluster-scoped kinds).  Layer: agent/io.
 * Thread rule: the loop's thread.  A file is replaced atomically (temporary file, rename), only when its text changed, and
 * removed when its object is gone.  Not fsynced: after a crash the statuses are written again; only granted addresses and
 * transition times would be lost, and those of the last second only. */
#pragma once
#include "agent/core/generations.h"
#include "agent/core/status.h"

struct status_dir;
int status_dir_open(const char *path, struct status_dir **ret, struct err *reterr) MUST_USE; /* makes the directory */
void status_dir_close(struct status_dir *d);
/* What the files say: transition times into m, addresses of Gateways into *ret (memory from a).  A file that cannot be
 * read is logged and skipped. */
int status_dir_read(struct status_dir *d, struct status_memory *m, struct arena *a, struct vip_grant **ret, size_t *ret_n) MUST_USE;
/* Returns how many files were written or removed; -errno for the first failure (the rest is still tried). */
int status_dir_write(struct status_dir *d, const struct status_doc *docs, size_t n);
/* ".generations", beside the statuses and as atomic.  A file that cannot be understood is logged and counts as none. */
int status_dir_read_generations(struct status_dir *d, struct generations *g) MUST_USE;
int status_dir_write_generations(struct status_dir *d, const struct generations *g) MUST_USE;
