/* l7gw/io/trace.h - admin query `trace METHOD URL [NAME:VALUE...]`: where a request would go, and why.  Layer: l7gw/io.
 * Thread rule: control thread; it reads the serving generation's tables and touches nothing of the workers. */
#pragma once
#include "lib/core/json.h"

int query_trace(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr) NONNULL(1, 4, 5); /* arg: struct control */
