/* tests/unit/l7gw/judge_test.c - rise and fall, ejection and its limits, what an update of the set keeps; streaks. */
#include "lib/base.h"
#include "l7gw/core/judge.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

/* Endpoints 10.0.0.FIRST ... */
static struct balance_plan *plan(unsigned first, unsigned n)
{
        static uint64_t identity;
        Model__Cluster c = MODEL__CLUSTER__INIT;
        Model__EndpointSet set = MODEL__ENDPOINT_SET__INIT;
        Model__Endpoint eps[32], *ptrs[32];
        uint8_t addrs[32][4];
        struct balance_plan *p;
        for (unsigned i = 0; i < n; i++) {
                eps[i] = (Model__Endpoint)MODEL__ENDPOINT__INIT;
                memcpy(addrs[i], (uint8_t[]){10, 0, 0, (uint8_t)(first + i)}, 4);
                eps[i].addr = (ProtobufCBinaryData){4, addrs[i]};
                eps[i].port = 80;
                ptrs[i] = &eps[i];
        }
        set.endpoints = ptrs;
        set.n_endpoints = n;
        assert_int_equal(balance_plan_new(&c, &set, ++identity, &p), 0);
        return p;
}

static struct judge judge_make(unsigned n)
{
        struct judge j = {0};
        struct balance_plan *p = plan(1, n);
        assert_int_equal(judge_adopt(&j, p), 0);
        balance_plan_put(p);
        return j;
}

static void test_checks(void **state)
{
        (void)state;
        static const struct { const char *name, *results; /* + - */ const char *verdicts; /* after each: u = unhealthy */ } rows[] = {
                {"believed, and it is so", "++", ".."},
                {"the first decides alone", "-+", "uu"},
                {"three failures in a row", "+---", "...u"},
                {"not in a row", "+--+--+--", "........."},
                {"two successes bring it back", "-+-++", "uuuu."},
                {"and again", "+---++---", "...uu...u"},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct judge j = judge_make(2);
                for (size_t k = 0; rows[i].results[k]; k++) {
                        bool was = j.v[0].unhealthy, changed = judge_check(&j, 0, rows[i].results[k] == '+', "why", 2, 3);
                        if (j.v[0].unhealthy != (rows[i].verdicts[k] == 'u') || changed != (was != j.v[0].unhealthy))
                                fail_msg("%s: result %zu", rows[i].name, k + 1);
                        assert_int_equal(j.n_unhealthy, j.v[0].unhealthy);
                        assert_int_equal(judge_bad(&j, 0), j.v[0].unhealthy ? BALANCE_UNHEALTHY : 0);
                }
                assert_false(j.v[1].unhealthy);
                judge_fini(&j);
        }
}

static void test_ejection(void **state)
{
        (void)state;
        Model__Outlier o = MODEL__OUTLIER__INIT;
        o.eject_ms = 1000;
        o.max_eject_pct = 50;
        struct judge j = judge_make(5);
        assert_true(judge_eject(&j, 0, &o, "5xx", 100));
        assert_false(judge_eject(&j, 0, &o, "5xx", 200)); /* out already */
        assert_int_equal(judge_bad(&j, 0), BALANCE_EJECTED);
        assert_true(judge_eject(&j, 1, &o, "5xx", 300)); /* two of five: 40 % */
        assert_false(judge_eject(&j, 2, &o, "5xx", 300)); /* 60 % */
        assert_int_equal(judge_next_ms(&j), 1100);
        assert_false(judge_return(&j, 0, 1099));
        assert_true(judge_return(&j, 0, 1100));
        assert_int_equal(j.n_ejected, 1);
        assert_true(judge_eject(&j, 0, &o, "5xx", 1200)); /* soon again: twice as long */
        assert_int_equal(j.v[0].ejected_until_ms, 3200);
        assert_true(judge_return(&j, 0, 3200));
        assert_true(judge_return(&j, 1, 3200));
        assert_int_equal(judge_next_ms(&j), 0);
        assert_true(judge_eject(&j, 0, &o, "5xx", 3200 + 3999)); /* within twice the last one */
        assert_int_equal(j.v[0].ejected_until_ms, 3200 + 3999 + 3000);
        assert_true(judge_return(&j, 0, 20000));
        assert_true(judge_eject(&j, 0, &o, "5xx", 26000)); /* it did well meanwhile: from the beginning */
        assert_int_equal(j.v[0].ejected_until_ms, 27000);
        judge_fini(&j);
        j = judge_make(5);
        uint64_t now = 1000, longest = 0;
        for (int i = 0; i < 30; i++) {
                assert_true(judge_eject(&j, 3, &o, "5xx", now));
                longest = MAX(longest, j.v[3].ejected_until_ms - now);
                now = j.v[3].ejected_until_ms;
                assert_true(judge_return(&j, 3, now));
        }
        assert_int_equal(longest, 10000); /* it ends somewhere */
        judge_fini(&j);
        o.max_eject_pct = 1;
        j = judge_make(3);
        assert_true(judge_eject(&j, 2, &o, "5xx", 0)); /* one always may ... */
        assert_false(judge_eject(&j, 1, &o, "5xx", 0));
        judge_fini(&j);
        o.max_eject_pct = 100;
        j = judge_make(2);
        assert_true(judge_eject(&j, 0, &o, "5xx", 0));
        assert_false(judge_eject(&j, 1, &o, "5xx", 0)); /* ... but never the last */
        judge_fini(&j);
        j = judge_make(1);
        assert_false(judge_eject(&j, 0, &o, "5xx", 0));
        judge_fini(&j);
}

