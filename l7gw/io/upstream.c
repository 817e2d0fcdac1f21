/* l7gw/io/upstream.c - see upstream.h. */
#include "lib/base.h"
#include "l7gw/io/upstream_priv.h"
#include "l7gw/core/retry.h"
#include "l7gw/io/replay.h"
#include "l7gw/io/socket.h"

#include <unistd.h>

#define IN_MAX (L7_SCRATCH_BYTES + 131072u)

static void up_event(struct loop_fd *f, unsigned events);
static void up_run(struct loop_defer *d);
static void up_timer(struct timer *t, uint64_t now_ms);
static void up_failed(struct upconn *u, enum reason r);

/* ---- peers and life ---- */

static_assert(sizeof(struct peer_key) == sizeof(struct bind_key) + TLS_UPSTREAM_KEY_BYTES, "a key has no holes");

static struct peer *peer_get(struct worker *w, const struct gen_cluster *c, const struct balance_endpoint *e)
{
        struct peer_key key = {.addr = bind_key_of(&e->addr, e->port)};
        if (c->tls)
                memcpy(key.tls, c->tls->key, sizeof key.tls);
        struct peer *p = map_get(&w->peers, SPAN((const uint8_t *)&key, sizeof key));
        if (p)
                return p;
        p = calloc(1, sizeof *p);
        if (!p)
                return NULL;
        p->key = key;
        p->addr = e->addr;
        p->port = e->port;
        p->waiters_end = &p->waiters;
        if (map_put(&w->peers, SPAN((const uint8_t *)&p->key, sizeof p->key), p) < 0) {
                free(p);
                return NULL;
        }
        return p;
}

static void peer_put(struct worker *w, struct peer *p)
{
        if (p->n_conns > 0 || p->n_waiters > 0)
                return;
        map_del(&w->peers, SPAN((const uint8_t *)&p->key, sizeof p->key));
        free(p);
}

static void idle_remove(struct upconn *u)
{
        *u->idle_pprev = u->idle_next;
        if (u->idle_next)
                u->idle_next->idle_pprev = u->idle_pprev;
        u->peer->n_idle--;
}

static void up_close(struct upconn *u)
{
        struct worker *w = u->w;
        if (u->state == UP_DEAD)
                return;
        if (u->state == UP_IDLE) {
                idle_remove(u);
                up_goodbye(u);
        }
        if (u->state == UP_CONNECTING)
                u->peer->n_connecting--;
        u->state = UP_DEAD;
        timer_stop(&u->timer);
        loop_defer_cancel(&u->defer);
        if (u->f.fd >= 0) {
                int fd = u->f.fd;
                loop_del(&u->f);
                close(fd);
        }
        chain_clear(&u->out);
        buf_fini(&u->in);
        *u->pprev = u->next;
        if (u->next)
                u->next->pprev = u->pprev;
        u->peer->n_conns--;
        peer_put(w, u->peer);
        u->next = w->ups_dead; /* callers up the stack may still hold u: freed at the end of the turn */
        w->ups_dead = u;
        worker_reap_later(w);
}

void upstreams_reap(struct worker *w)
{
        while (w->ups_dead) {
                struct upconn *u = w->ups_dead;
                w->ups_dead = u->next;
                tls_free(u->tls);
                free(u);
        }
}

void upstreams_close_all(struct worker *w)
{
        while (w->ups) {
                BUG_ON(w->ups->x);
                up_close(w->ups);
        }
        void *p;
        for (size_t i = 0; map_next(&w->peers, &i, NULL, &p);) /* those no connection was ever made to */
                free(p);
}

static void attach(struct exchange *x, struct upconn *u)
{
        x->up = u;
        u->x = x;
        u->sent = u->received = u->body_taken = 0;
        x->tries++;
        metric_add(&x->cluster->rt->counters[x->w->id].active, 1);
}

static void detach(struct exchange *x)
{
        struct upconn *u = x->up;
        if (x->up_start_us)
                x->up_us = worker_mono_us(x->w) - x->up_start_us;
        metric_add(&x->cluster->rt->counters[x->w->id].active, (uint64_t)-1);
        x->up = NULL;
        u->x = NULL;
        timer_stop(&u->timer);
}

