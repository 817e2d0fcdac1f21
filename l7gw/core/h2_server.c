/* l7gw/core/h2_server.c - see h2_server.h. */
#include "lib/base.h"
#include "l7gw/core/h2_server.h"
#include "l7gw/core/h2_guard.h"
#include "l7gw/core/h2_message.h"

#include <nghttp2/nghttp2.h>

#define MAGIC 0x48325356u
struct h2_server {
        uint32_t magic;
        const struct stream_engine *engine;
        void *conn;
        nghttp2_session *session;
        struct chain out;
        size_t out_limit;
        struct stream *streams;
        size_t n_streams, n_heads;
        uint32_t buffer_bytes, n_requests;
        uint32_t credit_glitches, credit_faults; /* what is left before the connection counts as hostile */
        struct h2_guard guard;
        bool tls, hostile, dead, acknowledged;
        uint8_t drain; /* 0 none, 1 notice sent, 2 final */
};

static const struct stream_down h2_down;

static struct h2_server *h2_of(void *p)
{
        struct h2_server *h = p;
        BUG_ON(!h || h->magic != MAGIC);
        return h;
}

static struct stream *stream_of(struct h2_server *h, int32_t id)
{
        return nghttp2_session_get_stream_user_data(h->session, id);
}

static void glitch(struct h2_server *h, uint32_t *credit)
{
        if (*credit > 0)
                --*credit;
        else
                h->hostile = true;
}

/* A finished request earns credit back, so long-lived honest connections never run dry. */
static void earn(struct h2_server *h)
{
        h->credit_glitches = MIN(h->credit_glitches + 20, (uint32_t)L7_H2_GLITCHES);
        h->credit_faults = MIN(h->credit_faults + 1, (uint32_t)L7_H2_FAULTS);
}

static void stream_unlink(struct h2_server *h, struct stream *s)
{
        *s->pprev = s->next;
        if (s->next)
                s->next->pprev = s->pprev;
        h->n_streams--;
        if (s->state == STREAM_HEAD)
                h->n_heads--;
}

static void stream_over(struct h2_server *h, struct stream *s)
{
        stream_unlink(h, s);
        size_t unread = (size_t)(s->req_bytes - s->req_drained);
        if (unread > 0 && !h->dead) /* the stream's window died with it, the connection's must be given back */
                (void)nghttp2_session_consume_connection(h->session,
                                                         unread); /* fails only out of memory: then it shrinks */
        h->engine->close(s);
}

/* ---- input callbacks ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
        struct h2_server *h = h2_of(user);
        if (f->headers.cat != NGHTTP2_HCAT_REQUEST)
                return 0;
        struct stream *s = h->engine->open(h->conn);
        if (!s)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets this stream only */
        s->down = &h2_down;
        s->session = h;
        s->id = f->hd.stream_id;
        s->next = h->streams;
        if (s->next)
                s->next->pprev = &s->next;
        s->pprev = &h->streams;
        h->streams = s;
        h->n_streams++;
        h->n_heads++;
        if (nghttp2_session_set_stream_user_data(session, s->id, s) != 0) {
                stream_over(h, s);
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
        return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
        struct h2_server *h = h2_of(user);
        struct stream *s = stream_of(h, f->hd.stream_id);
        (void)session;
        (void)flags;
        if (!s)
                return 0;
        if (f->headers.cat == NGHTTP2_HCAT_REQUEST)
                h2_request_field(s, SPAN(name, name_n), SPAN(value, value_n));
        if (s->h2_list_bytes > 4u * L7_H2_HEADER_LIST) { /* a bomb: no honest list goes that far beyond the limit it was told */
                h->hostile = true;
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the rest is decoded, but not looked at */
        }
        if (f->headers.cat != NGHTTP2_HCAT_REQUEST)
                h2_trailer(s, &s->req_trailers, SPAN(name, name_n), SPAN(value, value_n));
        return 0;
}

