/* l7gw/io/conn_io.c - the bytes of a connection: socket and TLS in, session, session out to TLS and socket.  See
 * conn_priv.h. */
#include "lib/base.h"
#include "l7gw/io/conn_priv.h"
#include "l7gw/io/proxy.h"
#include "l7gw/io/socket.h"
#include "l7gw/io/tunnel.h"

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"; /* RFC 9113 3.4 */

/* ---- session ---- */

static int session_h2(struct conn *c)
{
        const struct h2_server_conf conf = {.engine = &proxy_engine,
                                            .conn = c,
                                            .pool = &c->w->chunks,
                                            .buffer_bytes = c->w->options->buffer_bytes,
                                            .tls = c->tls != NULL};
        struct h2_server *h;
        if (h2_server_new(&conf, &h) < 0)
                return -ENOMEM;
        c->h2 = h;
        c->proto = CONN_H2;
        worker_count(c->w, WORKER_H2_CONNECTIONS);
        return 0;
}

static void session_h1(struct conn *c)
{
        const struct h1_server_conf conf = {.engine = &proxy_engine,
                                            .conn = c,
                                            .pool = &c->w->chunks,
                                            .scratch = &c->w->head,
                                            .limits = &h1_default_limits,
                                            .buffer_bytes = c->w->options->buffer_bytes,
                                            .tls = c->tls != NULL};
        h1_server_init(&c->h1, &conf);
        c->proto = CONN_H1;
        if (c->draining)
                h1_server_drain(&c->h1);
}

struct chain *conn_session_out(struct conn *c)
{
        return c->proto == CONN_H1 ? &c->h1.out : c->proto == CONN_H2 ? h2_server_out(c->h2) : NULL;
}

/* Plain text bytes the session takes now. */
size_t conn_session_room(struct conn *c)
{
        switch (c->proto) {
        case CONN_SNIFF:
                return c->tls ? 0 : L7_SCRATCH_BYTES;
        case CONN_H1:
                return h1_server_room(&c->h1);
        case CONN_H2: /* request bodies are bounded by the windows, answers to control frames by this */
                return h2_server_out(c->h2)->n >= 2 * (size_t)c->w->options->buffer_bytes ? 0 : L7_SCRATCH_BYTES;
        }
        BUG_ON(true);
}

/* Returns bytes used, or -1 when the connection must end (after what is in out). */
static ssize_t session_input(struct conn *c, struct span in)
{
        if (c->proto == CONN_SNIFF) {
                size_t n = MIN(in.n, sizeof preface - 1);
                if (memcmp(in.p, preface, n) != 0)
                        session_h1(c);
                else if (n < sizeof preface - 1)
                        return 0; /* too short to tell */
                else if (session_h2(c) < 0)
                        return -1;
        }
        if (c->proto == CONN_H1)
                return (ssize_t)h1_server_input(&c->h1, in);
        return h2_server_input(c->h2, in) == 0 ? (ssize_t)in.n : -1;
}

void conn_feed(struct conn *c, struct span in)
{
        bool stored = c->in.n > 0;
        if (stored && in.n > 0)
                buf_add(&c->in, in.p, in.n);
        struct span all = stored ? buf_span(&c->in) : in;
        size_t used = 0;
        if (all.n > 0 && !c->in.failed) {
                ssize_t r = session_input(c, all);
                if (r < 0) { /* HTTP/2 connection error: the GOAWAY is in out */
                        c->broken = true;
                        used = all.n;
                } else {
                        used = (size_t)r;
                }
        }
        if (c->dead)
                return;
        if (stored)
                buf_consume(&c->in, used);
        else if (used < in.n)
                buf_add(&c->in, in.p + used, in.n - used);
        if (c->in.n == 0)
                buf_fini(&c->in); /* memory only while bytes wait */
        if (c->in.failed)
                conn_close(c);
}

/* Bytes wait that only the session can move; more input would only queue behind them.  (A part of a head is no such
 * case.) */
static bool input_held(const struct conn *c)
{
        return c->in.n > 0 && c->proto != CONN_SNIFF && !(c->proto == CONN_H1 && c->h1.state <= H1S_HEAD);
}

/* What was read earlier and not taken: the session may have room by now. */
bool conn_pump(struct conn *c)
{
        size_t before = c->in.n;
        if (before == 0 || c->dead || c->lingering || c->proxy || conn_session_room(c) == 0)
                return false;
        conn_feed(c, SPAN_NULL);
        return !c->dead && c->in.n < before;
}