static void wait_add(struct peer *p, struct exchange *x)
{
        x->wait_peer = p;
        x->wait_since_ms = loop_now_ms(x->w->loop);
        x->wait_next = NULL;
        x->wait_pprev = p->waiters_end;
        *p->waiters_end = x;
        p->waiters_end = &x->wait_next;
        p->n_waiters++;
}

static void wait_remove(struct exchange *x)
{
        struct peer *p = x->wait_peer;
        *x->wait_pprev = x->wait_next;
        if (x->wait_next)
                x->wait_next->wait_pprev = x->wait_pprev;
        else
                p->waiters_end = x->wait_pprev;
        x->wait_peer = NULL;
        p->n_waiters--;
        peer_put(x->w, p);
}

void upstream_detach(struct exchange *x)
{
        struct upconn *u = x->up;
        if (x->wait_peer)
                wait_remove(x);
        if (!u)
                return;
        detach(x);
        up_close(u); /* its response would belong to nobody */
}

/* ---- choosing and connecting ---- */

/* An idle connection of the peer, or NULL.  What cannot be replayed gets one whose socket was looked at just now. */
static struct upconn *idle_take(struct peer *p, const struct stream *s)
{
        bool look = !method_is_idempotent(s->req.method) || !s->req_done || s->req_bytes > 0;
        while (p->idle) {
                struct upconn *u = p->idle;
                if (look && !up_is_quiet(u)) {
                        if (p->n_conns == 1) { /* p dies with it */
                                up_close(u);
                                return NULL;
                        }
                        up_close(u);
                        continue;
                }
                idle_remove(u);
                timer_stop(&u->timer);
                u->state = UP_ACTIVE;
                u->reused = true;
                return u;
        }
        return NULL;
}

/* 0 or -errno. */
static int connect_start(struct worker *w, struct peer *p, const struct tls_upstream *tls, uint32_t timeout_ms)
{
        struct upconn *u = calloc(1, sizeof *u);
        if (!u)
                return -ENOMEM;
        *u = (struct upconn){.w = w,
                             .peer = p,
                             .state = UP_CONNECTING,
                             .f.fd = -1,
                             .defer.fn = up_run,
                             .next = w->ups,
                             .start_ms = loop_now_ms(w->loop)};
        timer_init(&u->timer, up_timer);
        chain_init(&u->out, &w->chunks);
        buf_init(&u->in, IN_MAX);
        if (u->next)
                u->next->pprev = &u->next;
        u->pprev = &w->ups;
        w->ups = u;
        p->n_conns++;
        p->n_connecting++;
        worker_count(w, WORKER_UPSTREAM_CONNECTS);
        int r = tls ? tls_upstream_open(tls, &w->chunks, &u->tls) : 0;
        int fd = r < 0 ? r : socket_connect(&p->addr, p->port);
        r = fd < 0 ? fd : loop_add(w->loop, &u->f, fd, up_event);
        if (r < 0) {
                if (fd >= 0)
                        close(fd);
                worker_count(w, WORKER_UPSTREAM_CONNECT_FAILURES);
                up_close(u);
                return r;
        }
        timer_set(loop_timers(w->loop), &u->timer, u->start_ms + timeout_ms);
        return 0;
}

/* As many connections under way as requests wait, up to the limit.  0: at least one is; else why none could be begun. */
static int connect_more(struct exchange *x, struct peer *p)
{
        uint32_t ms = x->cluster->model->connect_timeout_ms;
        int r = 0;
        while (r == 0 && p->n_connecting < MIN(p->n_waiters, (size_t)L7_CONNECTS_PER_PEER))
                r = connect_start(x->w, p, x->cluster->tls, ms ? ms : x->w->options->connect_ms);
        return p->n_connecting > 0 ? 0 : r;
}

/* This process has run out of something; no endpoint is to blame, and another one would not help. */
static bool is_ours(int r)
{
        return r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM || r == -ENOSPC;
}

/* The endpoint x wanted cannot be connected: x may go on elsewhere. */
static void avoid(struct exchange *x, enum reason r)
{
        struct balance *b = &x->cluster->set->balance[x->w->id];
        struct balance_endpoint *e = balance_find(b, &x->up_addr, x->up_port);
        if (e)
                e->avoid_until_ms = loop_now_ms(x->w->loop) + L7_AVOID_MS;
        x->up_reason = r;
        x->tries++;
        x->tried[x->n_tried++] = (struct balance_tried){x->up_addr, x->up_port};
}

