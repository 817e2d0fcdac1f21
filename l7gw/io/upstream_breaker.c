/* l7gw/io/upstream_breaker.c - limits of a cluster: who may come in, wait, connect, try again.  See upstream_priv.h and
 * core/breaker.  Layer: l7gw/io; private to the upstream files.  Thread rule: the worker.
 *
 *   request ─▶ REQUESTS ─▶ an idle connection, or PENDING ─▶ CONNECTIONS ─▶ ... ─▶ RETRIES, when it is tried again
 *               503            503, or 503 after queue_timeout     waits                  the answer passes as it is */
#include "lib/base.h"
#include "l7gw/io/upstream_priv.h"

bool upstream_admit(struct exchange *x, enum breaker_gate g)
{
        const Model__Breaker *m = x->cluster->model->breaker;
        uint8_t bit = (uint8_t)(1u << g);
        if (!m || (x->gates & bit))
                return true;
        if (!breaker_take(x->cluster->rt->breaker, g, breaker_max(m, g)))
                return false;
        x->gates |= bit;
        return true;
}

void up_leave(struct exchange *x, enum breaker_gate g)
{
        uint8_t bit = (uint8_t)(1u << g);
        if (!(x->gates & bit))
                return;
        x->gates &= (uint8_t)~bit;
        breaker_give(x->cluster->rt->breaker, g);
}

void upstream_release(struct exchange *x)
{
        for (unsigned g = 0; x->gates && g < BREAKER_GATE_N; g++)
                up_leave(x, (enum breaker_gate)g);
}

/* ---- connections ---- */

bool up_connection_take(const struct exchange *x, const struct peer *p)
{
        const Model__Breaker *m = x->cluster->model->breaker;
        bool always = p->n_live == 0 || x->no_reuse; /* ... which needs one that nobody has used */
        return !m || breaker_take(x->cluster->rt->breaker, BREAKER_CONNECTIONS, always ? 0 : m->max_connections);
}

struct breaker *up_connection_taken(const struct exchange *x)
{
        return x->cluster->model->breaker ? breaker_get(x->cluster->rt->breaker) : NULL;
}

void up_connection_gone(struct breaker *b)
{
        if (!b)
                return;
        breaker_give(b, BREAKER_CONNECTIONS);
        breaker_put(b);
}

/* ---- waiting ---- */

static void on_queue_timer(struct timer *t, uint64_t now_ms)
{
        (void)now_ms;
        proxy_fail(CONTAINER_OF(t, struct exchange, try_timer), REASON_QUEUE_TIMEOUT);
}

void up_queue_begin(struct exchange *x)
{
        const Model__Breaker *m = x->cluster->model->breaker;
        if (!m || !m->queue_timeout_ms)
                return;
        timer_init(&x->try_timer, on_queue_timer); /* it has no try while it waits */
        timer_set(loop_timers(x->w->loop), &x->try_timer, loop_now_ms(x->w->loop) + m->queue_timeout_ms);
}

void up_queue_end(struct exchange *x)
{
        timer_stop(&x->try_timer);
        up_leave(x, BREAKER_PENDING);
}
