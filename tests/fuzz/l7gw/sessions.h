/* tests/fuzz/l7gw/sessions.h - an engine for the fuzz targets of the sessions: answers every request, checks the contract of
 * struct stream_engine (opened once, closed once, nothing after close).  Header only; every target is one program. */
#pragma once
#include "l7gw/core/stream.h"
#include "lib/core/buf.h"

struct fuzz_engine {
        struct chunk_pool pool;
        struct buf scratch;
        size_t open;
};

static struct stream *fuzz_open(void *conn)
{
        struct fuzz_engine *e = conn;
        struct stream *s = calloc(1, sizeof *s);
        BUG_ON(!s);
        arena_init(&s->arena, L7_STREAM_CHUNK_BYTES, L7_STREAM_ARENA_BYTES);
        stream_init(s, &e->pool);
        s->conn = e;
        e->open++;
        return s;
}

static void fuzz_answer(struct stream *s, unsigned status)
{
        static const char text[] = "fuzz";
        stream_set(s, STREAM_LOCAL);
        s->resp.status = (uint16_t)status;
        bool body = !span_eq_str(s->req.method, "HEAD");
        s->resp.framing = body ? BODY_CHUNKED : BODY_NONE;
        s->resp_head = true;
        s->down->head(s);
        if (body)
                s->down->data(s, SPAN(text, sizeof text - 1));
        s->resp_done = true;
        s->down->end(s);
}

static void fuzz_request(struct stream *s)
{
        BUG_ON(s->state != STREAM_HEAD);
        stream_set(s, STREAM_ROUTE);
        if (s->req_done)
                fuzz_answer(s, 200);
}
static void fuzz_refuse(struct stream *s, unsigned status, const char *why)
{
        BUG_ON(status < 400 || status > 599 || !why);
        fuzz_answer(s, status);
}
static void fuzz_data(struct stream *s, struct span d)
{
        BUG_ON(d.n == 0);
        s->down->drained(s, d.n);
}
static void fuzz_end(struct stream *s)
{
        if (!s->resp_head)
                fuzz_answer(s, 200);
}
static size_t fuzz_room(const struct stream *s)
{
        (void)s;
        return 65536;
}
static void fuzz_resp_room(struct stream *s) { (void)s; }
static void fuzz_close(struct stream *s)
{
        struct fuzz_engine *e = s->conn;
        e->open--;
        stream_set(s, STREAM_CLOSED); /* BUG when it was closed before */
        stream_reset(s);
        arena_fini(&s->arena);
        free(s);
}
static void fuzz_output(void *conn) { (void)conn; }

static const struct stream_engine fuzz_engine_ops = {
        .open = fuzz_open, .request = fuzz_request, .refuse = fuzz_refuse, .req_data = fuzz_data, .req_end = fuzz_end,
        .req_room = fuzz_room, .resp_room = fuzz_resp_room, .close = fuzz_close, .output = fuzz_output,
};

static inline void fuzz_engine_init(struct fuzz_engine *e)
{
        *e = (struct fuzz_engine){ 0 };
        chunk_pool_init(&e->pool);
        buf_init(&e->scratch, 1u << 20);
}
static inline void fuzz_engine_fini(struct fuzz_engine *e)
{
        BUG_ON(e->open != 0);
        chunk_pool_fini(&e->pool); /* BUG when a chunk is lost */
        buf_fini(&e->scratch);
}
