/* l7gw/core/breaker.c - see breaker.h.  Relaxed throughout: the numbers order nothing else. */
#include "lib/base.h"
#include "l7gw/core/breaker.h"

struct breaker *breaker_new(void)
{
        struct breaker *b = aligned_alloc(64, sizeof *b);
        if (!b)
                return NULL;
        atomic_init(&b->refs, 1);
        for (unsigned g = 0; g < BREAKER_GATE_N; g++)
                atomic_init(&b->taken[g], 0);
        return b;
}

struct breaker *breaker_get(struct breaker *b)
{
        atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
        return b;
}

void breaker_put(struct breaker *b)
{
        /* acq_rel: what others did to it happened before it is freed */
        if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
                free(b);
}

uint32_t breaker_max(const Model__Breaker *m, enum breaker_gate g)
{
        switch (g) {
        case BREAKER_CONNECTIONS:
                return m->max_connections;
        case BREAKER_PENDING:
                return m->max_pending;
        case BREAKER_REQUESTS:
                return m->max_requests;
        case BREAKER_RETRIES:
                return m->max_retries;
        case BREAKER_GATE_N:
                break;
        }
        BUG_ON(true);
}

bool breaker_take(struct breaker *b, enum breaker_gate g, uint32_t max)
{
        unsigned before = atomic_fetch_add_explicit(&b->taken[g], 1, memory_order_relaxed);
        if (max == 0 || before < max)
                return true;
        atomic_fetch_sub_explicit(&b->taken[g], 1, memory_order_relaxed);
        return false;
}

void breaker_give(struct breaker *b, enum breaker_gate g)
{
        unsigned before = atomic_fetch_sub_explicit(&b->taken[g], 1, memory_order_relaxed);
        BUG_ON(before == 0);
}
