/* tests/unit/image/plan_test.c - names, links, addresses and CPUs that follow from a configuration; none twice. */
#include "lib/base.h"
#include "image/core/plan.h"
#include "image/io/config_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct config *load(const char *shards, const char *more)
{
        char text[2048];
        struct config *c = NULL;
        struct err e = {0};
        snprintf(text, sizeof text,
                 "version = 1; name = \"e\"; data = ( { name = \"up\"; nic = \"ens9\"; addresses = [ \"192.0.2.2/24\" ]; } );\n"
                 "vip_pools = [ \"198.51.100.0/26\" ]; agent = { source = \"directory\"; }; shards = ( %s ); %s",
                 shards, more);
        if (config_load_text(span_str(text), "f", &c, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        return c;
}

static const char *text(const struct ipprefix *p)
{
        static char buf[64];
        char a[IPADDR_STR_MAX];
        snprintf(buf, sizeof buf, "%s/%u", ipaddr_str(&p->addr, a), p->len);
        return buf;
}

static void names_and_links(void **state)
{
        struct shard_plan p;
        (void)state;
        struct config *c = load("{ pool = \"a\"; count = 2; }, { pool = \"b\"; count = 1; }", "");
        plan_shard(c, 1, &p);
        assert_string_equal(p.name, "a-2");
        assert_string_equal(p.link, "s2");
        assert_string_equal(text(&p.l4[0]), "198.18.0.9/30");
        assert_string_equal(text(&p.in[0]), "198.18.0.10/30");
        assert_string_equal(text(&p.kernel[0]), "198.18.2.9/30");
        assert_string_equal(text(&p.out[0]), "198.18.2.10/30");
        assert_string_equal(text(&p.l4[1]), "fd67:6174:6500:2::1/64");
        assert_string_equal(text(&p.out[1]), "fd67:6174:6500:102::2/64");
        plan_shard(c, 2, &p);
        assert_string_equal(p.name, "b-1");
        assert_string_equal(p.kernel_link, "b3");
        assert_ptr_equal(p.group, &c->groups[1]);
        config_free(c);
}

static bool same_link(const struct ipprefix *a, const struct ipprefix *b)
{
        return ipprefix_contains(a, &b->addr) || ipprefix_contains(b, &a->addr);
}

static void no_two_links_overlap(void **state)
{
        (void)state;
        struct config *c = load("{ pool = \"a\"; count = 32; }", "links = { v4 = \"10.1.4.0/22\"; v6 = \"fd00:1:2::/48\"; };");
        struct ipprefix all[2 * IMAGE_MAX_SHARDS][2];
        size_t n = 0;
        for (size_t i = 0; i < 32; i++) {
                struct shard_plan p;
                plan_shard(c, i, &p);
                memcpy(all[n++], p.l4, sizeof p.l4);
                memcpy(all[n++], p.kernel, sizeof p.kernel);
                for (int f = 0; f < 2; f++) {
                        assert_true(ipprefix_contains(&p.l4[f], &p.in[f].addr));
                        assert_true(ipprefix_contains(&p.kernel[f], &p.out[f].addr));
                        assert_true(ipprefix_contains(f ? &c->links6 : &c->links4, &p.out[f].addr));
                }
        }
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < i; k++)
                        for (int f = 0; f < 2; f++)
                                assert_false(same_link(&all[i][f], &all[k][f]));
        config_free(c);
}

static void cores(void **state)
{
        static const struct {
                const char *l4, *group;
                unsigned cpus;
                const char *want_l4, *want_group;
        } cases[] = {
                {"", "", 1, "0", "0"},       {"", "", 2, "1", "0"},       {"", "", 8, "1", "0,2-7"},
                {"2-3", "", 6, "2-3", "0-1,4-5"}, {"0-3", "", 4, "0-3", "0-3"}, {"1", "5-6", 8, "1", "5-6"},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char shards[128], l4[64], got[PLAN_CPU_TEXT];
                struct machine m = {.cpus = cases[i].cpus, .memory_mb = 1024};
                snprintf(shards, sizeof shards, "{ pool = \"a\"; cores = \"%s\"; }", cases[i].group);
                snprintf(l4, sizeof l4, "l4 = { cores = \"%s\"; };", cases[i].l4);
                struct config *c = load(shards, l4);
                plan_l4_cores(c, &m, got);
                assert_string_equal(got, cases[i].want_l4);
                plan_group_cores(c, &c->groups[0], &m, got);
                assert_string_equal(got, cases[i].want_group);
                config_free(c);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_and_links),
                cmocka_unit_test(no_two_links_overlap),
                cmocka_unit_test(cores),
        };
        return cmocka_run_group_tests_name("image-plan", tests, NULL, NULL);
}
