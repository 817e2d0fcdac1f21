/* tests/unit/lib/timer_test.c - the wheel against a list of deadlines, lazy re-arm, and what callbacks may do. */
#include "lib/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "lib/core/timer.h"

#define N 300
struct probe {
        struct timer t;
        uint64_t fired_ms;
        unsigned fired;
        struct timers *ts;
        struct timer *other;
        uint64_t again_ms;
};

static void on_fire(struct timer *t, uint64_t now_ms)
{
        struct probe *p = CONTAINER_OF(t, struct probe, t);
        p->fired++;
        p->fired_ms = now_ms;
        if (p->other)
                timer_stop(p->other);
        if (p->again_ms)
                timer_set(p->ts, t, p->again_ms);
}

static void test_against_list(void **state)
{
        static struct probe p[N];
        uint64_t want[N] = {0}, now = 123456789;
        uint32_t seed = 7;
        struct timers *ts = timers_new(now);
        (void)state;
        assert_non_null(ts);
        for (int i = 0; i < N; i++)
                timer_init(&p[i].t, on_fire);
        for (int step = 0; step < 20000; step++) {
                seed = seed * 1664525 + 1013904223;
                int i = (int)(seed >> 8) % N;
                if (seed >> 30 == 0) {
                        timer_stop(&p[i].t);
                        want[i] = 0;
                } else {
                        want[i] = now + 1 + (seed >> 4) % (seed >> 29 == 7 ? 3000000 : 5000);
                        timer_set(ts, &p[i].t, want[i]);
                }
                uint64_t soonest = UINT64_MAX;
                for (int k = 0; k < N; k++)
                        if (want[k] && want[k] < soonest)
                                soonest = want[k];
                uint64_t wait = timers_next_ms(ts, now, 100000);
                if (soonest != UINT64_MAX) /* never later than the soonest deadline */
                        assert_true(wait <= soonest - now);
                now += (seed >> 12) % 40;
                size_t fired = timers_run(ts, now), due = 0;
                for (int k = 0; k < N; k++) {
                        bool is_due = want[k] && want[k] <= now;
                        due += is_due;
                        assert_int_equal(p[k].fired, is_due);
                        p[k].fired = 0;
                        if (is_due)
                                want[k] = 0;
                        assert_int_equal(timer_armed(&p[k].t), want[k] != 0);
                }
                assert_int_equal(fired, due);
        }
        timers_free(ts);
        for (int i = 0; i < N; i++)
                timer_stop(&p[i].t); /* still safe */
}

static void test_far_deadlines(void **state)
{
        static const uint64_t starts[] = {0, 63, 4095, (1ull << 32) - 1, (1ull << 36) - 1, UINT64_MAX / 2};
        (void)state;
        for (size_t s = 0; s < ARRAY_SIZE(starts); s++)
                for (unsigned shift = 0; shift < 40; shift++) {
                        struct probe p = {0};
                        struct timers *ts = timers_new(starts[s]);
                        uint64_t at = starts[s] + (1ull << shift);
                        timer_init(&p.t, on_fire);
                        timer_set(ts, &p.t, at);
                        uint64_t now = starts[s];
                        for (int turns = 0; !p.fired; turns++) { /* sleeping as long as it says */
                                assert_true(turns < 64);
                                now += timers_next_ms(ts, now, UINT64_MAX);
                                assert_true(now <= at);
                                timers_run(ts, now);
                        }
                        assert_true(p.fired_ms == at);
                        timers_free(ts);
                }
}

static void test_lazy_rearm(void **state)
{
        struct probe p = {0};
        struct timers *ts = timers_new(0);
        (void)state;
        timer_init(&p.t, on_fire);
        timer_set(ts, &p.t, 100);
        for (uint64_t now = 1; now < 1000; now++) { /* an idle timeout moved with every byte */
                timer_set(ts, &p.t, now + 100);
                assert_true(p.t.slot_ms <= p.t.deadline_ms);
                assert_int_equal(timers_run(ts, now), 0);
        }
        assert_int_equal(timers_run(ts, 1098), 0);
        assert_int_equal(timers_run(ts, 1099), 1);
        timer_set(ts, &p.t, 5000);
        timer_set(ts, &p.t, 1200); /* earlier is not lazy */
        assert_int_equal(timers_run(ts, 1200), 1);
        timers_free(ts);
}

static void test_callbacks(void **state)
{
        struct timers *ts = timers_new(1000);
        struct probe a = {0}, b = {0}, self = {.ts = ts, .again_ms = 1};
        (void)state;
        timer_init(&a.t, on_fire);
        timer_init(&b.t, on_fire);
        timer_init(&self.t, on_fire);
        a.other = &b.t;
        b.other = &a.t;
        timer_set(ts, &a.t, 1010);
        timer_set(ts, &b.t, 1010);
        assert_int_equal(timers_run(ts, 1010), 1); /* whichever was first stopped the other */
        assert_int_equal(a.fired + b.fired, 1);
        timer_set(ts, &self.t, 1020); /* arms itself in the past: once per run, so a run ends */
        for (unsigned i = 1; i <= 5; i++) {
                assert_int_equal(timers_run(ts, 1100 + 100 * i), 1);
                assert_int_equal(self.fired, i);
        }
        assert_int_equal(timers_next_ms(ts, 1600, 50), 1); /* the next millisecond, not a spin */
        timers_free(ts);
}

static void test_stopped_costs_no_wakeup(void **state)
{
        struct timers *ts = timers_new(0);
        struct probe p = {0};
        (void)state;
        timer_init(&p.t, on_fire);
        timer_set(ts, &p.t, 10);
        timer_stop(&p.t);
        assert_true(timers_next_ms(ts, 0, 60000) == 60000);
        timers_free(ts);
        timers_free(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_list), cmocka_unit_test(test_far_deadlines),
                                           cmocka_unit_test(test_lazy_rearm), cmocka_unit_test(test_callbacks),
                                           cmocka_unit_test(test_stopped_costs_no_wakeup)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
