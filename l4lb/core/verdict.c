/* l4lb/core/verdict.c - see verdict.h. */
#include "lib/base.h"
#include "l4lb/core/verdict.h"
#include "l4lb/core/pkt.h"

const uint8_t verdict_kinds[VERDICT_N] = { [VERDICT_NONE] = VERDICT_KIND_NONE,
#define V(id, kind, help) [id] = VERDICT_KIND_##kind,
                                           VERDICTS(V)
#undef V
};

static const struct {
        const char *name, *help;
} verdict_text[VERDICT_N] = { [VERDICT_NONE] = { "NONE", "not decided" },
#define V(id, kind, help) [id] = { #id, help },
                              VERDICTS(V)
#undef V
};

const char *verdict_name(enum l4_verdict v)
{
        BUG_ON(v >= VERDICT_N);
        return verdict_text[v].name;
}

const char *verdict_help(enum l4_verdict v)
{
        BUG_ON(v >= VERDICT_N);
        return verdict_text[v].help;
}

void verdicts_count(struct verdict_counters *c, const struct pkt *p, size_t n)
{
        uint64_t in = 0, out = 0;
        for (size_t i = 0; i < n; i++) {
                metric_add(&c->packets[p[i].verdict], 1);
                in += p[i].rx_len;
                if (verdict_kind(p[i].verdict) == VERDICT_KIND_TX)
                        out += p[i].wire_len;
        }
        metric_add(&c->received, n);
        metric_add(&c->received_bytes, in);
        metric_add(&c->sent_bytes, out);
}

uint64_t verdicts_sum(const struct verdict_counters *c)
{
        uint64_t sum = 0;
        for (size_t v = 0; v < VERDICT_N; v++)
                sum += metric_get(&c->packets[v]);
        return sum;
}