static void up_send_request(struct upconn *u);

void upstream_begin(struct exchange *x)
{
        struct worker *w = x->w;
        if (x->s.state != STREAM_CONNECT)
                stream_set(&x->s, STREAM_CONNECT);
        x->up_start_us = worker_mono_us(w);
        while (x->n_tried < L7_TRIES) {
                struct balance *b = x->cluster->set ? &x->cluster->set->balance[w->id] : NULL;
                /* the session's endpoint, unless this very request has found it dead */
                struct balance_endpoint *e = b && x->d.session && x->n_tried == 0 ? balance_by_token(b, x->d.session) : NULL;
                if (b && !e)
                        e = balance_pick(b, loop_now_ms(w->loop), x->tried, x->n_tried);
                if (!e && x->prefer_other) { /* there is no other */
                        x->prefer_other = false;
                        x->n_tried = 0;
                        continue;
                }
                if (!e)
                        break;
                x->d.endpoint = e->token;
                x->up_addr = e->addr;
                x->up_port = e->port;
                struct peer *p = peer_get(w, x->cluster, e);
                struct upconn *u = p && !x->no_reuse ? idle_take(p, &x->s) : NULL;
                if (u) {
                        attach(x, u);
                        up_send_request(u);
                        return;
                }
                int r = -ENOMEM;
                p = peer_get(w, x->cluster, e); /* taking from the pool may have ended it */
                if (p) {
                        wait_add(p, x);
                        r = connect_more(x, p);
                        if (r == 0)
                                return;
                        wait_remove(x);
                }
                if (is_ours(r)) {
                        proxy_fail(x, REASON_OVERLOAD);
                        return;
                }
                avoid(x, REASON_CONNECT_FAILED);
        }
        if (x->n_tried == 0)
                proxy_fail(x, REASON_NO_ENDPOINT);
        else
                replay_failed(x, x->up_reason, true);
}

/* A usable connection goes to whoever waits longest; one that must not have a used connection waits for a new one. */
static bool waiter_serve(struct upconn *u)
{
        for (struct exchange *x = u->peer->waiters; x; x = x->wait_next) {
                if (x->no_reuse && u->n_requests > 0)
                        continue;
                wait_remove(x); /* the peer stays: it has u */
                u->state = UP_ACTIVE;
                u->reused = u->n_requests > 0;
                attach(x, u);
                up_send_request(u);
                return true;
        }
        return false;
}

/* Those who wait since until_ms or before go elsewhere; for the others connections must be under way. */
static void waiters_move(struct peer *p, uint64_t until_ms, enum reason r)
{
        while (p->waiters) {
                struct exchange *x = p->waiters;
                int e = x->wait_since_ms <= until_ms ? -ECONNREFUSED : connect_more(x, p);
                if (e == 0)
                        return;
                wait_remove(x);
                if (is_ours(e)) {
                        proxy_fail(x, REASON_OVERLOAD);
                        continue;
                }
                avoid(x, r);
                upstream_begin(x);
        }
}

/* Connecting failed.  A refusal holds for all who wait there; a timeout only for those who waited all that time. */
static void connect_failed(struct upconn *u, enum reason r)
{
        struct worker *w = u->w;
        struct peer *p = u->peer;
        uint64_t until_ms = r == REASON_CONNECT_TIMEOUT ? u->start_ms : UINT64_MAX;
        worker_count(w, WORKER_UPSTREAM_CONNECT_FAILURES);
        p->n_conns++; /* held: the waiters below may be all that keeps it */
        up_close(u);
        waiters_move(p, until_ms, r);
        p->n_conns--;
        peer_put(w, p);
}

/* ---- request ---- */

static void body_forward(struct upconn *u)
{
        struct stream *s = &u->x->s;
        u->body_taken += s->req_body.n;
        while (s->req_body.n > 0) { /* at most buffer_bytes: copied once, framed where needed */
                struct span d = chain_front(&s->req_body);
                replay_keep(u->x, d);
                h1_client_data(&u->h, d, &u->out);
                chain_consume(&s->req_body, d.n);
        }
}

