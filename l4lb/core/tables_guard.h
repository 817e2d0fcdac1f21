/* l4lb/core/tables_guard.h - access lists and rates of services, from the model.  Layer: l4lb/core, pure.  Used by tables.c alone. */
#pragma once
#include "l4lb/core/tables.h"

int acls_build(struct tables *t, const Model__L4 *l4, struct model_error *reterr) NONNULL(1, 2, 3) MUST_USE;
/* Of service s, the one that is built. */
void guard_build(struct tables *t, struct service *s, const Model__L4Listener *l) NONNULL(1, 2, 3);
/* What must be asked per packet from now on, as compared with old (NULL = nothing before). */
void guards_compare(struct tables *t, const struct tables *old) NONNULL(1);
