/* tests/unit/image/update_test.c - updates on a disk in a file: installed from each kind of source, and every reason to
 * refuse one leaves the box as it was. */
#include "lib/base.h"
#include "tests/unit/image/update_fixture.h"

#include "image/core/ustar.h"
#include "image/io/host.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct box box;

static int setup(void **state)
{
        (void)state;
        box_root_bytes = BOX_ROOT_SMALL;
        box_make(&box);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        box_free(&box);
        return 0;
}

static struct update_manifest installed(const char *when)
{
        struct update_manifest m;
        struct err e = {0};
        char name[256], v[VERSION_STR_MAX];
        if (update_install(&box.job, &m, &e) < 0)
                fail_msg("%s: %s: %s", when, e.place, e.msg);
        snprintf(name, sizeof name, "%s/EFI/Linux/gatehouse_%s+2.efi", box.esp, version_str(&m.version, v));
        assert_int_equal(access(name, F_OK), 0);
        return m;
}

static void entry_rename(const char *from, const char *to)
{
        char a[256], b[256];
        snprintf(a, sizeof a, "%s/EFI/Linux/%s", box.esp, from);
        snprintf(b, sizeof b, "%s/EFI/Linux/%s", box.esp, to);
        assert_int_equal(rename(a, b), 0);
}

static int setup_large(void **state)
{
        (void)state;
        box_root_bytes = BOX_ROOT_LARGE;
        box_make(&box);
        return 0;
}

static void from_directory(void **state)
{
        (void)state;
        box_bundle(&box, "0.2.0", "0.1.0", 1);
        box_entry(&box, "0.0.9", "gatehouse_0.0.9.efi"); /* of the idle slot: it must go */
        installed("directory");
        assert_string_equal(box_boots(&box, "directory"), "0.2.0");
        assert_true(box_bootable(&box, "0.1.0"));
        struct esp e;
        struct esp_entries l;
        assert_int_equal(esp_open(box.esp, &e, NULL), 0);
        assert_int_equal(esp_list(&e, &l, NULL), 0);
        assert_int_equal(l.n, 2);
        esp_close(&e);
}

static void from_archive(void **state)
{
        (void)state;
        box_bundle(&box, "0.2.0", "0.1.0", 1);
        box_archive(&box, "0.2.0");
        box.job.source = box.file;
        installed("archive");
        assert_string_equal(box_boots(&box, "archive"), "0.2.0");
}

/* b, a, b, a: slots take turns, and so do the two places of the partition table's array. */
static void one_after_the_other(void **state)
{
        static const char *const versions[] = {"0.2.0", "0.3.0", "0.4.0", "0.5.0"};
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
                char trial[64], good[64];
                box_bundle(&box, versions[i], "0.1.0", 1);
                struct update_manifest m = installed(versions[i]);
                assert_string_equal(box_boots(&box, versions[i]), versions[i]);
                snprintf(trial, sizeof trial, "gatehouse_%s+2.efi", versions[i]);
                snprintf(good, sizeof good, "gatehouse_%s.efi", versions[i]);
                entry_rename(trial, good);
                box.job.running = m.version;
                box.job.roothash = m.roothash;
        }
}

static void downgrade(void **state)
{
        (void)state;
        box_bundle(&box, "0.0.5", "0.0.1", 1);
        box.job.downgrade = true;
        installed("downgrade");
        assert_string_equal(box_boots(&box, "downgrade"), "0.0.5");
        entry_rename("gatehouse_0.0.5+2.efi", "gatehouse_0.0.5+0-2.efi"); /* it does not start */
        assert_string_equal(box_boots(&box, "a failed downgrade"), "0.1.0");
}

/* What a refusal must not change: every byte of the disk, every name and byte of the ESP. */
static struct sha256 box_state(void)
{
        char cmd[256], text[4096];
        struct sha256 ret;
        snprintf(cmd, sizeof cmd, "cd %s && sha256sum disk && find esp -type f | sort | xargs sha256sum", box.dir);
        const char *const argv[] = {"/bin/sh", "-c", cmd, NULL};
        assert_int_equal(host_run(argv, 10000, text, sizeof text), 0);
        assert_true(strlen(text) > 128);
        sha256_of(span_str(text), &ret);
        return ret;
}

/* Changes one byte of a file of the bundle, or its length. */
static void spoil(const char *name, off_t at, int grow)
{
        char path[256];
        struct stat st;
        uint8_t c;
        snprintf(path, sizeof path, "%s/%s", box.bundle, name);
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0 && fstat(fd, &st) == 0);
        if (grow) {
                assert_int_equal(ftruncate(fd, st.st_size + grow), 0);
        } else {
                assert_int_equal(pread(fd, &c, 1, at), 1);
                c ^= 1;
                assert_int_equal(pwrite(fd, &c, 1, at), 1);
        }
        close(fd);
}

