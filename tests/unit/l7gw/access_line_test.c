/* tests/unit/l7gw/access_line_test.c - one record, one line of JSON; nothing a client sends can break out of it. */
#include "lib/base.h"
#include "l7gw/core/access_line.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct ipaddr addr(const char *s)
{
        struct ipaddr a;
        assert_int_equal(ipaddr_parse(span_str(s), &a), 0);
        return a;
}

static void test_line(void **state)
{
        (void)state;
        struct buf b;
        struct access_record r = {
                .time_us = 1795400872123456u,
                .client = addr("2001:db8::1"),
                .client_port = 5,
                .local = addr("192.0.2.1"),
                .local_port = 443,
                .upstream = addr("10.0.0.1"),
                .upstream_port = 8080,
                .listener = "default/web/https",
                .tls_version = "TLSv1.3",
                .route = {"HTTPRoute", "default", "r", 1, 0},
                .sni = SPAN_LIT("a.example"),
                .method = SPAN_LIT("GET"),
                .authority = SPAN_LIT("a.example"),
                .path = SPAN_LIT("/x"),
                .query = SPAN_LIT("q=1"),
                .has_query = true,
                .request_id = SPAN_LIT("id"),
                .http_minor = 2,
                .status = 502,
                .reason = REASON_UPSTREAM_BAD,
                .complete = true,
                .bytes_in = 1,
                .bytes_out = 2,
                .duration_us = 3,
                .upstream_us = 4,
                .tries = 2,
        };
        buf_init(&b, 65536);
        access_line_write(&b, &r);
        assert_string_equal(
                buf_cstr(&b),
                "{\"time\":\"2026-11-23T02:27:52.123Z\",\"client\":\"[2001:db8::1]:5\",\"local\":\"192.0.2.1:443\","
                "\"listener\":\"default/web/https\",\"protocol\":\"HTTP/"
                "2\",\"tls\":\"TLSv1.3\",\"sni\":\"a.example\",\"method\":\"GET\","
                "\"authority\":\"a.example\",\"path\":\"/"
                "x\",\"query\":\"q=1\",\"status\":502,\"reason\":\"upstream_bad\",\"complete\":true,"
                "\"bytes_in\":1,\"bytes_out\":2,\"duration_us\":3,\"upstream\":\"10.0.0.1:8080\",\"upstream_us\":4,"
                "\"tries\":2,"
                "\"route\":\"HTTPRoute default/r rule 1\",\"request_id\":\"id\"}\n");
        buf_fini(&b);
}

static void test_times(void **state)
{
        (void)state;
        static const struct {
                uint64_t s;
                const char *want;
        } cases[] = {{0, "1970-01-01T00:00:00.000Z"},
                     {951782399, "2000-02-28T23:59:59.000Z"},
                     {951782400, "2000-02-29T00:00:00.000Z"},
                     {4107542400, "2100-03-01T00:00:00.000Z"},
                     {1735689599, "2024-12-31T23:59:59.000Z"}};
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct buf b;
                struct access_record r = {.time_us = cases[i].s * 1000000};
                buf_init(&b, 65536);
                access_line_write(&b, &r);
                if (!strstr(buf_cstr(&b), cases[i].want))
                        fail_msg("%s: %s", cases[i].want, buf_cstr(&b));
                buf_fini(&b);
        }
}

/* requirement 60: nothing a client sends breaks out of its line. */
static void test_hostile(void **state)
{
        (void)state;
        struct buf b;
        struct access_record r = {.method = SPAN_LIT("GET\"},\n{"), .path = SPAN_LIT("/\x01\xff\n\"\\")};
        buf_init(&b, 65536);
        access_line_write(&b, &r);
        const char *s = buf_cstr(&b);
        assert_ptr_equal(strchr(s, '\n'), s + b.n - 1); /* one line, whatever came */
        assert_null(strstr(s, "GET\"}"));
        for (size_t i = 0; i + 1 < b.n; i++)
                assert_in_range((uint8_t)s[i], 0x20, 0x7e);
        buf_fini(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_line), cmocka_unit_test(test_times),
                                           cmocka_unit_test(test_hostile)};
        return cmocka_run_group_tests_name("access_line", tests, NULL, NULL);
}
