/* lib/core/metrics.h - counters and gauges declared in X-macro tables, written out as Prometheus text (exposition 0.0.4).
 * Layer: lib/core, pure.  Thread rule: each counter block has ONE writer thread; any thread may read (relaxed).
 *
 *   #define PORT_COUNTERS(C) C(RX_PACKETS, "rx_packets_total", "Packets received") ...
 *   enum port_counter { PORT_RX_PACKETS, ..., PORT_COUNTER_N };  made by the table too: #define X(id, n, h) PORT_##id,
 *   static const struct metric_desc port_desc[] = METRICS_DESC(PORT_COUNTERS);
 */
#pragma once
#include "lib/core/buf.h"
#include <stdatomic.h>

struct metric_desc {
        const char *name, *help;
};
#define METRICS_DESC_ROW_(id, name, help) { name, help },
#define METRICS_DESC(table) { table(METRICS_DESC_ROW_) }

typedef _Atomic uint64_t metric_t;
/* One writer: a plain load, add, store (relaxed forbids nothing and needs nothing: readers want any recent value). */
static inline void metric_add(metric_t *m, uint64_t n)
{
        atomic_store_explicit(m, atomic_load_explicit(m, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline void metric_set(metric_t *m, uint64_t v) { atomic_store_explicit(m, v, memory_order_relaxed); }
static inline uint64_t metric_get(const metric_t *m)
{
        return atomic_load_explicit((metric_t *)m, memory_order_relaxed);
}

/* Writes "# HELP" and "# TYPE" for one family; prefix is e.g. "gatehouse_l4_". */
void metrics_family(struct buf *b, const char *prefix, const struct metric_desc *d, bool gauge) NONNULL(1, 2, 3);
/* One sample: labels is NULL or `a="b",c="d"` already escaped by metrics_label. */
void metrics_sample(struct buf *b, const char *prefix, const char *name, const char *labels, uint64_t v) NONNULL(1, 2, 3);
/* Appends `key="value"` with Prometheus escaping (adds a comma when b is not empty). */
void metrics_label(struct buf *b, const char *key, struct span value) NONNULL(1, 2);
