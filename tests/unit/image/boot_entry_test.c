/* tests/unit/image/boot_entry_test.c - versions and boot entries: what is a name of ours, and which entry boots. */
#include "lib/base.h"

#include "image/core/boot_entry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void versions(void **state)
{
        static const struct {
                const char *in;
                bool ok;
        } rows[] = {
                {"0.2.0", true},   {"1", true},         {"2026.11.23.1", true}, {"999999.0", true},  {"", false},         {".", false},
                {"1.", false},     {".1", false},       {"1..2", false},        {"01.2", false},     {"1.2.3.4.5", false}, {"1000000", false},
                {"1.2-3", false},  {"1.2~rc1", false},  {"-1", false},          {"+1", false},       {"1.2 ", false},      {"1.99999999999999999999", false},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct version v = {0};
                char text[VERSION_STR_MAX];
                bool ok = version_parse(span_str(rows[i].in), &v);
                if (ok != rows[i].ok)
                        fail_msg("%s: %s", rows[i].in, ok ? "taken" : "refused");
                if (ok)
                        assert_string_equal(version_str(&v, text), rows[i].in);
        }
}

static struct version ver(const char *s)
{
        struct version v;
        if (!version_parse(span_str(s), &v))
                fail_msg("%s: no version", s);
        return v;
}

static void order_of_versions(void **state)
{
        static const char *const sorted[] = {"0.9", "0.10", "1", "1.0", "1.0.0", "1.0.1", "1.2", "1.10", "2", "10"};
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(sorted); i++)
                for (size_t k = 0; k < ARRAY_SIZE(sorted); k++) {
                        struct version a = ver(sorted[i]), b = ver(sorted[k]);
                        int cmp = version_cmp(&a, &b);
                        if ((cmp > 0) - (cmp < 0) != (i > k) - (i < k))
                                fail_msg("%s against %s: %d", sorted[i], sorted[k], cmp);
                }
}

static void names(void **state)
{
        static const struct {
                const char *in;
                bool ok, counted;
                uint32_t left, done;
                const char *out; /* as we write it; NULL = the same */
        } rows[] = {
                {"gatehouse_0.2.0.efi", true, false, 0, 0, NULL},
                {"gatehouse_0.2.0+2.efi", true, true, 2, 0, NULL},
                {"gatehouse_0.2.0+1-1.efi", true, true, 1, 1, NULL},
                {"gatehouse_0.2.0+0-2.efi", true, true, 0, 2, NULL},
                {"gatehouse_0.2.0+02-0.efi", true, true, 2, 0, "gatehouse_0.2.0+2.efi"},
                {"gatehouse_0.2.0+.efi", false},
                {"gatehouse_0.2.0+-1.efi", false},
                {"gatehouse_0.2.0+1-.efi", false},
                {"gatehouse_0.2.0+1+1.efi", false},
                {"gatehouse_0.2.0+9999999.efi", false},
                {"gatehouse_.efi", false},
                {"gatehouse_x.efi", false},
                {"gatehouse_0.2.0.tmp", false},
                {"linux.efi", false},
                {"gatehouse_0.2.0.efi ", false},
                {".efi", false},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct boot_entry e = {0};
                char text[BOOT_ENTRY_NAME_MAX];
                if (boot_entry_parse(span_str(rows[i].in), &e) != rows[i].ok)
                        fail_msg("%s", rows[i].in);
                if (!rows[i].ok)
                        continue;
                if (e.counted != rows[i].counted || e.left != rows[i].left || e.done != rows[i].done)
                        fail_msg("%s: counted=%d left=%u done=%u", rows[i].in, e.counted, (unsigned)e.left, (unsigned)e.done);
                assert_string_equal(boot_entry_name(&e, text), rows[i].out ? rows[i].out : rows[i].in);
        }
}

static void which_boots(void **state)
{
        static const struct {
                const char *name, *a, *b; /* a boots */
        } rows[] = {
                {"newer before older", "gatehouse_0.2.efi", "gatehouse_0.1.efi"},
                {"a new one with tries before the proven old one", "gatehouse_0.2+2.efi", "gatehouse_0.1.efi"},
                {"its last try", "gatehouse_0.2+1-1.efi", "gatehouse_0.1.efi"},
                {"an old one before a failed new one", "gatehouse_0.1.efi", "gatehouse_0.2+0-2.efi"},
                {"an old one on trial before a failed new one", "gatehouse_0.1+2.efi", "gatehouse_0.2+0.efi"},
                {"of two failed ones the newer", "gatehouse_0.2+0-2.efi", "gatehouse_0.1+0-2.efi"},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct boot_entry a, b;
                assert_true(boot_entry_parse(span_str(rows[i].a), &a) && boot_entry_parse(span_str(rows[i].b), &b));
                if (boot_entry_cmp(&a, &b) >= 0 || boot_entry_cmp(&b, &a) <= 0)
                        fail_msg("%s", rows[i].name);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(versions), cmocka_unit_test(order_of_versions), cmocka_unit_test(names),
                                           cmocka_unit_test(which_boots)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
