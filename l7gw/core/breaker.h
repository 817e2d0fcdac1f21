/* l7gw/core/breaker.h - how much a shard asks of one cluster at once: connections, requests that wait for one, requests, retries.
 * Layer: l7gw/core, pure.  Any thread: plain counters that all workers share, touched only where a policy has limits.
 * Life: counted by the cluster and by every connection that was opened under it. */
#pragma once
#include "lib/model.pb-c.h"
#include "lib/base.h"
#include <stdatomic.h>

enum breaker_gate { BREAKER_CONNECTIONS, BREAKER_PENDING, BREAKER_REQUESTS, BREAKER_RETRIES, BREAKER_GATE_N };
struct breaker {
        atomic_uint refs;
        atomic_uint taken[BREAKER_GATE_N];
} CACHE_ALIGNED;
struct breaker *breaker_new(void) MUST_USE; /* one reference; NULL: out of memory */
struct breaker *breaker_get(struct breaker *b) NONNULL(1);
void breaker_put(struct breaker *b); /* NULL is legal */
uint32_t breaker_max(const Model__Breaker *m, enum breaker_gate g) NONNULL(1); /* 0 = no limit */
/* One more, unless there are max already (0: no limit).  false: there are. */
bool breaker_take(struct breaker *b, enum breaker_gate g, uint32_t max) NONNULL(1) MUST_USE;
void breaker_give(struct breaker *b, enum breaker_gate g) NONNULL(1);
