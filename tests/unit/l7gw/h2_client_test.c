/* tests/unit/l7gw/h2_client_test.c - the client side of HTTP/2 against an nghttp2 server, both in memory.  Every case runs with
 * the server's bytes whole and byte by byte. */
#include "lib/base.h"
#include "l7gw/core/h2_client.h"
#include "lib/core/buf.h"
#include <nghttp2/nghttp2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { BUFFER = 16384, MAX = 16 };

/* ---- the origin ---- */

struct world;
struct asked { /* one request as the origin saw it */
        char head[2048], trailers[256];
        size_t body;
        bool ended;
        uint32_t reset;
        size_t to_send; /* of its answer's body */
        bool trailer;   /* then one */
};
struct world {
        struct chunk_pool pool;
        struct chain out;
        struct h2_client *h;
        nghttp2_session *origin;
        struct buf to_client;
        struct asked asked[2 * MAX]; /* by stream id */
        struct stream streams[MAX];
        char log[4096]; /* what the client's engine was told */
        size_t body[MAX], room[MAX], sent[MAX];
        unsigned settings;
        int head_says;
        size_t step;
        bool dead;
};

static struct world *w;

static void log_add(const char *fmt, ...) PRINTF(1, 2);
static void log_add(const char *fmt, ...)
{
        size_t n = strlen(w->log);
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(w->log + n, sizeof w->log - n, fmt, ap);
        va_end(ap);
}

static void text_add(char *text, size_t max, const char *fmt, ...) PRINTF(3, 4);
static void text_add(char *text, size_t max, const char *fmt, ...)
{
        size_t n = strlen(text);
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text + n, max - n, fmt, ap);
        va_end(ap);
}

static ssize_t origin_send(nghttp2_session *s, const uint8_t *p, size_t n, int flags, void *user)
{
        (void)s;
        (void)flags;
        (void)user;
        buf_add(&w->to_client, p, n);
        return (ssize_t)n;
}
static int origin_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t nn, const uint8_t *value, size_t vn,
                         uint8_t flags, void *user)
{
        struct asked *a = &w->asked[f->hd.stream_id];
        (void)s;
        (void)flags;
        (void)user;
        if (f->headers.cat == NGHTTP2_HCAT_REQUEST)
                text_add(a->head, sizeof a->head, "%.*s=%.*s;", (int)nn, name, (int)vn, value);
        else
                text_add(a->trailers, sizeof a->trailers, "%.*s=%.*s;", (int)nn, name, (int)vn, value);
        return 0;
}
static int origin_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
        (void)s;
        (void)flags;
        (void)p;
        (void)user;
        w->asked[id].body += n;
        return 0;
}
static int origin_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
        (void)s;
        (void)user;
        if ((f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS) && f->hd.flags & NGHTTP2_FLAG_END_STREAM)
                w->asked[f->hd.stream_id].ended = true;
        if (f->hd.type == NGHTTP2_RST_STREAM)
                w->asked[f->hd.stream_id].reset = f->rst_stream.error_code + 1;
        return 0;
}
static ssize_t origin_body(nghttp2_session *s, int32_t id, uint8_t *p, size_t max, uint32_t *flags, nghttp2_data_source *src, void *user)
{
        struct asked *a = &w->asked[id];
        size_t n = MIN(max, a->to_send);
        (void)src;
        (void)user;
        memset(p, 'x', n);
        a->to_send -= n;
        if (a->to_send == 0) {
                *flags |= NGHTTP2_DATA_FLAG_EOF;
                if (a->trailer) {
                        nghttp2_nv nv = {(uint8_t *)(uintptr_t)"x-sum", (uint8_t *)(uintptr_t)"42", 5, 2, 0};
                        assert_int_equal(nghttp2_submit_trailer(s, id, &nv, 1), 0);
                        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
                }
        }
        return (ssize_t)n;
}

/* "name=value;name=value" */
static size_t nv_parse(const char *text, nghttp2_nv *nv)
{
        size_t n = 0;
        while (*text) {
                size_t k = strcspn(text + 1, "=") + 1, v = strcspn(text + k + 1, ";");
                nv[n++] = (nghttp2_nv){(uint8_t *)(uintptr_t)text, (uint8_t *)(uintptr_t)text + k + 1, k, v, 0};
                text += k + 1 + v;
                text += *text == ';';
        }
        return n;
}

