/* l7gw/io/upstream_h2.c - connections to endpoints that carry many exchanges: HTTP/2 (core/h2_client).  See upstream.h.
 * Layer: l7gw/io; private to the upstream files.  Thread rule: the worker.
 *
 *   CONNECTING (TCP, TLS, the endpoint's SETTINGS) ──▶ MUX, in its peer's list ──▶ closed
 *
 * It takes requests once the endpoint's SETTINGS are here: then its limits are known, and that it speaks HTTP/2 at all.
 * Callbacks of the session never close a connection: mux_run does, at the end of the turn. */
#include "lib/base.h"
#include "l7gw/io/upstream_priv.h"
#include "l7gw/io/replay.h"

static struct exchange *exchange_of(struct stream *s)
{
        return CONTAINER_OF(s, struct exchange, s);
}

/* ---- one exchange ---- */

static void try_timer(struct timer *t, uint64_t now_ms)
{
        struct exchange *x = CONTAINER_OF(t, struct exchange, try_timer);
        struct upconn *u = x->up;
        (void)now_ms;
        h2_client_cancel(u->h2, &x->s);
        if (u->received_ms < x->try_since_ms)
                h2_client_goaway(u->h2); /* silent since then: it may be dead, new requests go elsewhere */
        up_detach(x);
        up_try_failed(x, REASON_UPSTREAM_TIMEOUT, (struct up_try){0});
}

/* x begins on u, which can take it.  false: not after all. */
static bool mux_send(struct upconn *u, struct exchange *x)
{
        struct stream *s = &x->s;
        uint32_t try_ms = x->d.rule->model->try_timeout_ms;
        int r = h2_client_request(u->h2, s);
        if (r == -EAGAIN)
                return false;
        up_attach(x, u);
        timer_stop(&u->timer);
        stream_set(s, STREAM_SEND);
        if (u->n_requests++ > 0)
                worker_count(u->w, WORKER_UPSTREAM_REUSES);
        if (r < 0) {
                up_detach(x);
                proxy_fail(x, REASON_OVERLOAD);
                return true;
        }
        up_continue(x);
        x->try_since_ms = loop_now_ms(u->w->loop);
        timer_init(&x->try_timer, try_timer);
        if (try_ms)
                timer_set(loop_timers(u->w->loop), &x->try_timer, x->try_since_ms + try_ms);
        return true;
}

static bool is_worn(const struct upconn *u, const struct exchange *x)
{
        uint32_t max = x->cluster->model->max_requests_per_connection;
        return max > 0 && u->n_requests >= max;
}

/* NOW: it is under way, or has failed for good.  Else: no connection of the peer takes it now. */
static bool mux_offer(struct upconn *u, struct exchange *x, enum h2_client_may *ret_may)
{
        *ret_may = h2_client_may(u->h2, &x->s);
        if (*ret_may == H2C_NOW && is_worn(u, x)) {
                h2_client_goaway(u->h2);
                loop_defer(u->w->loop, &u->defer);
                *ret_may = H2C_NEVER;
        }
        return *ret_may == H2C_NOW && mux_send(u, x);
}

bool mux_begin(struct peer *p, struct exchange *x)
{
        enum h2_client_may may = H2C_WAIT;
        for (struct upconn *u = p->muxes; u; u = u->idle_next) {
                if (mux_offer(u, x, &may))
                        return true;
                if (may == H2C_UNABLE) {
                        proxy_fail(x, REASON_UPSTREAM_BAD);
                        return true;
                }
        }
        return false;
}

/* Streams have become free, or the connection is new: those who wait longest go first. */
static void mux_serve(struct upconn *u)
{
        enum h2_client_may may = H2C_NOW;
        while (u->peer->waiters && (may == H2C_NOW || may == H2C_UNABLE)) {
                struct exchange *x = u->peer->waiters;
                may = h2_client_may(u->h2, &x->s);
                if (may != H2C_NOW && may != H2C_UNABLE)
                        return;
                up_wait_remove(x); /* the peer stays: it has u */
                if (may == H2C_UNABLE)
                        proxy_fail(x, REASON_UPSTREAM_BAD);
                else if (!mux_offer(u, x, &may))
                        upstream_begin(x);
        }
}

void mux_data(struct exchange *x, struct span d)
{
        chain_span(&x->s.req_body, d);
        h2_client_data(x->up->h2, &x->s);
}

void mux_cancel(struct exchange *x)
{
        struct upconn *u = x->up;
        h2_client_cancel(u->h2, &x->s);
        up_detach(x);
        loop_defer(u->w->loop, &u->defer);
}

/* ---- what the session tells ---- */

static int mux_head(struct stream *s)
{
        int r = proxy_response_head(s);
        if (r == 0 && s->tunnel)
                timer_stop(&exchange_of(s)->try_timer);
        return r;
}

static void mux_body(struct stream *s, struct span d)
{
        proxy_progress(exchange_of(s));
        s->down->data(s, d);
}

static void mux_sending(struct stream *s, size_t n)
{
        struct exchange *x = exchange_of(s);
        x->body_taken += n;
        struct span spans[16];
        size_t k = chain_spans(&s->req_body, spans, ARRAY_SIZE(spans));
        for (size_t i = 0; i < k && n > 0; i++) { /* a frame is 16 KiB: few chunks */
                spans[i].n = MIN(spans[i].n, n);
                replay_keep(x, spans[i]);
                n -= spans[i].n;
        }
        if (n > 0)
                replay_drop(x); /* in too many pieces to keep */
}

static void mux_sent(struct stream *s)
{
        proxy_progress(exchange_of(s));
        proxy_drained(exchange_of(s));
}

