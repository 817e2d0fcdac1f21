/* l7gw/io/health.h - the port l4lb probes: it accepts and closes; when it is gone, new connections go elsewhere.
 * Layer: l7gw/io.  Thread rule: control thread. */
#pragma once
#include "l7gw/io/options.h"
#include "lib/io/loop.h"

struct health;
int health_new(struct loop *l, const struct options *o, struct health **ret, struct err *reterr) MUST_USE;
void health_free(struct health *h); /* closes the port: the first step of draining */