static void answer(int32_t id, const char *fields, size_t body)
{
        nghttp2_nv nv[200];
        nghttp2_data_provider p = {.read_callback = origin_body};
        size_t n = nv_parse(fields, nv);
        w->asked[id].to_send = body;
        assert_int_equal(nghttp2_submit_response(w->origin, id, nv, n, body ? &p : NULL), 0);
}
static void answer_interim(int32_t id, const char *fields)
{
        nghttp2_nv nv[20];
        assert_true(nghttp2_submit_headers(w->origin, 0, id, NULL, nv, nv_parse(fields, nv), NULL) >= 0);
}

/* ---- the engine ---- */

static unsigned index_of(const struct stream *s)
{
        return (unsigned)(s - w->streams);
}
static void down_data(struct stream *s, struct span d)
{
        unsigned i = index_of(s);
        w->body[i] += d.n;
        w->room[i] -= MIN(w->room[i], d.n);
}
static size_t down_room(const struct stream *s)
{
        return w->room[index_of(s)];
}
static const struct stream_down down = {.data = down_data, .room = down_room};

static void op_interim(struct stream *s, const struct msg *m)
{
        log_add("%u:%u ", index_of(s), m->status);
}
static int op_head(struct stream *s)
{
        static const char *const framing[] = {"none", "len", "chunked", "close"};
        const struct msg *m = &s->resp;
        log_add("%u:head=%u,%s%s%s ", index_of(s), m->status, framing[m->framing], m->length_implied ? ",implied" : "", s->tunnel ? ",tunnel" : "");
        return w->head_says;
}
static void op_data(struct stream *s, struct span d)
{
        s->down->data(s, d);
}
static void op_sending(struct stream *s, size_t n)
{
        assert_true(n <= s->req_body.n);
        w->sent[index_of(s)] += n;
}
static void op_sent(struct stream *s)
{
        (void)s;
}
static void op_over(struct stream *s, enum h2_client_end end, const char *why)
{
        static const char *const names[] = {"done", "refused", "reset", "bad", "nomem", "again"};
        log_add("%u:%s%s%s ", index_of(s), names[end], why ? "," : "", why ? why : "");
        for (size_t i = 0; i < s->resp_trailers.n_fields; i++)
                log_add("^%.*s=%.*s ", SPAN_FMT(s->resp_trailers.fields[i].name), SPAN_FMT(s->resp_trailers.fields[i].value));
}
static void op_settings(void *conn)
{
        ((struct world *)conn)->settings++;
}
static void op_output(void *conn)
{
        (void)conn;
}
static const struct h2_client_ops ops = {op_interim, op_head, op_data, op_sending, op_sent, op_over, op_settings, op_output};

/* ---- the wire ---- */

static void pump(void)
{
        bool moved = true;
        while (moved && !w->dead) {
                moved = false;
                w->dead = h2_client_output(w->h, 1u << 20) < 0;
                while (w->out.n > 0) {
                        struct span v = chain_front(&w->out);
                        assert_int_equal(nghttp2_session_mem_recv(w->origin, v.p, v.n), (ssize_t)v.n);
                        chain_consume(&w->out, v.n);
                        moved = true;
                }
                assert_int_equal(nghttp2_session_send(w->origin), 0);
                while (w->to_client.n > 0 && !w->dead) {
                        size_t n = MIN(w->step, w->to_client.n);
                        w->dead = h2_client_input(w->h, SPAN(w->to_client.p, n)) < 0;
                        buf_consume(&w->to_client, n);
                        moved = true;
                }
        }
}

