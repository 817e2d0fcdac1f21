/* l7gw/io/tunnel.c - see tunnel.h. */
#include "lib/base.h"
#include "l7gw/io/tunnel.h"
#include "l7gw/core/hash_policy.h"
#include "l7gw/io/conn_priv.h"
#include "l7gw/io/socket.h"
#include "l7gw/io/tls_upstream.h"
#include "l7gw/io/upstream.h"

#include <sys/socket.h>
#include <unistd.h>

struct side {
        struct loop_fd f;
        struct tls *tls;   /* NULL: the bytes are passed as they are */
        struct chain out;  /* waiting for this side's socket */
        struct pipe *pipe; /* what waits behind out */
        bool readable, writable, hup;
        bool bulk;         /* it sends a lot at a time: by splice, if both sides are plain */
        bool eof;          /* it will say no more */
        bool fin, fin_sent; /* it is to be told that the other side will say no more; it has been */
};
struct tunnel {
        struct worker *w;
        struct tunnel *next, **pprev;
        struct loop_defer defer;
        struct timer timer;
        struct side down, up;
        bool connected, dead;
        struct worker_gen *wg; /* until connected: the cluster is its */
        const struct gen_cluster *cluster;
        struct balance_tried tried[L7_TRIES];
        unsigned n_tried;
        struct proxy_addrs client;
        struct breaker *breaker; /* a reference, if its cluster has limits: it counts as a connection there */
        uint64_t hash; /* of the client's address, where the cluster asks for it */
};

static void up_event(struct loop_fd *f, unsigned events);

/* ---- life ---- */

static void side_close(struct side *s, bool reset)
{
        if (s->f.fd < 0)
                return;
        int fd = s->f.fd;
        if (reset)
                socket_reset_on_close(fd);
        loop_del(&s->f);
        close(fd);
        s->f.fd = -1;
        chain_clear(&s->out);
}

static size_t side_unsent(const struct side *s)
{
        return s->out.n + (s->pipe ? s->pipe->n : 0);
}

/* reset: the end is no orderly one, and both sides shall see that. */
static void tunnel_close(struct tunnel *t, bool reset)
{
        struct worker *w = t->w;
        if (t->dead)
                return;
        t->dead = true;
        timer_stop(&t->timer);
        loop_defer_cancel(&t->defer);
        side_close(&t->down, reset);
        side_close(&t->up, reset);
        pipe_drop(&w->pipes, &t->down.pipe);
        pipe_drop(&w->pipes, &t->up.pipe);
        chain_clear(&t->up.out);
        if (t->breaker) {
                breaker_give(t->breaker, BREAKER_CONNECTIONS);
                breaker_put(TAKE_PTR(t->breaker));
        }
        if (t->wg)
                worker_gen_put(w, t->wg);
        t->wg = NULL;
        *t->pprev = t->next;
        if (t->next)
                t->next->pprev = t->pprev;
        t->next = w->tunnels_dead; /* callers up the stack may still hold t */
        w->tunnels_dead = t;
        worker_reap_later(w);
        worker_conn_gone(w);
}

void tunnels_reap(struct worker *w)
{
        while (w->tunnels_dead) {
                struct tunnel *t = w->tunnels_dead;
                w->tunnels_dead = t->next;
                tls_free(t->down.tls);
                tls_free(t->up.tls);
                free(t);
        }
}

void tunnels_close_all(struct worker *w)
{
        while (w->tunnels)
                tunnel_close(w->tunnels, true);
}

/* ---- bytes ---- */

static struct tls_socket socket_of(struct tunnel *t, struct side *s)
{
        return (struct tls_socket){.fd = s->f.fd, .readable = &s->readable, .writable = &s->writable, .hup = s->hup, .scratch = t->w->rd};
}

static ssize_t side_recv(struct tunnel *t, struct side *s, size_t want, const uint8_t **ret_p)
{
        struct worker *w = t->w;
        ssize_t n;
        if (s->tls) {
                struct tls_socket ts = socket_of(t, s);
                *ret_p = w->plain;
                return tls_recv(s->tls, &ts, w->plain, want);
        }
        do
                n = recv(s->f.fd, w->rd, want, 0);
        while (n < 0 && errno == EINTR);
        if ((n >= 0 && (size_t)n < want && !s->hup) || (n < 0 && errno == EAGAIN))
                s->readable = false;
        *ret_p = w->rd;
        return n;
}