static void up_send_request(struct upconn *u)
{
        struct exchange *x = u->x;
        struct stream *s = &x->s;
        uint32_t try_ms = x->d.rule->model->try_timeout_ms;
        stream_set(s, STREAM_SEND);
        if (u->n_requests++ > 0)
                worker_count(u->w, WORKER_UPSTREAM_REUSES);
        h1_client_request(&u->h, s, &u->w->head, &u->out);
        if (s->req.upgrade.n == 0)
                body_forward(u);
        if (s->req_done || s->req.upgrade.n)
                h1_client_end(&u->h, s, &u->w->head, &u->out);
        else if (x->expect && s->req_bytes == 0 && !s->continued) {
                struct msg go = {.status = 100, .minor = 1};
                s->continued = true;
                s->down->interim(s, &go);
        }
        if (try_ms)
                timer_set(loop_timers(u->w->loop), &u->timer, loop_now_ms(u->w->loop) + try_ms);
        else
                timer_stop(&u->timer);
        loop_defer(u->w->loop, &u->defer);
}

size_t upstream_queued(const struct upconn *u)
{
        return u->out.n;
}

void upstream_data(struct upconn *u, struct span d)
{
        if (u->send_failed) {
                u->x->s.down->drained(&u->x->s,
                                      d.n); /* the endpoint stopped reading: its answer, if any, is on the way */
                return;
        }
        u->body_taken += d.n;
        replay_keep(u->x, d);
        h1_client_data(&u->h, d, &u->out);
        loop_defer(u->w->loop, &u->defer);
}

void upstream_request_end(struct upconn *u)
{
        if (u->send_failed)
                return;
        if (u->x->s.req.upgrade.n)
                u->fin = u->x->s.tunnel;
        else
                h1_client_end(&u->h, &u->x->s, &u->w->head, &u->out);
        loop_defer(u->w->loop, &u->defer);
}

void upstream_resume(struct upconn *u)
{
        loop_defer(u->w->loop, &u->defer);
}

static void up_flush(struct upconn *u)
{
        size_t before = u->out.n;
        ssize_t n = up_send(u);
        if (n < 0) { /* it may have answered before it closed: reading decides */
                u->send_failed = true;
                u->readable = u->hup = true;
                chain_clear(&u->out);
        } else {
                u->sent += (uint64_t)n;
        }
        if (u->fin && u->out.n == 0) {
                u->fin = false;
                if (u->tls)
                        up_goodbye(u);
                else
                        (void)shutdown(u->f.fd, SHUT_WR); /* fails when the endpoint is gone: reading tells */
        }
        if (u->x && u->out.n < before) {
                proxy_progress(u->x);
                proxy_drained(u->x);
        }
}

/* ---- response ---- */

static void body_forward(struct upconn *u);

static int response_head(struct stream *s)
{
        struct upconn *u = CONTAINER_OF(s, struct exchange, s)->up;
        int r = proxy_response_head(s);
        if (r == 0 && s->tunnel && u->x) { /* what the client has said already, and no deadline of a try any more */
                timer_stop(&u->timer);
                body_forward(u);
                u->fin = s->req_done;
                loop_defer(u->w->loop, &u->defer);
        }
        return r;
}

static const struct h1_client_ops client_ops = {.interim = proxy_interim, .head = response_head};

/* A connection without a request: to a waiter, or into the pool. */
static void to_pool(struct upconn *u, uint32_t keep_ms)
{
        struct worker *w = u->w;
        struct peer *p = u->peer;
        if (waiter_serve(u))
                return;
        if (p->n_idle >= L7_UPSTREAM_IDLE_PER_PEER || w->drain != DRAIN_NONE) {
                up_close(u);
                return;
        }
        u->state = UP_IDLE;
        u->idle_next = p->idle;
        if (u->idle_next)
                u->idle_next->idle_pprev = &u->idle_next;
        u->idle_pprev = &p->idle;
        p->idle = u;
        p->n_idle++;
        timer_set(loop_timers(w->loop), &u->timer, loop_now_ms(w->loop) + keep_ms);
}

