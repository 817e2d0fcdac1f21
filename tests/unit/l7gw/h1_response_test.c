/* tests/unit/l7gw/h1_response_test.c - response heads and their framing.  Every error is a 502 for the client. */
#include "lib/base.h"
#include "tests/unit/l7gw/exchange.h"

#define END "\r\n"

static const struct {
        const char *method;
        struct exchange_case c;
} cases[] = {
        { "GET", { "length", IN("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" END "hi"), H1_OK, "200 OK 1.1 len=2 keep # hi" } },
        { "GET", { "bytes after the response", IN("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" END "hiHTTP/1.1 200"), H1_OK,
                   "200 OK 1.1 len=2 keep # hi", 12 } },
        { "GET", { "chunked with trailers", IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" END "2\r\nhi\r\n0\r\nSum: 1\r\n\r\n"),
                   H1_OK, "200 OK 1.1 chunked keep # hi ^ sum: 1" } },
        { "GET", { "until close", IN("HTTP/1.1 200 OK\r\n" END "hi"), H1_OK, "200 OK 1.1 close # hi" } },
        { "GET", { "reason with spaces", IN("HTTP/1.1 404 No such thing\xe9\r\nContent-Length: 0\r\n" END), H1_OK,
                   "404 No such thing\xe9 1.1 len=0 keep" } },
        { "GET", { "empty reason", IN("HTTP/1.1 200 \r\nContent-Length: 0\r\n" END), H1_OK, "200  1.1 len=0 keep" } },
        { "GET", { "no reason", IN("HTTP/1.1 200\r\nContent-Length: 0\r\n" END), H1_OK, "200  1.1 len=0 keep" } },
        { "GET", { "HTTP/1.0", IN("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n" END), H1_OK, "200 OK 1.0 len=0" } },
        { "GET", { "HTTP/1.0 keep-alive", IN("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n" END), H1_OK,
                   "200 OK 1.0 len=0 keep" } },
        { "GET", { "Set-Cookie is not merged", IN("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n" END), H1_OK,
                   "200 OK 1.1 len=0 keep | set-cookie: a | set-cookie: b" } },
        { "GET", { "hop-by-hop fields go", IN("HTTP/1.1 200 OK\r\nConnection: close, X-A\r\nKeep-Alive: timeout=5\r\nX-A: 1\r\n"
                                              "Upgrade: h2c\r\nContent-Length: 0\r\nServer: s\r\n" END), H1_OK,
                   "200 OK 1.1 len=0 | server: s" } },
        /* requirement 20: no body whatever the head says */
        { "HEAD", { "20: HEAD keeps the length", IN("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n" END), H1_OK, "200 OK 1.1 none=9 keep" } },
        { "HEAD", { "20: HEAD, chunked", IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" END), H1_OK, "200 OK 1.1 none keep" } },
        { "HEAD", { "20: HEAD without framing", IN("HTTP/1.1 200 OK\r\n" END), H1_OK, "200 OK 1.1 none keep" } },
        { "GET", { "20: 304 keeps the length", IN("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n" END), H1_OK,
                   "304 Not Modified 1.1 none=9 keep" } },
        { "GET", { "20: 204 has no length", IN("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n" END), H1_OK,
                   "204 No Content 1.1 none keep" } },
        { "CONNECT", { "20: CONNECT 200", IN("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n" END), H1_OK, "200 OK 1.1 none keep" } },
        { "CONNECT", { "20: CONNECT 403 has a body", IN("HTTP/1.1 403 No\r\nContent-Length: 1\r\n" END "x"), H1_OK,
                       "403 No 1.1 len=1 keep # x" } },
        { "GET", { "19: 100", IN("HTTP/1.1 100 Continue\r\n" END "HTTP/1.1 200 OK\r\n"), H1_OK, "100 Continue 1.1 none keep", 17 } },
        { "GET", { "19: 103", IN("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 3\r\n" END), H1_OK,
                   "103 Early Hints 1.1 none keep | link: </a>" } },
        { "GET", { "19: 101 names its protocol", IN("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n" END),
                   H1_OK, "101 Switching Protocols 1.1 none keep up=websocket" } },
        { "GET", { "426 names a protocol", IN("HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                              "Content-Length: 0\r\n" END), H1_OK, "426 Upgrade Required 1.1 len=0 keep up=websocket" } },
        /* requirements 7-11 on this side */
        { "GET", { "8: TE wins, the connection is not used again", IN("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
                                                                     END "2\r\nhi\r\n0\r\n\r\n"), H1_OK, "200 OK 1.1 chunked # hi" } },
        { "GET", { "7: two lengths", IN("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n" END), H1_BAD_LENGTH } },
        { "HEAD", { "7: bad length of HEAD", IN("HTTP/1.1 200 OK\r\nContent-Length: x\r\n" END), H1_BAD_LENGTH } },
        { "GET", { "10: TE in HTTP/1.0", IN("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n" END), H1_BAD_FRAMING } },
        { "GET", { "9: chunked twice", IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END), H1_BAD_FRAMING } },
        { "GET", { "9: gzip", IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n" END), H1_BAD_CODING } },
        { "GET", { "11: bad chunk", IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" END "zz\r\n"), H1_BAD_CHUNK } },
        /* requirement 18: status line */
        { "GET", { "18: two digits", IN("HTTP/1.1 20 OK\r\n" END), H1_BAD_LINE } },
        { "GET", { "18: four digits", IN("HTTP/1.1 2000 OK\r\n" END), H1_BAD_LINE } },
        { "GET", { "18: 099", IN("HTTP/1.1 099 OK\r\n" END), H1_BAD_LINE } },
        { "GET", { "18: 600", IN("HTTP/1.1 600 OK\r\n" END), H1_BAD_LINE } },
        { "GET", { "18: no number", IN("HTTP/1.1 OK 200\r\n" END), H1_BAD_LINE } },
        { "GET", { "18: version 2", IN("HTTP/2.0 200 OK\r\n" END), H1_BAD_VERSION } },
        { "GET", { "18: version in small letters", IN("http/1.1 200 OK\r\n" END), H1_BAD_LINE } },
        { "GET", { "18: ICY", IN("ICY 200 OK\r\n" END), H1_BAD_LINE } },
        { "GET", { "18: empty line first", IN("\r\nHTTP/1.1 200 OK\r\n" END), H1_BAD_LINE } },
        { "GET", { "18: two spaces", IN("HTTP/1.1  200 OK\r\n" END), H1_BAD_LINE } },
        { "GET", { "2: CTL in the reason", IN("HTTP/1.1 200 O\x01K\r\n" END), H1_BAD_LINE } },
        { "GET", { "2: CR in the reason", IN("HTTP/1.1 200 O\rK\r\n" END), H1_BAD_LF } },
        { "GET", { "3: bare LF", IN("HTTP/1.1 200 OK\n\n"), H1_BAD_LF } },
        { "GET", { "4: space before the colon", IN("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n" END), H1_BAD_FIELD } },
        { "GET", { "5: folded", IN("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n" END), H1_BAD_FOLD } },
        { "GET", { "no colon", IN("HTTP/1.1 200 OK\r\n<html>\r\n" END), H1_BAD_FIELD } },
        { "GET", { "cut short", IN("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" END "h"), H1_MORE } },
};

static void test_responses(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                case_run(&cases[i].c, &h1_default_limits, cases[i].method);
}

static void test_starved(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                case_starve(&cases[i].c, &h1_default_limits, cases[i].method);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_responses), cmocka_unit_test(test_starved) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