static void request_head(struct h2_server *h, struct stream *s, bool end)
{
        unsigned status = h2_request_finish(s, h->tls, end);
        h->n_heads--;
        h->n_requests++;
        s->req_done = end;
        if (status != 0) {
                if (status == 431) /* field lists that cost more to read than to send */
                        glitch(h, &h->credit_faults);
                h->engine->refuse(s, status, status == 431   ? "header section over the limit"
                                              : status == 417 ? "unknown expectation"
                                              : status == 501 ? "unknown protocol"
                                                              : "malformed request");
                return;
        }
        earn(h);
        h->engine->request(s);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
        struct h2_server *h = h2_of(user);
        bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
        (void)session;
        switch (f->hd.type) {
        case NGHTTP2_HEADERS: {
                struct stream *s = stream_of(h, f->hd.stream_id);
                if (!s)
                        return 0;
                if (f->headers.cat == NGHTTP2_HCAT_REQUEST) {
                        request_head(h, s, end);
                } else if (end && !s->req_done) {
                        s->req_done = true;
                        h->engine->req_end(s);
                }
                return 0;
        }
        case NGHTTP2_DATA: {
                struct stream *s = stream_of(h, f->hd.stream_id);
                if (f->hd.length <= f->data.padlen && !end)
                        glitch(h, &h->credit_glitches);
                if (s && end && !s->req_done) {
                        s->req_done = true;
                        h->engine->req_end(s);
                }
                return 0;
        }
        case NGHTTP2_WINDOW_UPDATE:
                if (f->window_update.window_size_increment < 1024)
                        glitch(h, &h->credit_glitches);
                return 0;
        case NGHTTP2_SETTINGS:
                h->acknowledged |= f->hd.flags & NGHTTP2_FLAG_ACK;
                glitch(h, &h->credit_glitches);
                return 0;
        default:
                glitch(h, &h->credit_glitches);
                return 0;
        }
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
        struct h2_server *h = h2_of(user);
        struct stream *s = stream_of(h, id);
        (void)flags;
        if (!s || s->resp_done) { /* answered already: nobody wants it */
                if (s) {
                        s->req_bytes += n;
                        s->req_drained += n;
                }
                return nghttp2_session_consume(session, id, n) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        s->req_bytes += n;
        h->engine->req_data(s, SPAN(p, n));
        return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
        struct h2_server *h = h2_of(user);
        struct stream *s = stream_of(h, id);
        if (!s)
                return 0;
        (void)nghttp2_session_set_stream_user_data(session, id,
                                                   NULL); /* fails only when the stream is unknown: gone is gone */
        s->complete = s->resp_done && s->complete && (code == NGHTTP2_NO_ERROR || code == NGHTTP2_CANCEL);
        stream_over(h, s);
        return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
        struct h2_server *h = h2_of(user);
        if (f->hd.type == NGHTTP2_RST_STREAM && f->rst_stream.error_code != NGHTTP2_NO_ERROR) {
                glitch(h, &h->credit_faults);
                return 0;
        }
        if ((f->hd.type != NGHTTP2_DATA && f->hd.type != NGHTTP2_HEADERS) || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
                return 0;
        struct stream *s = stream_of(h, f->hd.stream_id);
        if (!s)
                return 0;
        s->complete = true;
        if (!s->req_done) /* an early answer: tell the client to stop sending (RFC 9113 8.1) */
                return nghttp2_submit_rst_stream(session, 0, s->id, NGHTTP2_NO_ERROR) == 0
                               ? 0
                               : NGHTTP2_ERR_CALLBACK_FAILURE;
        return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *f, int code, void *user)
{
        struct h2_server *h = h2_of(user);
        (void)session;
        (void)f;
        (void)code;
        glitch(h, &h->credit_faults);
        return 0;
}

/* ---- output callbacks ---- */

static ssize_t on_send(nghttp2_session *session, const uint8_t *p, size_t n, int flags, void *user)
{
        struct h2_server *h = h2_of(user);
        (void)session;
        (void)flags;
        if (h->out.n >= h->out_limit)
                return NGHTTP2_ERR_WOULDBLOCK;
        chain_add(&h->out, p, n);
        return h->out.failed ? NGHTTP2_ERR_CALLBACK_FAILURE : (ssize_t)n;
}

static ssize_t body_read(nghttp2_session *session, int32_t id, uint8_t *p, size_t max, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
        struct stream *s = source->ptr;
        size_t n = MIN(max, s->resp_body.n);
        bool last = s->resp_done && n == s->resp_body.n;
        (void)p;
        (void)user;
        if (n == 0 && !last)
                return NGHTTP2_ERR_DEFERRED;
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
        if (!last)
                return (ssize_t)n;
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->resp_trailers.n_fields > 0) {
                size_t count;
                nghttp2_nv *nv = h2_fields(s, &s->resp_trailers, 0, &count);
                if (!nv || nghttp2_submit_trailer(session, id, nv, count) != 0)
                        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
                *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        }
        return (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *f, const uint8_t *head, size_t n,
                        nghttp2_data_source *source, void *user)
{
        struct h2_server *h = h2_of(user);
        struct stream *s = source->ptr;
        (void)session;
        BUG_ON(f->data.padlen != 0); /* no padding callback is set */
        if (h->out.n >= h->out_limit)
                return NGHTTP2_ERR_WOULDBLOCK;
        chain_add(&h->out, head, 9);
        chain_move(&h->out, &s->resp_body, n);
        s->resp_sent += n;
        if (s->resp_waits && s->resp_body.n < h->buffer_bytes)
                h->engine->resp_room(s);
        return h->out.failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* ---- life ---- */

static int session_make(struct h2_server *h)
{
        nghttp2_session_callbacks *cb = NULL;
        nghttp2_option *opt = NULL;
        if (nghttp2_session_callbacks_new(&cb) != 0)
                return -ENOMEM;
        if (nghttp2_option_new(&opt) != 0) {
                nghttp2_session_callbacks_del(cb);
                return -ENOMEM;
        }
        nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
        nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
        nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
        nghttp2_session_callbacks_set_send_callback(cb, on_send);
        nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
        nghttp2_option_set_no_auto_window_update(opt, 1);
        nghttp2_option_set_no_closed_streams(opt, 1);
        nghttp2_option_set_max_outbound_ack(opt, L7_H2_ACK_QUEUE);
        nghttp2_option_set_stream_reset_rate_limit(opt, L7_H2_RESET_BURST, L7_H2_RESET_RATE);
        nghttp2_option_set_max_continuations(opt, L7_H2_CONTINUATIONS);
        int r = nghttp2_session_server_new2(&h->session, cb, h, opt);
        nghttp2_session_callbacks_del(cb);
        nghttp2_option_del(opt);
        return r == 0 ? 0 : -ENOMEM;
}

int h2_server_new(const struct h2_server_conf *conf, struct h2_server **ret)
{
        struct h2_server *h = calloc(1, sizeof *h);
        if (!h)
                return -ENOMEM;
        *h = (struct h2_server){.magic = MAGIC,
                                .engine = conf->engine,
                                .conn = conf->conn,
                                .tls = conf->tls,
                                .buffer_bytes = conf->buffer_bytes,
                                .credit_glitches = L7_H2_GLITCHES,
                                .credit_faults = L7_H2_FAULTS};
        chain_init(&h->out, conf->pool);
        h2_guard_init(&h->guard);
        const nghttp2_settings_entry settings[] = {
                {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, L7_H2_STREAMS},
                {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, conf->buffer_bytes},
                {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, L7_H2_HEADER_LIST},
                {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
                {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1}, /* any route may lead to a WebSocket */
        };
        if (session_make(h) < 0 ||
            nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings)) != 0 ||
            nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, L7_H2_CONN_WINDOW) != 0) {
                h2_server_free(h);
                return -ENOMEM;
        }
        *ret = h;
        return 0;
}

void h2_server_free(struct h2_server *h)
{
        if (!h)
                return;
        BUG_ON(h->streams);
        nghttp2_session_del(h->session);
        chain_clear(&h->out);
        h->magic = 0;
        free(h);
}

struct chain *h2_server_out(struct h2_server *h)
{
        return &h->out;
}
bool h2_server_acknowledged(const struct h2_server *h)
{
        return h->acknowledged;
}

void h2_server_unacknowledged(struct h2_server *h)
{
        if (nghttp2_session_terminate_session(h->session, NGHTTP2_SETTINGS_TIMEOUT) != 0)
                h->out.failed = true; /* out of memory: the connection goes */
        h->engine->output(h->conn);
}

size_t h2_server_streams(const struct h2_server *h)
{
        return h->n_streams;
}
uint32_t h2_server_requests(const struct h2_server *h)
{
        return h->n_requests;
}
size_t h2_server_heads(const struct h2_server *h)
{
        return h->n_heads;
}

static bool stream_is_open(void *arg, uint32_t id)
{
        struct h2_server *h = arg;
        return nghttp2_session_find_stream(h->session, (int32_t)id) != NULL;
}

int h2_server_input(struct h2_server *h, struct span in)
{
        uint32_t code = 0;
        size_t well = h2_guard_check(&h->guard, in, stream_is_open, h, &code);
        ssize_t r = nghttp2_session_mem_recv(h->session, in.p, well);
        if (r < 0 || (size_t)r != well)
                return -EPROTO;
        for (; h->guard.useless > 0; h->guard.useless--)
                glitch(h, &h->credit_glitches);
        if (code != 0 && nghttp2_session_terminate_session(h->session, code) != 0)
                return -EPROTO;
        if (h->hostile && nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM) != 0)
                return -EPROTO;
        h->engine->output(h->conn);
        return 0;
}