static bool side_has_input(const struct side *s)
{
        return s->readable || (s->tls && tls_pending(s->tls));
}

/* From socket to socket: as recv(). */
static ssize_t side_pass(struct tunnel *t, struct side *from, struct side *to)
{
        ssize_t n = pipe_fill(&t->w->pipes, from->f.fd, L7_PIPE_BYTES, &to->pipe);
        from->bulk = n >= L7_SPLICE_BYTES / 2;
        if (n == -EAGAIN)
                from->readable = false;
        if (n >= 0)
                return n;
        errno = (int)-n;
        return -1;
}

/* Reads from one side what the other has room for.  1: something moved, 0: nothing, -1: the side is broken. */
static int side_pump(struct tunnel *t, struct side *from, struct side *to)
{
        size_t cap = t->w->options->buffer_bytes;
        if (from->eof || to->pipe || to->out.n >= cap || !side_has_input(from))
                return 0;
        const uint8_t *p = NULL;
        bool pass = from->bulk && !from->tls && !to->tls && to->out.n == 0;
        ssize_t n = pass ? side_pass(t, from, to) : -1;
        if (!pass || (n < 0 && errno == ENOBUFS)) { /* another error is told only once */
                n = side_recv(t, from, MIN(cap - to->out.n, (size_t)L7_SCRATCH_BYTES), &p);
                from->bulk = n >= L7_SPLICE_BYTES / 2;
        }
        if (n > 0 && p)
                chain_add(&to->out, p, (size_t)n);
        if (n == 0)
                from->eof = to->fin = true;
        if (n < 0)
                return errno == EAGAIN ? 0 : -1;
        return to->out.failed ? -1 : 1;
}

/* 1: something was sent, 0: nothing, -1: the side is gone. */
static int side_flush(struct tunnel *t, struct side *s)
{
        struct tls_socket ts = socket_of(t, s);
        ssize_t n = s->tls ? tls_send(s->tls, &ts, &s->out) : socket_send(s->f.fd, &s->out, &s->writable);
        if (n < 0)
                return -1;
        if (s->pipe && s->out.n == 0 && s->writable) {
                size_t before = s->pipe->n;
                if (pipe_drain(&t->w->pipes, &s->pipe, s->f.fd) < 0)
                        return -1;
                size_t went = before - (s->pipe ? s->pipe->n : 0);
                s->writable = !s->pipe;
                metric_add(&t->w->counters.v[WORKER_SPLICED_BYTES], went);
                n += (ssize_t)went;
        }
        if (!s->fin || s->fin_sent || side_unsent(s) > 0)
                return n > 0;
        if (s->tls) {
                tls_close_notify(s->tls);
                if (socket_send(s->f.fd, &s->tls->wire, &s->writable) < 0)
                        return -1;
                if (s->tls->wire.n > 0)
                        return 1; /* the socket is full: its next edge comes back here */
        }
        (void)shutdown(s->f.fd, SHUT_WR); /* fails when the peer is gone: reading tells */
        s->fin_sent = true;
        return 1;
}

static void tunnel_run(struct loop_defer *d)
{
        struct tunnel *t = CONTAINER_OF(d, struct tunnel, defer);
        bool moved = false;
        for (unsigned round = 0; round < L7_READS_PER_RUN; round++) {
                int a = side_pump(t, &t->down, &t->up), b = t->connected ? side_pump(t, &t->up, &t->down) : 0;
                int c = t->connected ? side_flush(t, &t->up) : 0, e = side_flush(t, &t->down);
                if (a < 0 || b < 0 || c < 0 || e < 0) {
                        tunnel_close(t, true);
                        return;
                }
                if (t->down.fin_sent && t->up.fin_sent) {
                        tunnel_close(t, false);
                        return;
                }
                if (!(a || b || c || e)) {
                        if (moved && t->connected)
                                timer_set(loop_timers(t->w->loop), &t->timer, loop_now_ms(t->w->loop) + t->w->options->tunnel_idle_ms);
                        return;
                }
                moved = true;
        }
        loop_defer(t->w->loop, &t->defer); /* others wait too */
}