static void world_make(size_t step, bool auto_window, size_t max_streams, bool connect)
{
        nghttp2_session_callbacks *cb;
        nghttp2_option *opt;
        w = calloc(1, sizeof *w);
        assert_non_null(w);
        w->step = step;
        chunk_pool_init(&w->pool);
        chain_init(&w->out, &w->pool);
        buf_init(&w->to_client, 1u << 24);
        const struct h2_client_conf conf = {.ops = &ops, .conn = w, .out = &w->out, .buffer_bytes = BUFFER};
        assert_int_equal(h2_client_new(&conf, &w->h), 0);
        assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
        assert_int_equal(nghttp2_option_new(&opt), 0);
        nghttp2_session_callbacks_set_send_callback(cb, origin_send);
        nghttp2_session_callbacks_set_on_header_callback(cb, origin_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, origin_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(cb, origin_frame);
        nghttp2_option_set_no_auto_window_update(opt, !auto_window);
        nghttp2_option_set_max_send_header_block_length(opt, 1u << 20);
        nghttp2_option_set_no_http_messaging(opt, 1); /* it also says what an honest origin would not */
        assert_int_equal(nghttp2_session_server_new2(&w->origin, cb, w, opt), 0);
        nghttp2_session_callbacks_del(cb);
        nghttp2_option_del(opt);
        const nghttp2_settings_entry s[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)max_streams},
                                            {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, connect}};
        assert_int_equal(nghttp2_submit_settings(w->origin, 0, s, 2), 0);
        pump();
        assert_int_equal(w->settings, 1);
}

static void world_end(void)
{
        h2_client_gone(w->h);
        h2_client_free(w->h);
        nghttp2_session_del(w->origin);
        chain_clear(&w->out);
        buf_fini(&w->to_client);
        for (unsigned i = 0; i < MAX; i++) {
                if (!w->streams[i].req.arena)
                        continue;
                stream_reset(&w->streams[i]);
                arena_fini(&w->streams[i].arena);
        }
        assert_int_equal(w->pool.n_live, 0);
        chunk_pool_fini(&w->pool);
        free(w);
}

static struct stream *stream_make(unsigned i, const char *method, const char *path)
{
        struct stream *s = &w->streams[i];
        arena_init(&s->arena, L7_STREAM_CHUNK_BYTES, L7_STREAM_ARENA_BYTES);
        stream_init(s, &w->pool);
        s->down = &down;
        s->req.method = span_str(method);
        s->req.path = span_str(path);
        s->req.authority = SPAN_LIT("a.example");
        s->req_done = true;
        w->room[i] = SIZE_MAX;
        return s;
}

static struct stream *ask(unsigned i, const char *method)
{
        struct stream *s = stream_make(i, method, "/x");
        assert_int_equal(h2_client_may(w->h, s), H2C_NOW);
        assert_int_equal(h2_client_request(w->h, s), 0);
        pump();
        return s;
}

static const size_t steps[] = {1u << 20, 1};
#define EACH_STEP for (size_t step_i = 0; step_i < ARRAY_SIZE(steps); step_i++)

/* ---- cases ---- */

static void test_responses(void **state)
{
        static char many[8000];
        static const struct {
                const char *name, *method, *fields;
                size_t body;
                const char *want;
        } cases[] = {
                {"a body of known length", "GET", ":status=200;content-length=5", 5, "0:head=200,len 0:done "},
                {"20: a body of unknown length", "GET", ":status=200;a=b", 5, "0:head=200,chunked 0:done "},
                {"58: END_STREAM with the head: the length is implied", "GET", ":status=200;grpc-status=5", 0, "0:head=200,len,implied 0:done "},
                {"empty body told", "GET", ":status=200;content-length=0", 0, "0:head=200,len 0:done "},
                {"20: HEAD keeps its length", "HEAD", ":status=200;content-length=500", 0, "0:head=200,none 0:done "},
                {"20: 204", "GET", ":status=204", 0, "0:head=204,none 0:done "},
                {"20: 304", "GET", ":status=304;content-length=7", 0, "0:head=304,none 0:done "},
                {"47: content-length too short", "GET", ":status=200;content-length=3", 5, "0:head=200,len 0:bad,invalid frames "},
                {"47: content-length too long", "GET", ":status=200;content-length=30", 5, "0:head=200,len 0:bad,invalid frames "},
                {"47: no digits", "GET", ":status=200;content-length=x", 5, "0:bad,invalid frames "},
                {"20: a body after 204", "GET", ":status=204", 5, "0:head=204,none 0:bad,invalid frames "},
                {"20: a body after 304", "GET", ":status=304", 5, "0:head=304,none 0:bad,invalid frames "},
                {"20: a body after HEAD", "HEAD", ":status=200", 5, "0:head=200,none 0:bad,invalid frames "},
                {"46: no status", "GET", "a=b", 0, "0:bad,invalid frames "},
                {"46: connection field", "GET", ":status=200;connection=close", 0, "0:bad,invalid frames "},
                {"46: transfer-encoding", "GET", ":status=200;transfer-encoding=chunked", 0, "0:bad,invalid frames "},
                {"46: a pseudo-header field of requests", "GET", ":status=200;:path=/", 0, "0:bad,invalid frames "},
                {"46: CR in a value", "GET", ":status=200;a=b\rc", 0, "0:bad,invalid frames "},
                {"18: 101 is none of HTTP/2", "GET", ":status=101", 0, "0:bad,"},
                {"18: status of two digits", "GET", ":status=20", 0, "0:bad,invalid frames "},
                {"18: status 600", "GET", ":status=600", 0, "0:bad,malformed response "},
                {"16: too many fields", "GET", many, 0, "0:bad,header section over the limit "},
        };
        (void)state;
        text_add(many, sizeof many, ":status=200");
        for (unsigned i = 0; i < 120; i++)
                text_add(many, sizeof many, ";x-%u=y", i);
        EACH_STEP for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                world_make(steps[step_i], true, 100, false);
                ask(0, cases[i].method);
                answer(1, cases[i].fields, cases[i].body);
                pump();
                if (strncmp(w->log, cases[i].want, strlen(cases[i].want)) != 0)
                        fail_msg("%s: %s", cases[i].name, w->log);
                assert_int_equal(h2_client_streams(w->h), 0);
                assert_false(w->dead);
                world_end();
        }
}