static void mux_over(struct stream *s, enum h2_client_end end, const char *why)
{
        struct exchange *x = exchange_of(s);
        struct upconn *u = x->up;
        struct up_try t = {.reused = u->n_requests > 1 || end == H2C_REFUSED, .silent = !s->resp_head, .unsent = end == H2C_REFUSED};
        (void)why;
        up_detach(x);
        loop_defer(u->w->loop, &u->defer);
        switch (end) {
        case H2C_DONE:
                proxy_response_end(x);
                return;
        case H2C_AGAIN:
                replay_again(x);
                return;
        case H2C_REFUSED:
        case H2C_RESET:
                up_try_failed(x, s->resp_head ? REASON_UPSTREAM_TRUNCATED : REASON_UPSTREAM_RESET, t);
                return;
        case H2C_BAD:
                up_try_failed(x, REASON_UPSTREAM_BAD, (struct up_try){0});
                return;
        case H2C_NO_MEMORY:
                up_try_failed(x, REASON_OVERLOAD, (struct up_try){0});
                return;
        }
}

static void mux_settings(void *conn)
{
        struct upconn *u = conn;
        u->settled = true; /* mux_run goes on: we are inside the session */
        loop_defer(u->w->loop, &u->defer);
}

static void mux_output(void *conn)
{
        struct upconn *u = conn;
        loop_defer(u->w->loop, &u->defer);
}

static const struct h2_client_ops mux_ops = {
        .interim = proxy_interim,
        .head = mux_head,
        .data = mux_body,
        .sending = mux_sending,
        .sent = mux_sent,
        .over = mux_over,
        .settings = mux_settings,
        .output = mux_output,
};

/* ---- the connection ---- */

void mux_unlink(struct upconn *u)
{
        *u->idle_pprev = u->idle_next;
        if (u->idle_next)
                u->idle_next->idle_pprev = u->idle_pprev;
}

int mux_open(struct upconn *u)
{
        const struct h2_client_conf conf = {.ops = &mux_ops,
                                            .conn = u,
                                            .out = &u->out,
                                            .buffer_bytes = u->w->options->buffer_bytes,
                                            .tls = u->tls != NULL};
        int r = h2_client_new(&conf, &u->h2);
        if (r == 0)
                loop_defer(u->w->loop, &u->defer);
        return r;
}

static void mux_settled(struct upconn *u)
{
        struct peer *p = u->peer;
        p->n_connecting--;
        p->n_conns++; /* held */
        u->state = UP_MUX;
        u->idle_next = p->muxes;
        if (u->idle_next)
                u->idle_next->idle_pprev = &u->idle_next;
        u->idle_pprev = &p->muxes;
        p->muxes = u;
        timer_stop(&u->timer);
        mux_serve(u);
        up_waiters_move(p, 0, REASON_CONNECT_FAILED);
        p->n_conns--;
        up_peer_put(u->w, p);
}

/* The connection is over: its exchanges fail, and may go on elsewhere. */
static void mux_fail(struct upconn *u, enum reason r)
{
        if (u->state == UP_CONNECTING) {
                up_connect_failed(u, r);
                return;
        }
        struct worker *w = u->w;
        struct peer *p = u->peer;
        p->n_conns++; /* held: what fails may begin again here */
        h2_client_gone(u->h2);
        up_close(u);
        p->n_conns--;
        up_peer_put(w, p);
}

static void mux_read(struct upconn *u)
{
        for (unsigned reads = 0; u->state != UP_DEAD && up_has_input(u); reads++) {
                const uint8_t *p;
                if (reads == L7_READS_PER_RUN) {
                        loop_defer(u->w->loop, &u->defer);
                        return;
                }
                ssize_t n = up_recv(u, L7_SCRATCH_BYTES, &p);
                if (n < 0 && errno == EAGAIN) {
                        u->readable = false;
                        if (u->send_failed)
                                mux_fail(u, REASON_UPSTREAM_RESET);
                        return;
                }
                if (n <= 0) {
                        u->readable = false;
                        mux_fail(u, REASON_UPSTREAM_RESET);
                        return;
                }
                u->received_ms = loop_now_ms(u->w->loop);
                if (h2_client_input(u->h2, SPAN(p, (size_t)n)) < 0) {
                        if (h2_client_output(u->h2, L7_WIRE_BYTES) == 0) /* our GOAWAY says why */
                                up_last_words(u);
                        mux_fail(u, REASON_UPSTREAM_BAD);
                        return;
                }
        }
}

/* Nothing to do for it: how long it is kept, or its end. */
static void mux_rest(struct upconn *u)
{
        struct worker *w = u->w;
        if (h2_client_streams(u->h2) > 0)
                return;
        if (h2_client_leaving(u->h2) || w->drain != DRAIN_NONE) {
                mux_fail(u, REASON_UPSTREAM_RESET);
                return;
        }
        if (!timer_armed(&u->timer))
                timer_set(loop_timers(w->loop), &u->timer, loop_now_ms(w->loop) + up_keep_ms(u));
}

void mux_run(struct upconn *u)
{
        mux_read(u);
        if (u->state == UP_DEAD)
                return;
        if (u->settled && u->state == UP_CONNECTING)
                mux_settled(u);
        else if (u->state == UP_MUX)
                mux_serve(u);
        int r = h2_client_output(u->h2, 2 * (size_t)u->w->options->buffer_bytes);
        if (r < 0 || u->out.failed) {
                mux_fail(u, u->out.failed ? REASON_OVERLOAD : REASON_UPSTREAM_BAD);
                return;
        }
        up_queue(u);
        if (u->state == UP_MUX && (up_unsent(u) == 0 || !u->writable)) /* else when that has gone */
                mux_rest(u);
}

void mux_timer(struct upconn *u) /* idle for long */
{
        h2_client_goaway(u->h2);
        loop_defer(u->w->loop, &u->defer);
}
