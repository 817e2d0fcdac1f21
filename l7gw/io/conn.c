/* l7gw/io/conn.c - see conn.h. */
#include "lib/base.h"
#include "l7gw/io/conn_priv.h"
#include "l7gw/io/proxy.h"
#include "l7gw/io/socket.h"
#include "l7gw/io/tls_context.h"

#include <sys/socket.h>
#include <unistd.h>

#define IN_MAX (L7_SCRATCH_BYTES + 131072u) /* one read beyond the largest head */

static void conn_timer(struct timer *t, uint64_t now_ms);
static void conn_run(struct loop_defer *d);
static void conn_event(struct loop_fd *f, unsigned events);

/* ---- end of life ---- */

static void session_gone(struct conn *c)
{
        if (c->proto == CONN_H1)
                h1_server_gone(&c->h1);
        else if (c->proto == CONN_H2)
                h2_server_gone(c->h2);
}

/* The connection is over now: its streams are cancelled, its descriptor closed; memory goes at the end of the turn,
 * because callers up the stack still hold c. */
void conn_close(struct conn *c)
{
        struct worker *w = c->w;
        if (c->dead)
                return;
        c->dead = true;
        session_gone(c);
        pipe_drop(&w->pipes, &c->pipe);
        timer_stop(&c->timer);
        loop_defer_cancel(&c->defer);
        sendq_cancel(&w->sends, &c->send);
        int fd = c->f.fd;
        loop_del(&c->f);
        close(fd);
        *c->pprev = c->next;
        if (c->next)
                c->next->pprev = c->pprev;
        c->next = w->conns_dead;
        w->conns_dead = c;
        worker_reap_later(w);
        worker_conn_gone(w);
}

int conn_release(struct conn *c)
{
        struct worker *w = c->w;
        int fd = c->f.fd;
        c->dead = true;
        timer_stop(&c->timer);
        loop_defer_cancel(&c->defer);
        sendq_cancel(&w->sends, &c->send);
        loop_del(&c->f);
        *c->pprev = c->next;
        if (c->next)
                c->next->pprev = c->pprev;
        c->next = w->conns_dead;
        w->conns_dead = c;
        worker_reap_later(w);
        return fd;
}

void conns_reap(struct worker *w)
{
        while (w->conns_dead) {
                struct conn *c = w->conns_dead;
                w->conns_dead = c->next;
                loop_defer_cancel(&c->defer);
                if (c->proto == CONN_H1)
                        h1_server_fini(&c->h1);
                else if (c->proto == CONN_H2)
                        h2_server_free(c->h2);
                tls_free(c->tls);
                buf_fini(&c->in);
                buf_fini(&c->sealed);
                if (w->n_conns_free >= L7_CONNS_KEPT) {
                        free(c);
                        continue;
                }
                c->next = w->conns_free;
                w->conns_free = c;
                w->n_conns_free++;
        }
}

void conns_free_pools(struct worker *w)
{
        while (w->conns_free) {
                struct conn *c = w->conns_free;
                w->conns_free = c->next;
                free(c);
        }
        w->n_conns_free = 0;
}

void conns_close_all(struct worker *w)
{
        while (w->conns)
                conn_close(w->conns);
}

/* ---- generation and listener ---- */

const struct gen_bind *conn_bind(struct conn *c)
{
        const struct worker_gen *wg = c->w->current;
        if (c->bind_gen != wg || !wg) {
                c->bind_gen = wg;
                c->bind = wg ? generation_bind(wg->gen, &c->key) : NULL;
                if (c->bind && (c->bind->route->protocol == MODEL__LISTENER__PROTOCOL__HTTPS) != (c->tls != NULL))
                        c->bind = NULL; /* the listener changed between cleartext and TLS: to this connection it is gone
                                         */
        }
        return c->bind;
}

/* The client hello picks the listener, and the listener its certificate and settings.  A name nobody serves gets no
 * answer at all (conn_handshake closes without the alert). */
int conn_client_hello(SSL *ssl, int *alert, void *arg)
{
        struct conn *c = SSL_get_app_data(ssl);
        (void)arg;
        tls_sni_take(c->tls);
        const struct gen_bind *b = conn_bind(c);
        const struct route_listener *rl = b ? route_listener_find(b->route, conn_sni(c)) : NULL;
        const struct tls_listener *l = rl ? c->w->current->gen->listeners[rl->index].tls : NULL;
        c->tls->hello = true;
        if (rl && rl->model->protocol == MODEL__LISTENER__PROTOCOL__TLS_PASSTHROUGH) {
                c->tls->passthrough = true;
                *alert = SSL_AD_INTERNAL_ERROR; /* nobody will see it */
                return SSL_CLIENT_HELLO_ERROR;
        }
        c->tls->bytes = rl && rl->streams;
        if (!l) {
                c->tls->no_listener = true;
                *alert = SSL_AD_UNRECOGNIZED_NAME;
                return SSL_CLIENT_HELLO_ERROR;
        }
        if (tls_listener_apply(l, c->tls) < 0) {
                *alert = SSL_AD_INTERNAL_ERROR;
                return SSL_CLIENT_HELLO_ERROR;
        }
        return SSL_CLIENT_HELLO_SUCCESS;
}

