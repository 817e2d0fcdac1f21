/* tests/unit/image/update_manifest_test.c - the manifest of an update: one way to write it, every other is refused with its
 * line; and which updates a box takes. */
#include "lib/base.h"

#include "image/core/update_manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define H "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
#define HEAD "gatehouse-update 1\n"
#define VERSIONS "version=0.2.0\nminimum=0.1.0\n"
#define ARCH "architecture=x86-64\n"
#define HASH "roothash=" H "\n"
#define ROOT "root=104857600 " H "\n"
#define VERITY "verity=839680 " H "\n"
#define UKI "uki=26214400 " H "\n"
#define GOOD HEAD VERSIONS ARCH HASH ROOT VERITY UKI

static void refusals(void **state)
{
        static const struct {
                const char *name, *in, *place;
        } rows[] = {
                {"empty", "", "manifest:1"},
                {"another format", "gatehouse-update 2\n" VERSIONS ARCH HASH ROOT VERITY UKI, "manifest:1"},
                {"no newline after the head", "gatehouse-update 1", "manifest:1"},
                {"cut after the head", HEAD, "manifest:2"},
                {"a blank line", HEAD "\n" VERSIONS ARCH HASH ROOT VERITY UKI, "manifest:2"},
                {"a carriage return", HEAD "version=0.2.0\r\nminimum=0.1.0\n" ARCH HASH ROOT VERITY UKI, "manifest:2"},
                {"another order", HEAD "minimum=0.1.0\nversion=0.2.0\n" ARCH HASH ROOT VERITY UKI, "manifest:2"},
                {"no version", HEAD "version=latest\nminimum=0.1.0\n" ARCH HASH ROOT VERITY UKI, "manifest:2"},
                {"a path as version", HEAD "version=../../x\nminimum=0.1.0\n" ARCH HASH ROOT VERITY UKI, "manifest:2"},
                {"minimum newer than version", HEAD "version=0.2.0\nminimum=0.3.0\n" ARCH HASH ROOT VERITY UKI, "manifest:3"},
                {"another architecture", HEAD VERSIONS "architecture=arm64\n" HASH ROOT VERITY UKI, "manifest:4"},
                {"upper case", HEAD VERSIONS ARCH "roothash=5F70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef\n" ROOT VERITY UKI, "manifest:5"},
                {"a short hash", HEAD VERSIONS ARCH "roothash=5f70\n" ROOT VERITY UKI, "manifest:5"},
                {"size 0", HEAD VERSIONS ARCH HASH "root=0 " H "\n" VERITY UKI, "manifest:6"},
                {"size with a sign", HEAD VERSIONS ARCH HASH "root=-1 " H "\n" VERITY UKI, "manifest:6"},
                {"size with a leading zero", HEAD VERSIONS ARCH HASH "root=012 " H "\n" VERITY UKI, "manifest:6"},
                {"size over 63 bits", HEAD VERSIONS ARCH HASH "root=9223372036854775808 " H "\n" VERITY UKI, "manifest:6"},
                {"size over 64 bits", HEAD VERSIONS ARCH HASH "root=18446744073709551617 " H "\n" VERITY UKI, "manifest:6"},
                {"two blanks", HEAD VERSIONS ARCH HASH "root=1  " H "\n" VERITY UKI, "manifest:6"},
                {"no sum", HEAD VERSIONS ARCH HASH "root=1\n" VERITY UKI, "manifest:6"},
                {"the last line without newline", HEAD VERSIONS ARCH HASH ROOT VERITY "uki=26214400 " H, "manifest:8"},
                {"one line more", GOOD "note=x\n", "manifest:9"},
                {"one byte more", GOOD "\n", "manifest:9"},
        };
        struct update_manifest m, before;
        (void)state;
        memset(&before, 0x5a, sizeof before);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct err e = {0};
                m = before;
                int r = update_manifest_parse(span_str(rows[i].in), &m, &e);
                if (r != -EBADMSG || strcmp(e.place, rows[i].place) != 0 || !*e.msg)
                        fail_msg("%s: %d at %s: %s", rows[i].name, r, e.place, e.msg);
                if (memcmp(&m, &before, sizeof m) != 0)
                        fail_msg("%s: the result was touched", rows[i].name);
        }
        static uint8_t large[UPDATE_MANIFEST_MAX + 1];
        assert_int_equal(update_manifest_parse(SPAN(large, sizeof large), &m, NULL), -EBADMSG);
}

