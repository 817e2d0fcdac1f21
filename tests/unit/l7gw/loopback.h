/* tests/unit/l7gw/loopback.h - an engine without sockets behind a session: answers by path, counts what it is told.
 *   /echo      200, the request body back          /status/NNN  that status, no body        /big/N  N bytes "x", as
 * room allows /hold      never answers                       /early       413 before the body is read  /cut   200, 10
 * of 100 bytes, fail /chunked   200 "hello" of unknown length with a trailer                                  /hints
 * 103, then 200 Header only; every test file is one program. */
#pragma once
#include "l7gw/core/stream.h"
#include "lib/core/buf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { LOOP_BUFFER = 16384 };
struct loop_stream {
        struct stream s;
        struct buf body;
        size_t to_send; /* of /big */
        bool held;
};
struct loopback {
        struct chunk_pool pool;
        struct buf scratch;
        struct loop_stream *last; /* opened last; NULL once closed */
        unsigned opened, closed, completed, requests, refused, outputs;
        size_t body_max;   /* most request body bytes parked at once */
        size_t req_window; /* what req_room says */
        bool park;         /* request bodies are not drained until loopback_drain */
        char log[4096];    /* one word per event, for tables */
};

static inline void log_add(struct loopback *l, const char *fmt, ...) PRINTF(2, 3);
static inline void log_add(struct loopback *l, const char *fmt, ...)
{
        size_t n = strlen(l->log);
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(l->log + n, sizeof l->log - n, fmt, ap);
        va_end(ap);
}

static inline struct loop_stream *loop_of(struct stream *s)
{
        return CONTAINER_OF(s, struct loop_stream, s);
}

static struct stream *loop_open(void *conn)
{
        struct loopback *l = conn;
        struct loop_stream *x = calloc(1, sizeof *x);
        assert_non_null(x);
        arena_init(&x->s.arena, L7_STREAM_CHUNK_BYTES, L7_STREAM_ARENA_BYTES);
        stream_init(&x->s, &l->pool);
        buf_init(&x->body, 1u << 24);
        x->s.conn = l;
        l->last = x;
        l->opened++;
        return &x->s;
}

static inline void loop_head(struct stream *s, unsigned status, enum body_framing framing, size_t n)
{
        stream_set(s, STREAM_LOCAL);
        s->resp.status = (uint16_t)status;
        s->resp.framing = framing;
        s->resp.content_length = n;
        if (span_eq_str(s->req.method, "HEAD") || status == 204 || status == 304) {
                s->resp.framing = BODY_NONE;
                s->resp.has_length = span_eq_str(s->req.method, "HEAD");
        }
        s->resp_head = true;
        s->down->head(s);
}

static inline void loop_end(struct stream *s)
{
        s->resp_done = true;
        s->down->end(s);
}

static inline void loop_answer(struct stream *s, unsigned status, const char *body)
{
        loop_head(s, status, BODY_LENGTH, strlen(body));
        if (s->resp.framing != BODY_NONE)
                s->down->data(s, span_str(body));
        loop_end(s);
}

/* Sends what the session has room for; ends the stream with the last byte. */
static inline void loop_big(struct stream *s)
{
        struct loop_stream *x = loop_of(s);
        static const uint8_t block[1024] = {[0 ... 1023] = 'x'};
        while (x->to_send > 0) {
                size_t n = MIN(s->down->room(s), x->to_send);
                n = MIN(n, sizeof block);
                if (n == 0) {
                        s->resp_waits = true;
                        return;
                }
                s->resp_waits = false;
                x->to_send -= n;
                s->down->data(s, SPAN(block, n));
        }
        loop_end(s);
}

static inline bool path_is(const struct stream *s, const char *prefix, const char **rest)
{
        size_t n = strlen(prefix);
        static char text[256];
        snprintf(text, sizeof text, "%.*s", SPAN_FMT(s->req.path));
        *rest = text + n;
        return strncmp(text, prefix, n) == 0;
}

static inline void loop_echo(struct stream *s)
{
        struct loop_stream *x = loop_of(s);
        struct buf copy = x->body;
        x->body = (struct buf){0};
        loop_answer(s, 200, buf_cstr(&copy)); /* s may be gone */
        buf_fini(&copy);
}

