/* l4lb/io/grace.c - see grace.h. */
#include "lib/base.h"
#include "l4lb/io/grace.h"

#include <rte_rcu_qsbr.h>

struct grace_item {
        struct grace_item *next;
        uint64_t token;
        grace_fn *fn;
        void *arg, *object;
};

void grace_init(struct grace *g, struct rte_rcu_qsbr *qs)
{
        *g = (struct grace){.qs = qs};
        g->tail = &g->head;
}

void grace_defer(struct grace *g, grace_fn *fn, void *arg, void *object)
{
        struct grace_item *i = malloc(sizeof *i);
        if (!i) { /* rare, and correct: wait here, then do it now (what waits already goes first) */
                rte_rcu_qsbr_synchronize(g->qs, RTE_QSBR_THRID_INVALID);
                (void)grace_run(g);
                fn(arg, object);
                return;
        }
        *i = (struct grace_item){.token = rte_rcu_qsbr_start(g->qs), .fn = fn, .arg = arg, .object = object};
        *g->tail = i;
        g->tail = &i->next;
}

static void item_take(struct grace *g)
{
        struct grace_item *i = g->head;
        g->head = i->next;
        if (!g->head)
                g->tail = &g->head;
        i->fn(i->arg, i->object); /* may defer more */
        free(i);
}

bool grace_run(struct grace *g)
{
        while (g->head && rte_rcu_qsbr_check(g->qs, g->head->token, false) == 1)
                item_take(g);
        return g->head != NULL;
}

void grace_fini(struct grace *g)
{
        while (g->head)
                item_take(g);
}
