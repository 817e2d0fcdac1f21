/* image/core/gate.c - see gate.h. */
#include "lib/base.h"
#include "image/core/gate.h"

#include <stdarg.h>

PRINTF(4, 5) static void add(struct gate *g, const char *name, enum gate_result result, const char *fmt, ...)
{
        BUG_ON(g->n == GATE_CHECKS_MAX);
        struct gate_check *c = &g->v[g->n++];
        *c = (struct gate_check){.result = result};
        snprintf(c->name, sizeof c->name, "%s", name);
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(c->detail, sizeof c->detail, fmt, ap);
        va_end(ap);
}

static void judge_daemon(const struct gate_facts *f, const struct gate_daemon *d, struct gate *g)
{
        if (!d->answers)
                add(g, d->name, GATE_BAD, "does not answer: %s", d->error);
        else if (*d->hash)
                add(g, d->name, GATE_GOOD, "serves %.12s", d->hash);
        else if (d->stored)
                add(g, d->name, GATE_BAD, "serves nothing, although it has a last known good configuration");
        else if (f->expected.serving)
                add(g, d->name, GATE_BAD, "serves nothing; the image before did");
        else
                add(g, d->name, GATE_WAIT, "serves nothing: no word from the agent yet");
}

static void judge_l4(const struct gate_facts *f, struct gate *g)
{
        judge_daemon(f, &f->l4, g);
        if (!f->l4.answers)
                return;
        if (f->ports_gone)
                add(g, "ports", GATE_BAD, "%u of %u are gone", f->ports_gone, f->ports);
        else
                add(g, "ports", GATE_GOOD, "%u", f->ports);
        if (f->next_hops_known < f->next_hops)
                add(g, "next hops", f->expected.next_hops ? GATE_BAD : GATE_WAIT, "%u of %u answer", f->next_hops_known,
                    f->next_hops);
        else
                add(g, "next hops", GATE_GOOD, "%u answer", f->next_hops_known);
        if (f->packet.good < f->packet.asked)
                add(g, "packet", f->packet.good + f->packet.waiting < f->packet.asked ? GATE_BAD : GATE_WAIT,
                    "%u of %u reach a shard: %s", f->packet.good, f->packet.asked, f->packet.error);
        else if (*f->l4.hash)
                add(g, "packet", GATE_GOOD, "%u of %u reach a shard", f->packet.good, f->packet.asked);
}

static void judge_shard(const struct gate_facts *f, const struct gate_shard *s, struct gate *g)
{
        char name[GATE_NAME_MAX];
        judge_daemon(f, &s->d, g);
        if (!s->d.answers || !*s->d.hash)
                return;
        snprintf(name, sizeof name, "%.40s listeners", s->d.name);
        add(g, name, s->bound < s->listeners ? GATE_BAD : GATE_GOOD, "%u of %u bound", s->bound, s->listeners);
        snprintf(name, sizeof name, "%.40s request", s->d.name);
        if (s->request.good < s->request.asked)
                add(g, name, GATE_BAD, "%u of %u answered: %s", s->request.good, s->request.asked, s->request.error);
        else
                add(g, name, GATE_GOOD, "%u of %u answered", s->request.good, s->request.asked);
}

/* Shards of one pool serve the same. */
static void judge_agreement(const struct gate_facts *f, struct gate *g)
{
        for (size_t i = 1; i < f->n_shards; i++)
                for (size_t k = 0; k < i; k++) {
                        const struct gate_daemon *a = &f->shards[i].d, *b = &f->shards[k].d;
                        if (a->answers && b->answers && strcmp(a->pool, b->pool) == 0 &&
                            strcmp(a->hash, b->hash) != 0) {
                                add(g, "configuration", GATE_WAIT, "%.40s and %.40s serve different ones", a->name,
                                    b->name);
                                return;
                        }
                }
        add(g, "configuration", GATE_GOOD, "applied");
}

void gate_judge(const struct gate_facts *f, struct gate *g)
{
        g->n = 0;
        if (strcmp(f->fault, "health") == 0)
                add(g, "fault", GATE_BAD, "the kernel's command line asks for a failure");
        add(g, "data", f->data ? GATE_GOOD : GATE_BAD,
            f->data ? "mounted" : "the data partition is not mounted, or cannot be written");
        if (f->system)
                add(g, "system", GATE_GOOD, "answers");
        else
                add(g, "system", GATE_BAD, "does not answer: %s", f->system_error);
        if (f->locked) /* on trial: the image before may get at them */
                add(g, "secrets", GATE_BAD, "%s", f->locked_why);
        if (!f->configured) {
                add(g, "configuration", GATE_GOOD, "none yet: the console asks for one");
                return;
        }
        if (f->far)
                add(g, "agent", GATE_GOOD, "on another box");
        else if (f->locked)
                ; /* it cannot start */
        else if (f->agent)
                add(g, "agent", GATE_GOOD, "answers");
        else
                add(g, "agent", GATE_BAD, "does not answer: %s", f->agent_error);
        if (!f->far)
                judge_l4(f, g);
        for (size_t i = 0; i < f->n_shards; i++)
                judge_shard(f, &f->shards[i], g);
        judge_agreement(f, g);
}

enum gate_result gate_result(const struct gate *g, const struct gate_check **ret_first)
{
        enum gate_result worst = GATE_GOOD;
        for (size_t i = 0; i < g->n; i++)
                if (g->v[i].result > worst) {
                        worst = g->v[i].result;
                        if (ret_first)
                                *ret_first = &g->v[i];
                }
        return worst;
}

struct gate_expected gate_expect(const struct gate_facts *f)
{
        struct gate_expected e = {.serving = f->configured && (f->far || *f->l4.hash),
                                  .next_hops = f->configured && f->next_hops && f->next_hops_known == f->next_hops};
        for (size_t i = 0; i < f->n_shards; i++)
                e.serving &= *f->shards[i].d.hash != '\0';
        return e;
}
