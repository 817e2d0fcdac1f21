/* tests/unit/l7gw/chain_test.c - the chunk queue against a plain array. */
#include "lib/base.h"
#include "l7gw/core/chain.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static uint32_t rnd(uint32_t *seed)
{
        *seed ^= *seed << 13;
        *seed ^= *seed >> 17;
        *seed ^= *seed << 5;
        return *seed;
}

static size_t gather(const struct chain *c, uint8_t *to, size_t max)
{
        static struct span v[4096];
        size_t k = chain_spans(c, v, ARRAY_SIZE(v)), n = 0;
        for (size_t i = 0; i < k; i++) {
                assert_true(v[i].n > 0);
                assert_true(n + v[i].n <= max);
                memcpy(to + n, v[i].p, v[i].n);
                n += v[i].n;
        }
        return n;
}

static void test_random(void **state)
{
        (void)state;
        enum { MAX_BYTES = 200000 };
        static uint8_t want[2 * MAX_BYTES], got[2 * MAX_BYTES], block[70000];
        struct chunk_pool pool;
        struct chain a, b;
        uint32_t seed = 12345;
        size_t na = 0, nb = 0; /* want: b's bytes, then a's, as chain_move goes from a to b */
        chunk_pool_init(&pool);
        chain_init(&a, &pool);
        chain_init(&b, &pool);
        for (int i = 0; i < 3000; i++) {
                size_t n = rnd(&seed) % (i % 7 ? 300 : sizeof block);
                switch (rnd(&seed) % 3) {
                case 0:
                        if (na + nb + n > MAX_BYTES)
                                break;
                        for (size_t k = 0; k < n; k++)
                                block[k] = (uint8_t)rnd(&seed);
                        chain_add(&a, block, n);
                        memcpy(want + nb + na, block, n);
                        na += n;
                        break;
                case 1:
                        n = MIN(n, na);
                        chain_move(&b, &a, n);
                        na -= n;
                        nb += n;
                        break;
                default:
                        n = MIN(n, nb);
                        chain_consume(&b, n);
                        memmove(want, want + n, nb + na - n);
                        nb -= n;
                        break;
                }
                assert_int_equal(a.n, na);
                assert_int_equal(b.n, nb);
        }
        assert_int_equal(gather(&b, got, sizeof got), nb);
        assert_int_equal(gather(&a, got + nb, sizeof got - nb), na);
        assert_memory_equal(got, want, na + nb);
        assert_true(pool.n_live * (size_t)L7_CHUNK_BYTES >= na + nb);
        chain_clear(&a);
        chain_clear(&b);
        assert_int_equal(pool.n_live, 0);
        chunk_pool_fini(&pool);
}

static void test_small_moves_do_not_fragment(void **state)
{
        (void)state;
        struct chunk_pool pool;
        struct chain a, b;
        chunk_pool_init(&pool);
        chain_init(&a, &pool);
        chain_init(&b, &pool);
        for (int i = 0; i < 4000; i++) {
                chain_add(&a, "0123456789", 10);
                chain_move(&b, &a, 10);
        }
        assert_int_equal(b.n, 40000);
        assert_true(pool.n_live <= 40000 / L7_CHUNK_BYTES + 1);
        chain_clear(&b);
        chunk_pool_fini(&pool);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_random),
                                           cmocka_unit_test(test_small_moves_do_not_fragment)};
        return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
