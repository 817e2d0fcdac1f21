/* l4lb/core/service.h - the lookup structures of tables.h: addresses and ports.  Layer: l4lb/core, pure.
 * Used by tables_build alone: 0, -ENOMEM, or -EEXIST for an address that is there already. */
#pragma once
#include "l4lb/core/tables.h"

int service_index_vips(struct tables *t) NONNULL(1) MUST_USE;  /* t->vips -> vips4, vips6 */
int service_index_ports(struct tables *t) NONNULL(1) MUST_USE; /* t->services -> ports, range_lists, ranges */
