/* tests/unit/l7gw/h1_write_test.c - what the writers emit: exact bytes, and the round trip: our own parser accepts it and
 * understands the same message. */
#include "lib/base.h"
#include "tests/unit/l7gw/exchange.h"
#include "lib/core/buf.h"

#define END "\r\n"

static const struct {
        const char *name, *method; /* method NULL: a request */
        struct span in;
        bool keep_alive;
        const char *out;
} cases[] = {
        { "17: request", NULL, IN("GET /a?b HTTP/1.1\r\nX: 1\r\nHost: a.example:81\r\n" END), true,
          "GET /a?b HTTP/1.1\r\nhost: a.example:81\r\nx: 1\r\n\r\n" },
        { "request that closes", NULL, IN("GET / HTTP/1.1\r\nHost: a\r\n" END), false,
          "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" },
        { "17: length", NULL, IN("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0012\r\n" END), true,
          "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\n" },
        { "17, 48: chunked", NULL, IN("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n" END), true,
          "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" },
        { "17: absolute-form becomes origin-form", NULL, IN("GET http://a:80 HTTP/1.1\r\nHost: a\r\n" END), true,
          "GET / HTTP/1.1\r\nhost: a:80\r\n\r\n" },
        { "OPTIONS *", NULL, IN("OPTIONS * HTTP/1.1\r\nHost: a\r\n" END), true, "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n" },
        { "CONNECT", NULL, IN("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n" END), true, "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n" },
        { "1.0 without Host", NULL, IN("GET / HTTP/1.0\r\n" END), true, "GET / HTTP/1.1\r\nhost: " H1_NO_HOST "\r\n\r\n" },
        { "upgrade and TE", NULL, IN("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: upgrade, te\r\nUpgrade: websocket\r\n" END), true,
          "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, te\r\nupgrade: websocket\r\nte: trailers\r\n\r\n" },
        { "expect", NULL, IN("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n" END), true,
          "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\nexpect: 100-continue\r\n\r\n" },
        { "response", "GET", IN("HTTP/1.1 200 Fine\r\nContent-Length: 3\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n" END), true,
          "HTTP/1.1 200 Fine\r\nset-cookie: a\r\nset-cookie: b\r\ncontent-length: 3\r\n\r\n" },
        { "response of 1.0 that stays", "GET", IN("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n" END), true,
          "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\n" },
        { "response that closes", "GET", IN("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n" END), false,
          "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" },
        { "until close always closes", "GET", IN("HTTP/1.1 200 OK\r\n" END), true, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" },
        { "HEAD", "HEAD", IN("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" END), true, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n" },
        { "20: 204", "GET", IN("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n" END), true, "HTTP/1.1 204 No Content\r\n\r\n" },
        { "304", "GET", IN("HTTP/1.1 304 Not Modified\r\nETag: x\r\n" END), true, "HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n" },
        { "own reason", "GET", IN("HTTP/1.1 503 \r\nContent-Length: 0\r\n" END), true,
          "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n" },
        { "103 has no connection line", "GET", IN("HTTP/1.1 103 Early Hints\r\nLink: x\r\n" END), false,
          "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" },
        { "101", "GET", IN("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" END), true,
          "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" },
};

/* The message without what belongs to one hop only: minor, keep-alive, the reason made up, framing until close. */
static void meaning(const struct msg *m, char *text)
{
        struct msg c = *m;
        c.minor = 0;
        c.keep_alive = false;
        c.reason = SPAN_NULL;
        msg_dump(&c, text);
}

static void test_bytes_and_round_trip(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                static struct exchange x, y;
                static char before[EXCHANGE_TEXT], after[EXCHANGE_TEXT];
                struct buf out;
                buf_init(&out, 1u << 16);
                exchange_run(&x, cases[i].in, &h1_default_limits, cases[i].method, WHOLE, SIZE_MAX);
                assert_true(x.rc == H1_OK || x.rc == H1_MORE); /* MORE: only the head is given */
                if (cases[i].method)
                        h1_write_response(&out, &x.msg, cases[i].keep_alive);
                else
                        h1_write_request(&out, &x.msg, cases[i].keep_alive);
                assert_false(out.failed);
                if (!span_eq_str(buf_span(&out), cases[i].out))
                        print_error("%s: wrote\n%s\n", cases[i].name, buf_cstr(&out));
                assert_true(span_eq_str(buf_span(&out), cases[i].out));
                exchange_run(&y, buf_span(&out), &h1_default_limits, cases[i].method, BYTEWISE, SIZE_MAX);
                if (!x.msg.authority.n)
                        x.msg.authority = SPAN_LIT(H1_NO_HOST);
                before[0] = after[0] = '\0';
                meaning(&x.msg, before);
                meaning(&y.msg, after);
                assert_string_equal(before, after);
                exchange_fini(&x);
                exchange_fini(&y);
                buf_fini(&out);
        }
}

static void test_chunks(void **state)
{
        (void)state;
        char head[20];
        assert_int_equal(h1_chunk_head(head, 0x1a2b), 6);
        assert_memory_equal(head, "1a2b\r\n", 6);
        assert_int_equal(h1_chunk_head(head, SIZE_MAX), 18);
        struct arena a;
        struct msg t;
        struct buf out;
        arena_init(&a, 4096, SIZE_MAX);
        msg_init(&t, &a);
        buf_init(&out, 4096);
        h1_write_last_chunk(&out, NULL);
        assert_true(span_eq_str(buf_span(&out), "0\r\n\r\n"));
        buf_reset(&out);
        assert_int_equal(msg_add(&t, SPAN_LIT("Sum"), SPAN_LIT("1")), 0);
        assert_int_equal(msg_add(&t, SPAN_LIT("Content-Length"), SPAN_LIT("1")), 0); /* never written as a field */
        h1_write_last_chunk(&out, &t);
        assert_true(span_eq_str(buf_span(&out), "0\r\nsum: 1\r\n\r\n"));
        buf_fini(&out);
        arena_fini(&a);
}

/* A buffer with a cap fails softly, and nothing half-written stays. */
static void test_no_room(void **state)
{
        (void)state;
        static struct exchange x;
        struct buf out;
        buf_init(&out, 100);
        exchange_run(&x, SPAN_LIT("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), &h1_default_limits, NULL, WHOLE, SIZE_MAX);
        h1_write_request(&out, &x.msg, true);
        assert_true(out.failed);
        assert_int_equal(out.n, 0);
        exchange_fini(&x);
        buf_fini(&out);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_bytes_and_round_trip), cmocka_unit_test(test_chunks),
                                            cmocka_unit_test(test_no_room) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
