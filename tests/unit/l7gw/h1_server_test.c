/* tests/unit/l7gw/h1_server_test.c - the server side of HTTP/1.1 over a loopback: bytes in, bytes out, no socket. */
#include "lib/base.h"
#include "l7gw/core/h1_server.h"
#include "tests/unit/l7gw/loopback.h"

#define H "Host: a\r\n"
#define OK(n, body) "HTTP/1.1 200 OK\r\ncontent-length: " n "\r\n\r\n" body

struct run {
        struct loopback l;
        struct h1_server h;
        struct buf out;
};

static void run_init(struct run *r)
{
        loopback_init(&r->l);
        const struct h1_server_conf conf = {.engine = &loop_engine,
                                            .conn = &r->l,
                                            .pool = &r->l.pool,
                                            .scratch = &r->l.scratch,
                                            .limits = &h1_default_limits,
                                            .buffer_bytes = LOOP_BUFFER};
        h1_server_init(&r->h, &conf);
        buf_init(&r->out, 1u << 24);
}

static void run_flush(struct run *r)
{
        struct span v[64];
        size_t n = 0, k = chain_spans(&r->h.out, v, ARRAY_SIZE(v));
        for (size_t i = 0; i < k; i++) {
                buf_add(&r->out, v[i].p, v[i].n);
                n += v[i].n;
        }
        chain_consume(&r->h.out, n);
        h1_server_flushed(&r->h);
}

static void run_fini(struct run *r)
{
        h1_server_gone(&r->h);
        h1_server_fini(&r->h);
        buf_fini(&r->out);
        loopback_fini(&r->l);
}

/* Delivers in as the connection does: what is not taken is kept and shown again.  mode 0 whole, 1 bytewise, 2 random.
 */
static void run_feed(struct run *r, const char *in, size_t n, int mode)
{
        struct buf held;
        uint32_t seed = 99;
        buf_init(&held, 1u << 24);
        for (size_t at = 0; at < n || held.n > 0;) {
                size_t step = at == n     ? 0
                              : mode == 0 ? n - at
                              : mode == 1 ? 1
                                          : MIN(1 + loop_random(&seed) % 9, n - at);
                buf_add(&held, in + at, step);
                at += step;
                size_t used = h1_server_input(&r->h, buf_span(&held));
                assert_true(used <= held.n);
                buf_consume(&held, used);
                run_flush(r);
                if (used == 0 && at == n)
                        break;
        }
        buf_fini(&held);
}

