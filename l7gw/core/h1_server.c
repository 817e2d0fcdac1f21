/* l7gw/core/h1_server.c - see h1_server.h.  (RFC 9112 6, 9) */
#include "lib/base.h"
#include "l7gw/core/h1_server.h"

static const struct stream_down h1_down;

static const unsigned legal_next[H1S_STATE_N] = {
#define S(id, next) [H1S_##id] = (next),
        H1_SERVER_STATES(S)
#undef S
};

static void state_set(struct h1_server *h, enum h1_server_state to)
{
        BUG_ON(!(legal_next[h->state] & (1u << to)));
        h->state = to;
}

void h1_server_init(struct h1_server *h, const struct h1_server_conf *conf)
{
        *h = (struct h1_server){.engine = conf->engine,
                                .conn = conf->conn,
                                .scratch = conf->scratch,
                                .limits = conf->limits,
                                .buffer_bytes = conf->buffer_bytes,
                                .tls = conf->tls};
        chain_init(&h->out, conf->pool);
}

void h1_server_fini(struct h1_server *h)
{
        BUG_ON(h->s);
        chain_clear(&h->out);
}

static void stream_finish(struct h1_server *h)
{
        struct stream *s = TAKE_PTR(h->s);
        h->engine->close(s);
}

/* The stream is over: next request, or the end of the connection. */
static void response_over(struct h1_server *h)
{
        bool last = h->close_after || h->state != H1S_WAIT;
        state_set(h, last ? H1S_CLOSING : H1S_IDLE);
        h->scan = (struct h1_scan){0};
        h->n_requests++;
        stream_finish(h);
        h->engine->output(h->conn);
}

static bool head_open(struct h1_server *h)
{
        h->s = h->engine->open(h->conn);
        if (!h->s) { /* nothing to answer with: close */
                state_set(h, H1S_CLOSING);
                return false;
        }
        h->s->down = &h1_down;
        h->s->session = h;
        state_set(h, H1S_HEAD);
        return true;
}

static void head_refuse(struct h1_server *h, enum h1_rc rc)
{
        h->close_after = true; /* whatever follows cannot be framed (requirement 15) */
        h->early = true;
        h->engine->refuse(h->s, h1_rc_status(rc), h1_rc_str(rc));
}

/* Returns bytes used, 0 when the head is not complete. */
static size_t head_input(struct h1_server *h, struct span in)
{
        if (!h->s && !head_open(h))
                return in.n;
        struct stream *s = h->s;
        size_t used = 0;
        s->req.scheme = h->tls ? SPAN_LIT("https") : SPAN_LIT("http"); /* before: an absolute-form target must agree */
        enum h1_rc rc = h1_request(&h->scan, in, h->limits, &s->req, &used);
        if (rc == H1_MORE)
                return 0;
        if (rc != H1_OK) {
                head_refuse(h, rc);
                return in.n;
        }
        h->close_after = h->draining || !s->req.keep_alive;
        h1_body_init(&h->body, &s->req);
        s->req_done = !stream_has_body(&s->req);
        state_set(h, s->req_done ? H1S_WAIT : H1S_BODY);
        h->engine->request(s);
        return used;
}

static size_t body_input(struct h1_server *h, struct span in)
{
        struct span data;
        size_t used = 0;
        struct stream *s = h->s;
        enum h1_rc rc = h1_body_feed(&h->body, in, &s->req_trailers, &data, &used);
        if (rc == H1_MORE)
                return in.n;
        if (rc != H1_OK) {
                if (s->resp_head) { /* too late for an answer */
                        h1_server_gone(h);
                        return in.n;
                }
                head_refuse(h, rc);
                return in.n;
        }
        if (data.n > 0) {
                s->req_bytes += data.n;
                h->engine->req_data(s, data);
        }
        if (h->s && h->state == H1S_BODY && h->body.done) {
                s->req_done = true;
                state_set(h, H1S_WAIT);
                h->engine->req_end(s);
        }
        return used;
}

size_t h1_server_input(struct h1_server *h, struct span in)
{
        size_t taken = 0;
        while (taken < in.n) {
                struct span rest = SPAN(in.p + taken, in.n - taken);
                size_t used = 0;
                switch (h->state) {
                case H1S_IDLE:
                case H1S_HEAD:
                        if (h->out.n >= h->buffer_bytes) /* pipelining ahead of what the client reads */
                                return taken;
                        used = head_input(h, rest);
                        break;
                case H1S_BODY:
                        used = body_input(h, rest);
                        break;
                case H1S_TUNNEL:
                        h->s->req_bytes += rest.n;
                        h->engine->req_data(h->s, rest);
                        used = rest.n;
                        break;
                case H1S_WAIT:
                        return taken;
                case H1S_CLOSING:
                case H1S_STATE_N:
                        return in.n;
                }
                if (used == 0)
                        return taken;
                taken += used;
        }
        return taken;
}

size_t h1_server_room(const struct h1_server *h)
{
        switch (h->state) {
        case H1S_IDLE:
        case H1S_HEAD:
                return h->out.n >= h->buffer_bytes ? 0 : (size_t)h->limits->max_head_bytes + h->limits->max_line_bytes;
        case H1S_BODY:
        case H1S_TUNNEL:
                return h->engine->req_room(h->s);
        case H1S_WAIT:
                return 0;
        case H1S_CLOSING: /* the connection throws away a bounded part of what still comes (L7_LINGER_BYTES) */
                return 0;
        case H1S_STATE_N:
                break;
        }
        BUG_ON(true);
}

