/* tests/unit/lib/map_test.c - the map against a plain array, through growth, removal and reuse of tombs. */
#include "lib/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "lib/core/map.h"

#define KEYS 500
static char keys[KEYS][8];
static int values[KEYS];

static void test_against_model(void **state)
{
        bool in[KEYS] = {0};
        struct map m;
        size_t live = 0;
        uint32_t seed = 12345;
        (void)state;
        for (int i = 0; i < KEYS; i++)
                snprintf(keys[i], sizeof keys[i], "k%d", i);
        map_init(&m);
        assert_null(map_get(&m, SPAN_LIT("x")));
        assert_null(map_del(&m, SPAN_LIT("x")));
        for (int step = 0; step < 50000; step++) {
                seed = seed * 1664525 + 1013904223;
                int i = (int)((seed >> 8) % KEYS);
                struct span k = span_str(keys[i]);
                assert_ptr_equal(map_get(&m, k), in[i] ? &values[i] : NULL);
                if (seed >> 31) {
                        assert_int_equal(map_put(&m, k, &values[i]), 0);
                        live += !in[i];
                        in[i] = true;
                } else {
                        assert_ptr_equal(map_del(&m, k), in[i] ? &values[i] : NULL);
                        live -= in[i];
                        in[i] = false;
                }
                assert_int_equal(m.n, live);
                assert_true(m.n_used * 4 <= m.cap * 3); /* so that probes end */
        }
        assert_true(m.cap <= 2048); /* tombs do not make it grow */
        size_t seen = 0;
        struct span k;
        void *v;
        for (size_t i = 0; map_next(&m, &i, &k, &v);) {
                size_t idx = (size_t)((int *)v - values);
                assert_true(in[idx] && span_eq_str(k, keys[idx]));
                seen++;
        }
        assert_int_equal(seen, live);
        map_fini(&m);
}

static void test_replace_and_odd_keys(void **state)
{
        struct map m;
        int a, b;
        (void)state;
        map_init(&m);
        assert_int_equal(map_put(&m, SPAN_LIT(""), &a), 0); /* the empty key is a key */
        assert_int_equal(map_put(&m, SPAN("a\0b", 3), &b), 0);
        assert_ptr_equal(map_get(&m, SPAN_NULL), &a);
        assert_ptr_equal(map_get(&m, SPAN("a\0b", 3)), &b);
        assert_null(map_get(&m, SPAN_LIT("a")));
        assert_int_equal(map_put(&m, SPAN_LIT(""), &b), 0);
        assert_ptr_equal(map_get(&m, SPAN_NULL), &b);
        assert_int_equal(m.n, 2);
        map_fini(&m);
}

/* A map keeps the key it was made with, so a later seed cannot lose its entries. */
static void test_seed(void **state)
{
        struct map m;
        int v;
        (void)state;
        map_init(&m);
        assert_int_equal(map_put(&m, SPAN_LIT("a"), &v), 0);
        map_seed(&(struct siphash_key){1, 2});
        assert_ptr_equal(map_get(&m, SPAN_LIT("a")), &v);
        map_fini(&m);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_model),
                                           cmocka_unit_test(test_replace_and_odd_keys), cmocka_unit_test(test_seed)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
