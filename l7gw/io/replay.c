/* l7gw/io/replay.c - see replay.h. */
#include "lib/base.h"
#include "l7gw/io/replay.h"
#include "l7gw/core/retry.h"
#include "l7gw/io/upstream.h"

static void replay_timer(struct timer *t, uint64_t now_ms)
{
        struct exchange *x = CONTAINER_OF(t, struct exchange, replay.timer);
        (void)now_ms;
        x->n_tried = 0;
        if (x->up_port) { /* another endpoint, if there is one */
                x->tried[x->n_tried++] = (struct balance_tried){x->up_addr, x->up_port};
                x->prefer_other = true;
        }
        x->no_reuse = x->replay.fresh;
        proxy_progress(x);
        upstream_begin(x);
}

void replay_begin(struct exchange *x)
{
        struct replay *p = &x->replay;
        p->policy = x->d.rule->model->retry;
        p->lost = !p->policy;
        if (p->policy)
                retry_budget_request(&x->cluster->rt->counters[x->w->id].retry, p->policy, loop_now_ms(x->w->loop));
}

void replay_keep(struct exchange *x, struct span d)
{
        struct replay *p = &x->replay;
        if (p->lost)
                return;
        if (p->body.n + d.n > L7_REPLAY_BYTES || p->n >= p->policy->attempts) {
                replay_drop(x);
                return;
        }
        chain_span(&p->body, d);
        if (p->body.failed)
                replay_drop(x);
}

void replay_drop(struct exchange *x)
{
        x->replay.lost = true;
        chain_clear(&x->replay.body);
        timer_stop(&x->replay.timer);
}

/* Room in policy, deadline and budget for one more; reserves it. */
static bool may_again(struct exchange *x)
{
        struct replay *p = &x->replay;
        uint64_t now = loop_now_ms(x->w->loop);
        if (p->lost || p->n >= p->policy->attempts)
                return false;
        p->delay_ms = retry_delay_ms(p->policy, p->n, worker_random(x->w));
        if (x->total_deadline_ms && now + p->delay_ms >= x->total_deadline_ms)
                return false;
        if (!upstream_admit(x, BREAKER_RETRIES)) {
                worker_count(x->w, WORKER_RETRIES_REFUSED);
                return false;
        }
        if (!retry_budget_take(&x->cluster->rt->counters[x->w->id].retry, p->policy, now)) {
                worker_count(x->w, WORKER_RETRIES_REFUSED);
                return false;
        }
        return true;
}

void replay_again(struct exchange *x)
{
        struct replay *p = &x->replay;
        struct stream *s = &x->s;
        p->n++;
        worker_count(x->w, WORKER_RETRIES);
        chain_move(&p->body, &s->req_body, s->req_body.n); /* what was sent stands before what was not */
        struct chain t = s->req_body;
        s->req_body = p->body;
        p->body = t;
        if (s->state != STREAM_CONNECT)
                stream_set(s, STREAM_CONNECT);
        timer_set(loop_timers(x->w->loop), &p->timer, loop_now_ms(x->w->loop) + p->delay_ms);
        proxy_progress(x);
}

void replay_failed(struct exchange *x, enum reason r, bool nothing_sent)
{
        struct replay *p = &x->replay;
        bool again = p->policy && !x->s.resp_head &&
                     retry_on_failure(p->policy, r, nothing_sent || method_is_idempotent(x->s.req.method)) && may_again(x);
        p->fresh = r == REASON_UPSTREAM_RESET; /* the pool may hold more that the endpoint has closed */
        if (again)
                replay_again(x);
        else
                proxy_fail(x, p->n > 0 && r == REASON_UPSTREAM_RESET ? REASON_RETRIES_SPENT : r);
}

bool replay_wants(struct exchange *x, unsigned status)
{
        return x->replay.policy && retry_on_status(x->replay.policy, status) && may_again(x);
}

void replay_init(struct exchange *x)
{
        chain_init(&x->replay.body, &x->w->chunks);
        timer_init(&x->replay.timer, replay_timer);
}