static void test_large_list(void **state)
{
        static char value[650];
        char fields[80000] = ":status=200";
        (void)state;
        memset(value, 'v', sizeof value - 1);
        for (unsigned i = 0; i < 99; i++) /* over the limit with 32 bytes counted for each */
                text_add(fields, sizeof fields, ";x-%u=%s", i, value);
        world_make(1u << 20, true, 100, false);
        ask(0, "GET");
        answer(1, fields, 0);
        pump();
        assert_string_equal(w->log, "0:bad,header section over the limit "); /* requirement 16 */
        world_end();
}

static void test_request(void **state)
{
        (void)state;
        world_make(1u << 20, true, 100, false);
        struct stream *s = stream_make(0, "POST", "/p");
        s->req.query = SPAN_LIT("q=1");
        s->req.has_query = true;
        s->req.framing = BODY_LENGTH;
        s->req.content_length = 5;
        s->req.te_trailers = true;
        s->req.expect_continue = true;
        assert_int_equal(msg_add(&s->req, SPAN_LIT("cookie"), SPAN_LIT("a=1; b=2")), 0);
        assert_int_equal(msg_add(&s->req, SPAN_LIT("connection"), SPAN_LIT("close")), 0); /* of a filter */
        assert_int_equal(msg_add(&s->req_trailers, SPAN_LIT("x-end"), SPAN_LIT("7")), 0);
        chain_span(&s->req_body, SPAN_LIT("hello"));
        assert_int_equal(h2_client_request(w->h, s), 0);
        pump();
        assert_string_equal(w->asked[1].head, ":method=POST;:scheme=http;:path=/p?q=1;:authority=a.example;cookie=a=1; b=2;"
                                              "content-length=5;te=trailers;"); /* requirements 29, 48 */
        assert_int_equal(w->asked[1].body, 5);
        assert_string_equal(w->asked[1].trailers, "x-end=7;"); /* requirement 53 */
        assert_true(w->asked[1].ended);
        w->asked[1].trailer = true;
        answer(1, ":status=200", 3);
        pump();
        assert_string_equal(w->log, "0:head=200,chunked 0:done ^x-sum=42 ");
        world_end();
}

