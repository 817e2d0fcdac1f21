/* lib/core/metrics.c - see metrics.h.  Prometheus text exposition format 0.0.4. */
#include "lib/core/metrics.h"

#include <inttypes.h>

/* HELP text escapes backslash and newline; label values escape the quote too. */
static void escaped(struct buf *b, struct span s, bool quote)
{
        for (size_t i = 0; i < s.n; i++) {
                uint8_t c = s.p[i];
                if (c == '\\')
                        buf_str(b, "\\\\");
                else if (c == '\n')
                        buf_str(b, "\\n");
                else if (c == '"' && quote)
                        buf_str(b, "\\\"");
                else
                        buf_add(b, &c, 1);
        }
}

void metrics_family(struct buf *b, const char *prefix, const struct metric_desc *d, bool gauge)
{
        buf_printf(b, "# HELP %s%s ", prefix, d->name);
        escaped(b, span_str(d->help), false);
        buf_printf(b, "\n# TYPE %s%s %s\n", prefix, d->name, gauge ? "gauge" : "counter");
}

void metrics_sample(struct buf *b, const char *prefix, const char *name, const char *labels, uint64_t v)
{
        if (labels && labels[0])
                buf_printf(b, "%s%s{%s} %" PRIu64 "\n", prefix, name, labels, v);
        else
                buf_printf(b, "%s%s %" PRIu64 "\n", prefix, name, v);
}

void metrics_label(struct buf *b, const char *key, struct span value)
{
        buf_printf(b, "%s%s=\"", b->n ? "," : "", key);
        escaped(b, value, true);
        buf_str(b, "\"");
}
