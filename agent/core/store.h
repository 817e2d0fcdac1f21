/* agent/core/store.h - all objects the agent knows, with the look-ups translation needs.  Layer: agent/core, pure.
 * Thread rule: one thread.  Ownership: the store takes objects; readers borrow until the next store_apply.
 * A whole directory load is applied as one change (store_apply_all); single objects as they come (store_put/store_del).
 */
#pragma once
#include "agent/core/objects.h"

struct store;
struct store *store_new(void);
void store_free(struct store *s);

struct store_changes {
        size_t added, changed, removed;
        bool endpoints_only;
}; /* endpoints_only: nothing but slices changed */
/* Replaces the content: objects equal to the stored ones (digest) are dropped and the old kept, with its generation;
 * changed ones get generation + 1 when the object carries none (spec changes only: metadata does not count).
 * Takes all of objs.  Duplicate kind/ns/name: -EEXIST naming both origins, nothing changes (objs are still taken).
 * A namespace that objects use and no Namespace declares is implied: a Namespace object with the label
 * kubernetes.io/metadata.name and no other, origin "implied".  (store_put implies none: an API server has them all.)
 * An unchanged object keeps the places (origin, .place) of the load that last changed it. */
int store_apply_all(struct store *s, struct object **objs, size_t n, struct store_changes *ret,
                    struct err *reterr) MUST_USE;
int objects_check_unique(struct object *const *objs, size_t n,
                         struct err *reterr) MUST_USE;     /* the -EEXIST of it, alone */
int store_put(struct store *s, struct object *o) MUST_USE; /* takes o */
void store_del(struct store *s, enum object_kind k, const char *ns, const char *name);

const struct object *store_get(const struct store *s, enum object_kind k, const char *ns, const char *name);
/* All objects of a kind, sorted by namespace, name. */
const struct object *const *store_all(const struct store *s, enum object_kind k, size_t *ret_n);
/* EndpointSlices of a service, sorted by name. */
const struct endpoint_slice *const *store_slices(const struct store *s, const char *ns, const char *service,
                                                 size_t *ret_n);
/* Does a ReferenceGrant in to_ns let (from_group, from_kind, from_ns) refer to (to_group, to_kind, to_name)?  Same
 * namespace is always true. */
bool store_granted(const struct store *s, const char *from_group, const char *from_kind, const char *from_ns,
                   const char *to_group, const char *to_kind, const char *to_ns, const char *to_name);