static void refused(const char *name, int want, const char *words, bool untouched)
{
        struct update_manifest m;
        struct err e = {0};
        struct sha256 before = box_state(), after;
        int r = update_install(&box.job, &m, &e);
        if (r != want || !strstr(e.msg, words))
                fail_msg("%s: %d: %s: %s", name, r, e.place, e.msg);
        after = box_state();
        if (untouched && memcmp(&before, &after, sizeof before) != 0)
                fail_msg("%s: the box was changed", name);
        assert_string_equal(box_boots(&box, name), "0.1.0");
}

static void refused_before_anything(void **state)
{
        (void)state;
        box_entry(&box, "0.0.9", "gatehouse_0.0.9.efi"); /* the way back stays too */
        box_bundle(&box, "0.2.0", "0.1.0", 2);
        refused("a key that is not installed", -EKEYREJECTED, "none of the 1 installed keys", true);
        box_bundle(&box, "0.2.0", "0.1.0", 1);
        spoil("manifest", 40, 0);
        refused("a changed manifest", -EKEYREJECTED, "none of the 1", true);
        box_bundle(&box, "0.2.0", "0.1.0", 1);
        spoil("manifest.sig", 10, 0);
        refused("a changed signature", -EKEYREJECTED, "none of the 1", true);
        spoil("manifest.sig", 0, -64);
        refused("an empty signature", -EBADMSG, "not one to four", true);
        box_bundle(&box, "0.1.0", "0.1.0", 1);
        refused("the same version", -EALREADY, "is the one that is running", true);
        box_bundle(&box, "0.0.8", "0.0.1", 1);
        refused("an older version", -ESTALE, "--downgrade", true);
        box_bundle(&box, "0.2.0", "0.1.0", 1);
        assert_true(version_parse(span_str("0.2.1"), &box.job.floor));
        refused("below the minimum", -EPERM, "the oldest that may be installed", true);
        box.job.floor.n = 0;
        spoil("manifest", 0, UPDATE_MANIFEST_MAX);
        refused("a huge manifest", -EFBIG, "larger than", true);
        box_bundle(&box, "0.2.0", "0.1.0", 1);
        box.job.key_dirs[0] = "/nonexistent";
        refused("no keys", -ENOKEY, "no key is installed", true);
        box.job.key_dirs[0] = box.keys;
        entry_rename("gatehouse_0.1.0.efi", "gatehouse_0.1.0+1-1.efi");
        refused("on trial", -EBUSY, "still on trial", true);
        entry_rename("gatehouse_0.1.0+1-1.efi", "gatehouse_0.1.0.efi");
        box.job.roothash.b[3] ^= 1;
        refused("another disk", -ENOENT, "neither slot has", true);
        box.job.roothash.b[3] ^= 1;
        box.job.source = "relative/path";
        refused("a relative path", -EINVAL, "absolute path", true);
}

static void refused_on_the_way(void **state)
{
        static const struct {
                const char *name, *file;
                off_t at;
                int grow, want;
                const char *words;
        } rows[] = {
                {"a bit of root", "gatehouse_0.2.0.root", BOX_ROOT_SMALL - 1, 0, -EBADMSG, "SHA-256"},
                {"root too short", "gatehouse_0.2.0.root", 0, -1, -EBADMSG, "shorter"},
                {"root too long", "gatehouse_0.2.0.root", 0, 1, -EBADMSG, "longer"},
                {"a bit of verity", "gatehouse_0.2.0.verity", 0, 0, -EBADMSG, "SHA-256"},
                {"a bit of the UKI", "gatehouse_0.2.0.efi", 1000, 0, -EBADMSG, "SHA-256"},
                {"UKI too long", "gatehouse_0.2.0.efi", 0, 5000, -EBADMSG, "longer"},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                box_bundle(&box, "0.2.0", "0.1.0", 1);
                spoil(rows[i].file, rows[i].at, rows[i].grow);
                refused(rows[i].name, rows[i].want, rows[i].words, false);
                box_archive(&box, "0.2.0");
                box.job.source = box.file;
                refused(rows[i].name, rows[i].want, rows[i].words, false);
                box.job.source = box.bundle;
        }
        box_bundle(&box, "0.2.0", "0.1.0", 1);
        box_archive(&box, "0.2.0");
        box.job.source = box.file;
        assert_int_equal(truncate(box.file, 80000), 0);
        refused("an archive cut short", -EBADMSG, "the archive ends inside it", false);
        box.job.source = box.bundle;
        installed("after all that");
}

