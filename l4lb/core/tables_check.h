/* l4lb/core/tables_check.h - what this data plane cannot do yet, refused with the object's source.  Layer: l4lb/core, pure.
 * Used by tables_build alone.  lib/core/model has checked references, ports, overlaps and ranges of values already. */
#pragma once
#include "l4lb/core/tables.h"

#define L4_SECTION "l4"
int tables_check(const struct model *m, struct model_error *reterr) NONNULL(1, 2) MUST_USE;
int tables_check_endpoint(const Model__EndpointSet *set, const Model__Endpoint *e, uint8_t way,
                          struct model_error *reterr) NONNULL(1, 2, 4) MUST_USE;
/* Refuses: returns -EOPNOTSUPP (stage UNSUPPORTED) or another -errno (stage BUILD), *reterr filled. */
#define L4_ERROR_(e, stage, src, errno_value, ...) \
        (model_error_set(e, CONTROL__NACK_STAGE__NACK_##stage, L4_SECTION, src, __VA_ARGS__), -(errno_value))
#define L4_REFUSE(e, src, ...) L4_ERROR_(e, UNSUPPORTED, src, EOPNOTSUPP, __VA_ARGS__)
#define L4_FAIL(e, src, errno_value, ...) L4_ERROR_(e, BUILD, src, errno_value, __VA_ARGS__)
#define L4_LIMIT(e, src, ...) L4_ERROR_(e, LIMIT, src, ENOSPC, __VA_ARGS__)