/* ---- connecting ---- */

/* The PROXY header, into what is sent first. */
static void header_add(const struct tunnel *t, struct chain *to)
{
        Model__ProxyProtocol mode = t->cluster->model->proxy_protocol;
        uint8_t header[PROXY_WRITE_MAX];
        if (mode != MODEL__PROXY_PROTOCOL__PROXY_OFF)
                chain_add(to, header, proxy_header_write(mode == MODEL__PROXY_PROTOCOL__PROXY_V1 ? 1 : 2, &t->client, header));
}

/* The one tried last. */
static void endpoint_avoid(struct tunnel *t)
{
        const struct balance_tried *last = &t->tried[t->n_tried - 1];
        struct balance_state *s = balance_state_of(&t->cluster->rt->balance[t->w->id], &last->addr, last->port);
        if (s)
                s->avoid_until_ms = loop_now_ms(t->w->loop) + L7_AVOID_MS;
        upstream_result(t->w, t->cluster, &last->addr, last->port, BALANCE_LOCAL);
}

/* One more connection to this cluster?  A tunnel never shares one and never waits. */
static bool admitted(struct tunnel *t)
{
        const Model__Breaker *m = t->cluster->model->breaker;
        if (!m)
                return true;
        if (!breaker_take(t->cluster->rt->breaker, BREAKER_CONNECTIONS, m->max_connections))
                return false;
        t->breaker = breaker_get(t->cluster->rt->breaker);
        return true;
}

/* Until one is under way; when all have failed the client learns it by a reset. */
static void connect_next(struct tunnel *t)
{
        struct worker *w = t->w;
        while (t->n_tried < L7_TRIES) {
                struct balance *b = &t->cluster->rt->balance[w->id];
                const struct balance_ask ask = {.now_ms = loop_now_ms(w->loop), .rnd = worker_random(w), .hash = t->hash, .tried = t->tried, .n_tried = t->n_tried};
                const struct balance_endpoint *e = balance_pick(b, &ask);
                if (!e)
                        break;
                t->tried[t->n_tried++] = (struct balance_tried){e->addr, e->port};
                worker_count(w, WORKER_UPSTREAM_CONNECTS);
                tls_free(t->up.tls);
                t->up.tls = NULL;
                int r = t->cluster->tls ? tls_upstream_open(t->cluster->tls, &w->chunks, &t->up.tls) : 0;
                if (t->up.tls)
                        header_add(t, &t->up.tls->wire); /* before TLS, and in clear */
                int fd = r < 0 ? r : socket_connect(&e->addr, e->port);
                if (fd >= 0 && loop_add(w->loop, &t->up.f, fd, up_event) == 0) {
                        uint32_t ms = t->cluster->model->connect_timeout_ms;
                        t->up.readable = t->up.writable = t->up.hup = false;
                        timer_set(loop_timers(w->loop), &t->timer, loop_now_ms(w->loop) + (ms ? ms : w->options->connect_ms));
                        return;
                }
                if (fd >= 0)
                        close(fd);
                t->up.f.fd = -1;
                worker_count(w, WORKER_UPSTREAM_CONNECT_FAILURES);
                endpoint_avoid(t);
        }
        tunnel_close(t, true);
}

static void connect_failed(struct tunnel *t)
{
        struct worker *w = t->w;
        endpoint_avoid(t);
        worker_count(w, WORKER_UPSTREAM_CONNECT_FAILURES);
        int fd = t->up.f.fd;
        loop_del(&t->up.f);
        close(fd);
        t->up.f.fd = -1; /* what waits for the endpoint stays in up.out */
        connect_next(t);
}

