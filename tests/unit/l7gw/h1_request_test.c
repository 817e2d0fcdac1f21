/* tests/unit/l7gw/h1_request_test.c - request heads: what is accepted and the normal form it gets; limits. */
#include "lib/base.h"
#include "tests/unit/l7gw/exchange.h"

#define H "Host: a.example\r\n"
#define END "\r\n"

static const struct exchange_case cases[] = {
        { "plain", IN("GET / HTTP/1.1\r\n" H END), H1_OK, "GET a.example / 1.1 none keep" },
        { "fields in order, names lowered", IN("GET /x?y=1 HTTP/1.1\r\nB: 2\r\n" H "aA: \t 1 2 \t\r\nB:3\r\nE:\r\n" END), H1_OK,
          "GET a.example /x?y=1 1.1 none keep | b: 2 | aa: 1 2 | b: 3 | e: " },
        { "9110 5.5: obs-text in a value", IN("GET / HTTP/1.1\r\n" H "X: caf\xe9\tz\r\n" END), H1_OK,
          "GET a.example / 1.1 none keep | x: caf\xe9\tz" },
        { "pipelined", IN("GET /1 HTTP/1.1\r\n" H END "GET /2 HTTP/1.1\r\n" H END), H1_OK, "GET a.example /1 1.1 none keep", 36 },
        { "28: an empty query stays", IN("GET /? HTTP/1.1\r\n" H END), H1_OK, "GET a.example /? 1.1 none keep" },
        { "28: the query stays as it is", IN("GET /?a=%zz&b=/../{}|\"%2e HTTP/1.1\r\n" H END), H1_OK,
          "GET a.example /?a=%zz&b=/../{}|\"%2e 1.1 none keep" },
        { "26: the path is made normal", IN("GET /a/./b/../%7Ec/%2f%5c HTTP/1.1\r\n" H END), H1_OK, "GET a.example /a/~c/%2F%5C 1.1 none keep" },
        { "any method", IN("PROPFIND / HTTP/1.1\r\n" H END), H1_OK, "PROPFIND a.example / 1.1 none keep" },
        { "method is case-sensitive", IN("get / HTTP/1.1\r\n" H END), H1_OK, "get a.example / 1.1 none keep" },
        /* target forms: 9112 3.2 */
        { "absolute-form", IN("GET http://A.example:80/x?y HTTP/1.1\r\n" H END), H1_OK, "GET A.example:80 /x?y 1.1 none keep" },
        { "absolute-form, scheme in capitals", IN("GET HTTP://a.example/ HTTP/1.1\r\n" H END), H1_OK, "GET a.example / 1.1 none keep" },
        { "absolute-form without path", IN("GET http://a.example HTTP/1.1\r\n" H END), H1_OK, "GET a.example / 1.1 none keep" },
        { "absolute-form with query only", IN("GET http://a.example?q HTTP/1.1\r\n" H END), H1_OK, "GET a.example /?q 1.1 none keep" },
        { "absolute-form in HTTP/1.0 without Host", IN("GET http://a.example/ HTTP/1.0\r\n" END), H1_OK, "GET a.example / 1.0 none" },
        { "OPTIONS *", IN("OPTIONS * HTTP/1.1\r\n" H END), H1_OK, "OPTIONS a.example * 1.1 none keep" },
        { "OPTIONS absolute without path", IN("OPTIONS http://a.example HTTP/1.1\r\n" H END), H1_OK, "OPTIONS a.example * 1.1 none keep" },
        { "CONNECT", IN("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n" END), H1_OK, "CONNECT a.example:443  1.1 none keep" },
        { "IPv6 host", IN("GET / HTTP/1.1\r\nHost: [2001:DB8::1]:8080\r\n" END), H1_OK, "GET [2001:DB8::1]:8080 / 1.1 none keep" },
        /* framing */
        { "length", IN("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n" END "helloX"), H1_OK, "POST a.example / 1.1 len=5 keep # hello", 1 },
        { "length 0", IN("POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n" END), H1_OK, "POST a.example / 1.1 len=0 keep" },
        { "length with leading zeros", IN("POST / HTTP/1.1\r\n" H "Content-Length: 0005\r\n" END "hello"), H1_OK,
          "POST a.example / 1.1 len=5 keep # hello" },
        { "the longest length", IN("POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775807\r\n" END), H1_MORE },
        { "chunked", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n" END "5\r\nhello\r\n0A\r\n, 10 bytes\r\n0\r\n\r\n"), H1_OK,
          "POST a.example / 1.1 chunked keep # hello, 10 bytes" },
        { "chunked with trailers", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n" END "1\r\nx\r\n0\r\nA: 1\r\nb:  2 \r\n\r\n"),
          H1_OK, "POST a.example / 1.1 chunked keep # x ^ a: 1 ^ b: 2" },
        { "body cut short", IN("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n" END "hell"), H1_MORE },
        /* connection */
        { "close", IN("GET / HTTP/1.1\r\n" H "Connection: close\r\n" END), H1_OK, "GET a.example / 1.1 none" },
        { "close wins over keep-alive", IN("GET / HTTP/1.1\r\n" H "Connection: keep-alive, CLOSE\r\n" END), H1_OK, "GET a.example / 1.1 none" },
        { "35: 1.0 closes", IN("GET / HTTP/1.0\r\n" H END), H1_OK, "GET a.example / 1.0 none" },
        { "35: 1.0 may ask to stay", IN("GET / HTTP/1.0\r\n" H "Connection: Keep-Alive\r\n" END), H1_OK, "GET a.example / 1.0 none keep" },
        { "Connection over two lines", IN("GET / HTTP/1.1\r\n" H "Connection: x-a\r\nX-A: 1\r\nConnection: ,, x-b\r\nX-B: 2\r\n" END), H1_OK,
          "GET a.example / 1.1 none keep" },
        /* expect: 9110 10.1.1 */
        { "expect", IN("PUT / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 1\r\n" END "x"), H1_OK,
          "PUT a.example / 1.1 len=1 keep expect # x" },
        { "expect without body", IN("PUT / HTTP/1.1\r\n" H "Expect: 100-continue\r\n" END), H1_OK, "PUT a.example / 1.1 none keep" },
        { "expect in 1.0 is ignored", IN("PUT / HTTP/1.0\r\n" H "Expect: x\r\nContent-Length: 1\r\n" END "x"), H1_OK,
          "PUT a.example / 1.0 len=1 # x" },
        /* upgrade: 9110 7.8 */
        { "websocket", IN("GET / HTTP/1.1\r\n" H "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" END), H1_OK,
          "GET a.example / 1.1 none keep up=websocket" },
        { "upgrade without Connection", IN("GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\n" END), H1_OK, "GET a.example / 1.1 none keep" },
        { "upgrade to one of two", IN("GET / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: h2c, websocket\r\n" END), H1_OK,
          "GET a.example / 1.1 none keep" },
        { "upgrade in 1.0", IN("GET / HTTP/1.0\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n" END), H1_OK, "GET a.example / 1.0 none" },
        /* cut short */
        { "nothing", IN("\r\n"), H1_MORE },
        { "head cut in a name", IN("GET / HTTP/1.1\r\nHos"), H1_MORE },
        { "head without its empty line", IN("GET / HTTP/1.1\r\n" H), H1_MORE },
};

