/* agent/core/status_read.h - statuses written earlier, read back at start: when conditions last changed, and which
 * addresses Gateways hold.  Layer: agent/core, pure. */
#pragma once
#include "agent/core/node.h"
#include "agent/core/status.h"

struct vip_grants { struct vip_grant *v; size_t n, cap; }; /* memory of the arena given */
/* status: the value of an object's "status".  controller: only its entries of a route's parents are read; NULL = all.
 * Conditions into m, addresses of a Gateway into g; text from a.  Conditions that are neither True nor False are the
 * defaults of a CRD and say nothing.  -ENOMEM. */
int status_read(enum object_kind kind, const char *ns, const char *name, const char *controller, const struct node *status,
                struct status_memory *m, struct arena *a, struct vip_grants *g) NONNULL(2, 3, 5, 6, 7, 8) MUST_USE;
