/* l7gw/core/h1_client.c - see h1_client.h. */
#include "lib/base.h"
#include "l7gw/core/h1_client.h"

static const struct h1_limits response_limits = {8192, 65536, MSG_MAX_FIELDS, 32768};

void h1_client_request(struct h1_client *x, struct stream *s, struct buf *scratch, struct chain *out)
{
        *x = (struct h1_client){.chunked = s->req.framing == BODY_CHUNKED};
        buf_reset(scratch);
        h1_write_request(scratch, &s->req, true);
        if (scratch->failed)
                out->failed = true;
        else
                chain_span(out, buf_span(scratch));
}

void h1_client_data(struct h1_client *x, struct span d, struct chain *out)
{
        if (d.n == 0)
                return;
        if (!x->chunked) {
                chain_span(out, d);
                return;
        }
        char head[20];
        chain_add(out, head, h1_chunk_head(head, d.n));
        chain_span(out, d);
        chain_add(out, "\r\n", 2);
}

void h1_client_end(struct h1_client *x, const struct stream *s, struct buf *scratch, struct chain *out)
{
        if (!x->chunked)
                return;
        buf_reset(scratch);
        h1_write_last_chunk(scratch, s->req_trailers.n_fields ? &s->req_trailers : NULL);
        if (scratch->failed)
                out->failed = true;
        else
                chain_span(out, buf_span(scratch));
}

static enum h1_client_rc bad(struct h1_client *x, const char *why)
{
        x->why = why;
        return H1C_BAD;
}

static bool accept_is_right(const struct stream *s)
{
        const struct field *f = msg_find(&s->resp, SPAN_LIT("sec-websocket-accept"));
        return s->ws_accept.n == 0 || (f && span_eq(f->value, s->ws_accept)); /* else the client has the key, and checks */
}

/* 101: from here on the connection carries whatever was asked for (RFC 9110 15.2.2, requirement 54). */
static enum h1_client_rc tunnel_begin(struct h1_client *x, struct stream *s, const struct h1_client_ops *ops)
{
        struct msg *m = &s->resp;
        if (s->req.upgrade.n == 0)
                return bad(x, "101 without an upgrade request");
        if (!span_eq(m->upgrade, s->req.upgrade))
                return bad(x, "101 for another protocol");
        if (!accept_is_right(s))
                return bad(x, "wrong sec-websocket-accept");
        m->framing = BODY_CLOSE;
        h1_body_init(&x->resp, m);
        x->head = s->tunnel = true;
        s->req_done &= s->h2_connect; /* in HTTP/1.1 the request has ended, its half of the tunnel begins */
        return ops->head(s) < 0 ? H1C_NO_MEMORY : H1C_MORE;
}

static enum h1_client_rc head_input(struct h1_client *x, struct stream *s, const struct h1_client_ops *ops,
                                    struct span in, size_t *ret_used)
{
        struct msg *m = &s->resp;
        msg_init(m, &s->arena);
        enum h1_rc rc = h1_response(&x->scan, in, &response_limits, s->req.method, m, ret_used);
        if (rc == H1_MORE)
                return H1C_MORE;
        if (rc == H1_NO_MEMORY)
                return H1C_NO_MEMORY;
        if (rc != H1_OK)
                return bad(x, h1_rc_str(rc));
        x->scan = (struct h1_scan){0};
        if (m->status < 200) {
                if (m->status == 101)
                        return tunnel_begin(x, s, ops);
                if (++x->interims > L7_INTERIM_RESPONSES)
                        return bad(x, "too many 1xx responses");
                ops->interim(s, m);
                return H1C_MORE;
        }
        if (s->h2_connect && m->status < 300) /* to the client it would mean that the tunnel stands */
                return bad(x, "the upgrade was ignored");
        x->head = true;
        x->reusable = m->keep_alive && m->framing != BODY_CLOSE;
        h1_body_init(&x->resp, m);
        bool body = stream_has_body(m); /* before the session rewrites the framing for its side */
        int r = ops->head(s);
        if (r < 0)
                return r == -EAGAIN ? H1C_AGAIN : H1C_NO_MEMORY;
        return body ? H1C_MORE : H1C_DONE;
}

/* The body decoder keeps x->resp.framing: the session may rewrite s->resp.framing for its own side. */
static enum h1_client_rc body_input(struct h1_client *x, struct stream *s, struct span in, size_t *ret_used)
{
        struct span data;
        size_t room = s->down->room(s);
        if (room == 0)
                return H1C_WINDOW;
        if (in.n > room)
                in.n = room;
        enum h1_rc rc = h1_body_feed(&x->resp, in, &s->resp_trailers, &data, ret_used);
        if (rc == H1_NO_MEMORY)
                return H1C_NO_MEMORY;
        if (rc != H1_OK && rc != H1_MORE)
                return bad(x, h1_rc_str(rc));
        if (data.n)
                s->down->data(s, data);
        return x->resp.done ? H1C_DONE : H1C_MORE;
}

enum h1_client_rc h1_client_input(struct h1_client *x, struct stream *s, const struct h1_client_ops *ops,
                                  struct span in, size_t *ret_used)
{
        size_t taken = 0;
        enum h1_client_rc rc = H1C_MORE;
        while (taken < in.n && rc == H1C_MORE) {
                struct span rest = SPAN(in.p + taken, in.n - taken);
                size_t used = 0;
                rc = x->head ? body_input(x, s, rest, &used) : head_input(x, s, ops, rest, &used);
                if (used == 0 && rc == H1C_MORE)
                        break;
                taken += used;
        }
        *ret_used = taken;
        return rc;
}

enum h1_client_rc h1_client_eof(struct h1_client *x)
{
        if (x->head && x->resp.framing == BODY_CLOSE) {
                x->reusable = false;
                return H1C_DONE;
        }
        return bad(x, "closed before the response was complete");
}