static void connecting(struct tunnel *t, unsigned events)
{
        struct worker *w = t->w;
        bool begun = t->up.tls && !SSL_in_before(t->up.tls->ssl);
        if (!begun && !(events & (LOOP_WRITE | LOOP_HUP)))
                return;
        if (!begun && socket_error(t->up.f.fd) != 0) {
                connect_failed(t);
                return;
        }
        if (t->up.tls) {
                struct tls_socket s = socket_of(t, &t->up);
                enum tls_rc rc = tls_handshake_socket(t->up.tls, &s);
                if (rc == TLS_MORE)
                        return;
                worker_count(w, rc == TLS_OK ? WORKER_UPSTREAM_TLS_HANDSHAKES : WORKER_UPSTREAM_TLS_FAILURES);
                if (rc != TLS_OK) {
                        connect_failed(t);
                        return;
                }
        }
        const struct balance_tried *it = &t->tried[t->n_tried - 1];
        upstream_result(w, t->cluster, &it->addr, it->port, BALANCE_OK);
        t->connected = true;
        t->cluster = NULL;
        worker_gen_put(w, TAKE_PTR(t->wg));
        timer_set(loop_timers(w->loop), &t->timer, loop_now_ms(w->loop) + w->options->tunnel_idle_ms);
        loop_defer(w->loop, &t->defer);
}

/* ---- events ---- */

static void side_event(struct side *s, unsigned events)
{
        s->writable |= (events & LOOP_WRITE) != 0;
        s->readable |= (events & LOOP_READ) != 0;
        s->hup |= (events & LOOP_HUP) != 0;
}

static void down_event(struct loop_fd *f, unsigned events)
{
        struct tunnel *t = CONTAINER_OF(f, struct tunnel, down.f);
        side_event(&t->down, events);
        loop_defer(t->w->loop, &t->defer);
}

static void up_event(struct loop_fd *f, unsigned events)
{
        struct tunnel *t = CONTAINER_OF(f, struct tunnel, up.f);
        side_event(&t->up, events);
        if (!t->connected)
                connecting(t, events);
        else
                loop_defer(t->w->loop, &t->defer);
}

static void tunnel_timer(struct timer *timer, uint64_t now_ms)
{
        struct tunnel *t = CONTAINER_OF(timer, struct tunnel, timer);
        (void)now_ms;
        if (t->connected)
                tunnel_close(t, true);
        else
                connect_failed(t);
}

void tunnel_open(struct conn *c, const struct route_listener *rl, struct span raw)
{
        struct worker *w = c->w;
        const struct route_rule *rule = route_stream_find(rl, conn_sni(c));
        const struct route_leg *leg = rule ? route_pick_leg(rule, worker_spread(w)) : NULL;
        struct tunnel *t = leg && leg->cluster ? calloc(1, sizeof *t) : NULL;
        if (!t) { /* nobody to speak to: the client sees the end before any byte of an answer */
                conn_close(c);
                return;
        }
        *t = (struct tunnel){.w = w, .next = w->tunnels, .defer.fn = tunnel_run, .up.f.fd = -1, .down.f.fd = -1};
        timer_init(&t->timer, tunnel_timer);
        chain_init(&t->down.out, &w->chunks);
        chain_init(&t->up.out, &w->chunks);
        if (t->next)
                t->next->pprev = &t->next;
        t->pprev = &w->tunnels;
        w->tunnels = t;
        t->wg = worker_gen_get(w);
        t->cluster = &t->wg->gen->clusters[leg->cluster_index];
        t->client = conn_proxy_addrs(c);
        t->hash = hash_policy_of(t->cluster->model->hash, NULL, SPAN_NULL, span_str(c->peer_text));
        if (!t->cluster->tls)
                header_add(t, &t->up.out);
        chain_span(&t->up.out, raw);
        if (c->tls->established) {
                t->down.tls = TAKE_PTR(c->tls);
                if (t->down.tls->in.n > 0)
                        buf_add(&t->down.tls->sealed, t->down.tls->in.p, t->down.tls->in.n);
                t->down.tls->in = SPAN_NULL;
        }
        int fd = conn_release(c);
        t->down.readable = t->down.writable = true; /* told before: looking costs one call */
        worker_count(w, WORKER_TUNNELS);
        if (loop_add(w->loop, &t->down.f, fd, down_event) < 0 || t->up.out.failed || !admitted(t)) {
                if (t->down.f.fd < 0)
                        close(fd);
                tunnel_close(t, true);
                return;
        }
        connect_next(t);
        if (!t->dead)
                loop_defer(w->loop, &t->defer);
}
