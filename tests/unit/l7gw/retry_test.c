/* tests/unit/l7gw/retry_test.c - what may be sent again, after which pause, and how often in all. */
#include "lib/base.h"
#include "l7gw/core/retry.h"
#include "l7gw/core/engine_limits.tbl.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static uint32_t codes[] = {500, 503};
static Model__Retry policy(void)
{
        Model__Retry r = MODEL__RETRY__INIT;
        r.attempts = 3;
        r.codes = codes;
        r.n_codes = 2;
        r.on_connect_failure = r.on_reset = true;
        return r;
}

static void test_what(void **state)
{
        (void)state;
        static const struct {
                enum reason why;
                bool resendable, want, want_off; /* off: neither on_connect_failure nor on_reset */
        } rows[] = {
                {REASON_CONNECT_FAILED, false, true, false}, {REASON_CONNECT_TIMEOUT, false, true, false},
                {REASON_UPSTREAM_RESET, true, true, false},  {REASON_UPSTREAM_RESET, false, false, false},
                {REASON_UPSTREAM_TIMEOUT, true, true, false}, {REASON_UPSTREAM_TIMEOUT, false, false, false},
                {REASON_UPSTREAM_BAD, true, false, false},   {REASON_UPSTREAM_TRUNCATED, true, false, false},
                {REASON_REQUEST_TIMEOUT, true, false, false}, {REASON_OVERLOAD, true, false, false},
                {REASON_NO_ENDPOINT, true, false, false},
        };
        Model__Retry r = policy(), off = policy();
        off.on_connect_failure = off.on_reset = false;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (retry_on_failure(&r, rows[i].why, rows[i].resendable) != rows[i].want ||
                    retry_on_failure(&off, rows[i].why, rows[i].resendable) != rows[i].want_off)
                        fail_msg("%s, resendable %d", reason_word(rows[i].why), rows[i].resendable);
        assert_true(retry_on_status(&r, 500) && retry_on_status(&r, 503) && !retry_on_status(&r, 502) && !retry_on_status(&r, 200));
        assert_true(method_is_idempotent(SPAN_LIT("PUT")) && !method_is_idempotent(SPAN_LIT("POST")) &&
                    !method_is_idempotent(SPAN_LIT("get"))); /* RFC 9110 9.2.2 */
}

static void test_delay(void **state)
{
        (void)state;
        static const struct {
                uint32_t base;
                unsigned n;
                uint64_t rnd;
                uint32_t want;
        } rows[] = {
                {0, 0, 0, 25},        {0, 0, 12, 37},       {10, 0, 0, 25},          {100, 0, 0, 100},  {100, 0, 50, 150}, {100, 0, 51, 100},
                {100, 1, 100, 300},   {100, 5, 1600, 4800}, {100, 6, 0, 3200},       {100, 4000, 0, 3200},
                {UINT32_MAX, 5, 0, UINT32_MAX},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                Model__Retry r = policy();
                r.backoff_ms = rows[i].base;
                assert_int_equal(retry_delay_ms(&r, rows[i].n, rows[i].rnd), rows[i].want);
        }
}

/* How many of `asks` retries are granted at that time. */
static unsigned granted(struct retry_budget *b, const Model__Retry *r, uint64_t now_ms, unsigned asks)
{
        unsigned n = 0;
        while (asks-- > 0)
                n += retry_budget_take(b, r, now_ms);
        return n;
}

static void test_budget(void **state)
{
        (void)state;
        Model__Fraction share = MODEL__FRACTION__INIT;
        Model__Retry r = policy();
        struct retry_budget b = {0};
        unsigned floor = L7_RETRY_FLOOR_PER_S * L7_RETRY_WINDOW_MS / 1000;
        assert_int_equal(granted(&b, &r, 1000, 100000), floor);
        for (int i = 0; i < 1000; i++)
                retry_budget_request(&b, &r, 1000);
        assert_int_equal(granted(&b, &r, 1000, 100000), 1000 * L7_RETRY_PERCENT / 100);
        assert_int_equal(granted(&b, &r, L7_RETRY_WINDOW_MS / 2 + 1, 100000), 0); /* still in the window */
        assert_int_equal(granted(&b, &r, L7_RETRY_WINDOW_MS + 1, 100000), floor); /* slid out of it */
        share.numerator = 1, share.denominator = 2;
        r.budget = &share;
        r.min_retries_per_s = 3;
        r.budget_interval_ms = 1000;
        b = (struct retry_budget){0};
        for (int i = 0; i < 10; i++)
                retry_budget_request(&b, &r, 5000);
        assert_int_equal(granted(&b, &r, 5000, 100), 3 + 5);
        assert_int_equal(granted(&b, &r, 5000 + 499, 100), 0);
        assert_int_equal(granted(&b, &r, 5000 + 1000, 100), 3);
        r.budget_interval_ms = 1; /* never a division by zero, never nothing at all */
        b = (struct retry_budget){0};
        assert_int_equal(granted(&b, &r, 7, 100), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_what), cmocka_unit_test(test_delay), cmocka_unit_test(test_budget)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
