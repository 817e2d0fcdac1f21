/* l4lb/io/grace.h - things to do once no worker can still look at what was unpublished.  Layer: l4lb/io.
 * Thread rule: control thread.  Order: first in, first out. */
#pragma once
#include "lib/base.h"

struct rte_rcu_qsbr;
typedef void grace_fn(void *arg, void *object);
struct grace_item;
struct grace {
        struct rte_rcu_qsbr *qs; /* borrowed */
        struct grace_item *head, **tail;
};
void grace_init(struct grace *g, struct rte_rcu_qsbr *qs) NONNULL(1, 2);
/* Calls fn(arg, object) after every worker has passed a quiescent state from now on. */
void grace_defer(struct grace *g, grace_fn *fn, void *arg, void *object) NONNULL(1, 2);
/* Runs what is over; true while something still waits. */
bool grace_run(struct grace *g) NONNULL(1);
/* Runs everything: the workers have stopped. */
void grace_fini(struct grace *g) NONNULL(1);
