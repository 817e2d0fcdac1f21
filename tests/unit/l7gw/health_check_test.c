/* tests/unit/l7gw/health_check_test.c - what a health check asks, which answers it takes, and what is refused beforehand. */
#include "lib/base.h"
#include "l7gw/core/health_check.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void test_expect(void **state)
{
        (void)state;
        static const struct { const char *text; bool valid; unsigned status; bool taken; } rows[] = {
                {"200", true, 200, true},          {"200", true, 201, false},         {"200-399", true, 399, true},
                {"200-299,401", true, 401, true},  {"200-299,401", true, 400, false}, {"401,200-299", true, 250, true},
                {"", false, 200, false},           {"200,", false, 201, false},       {"200-", false, 0, false},
                {"399-200", false, 0, false},      {"600", false, 600, false},        {"099", false, 99, false},
                {"20", false, 20, false},          {"2000", false, 0, false},         {"200 ", false, 0, false},
                {",200", false, 0, false},         {"200--300", false, 0, false},     {"x", false, 0, false},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                if (health_expect_valid(rows[i].text) != rows[i].valid)
                        fail_msg("\"%s\": validity", rows[i].text);
                if (rows[i].valid && health_expected(rows[i].text, rows[i].status) != rows[i].taken)
                        fail_msg("\"%s\" and %u", rows[i].text, rows[i].status);
        }
}

static Model__HealthCheck check(Model__HealthCheckType type)
{
        Model__HealthCheck h = MODEL__HEALTH_CHECK__INIT;
        h.type = type;
        h.path = (char *)"/healthz";
        h.expect = (char *)"200-299";
        return h;
}

static void test_request(void **state)
{
        (void)state;
        Model__HealthCheck h = check(MODEL__HEALTH_CHECK_TYPE__HC_HTTP);
        struct buf b;
        buf_init(&b, 4096);
        health_request(&b, &h, "10.0.0.1:80");
        assert_string_equal(buf_cstr(&b), "GET /healthz HTTP/1.1\r\nHost: 10.0.0.1:80\r\nUser-Agent: gatehouse-health\r\nAccept: */*\r\nConnection: close\r\n\r\n");
        h.host = (char *)"app.example";
        buf_reset(&b);
        health_request(&b, &h, "10.0.0.1:80");
        assert_non_null(strstr(buf_cstr(&b), "Host: app.example\r\n"));
        h = check(MODEL__HEALTH_CHECK_TYPE__HC_TCP);
        h.send = (ProtobufCBinaryData){4, (uint8_t *)"PING"};
        buf_reset(&b);
        health_request(&b, &h, "10.0.0.1:80");
        assert_string_equal(buf_cstr(&b), "PING");
        buf_fini(&b);
}

static void test_answers(void **state)
{
        (void)state;
        static const struct { const char *name, *in; enum health_rc want; const char *why; } rows[] = {
                {"200", "HTTP/1.1 200 OK\r\n", HEALTH_OK, NULL},
                {"HTTP/1.0", "HTTP/1.0 204 No Content\r\n", HEALTH_OK, NULL},
                {"no reason", "HTTP/1.1 200\r\n", HEALTH_OK, NULL},
                {"503", "HTTP/1.1 503 Busy\r\n", HEALTH_BAD, "status 503"},
                {"a redirect", "HTTP/1.1 302 Found\r\n", HEALTH_BAD, "status 302"},
                {"HTTP/2", "HTTP/2.0 200 OK\r\n", HEALTH_BAD, "no HTTP"},
                {"HTTP/1.2", "HTTP/1.2 200 OK\r\n", HEALTH_BAD, "no HTTP"},
                {"four digits", "HTTP/1.1 2000 OK\r\n", HEALTH_BAD, "no HTTP"},
                {"no digits", "HTTP/1.1 2x0 OK\r\n", HEALTH_BAD, "no HTTP"},
                {"SSH", "SSH-2.0-OpenSSH\r\n", HEALTH_BAD, "no HTTP"},
        };
        Model__HealthCheck h = check(MODEL__HEALTH_CHECK_TYPE__HC_HTTP);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                char why[64] = "";
                struct span in = span_str(rows[i].in);
                if (health_answer(&h, in, why) != rows[i].want || (rows[i].why && !strstr(why, rows[i].why)))
                        fail_msg("%s: \"%s\"", rows[i].name, why);
                for (size_t n = 0; n < in.n; n++) { /* a beginning says nothing else */
                        enum health_rc rc = health_answer(&h, SPAN(in.p, n), why);
                        if (rc != HEALTH_MORE && rc != rows[i].want)
                                fail_msg("%s: %zu bytes: %d", rows[i].name, n, (int)rc);
                }
        }
        char why[64];
        h = check(MODEL__HEALTH_CHECK_TYPE__HC_TCP);
        h.receive = (ProtobufCBinaryData){4, (uint8_t *)"PONG"};
        assert_int_equal(health_answer(&h, SPAN_LIT("PO"), why), HEALTH_MORE);
        assert_int_equal(health_answer(&h, SPAN_LIT("PONG\r\n"), why), HEALTH_OK);
        assert_int_equal(health_answer(&h, SPAN_LIT("PA"), why), HEALTH_BAD);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_expect), cmocka_unit_test(test_request), cmocka_unit_test(test_answers)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
