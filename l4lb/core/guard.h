/* l4lb/core/guard.h - who may use a service, and how fast: access lists and rates.  Layer: l4lb/core, pure.  Thread rule: the worker.
 * Asked when a packet has no flow yet; for packets of known flows only where a service limits packets, or where an access list changed
 * while flows were there (tables.per_packet).  A service without guard costs one test of its own line. */
#pragma once
#include "l4lb/core/pipeline.h"

/* A packet without flow.  opens: it begins something (SYN, UDP).  False: the verdict is set. */
bool guard_new(struct worker *w, const struct tables *t, struct pkt *p, bool opens) NONNULL(1, 2, 3) MUST_USE;
/* A packet of a flow; only while t->per_packet. */
bool guard_known(struct worker *w, const struct tables *t, struct pkt *p) NONNULL(1, 2, 3) MUST_USE;
