/* l7gw/core/h2_client.c - see h2_client.h. */
#include "lib/base.h"
#include "l7gw/core/h2_client.h"
#include "l7gw/core/h2_message.h"

#include <nghttp2/nghttp2.h>

#define MAGIC 0x4832434cu
struct h2_client {
        uint32_t magic;
        const struct h2_client_ops *ops;
        void *conn;
        nghttp2_session *session;
        struct chain *out;
        size_t out_limit;
        struct stream *streams;
        size_t n_streams;
        uint32_t credit; /* frames without use before the origin counts as hostile */
        bool tls, settings, leaving, dead;
};

static struct h2_client *h2_of(void *p)
{
        struct h2_client *h = p;
        BUG_ON(!h || h->magic != MAGIC);
        return h;
}

static struct stream *stream_of(struct h2_client *h, int32_t id)
{
        return nghttp2_session_get_stream_user_data(h->session, id);
}

/* ---- a stream's time here ---- */

static void stream_list(struct h2_client *h, struct stream *s, int32_t id)
{
        s->up = (struct stream_up){.id = id, .next = h->streams, .pprev = &h->streams};
        if (s->up.next)
                s->up.next->up.pprev = &s->up.next;
        h->streams = s;
        h->n_streams++;
}

static void stream_unlist(struct h2_client *h, struct stream *s)
{
        *s->up.pprev = s->up.next;
        if (s->up.next)
                s->up.next->up.pprev = s->up.pprev;
        h->n_streams--;
        (void)nghttp2_session_set_stream_user_data(h->session, s->up.id, NULL); /* unknown there: nothing to forget */
        if (s->up.unread > 0 && !h->dead)
                (void)nghttp2_session_consume_connection(h->session, s->up.unread); /* out of memory: the window shrinks */
        s->up = (struct stream_up){0};
}

static void stream_over(struct h2_client *h, struct stream *s, enum h2_client_end end, const char *why)
{
        stream_unlist(h, s);
        h->ops->over(s, end, why);
}

static void stream_rst(struct h2_client *h, int32_t id, uint32_t code)
{
        if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, code) != 0)
                h->out->failed = true; /* out of memory: the connection goes */
        h->ops->output(h->conn);
}

/* We end it: the origin hears of it. */
static void stream_quit(struct h2_client *h, struct stream *s, uint32_t code, enum h2_client_end end, const char *why)
{
        stream_rst(h, s->up.id, code);
        stream_over(h, s, end, why);
}

static void response_done(struct h2_client *h, struct stream *s)
{
        if (s->req_done && s->req_body.n == 0 && !s->up.sending)
                stream_over(h, s, H2C_DONE, NULL);
        else /* an early answer: what is left of the request is nobody's any more */
                stream_quit(h, s, NGHTTP2_NO_ERROR, H2C_DONE, NULL);
}

/* ---- input callbacks ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
        struct stream *s = stream_of(h2_of(user), f->hd.stream_id);
        (void)session;
        if (s && !s->up.head) {
                msg_init(&s->resp, &s->arena);
                s->up.list_bytes = 0;
        }
        return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
        struct stream *s = stream_of(h2_of(user), f->hd.stream_id);
        (void)session;
        (void)flags;
        if (!s)
                return 0;
        if (s->up.head)
                h2_trailer(s, &s->resp_trailers, SPAN(name, name_n), SPAN(value, value_n));
        else
                h2_response_field(s, SPAN(name, name_n), SPAN(value, value_n));
        return 0;
}

static void response_head(struct h2_client *h, struct stream *s, bool end)
{
        struct msg *m = &s->resp;
        const char *why = h2_response_finish(s, end);
        if (!why && m->status < 200 && (end || ++s->up.interims > L7_INTERIM_RESPONSES))
                why = end ? "1xx as the last word" : "too many 1xx responses";
        if (!why && s->h2_connect && m->status < 300 && m->status >= 200 && !s->tunnel)
                why = "the upgrade was ignored";
        if (why) {
                stream_quit(h, s, NGHTTP2_PROTOCOL_ERROR, H2C_BAD, why);
                return;
        }
        if (m->status < 200 && !s->tunnel) {
                h->ops->interim(s, m);
                return;
        }
        s->up.head = true;
        int r = h->ops->head(s);
        if (r < 0) {
                stream_quit(h, s, NGHTTP2_CANCEL, r == -EAGAIN ? H2C_AGAIN : H2C_NO_MEMORY, NULL);
                return;
        }
        if (s->tunnel)
                h2_client_data(h, s); /* what the client has said already */
        if (end)
                response_done(h, s);
}

