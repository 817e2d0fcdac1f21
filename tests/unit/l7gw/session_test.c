/* tests/unit/l7gw/session_test.c - tokens of sessions: written, read back, and what is not one. */
#include "lib/base.h"
#include "l7gw/core/session.h"
#include "tests/unit/l7gw/route_rows.h"

#define NOW 1763880000u
static struct arena a;

static Model__Persistence policy(bool header, uint32_t absolute_s, bool session_cookie)
{
        Model__Persistence p = MODEL__PERSISTENCE__INIT;
        p.kind = header ? MODEL__PERSISTENCE__KIND__HEADER : MODEL__PERSISTENCE__KIND__COOKIE;
        p.name = (char *)"s";
        p.absolute_timeout_s = absolute_s;
        p.session_cookie = session_cookie;
        return p;
}

static void test_read(void **state)
{
        (void)state;
#define T "0123456789abcdef"
        static const struct {
                const char *name, *fields;
                bool header;
                uint32_t absolute_s;
                size_t want;
        } rows[] = {
                {"alone", "Cookie: s=" T "\r\n", false, 0, 1},
                {"among others", "Cookie: a=b; s=" T "; c\r\n", false, 0, 1},
                {"on another line", "Cookie: a=b\r\nCookie: s=" T "\r\n", false, 0, 1},
                {"of two paths", "Cookie: s=" T "; s=fedcba9876543210\r\n", false, 0, 2},
                {"more than are asked for", "Cookie: s=" T "; s=" T "; s=" T "\r\n", false, 0, 2},
                {"another case of the name", "Cookie: S=" T "\r\n", false, 0, 0},
                {"name in a value", "Cookie: a=s=" T "\r\n", false, 0, 0},
                {"short", "Cookie: s=0123\r\n", false, 0, 0},
                {"no hex", "Cookie: s=0123456789abcdeg\r\n", false, 0, 0},
                {"long", "Cookie: s=" T "0\r\n", false, 0, 0},
                {"zero", "Cookie: s=0000000000000000\r\n", false, 0, 0},
                {"empty", "Cookie: s=\r\n", false, 0, 0},
                {"no cookie", "X: y\r\n", false, 0, 0},
                {"born in time", "Cookie: s=" T ".1763879999\r\n", false, 60, 1},
                {"born too long ago", "Cookie: s=" T ".1763879940\r\n", false, 60, 0},
                {"born in the future", "Cookie: s=" T ".1763990000\r\n", false, 60, 0},
                {"a shard's clock goes ahead", "Cookie: s=" T ".1763880100\r\n", false, 60, 1},
                {"timeout, and nobody knows when it was born", "Cookie: s=" T "\r\n", false, 60, 0},
                {"time that is none", "Cookie: s=" T ".x\r\n", false, 60, 0},
                {"time without end", "Cookie: s=" T ".99999999999999999999\r\n", false, 60, 0},
                {"header", "S: " T "\r\n", true, 0, 1},
                {"header, and a cookie", "Cookie: s=" T "\r\n", true, 0, 0},
        };
        arena_init(&a, 4096, SIZE_MAX);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                Model__Persistence p = policy(rows[i].header, rows[i].absolute_s, true);
                struct msg m;
                uint64_t got[2] = {0};
                request_parse(&a, arena_printf(&a, "GET / HTTP/1.1\r\nHost: h\r\n%s", rows[i].fields), &m);
                size_t n = session_read(&p, &m, NOW, got, 2);
                if (n != rows[i].want || (n && got[0] != 0x0123456789abcdefu))
                        fail_msg("%s: %zu", rows[i].name, n);
        }
        arena_fini(&a);
}

static void test_write(void **state)
{
        (void)state;
        static const struct {
                bool header, tls, session_cookie;
                uint32_t absolute_s;
                const char *path, *field, *want;
        } rows[] = {
                {false, false, true, 0, "/a/b", "set-cookie", "s=00000000000000ff; Path=/a/b; HttpOnly"},
                {false, true, true, 0, "", "set-cookie", "s=00000000000000ff; Path=/; HttpOnly; Secure"},
                {false, true, false, 60, "/", "set-cookie", "s=00000000000000ff.1763880000; Path=/; Max-Age=60; HttpOnly; Secure"},
                {false, false, true, 60, "/", "set-cookie", "s=00000000000000ff.1763880000; Path=/; HttpOnly"},
                {false, false, true, 0, "/a;Domain=x", "set-cookie", "s=00000000000000ff; Path=/; HttpOnly"},
                {true, false, false, 60, "/", "s", "00000000000000ff.1763880000"},
        };
        arena_init(&a, 4096, SIZE_MAX);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                Model__Persistence p = policy(rows[i].header, rows[i].absolute_s, rows[i].session_cookie);
                struct msg m, back;
                uint64_t token;
                msg_init(&m, &a);
                assert_int_equal(session_write(&p, 0xff, NOW, span_str(rows[i].path), rows[i].tls, &m), 0);
                const struct field *f = msg_find(&m, span_str(rows[i].field));
                assert_non_null(f);
                if (!span_eq_str(f->value, rows[i].want))
                        fail_msg("%.*s", SPAN_FMT(f->value));
                /* what we write, we read */
                int n = rows[i].header ? (int)f->value.n : (int)strcspn(rows[i].want, ";");
                request_parse(&a, arena_printf(&a, "GET / HTTP/1.1\r\nHost: h\r\n%s: %.*s\r\n", rows[i].header ? "S" : "Cookie", n, rows[i].want), &back);
                assert_int_equal(session_read(&p, &back, NOW, &token, 1), 1);
                assert_true(token == 0xff);
        }
        arena_fini(&a);
}

static void test_token(void **state)
{
        (void)state;
        struct ipaddr one, two, six;
        assert_int_equal(ipaddr_parse(SPAN_LIT("10.0.0.1"), &one), 0);
        assert_int_equal(ipaddr_parse(SPAN_LIT("10.0.0.2"), &two), 0);
        assert_int_equal(ipaddr_parse(SPAN_LIT("fd00::1"), &six), 0);
        assert_true(session_token(&one, 80) == session_token(&one, 80) && session_token(&one, 80) != 0);
        assert_true(session_token(&one, 80) != session_token(&one, 81) && session_token(&one, 80) != session_token(&two, 80) &&
                    session_token(&one, 80) != session_token(&six, 80));
        assert_true(session_token(&one, 80) == 0x4954c30d61b9d091u); /* all versions of all shards agree */
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_write), cmocka_unit_test(test_token)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
