/* l7gw/core/path_edit.h - PathEdit compiled: the path that a rewrite or redirect makes of a request's path.
 * Layer: l7gw/core, pure.  Immutable; any thread.  (Gateway API HTTPPathModifier) */
#pragma once
#include "lib/core/arena.h"
#include "lib/model.pb-c.h"

enum path_edit_kind { PATH_EDIT_KEEP, PATH_EDIT_FULL, PATH_EDIT_PREFIX };
struct path_edit {
        enum path_edit_kind kind;
        struct span value; /* FULL: a normal path; PREFIX: one without trailing slashes, may be empty */
};
/* e may be NULL (keep).  Bytes that cannot stand raw in a path are percent-encoded, "?" and "#" too.
 * -EINVAL: not a path; -ENOTSUP: a regular expression; -ENOMEM. */
int path_edit_build(struct arena *a, const Model__PathEdit *e, struct path_edit *ret) NONNULL(1, 3) MUST_USE;
/* path is normal; `entry` is what matched it (NULL or no prefix match: PREFIX replaces nothing and prepends).  The result
 * is normal and never empty; "*" stays. */
int path_edit_apply(struct arena *a, const struct path_edit *e, const Model__RouteEntry *entry, struct span path,
                    struct span *ret) NONNULL(1, 2, 5) MUST_USE;
/* The prefix of an entry in the form it is compared: without trailing slashes ("/" is ""). */
struct span path_prefix_trim(struct span prefix);