static void response_complete(struct upconn *u, size_t left_over)
{
        struct exchange *x = u->x;
        uint32_t max = x->cluster->model->max_requests_per_connection, keep_s = x->cluster->model->keepalive_s;
        uint32_t keep_ms = u->w->options->upstream_idle_ms;
        bool keep = u->h.reusable && x->s.req_done && u->out.n == 0 && !u->send_failed && left_over == 0 && !u->hup &&
                    (max == 0 || u->n_requests < max) &&
                    (!u->tls || (u->tls->wire.n == 0 && !tls_pending(u->tls))) &&
                    (!u->readable || up_is_quiet(u)); /* its edge has been told: nobody would notice what lies there */
        if (keep_s)
                keep_ms = (uint32_t)MIN((uint64_t)keep_ms, keep_s * 1000ull);
        detach(x);
        if (keep)
                to_pool(u, keep_ms);
        else
                up_close(u);
        proxy_response_end(x);
}

/* Feeds response bytes; false when the exchange is over or must wait for room. */
static bool up_feed(struct upconn *u, struct span in)
{
        struct exchange *x = u->x;
        bool stored = u->in.n > 0;
        size_t used = 0;
        if (stored && in.n > 0)
                buf_add(&u->in, in.p, in.n);
        struct span all = stored ? buf_span(&u->in) : in;
        if (u->in.failed) {
                up_failed(u, REASON_OVERLOAD);
                return false;
        }
        enum h1_client_rc rc = h1_client_input(&u->h, &x->s, &client_ops, all, &used);
        size_t left = all.n - used;
        if (stored)
                buf_consume(&u->in, used);
        else if (left > 0)
                buf_add(&u->in, all.p + used, left);
        if (u->in.n == 0)
                buf_fini(&u->in);
        switch (rc) {
        case H1C_MORE:
                return true;
        case H1C_WINDOW:
                x->s.resp_waits = true;
                return false;
        case H1C_DONE:
                response_complete(u, left);
                return false;
        case H1C_BAD:
                up_failed(u, REASON_UPSTREAM_BAD);
                return false;
        case H1C_NO_MEMORY:
                up_failed(u, REASON_OVERLOAD);
                return false;
        case H1C_AGAIN:
                detach(x);
                up_close(u);
                replay_again(x);
                return false;
        }
        return false;
}

static void up_eof(struct upconn *u)
{
        struct exchange *x = u->x;
        if (h1_client_eof(&u->h) == H1C_DONE) {
                response_complete(u, 0);
                return;
        }
        up_failed(u, x->s.resp_head ? REASON_UPSTREAM_TRUNCATED : REASON_UPSTREAM_RESET);
}

/* The try failed after it was connected.  A pooled connection that the endpoint closed while we were sending is retried
 * once on a fresh one, when nothing came back and nothing is lost by sending again (requirement 43). */
static void up_failed(struct upconn *u, enum reason r)
{
        struct exchange *x = u->x;
        struct stream *s = &x->s;
        bool replayable = u->body_taken == 0 && (u->sent == 0 || method_is_idempotent(s->req.method));
        bool again = u->reused && u->received == 0 && !x->no_reuse && replayable && r == REASON_UPSTREAM_RESET &&
                     !x->replay.policy; /* a policy counts every try */
        bool unsent = u->sent == 0 && u->body_taken == 0;
        detach(x);
        up_close(u);
        if (!again) {
                replay_failed(x, r, unsent);
                return;
        }
        x->no_reuse = true;
        worker_count(x->w, WORKER_UPSTREAM_RETRIES);
        upstream_begin(x);
}