void h1_server_flushed(struct h1_server *h)
{
        if (h->s && h->s->resp_waits && h->out.n < h->buffer_bytes)
                h->engine->resp_room(h->s);
}

void h1_server_gone(struct h1_server *h)
{
        state_set(h, H1S_CLOSING);
        h->reset |= h->s && h->s->resp_head; /* else nothing of ours is short, and answers before it must arrive */
        if (h->s)
                stream_finish(h);
        h->engine->output(h->conn);
}

void h1_server_eof(struct h1_server *h)
{
        switch (h->state) {
        case H1S_HEAD:
        case H1S_BODY: /* the rest of this request can never come */
                h1_server_gone(h);
                break;
        case H1S_WAIT: /* a half-close after a whole request is no abort: answer, then close */
                h->close_after = true;
                break;
        case H1S_TUNNEL: /* one half has ended, the other may go on */
                if (!h->s->req_done) {
                        h->s->req_done = true;
                        h->engine->req_end(h->s);
                }
                break;
        case H1S_IDLE:
        case H1S_CLOSING:
        case H1S_STATE_N:
                state_set(h, H1S_CLOSING);
                h->engine->output(h->conn);
                break;
        }
}

void h1_server_timeout(struct h1_server *h)
{
        if (h->s && !h->s->resp_head) {
                h->close_after = true;
                h->early = true;
                h->engine->refuse(h->s, 408, "request timeout");
        } else if (h->s) {
                h1_server_gone(h);
        } else {
                state_set(h, H1S_CLOSING);
                h->engine->output(h->conn);
        }
}

void h1_server_drain(struct h1_server *h)
{
        h->draining = true;
        if (h->s && !h->s->resp_head)
                h->close_after = true;
}

/* ---- what the engine calls ---- */

static void head_write(struct h1_server *h, const struct msg *m, bool keep_alive)
{
        buf_reset(h->scratch);
        h1_write_response(h->scratch, m, keep_alive);
        if (h->scratch->failed)
                h->out.failed = true;
        else
                chain_span(&h->out, buf_span(h->scratch));
        h->engine->output(h->conn);
}

static void down_interim(struct stream *s, const struct msg *m)
{
        struct h1_server *h = s->session;
        if (s->req.minor == 0) /* requirement 19 */
                return;
        struct msg copy = *m;
        copy.minor = 1;
        copy.framing = BODY_NONE;
        head_write(h, &copy, true);
}

static void tunnel_begin(struct h1_server *h, const struct msg *m)
{
        struct msg copy = *m;
        copy.minor = 1;
        copy.framing = BODY_NONE;
        h->chunked = false;
        h->close_after = true;
        state_set(h, H1S_TUNNEL);
        head_write(h, &copy, true);
}

static void down_head(struct stream *s)
{
        struct h1_server *h = s->session;
        struct msg *m = &s->resp;
        if (s->tunnel) {
                tunnel_begin(h, m);
                return;
        }
        h->chunked = m->framing == BODY_CHUNKED || m->framing == BODY_CLOSE;
        if (h->chunked && s->req.minor == 0) {
                h->chunked = false;
                m->framing = BODY_CLOSE;
        } else if (h->chunked) {
                m->framing = BODY_CHUNKED;
        }
        if (m->framing == BODY_CLOSE || h->draining || !s->req_done)
                h->close_after = true;
        m->minor = s->req.minor;
        s->resp_plain = !h->chunked;
        head_write(h, m, !h->close_after);
}

static void down_data(struct stream *s, struct span d)
{
        struct h1_server *h = s->session;
        if (d.n == 0)
                return;
        s->resp_bytes += d.n;
        if (h->chunked) {
                char head[20];
                chain_add(&h->out, head, h1_chunk_head(head, d.n));
                chain_span(&h->out, d);
                chain_add(&h->out, "\r\n", 2);
        } else {
                chain_span(&h->out, d);
        }
        h->engine->output(h->conn);
}

static void down_end(struct stream *s)
{
        struct h1_server *h = s->session;
        if (h->chunked) {
                buf_reset(h->scratch);
                h1_write_last_chunk(h->scratch, s->resp_trailers.n_fields ? &s->resp_trailers : NULL);
                if (h->scratch->failed)
                        h->out.failed = true;
                else
                        chain_span(&h->out, buf_span(h->scratch));
        }
        s->complete = !h->out.failed;
        h->early |= h->state == H1S_BODY || (h->state == H1S_TUNNEL && !s->req_done);
        response_over(h);
}

static void down_cut(struct stream *s)
{
        struct h1_server *h = s->session;
        /* Content-Length and chunked show the cut by a plain close; a close-delimited body only by RST. */
        h->reset = s->resp_head && s->resp.framing == BODY_CLOSE;
        h->close_after = true;
        h->early = false; /* what is short already needs no care */
        response_over(h);
}

static size_t down_room(const struct stream *s)
{
        const struct h1_server *h = s->session;
        return h->out.n >= h->buffer_bytes ? 0 : h->buffer_bytes - h->out.n;
}

static void down_drained(struct stream *s, size_t n)
{
        struct h1_server *h = s->session;
        (void)n; /* reading resumes by room() */
        h->engine->output(h->conn);
}

static const struct stream_down h1_down = {
        .interim = down_interim,
        .head = down_head,
        .data = down_data,
        .end = down_end,
        .cut = down_cut,
        .room = down_room,
        .drained = down_drained,
};
