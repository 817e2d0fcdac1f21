/* tests/unit/l4lb/io/idle_test.c - the idle ladder: what a worker does after the n-th empty poll in a row. */
#include "lib/base.h"
#include "l4lb/io/idle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct {
        const char *name;
        unsigned spin, pause, sleep_max;
        const char *steps; /* s spin, p pause, r rest */
        unsigned sleeps[8];
} cases[] = {
        {"spin, pause, then sleeps that double up to the limit", 2, 2, 50, "sspprrrr", {0, 0, 0, 0, 10, 20, 40, 50}},
        {"no spinning at all", 0, 0, 30, "rrrr", {10, 20, 30, 30}},
        {"never sleeps", 1, 1, 0, "spppp", {0}},
        {"only spins, then rests", 3, 0, 10, "sssrr", {0, 0, 0, 10, 10}},
        {"a limit below the first sleep", 0, 0, 4, "rr", {4, 4}},
};

static void walk(size_t k)
{
        struct idle i = {
                .spin_polls = cases[k].spin, .pause_polls = cases[k].pause, .sleep_us_max = cases[k].sleep_max};
        for (size_t n = 0; cases[k].steps[n]; n++) {
                enum idle_step got = idle_next(&i);
                if ("spr"[got] != cases[k].steps[n] || (got == IDLE_REST && i.sleep_us != cases[k].sleeps[n]))
                        fail_msg("%s: poll %zu: step %c sleep %u", cases[k].name, n, "spr"[got], i.sleep_us);
        }
}

static void ladder(void **state)
{
        (void)state;
        for (size_t k = 0; k < ARRAY_SIZE(cases); k++)
                walk(k);
}

static void traffic_starts_over(void **state)
{
        struct idle i = {.spin_polls = 1, .pause_polls = 1, .sleep_us_max = 1000};
        (void)state;
        for (int n = 0; n < 10; n++)
                (void)idle_next(&i);
        assert_int_equal(i.sleep_us, 1000);
        idle_busy(&i);
        assert_int_equal(idle_next(&i), IDLE_SPIN);
        assert_int_equal(idle_next(&i), IDLE_PAUSE);
        assert_int_equal(idle_next(&i), IDLE_REST);
        assert_int_equal(i.sleep_us, 10);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(ladder), cmocka_unit_test(traffic_starts_over)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
