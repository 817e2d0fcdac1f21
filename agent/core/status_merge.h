/* agent/core/status_merge.h - our view of an object's status laid over the one the API server has, as a JSON merge patch
 * (RFC 7386).  Layer: agent/core, pure.
 * Lists are replaced whole by a merge patch, so what is not ours is carried along, in its place:
 *  - conditions of types we never write (STATUS_TYPES) stay, ours are replaced where they stand, new ones come last;
 *  - a route's parents and a policy's ancestors with another controllerName stay; ours go when their reference does;
 *  - listeners and addresses of a Gateway have one writer: us. */
#pragma once
#include "agent/core/json_node.h"
#include "agent/core/objects.h"

/* Condition types that are ours wherever they appear in our objects. */
#define STATUS_TYPES(T) \
        T("Accepted") T("Programmed") T("ResolvedRefs") T("Conflicted") T("PartiallyInvalid") T("SupportedVersion") \
        T("OverlappingTLSConfig") T("InsecureFrontendValidationMode")
/* The list in the status of a kind to which several controllers write: an item is ours by its controllerName and is about
 * what its reference names.  max: of the CRD; foreign items come first, those of ours that do not fit are left out. */
struct status_list { const char *name, *ref; unsigned max; };
const struct status_list *status_list_of(enum object_kind kind); /* NULL: its status has one writer */

/* ours: the value of "status" in our document; NULL: the object is none of ours any more (a route without a parent of
 * ours, a policy that acts on none: its entries go; other kinds: nothing to do).  seen: the same of the server, NULL = it has none.
 * 1: they differ, the patch's value of "status" is written to out; 0: nothing to write.  -ENOMEM; -E2BIG: what the server
 * has is nested deeper than we write. */
int status_merge(enum object_kind kind, const char *ns, const char *controller, const struct node *ours,
                 const struct node *seen, struct json *out) NONNULL(2, 3, 6) MUST_USE;