static void up_read(struct upconn *u)
{
        struct worker *w = u->w;
        if (u->in.n > 0 && u->h.head && u->x && u->x->s.down->room(&u->x->s) > 0 && !up_feed(u, SPAN_NULL))
                return;
        for (unsigned reads = 0; u->x && u->state == UP_ACTIVE && up_has_input(u); reads++) {
                struct stream *s = &u->x->s;
                if (reads == L7_READS_PER_RUN) {
                        loop_defer(w->loop, &u->defer);
                        return;
                }
                size_t room = u->h.head ? s->down->room(s) : L7_SCRATCH_BYTES / 2;
                if (room == 0 || (u->in.n > 0 && u->h.head)) {
                        s->resp_waits = true;
                        return;
                }
                s->resp_waits = false;
                size_t want = MIN(MAX(room, (size_t)4096), (size_t)L7_SCRATCH_BYTES);
                const uint8_t *bytes;
                ssize_t n = up_recv(u, want, &bytes);
                if (n < 0 && errno == EAGAIN) {
                        u->readable = false;
                        if (u->send_failed) /* it refuses our bytes and says nothing */
                                up_failed(u, REASON_UPSTREAM_RESET);
                        return;
                }
                if (n < 0) { /* a reset ends nothing orderly, not even a close-delimited body */
                        up_failed(u, s->resp_head ? REASON_UPSTREAM_TRUNCATED : REASON_UPSTREAM_RESET);
                        return;
                }
                if (n == 0) {
                        u->readable = false;
                        u->hup = true;
                        up_eof(u);
                        return;
                }
                if (u->sent == 0) { /* an answer to nothing: it belongs to no request (requirement 18) */
                        up_failed(u, u->reused ? REASON_UPSTREAM_RESET : REASON_UPSTREAM_BAD);
                        return;
                }
                u->received += (uint64_t)n;
                proxy_progress(u->x);
                if (!up_feed(u, SPAN(bytes, (size_t)n)))
                        return;
        }
}

/* ---- events ---- */

static void connected(struct upconn *u)
{
        struct worker *w = u->w;
        struct peer *p = u->peer;
        p->n_connecting--;
        p->n_conns++; /* held */
        u->state = UP_ACTIVE;
        timer_stop(&u->timer);
        to_pool(u, w->options->upstream_idle_ms);
        waiters_move(p, 0, REASON_CONNECT_FAILED); /* beyond the limit of connects: the next ones begin */
        p->n_conns--;
        peer_put(w, p);
}

static void up_connecting(struct upconn *u, unsigned events)
{
        bool begun = u->tls && !SSL_in_before(u->tls->ssl);
        if (!begun) {
                if (!(events & (LOOP_WRITE | LOOP_HUP)))
                        return;
                if (socket_error(u->f.fd) != 0) {
                        connect_failed(u, REASON_CONNECT_FAILED);
                        return;
                }
                if (u->readable && !up_is_quiet(u)) { /* it speaks before it is asked, or has closed already */
                        connect_failed(u, u->hup ? REASON_UPSTREAM_RESET : REASON_UPSTREAM_BAD);
                        return;
                }
        }
        enum tls_rc rc = u->tls ? up_handshake(u) : TLS_OK;
        if (rc == TLS_OK)
                connected(u);
        else if (rc != TLS_MORE)
                connect_failed(u, REASON_UPSTREAM_TLS);
}

static void up_event(struct loop_fd *f, unsigned events)
{
        struct upconn *u = CONTAINER_OF(f, struct upconn, f);
        if (events & LOOP_WRITE)
                u->writable = true;
        if (events & LOOP_READ)
                u->readable = true;
        if (events & LOOP_HUP)
                u->hup = true;
        switch (u->state) {
        case UP_CONNECTING:
                up_connecting(u, events);
                return;
        case UP_ACTIVE:
                if (u->readable)
                        up_read(u);
                if (u->state == UP_ACTIVE)
                        loop_defer(u->w->loop, &u->defer);
                return;
        case UP_IDLE:
                if ((events & (LOOP_READ | LOOP_HUP)) && !(u->tls && up_is_idle(u)))
                        up_close(u); /* closed by the endpoint, or a response nobody asked for (requirement 18) */
                return;
        case UP_DEAD:
                return;
        }
}

static void up_run(struct loop_defer *d)
{
        struct upconn *u = CONTAINER_OF(d, struct upconn, defer);
        if (u->state != UP_ACTIVE || !u->x)
                return;
        if (u->out.failed) {
                up_failed(u, REASON_OVERLOAD);
                return;
        }
        up_flush(u);
        if (up_has_input(u) || u->in.n > 0)
                up_read(u);
}

static void up_timer(struct timer *t, uint64_t now_ms)
{
        struct upconn *u = CONTAINER_OF(t, struct upconn, timer);
        (void)now_ms;
        switch (u->state) {
        case UP_CONNECTING:
                connect_failed(u, REASON_CONNECT_TIMEOUT);
                return;
        case UP_ACTIVE:
                up_failed(u, REASON_UPSTREAM_TIMEOUT);
                return;
        case UP_IDLE:
                up_close(u);
                return;
        case UP_DEAD:
                return;
        }
}