/* The client will send no more.  HTTP/2 and a broken TLS stream end with it; HTTP/1.1 is told once all input is taken.
 */
void conn_eof(struct conn *c)
{
        c->eof = true;
        if (c->proto != CONN_H1)
                c->broken = true;
        else if (c->h1.state != H1S_CLOSING && (c->in.n == 0 || (c->h1.state == H1S_HEAD && conn_session_room(c) > 0)))
                h1_server_eof(&c->h1);
}

/* ---- TLS in ---- */

/* To a tunnel; the listener is looked up again, since a reload may have come during the handshake. */
static void tunnel_take(struct conn *c)
{
        const struct gen_bind *b = conn_bind(c);
        const struct route_listener *rl = b ? route_listener_find(b->route, conn_sni(c)) : NULL;
        bool ends = c->tls->bytes;
        if (!rl || !rl->streams || (rl->model->protocol == MODEL__LISTENER__PROTOCOL__TLS_TERMINATE) != ends)
                conn_close(c);
        else /* what is in tls->wire of our own handshake, the tunnel sends first */
                tunnel_open(c, rl, ends ? SPAN_NULL : buf_span(&c->in));
}

static void conn_handshake(struct conn *c)
{
        enum tls_rc rc = tls_handshake(c->tls);
        if (rc == TLS_MORE)
                return;
        if (rc != TLS_OK && c->tls->passthrough) {
                tunnel_take(c);
                return;
        }
        if (rc != TLS_OK) {
                worker_count(c->w, c->tls->no_listener ? WORKER_TLS_UNKNOWN_SNI : WORKER_TLS_FAILURES);
                if (c->tls->no_listener)
                        chain_clear(&c->tls->wire); /* no alert: nobody here has that name */
                c->broken = true;                   /* sends what is in wire, then closes */
                return;
        }
        if (tls_client_cert_take(c->tls) < 0) {
                worker_count(c->w, WORKER_TLS_FAILURES);
                c->broken = true;
                return;
        }
        worker_count(c->w, WORKER_TLS_HANDSHAKES);
        if (c->tls->bytes) {
                tunnel_take(c);
                return;
        }
        if (tls_is_h2(c->tls) && session_h2(c) == 0)
                return;
        if (c->proto == CONN_SNIFF)
                session_h1(c);
}

static void tls_pump(struct conn *c)
{
        struct tls *t = c->tls;
        if (!t->established) {
                conn_handshake(c);
                if (!t->established)
                        return;
        }
        while (!c->dead && !c->broken && !c->eof) {
                size_t room = conn_session_room(c), n = 0;
                if (room == 0 || input_held(c))
                        return;
                switch (tls_read(t, c->w->plain, MIN(room, (size_t)L7_SCRATCH_BYTES), &n)) {
                case TLS_OK:
                        conn_feed(c, SPAN(c->w->plain, n));
                        break;
                case TLS_MORE:
                        return;
                case TLS_EOF: /* close_notify: a half-close like a FIN on cleartext */
                        conn_eof(c);
                        return;
                case TLS_BAD:
                        c->broken = true;
                        return;
                }
        }
}

void conn_tls_feed(struct conn *c, struct span in)
{
        struct tls *t = c->tls;
        bool stored = c->sealed.n > 0;
        if (!t->hello && c->bind && c->bind->route->passthrough)
                buf_add(&c->in, in.p, in.n); /* to be passed on as it came, if the server name says so */
        else if (t->hello && !t->established)
                buf_fini(&c->in);
        if (stored && in.n > 0)
                buf_add(&c->sealed, in.p, in.n);
        t->in = stored ? buf_span(&c->sealed) : in;
        size_t before = t->in.n;
        tls_pump(c);
        if (c->dead)
                return;
        size_t used = c->eof || c->broken ? before : before - t->in.n;
        if (stored)
                buf_consume(&c->sealed, used);
        else if (used < in.n)
                buf_add(&c->sealed, in.p + used, in.n - used);
        t->in = SPAN_NULL;
        if (c->sealed.n == 0)
                buf_fini(&c->sealed);
        if (c->sealed.failed)
                conn_close(c);
}

/* ---- socket in ---- */

/* A client that asks for key updates or renegotiations and reads none of the answers.  Session output alone stays below:
 * tls_seal stops adding at half of it. */
bool conn_tls_choked(const struct conn *c)
{
        return c->tls && c->tls->wire.n >= 2 * (size_t)L7_WIRE_BYTES;
}