static void test_requests(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                case_run(&cases[i], &h1_default_limits, NULL);
}

static void test_starved(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                case_starve(&cases[i], &h1_default_limits, NULL);
}

/* requirement 16: one byte or one field under the limit passes, one more does not. */
static void test_limits(void **state)
{
        (void)state;
        static const struct h1_limits lim = { 40, 120, 3, 50 };
        static const struct exchange_case rows[] = {
                { "line of 40", IN("GET /345678901234567890123456 HTTP/1.1\r\n" H END), H1_OK },
                { "line of 41", IN("GET /3456789012345678901234567 HTTP/1.1\r\n" H END), H1_LINE_TOO_LONG },
                { "line without end", IN("GET /34567890123456789012345678901234567"), H1_LINE_TOO_LONG },
                { "line that may still end", IN("GET /3456789012345678901234567890123456"), H1_MORE },
                { "three fields", IN("GET / HTTP/1.1\r\n" H "A: 1\r\nB: 2\r\n" END), H1_OK },
                { "four fields", IN("GET / HTTP/1.1\r\n" H "A: 1\r\nB: 2\r\nC: 3\r\n" END), H1_HEAD_TOO_LARGE },
                { "field of 50", IN("GET / HTTP/1.1\r\n" H "A: 345678901234567890123456789012345678901234567\r\n" END), H1_OK },
                { "field of 51", IN("GET / HTTP/1.1\r\n" H "A: 3456789012345678901234567890123456789012345678\r\n" END), H1_HEAD_TOO_LARGE },
                { "head of 120", IN("GET / HTTP/1.1\r\n" H "A: 3456789012345678901234567890123456789012\r\n" "A: 34567890123456789012345678901234567\r\n" END), H1_OK },
                { "head of 121", IN("GET / HTTP/1.1\r\n" H "A: 3456789012345678901234567890123456789012\r\n" "A: 345678901234567890123456789012345678\r\n" END), H1_HEAD_TOO_LARGE },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                case_run(&rows[i], &lim, NULL);
        static char big[70000];
        memset(big, 'a', sizeof big);
        memcpy(big, "GET /", 5);
        const struct exchange_case line = { "8 KiB line", SPAN(big, sizeof big), H1_LINE_TOO_LONG };
        case_run(&line, &h1_default_limits, NULL);
        memcpy(big, "GET / HTTP/1.1\r\nA: ", 19);
        const struct exchange_case field = { "16 KiB field", SPAN(big, sizeof big), H1_HEAD_TOO_LARGE };
        case_run(&field, &h1_default_limits, NULL);
        for (size_t i = 1; i * 64 + 64 < sizeof big; i++)
                memcpy(big + i * 64, "\r\nA: ", 5);
        const struct exchange_case head = { "32 KiB head of many fields", SPAN(big, sizeof big), H1_HEAD_TOO_LARGE };
        case_run(&head, &h1_default_limits, NULL);
}

/* The scan looks at every byte once: a head that arrives byte by byte is not searched again from its begin. */
static void test_scan_resumes(void **state)
{
        (void)state;
        struct arena a;
        struct msg m;
        struct h1_scan s = { 0 };
        size_t used;
        const struct span in = SPAN_LIT("GET / HTTP/1.1\r\n" H END);
        arena_init(&a, 4096, SIZE_MAX);
        msg_init(&m, &a);
        for (size_t n = 1; n < in.n; n++) {
                assert_int_equal(h1_request(&s, SPAN(in.p, n), &h1_default_limits, &m, &used), H1_MORE);
                assert_int_equal(s.seen, n);
                assert_int_equal(a.used_bytes, 0); /* nothing is kept before the head is complete */
        }
        assert_int_equal(h1_request(&s, in, &h1_default_limits, &m, &used), H1_OK);
        arena_fini(&a);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_requests), cmocka_unit_test(test_starved),
                                            cmocka_unit_test(test_limits), cmocka_unit_test(test_scan_resumes) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
