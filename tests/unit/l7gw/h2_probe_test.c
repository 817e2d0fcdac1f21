/* tests/unit/l7gw/h2_probe_test.c - gRPC health checks against a scripted server: answers that count, and those that do not; each
 * whole, and byte by byte. */
#include "lib/base.h"
#include "l7gw/core/h2_probe.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define SETTINGS "\0\0\0\4\0\0\0\0\0"
#define LITERAL(n, name, v, value) "\0" n name v value
#define HEADERS(len, flags) "\0\0" len "\1" flags "\0\0\0\1"
#define DATA(len) "\0\0" len "\0\0\0\0\0\1"
#define OK_HEAD HEADERS("\1", "\4") "\x88"                                     /* :status 200 */
#define TRAILERS_0 HEADERS("\x0f", "\5") LITERAL("\x0b", "grpc-status", "\1", "0")
#define TRAILERS_5 HEADERS("\x0f", "\5") LITERAL("\x0b", "grpc-status", "\1", "5")
#define MESSAGE(s) DATA("\7") "\0\0\0\0\2\x08" s
#define IN(s) { (const uint8_t *)(s), sizeof(s) - 1 }
static const struct {
        const char *name;
        struct span in;
        enum health_rc want;
        const char *why;
} rows[] = {
        {"SERVING", IN(SETTINGS OK_HEAD MESSAGE("\1") TRAILERS_0), HEALTH_OK, NULL},
        {"NOT_SERVING", IN(SETTINGS OK_HEAD MESSAGE("\2") TRAILERS_0), HEALTH_BAD, "NOT_SERVING"},
        {"nobody by that name", IN(SETTINGS HEADERS("\x10", "\5") "\x88" LITERAL("\x0b", "grpc-status", "\1", "5")), HEALTH_BAD, "grpc-status 5"},
        {"an error after the message", IN(SETTINGS OK_HEAD MESSAGE("\1") TRAILERS_5), HEALTH_BAD, "grpc-status 5"},
        {"no message", IN(SETTINGS OK_HEAD TRAILERS_0), HEALTH_BAD, "no HealthCheckResponse"},
        {"a compressed message", IN(SETTINGS OK_HEAD DATA("\7") "\1\0\0\0\2\x08\1" TRAILERS_0), HEALTH_BAD, "no HealthCheckResponse"},
        {"a length that is another", IN(SETTINGS OK_HEAD DATA("\7") "\0\0\0\0\3\x08\1" TRAILERS_0), HEALTH_BAD, "no HealthCheckResponse"},
        {"404", IN(SETTINGS HEADERS("\1", "\5") "\x8d"), HEALTH_BAD, "HTTP status 404"},
        {"reset", IN(SETTINGS "\0\0\4\3\0\0\0\0\1\0\0\0\2"), HEALTH_BAD, "none"},
        {"not yet", IN(SETTINGS OK_HEAD MESSAGE("\1")), HEALTH_MORE, NULL},
        {"HTTP/1.1", IN("HTTP/1.1 400 Bad Request\r\n\r\n"), HEALTH_BAD, NULL},
};

static void test_answers(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                for (size_t step = 1; step <= rows[i].in.n; step = step == 1 ? rows[i].in.n : rows[i].in.n + 1) {
                        struct h2_probe *p;
                        struct buf out;
                        char why[64] = "";
                        enum health_rc rc = HEALTH_MORE;
                        buf_init(&out, 1u << 20);
                        assert_int_equal(h2_probe_new("app.v1.Shop", "10.0.0.1:80", false, &out, &p), 0);
                        for (size_t at = 0; at < rows[i].in.n && rc == HEALTH_MORE; at += step)
                                rc = h2_probe_input(p, SPAN(rows[i].in.p + at, MIN(step, rows[i].in.n - at)), &out, why);
                        if (rc != rows[i].want || (rows[i].why && !strstr(why, rows[i].why)))
                                fail_msg("%s, in steps of %zu: %d \"%s\"", rows[i].name, step, (int)rc, why);
                        h2_probe_free(p);
                        buf_fini(&out);
                }
}

static void test_request(void **state)
{
        static const uint8_t body[] = "\0\0\x12\0\1\0\0\0\1" "\0\0\0\0\x0d\x0a\x0b" "app.v1.Shop";
        struct h2_probe *p;
        struct buf out;
        (void)state;
        buf_init(&out, 1u << 20);
        assert_int_equal(h2_probe_new("app.v1.Shop", "a", false, &out, &p), 0);
        assert_memory_equal(out.p, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
        assert_non_null(memmem(out.p, out.n, body, sizeof body - 1));
        h2_probe_free(p);
        buf_reset(&out);
        assert_int_equal(h2_probe_new("", "a", true, &out, &p), 0); /* the whole server: an empty message */
        assert_non_null(memmem(out.p, out.n, "\0\0\5\0\1\0\0\0\1\0\0\0\0\0", 14));
        h2_probe_free(p);
        buf_fini(&out);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers), cmocka_unit_test(test_request)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