/* Two keys in the directory, a signature of each: what a change of keys looks like. */
static void second_signature_counts(void **state)
{
        char path[160];
        uint8_t both[128] = {0};
        (void)state;
        box_bundle(&box, "0.2.0", "0.1.0", 1);
        snprintf(path, sizeof path, "%s/manifest.sig", box.bundle);
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0 && pread(fd, both + 64, 64, 0) == 64 && pwrite(fd, both, 128, 0) == 128);
        close(fd);
        installed("the second signature");
}

static void a_damaged_table_is_mended(void **state)
{
        uint8_t zero[512] = {0};
        (void)state;
        int fd = open(box.disk, O_RDWR);
        assert_true(fd >= 0 && pwrite(fd, zero, sizeof zero, 512) == sizeof zero);
        close(fd);
        assert_false(box_bootable(&box, "0.1.0"));
        box_bundle(&box, "0.2.0", "0.1.0", 1);
        installed("from the backup table");
        assert_true(box_bootable(&box, "0.1.0"));
        assert_string_equal(box_boots(&box, "mended"), "0.2.0");
}

static void rollback(void **state)
{
        struct version to;
        struct err e = {0};
        (void)state;
        assert_int_equal(update_rollback(box.esp, &box.job.running, &to, &e), -ENOENT);
        box_bundle(&box, "0.2.0", "0.1.0", 1);
        struct update_manifest m = installed("before the rollback");
        entry_rename("gatehouse_0.2.0+2.efi", "gatehouse_0.2.0.efi");
        assert_string_equal(box_boots(&box, "0.2.0 is good"), "0.2.0");
        assert_int_equal(update_rollback(box.esp, &m.version, &to, &e), 0);
        assert_string_equal(box_boots(&box, "rolled back"), "0.1.0");
        entry_rename("gatehouse_0.1.0+2.efi", "gatehouse_0.1.0+0-2.efi");
        assert_string_equal(box_boots(&box, "the old one does not start"), "0.2.0");
        entry_rename("gatehouse_0.1.0+0-2.efi", "gatehouse_0.1.0.efi"); /* it did after all; and forward again */
        assert_int_equal(update_rollback(box.esp, &box.job.running, &to, &e), 0);
        assert_string_equal(box_boots(&box, "forward"), "0.2.0");
        entry_rename("gatehouse_0.2.0+2.efi", "gatehouse_0.2.0+0-2.efi");
        assert_string_equal(box_boots(&box, "forward does not start"), "0.1.0");
        assert_int_equal(update_rollback(box.esp, &box.job.running, &to, &e), -EPERM);
}

static void archive_members(void **state)
{
        uint8_t block[USTAR_BLOCK];
        struct ustar_member m;
        static const struct {
                const char *name;
                size_t at;
                const char *bytes;
                bool sum; /* made right again */
        } rows[] = {
                {"a wrong checksum", 0, "x", false}, {"a link", 156, "2", true},
                {"a directory", 156, "5", true},     {"a long name's prefix", 345, "p", true},
                {"a path", 0, "a/b", true},          {"no octal", 124, "9", true},
                {"no tar", 257, "v", true},
        };
        (void)state;
        box_bundle(&box, "0.2.0", "0.1.0", 1);
        box_archive(&box, "0.2.0");
        int fd = open(box.file, O_RDONLY);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_int_equal(pread(fd, block, sizeof block, 0), USTAR_BLOCK);
                assert_int_equal(ustar_parse(block, &m, NULL), 0);
                assert_string_equal(m.name, "manifest");
                memcpy(block + rows[i].at, rows[i].bytes, strlen(rows[i].bytes));
                if (rows[i].sum) {
                        unsigned sum = 0;
                        memset(block + 148, ' ', 8);
                        for (size_t k = 0; k < sizeof block; k++)
                                sum += block[k];
                        snprintf((char *)block + 148, 8, "%06o", sum);
                }
                if (ustar_parse(block, &m, NULL) != -EBADMSG)
                        fail_msg("%s is taken", rows[i].name);
        }
        close(fd);
        memset(block, 0, sizeof block);
        assert_int_equal(ustar_parse(block, &m, NULL), -ENODATA);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(from_directory, setup_large, teardown),
                T(from_archive),
                T(one_after_the_other),
                T(downgrade),
                T(refused_before_anything),
                T(refused_on_the_way),
                T(second_signature_counts),
                T(a_damaged_table_is_mended),
                T(rollback),
                T(archive_members),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