/* Does its listener still ask of clients what it asked of this one? */
static bool client_welcome(struct conn *c, const struct gen_bind *b)
{
        if (!c->tls || !c->tls->established)
                return true;
        const struct route_listener *rl = route_listener_find(b->route, conn_sni(c));
        const struct tls_listener *l = rl ? c->w->current->gen->listeners[rl->index].tls : NULL;
        return !l || memcmp(c->tls->clients, tls_listener_clients(l), sizeof c->tls->clients) == 0;
}

/* ---- the end of a turn ---- */

static void linger_begin(struct conn *c)
{
        if (c->lingering)
                return;
        c->lingering = true;
        c->linger_left = L7_LINGER_BYTES;
        buf_fini(&c->in);
        (void)shutdown(c->f.fd, SHUT_WR); /* fails when the peer is gone: then reading tells */
        loop_defer(c->w->loop, &c->defer); /* what lies in the socket already has had its edge */
}

/* Everything is sent: is the connection over?  false: its last bytes wait for the client. */
static bool conn_finish(struct conn *c)
{
        bool h1 = c->proto == CONN_H1;
        if (c->broken || (c->lingering && c->linger_left == 0)) {
                conn_close(c);
                return true;
        }
        if (c->lingering || !(h1 ? c->h1.state == H1S_CLOSING : c->proto == CONN_H2 && h2_server_finished(c->h2)))
                return true;
        if (h1 && c->h1.reset) {
                socket_reset_on_close(c->f.fd);
                conn_close(c);
                return true;
        }
        if (c->tls && !c->notified) {
                c->notified = true;
                tls_close_notify(c->tls);
                if (c->tls->wire.n > 0) {
                        if (c->writable)
                                sendq_add(&c->w->sends, &c->send);
                        return false;
                }
        }
        /* Closing with unread input would send RST, and that can destroy the answer on its way (RFC 9112 9.6). */
        if (c->eof || (h1 && !c->h1.early && !c->readable && c->in.n == 0))
                conn_close(c);
        else
                linger_begin(c);
        return true;
}

static void wait_set(struct conn *c, enum conn_wait wait, uint32_t ms)
{
        uint32_t epoch = wait == CONN_WAIT_GOAWAY || wait == CONN_WAIT_SETTINGS ? 0 : c->proto == CONN_H1 ? c->h1.n_requests : c->proto == CONN_H2 ? h2_server_requests(c->h2) : 0;
        bool extends = (wait == CONN_WAIT_IDLE && (c->got || c->gave)) || (wait == CONN_WAIT_BODY && c->got) ||
                       (wait == CONN_WAIT_SEND && c->gave); /* who does not read gains nothing by sending */
        if (wait == c->wait && epoch == c->wait_epoch && !extends)
                return;
        c->wait = wait;
        c->wait_epoch = epoch;
        c->got = c->gave = false;
        if (wait == CONN_WAIT_NONE)
                timer_stop(&c->timer);
        else
                timer_set(loop_timers(c->w->loop), &c->timer, loop_now_ms(c->w->loop) + ms);
}

/* Until the client has acknowledged our SETTINGS; a head that does not come may end it sooner. */
static void settings_wait(struct conn *c)
{
        const struct options *o = c->w->options;
        uint64_t now = loop_now_ms(c->w->loop);
        if (c->settings_due_ms == 0)
                c->settings_due_ms = now + o->settings_ms;
        uint32_t left = c->settings_due_ms > now ? (uint32_t)(c->settings_due_ms - now) : 1;
        if (h2_server_heads(c->h2) && o->header_ms < left)
                wait_set(c, CONN_WAIT_HEAD, o->header_ms);
        else
                wait_set(c, CONN_WAIT_SETTINGS, left);
}

