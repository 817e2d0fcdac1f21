/* tests/unit/l4lb/maglev_test.c - quality, weights, determinism and disruption of the Maglev tables. */
#include "lib/base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "l4lb/core/backend.h"
#include "lib/core/maglev.h"
#include "lib/core/ipaddr.h"

#define N_MAX 1000

static struct maglev_backend be[N_MAX];
static const uint64_t seed = 42;

static void fill(size_t n)
{
        for (size_t i = 0; i < n; i++) {
                struct ipaddr a = { .af = 4, .b = { 10, 0, (uint8_t)(i >> 8), (uint8_t)i } };
                be[i] = (struct maglev_backend){ backend_id("pool", &a, 0), 1, (uint16_t)i };
        }
}

static struct maglev *build(size_t n)
{
        struct maglev *m;
        assert_int_equal(maglev_new(be, n, seed, &m), 0);
        return m;
}

static void shares(const struct maglev *m, uint32_t *ret, size_t n)
{
        memset(ret, 0, n * sizeof *ret);
        for (uint32_t i = 0; i < m->n_slots; i++) {
                assert_true(m->cells[i] < n);
                ret[m->cells[i]]++;
        }
}

static void test_sizes(void **state)
{
        static const struct {
                size_t n;
                uint32_t slots;
        } cases[] = { { 1, 251 },   { 2, 251 },    { 3, 509 },     { 5, 509 },     { 6, 1021 },
                      { 11, 4093 }, { 41, 16381 }, { 164, 65537 }, { 1000, 65537 } };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                assert_int_equal(maglev_slots_for(cases[i].n), cases[i].slots);
}

static void test_even_shares(void **state)
{
        static const size_t sizes[] = { 1, 2, 3, 10, 100, 1000 };
        static uint32_t share[N_MAX];
        (void)state;
        fill(N_MAX);
        for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
                struct maglev *m = build(sizes[k]);
                shares(m, share, sizes[k]);
                uint32_t lo = UINT32_MAX, hi = 0;
                for (size_t i = 0; i < sizes[k]; i++) {
                        lo = MIN(lo, share[i]);
                        hi = MAX(hi, share[i]);
                }
                assert_true(hi - lo <= 1); /* turns in rounds: nobody is more than one cell ahead */
                maglev_put(m);
        }
}

static void test_weights(void **state)
{
        uint32_t share[4];
        (void)state;
        fill(4);
        be[0].weight = 80;
        be[1].weight = 20;
        be[2].weight = 1;
        be[3].weight = 99;
        struct maglev *m = build(4);
        shares(m, share, 4);
        for (size_t i = 0; i < 4; i++) {
                double want = (double)be[i].weight / 200 * m->n_slots;
                assert_true(share[i] >= want - 2 && share[i] <= want + 2);
        }
        maglev_put(m);
}

/* Same ids and weights in another order and under other indexes: the same backend in every cell. */
static void test_deterministic(void **state)
{
        (void)state;
        fill(50);
        for (size_t i = 0; i < 50; i++)
                be[i].weight = 1 + (uint32_t)i % 5;
        struct maglev *a = build(50);
        for (size_t i = 0; i < 25; i++) {
                struct maglev_backend t = be[i];
                be[i] = be[49 - i];
                be[49 - i] = t;
        }
        struct maglev *b = build(50), *c;
        assert_true(maglev_equal(a, b));
        for (size_t i = 0; i < 50; i++)
                be[i].index = (uint16_t)(be[i].index + 1000);
        assert_int_equal(maglev_new(be, 50, seed, &c), 0);
        for (uint32_t i = 0; i < a->n_slots; i++)
                assert_int_equal(a->cells[i] + 1000, c->cells[i]);
        maglev_put(c);
        assert_int_equal(maglev_new(be, 50, seed + 1, &c), 0);
        assert_false(maglev_equal(b, c));
        maglev_put(a);
        maglev_put(b);
        maglev_put(c);
}

/* One of n leaves: cells of the others that change anyway ("collateral"), in percent of the table. */
static void test_disruption(void **state)
{
        static const struct {
                size_t n;
                double collateral_pct;
        } cases[] = { { 2, 0 }, { 4, 2 }, { 10, 2.5 }, { 100, 2.5 }, { 500, 3 } };
        (void)state;
        for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
                size_t n = cases[k].n, moved = 0;
                fill(n);
                struct maglev *a = build(n);
                uint16_t gone = be[n / 2].index;
                be[n / 2] = be[n - 1];
                struct maglev *b = build(n - 1);
                if (a->n_slots == b->n_slots) {
                        for (uint32_t i = 0; i < a->n_slots; i++)
                                moved += a->cells[i] != gone && a->cells[i] != b->cells[i];
                        double pct = 100.0 * (double)moved / a->n_slots;
                        if (pct > cases[k].collateral_pct)
                                print_message("%zu backends: %.2f %% collateral\n", n, pct);
                        assert_true(pct <= cases[k].collateral_pct);
                }
                for (uint32_t i = 0; i < b->n_slots; i++)
                        assert_true(b->cells[i] != gone);
                maglev_put(a);
                maglev_put(b);
        }
}

static void test_refused(void **state)
{
        struct maglev *m = NULL;
        (void)state;
        fill(2);
        assert_int_equal(maglev_new(be, 0, seed, &m), -EINVAL);
        be[1].id = be[0].id;
        assert_int_equal(maglev_new(be, 2, seed, &m), -EINVAL);
        assert_null(m);
}

static void test_pick_covers(void **state)
{
        (void)state;
        fill(3);
        struct maglev *m = build(3);
        assert_int_equal(maglev_pick(m, 0), m->cells[0]);
        assert_int_equal(maglev_pick(m, UINT32_MAX), m->cells[m->n_slots - 1]);
        assert_int_equal(maglev_pick(m, UINT64_MAX), m->cells[m->n_slots - 1]);
        maglev_put(m);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sizes),       cmocka_unit_test(test_even_shares),
                cmocka_unit_test(test_weights),     cmocka_unit_test(test_deterministic),
                cmocka_unit_test(test_disruption),  cmocka_unit_test(test_refused),
                cmocka_unit_test(test_pick_covers),
        };
        return cmocka_run_group_tests_name("maglev", tests, NULL, NULL);
}
