/* tests/unit/l7gw/breaker_test.c - limits hold, also between threads, and what is given back can be taken again. */
#include "lib/base.h"
#include "l7gw/core/breaker.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_limits(void **state)
{
        (void)state;
        struct breaker *b = breaker_new();
        assert_non_null(b);
        Model__Breaker m = MODEL__BREAKER__INIT;
        m.max_connections = 1;
        m.max_pending = 2;
        m.max_requests = 3;
        for (unsigned g = 0; g < BREAKER_GATE_N; g++) {
                uint32_t max = breaker_max(&m, (enum breaker_gate)g);
                assert_int_equal(max, g == BREAKER_RETRIES ? 0 : g + 1);
                for (unsigned i = 0; i < 10; i++)
                        assert_int_equal(breaker_take(b, (enum breaker_gate)g, max), max == 0 || i < max);
                breaker_give(b, (enum breaker_gate)g);
                assert_true(breaker_take(b, (enum breaker_gate)g, max));
                assert_int_equal(breaker_take(b, (enum breaker_gate)g, max), max == 0);
        }
        breaker_put(breaker_get(b));
        breaker_put(b);
}

static atomic_uint inside, worst;
static void *visit(void *arg)
{
        for (int i = 0; i < 20000; i++) {
                if (!breaker_take(arg, BREAKER_REQUESTS, 3))
                        continue;
                unsigned n = atomic_fetch_add(&inside, 1) + 1, w = atomic_load(&worst);
                while (n > w && !atomic_compare_exchange_weak(&worst, &w, n))
                        ;
                atomic_fetch_sub(&inside, 1);
                breaker_give(arg, BREAKER_REQUESTS);
        }
        return NULL;
}

static void test_threads(void **state)
{
        (void)state;
        pthread_t t[6];
        struct breaker *b = breaker_new();
        assert_non_null(b);
        for (int i = 0; i < 6; i++)
                assert_int_equal(pthread_create(&t[i], NULL, visit, b), 0);
        for (int i = 0; i < 6; i++)
                pthread_join(t[i], NULL);
        assert_in_range(atomic_load(&worst), 1, 3);
        assert_int_equal(atomic_load(&b->taken[BREAKER_REQUESTS]), 0);
        breaker_put(b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_limits), cmocka_unit_test(test_threads)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
