/* tests/unit/lib/ipaddr_test.c - text forms in and out (RFC 4291 2.2, RFC 5952 4 and 5), prefixes. */
#include "lib/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "lib/core/ipaddr.h"

#include <arpa/inet.h>

/* clang-format off: one case, one line */
static void test_parse(void **state)
{
        static const struct {
                const char *in, *want; /* want NULL = refused */
        } cases[] = {
                {"192.0.2.1", "192.0.2.1"},
                {"0.0.0.0", "0.0.0.0"},
                {"255.255.255.255", "255.255.255.255"},
                {"01.2.3.4", NULL}, /* octal elsewhere: ambiguous */
                {"1.2.3", NULL},
                {"1.2.3.4.5", NULL},
                {"1.2.3.256", NULL},
                {"1.2.3.4 ", NULL},
                {"1.2.3.", NULL},
                {"1..3.4", NULL},
                {"0x1.2.3.4", NULL},
                {"", NULL},
                {"::", "::"},
                {"::1", "::1"},
                {"1::", "1::"},
                {"2001:DB8::1", "2001:db8::1"},
                {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},    /* RFC 5952 4.2.3: the first of equal runs */
                {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"}, /* RFC 5952 4.2.2: one group is not shortened */
                {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
                {"0:0:0:0:0:0:0:0", "::"},
                {"::ffff:192.0.2.1", "::ffff:192.0.2.1"}, /* RFC 5952 5 */
                {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
                {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
                {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
                {"1:2:3:4:5:6:7:8::", NULL},
                {"1:2:3:4:5:6:7:8:9", NULL},
                {"1:2:3:4:5:6:7", NULL},
                {"1::2::3", NULL},
                {":::", NULL},
                {":", NULL},
                {":1::", NULL},
                {"1:", NULL},
                {"12345::", NULL},
                {"::1.2.3", NULL},
                {"::1.2.3.4:1", NULL},
                {"1:2:3:4:5:6:7:1.2.3.4", NULL},
                {"fe80::1%eth0", NULL},
                {"[::1]", NULL},
                {"g::", NULL},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct ipaddr a;
                char text[IPADDR_STR_MAX];
                int r = ipaddr_parse(span_str(cases[i].in), &a);
                if ((r == 0) != (cases[i].want != NULL))
                        fail_msg("%s: %d", cases[i].in, r);
                if (r == 0 && strcmp(ipaddr_str(&a, text), cases[i].want) != 0)
                        fail_msg("%s: %s", cases[i].in, text);
        }
}

/* clang-format on */

/* Whatever we write, libc reads as the same bytes, and so do we. */
static void test_round_trip(void **state)
{
        uint32_t seed = 1;
        (void)state;
        for (int i = 0; i < 20000; i++) {
                struct ipaddr a = {.af = 6}, back;
                uint8_t libc[16];
                char text[IPADDR_STR_MAX];
                for (int k = 0; k < 16; k++) {
                        seed = seed * 1664525 + 1013904223;
                        a.b[k] = (seed >> 30) ? 0 : (uint8_t)(seed >> 16); /* many zeros */
                }
                ipaddr_str(&a, text);
                assert_int_equal(inet_pton(AF_INET6, text, libc), 1);
                assert_memory_equal(libc, a.b, 16);
                assert_int_equal(ipaddr_parse(span_str(text), &back), 0);
                assert_true(ipaddr_eq(&a, &back));
        }
}

static void test_prefix(void **state)
{
        static const struct {
                const char *prefix, *addr;
                bool in;
        } cases[] = {
                /* clang-format off */
                { "10.0.0.0/8", "10.255.1.1", true },   { "10.0.0.0/8", "11.0.0.0", false },
                { "192.0.2.0/26", "192.0.2.63", true }, { "192.0.2.0/26", "192.0.2.64", false },
                { "10.20.0.2/24", "10.20.0.9", true }, /* host bits are allowed: an address with its network */
                { "0.0.0.0/0", "1.2.3.4", true },       { "0.0.0.0/0", "::1", false },
                { "1.2.3.4", "1.2.3.4", true },         { "1.2.3.4", "1.2.3.5", false },
                { "2001:db8::/33", "2001:db8:7fff::", true }, { "2001:db8::/33", "2001:db8:8000::", false },
                { "::/0", "ffff::", true },
                /* clang-format on */
        };
        static const char *const bad[] = {"1.2.3.4/33", "::/129", "1.2.3.4/",    "1.2.3.4/08",
                                          "1.2.3.4/-1", "/8",     "1.2.3.4/8/8", ""};
        struct ipprefix p;
        struct ipaddr a;
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                assert_int_equal(ipprefix_parse(span_str(cases[i].prefix), &p), 0);
                assert_int_equal(ipaddr_parse(span_str(cases[i].addr), &a), 0);
                if (ipprefix_contains(&p, &a) != cases[i].in)
                        fail_msg("%s %s", cases[i].prefix, cases[i].addr);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (ipprefix_parse(span_str(bad[i]), &p) != -EINVAL)
                        fail_msg("accepted %s", bad[i]);
        assert_int_equal(ipaddr_from_bytes("abcd", 4, &a), 0);
        assert_int_equal(ipaddr_from_bytes("abcd", 3, &a), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_parse), cmocka_unit_test(test_round_trip),
                                           cmocka_unit_test(test_prefix)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