static void conn_arm(struct conn *c, bool sent)
{
        const struct options *o = c->w->options;
        uint32_t idle_ms = c->draining ? MIN(o->idle_ms, (uint32_t)L7_DRAIN_IDLE_MS) : o->idle_ms;
        if (c->lingering)
                wait_set(c, CONN_WAIT_LINGER, L7_LINGER_MS);
        else if (c->tls && !c->tls->established)
                wait_set(c, CONN_WAIT_HANDSHAKE, o->handshake_ms);
        else if (!sent)
                wait_set(c, CONN_WAIT_SEND, o->idle_ms);
        else if (c->goaway == 1) /* streams opened before the notice arrives are still taken */
                wait_set(c, CONN_WAIT_GOAWAY, L7_DRAIN_IDLE_MS / 2);
        else if (c->proto == CONN_SNIFF)
                wait_set(c, CONN_WAIT_HEAD, o->header_ms);
        else if (c->proto == CONN_H2 && !h2_server_acknowledged(c->h2))
                settings_wait(c);
        else if (c->proto == CONN_H2)
                wait_set(c,
                         h2_server_heads(c->h2)     ? CONN_WAIT_HEAD
                         : h2_server_streams(c->h2) ? CONN_WAIT_NONE
                                                    : CONN_WAIT_IDLE,
                         h2_server_heads(c->h2) ? o->header_ms : idle_ms);
        else if (c->h1.state == H1S_HEAD || (c->h1.state == H1S_IDLE && c->h1.n_requests == 0))
                wait_set(c, CONN_WAIT_HEAD, o->header_ms);
        else if (c->h1.state == H1S_IDLE)
                wait_set(c, CONN_WAIT_IDLE, idle_ms);
        else if (c->h1.state == H1S_BODY && conn_session_room(c) > 0)
                wait_set(c, CONN_WAIT_BODY, o->idle_ms);
        else
                wait_set(c, CONN_WAIT_NONE, 0); /* the upstream is to move: the stream's own deadlines count */
}

static void conn_drain_step(struct conn *c)
{
        if (!c->draining || c->proto == CONN_SNIFF)
                return;
        if (c->proto == CONN_H1) {
                h1_server_drain(&c->h1);
        } else if (c->goaway == 0) {
                c->goaway = 1;
                h2_server_drain(c->h2, false);
        }
}

static void goaway_final(struct conn *c)
{
        c->goaway = 2;
        h2_server_drain(c->h2, true); /* finished at once when no stream is open */
        loop_defer(c->w->loop, &c->defer);
}

void conn_rest(struct conn *c)
{
        bool sent = conn_unsent(c) == 0;
        if (sent)
                sent = conn_finish(c);
        if (!c->dead)
                conn_arm(c, sent);
}

/* Once per round and connection: input that was held back, frames; then what is to be sent is queued, and the rest is
 * settled when it went. */
static void conn_run(struct loop_defer *d)
{
        struct conn *c = CONTAINER_OF(d, struct conn, defer);
        bool again;
        unsigned runs = 0;
        if (c->dead)
                return;
        conn_drain_step(c);
        do {
                again = conn_pump(c);
                if (!c->dead && c->tls && !c->lingering && !c->broken &&
                    (c->sealed.n > 0 || SSL_pending(c->tls->ssl) > 0) && conn_session_room(c) > 0)
                        conn_tls_feed(c, SPAN_NULL);
                conn_read(c);
                if (c->dead)
                        return;
                if (c->eof && !c->broken)
                        conn_eof(c); /* input that was held back may be taken by now */
                if (c->proto == CONN_H2 && h2_server_output(c->h2, 2 * (size_t)c->w->options->buffer_bytes) < 0) {
                        conn_close(c);
                        return;
                }
        } while (again && ++runs < L7_RUNS_PER_ROUND);
        if (again) /* others wait too: the next round goes on */
                loop_defer(c->w->loop, &c->defer);
        const struct chain *out = conn_session_out(c);
        if (c->pipe && c->writable && (!out || out->n == 0)) {
                if (!conn_pipe_send(c)) {
                        conn_close(c);
                        return;
                }
                h1_server_flushed(&c->h1);
        }
        if (out && out->failed)
                conn_close(c);
        else if (conn_unsent(c) > 0 && c->writable)
                sendq_add(&c->w->sends, &c->send);
        else if (!again)
                conn_rest(c);
}

void conn_output(void *conn)
{
        struct conn *c = conn;
        if (!c->dead)
                loop_defer(c->w->loop, &c->defer);
}

static void conn_event(struct loop_fd *f, unsigned events)
{
        struct conn *c = CONTAINER_OF(f, struct conn, f);
        if (events & LOOP_WRITE)
                c->writable = true;
        if (events & LOOP_READ)
                c->readable = true;
        if (events & LOOP_HUP)
                c->hup = true;
        if (events & LOOP_READ)
                conn_read(c);
        if (c->dead)
                return;
        if (c->hup && c->readable && !c->lingering &&
            conn_read_room(c) == 0) { /* we are not reading: only a real error ends the exchange */
                int e = socket_error(c->f.fd);
                if (e != 0) {
                        conn_close(c);
                        return;
                }
        }
        loop_defer(c->w->loop, &c->defer);
}

