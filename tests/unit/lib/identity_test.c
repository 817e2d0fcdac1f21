/* tests/unit/lib/identity_test.c - lib/core/identity and lib/core/control_addr: what is taken, what is not, and back again. */
#include "lib/base.h"
#include "lib/core/control_addr.h"
#include "lib/core/identity.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define W63 "a23456789012345678901234567890123456789012345678901234567890123"
_Static_assert(sizeof W63 - 1 == IDENTITY_WORD_MAX, "as long as a word may be");

static void test_identity(void **state)
{
        static const struct { const char *name, *in; int role; const char *pool, *peer; } cases[] = {
                { "agent", "gatehouse://agent/edge-1", IDENTITY_AGENT, "", "edge-1" },
                { "front tier", "gatehouse://l4/l4-1", IDENTITY_L4, "", "l4-1" },
                { "shard", "gatehouse://l7/default/shard-1", IDENTITY_L7, "default", "shard-1" },
                { "every character", "gatehouse://l7/A_z.0-9/..x", IDENTITY_L7, "A_z.0-9", "..x" },
                { "longest", "gatehouse://l7/" W63 "/" W63, IDENTITY_L7, W63, W63 },
                { "one too long", "gatehouse://l4/" W63 "4", -1, NULL, NULL },
                { "empty", "", -1, NULL, NULL },
                { "scheme alone", "gatehouse://", -1, NULL, NULL },
                { "another scheme", "spiffe://agent/x", -1, NULL, NULL },
                { "scheme in capitals", "GATEHOUSE://agent/x", -1, NULL, NULL },
                { "role unknown", "gatehouse://l5/x", -1, NULL, NULL },
                { "role alone", "gatehouse://agent", -1, NULL, NULL },
                { "no name", "gatehouse://agent/", -1, NULL, NULL },
                { "shard without pool", "gatehouse://l7/shard-1", -1, NULL, NULL },
                { "shard with empty pool", "gatehouse://l7//shard-1", -1, NULL, NULL },
                { "shard with empty name", "gatehouse://l7/default/", -1, NULL, NULL },
                { "front tier with pool", "gatehouse://l4/default/l4-1", -1, NULL, NULL },
                { "more behind it", "gatehouse://l7/default/shard-1/", -1, NULL, NULL },
                { "dot", "gatehouse://l7/./shard-1", -1, NULL, NULL },
                { "dots", "gatehouse://l7/default/..", -1, NULL, NULL },
                { "escape", "gatehouse://l4/l4%2d1", -1, NULL, NULL },
                { "space", "gatehouse://l4/l4 1", -1, NULL, NULL },
                { "user", "gatehouse://agent@l4/l4-1", -1, NULL, NULL },
                { "query", "gatehouse://l4/l4-1?x", -1, NULL, NULL },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct identity id = { .role = IDENTITY_ROLE_N }, made;
                char text[IDENTITY_URI_MAX];
                int r = identity_parse(span_str(cases[i].in), &id);
                if (cases[i].role < 0) {
                        if (r != -EINVAL || id.role != IDENTITY_ROLE_N)
                                fail_msg("%s: taken", cases[i].name);
                        continue;
                }
                if (r < 0 || id.role != (enum identity_role)cases[i].role || strcmp(id.pool, cases[i].pool) || strcmp(id.name, cases[i].peer))
                        fail_msg("%s: %d, %s, %s", cases[i].name, r, id.pool, id.name);
                assert_string_equal(identity_uri(&id, text), cases[i].in);
                assert_int_equal(identity_make(id.role, id.pool, id.name, &made), 0);
                assert_true(identity_eq(&id, &made));
        }
        struct identity id;
        assert_int_equal(identity_parse(SPAN("gatehouse://l4/l4-1\0x", 21), &id), -EINVAL); /* a NUL is no end */
        assert_int_equal(identity_make(IDENTITY_L7, "", "shard-1", &id), -EINVAL);
        assert_int_equal(identity_make(IDENTITY_L4, "default", "l4-1", &id), -EINVAL);
        assert_int_equal(identity_make(IDENTITY_L4, NULL, "l4/1", &id), -EINVAL);
}

static void test_identity_differs(void **state)
{
        static const char *const all[] = { "gatehouse://agent/x", "gatehouse://l4/x", "gatehouse://l7/a/x", "gatehouse://l7/b/x", "gatehouse://l7/a/y" };
        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                for (size_t k = 0; k < ARRAY_SIZE(all); k++) {
                        struct identity a, b;
                        assert_int_equal(identity_parse(span_str(all[i]), &a), 0);
                        assert_int_equal(identity_parse(span_str(all[k]), &b), 0);
                        assert_int_equal(identity_eq(&a, &b), i == k);
                }
}

static void test_control_addr(void **state)
{
        char long_path[160];
        static const struct { const char *in; bool good; } cases[] = {
                { "unix:/run/gatehouse/agent.sock", true },
                { "tls:192.0.2.5:7443", true },
                { "tls:[2001:db8::5]:7443", true },
                { "tls:[::]:65535", true },
                { "", false },
                { "/run/gatehouse/agent.sock", false },
                { "unix:", false },
                { "unix:agent.sock", false },
                { "tls:", false },
                { "tls:192.0.2.5", false },
                { "tls:192.0.2.5:", false },
                { "tls:192.0.2.5:0", false },
                { "tls:192.0.2.5:07443", false },
                { "tls:192.0.2.5:65536", false },
                { "tls:192.0.2.5:7443 ", false },
                { "tls:192.0.2.5:-1", false },
                { "tls:2001:db8::5:7443", false },
                { "tls:[2001:db8::5]", false },
                { "tls:[2001:db8::5]7443", false },
                { "tls:[192.0.2.5]:7443", false },
                { "tls:agent.example:7443", false },
                { "tcp:192.0.2.5:7443", false },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct control_addr a;
                const char *why = NULL;
                char text[CONTROL_ADDR_STR_MAX];
                int r = control_addr_parse(span_str(cases[i].in), &a, &why);
                if (r != (cases[i].good ? 0 : -EINVAL) || (r < 0 && !why))
                        fail_msg("%s: %d", cases[i].in, r);
                if (r == 0)
                        assert_string_equal(control_addr_str(&a, text), cases[i].in);
        }
        struct control_addr a;
        const char *why;
        snprintf(long_path, sizeof long_path, "unix:/%0106d", 0);
        assert_int_equal(control_addr_parse(span_str(long_path), &a, &why), 0);
        snprintf(long_path, sizeof long_path, "unix:/%0107d", 0);
        assert_int_equal(control_addr_parse(span_str(long_path), &a, &why), -EINVAL);
        assert_int_equal(control_addr_parse(SPAN("unix:/a\0b", 9), &a, &why), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_identity),
                cmocka_unit_test(test_identity_differs),
                cmocka_unit_test(test_control_addr),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
