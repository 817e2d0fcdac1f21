/* tests/unit/l4lb/prefixmap_test.c - the longest prefix by intervals equals the longest prefix by looking at all of them. */
#include "lib/base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "l4lb/core/prefixmap.h"

static uint64_t seed = 0x9e3779b97f4a7c15;
static uint32_t draw(uint32_t n) /* 0 .. n - 1 */
{
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return (uint32_t)((seed >> 32) * n >> 32);
}

static struct ipprefix prefix(const char *s)
{
        struct ipprefix p;
        assert_int_equal(ipprefix_parse(span_str(s), &p), 0);
        return p;
}

static uint16_t by_looking(const struct prefixmap_entry *e, size_t n, const struct ipaddr *a)
{
        int best = -1;
        for (size_t i = 0; i < n; i++) {
                if (e[i].prefix.addr.af != a->af || !ipprefix_contains(&e[i].prefix, a))
                        continue;
                if (best < 0 || e[i].prefix.len > e[best].prefix.len || (e[i].prefix.len == e[best].prefix.len && e[i].value < e[best].value))
                        best = (int)i;
        }
        return best < 0 ? PREFIXMAP_NONE : e[best].value;
}

static uint16_t by_map(const struct prefixmap *m, const struct ipaddr *a) { return a->af == 4 ? prefixmap4(m, a->b) : prefixmap6(m, a->b); }

static void test_edges(void **state)
{
        struct prefixmap_entry e[] = { { prefix("0.0.0.0/0"), 9 },        { prefix("10.0.0.0/8"), 1 },  { prefix("10.255.255.255/32"), 2 },
                                       { prefix("255.255.255.255/32"), 3 }, { prefix("0.0.0.0/32"), 4 },  { prefix("10.0.0.0/8"), 0 },
                                       { prefix("::/0"), 5 },             { prefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"), 6 } };
        static const struct {
                const char *addr;
                uint16_t want;
        } cases[] = { { "0.0.0.0", 4 }, { "0.0.0.1", 9 }, { "9.255.255.255", 9 }, { "10.0.0.0", 0 }, { "10.255.255.254", 0 }, { "10.255.255.255", 2 }, { "11.0.0.0", 9 },
                      { "255.255.255.254", 9 }, { "255.255.255.255", 3 }, { "::", 5 }, { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", 5 },
                      { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6 } };
        struct arena a;
        struct prefixmap m;
        arena_init(&a, 4096, SIZE_MAX);
        assert_int_equal(prefixmap_build(&m, &a, e, ARRAY_SIZE(e)), 0);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct ipaddr at;
                assert_int_equal(ipaddr_parse(span_str(cases[i].addr), &at), 0);
                if (by_map(&m, &at) != cases[i].want)
                        print_message("%s: %u, wanted %u\n", cases[i].addr, by_map(&m, &at), cases[i].want);
                assert_int_equal(by_map(&m, &at), cases[i].want);
        }
        struct prefixmap none;
        assert_int_equal(prefixmap_build(&none, &a, NULL, 0), 0);
        assert_int_equal(prefixmap4(&none, (const uint8_t[]){ 1, 2, 3, 4 }), PREFIXMAP_NONE);
        arena_fini(&a);
}

/* Few bits differ, so that prefixes nest, touch and repeat. */
static void random_addr(struct ipaddr *a, bool v6)
{
        *a = (struct ipaddr){ .af = v6 ? 6 : 4 };
        for (size_t i = 0; i < ipaddr_len(a); i++)
                a->b[i] = (uint8_t)(draw(3) == 0 ? draw(256) : draw(2) * 255);
}

static void test_random(void **state)
{
        for (unsigned round = 0; round < 300; round++) {
                struct prefixmap_entry e[64];
                struct arena a;
                struct prefixmap m;
                size_t n = 1 + draw(ARRAY_SIZE(e));
                for (size_t i = 0; i < n; i++) {
                        random_addr(&e[i].prefix.addr, draw(2));
                        e[i].prefix.len = (uint8_t)draw((uint32_t)ipaddr_len(&e[i].prefix.addr) * 8 + 1);
                        e[i].value = (uint16_t)draw(4);
                        if (i && draw(3) == 0 && e[i].prefix.addr.af == e[i - 1].prefix.addr.af) /* inside another, or the same */
                                e[i].prefix.addr = e[i - 1].prefix.addr;
                }
                arena_init(&a, 4096, SIZE_MAX);
                assert_int_equal(prefixmap_build(&m, &a, e, n), 0);
                for (unsigned k = 0; k < 200; k++) {
                        struct ipaddr at;
                        random_addr(&at, draw(2));
                        if (draw(2)) { /* at the edge of one */
                                at = e[draw((uint32_t)n)].prefix.addr;
                                at.b[ipaddr_len(&at) - 1] = (uint8_t)(at.b[ipaddr_len(&at) - 1] + draw(3) - 1);
                        }
                        assert_int_equal(by_map(&m, &at), by_looking(e, n, &at));
                }
                arena_fini(&a);
        }
}

static void test_large(void **state)
{
        enum { N = 100000 };
        struct prefixmap_entry *e = calloc(2 * N, sizeof *e);
        struct arena a;
        struct prefixmap m;
        assert_non_null(e);
        for (uint32_t i = 0; i < 2 * N; i++) {
                e[i].prefix.addr.af = i & 1 ? 6 : 4;
                for (size_t k = 0; k < 16; k++)
                        e[i].prefix.addr.b[k] = (uint8_t)draw(256);
                e[i].prefix.len = (uint8_t)(i & 1 ? 32 + draw(33) : 12 + draw(21));
                e[i].value = (uint16_t)draw(2);
        }
        arena_init(&a, 65536, (size_t)8 << 20); /* what prefixmap.h promises, and the arena's rounding */
        assert_int_equal(prefixmap_build(&m, &a, e, 2 * N), 0);
        assert_true(m.n4 <= 2 * N + 1 && m.n6 <= 2 * N + 1 && m.n4 > N / 2);
        for (unsigned k = 0; k < 20; k++) {
                struct ipaddr at = e[draw(2 * N)].prefix.addr;
                assert_int_equal(by_map(&m, &at), by_looking(e, 2 * N, &at));
        }
        arena_fini(&a);
        free(e);
}

int main(void)
{
        static const struct CMUnitTest tests[] = { cmocka_unit_test(test_edges), cmocka_unit_test(test_random), cmocka_unit_test(test_large) };
        return cmocka_run_group_tests_name("l4_prefixmap", tests, NULL, NULL);
}