static void useless(struct h2_client *h)
{
        if (h->credit > 0)
                h->credit--;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
        struct h2_client *h = h2_of(user);
        struct stream *s = f->hd.stream_id ? stream_of(h, f->hd.stream_id) : NULL;
        bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
        (void)session;
        switch (f->hd.type) {
        case NGHTTP2_HEADERS:
                if (s && !s->up.head)
                        response_head(h, s, end);
                else if (s && end)
                        response_done(h, s);
                return 0;
        case NGHTTP2_DATA:
                if (f->hd.length <= f->data.padlen && !end)
                        useless(h);
                if (s && end)
                        response_done(h, s);
                return 0;
        case NGHTTP2_SETTINGS:
                useless(h);
                if (!h->settings && !(f->hd.flags & NGHTTP2_FLAG_ACK)) {
                        h->settings = true;
                        h->ops->settings(h->conn);
                }
                return 0;
        case NGHTTP2_GOAWAY:
                h->leaving = true;
                return 0;
        case NGHTTP2_RST_STREAM:
                if (s)
                        s->up.was_reset = true;
                return 0;
        case NGHTTP2_WINDOW_UPDATE:
                if (f->window_update.window_size_increment < 1024)
                        useless(h);
                return 0;
        default:
                useless(h);
                return 0;
        }
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
        struct h2_client *h = h2_of(user);
        struct stream *s = stream_of(h, id);
        (void)flags;
        h->credit = L7_H2_GLITCHES;
        if (!s) /* cancelled */
                return nghttp2_session_consume(session, id, n) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
        s->up.unread += n;
        if (s->resp.framing == BODY_NONE || s->resp.length_implied) {
                stream_quit(h, s, NGHTTP2_PROTOCOL_ERROR, H2C_BAD, "a body where none may be");
                return 0;
        }
        h->ops->data(s, SPAN(p, n));
        if (stream_of(h, id) == s) /* it was not the client's last byte */
                h2_client_resume(h, s);
        return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
        struct h2_client *h = h2_of(user);
        struct stream *s = stream_of(h, id);
        (void)session;
        if (!s)
                return 0;
        if (code == NGHTTP2_REFUSED_STREAM)
                stream_over(h, s, H2C_REFUSED, NULL);
        else if (s->up.was_reset)
                stream_over(h, s, H2C_RESET, NULL);
        else /* it was nghttp2 that ended it */
                stream_over(h, s, H2C_BAD, "invalid frames");
        return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *f, int code, void *user)
{
        (void)session;
        (void)f;
        (void)code;
        useless(h2_of(user));
        return 0;
}

/* ---- output callbacks ---- */

static ssize_t on_send(nghttp2_session *session, const uint8_t *p, size_t n, int flags, void *user)
{
        struct h2_client *h = h2_of(user);
        (void)session;
        (void)flags;
        if (h->out->n >= h->out_limit)
                return NGHTTP2_ERR_WOULDBLOCK;
        chain_add(h->out, p, n);
        return h->out->failed ? NGHTTP2_ERR_CALLBACK_FAILURE : (ssize_t)n;
}

static ssize_t body_read(nghttp2_session *session, int32_t id, uint8_t *p, size_t max, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
        struct stream *s = stream_of(h2_of(user), id);
        (void)p;
        (void)source;
        if (!s)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* cancelled: its RST_STREAM stands behind this frame */
        bool held = s->req.upgrade.n && !s->tunnel; /* nothing before the tunnel stands */
        size_t n = held ? 0 : MIN(max, s->req_body.n);
        bool last = !held && s->req_done && n == s->req_body.n;
        if (n == 0 && !last)
                return NGHTTP2_ERR_DEFERRED;
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
        if (!last)
                return (ssize_t)n;
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->req_trailers.n_fields > 0 && !s->tunnel) {
                size_t count;
                nghttp2_nv *nv = h2_fields(s, &s->req_trailers, 0, &count);
                if (!nv || nghttp2_submit_trailer(session, id, nv, count) != 0)
                        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
                *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        }
        return (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *f, const uint8_t *head, size_t n,
                        nghttp2_data_source *source, void *user)
{
        struct h2_client *h = h2_of(user);
        struct stream *s = stream_of(h, f->hd.stream_id);
        (void)session;
        (void)source;
        BUG_ON(f->data.padlen != 0); /* no padding callback is set */
        if (!s)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        if (h->out->n >= h->out_limit)
                return NGHTTP2_ERR_WOULDBLOCK;
        h->ops->sending(s, n);
        chain_add(h->out, head, 9);
        chain_move(h->out, &s->req_body, n);
        if (f->hd.flags & NGHTTP2_FLAG_END_STREAM)
                s->up.sending = false;
        h->ops->sent(s);
        return h->out->failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
        struct h2_client *h = h2_of(user);
        (void)session;
        if (f->hd.type != NGHTTP2_HEADERS || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
                return 0;
        struct stream *s = stream_of(h, f->hd.stream_id);
        if (s)
                s->up.sending = false;
        return 0;
}

/* A request that could not begin: GOAWAY was faster, or its head cannot be sent. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *f, int code, void *user)
{
        struct h2_client *h = h2_of(user);
        (void)session;
        if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
                return 0;
        for (struct stream *s = h->streams; s; s = s->up.next)
                if (s->up.id == f->hd.stream_id) {
                        bool goaway = code == NGHTTP2_ERR_START_STREAM_NOT_ALLOWED || code == NGHTTP2_ERR_STREAM_CLOSING;
                        stream_over(h, s, goaway ? H2C_REFUSED : H2C_NO_MEMORY, NULL);
                        break;
                }
        return 0;
}

/* ---- life ---- */

static int session_make(struct h2_client *h)
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
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
        nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
        nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
        nghttp2_session_callbacks_set_send_callback(cb, on_send);
        nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
        nghttp2_option_set_no_auto_window_update(opt, 1);
        nghttp2_option_set_no_closed_streams(opt, 1);
        nghttp2_option_set_max_outbound_ack(opt, L7_H2_ACK_QUEUE);
        nghttp2_option_set_max_continuations(opt, L7_H2_CONTINUATIONS);
        int r = nghttp2_session_client_new2(&h->session, cb, h, opt);
        nghttp2_session_callbacks_del(cb);
        nghttp2_option_del(opt);
        return r == 0 ? 0 : -ENOMEM;
}

