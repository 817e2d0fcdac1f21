/* agent/core/decode.h - document tree -> typed object, by schema tables: types, defaults, limits, the CRDs' validation
 * rules (CEL included).  Layer: agent/core, pure.  Errors name the place: "routes.yaml:12: spec.rules[0].matches[1].path". */
#pragma once
#include "agent/core/node.h"
#include "agent/core/objects.h"

/* Decodes one document.  0: *ret is a new object (own arena), or NULL when the kind is none of ours (ignored, as unknown
 * kinds in a directory are).  -EINVAL: *reterr says file, line, field and what was expected.
 * file is used for places; default_namespace fills metadata.namespace of namespaced kinds. */
int object_decode(const struct node *doc, const char *file, const char *default_namespace, struct object **ret,
                  struct err *reterr) MUST_USE;
/* Decodes an object of a known kind as an API server sends it: items of lists say neither apiVersion nor kind, fields we
 * do not know pass, metadata (uid, generation, creationTimestamp, resourceVersion) is the server's.  Everything else as
 * above; origin is what errors call the place. */
int object_decode_served(enum object_kind kind, const struct node *doc, const char *origin, struct object **ret,
                         struct err *reterr) MUST_USE;