int h2_server_output(struct h2_server *h, size_t limit)
{
        h->out_limit = limit;
        if (h->out.n >= limit)
                return 0;
        int r = nghttp2_session_send(h->session);
        return r == 0 && !h->out.failed ? 0 : -EPROTO;
}

bool h2_server_finished(const struct h2_server *h)
{
        if (nghttp2_session_want_write(h->session))
                return false;
        return !nghttp2_session_want_read(h->session) || (h->drain == 2 && h->n_streams == 0);
}

void h2_server_drain(struct h2_server *h, bool final)
{
        if (!final && h->drain == 0) {
                h->drain = 1;
                (void)nghttp2_submit_shutdown_notice(h->session); /* out of memory: the final GOAWAY follows anyway */
        } else if (final && h->drain < 2) {
                h->drain = 2;
                (void)nghttp2_submit_goaway(
                        h->session, NGHTTP2_FLAG_NONE, /* out of memory: closed by the drain timeout */
                        nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR, NULL, 0);
        }
        h->engine->output(h->conn);
}

void h2_server_gone(struct h2_server *h)
{
        h->dead = true;
        while (h->streams) {
                struct stream *s = h->streams;
                (void)nghttp2_session_set_stream_user_data(h->session, s->id,
                                                           NULL); /* unknown stream: nothing to forget */
                stream_over(h, s);
        }
}

