/* agent/core/watch_event.h - one line of a Kubernetes watch: {"type": "MODIFIED", "object": {...}}.  Layer: agent/core, pure. */
#pragma once
#include "agent/core/node.h"

enum watch_type { WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED, WATCH_BOOKMARK, WATCH_ERROR, WATCH_TYPE_N };
struct watch_event { /* borrows from the line and the arena */
        enum watch_type type;
        const struct node *object;
        struct span resource_version; /* of the object; empty for WATCH_ERROR */
        int code;                     /* WATCH_ERROR: as HTTP has it, 410 = what we knew is too old; 0 = it does not say */
        struct span message;          /* WATCH_ERROR */
};
/* -EINVAL: not JSON, or not an event; -E2BIG, -ENOMEM: beyond a limit.  *reterr says where in the line. */
int watch_event_read(struct span line, const char *what, struct arena *a, struct watch_event *ret, struct err *reterr)
        NONNULL(2, 3, 4) MUST_USE;
/* The text of a scalar member of a member, "metadata" "resourceVersion" for one; empty when absent. */
struct span node_text(const struct node *map, const char *key);
struct span node_text2(const struct node *map, const char *outer, const char *key);
