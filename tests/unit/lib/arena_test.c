/* tests/unit/lib/arena_test.c - the cap, the alignment, reuse, and what a refused allocation leaves behind. */
#include "lib/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "lib/core/arena.h"

static void test_aligned_and_zeroed(void **state)
{
        struct arena a;
        (void)state;
        arena_init(&a, 512, SIZE_MAX);
        for (size_t round = 0; round < 2; round++) {
                for (size_t n = 0; n < 700; n += 7) {
                        uint8_t *p = arena_alloc(&a, n);
                        assert_non_null(p);
                        assert_int_equal((uintptr_t)p % 16, 0);
                        for (size_t i = 0; i < n; i++)
                                assert_int_equal(p[i], 0);
                        memset(p, 0xff, n);
                }
                arena_reset(&a);
                assert_int_equal(a.used_bytes, 0);
        }
        arena_fini(&a);
        assert_non_null(arena_alloc(&a, 1)); /* usable again */
        arena_fini(&a);
}

static void test_cap(void **state)
{
        struct arena a;
        (void)state;
        arena_init(&a, 256, 1024);
        assert_non_null(arena_alloc(&a, 1000)); /* 1008 with padding */
        assert_false(a.failed);
        assert_null(arena_alloc(&a, 17));
        assert_true(a.failed);
        assert_non_null(arena_alloc(&a, 16));
        assert_int_equal(a.used_bytes, 1024);
        assert_null(arena_alloc(&a, 0)); /* an empty object has an address too, and so a size */
        arena_reset(&a);
        assert_false(a.failed);
        assert_null(arena_alloc(&a, SIZE_MAX));
        assert_null(arena_alloc(&a, SIZE_MAX - 8));
        assert_null(arena_calloc(&a, SIZE_MAX / 2, 4));
        assert_int_equal(a.used_bytes, 0);
        arena_fini(&a);
}

static void test_copies(void **state)
{
        struct arena a;
        (void)state;
        arena_init(&a, 256, SIZE_MAX);
        char *s = arena_strdup(&a, "hello");
        assert_string_equal(s, "hello");
        assert_string_equal(arena_printf(&a, "%s-%d", s, 7), "hello-7");
        struct span x = arena_span(&a, SPAN_LIT("abc"));
        assert_true(span_eq_str(x, "abc"));
        assert_null(arena_span(&a, SPAN_NULL).p);
        arena_wipe(&a);
        assert_int_equal(s[0], 0);
        assert_int_equal(x.p[0], 0);
        arena_fini(&a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_aligned_and_zeroed), cmocka_unit_test(test_cap),
                                           cmocka_unit_test(test_copies)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