int h2_client_new(const struct h2_client_conf *conf, struct h2_client **ret)
{
        struct h2_client *h = calloc(1, sizeof *h);
        if (!h)
                return -ENOMEM;
        *h = (struct h2_client){.magic = MAGIC,
                                .ops = conf->ops,
                                .conn = conf->conn,
                                .out = conf->out,
                                .tls = conf->tls,
                                .credit = L7_H2_GLITCHES};
        const nghttp2_settings_entry settings[] = {
                {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, conf->buffer_bytes},
                {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, L7_H2_RESPONSE_LIST},
        };
        uint64_t window = MIN((uint64_t)conf->buffer_bytes * L7_H2_UPSTREAM_STREAMS, (uint64_t)INT32_MAX);
        if (session_make(h) < 0 ||
            nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings)) != 0 ||
            nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, (int32_t)window) != 0) {
                h2_client_free(h);
                return -ENOMEM;
        }
        *ret = h;
        return 0;
}

void h2_client_free(struct h2_client *h)
{
        if (!h)
                return;
        BUG_ON(h->streams);
        nghttp2_session_del(h->session);
        h->magic = 0;
        free(h);
}

void h2_client_gone(struct h2_client *h)
{
        h->dead = true;
        while (h->streams)
                stream_over(h, h->streams, H2C_RESET, NULL);
}

/* ---- what the engine asks for ---- */

size_t h2_client_streams(const struct h2_client *h)
{
        return h->n_streams;
}

bool h2_client_leaving(const struct h2_client *h)
{
        return h->dead || h->leaving || !nghttp2_session_check_request_allowed(h->session);
}

enum h2_client_may h2_client_may(const struct h2_client *h, const struct stream *s)
{
        uint32_t max = nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
        if (h2_client_leaving(h))
                return H2C_NEVER;
        if (s->req.upgrade.n && h->settings &&
            !nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL))
                return H2C_UNABLE;
        if (h->n_streams >= MIN(max, (uint32_t)L7_H2_UPSTREAM_STREAMS) || (s->req.upgrade.n && !h->settings))
                return H2C_WAIT;
        return H2C_NOW;
}

int h2_client_request(struct h2_client *h, struct stream *s)
{
        size_t n;
        nghttp2_nv *nv = h2_request_fields(s, h->tls, &n);
        nghttp2_data_provider body = {.read_callback = body_read};
        bool sends = stream_has_body(&s->req) || s->req.upgrade.n;
        if (!nv)
                return -ENOMEM;
        int32_t id = nghttp2_submit_request(h->session, NULL, nv, n, sends ? &body : NULL, s);
        if (id < 0) {
                h->leaving |= id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE;
                return id == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EAGAIN;
        }
        stream_list(h, s, id);
        s->up.sending = sends;
        h->ops->output(h->conn);
        return 0;
}

void h2_client_data(struct h2_client *h, struct stream *s)
{
        (void)nghttp2_session_resume_data(h->session, s->up.id); /* fails when it was not deferred: fine */
        h->ops->output(h->conn);
}

void h2_client_resume(struct h2_client *h, struct stream *s)
{
        if (s->up.unread == 0)
                return;
        s->resp_waits = s->down->room(s) == 0;
        if (s->resp_waits)
                return;
        if (nghttp2_session_consume(h->session, s->up.id, s->up.unread) != 0)
                h->out->failed = true; /* out of memory: the connection goes */
        s->up.unread = 0;
        h->ops->output(h->conn);
}

void h2_client_cancel(struct h2_client *h, struct stream *s)
{
        stream_rst(h, s->up.id, NGHTTP2_CANCEL);
        stream_unlist(h, s);
}

void h2_client_goaway(struct h2_client *h)
{
        h->leaving = true;
        (void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0); /* a courtesy */
}

int h2_client_input(struct h2_client *h, struct span in)
{
        ssize_t r = nghttp2_session_mem_recv(h->session, in.p, in.n);
        if (r < 0 || (size_t)r != in.n || h->credit == 0)
                return -EPROTO;
        h->ops->output(h->conn);
        return 0;
}

int h2_client_output(struct h2_client *h, size_t limit)
{
        h->out_limit = limit;
        if (h->out->n >= limit)
                return 0;
        int r = nghttp2_session_send(h->session);
        bool over = !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
        return r == 0 && !h->out->failed && !over ? 0 : -EPROTO;
}