static void every_prefix(void **state)
{
        struct update_manifest m;
        (void)state;
        for (size_t n = 0; n < sizeof GOOD - 1; n++)
                if (update_manifest_parse(SPAN(GOOD, n), &m, NULL) != -EBADMSG)
                        fail_msg("the first %zu bytes are taken", n);
}

static void good(void **state)
{
        struct update_manifest m;
        struct err e = {0};
        char text[VERSION_STR_MAX], name[UPDATE_NAME_MAX], hex[65];
        (void)state;
        if (update_manifest_parse(SPAN_LIT(GOOD), &m, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        assert_string_equal(version_str(&m.version, text), "0.2.0");
        assert_string_equal(version_str(&m.minimum, text), "0.1.0");
        sha256_hex(&m.roothash, hex);
        assert_string_equal(hex, H);
        assert_int_equal(m.file[UPDATE_ROOT].bytes, 104857600);
        assert_int_equal(m.file[UPDATE_VERITY].bytes, 839680);
        assert_int_equal(m.file[UPDATE_UKI].bytes, 26214400);
        assert_string_equal(update_file_name(&m, UPDATE_ROOT, name), "gatehouse_0.2.0.root");
        assert_string_equal(update_file_name(&m, UPDATE_VERITY, name), "gatehouse_0.2.0.verity");
        assert_string_equal(update_file_name(&m, UPDATE_UKI, name), "gatehouse_0.2.0.efi");
}

static struct version ver(const char *s)
{
        struct version v = {0};
        if (*s && !version_parse(span_str(s), &v))
                fail_msg("%s: no version", s);
        return v;
}

static void admission(void **state)
{
        static const struct {
                const char *name, *running, *floor;
                bool downgrade;
                uint64_t root, verity, uki; /* room */
                int want;
        } rows[] = {
                {"newer", "0.1.0", "", false, 104857600, 839680, 26214400, 0},
                {"newer, and exactly the floor", "0.1.0", "0.2.0", false, 104857600, 839680, 26214400, 0},
                {"the same", "0.2.0", "", false, 104857600, 839680, 26214400, -EALREADY},
                {"the same, even when asked for", "0.2.0", "", true, 104857600, 839680, 26214400, -EALREADY},
                {"older", "0.3.0", "", false, 104857600, 839680, 26214400, -ESTALE},
                {"older, asked for", "0.3.0", "0.1.0", true, 104857600, 839680, 26214400, 0},
                {"below the floor", "0.3.0", "0.2.1", false, 104857600, 839680, 26214400, -EPERM},
                {"below the floor, even when asked for", "0.3.0", "0.2.1", true, 104857600, 839680, 26214400, -EPERM},
                {"root one byte too large", "0.1.0", "", false, 104857599, 839680, 26214400, -ENOSPC},
                {"verity one byte too large", "0.1.0", "", false, 104857600, 839679, 26214400, -ENOSPC},
                {"ESP one byte too full", "0.1.0", "", false, 104857600, 839680, 26214399, -ENOSPC},
        };
        struct update_manifest m;
        (void)state;
        assert_int_equal(update_manifest_parse(SPAN_LIT(GOOD), &m, NULL), 0);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct err e = {0};
                struct update_site s = {.running = ver(rows[i].running), .floor = ver(rows[i].floor), .downgrade = rows[i].downgrade,
                                        .room = {rows[i].root, rows[i].verity, rows[i].uki}};
                int r = update_admit(&m, &s, &e);
                if (r != rows[i].want || (r < 0 && !*e.msg))
                        fail_msg("%s: %d: %s", rows[i].name, r, e.msg);
        }
        m.file[UPDATE_UKI].bytes = UPDATE_UKI_MAX + 1;
        struct update_site huge = {.running = ver("0.1.0"), .room = {UINT64_MAX, UINT64_MAX, UINT64_MAX}};
        assert_int_equal(update_admit(&m, &huge, NULL), -ENOSPC);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(refusals), cmocka_unit_test(every_prefix), cmocka_unit_test(good),
                                           cmocka_unit_test(admission)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
