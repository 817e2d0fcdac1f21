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
static const struct sendop_kind up_sends;

/* ---- peers and life ---- */

static_assert(sizeof(struct peer_key) == 3 * sizeof(struct bind_key) + TLS_UPSTREAM_KEY_BYTES + 3 + 8, "a key has no holes");

static struct span peer_key_span(const struct peer_key *k)
{
        return SPAN((const uint8_t *)k, k->own ? sizeof *k : offsetof(struct peer_key, own));
}

/* The PROXY header of connections for x, and its part of the key; a copy for a mirror speaks for nobody. */
static size_t peer_header(const struct exchange *x, struct peer_key *key, uint8_t ret[PROXY_WRITE_MAX])
{
        Model__ProxyProtocol mode = x->cluster->model->proxy_protocol;
        if (mode == MODEL__PROXY_PROTOCOL__PROXY_OFF)
                return 0;
        struct proxy_addrs a = x->conn ? conn_proxy_addrs(x->conn) : (struct proxy_addrs){.known = false};
        key->own = 1;
        key->proxy_version = mode == MODEL__PROXY_PROTOCOL__PROXY_V1 ? 1 : 2;
        if (a.known) {
                key->proxy_src = bind_key_of(&a.src, a.src_port);
                key->proxy_dst = bind_key_of(&a.dst, a.dst_port);
        }
        return proxy_header_write(key->proxy_version, &a, ret);
}

/* Who waits has no connection to wait for any more. */
static void peer_kick(struct loop_defer *d)
{
        struct peer *p = CONTAINER_OF(d, struct peer, kick);
        if (!p->waiters)
                return;
        struct worker *w = p->waiters->w;
        p->n_conns++; /* held */
        up_waiters_move(p, 0, REASON_CONNECT_FAILED);
        p->n_conns--;
        up_peer_put(w, p);
}

static struct peer *peer_get(const struct exchange *x, const struct balance_endpoint *e)
{
        struct worker *w = x->w;
        const struct gen_cluster *c = x->cluster;
        uint8_t header[PROXY_WRITE_MAX];
        struct peer_key key = {.addr = bind_key_of(&e->addr, e->port), .h2 = cluster_speaks_h2(c->model)};
        if (c->tls)
                memcpy(key.tls, c->tls->key, sizeof key.tls);
        size_t n_header = peer_header(x, &key, header);
        if (c->pool_id) {
                key.own = 1;
                memcpy(key.cluster, &c->pool_id, sizeof key.cluster);
        }
        struct peer *p = map_get(&w->peers, peer_key_span(&key));
        if (p)
                return p;
        p = calloc(1, sizeof *p + n_header);
        if (!p)
                return NULL;
        p->key = key;
        p->n_header = n_header;
        memcpy(p->header, header, n_header);
        p->addr = e->addr;
        p->port = e->port;
        p->waiters_end = &p->waiters;
        p->kick.fn = peer_kick;
        if (map_put(&w->peers, peer_key_span(&p->key), p) < 0) {
                free(p);
                return NULL;
        }
        return p;
}

void up_peer_put(struct worker *w, struct peer *p)
{
        if (p->n_conns > 0 || p->n_waiters > 0)
                return;
        map_del(&w->peers, peer_key_span(&p->key));
        loop_defer_cancel(&p->kick);
        free(p);
}

static void idle_remove(struct upconn *u)
{
        *u->idle_pprev = u->idle_next;
        if (u->idle_next)
                u->idle_next->idle_pprev = u->idle_pprev;
        u->peer->n_idle--;
}

