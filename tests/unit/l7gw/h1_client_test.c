/* tests/unit/l7gw/h1_client_test.c - origin responses, delivered whole, byte by byte and at random, into a fake
 * session. */
#include "lib/base.h"
#include "l7gw/core/h1_client.h"
#include "tests/unit/l7gw/loopback.h"

struct sink {
        struct stream s;
        struct chunk_pool pool;
        struct buf body;
        size_t room;
        char text[256]; /* interim and final heads */
};

static void sink_data(struct stream *s, struct span d)
{
        struct sink *k = CONTAINER_OF(s, struct sink, s);
        assert_true(d.n <= k->room);
        buf_add(&k->body, d.p, d.n);
}
static size_t sink_room(const struct stream *s)
{
        return CONTAINER_OF(s, const struct sink, s)->room;
}
static const struct stream_down sink_down = {.data = sink_data, .room = sink_room};

static void on_interim(struct stream *s, const struct msg *m)
{
        struct sink *k = CONTAINER_OF(s, struct sink, s);
        size_t n = strlen(k->text);
        snprintf(k->text + n, sizeof k->text - n, "%u ", m->status);
}
static int on_head(struct stream *s)
{
        on_interim(s, &s->resp);
        return 0;
}
static const struct h1_client_ops ops = {on_interim, on_head};

static void sink_init(struct sink *k, const char *method)
{
        *k = (struct sink){.room = SIZE_MAX};
        chunk_pool_init(&k->pool);
        arena_init(&k->s.arena, 4096, 1u << 18);
        stream_init(&k->s, &k->pool);
        k->s.down = &sink_down;
        k->s.req.method = span_str(method);
        buf_init(&k->body, 1u << 20);
}
static void sink_fini(struct sink *k)
{
        stream_reset(&k->s);
        arena_fini(&k->s.arena);
        buf_fini(&k->body);
        chunk_pool_fini(&k->pool);
}