static void loop_request(struct stream *s)
{
        struct loopback *l = s->conn;
        const char *rest;
        l->requests++;
        stream_set(s, STREAM_ROUTE);
        log_add(l, "%.*s:%.*s ", SPAN_FMT(s->req.method), SPAN_FMT(s->req.path));
        if (path_is(s, "/status/", &rest)) {
                loop_answer(s, (unsigned)strtoul(rest, NULL, 10), "");
        } else if (path_is(s, "/big/", &rest)) {
                loop_of(s)->to_send = strtoul(rest, NULL, 10);
                loop_head(s, 200, BODY_LENGTH, loop_of(s)->to_send);
                if (s->resp.framing == BODY_NONE)
                        loop_end(s);
                else
                        loop_big(s);
        } else if (path_is(s, "/early", &rest)) {
                loop_answer(s, 413, "no");
        } else if (path_is(s, "/cut", &rest)) {
                loop_head(s, 200, BODY_LENGTH, 100);
                s->down->data(s, SPAN_LIT("0123456789"));
                s->down->cut(s);
        } else if (path_is(s, "/chunked", &rest)) {
                loop_head(s, 200, BODY_CHUNKED, 0);
                s->down->data(s, SPAN_LIT("hello"));
                assert_int_equal(msg_add(&s->resp_trailers, SPAN_LIT("x-sum"), SPAN_LIT("42")), 0);
                loop_end(s);
        } else if (path_is(s, "/hints", &rest)) {
                struct msg m;
                msg_init(&m, &s->arena);
                m.status = 103;
                assert_int_equal(msg_add(&m, SPAN_LIT("link"), SPAN_LIT("</a>")), 0);
                s->down->interim(s, &m);
                loop_answer(s, 200, "late");
        } else if (path_is(s, "/hold", &rest)) {
                loop_of(s)->held = true;
        } else if (s->req_done) {
                loop_echo(s);
        }
}

static void loop_refuse(struct stream *s, unsigned status, const char *why)
{
        struct loopback *l = s->conn;
        (void)why;
        l->refused++;
        log_add(l, "refuse:%u ", status);
        loop_answer(s, status, "");
}

static void loop_data(struct stream *s, struct span d)
{
        struct loopback *l = s->conn;
        struct loop_stream *x = loop_of(s);
        if (s->resp_done) {
                s->down->drained(s, d.n);
                return;
        }
        buf_add(&x->body, d.p, d.n);
        assert_false(x->body.failed);
        l->body_max = MAX(l->body_max, (size_t)(s->req_bytes - s->req_drained));
        if (!l->park)
                s->down->drained(s, d.n);
}

static void loop_req_end(struct stream *s)
{
        if (!s->resp_head && !loop_of(s)->held)
                loop_echo(s);
}

static size_t loop_req_room(const struct stream *s)
{
        return ((struct loopback *)s->conn)->req_window;
}
static void loop_resp_room(struct stream *s)
{
        loop_of(s)->held = loop_of(s)->held; /* told; the test calls loop_big itself */
}

static void loop_close(struct stream *s)
{
        struct loopback *l = s->conn;
        struct loop_stream *x = loop_of(s);
        l->closed++;
        l->completed += s->complete;
        log_add(l, "%s ", s->complete ? "done" : "gone");
        if (l->last == x)
                l->last = NULL;
        stream_set(s, STREAM_CLOSED);
        stream_reset(s);
        arena_fini(&s->arena);
        buf_fini(&x->body);
        free(x);
}

static void loop_output(void *conn)
{
        ((struct loopback *)conn)->outputs++;
}

static const struct stream_engine loop_engine = {
        .open = loop_open,
        .request = loop_request,
        .refuse = loop_refuse,
        .req_data = loop_data,
        .req_end = loop_req_end,
        .req_room = loop_req_room,
        .resp_room = loop_resp_room,
        .close = loop_close,
        .output = loop_output,
};

static inline void loopback_init(struct loopback *l)
{
        *l = (struct loopback){.req_window = LOOP_BUFFER};
        chunk_pool_init(&l->pool);
        buf_init(&l->scratch, 1u << 20);
}

static inline void loopback_fini(struct loopback *l)
{
        assert_int_equal(l->opened, l->closed);
        assert_int_equal(l->pool.n_live, 0); /* no queue chunk is lost */
        chunk_pool_fini(&l->pool);
        buf_fini(&l->scratch);
}

static inline uint32_t loop_random(uint32_t *seed)
{
        *seed ^= *seed << 13;
        *seed ^= *seed >> 17;
        *seed ^= *seed << 5;
        return *seed;
}