/* ---- what the engine calls ---- */

static void stream_kill(struct h2_server *h, struct stream *s, uint32_t code)
{
        if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, code) != 0)
                h->out.failed = true; /* out of memory: the connection goes */
        h->engine->output(h->conn);
}

static void down_interim(struct stream *s, const struct msg *m)
{
        struct h2_server *h = s->session;
        size_t count;
        nghttp2_nv *nv = h2_fields(s, m, m->status, &count);
        if (nv) /* an interim response that cannot be sent is no loss */
                (void)nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, s->id, NULL, nv, count, NULL);
        h->engine->output(h->conn);
}

static void down_head(struct stream *s)
{
        struct h2_server *h = s->session;
        size_t count;
        if (s->tunnel) /* HTTP/2 proves nothing: its 200 is enough (RFC 8441 5) */
                msg_remove(&s->resp, SPAN_LIT("sec-websocket-accept"));
        nghttp2_nv *nv = h2_fields(s, &s->resp, s->tunnel ? 200 : s->resp.status, &count);
        s->h2_provider = stream_has_body(&s->resp);
        nghttp2_data_provider body = {.source.ptr = s, .read_callback = body_read};
        if (!nv || nghttp2_submit_response(h->session, s->id, nv, count, s->h2_provider ? &body : NULL) != 0)
                stream_kill(h, s, NGHTTP2_INTERNAL_ERROR);
        h->engine->output(h->conn);
}

static void down_data(struct stream *s, struct span d)
{
        struct h2_server *h = s->session;
        if (d.n == 0)
                return;
        s->resp_bytes += d.n;
        bool idle = s->resp_body.n == 0;
        chain_span(&s->resp_body, d);
        if (s->resp_body.failed)
                stream_kill(h, s, NGHTTP2_INTERNAL_ERROR);
        else if (idle)
                (void)nghttp2_session_resume_data(h->session, s->id); /* fails when it was not deferred: fine */
        h->engine->output(h->conn);
}

static void down_end(struct stream *s)
{
        struct h2_server *h = s->session;
        s->resp_done = true;
        if (s->h2_provider)
                (void)nghttp2_session_resume_data(h->session, s->id); /* fails when it was not deferred: fine */
        h->engine->output(h->conn);
}

static void down_cut(struct stream *s)
{
        stream_kill(s->session, s, NGHTTP2_INTERNAL_ERROR);
}

static size_t down_room(const struct stream *s)
{
        const struct h2_server *h = s->session;
        return s->resp_body.n >= h->buffer_bytes ? 0 : h->buffer_bytes - s->resp_body.n;
}

static void down_drained(struct stream *s, size_t n)
{
        struct h2_server *h = s->session;
        s->req_drained += n;
        if (nghttp2_session_consume(h->session, s->id, n) != 0)
                h->out.failed = true; /* out of memory: the connection goes */
        h->engine->output(h->conn);
}

static const struct stream_down h2_down = {
        .interim = down_interim,
        .head = down_head,
        .data = down_data,
        .end = down_end,
        .cut = down_cut,
        .room = down_room,
        .drained = down_drained,
};
