/* l7gw/io/upstream_pick.c - which endpoint an exchange goes to, and what is known of endpoints by how that went.  See
 * upstream_priv.h.  Layer: l7gw/io; private to the upstream files.  Thread rule: the worker. */
#include "lib/base.h"
#include "l7gw/io/upstream_priv.h"

static struct balance *balance_of(const struct exchange *x)
{
        return &x->cluster->rt->balance[x->w->id];
}

/* x is no request of its endpoint any more. */
void up_discharge(struct exchange *x)
{
        struct balance_state *s = x->charged ? balance_state_of(balance_of(x), &x->up_addr, x->up_port) : NULL;
        x->charged = false;
        if (s && s->active > 0) /* it may have left and come back meanwhile */
                s->active--;
}

static void charge(struct exchange *x, const struct balance_endpoint *e)
{
        up_discharge(x);
        x->d.endpoint = e->token;
        x->up_addr = e->addr;
        x->up_port = e->port;
        struct balance_state *s = balance_state_of(balance_of(x), &e->addr, e->port);
        x->charged = s != NULL;
        if (s)
                s->active++;
}

const struct balance_endpoint *up_pick(struct exchange *x)
{
        struct worker *w = x->w;
        struct balance *b = balance_of(x);
        const struct balance_ask ask = {.now_ms = loop_now_ms(w->loop), .rnd = worker_random(w), .hash = x->d.hash, .tried = x->tried, .n_tried = x->n_tried};
        /* the session's endpoint, unless this very request has found it dead */
        const struct balance_endpoint *e = x->d.session && x->n_tried == 0 ? balance_by_token(b, x->d.session) : NULL;
        if (!e)
                e = balance_pick(b, &ask);
        if (e)
                charge(x, e);
        return e;
}

void upstream_result(struct worker *w, const struct gen_cluster *c, const struct ipaddr *addr, uint16_t port, enum balance_result r)
{
        const Model__Outlier *o = c->model->outlier;
        struct balance_state *s = o ? balance_state_of(&c->rt->balance[w->id], addr, port) : NULL;
        if (!s || !balance_streak(s, r, o))
                return;
        struct streak_mail *m = malloc(sizeof *m);
        if (!m)
                return; /* the next streak will tell */
        *m = (struct streak_mail){.mail.fn = w->shared->streak, .cluster = c->rt, .addr = *addr, .port = port, .what = r};
        mailbox_post(&w->shared->control_mail, w->shared->control_loop, &m->mail);
}

void up_result(struct exchange *x, enum balance_result r)
{
        upstream_result(x->w, x->cluster, &x->up_addr, x->up_port, r);
}

void upstream_answered(struct exchange *x, unsigned status)
{
        up_result(x, status < 500 ? BALANCE_OK : status == 502 || status == 503 || status == 504 ? BALANCE_GATEWAY : BALANCE_ERROR);
}

void upstream_overdue(struct exchange *x)
{
        if (x->up && !x->s.resp_head)
                up_result(x, BALANCE_LOCAL);
}

void up_avoid(struct exchange *x, enum reason r)
{
        struct balance_state *s = balance_state_of(balance_of(x), &x->up_addr, x->up_port);
        if (s)
                s->avoid_until_ms = loop_now_ms(x->w->loop) + L7_AVOID_MS;
        up_result(x, BALANCE_LOCAL);
        up_discharge(x);
        x->up_reason = r;
        x->tries++;
        x->tried[x->n_tried++] = (struct balance_tried){x->up_addr, x->up_port};
}