static void test_update_keeps(void **state)
{
        (void)state;
        Model__Outlier o = MODEL__OUTLIER__INIT;
        o.eject_ms = 1000;
        o.max_eject_pct = 100;
        struct judge j = judge_make(4); /* 1 2 3 4 */
        struct ipaddr two = {.af = 4, .b = {10, 0, 0, 2}}, one = {.af = 4, .b = {10, 0, 0, 1}};
        (void)judge_check(&j, balance_plan_find(j.plan, &two, 80), false, "status 500", 1, 1);
        assert_true(judge_eject(&j, balance_plan_find(j.plan, &one, 80), &o, "5xx", 0));
        struct balance_plan *p = plan(2, 4); /* 2 3 4 5 */
        assert_int_equal(judge_adopt(&j, p), 0);
        balance_plan_put(p);
        assert_int_equal(j.n_unhealthy, 1);
        assert_int_equal(j.n_ejected, 0); /* left with its endpoint */
        assert_string_equal(j.v[balance_plan_find(j.plan, &two, 80)].why, "status 500");
        judge_fini(&j);
}

static void test_streaks(void **state)
{
        (void)state;
        static const struct { const char *name, *results; /* . ok, e 5xx, g gateway, l local */ uint32_t errors, gateway, local; size_t full; /* after so many; 0 = never */ } rows[] = {
                {"5xx", "eee", 3, 0, 0, 3},        {"broken by one that is well", "ee.ee", 3, 0, 0, 0}, {"gateway errors are 5xx", "geg", 3, 0, 0, 3},
                {"5xx are no gateway errors", "eeegeg", 0, 2, 0, 0}, {"gateway", "egg", 0, 2, 0, 3},    {"no answer is a gateway's error", "ll", 0, 2, 0, 2},
                {"local", "lgll", 0, 0, 2, 4},     {"nothing is counted", "lllll", 0, 0, 0, 0},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct balance_state s = {0};
                Model__Outlier o = MODEL__OUTLIER__INIT;
                o.consecutive_5xx = rows[i].errors;
                o.consecutive_gateway = rows[i].gateway;
                o.consecutive_local = rows[i].local;
                size_t full = 0;
                for (size_t k = 0; rows[i].results[k]; k++) {
                        char c = rows[i].results[k];
                        enum balance_result r = c == 'e' ? BALANCE_ERROR : c == 'g' ? BALANCE_GATEWAY : c == 'l' ? BALANCE_LOCAL : BALANCE_OK;
                        if (balance_streak(&s, r, &o))
                                full = k + 1;
                }
                if (full != rows[i].full)
                        fail_msg("%s: after %zu", rows[i].name, full);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_checks), cmocka_unit_test(test_ejection), cmocka_unit_test(test_update_keeps),
                                           cmocka_unit_test(test_streaks)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
