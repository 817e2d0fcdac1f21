/* tests/fuzz/l7gw/h2_client_fuzz.c (requirement 60) - an origin's bytes to requests of ours over HTTP/2: no crash, every stream ends exactly once,
 * no head twice, no body without one, bounded output. */
#include "lib/base.h"
#include "l7gw/core/h2_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { STREAMS = 3 };
static struct {
        struct stream s[STREAMS];
        bool head[STREAMS], over[STREAMS];
} f;

static size_t index_of(const struct stream *s)
{
        size_t i = (size_t)(s - f.s);
        BUG_ON(i >= STREAMS || f.over[i]);
        return i;
}
static void down_data(struct stream *s, struct span d)
{
        BUG_ON(d.n == 0 || !f.head[index_of(s)]);
}
static size_t down_room(const struct stream *s)
{
        return index_of(s) == 1 ? 0 : 65536; /* one client never reads */
}
static const struct stream_down down = {.data = down_data, .room = down_room};

static void op_interim(struct stream *s, const struct msg *m)
{
        BUG_ON(m->status < 100 || m->status > 199 || f.head[index_of(s)]);
}
static int op_head(struct stream *s)
{
        size_t i = index_of(s);
        BUG_ON(f.head[i] || (s->resp.status < 200 && !s->tunnel) || s->resp.status > 599);
        f.head[i] = true;
        return s->resp.status == 503 ? -EAGAIN : 0;
}
static void op_data(struct stream *s, struct span d)
{
        s->down->data(s, d);
}
static void op_sending(struct stream *s, size_t n)
{
        BUG_ON(n > s->req_body.n);
}
static void op_sent(struct stream *s)
{
        (void)index_of(s);
}
static void op_over(struct stream *s, enum h2_client_end end, const char *why)
{
        size_t i = index_of(s);
        BUG_ON((end == H2C_DONE && !f.head[i]) || (end == H2C_BAD && !why));
        f.over[i] = true;
}
static void op_nothing(void *conn)
{
        (void)conn;
}
static const struct h2_client_ops ops = {op_interim, op_head, op_data, op_sending, op_sent, op_over, op_nothing, op_nothing};

static void stream_ask(struct h2_client *h, size_t i, struct chunk_pool *pool)
{
        static const char *const methods[STREAMS] = {"GET", "HEAD", "POST"};
        struct stream *s = &f.s[i];
        f.head[i] = f.over[i] = false;
        arena_init(&s->arena, L7_STREAM_CHUNK_BYTES, L7_STREAM_ARENA_BYTES);
        stream_init(s, pool);
        s->down = &down;
        s->req.method = span_str(methods[i]);
        s->req.path = SPAN_LIT("/");
        s->req.authority = SPAN_LIT("a");
        s->req_done = i != 2;
        if (i == 2) {
                s->req.framing = BODY_CHUNKED;
                chain_span(&s->req_body, SPAN_LIT("some of it"));
        }
        if (h2_client_request(h, s) < 0)
                f.over[i] = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
        struct chunk_pool pool;
        struct chain out;
        struct h2_client *h;
        chunk_pool_init(&pool);
        chain_init(&out, &pool);
        const struct h2_client_conf conf = {.ops = &ops, .conn = &f, .out = &out, .buffer_bytes = 65536};
        if (h2_client_new(&conf, &h) < 0)
                return 0;
        for (size_t i = 0; i < STREAMS; i++)
                stream_ask(h, i, &pool);
        int r = h2_client_output(h, 65536);
        size_t step = n ? 1 + p[0] % 64u : 1;
        for (size_t at = 0; at < n && r == 0; at += step) {
                r = h2_client_input(h, SPAN(p + at, MIN(step, n - at)));
                if (r == 0)
                        r = h2_client_output(h, 65536);
                BUG_ON(out.n > 65536 + 16384 + 65536);
                chain_clear(&out);
        }
        if (!f.over[0])
                h2_client_cancel(h, &f.s[0]);
        f.over[0] = true;
        h2_client_gone(h);
        BUG_ON(!f.over[1] || !f.over[2] || h2_client_streams(h) != 0);
        h2_client_free(h);
        chain_clear(&out);
        for (size_t i = 0; i < STREAMS; i++) {
                stream_reset(&f.s[i]);
                arena_fini(&f.s[i].arena);
        }
        chunk_pool_fini(&pool);
        return 0;
}