static const struct {
        const char *name, *method, *in;
        bool eof; /* the origin closes after it */
        enum h1_client_rc want;
        const char *text, *body;
        bool reusable;
        size_t left; /* bytes that belong to nobody */
} cases[] = {
        {"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, H1C_DONE, "200 ", "abc", true, 0},
        {"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", false,
         H1C_DONE, "200 ", "abc", true, 0},
        {"RFC 9112 6.3: until close", "GET", "HTTP/1.1 200 OK\r\n\r\nabc", true, H1C_DONE, "200 ", "abc", false, 0},
        {"HTTP/1.0 closes", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", false, H1C_DONE, "200 ", "a", false,
         0},
        {"asked to close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", false, H1C_DONE,
         "200 ", "a", false, 0},
        {"no body: 204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", false, H1C_DONE, "204 ", "", true, 0},
        {"no body: HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", false, H1C_DONE, "200 ", "", true, 0},
        {"1xx before the answer", "GET",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
         false, H1C_DONE, "100 103 200 ", "", true, 0},
        {"bytes after the answer are told", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1", false,
         H1C_DONE, "200 ", "a", true, 8},
        {"RFC 9112 8: truncated", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", true, H1C_BAD, "200 ", "ab",
         false, 0},
        {"truncated chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", true, H1C_BAD,
         "200 ", "ab", false, 0},
        {"closed without a word", "GET", "", true, H1C_BAD, "", "", false, 0},
        {"101 unasked", "GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false,
         H1C_BAD, "", "", false, 0},
        {"not HTTP", "GET", "SSH-2.0-x\r\n\r\n", false, H1C_BAD, "", "", false, 0},
        {"two lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", false, H1C_BAD,
         "", "", false, 0},
        {"1xx without end", "GET",
         "HTTP/1.1 103 A\r\n\r\nHTTP/1.1 103 A\r\n\r\nHTTP/1.1 103 A\r\n\r\nHTTP/1.1 103 A\r\n\r\nHTTP/1.1 103 "
         "A\r\n\r\nHTTP/1.1 103 A\r\n\r\n"
         "HTTP/1.1 103 A\r\n\r\nHTTP/1.1 103 A\r\n\r\nHTTP/1.1 103 A\r\n\r\n",
         false, H1C_BAD, "103 103 103 103 103 103 103 103 ", "", false, 0},
};

static enum h1_client_rc run(struct sink *k, struct h1_client *x, const char *in, int mode, size_t *ret_left)
{
        struct buf held;
        uint32_t seed = 5;
        size_t n = strlen(in), at = 0;
        enum h1_client_rc rc = H1C_MORE;
        buf_init(&held, 1u << 20);
        while (at < n && rc == H1C_MORE) {
                size_t step = mode == 0 ? n - at : mode == 1 ? 1 : MIN(1 + loop_random(&seed) % 9, n - at), used = 0;
                buf_add(&held, in + at, step);
                at += step;
                rc = h1_client_input(x, &k->s, &ops, buf_span(&held), &used);
                buf_consume(&held, used);
        }
        *ret_left = held.n + (n - at);
        buf_fini(&held);
        return rc;
}

static void test_table(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                for (int mode = 0; mode < 3; mode++) {
                        struct sink k;
                        struct h1_client x = {0};
                        size_t left;
                        sink_init(&k, cases[i].method);
                        enum h1_client_rc rc = run(&k, &x, cases[i].in, mode, &left);
                        if (rc == H1C_MORE && cases[i].eof)
                                rc = h1_client_eof(&x);
                        if (rc != cases[i].want || strcmp(k.text, cases[i].text) != 0 ||
                            strcmp(buf_cstr(&k.body), cases[i].body) != 0 ||
                            (rc == H1C_DONE && (x.reusable != cases[i].reusable || left != cases[i].left)))
                                fail_msg("%s, mode %d: rc %d text %s body %s left %zu", cases[i].name, mode, (int)rc,
                                         k.text, buf_cstr(&k.body), left);
                        if (rc == H1C_BAD)
                                assert_non_null(x.why);
                        sink_fini(&k);
                }
}

static void test_window(void **state)
{
        (void)state;
        static const char in[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
        struct sink k;
        struct h1_client x = {0};
        size_t used = 0;
        sink_init(&k, "GET");
        k.room = 4; /* never more than the client side has room for */
        struct span rest = span_str(in);
        enum h1_client_rc rc = H1C_MORE;
        for (int i = 0; i < 10 && rc == H1C_MORE; i++) {
                rc = h1_client_input(&x, &k.s, &ops, rest, &used);
                rest = SPAN(rest.p + used, rest.n - used);
                if (k.body.n == 4 && k.room == 4) {
                        k.room = 0;
                        assert_int_equal(h1_client_input(&x, &k.s, &ops, rest, &used), H1C_WINDOW);
                        assert_int_equal(used, 0);
                        k.room = 6;
                }
        }
        assert_int_equal(rc, H1C_DONE);
        assert_string_equal(buf_cstr(&k.body), "0123456789");
        sink_fini(&k);
}

static void test_request(void **state)
{
        (void)state;
        struct sink k;
        struct h1_client x;
        struct chain out;
        struct buf scratch;
        sink_init(&k, "POST");
        buf_init(&scratch, 65536);
        chain_init(&out, &k.pool);
        k.s.req.authority = SPAN_LIT("a.example");
        k.s.req.path = SPAN_LIT("/p");
        k.s.req.framing = BODY_CHUNKED;
        h1_client_request(&x, &k.s, &scratch, &out);
        h1_client_data(&x, SPAN_LIT("hello"), &out);
        assert_int_equal(msg_add(&k.s.req_trailers, SPAN_LIT("x-sum"), SPAN_LIT("1")), 0);
        h1_client_end(&x, &k.s, &scratch, &out);
        struct span got = chain_front(&out);
        static const char want[] = "POST /p HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: "
                                   "chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n";
        if (!span_ieq(got, span_str(want)))
                fail_msg("%.*s", SPAN_FMT(got));
        chain_clear(&out);
        buf_fini(&scratch);
        sink_fini(&k);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_window),
                                           cmocka_unit_test(test_request)};
        return cmocka_run_group_tests_name("h1_client", tests, NULL, NULL);
}