static const struct {
        const char *name, *in, *want, *log;
        enum h1_server_state end;
} cases[] = {
        {"one request", "GET /echo HTTP/1.1\r\n" H "\r\n", OK("0", ""), "GET:/echo done ", H1S_IDLE},
        {"body of a length", "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", OK("3", "abc"),
         "POST:/echo done ", H1S_IDLE},
        {"RFC 9112 7.1: chunked body",
         "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n",
         OK("3", "abc"), "POST:/echo done ", H1S_IDLE},
        {"36: pipelined, in order (RFC 9112 9.3.2)",
         "GET /status/204 HTTP/1.1\r\n" H "\r\nPOST /echo HTTP/1.1\r\n" H
         "Content-Length: 1\r\n\r\nxGET /echo HTTP/1.1\r\n" H "\r\n",
         "HTTP/1.1 204 No Content\r\n\r\n" OK("1", "x") OK("0", ""),
         "GET:/status/204 done POST:/echo done GET:/echo done ", H1S_IDLE},
        {"35: close, and nothing behind it is read (RFC 9112 9.6)", "GET /echo HTTP/1.1\r\n" H "Connection: close\r\n\r\nGET /never HTTP/1.1\r\n" H "\r\n",
         "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "GET:/echo done ", H1S_CLOSING},
        {"35: HTTP/1.0 closes", "GET /echo HTTP/1.0\r\n\r\n",
         "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "GET:/echo done ", H1S_CLOSING},
        {"35: HTTP/1.0 keep-alive", "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
         "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n", "GET:/echo done ", H1S_IDLE},
        {"20: HEAD tells the length, has no body", "HEAD /big/5000 HTTP/1.1\r\n" H "\r\n",
         "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n", "HEAD:/big/5000 done ", H1S_IDLE},
        {"48, 53: chunks and trailers out", "GET /chunked HTTP/1.1\r\n" H "\r\n",
         "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n",
         "GET:/chunked done ", H1S_IDLE},
        {"unknown length to HTTP/1.0: until close", "GET /chunked HTTP/1.0\r\n\r\n",
         "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello", "GET:/chunked done ", H1S_CLOSING},
        {"19: 103 passes (RFC 9110 15.2)", "GET /hints HTTP/1.1\r\n" H "\r\n",
         "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" OK("4", "late"), "GET:/hints done ", H1S_IDLE},
        {"19: 103 is not for HTTP/1.0", "GET /hints HTTP/1.0\r\n\r\n",
         "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nlate", "GET:/hints done ", H1S_CLOSING},
        {"15: TE and CL end the connection (RFC 9112 6.1)",
         "POST /echo HTTP/1.1\r\n" H
         "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /no HTTP/1.1\r\n" H "\r\n",
         "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "refuse:400 done ", H1S_CLOSING},
        {"RFC 9112 3.2.2: absolute-form of our scheme", "GET http://a/echo HTTP/1.1\r\n" H "\r\n", OK("0", ""),
         "GET:/echo done ", H1S_IDLE},
        {"RFC 9112 3.2.2: absolute-form of another scheme", "GET https://a/echo HTTP/1.1\r\n" H "\r\n",
         "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "refuse:400 done ", H1S_CLOSING},
        {"15: a bad chunk ends it", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
         "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "POST:/echo refuse:400 done ",
         H1S_CLOSING},
        {"39: early answer, the rest is thrown away (RFC 9112 9.6)",
         "POST /early HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\n0123",
         "HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno", "POST:/early done ",
         H1S_CLOSING},
        {"38: a cut response is short, then closed", "GET /cut HTTP/1.1\r\n" H "\r\n",
         "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789", "GET:/cut gone ", H1S_CLOSING},
        {"half a head", "GET /echo HTTP/1.1\r\nHos", "", "", H1S_HEAD},
        {"half a body", "POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nab", "", "POST:/echo ", H1S_BODY},
};

static void test_table(void **state)
{
        (void)state;
        static const char *const modes[] = {"whole", "byte by byte", "random"};
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                for (int mode = 0; mode < 3; mode++) {
                        struct run r;
                        run_init(&r);
                        run_feed(&r, cases[i].in, strlen(cases[i].in), mode);
                        const char *got = buf_cstr(&r.out);
                        if (strcmp(got, cases[i].want) != 0 || strcmp(r.l.log, cases[i].log) != 0 ||
                            r.h.state != cases[i].end)
                                fail_msg("%s, %s:\n got %s\nwant %s\n log %s\n end %d", cases[i].name, modes[mode], got,
                                         cases[i].want, r.l.log, (int)r.h.state);
                        run_fini(&r);
                }
}

static void test_window(void **state)
{
        (void)state;
        struct run r;
        size_t most = 0;
        run_init(&r);
        static const char in[] = "GET /big/1000000 HTTP/1.1\r\n" H "\r\n";
        assert_int_equal(h1_server_input(&r.h, span_str(in)), sizeof in - 1);
        while (r.l.last) { /* a slow reader: 1000 bytes at a time */
                assert_true(r.h.out.n <= LOOP_BUFFER + 1024 + 200);
                most = MAX(most, r.h.out.n);
                chain_consume(&r.h.out, MIN(r.h.out.n, (size_t)1000));
                loop_big(&r.l.last->s);
        }
        assert_true(most >= LOOP_BUFFER - 1024);
        assert_int_equal(r.l.completed, 1);
        run_fini(&r);
}

static void test_reading_stops(void **state)
{
        (void)state;
        struct run r;
        run_init(&r);
        r.l.req_window = 0;
        static const char head[] = "POST /echo HTTP/1.1\r\n" H "Content-Length: 100000\r\n\r\n";
        assert_int_equal(h1_server_input(&r.h, span_str(head)), sizeof head - 1);
        assert_int_equal(h1_server_room(&r.h), 0); /* the upstream has no room: the client is not read */
        r.l.req_window = 77;
        assert_int_equal(h1_server_room(&r.h), 77);
        run_fini(&r);
        run_init(&r);
        static const char held[] = "GET /hold HTTP/1.1\r\n" H "\r\nGET /echo HTTP/1.1\r\n" H "\r\n";
        assert_int_equal(h1_server_input(&r.h, span_str(held)),
                         (sizeof held - 1) / 2); /* the pipelined one waits unread */
        assert_int_equal(h1_server_room(&r.h), 0);
        run_fini(&r);
}

static void test_ends(void **state)
{
        (void)state;
        static const struct {
                const char *name, *in, *log;
                bool reset;
        } eofs[] = {
                {"between requests", "", "", false},
                {"inside a head", "GET /x HT", "gone ", false},
                {"inside a body", "POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nab", "POST:/echo gone ", false},
                {"inside a body, a response begun", "POST /big/100000 HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nab",
                 "POST:/big/100000 gone ", true},
        };
        for (size_t i = 0; i < ARRAY_SIZE(eofs); i++) {
                struct run r;
                run_init(&r);
                run_feed(&r, eofs[i].in, strlen(eofs[i].in), 0);
                h1_server_eof(&r.h);
                if (r.h.state != H1S_CLOSING || strcmp(r.l.log, eofs[i].log) != 0 || r.h.reset != eofs[i].reset)
                        fail_msg("%s: log %s", eofs[i].name, r.l.log);
                run_fini(&r);
        }
        struct run r; /* after a whole request a half-close is no abort (requirement 38) */
        run_init(&r);
        static const char held[] = "GET /hold HTTP/1.1\r\n" H "\r\n";
        run_feed(&r, held, sizeof held - 1, 0);
        h1_server_eof(&r.h);
        assert_string_equal(r.l.log, "GET:/hold ");
        loop_answer(&r.l.last->s, 200, "still");
        run_flush(&r);
        assert_non_null(strstr(buf_cstr(&r.out), "connection: close\r\n\r\nstill"));
        assert_int_equal(r.h.state, H1S_CLOSING);
        run_fini(&r);
}

static void test_timeout_and_drain(void **state)
{
        (void)state;
        struct run r;
        run_init(&r);
        run_feed(&r, "GET /x", 6, 0);
        h1_server_timeout(&r.h);
        run_flush(&r);
        assert_non_null(strstr(buf_cstr(&r.out), "HTTP/1.1 408 "));
        assert_int_equal(r.h.state, H1S_CLOSING);
        run_fini(&r);
        run_init(&r);
        h1_server_drain(&r.h);
        static const char echo[] = "GET /echo HTTP/1.1\r\n" H "\r\n";
        run_feed(&r, echo, sizeof echo - 1, 0);
        assert_non_null(strstr(buf_cstr(&r.out), "connection: close\r\n"));
        assert_int_equal(r.h.state, H1S_CLOSING);
        run_fini(&r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_window),
                                           cmocka_unit_test(test_reading_stops), cmocka_unit_test(test_ends),
                                           cmocka_unit_test(test_timeout_and_drain)};
        return cmocka_run_group_tests_name("h1_server", tests, NULL, NULL);
}