/* Requirement 49: the origin's window holds the request, ours its response; each stream for itself. */
static void test_windows(void **state)
{
        static const uint8_t block[100000];
        (void)state;
        EACH_STEP {
                world_make(steps[step_i], false, 100, false);
                struct stream *s = stream_make(0, "POST", "/up");
                s->req.framing = BODY_CHUNKED;
                chain_add(&s->req_body, block, sizeof block);
                assert_int_equal(h2_client_request(w->h, s), 0);
                pump();
                assert_int_equal(w->asked[1].body, 65535);
                assert_int_equal(s->req_body.n, sizeof block - 65535);
                assert_int_equal(w->sent[0], 65535);
                assert_int_equal(nghttp2_session_consume(w->origin, 1, 65535), 0);
                pump();
                assert_int_equal(w->asked[1].body, sizeof block);
                assert_true(w->asked[1].ended);
                w->room[0] = 10; /* a slow client: one window is all that comes */
                answer(1, ":status=200", 1000000);
                pump();
                assert_int_equal(w->body[0], BUFFER);
                assert_true(s->resp_waits);
                ask(1, "GET"); /* and it holds nobody else */
                answer(3, ":status=200", 300000);
                pump();
                assert_int_equal(w->body[1], 300000);
                w->room[0] = SIZE_MAX;
                h2_client_resume(w->h, s);
                pump();
                assert_int_equal(w->body[0], 1000000);
                assert_non_null(strstr(w->log, "0:done"));
                world_end();
        }
}

static void test_limits(void **state)
{
        (void)state;
        world_make(1u << 20, true, 2, false);
        ask(0, "GET");
        ask(1, "GET");
        struct stream *s = stream_make(2, "GET", "/");
        assert_int_equal(h2_client_may(w->h, s), H2C_WAIT);
        answer(1, ":status=200", 1);
        pump();
        assert_int_equal(h2_client_may(w->h, s), H2C_NOW);
        world_end();
}

static void test_goaway(void **state)
{
        (void)state;
        EACH_STEP {
                world_make(steps[step_i], true, 100, false);
                ask(0, "GET");
                ask(1, "GET");
                assert_int_equal(nghttp2_submit_goaway(w->origin, 0, 1, NGHTTP2_NO_ERROR, NULL, 0), 0);
                pump();
                assert_string_equal(w->log, "1:refused "); /* requirement 43: it was not looked at */
                assert_true(h2_client_leaving(w->h));
                assert_int_equal(h2_client_may(w->h, stream_make(2, "GET", "/")), H2C_NEVER);
                answer(1, ":status=200", 3);
                pump();
                assert_string_equal(w->log, "1:refused 0:head=200,chunked 0:done "); /* requirement 51 */
                world_end();
        }
}

static void test_resets(void **state)
{
        static const struct {
                uint32_t code;
                bool head;
                const char *want;
        } cases[] = {
                {NGHTTP2_REFUSED_STREAM, false, "0:refused "},
                {NGHTTP2_INTERNAL_ERROR, false, "0:reset "},
                {NGHTTP2_INTERNAL_ERROR, true, "0:head=200,chunked 0:reset "},
                {NGHTTP2_NO_ERROR, false, "0:reset "},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                world_make(1u << 20, true, 100, false);
                ask(0, "GET");
                if (cases[i].head)
                        answer_interim(1, ":status=200");
                pump();
                assert_int_equal(nghttp2_submit_rst_stream(w->origin, 0, 1, cases[i].code), 0);
                pump();
                assert_string_equal(w->log, cases[i].want);
                world_end();
        }
}

static void test_interims(void **state) /* requirement 19 */
{
        (void)state;
        world_make(1u << 20, true, 100, false);
        ask(0, "GET");
        answer_interim(1, ":status=103;link=</a>");
        answer(1, ":status=200", 1);
        pump();
        assert_string_equal(w->log, "0:103 0:head=200,chunked 0:done ");
        ask(1, "GET");
        for (unsigned i = 0; i <= L7_INTERIM_RESPONSES; i++)
                answer_interim(3, ":status=103");
        pump();
        assert_non_null(strstr(w->log, "1:bad,too many 1xx responses "));
        world_end();
}

