/* l7gw/io/upstream_h1.c - one exchange on a connection to an endpoint, HTTP/1.1 (core/h1_client).  See upstream_priv.h.
 * Layer: l7gw/io; private to the upstream files.  Thread rule: the worker. */
#include "lib/base.h"
#include "l7gw/io/upstream_priv.h"
#include "l7gw/io/replay.h"

static void up_failed(struct upconn *u, enum reason r);

/* ---- request ---- */

static void body_forward(struct upconn *u)
{
        struct stream *s = &u->x->s;
        u->x->body_taken += s->req_body.n;
        while (s->req_body.n > 0) { /* at most buffer_bytes: copied once, framed where needed */
                struct span d = chain_front(&s->req_body);
                replay_keep(u->x, d);
                h1_client_data(&u->h, d, &u->out);
                chain_consume(&s->req_body, d.n);
        }
}

void up1_send(struct upconn *u)
{
        struct exchange *x = u->x;
        struct stream *s = &x->s;
        uint32_t try_ms = x->d.rule->model->try_timeout_ms;
        stream_set(s, STREAM_SEND);
        if (u->n_requests++ > 0)
                worker_count(u->w, WORKER_UPSTREAM_REUSES);
        h1_client_request(&u->h, s, &u->w->head, &u->out);
        u->held = true;
        if (try_ms)
                timer_set(loop_timers(u->w->loop), &u->timer, loop_now_ms(u->w->loop) + try_ms);
        else
                timer_stop(&u->timer);
        loop_defer(u->w->loop, &u->defer);
}

/* The end of the round: the request may go, unless its connection has closed or speaks already.  What can be read before the
 * first byte is sent cannot be its answer.  false: it goes another way. */
bool up1_let_go(struct upconn *u)
{
        if (!u->held)
                return true;
        struct stream *s = &u->x->s;
        if (u->reused && !up_is_quiet(u)) {
                up_abandon(u->x);
                return false;
        }
        u->held = false;
        if (s->req.upgrade.n == 0)
                body_forward(u);
        if (s->req_done || s->req.upgrade.n)
                h1_client_end(&u->h, s, &u->w->head, &u->out);
        else
                up_continue(u->x);
        return true;
}

void up1_data(struct upconn *u, struct span d)
{
        if (u->held) {
                chain_span(&u->x->s.req_body, d);
                return;
        }
        if (u->send_failed) { /* the endpoint stopped reading: its answer, if any, is on the way */
                u->x->s.down->drained(&u->x->s, d.n);
                return;
        }
        u->x->body_taken += d.n;
        replay_keep(u->x, d);
        h1_client_data(&u->h, d, &u->out);
        loop_defer(u->w->loop, &u->defer);
}

void up1_end(struct upconn *u)
{
        if (u->send_failed || u->held)
                return;
        if (u->x->s.req.upgrade.n)
                u->fin = u->x->s.tunnel;
        else
                h1_client_end(&u->h, &u->x->s, &u->w->head, &u->out);
        loop_defer(u->w->loop, &u->defer);
}

/* ---- response ---- */

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

static void response_complete(struct upconn *u, size_t left_over)
{
        struct exchange *x = u->x;
        uint32_t max = x->cluster->model->max_requests_per_connection, keep_s = x->cluster->model->keepalive_s;
        uint32_t keep_ms = up_keep_ms(u);
        bool keep = u->h.reusable && x->s.req_done && u->out.n == 0 && !u->send_failed && left_over == 0 && !u->hup &&
                    (max == 0 || u->n_requests < max) &&
                    (!u->tls || (u->tls->wire.n == 0 && !tls_pending(u->tls))) &&
                    (!u->readable || up_is_quiet(u)); /* its edge has been told: nobody would notice what lies there */
        if (keep_s)
                keep_ms = (uint32_t)MIN((uint64_t)keep_ms, keep_s * 1000ull);
        up_detach(x);
        if (keep)
                up_to_pool(u, keep_ms);
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
                up_detach(x);
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

static void up_failed(struct upconn *u, enum reason r)
{
        struct exchange *x = u->x;
        const struct up_try t = {
                .reused = u->reused, .silent = u->received == 0, .unsent = u->sent == 0 && x->body_taken == 0};
        up_detach(x);
        up_close(u);
        up_try_failed(x, r, t);
}

/* How many of the bytes to come may pass to the client's socket unseen: none unless it pays. */
static uint64_t passable(const struct upconn *u)
{
        const struct exchange *x = u->x;
        if (!u->h.head || u->tls || !x->s.resp_plain || x->conn->tls || u->in.n > 0)
                return 0;
        uint64_t n = h1_body_plain(&u->h.resp);
        return n >= L7_SPLICE_BYTES ? n : 0;
}

/* As up_recv, from socket to socket. */
static ssize_t up_pass(struct upconn *u, uint64_t max)
{
        struct exchange *x = u->x;
        ssize_t n = conn_pass(x->conn, u->f.fd, (size_t)MIN(max, (uint64_t)L7_PIPE_BYTES));
        if (n > 0) {
                u->received += (uint64_t)n;
                x->s.resp_bytes += (uint64_t)n;
                h1_body_passed(&u->h.resp, (uint64_t)n);
                proxy_progress(x);
        }
        if (n >= 0)
                return n;
        errno = (int)-n;
        return -1;
}

/* The last bytes of the body are in the client's pipe: it ends when they have left it. */
static void up_passed_all(struct upconn *u)
{
        if (conn_may_pass(u->x->conn))
                response_complete(u, 0);
        else
                u->x->s.resp_waits = true;
}

void up1_read(struct upconn *u)
{
        struct worker *w = u->w;
        if (u->held && u->reused) /* up1_let_go judges what came */
                return;
        if (u->x && u->h.head && u->h.resp.done) {
                up_passed_all(u);
                return;
        }
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
                uint64_t pass = passable(u);
                if ((pass > 0 || (s->resp_plain && u->x->conn->pipe)) && !conn_may_pass(u->x->conn)) { /* in their order */
                        s->resp_waits = true;
                        return;
                }
                s->resp_waits = false;
                size_t want = MIN(MAX(room, (size_t)4096), (size_t)L7_SCRATCH_BYTES);
                const uint8_t *bytes = NULL;
                ssize_t n = pass > 0 ? up_pass(u, pass) : -1;
                if (pass == 0 || (n < 0 && errno == ENOBUFS))
                        n = up_recv(u, want, &bytes);
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
                if (!bytes) { /* passed on already */
                        if (!u->h.resp.done)
                                continue;
                        up_passed_all(u);
                        return;
                }
                u->received += (uint64_t)n;
                proxy_progress(u->x);
                if (!up_feed(u, SPAN(bytes, (size_t)n)))
                        return;
        }
}

void up1_run(struct upconn *u)
{
        if (u->out.failed) {
                up_failed(u, REASON_OVERLOAD);
                return;
        }
        up_queue(u);
        if (up_has_input(u) || u->in.n > 0 || (u->h.head && u->h.resp.done))
                up1_read(u);
}

void up1_timer(struct upconn *u)
{
        up_failed(u, REASON_UPSTREAM_TIMEOUT);
}