static void conn_timer(struct timer *t, uint64_t now_ms)
{
        struct conn *c = CONTAINER_OF(t, struct conn, timer);
        enum conn_wait wait = c->wait;
        (void)now_ms;
        c->wait = CONN_WAIT_NONE;
        switch (wait) {
        case CONN_WAIT_HEAD:
        case CONN_WAIT_BODY:
                if (c->proto == CONN_H1 && c->h1.state != H1S_IDLE) {
                        h1_server_timeout(&c->h1);
                        loop_defer(c->w->loop, &c->defer);
                        return;
                }
                break;
        case CONN_WAIT_GOAWAY:
                goaway_final(c);
                return;
        case CONN_WAIT_SETTINGS:
                h2_server_unacknowledged(c->h2);
                loop_defer(c->w->loop, &c->defer);
                return;
        case CONN_WAIT_IDLE:
                if (c->proto == CONN_H2 && c->goaway < 2) {
                        goaway_final(c);
                        return;
                }
                break;
        case CONN_WAIT_NONE:
        case CONN_WAIT_HANDSHAKE:
        case CONN_WAIT_SEND:
        case CONN_WAIT_LINGER:
        case CONN_WAIT_N:
                break;
        }
        if (c->tls && !c->notified) { /* an orderly end of TLS too, if the socket takes it (RFC 8446 6.1) */
                c->notified = true;
                tls_close_notify(c->tls);
                ssize_t n = socket_send(c->f.fd, &c->tls->wire, &c->writable);
                (void)n; /* a full socket: the client has stopped reading, nothing is lost by the cut */
        }
        conn_close(c);
}

/* ---- all connections ---- */

static void conn_drain(struct conn *c)
{
        if (c->draining)
                return;
        c->draining = true;
        c->wait = CONN_WAIT_NONE; /* shorter deadlines now */
        loop_defer(c->w->loop, &c->defer);
}

void conns_drain(struct worker *w)
{
        for (struct conn *c = w->conns; c; c = c->next)
                conn_drain(c);
}

void conns_adopt(struct worker *w)
{
        for (struct conn *c = w->conns; c; c = c->next) {
                c->bind_gen = NULL;
                const struct gen_bind *b = conn_bind(c);
                if (!b || !client_welcome(c, b))
                        conn_drain(c);
        }
}

/* May this peer tell who its client is? */
static bool proxy_trusted(const struct gen_bind *b, const struct ipaddr *peer)
{
        for (size_t i = 0; i < b->n_proxy_trusted; i++)
                if (ipprefix_contains(&b->proxy_trusted[i], peer))
                        return true;
        return false;
}

int conn_open(struct worker *w, int fd, const struct bind_key *key, const struct ipaddr *local, uint16_t local_port,
              const struct ipaddr *peer, uint16_t peer_port)
{
        const struct generation *g = w->current ? w->current->gen : NULL;
        const struct gen_bind *b = g ? generation_bind(g, key) : NULL;
        if (!b)
                return -ENOENT; /* came while its listener left: nobody knows any more whether it speaks TLS */
        bool relayed = b->proxy != MODEL__PROXY_PROTOCOL__PROXY_OFF && proxy_trusted(b, peer);
        if (!relayed && b->proxy == MODEL__PROXY_PROTOCOL__PROXY_REQUIRED) {
                worker_count(w, WORKER_PROXY_REFUSED);
                return -EPERM;
        }
        struct conn *c = w->conns_free;
        if (c) {
                w->conns_free = c->next;
                w->n_conns_free--;
        } else {
                c = malloc(sizeof *c);
                if (!c)
                        return -ENOMEM;
        }
        *c = (struct conn){.w = w,
                           .defer.fn = conn_run,
                           .send.kind = &conn_sends,
                           .key = *key,
                           .local = *local,
                           .local_port = local_port,
                           .peer = *peer,
                           .peer_port = peer_port,
                           .writable = true,
                           .proxy = relayed ? (uint8_t)b->proxy : 0,
                           .draining = w->drain != DRAIN_NONE};
        ipaddr_str(peer, c->peer_text);
        timer_init(&c->timer, conn_timer);
        buf_init(&c->in, IN_MAX);
        buf_init(&c->sealed, IN_MAX);
        bool want_tls = b->route->protocol == MODEL__LISTENER__PROTOCOL__HTTPS;
        int r = want_tls ? tls_new(w->tls_front, &w->chunks, c, &c->tls) : 0;
        if (r == 0)
                r = loop_add(w->loop, &c->f, fd, conn_event);
        if (r < 0) {
                tls_free(c->tls);
                free(c);
                return r;
        }
        c->next = w->conns;
        if (c->next)
                c->next->pprev = &c->next;
        c->pprev = &w->conns;
        w->conns = c;
        w->n_conns++;
        metric_set(&w->counters.connections, w->n_conns);
        worker_count(w, WORKER_CONNECTIONS);
        conn_bind(c);
        loop_defer(w->loop, &c->defer); /* arms the first deadline */
        return 0;
}
