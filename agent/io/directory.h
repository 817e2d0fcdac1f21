/* agent/io/directory.h - a directory of manifests as the source of objects: loaded whole, or watched.
 * Layer: agent/io.  Thread rule: the loop's thread.
 *
 * What is read: regular files (or links to them) named *.yaml, *.yml or *.json, in the directory and in its direct
 * subdirectories, in the order of their names.  Names that start with "." or end with "~" are not looked at; deeper
 * subdirectories neither.  Kinds we do not serve are ignored, a v1 List is read as its items.
 * A load is all or nothing: one bad file refuses it, and the caller keeps what it has. */
#pragma once
#include "agent/core/decode.h"
#include "agent/core/source_limits.tbl.h"
#include "lib/io/loop.h"

struct load_errors {
        struct err v[SOURCE_MAX_LOAD_ERRORS]; /* the first ones, in the order of the files */
        size_t n, total;
};
struct load_counts {
        size_t files, objects, ignored; /* ignored: documents of kinds that are none of ours */
};
/* Loads path once (no watching; in the library agent_source).  0: *ret is an array of *ret_n objects, both the caller's
 * (objects_drop, or store_apply_all and free of the array).  -errno: at least one error in reterrs. */
int directory_load(const char *path, const char *default_namespace, struct object ***ret, size_t *ret_n,
                   struct load_counts *ret_counts, struct load_errors *reterrs) MUST_USE;
void objects_drop(struct object **objs, size_t n); /* frees the objects and the array */

/* One load.  errs NULL: objs are the callee's, the array stays the caller's.  errs: the load was refused, objs is NULL
 * and what was there before stays in force (the refusal is logged already). */
typedef void directory_fn(void *arg, struct object **objs, size_t n, const struct load_errors *errs);

struct directory;
/* Loads at once (fn is called before this returns, with errs when the first load is refused), then again whenever
 * something changed and settle_ms went by without another change, at the latest after 10 x settle_ms.  A file
 * that is being written is waited for, as long.  A directory that vanishes keeps the previous set; it is loaded
 * when it is back in the same parent.  NULL: inotify cannot be had, *reterr says why. */
struct directory *directory_new(struct loop *loop, const char *path, unsigned settle_ms, const char *default_namespace,
                                directory_fn *fn, void *arg, struct err *reterr) MUST_USE;
void directory_free(struct directory *d); /* NULL is legal */