static void test_tunnel(void **state) /* requirement 56 */
{
        (void)state;
        EACH_STEP {
                world_make(steps[step_i], true, 100, true);
                struct stream *s = stream_make(0, "GET", "/ws");
                s->req.upgrade = SPAN_LIT("websocket");
                assert_int_equal(msg_add(&s->req, SPAN_LIT("sec-websocket-key"), SPAN_LIT("dGhlIHNhbXBsZSBub25jZQ==")), 0);
                assert_int_equal(h2_client_may(w->h, s), H2C_NOW);
                assert_int_equal(h2_client_request(w->h, s), 0);
                pump();
                assert_string_equal(w->asked[1].head, ":method=CONNECT;:protocol=websocket;:scheme=http;:path=/ws;:authority=a.example;");
                chain_span(&s->req_body, SPAN_LIT("early"));
                h2_client_data(w->h, s);
                pump();
                assert_int_equal(w->asked[1].body, 0); /* nothing before the tunnel stands */
                answer_interim(1, ":status=200");
                pump();
                assert_string_equal(w->log, "0:head=101,close,tunnel ");
                const struct field *f = msg_find(&s->resp, SPAN_LIT("sec-websocket-accept"));
                assert_true(f && span_eq_str(f->value, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
                assert_int_equal(w->asked[1].body, 5);
                assert_false(s->req_done);
                s->req_done = true;
                h2_client_data(w->h, s);
                pump();
                assert_true(w->asked[1].ended);
                world_end();
        }
        world_make(1u << 20, true, 100, false);
        struct stream *s = stream_make(0, "GET", "/ws");
        s->req.upgrade = SPAN_LIT("websocket");
        assert_int_equal(h2_client_may(w->h, s), H2C_UNABLE);
        world_end();
}

static void test_cancel(void **state)
{
        (void)state;
        world_make(1u << 20, true, 100, false);
        struct stream *s = ask(0, "GET");
        w->room[0] = 0;
        answer(1, ":status=200", 300000);
        pump();
        assert_int_equal(w->body[0], BUFFER);
        h2_client_cancel(w->h, s);
        pump();
        assert_int_equal(w->asked[1].reset, NGHTTP2_CANCEL + 1);
        for (unsigned i = 1; i < 4; i++) { /* the connection's window is whole */
                ask(i, "GET");
                answer((int32_t)(2 * i + 1), ":status=200", 2000000);
                pump();
                assert_int_equal(w->body[i], 2000000);
        }
        world_end();
}

static void test_early(void **state) /* requirement 40: the answer before the request's end */
{
        (void)state;
        world_make(1u << 20, true, 100, false);
        struct stream *s = stream_make(0, "POST", "/up");
        s->req.framing = BODY_CHUNKED;
        s->req_done = false;
        assert_int_equal(h2_client_request(w->h, s), 0);
        pump();
        answer(1, ":status=413", 3);
        pump();
        assert_string_equal(w->log, "0:head=413,chunked 0:done ");
        assert_int_equal(w->asked[1].reset, NGHTTP2_NO_ERROR + 1);
        world_end();
}

static void test_again(void **state)
{
        (void)state;
        world_make(1u << 20, true, 100, false);
        w->head_says = -EAGAIN;
        ask(0, "GET");
        answer(1, ":status=503", 3);
        pump();
        assert_string_equal(w->log, "0:head=503,chunked 0:again ");
        assert_int_equal(w->asked[1].reset, NGHTTP2_CANCEL + 1);
        world_end();
}

static void test_hostile(void **state) /* requirement 50, from the other side */
{
        (void)state;
        world_make(1u << 20, true, 100, false);
        ask(0, "GET");
        for (unsigned i = 0; i < L7_H2_GLITCHES + 10 && !w->dead; i++) {
                assert_int_equal(nghttp2_submit_ping(w->origin, 0, NULL), 0);
                if (i % 50 == 0)
                        pump();
        }
        pump();
        assert_true(w->dead);
        h2_client_gone(w->h);
        assert_string_equal(w->log, "0:reset ");
        world_end();
        world_make(1u << 20, true, 100, false);
        ask(0, "GET");
        buf_add(&w->to_client, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
        pump();
        assert_true(w->dead); /* no HTTP/2 */
        world_end();
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_responses), cmocka_unit_test(test_large_list), cmocka_unit_test(test_request),
                cmocka_unit_test(test_windows),   cmocka_unit_test(test_limits),     cmocka_unit_test(test_goaway),
                cmocka_unit_test(test_resets),    cmocka_unit_test(test_interims),   cmocka_unit_test(test_tunnel),
                cmocka_unit_test(test_cancel),    cmocka_unit_test(test_early),      cmocka_unit_test(test_again),
                cmocka_unit_test(test_hostile),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
