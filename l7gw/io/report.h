/* l7gw/io/report.h - what a shard tells about itself: admin queries, Prometheus text, STATUS to the agent.
 * Layer: l7gw/io.  Thread rule: control thread; counters of the workers are read relaxed. */
#pragma once
#include "lib/control.pb-c.h"
#include "lib/core/arena.h"
#include "lib/io/admin.h"

struct control;
extern const struct admin_query report_queries[]; /* arg: struct control */
void report_status(struct control *c, struct arena *a, Control__Status *st) NONNULL(1, 2, 3);