void up_close(struct upconn *u)
{
        struct worker *w = u->w;
        if (u->state == UP_DEAD)
                return;
        if (u->state == UP_IDLE) {
                idle_remove(u);
                up_goodbye(u);
        }
        if (u->state == UP_MUX)
                mux_unlink(u);
        if (u->state == UP_CONNECTING)
                u->peer->n_connecting--;
        u->state = UP_DEAD;
        timer_stop(&u->timer);
        loop_defer_cancel(&u->defer);
        sendq_cancel(&w->sends, &u->send);
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
        u->peer->n_live--;
        up_connection_gone(TAKE_PTR(u->breaker));
        if (u->peer->waiters && u->peer->n_connecting == 0 && u->peer->waiters->cluster->model->breaker)
                loop_defer(w->loop, &u->peer->kick); /* they waited for this one, since no more were allowed */
        up_peer_put(w, u->peer);
        u->next = w->ups_dead; /* callers up the stack may still hold u: freed at the end of the turn */
        w->ups_dead = u;
        worker_reap_later(w);
}

void upstreams_reap(struct worker *w)
{
        while (w->ups_dead) {
                struct upconn *u = w->ups_dead;
                w->ups_dead = u->next;
                h2_client_free(u->h2);
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

void up_attach(struct exchange *x, struct upconn *u)
{
        x->up = u;
        x->body_taken = 0;
        if (!u->h2)
                u->x = x;
        u->sent = u->received = 0;
        x->tries++;
        metric_add(&x->cluster->rt->counters[x->w->id].active, 1);
}

void up_detach(struct exchange *x)
{
        struct upconn *u = x->up;
        if (x->up_start_us)
                x->up_us = worker_mono_us(x->w) - x->up_start_us;
        metric_add(&x->cluster->rt->counters[x->w->id].active, (uint64_t)-1);
        x->up = NULL;
        up_discharge(x);
        if (u->h2) {
                timer_stop(&x->try_timer);
                return;
        }
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
        up_queue_begin(x);
}

void up_wait_remove(struct exchange *x)
{
        struct peer *p = x->wait_peer;
        *x->wait_pprev = x->wait_next;
        if (x->wait_next)
                x->wait_next->wait_pprev = x->wait_pprev;
        else
                p->waiters_end = x->wait_pprev;
        x->wait_peer = NULL;
        p->n_waiters--;
        up_queue_end(x);
        up_peer_put(x->w, p);
}

void upstream_detach(struct exchange *x)
{
        struct upconn *u = x->up;
        if (x->wait_peer)
                up_wait_remove(x);
        up_discharge(x);
        if (!u)
                return;
        if (u->h2) {
                mux_cancel(x);
                return;
        }
        up_detach(x);
        up_close(u); /* its response would belong to nobody */
}

/* ---- choosing and connecting ---- */

/* An idle connection of the peer, or NULL.  up1_run looks at it before anything is sent on it. */
static struct upconn *idle_take(struct peer *p)
{
        struct upconn *u = p->idle;
        if (!u)
                return NULL;
        idle_remove(u);
        timer_stop(&u->timer);
        u->state = UP_ACTIVE;
        u->reused = true;
        return u;
}

/* Under up_connection_take.  0 or -errno. */
static int connect_start(const struct exchange *x, struct peer *p, uint32_t timeout_ms)
{
        struct worker *w = x->w;
        const struct tls_upstream *tls = x->cluster->tls;
        struct upconn *u = calloc(1, sizeof *u);
        if (!u) {
                up_connection_gone(up_connection_taken(x));
                return -ENOMEM;
        }
        *u = (struct upconn){.w = w,
                             .peer = p,
                             .state = UP_CONNECTING,
                             .f.fd = -1,
                             .defer.fn = up_run,
                             .send.kind = &up_sends,
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
        p->n_live++;
        p->n_connecting++;
        u->breaker = up_connection_taken(x);
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
        chain_add(u->tls ? &u->tls->wire : &u->out, p->header, p->n_header); /* before TLS, and in clear */
        timer_set(loop_timers(w->loop), &u->timer, u->start_ms + timeout_ms);
        return 0;
}

/* As many connections under way as the requests that wait can use, up to the limits.  0: at least one is, or those there are have
 * to do; else why none could be begun. */
static int connect_more(struct exchange *x, struct peer *p)
{
        uint32_t ms = x->cluster->model->connect_timeout_ms;
        size_t want = p->key.h2 ? (p->n_waiters + L7_H2_UPSTREAM_STREAMS - 1) / L7_H2_UPSTREAM_STREAMS : p->n_waiters;
        int r = 0;
        while (r == 0 && p->n_connecting < MIN(want, (size_t)L7_CONNECTS_PER_PEER) && up_connection_take(x, p))
                r = connect_start(x, p, ms ? ms : x->w->options->connect_ms);
        return p->n_connecting > 0 ? 0 : r;
}

/* This process has run out of something; no endpoint is to blame, and another one would not help. */
static bool is_ours(int r)
{
        return r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM || r == -ENOSPC;
}

void upstream_begin(struct exchange *x)
{
        struct worker *w = x->w;
        if (x->s.state != STREAM_CONNECT)
                stream_set(&x->s, STREAM_CONNECT);
        x->up_start_us = worker_mono_us(w);
        while (x->n_tried < L7_TRIES) {
                const struct balance_endpoint *e = up_pick(x);
                if (!e && x->prefer_other) { /* there is no other */
                        x->prefer_other = false;
                        x->n_tried = 0;
                        continue;
                }
                if (!e)
                        break;
                struct peer *p = peer_get(x, e);
                if (p && mux_begin(p, x))
                        return;
                struct upconn *u = p && !x->no_reuse ? idle_take(p) : NULL;
                if (u) {
                        up_attach(x, u);
                        up1_send(u);
                        return;
                }
                int r = -ENOMEM;
                if (p && !upstream_admit(x, BREAKER_PENDING)) {
                        up_peer_put(w, p);
                        proxy_fail(x, REASON_BREAKER_PENDING);
                        return;
                }
                if (p) {
                        wait_add(p, x);
                        r = connect_more(x, p);
                        if (r == 0)
                                return;
                        up_wait_remove(x);
                }
                if (is_ours(r)) {
                        proxy_fail(x, REASON_OVERLOAD);
                        return;
                }
                up_avoid(x, REASON_CONNECT_FAILED);
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
                up_wait_remove(x); /* the peer stays: it has u */
                u->state = UP_ACTIVE;
                u->reused = u->n_requests > 0;
                up_attach(x, u);
                up1_send(u);
                return true;
        }
        return false;
}

/* Those who wait since until_ms or before go elsewhere; for the others connections must be under way. */
void up_waiters_move(struct peer *p, uint64_t until_ms, enum reason r)
{
        while (p->waiters) {
                struct exchange *x = p->waiters;
                int e = x->wait_since_ms <= until_ms ? -ECONNREFUSED : connect_more(x, p);
                if (e == 0)
                        return;
                up_wait_remove(x);
                if (is_ours(e)) {
                        proxy_fail(x, REASON_OVERLOAD);
                        continue;
                }
                up_avoid(x, r);
                upstream_begin(x);
        }
}

/* Connecting failed.  A refusal holds for all who wait there; a timeout only for those who waited all that time. */
void up_connect_failed(struct upconn *u, enum reason r)
{
        struct worker *w = u->w;
        struct peer *p = u->peer;
        uint64_t until_ms = r == REASON_CONNECT_TIMEOUT ? u->start_ms : UINT64_MAX;
        worker_count(w, WORKER_UPSTREAM_CONNECT_FAILURES);
        p->n_conns++; /* held: the waiters below may be all that keeps it */
        up_close(u);
        up_waiters_move(p, until_ms, r);
        p->n_conns--;
        up_peer_put(w, p);
}

uint32_t up_keep_ms(const struct upconn *u)
{
        uint32_t ms = u->w->options->upstream_idle_ms;
        return u->peer->n_header ? MIN(ms, (uint32_t)L7_PROXY_IDLE_MS) : ms;
}

/* A connection without a request: to a waiter, or into the pool. */
void up_to_pool(struct upconn *u, uint32_t keep_ms)
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

/* ---- bytes ---- */

/* The client's half of a tunnel has ended, and all of it is sent. */
static void up_fin(struct upconn *u)
{
        u->fin = false;
        if (u->tls)
                up_goodbye(u);
        else
                (void)shutdown(u->f.fd, SHUT_WR); /* fails when the endpoint is gone: reading tells */
}

void up_queue(struct upconn *u)
{
        if (up_unsent(u) > 0 && u->writable)
                sendq_add(&u->w->sends, &u->send);
        else if (u->fin && up_unsent(u) == 0)
                up_fin(u);
}

static void up_sent(struct sendop *op, ssize_t n, bool full)
{
        struct upconn *u = CONTAINER_OF(op, struct upconn, send);
        u->writable &= !full;
        if (n < 0) { /* it may have answered before it closed: reading decides */
                u->send_failed = true;
                u->readable = u->hup = true;
                chain_clear(&u->out);
                if (u->tls)
                        chain_clear(&u->tls->wire);
        } else {
                u->sent += (uint64_t)n;
        }
        if (u->x && n != 0)
                proxy_progress(u->x);
        if (u->x && !(u->x->s.req_done && u->x->s.req_drained == u->x->s.req_bytes)) /* else nobody waits to be told */
                proxy_drained(u->x);
        if (u->state == UP_DEAD)
                return;
        if (n < 0 || u->h2 || (up_unsent(u) > 0 && u->writable))
                loop_defer(u->w->loop, &u->defer); /* HTTP/2: frames may wait behind the limit, and it may be at rest */
        else if (u->fin && up_unsent(u) == 0)
                up_fin(u);
}

static struct chain *up_about_to_send(struct sendop *op, int *ret_fd)
{
        struct upconn *u = CONTAINER_OF(op, struct upconn, send);
        if (u->x && !up1_let_go(u))
                return NULL;
        *ret_fd = u->f.fd;
        if (!u->tls)
                return &u->out;
        if (tls_seal(u->tls, &u->out) < 0) {
                up_sent(op, -EPIPE, false);
                return NULL;
        }
        return &u->tls->wire;
}

static const struct sendop_kind up_sends = {.ready = up_about_to_send, .sent = up_sent};

/* The endpoint is there: a client that waits for 100 before it sends its body may go on. */
void up_continue(struct exchange *x)
{
        struct stream *s = &x->s;
        struct msg go = {.status = 100, .minor = 1};
        if (s->req_done || !x->expect || s->req_bytes > 0 || s->continued)
                return;
        s->continued = true;
        s->down->interim(s, &go);
}

/* x has not been told to its connection, and never will be: that has closed, or says what nobody asked for (requirement 18).
 * This was no try. */
void up_abandon(struct exchange *x)
{
        struct upconn *u = x->up;
        up_detach(x);
        up_close(u);
        x->tries--;
        x->no_reuse = true;
        worker_count(x->w, WORKER_UPSTREAM_RETRIES);
        upstream_begin(x);
}

/* The try failed after it was connected.  On a connection that had served before and that the endpoint closed while we were
 * sending, it is sent once more, when nothing came back and nothing is lost by it (requirement 43). */
void up_try_failed(struct exchange *x, enum reason r, struct up_try t)
{
        bool replayable = x->body_taken == 0 && (t.unsent || method_is_idempotent(x->s.req.method));
        bool again = t.reused && t.silent && !x->no_reuse && replayable && r == REASON_UPSTREAM_RESET &&
                     !x->replay.policy; /* a policy counts every try */
        if (!again) {
                if (r != REASON_OVERLOAD && !t.unsent) /* neither ours, nor a polite refusal */
                        up_result(x, BALANCE_LOCAL);
                replay_failed(x, r, t.unsent);
                return;
        }
        x->no_reuse = true;
        worker_count(x->w, WORKER_UPSTREAM_RETRIES);
        upstream_begin(x);
}

/* ---- what the engine asks for: by the kind of connection ---- */

size_t upstream_queued(const struct exchange *x)
{
        return !x->up || x->up->h2 ? 0 : x->up->out.n; /* HTTP/2 takes from s.req_body when it sends */
}

void upstream_data(struct exchange *x, struct span d)
{
        if (x->up->h2)
                mux_data(x, d);
        else
                up1_data(x->up, d);
}

void upstream_request_end(struct exchange *x)
{
        if (x->up->h2)
                mux_data(x, SPAN_NULL);
        else
                up1_end(x->up);
}

void upstream_resume(struct exchange *x)
{
        if (x->up->h2)
                h2_client_resume(x->up->h2, &x->s);
        else
                loop_defer(x->w->loop, &x->up->defer);
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
        up_to_pool(u, up_keep_ms(u));
        up_waiters_move(p, 0, REASON_CONNECT_FAILED); /* beyond the limit of connects: the next ones begin */
        p->n_conns--;
        up_peer_put(w, p);
}

/* TCP and TLS stand.  An endpoint that was offered HTTP/2 by ALPN may have chosen HTTP/1.1. */
static void up_ready(struct upconn *u)
{
        if (!u->peer->key.h2 || (u->tls && !tls_is_h2(u->tls)))
                connected(u);
        else if (mux_open(u) < 0)
                up_connect_failed(u, REASON_OVERLOAD);
}

static void up_connecting(struct upconn *u, unsigned events)
{
        bool speaks_first = u->peer->key.h2 && !u->tls; /* its SETTINGS are no answer */
        bool begun = u->tls && !SSL_in_before(u->tls->ssl);
        if (!begun) {
                if (!(events & (LOOP_WRITE | LOOP_HUP)))
                        return;
                if (socket_error(u->f.fd) != 0) {
                        up_connect_failed(u, REASON_CONNECT_FAILED);
                        return;
                }
                if (u->readable && !speaks_first && !up_is_quiet(u)) { /* it speaks before it is asked, or has closed already */
                        up_connect_failed(u, u->hup ? REASON_UPSTREAM_RESET : REASON_UPSTREAM_BAD);
                        return;
                }
        }
        enum tls_rc rc = u->tls ? up_handshake(u) : TLS_OK;
        if (rc == TLS_OK)
                up_ready(u);
        else if (rc != TLS_MORE)
                up_connect_failed(u, REASON_UPSTREAM_TLS);
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
        if (u->h2 && u->state != UP_DEAD) {
                loop_defer(u->w->loop, &u->defer);
                return;
        }
        switch (u->state) {
        case UP_CONNECTING:
                up_connecting(u, events);
                return;
        case UP_ACTIVE:
                if (u->readable)
                        up1_read(u);
                if (u->state == UP_ACTIVE)
                        loop_defer(u->w->loop, &u->defer);
                return;
        case UP_IDLE:
                if ((events & (LOOP_READ | LOOP_HUP)) && !(u->tls && up_is_idle(u)))
                        up_close(u); /* closed by the endpoint, or a response nobody asked for (requirement 18) */
                return;
        case UP_MUX:
        case UP_DEAD:
                return;
        }
}

static void up_run(struct loop_defer *d)
{
        struct upconn *u = CONTAINER_OF(d, struct upconn, defer);
        if (u->h2 && u->state != UP_DEAD)
                mux_run(u);
        else if (u->state == UP_ACTIVE && u->x)
                up1_run(u);
}

static void up_timer(struct timer *t, uint64_t now_ms)
{
        struct upconn *u = CONTAINER_OF(t, struct upconn, timer);
        (void)now_ms;
        switch (u->state) {
        case UP_CONNECTING:
                up_connect_failed(u, REASON_CONNECT_TIMEOUT);
                return;
        case UP_ACTIVE:
                up1_timer(u);
                return;
        case UP_MUX:
                mux_timer(u);
                return;
        case UP_IDLE:
                up_close(u);
                return;
        case UP_DEAD:
                return;
        }
}
