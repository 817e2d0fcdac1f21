/* tests/unit/image/advertise_test.c - which prefixes are advertised for what l4lb says; BIRD's answers. */
#include "lib/base.h"
#include "image/core/advertise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Two prefixes: 198.51.100.0/26 and 2001:db8::/64.  A VIP is "ADDRESS POOL", a backend "POOL STATE [checked]". */
static const struct {
        const char *name, *vips[3], *backends[3];
        bool want[2];
} cases[] = {
        {"nothing is configured", {0}, {0}, {false, false}},
        {"one backend is up", {"198.51.100.1 a"}, {"a up 1", "a down 1"}, {true, false}},
        {"both families", {"198.51.100.1 a", "2001:db8::1 a"}, {"a up 1"}, {true, true}},
        {"all are down", {"198.51.100.1 a"}, {"a down 1", "a down 1"}, {false, false}},
        {"not checked yet", {"198.51.100.1 a"}, {"a unknown 1", "a initial 1"}, {false, false}},
        {"never checked, so counted as up", {"198.51.100.1 a"}, {"a unknown 0"}, {true, false}},
        {"the last one drains", {"198.51.100.1 a"}, {"a draining 1"}, {false, false}},
        {"another pool's backend", {"198.51.100.1 a"}, {"b up 1"}, {false, false}},
        {"one of two services has one", {"198.51.100.1 a", "198.51.100.2 b"}, {"a down 1", "b up 1"}, {true, false}},
        {"a VIP of no prefix", {"198.51.100.64 a"}, {"a up 1"}, {false, false}},
};

static void judged(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct advertise_pool pools[2] = {{.protocol = "a", .wanted = true}, {.protocol = "b", .wanted = true}};
                struct advertise_service s[3];
                struct advertise_backend b[3];
                char words[6][3][40];
                size_t n_s = 0, n_b = 0;
                assert_int_equal(ipprefix_parse(SPAN_LIT("198.51.100.0/26"), &pools[0].prefix), 0);
                assert_int_equal(ipprefix_parse(SPAN_LIT("2001:db8::/64"), &pools[1].prefix), 0);
                for (size_t k = 0; k < 3 && cases[i].vips[k]; k++, n_s++) {
                        assert_int_equal(sscanf(cases[i].vips[k], "%39s %39s", words[k][0], words[k][1]), 2);
                        assert_int_equal(ipaddr_parse(span_str(words[k][0]), &s[k].vip), 0);
                        s[k].pool = words[k][1];
                }
                for (size_t k = 0; k < 3 && cases[i].backends[k]; k++, n_b++) {
                        char (*w)[40] = words[3 + k];
                        assert_int_equal(sscanf(cases[i].backends[k], "%39s %39s %39s", w[0], w[1], w[2]), 3);
                        b[k] = (struct advertise_backend){.pool = w[0], .state = w[1], .checked = w[2][0] == '1'};
                }
                advertise_judge(s, n_s, b, n_b, pools, 2);
                if (pools[0].wanted != cases[i].want[0] || pools[1].wanted != cases[i].want[1])
                        fail_msg("%s: %d %d", cases[i].name, pools[0].wanted, pools[1].wanted);
        }
}

static void answers(void **state)
{
        static const struct { const char *in; enum bird_rc want; size_t used; } rows[] = {
                {"0001 BIRD 2.0.12 ready.\n", BIRD_OK, 24},
                {"0011-vips0_4: enabled\n0000 \n", BIRD_OK, 28},
                {"0010-vips0_4: already enabled\n more\n0000 \nrest", BIRD_OK, 42},
                {"9001 syntax error\n", BIRD_ERROR, 18},
                {"8003 No protocols match\n", BIRD_ERROR, 24},
                {"", BIRD_MORE, 0},
                {"0001 BIRD", BIRD_MORE, 0},
                {"0011-vips0_4: enabled\n", BIRD_MORE, 0},
                {"\n", BIRD_BAD, 0},
                {"HTTP/1.1 400 Bad\n", BIRD_BAD, 0},
                {"00011\n", BIRD_BAD, 0},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                size_t used = 0;
                enum bird_rc rc = bird_answer(span_str(rows[i].in), &used);
                if (rc != rows[i].want || used != rows[i].used)
                        fail_msg("\"%s\": %d, %zu", rows[i].in, (int)rc, used);
        }
        assert_true(advertise_is_name("vips0_4"));
        assert_false(advertise_is_name("vips0; configure"));
        assert_false(advertise_is_name("0vips"));
        assert_false(advertise_is_name(""));
        assert_false(advertise_is_name("abcdefghijklmnopqrstuvwxyzabcdef"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(judged), cmocka_unit_test(answers)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
