/* agent/core/schema_refs.h - what the schema tables of several kinds share.  Layer: agent/core, private to schema_*.c.
 */
#pragma once
#include "agent/core/schema.h"

#define GATEWAY_GROUP "gateway.networking.k8s.io"
#define GATEWAY_VERSIONS { "v1", "v1beta1" }
/* Known beside the spec; decode.c reads them. */
#define BODY_FIELDS                                                                                                    \
        { "apiVersion", FIELD_SKIP }, { "kind", FIELD_SKIP }, { "metadata", FIELD_SKIP }, { "status", FIELD_SKIP }

extern const struct schema schema_policy_target; /* struct policy_target */
extern const struct schema schema_secret_ref; /* struct object_ref, kind Secret by default */