size_t conn_read_room(struct conn *c)
{
        if (c->lingering)
                return c->linger_left;
        if (conn_tls_choked(c))
                return 0;
        if (c->tls && !c->tls->established)
                return L7_SCRATCH_BYTES;
        if (c->sealed.n > 0 || input_held(c))
                return 0; /* first what is here already */
        size_t room = conn_session_room(c);
        return c->tls && room > 0 ? L7_SCRATCH_BYTES : room;
}

void conn_read(struct conn *c)
{
        struct worker *w = c->w;
        for (unsigned reads = 0; !c->dead && c->readable && !c->broken && (!c->eof || c->lingering); reads++) {
                size_t room = MIN(conn_read_room(c), (size_t)L7_SCRATCH_BYTES);
                if (room == 0)
                        return;
                if (reads == L7_READS_PER_RUN) { /* others wait too: the next round goes on */
                        loop_defer(w->loop, &c->defer);
                        return;
                }
                ssize_t n = recv(c->f.fd, w->rd, room, 0);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN) {
                        c->readable = false;
                        return;
                }
                if (n < 0) {
                        conn_close(c);
                        return;
                }
                if (n == 0) {
                        c->readable = false;
                        if (c->tls || c->lingering)
                                c->broken = true; /* TLS without close_notify: cut, perhaps by somebody else */
                        else
                                conn_eof(c);
                        return;
                }
                c->got = true;
                if ((size_t)n < room && !c->hup)
                        c->readable = false; /* short read: the socket is empty, the next edge will tell */
                if (c->lingering)
                        c->linger_left -= (uint32_t)n;
                else if (c->proxy)
                        conn_proxy_feed(c, SPAN(w->rd, (size_t)n));
                else if (c->tls)
                        conn_tls_feed(c, SPAN(w->rd, (size_t)n));
                else
                        conn_feed(c, SPAN(w->rd, (size_t)n));
        }
}

/* ---- socket out ---- */

size_t conn_unsent(struct conn *c)
{
        const struct chain *out = conn_session_out(c);
        return (out ? out->n : 0) + (c->tls ? c->tls->wire.n : 0) + (c->pipe ? c->pipe->n : 0);
}

bool conn_may_pass(struct conn *c)
{
        return !c->tls && !c->dead && conn_unsent(c) == 0;
}

ssize_t conn_pass(struct conn *c, int fd, size_t max)
{
        ssize_t n = pipe_fill(&c->w->pipes, fd, max, &c->pipe);
        if (n > 0 && !(c->writable && conn_pipe_send(c) && !c->pipe))
                loop_defer(c->w->loop, &c->defer); /* conn_run goes on with it, or meets the same error */
        return n;
}

bool conn_pipe_send(struct conn *c)
{
        size_t before = c->pipe->n;
        int r = pipe_drain(&c->w->pipes, &c->pipe, c->f.fd);
        size_t went = before - (c->pipe ? c->pipe->n : 0);
        c->writable &= !c->pipe || r < 0;
        c->gave |= went > 0;
        metric_add(&c->w->counters.v[WORKER_SPLICED_BYTES], went);
        return r == 0;
}

bool conn_has_input(struct conn *c)
{
        return c->readable || c->in.n > 0 || c->sealed.n > 0 || (c->tls && SSL_pending(c->tls->ssl) > 0);
}

static struct chain *ready(struct sendop *op, int *ret_fd)
{
        struct conn *c = CONTAINER_OF(op, struct conn, send);
        struct chain *out = conn_session_out(c);
        *ret_fd = c->f.fd;
        if (!c->tls)
                return out;
        if (out && c->tls->established && tls_seal(c->tls, out) < 0) {
                conn_close(c);
                return NULL;
        }
        return &c->tls->wire;
}

/* What went makes room: in the session, and for what waits to be read. */
static void sent(struct sendop *op, ssize_t n, bool full)
{
        struct conn *c = CONTAINER_OF(op, struct conn, send);
        if (n < 0) {
                conn_close(c); /* the client is gone */
                return;
        }
        c->writable &= !full;
        c->gave |= n > 0;
        if (c->proto == CONN_H1)
                h1_server_flushed(&c->h1);
        if (c->dead)
                return;
        if (c->proto == CONN_H2 && h2_server_output(c->h2, 2 * (size_t)c->w->options->buffer_bytes) < 0)
                conn_close(c);
        else if (conn_has_input(c) || (conn_unsent(c) > 0 && c->writable))
                loop_defer(c->w->loop, &c->defer);
        else
                conn_rest(c);
}

const struct sendop_kind conn_sends = {.ready = ready, .sent = sent};
