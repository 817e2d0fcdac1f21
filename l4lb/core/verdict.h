/* l4lb/core/verdict.h - verdict names and per-worker verdict counters.  Layer: l4lb/core, pure.
 * Thread rule: one counter block has one writer (its worker); any thread may read it. */
#pragma once
#include "lib/core/metrics.h"
#include "l4lb/core/verdicts.tbl.h"

enum l4_verdict {
        VERDICT_NONE = 0, /* not decided yet: never the end of a packet */
#define V(id, kind, help) id,
        VERDICTS(V)
#undef V
        VERDICT_N
};
enum verdict_kind { VERDICT_KIND_NONE, VERDICT_KIND_TX, VERDICT_KIND_HAND, VERDICT_KIND_PUNT, VERDICT_KIND_DROP };

extern const uint8_t verdict_kinds[VERDICT_N];
static inline enum verdict_kind verdict_kind(uint8_t v) { return (enum verdict_kind)verdict_kinds[v]; }
const char *verdict_name(enum l4_verdict v); /* "FORWARD_SHARD": as in the table, for metrics and status */
const char *verdict_help(enum l4_verdict v);

struct verdict_counters {
        metric_t packets[VERDICT_N];
        metric_t received, received_bytes, sent_bytes; /* over all ports of the worker */
} CACHE_ALIGNED;

struct pkt;
/* Counts one burst.  Call after transmit, when io has turned unsent packets into DROP_TX_FULL or DROP_PUNT_FULL. */
void verdicts_count(struct verdict_counters *c, const struct pkt *p, size_t n) NONNULL(1, 2);
uint64_t verdicts_sum(const struct verdict_counters *c) NONNULL(1); /* == received */
