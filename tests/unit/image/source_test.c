/* tests/unit/image/source_test.c - which volume is the seed disk, by the labels of FAT and ISO 9660; which user data is
 * ours; that a directory of somebody else's making is read within its bounds. */
#include "lib/base.h"
#include "image/io/path.h"
#include "image/io/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <unistd.h>

static char root[] = "/tmp/gh-source-test-XXXXXX";
static struct host h = {.root = root, .daemons = "", .systemctl = ""};

static int fresh(void **state)
{
        static const char *const dirs[] = {"/dev", "/sys", "/efi", "/run", "/seed"};
        char dir[HOST_PATH_MAX];
        struct err e;
        int r = 0;
        (void)state;
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dirs); i++)
                r = path_remove_tree(host_path(&h, dir, "%s", dirs[i]), &e);
        return r;
}

static void write_file(const char *path, const void *p, size_t n)
{
        char full[HOST_PATH_MAX];
        struct err e = {0};
        host_path(&h, full, "%s", path);
        if (path_mkparent(full, &e) < 0 || path_write(full, SPAN(p, n), 0600, UINT32_MAX, false, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
}

static void device(const char *name, const void *p, size_t n)
{
        char path[128], full[HOST_PATH_MAX];
        struct err e;
        snprintf(path, sizeof path, "/dev/%s", name);
        write_file(path, p, n);
        assert_int_equal(path_mkdirs(host_path(&h, full, "/sys/class/block/%s", name), 0755, &e), 0);
}

static void fat(uint8_t b[512], size_t label_at, size_t type_at, const char *type, const char *label)
{
        memset(b, 0, 512);
        memset(b + label_at, ' ', 11);
        memcpy(b + label_at, label, strlen(label));
        memcpy(b + type_at, type, strlen(type));
        b[510] = 0x55;
        b[511] = 0xaa;
}

static void volumes(void **state)
{
        static uint8_t iso[17 * 2048], b[512];
        char path[HOST_PATH_MAX];
        const char *fs;
        (void)state;
        device("vda", "GPT or something", 16);
        device("vda1", b, 0);
        fat(b, 71, 82, "FAT32   ", "OTHER");
        device("vda2", b, sizeof b);
        assert_int_equal(source_find_volume(&h, "cidata", path, &fs), -ENOENT);

        iso[16 * 2048] = 1;
        memcpy(iso + 16 * 2048 + 1, "CD001", 5);
        memset(iso + 16 * 2048 + 40, ' ', 32);
        memcpy(iso + 16 * 2048 + 40, "CIDATA", 6);
        device("sr0", iso, sizeof iso);
        assert_int_equal(source_find_volume(&h, "cidata", path, &fs), 0);
        assert_string_equal(fs, "iso9660");
        assert_non_null(strstr(path, "/dev/sr0"));
        assert_int_equal(source_find_volume(&h, "cidat", path, &fs), -ENOENT);

        fat(b, 71, 82, "FAT32   ", "CONFIG-2");
        device("vdb", b, sizeof b);
        assert_int_equal(source_find_volume(&h, "config-2", path, &fs), 0);
        assert_string_equal(fs, "vfat");
        fat(b, 43, 54, "FAT16   ", "seedling");
        device("vdc", b, sizeof b);
        assert_int_equal(source_find_volume(&h, "SEEDLING", path, &fs), 0);
        b[511] = 0;
        device("vdc", b, sizeof b);
        assert_int_equal(source_find_volume(&h, "SEEDLING", path, &fs), -ENOENT);
}

static void user_data(void **state)
{
        struct seed_copy s;
        struct err e = {0};
        (void)state;
        assert_true(source_is_ours(SPAN_LIT("# gatehouse.cfg\nversion = 1;")));
        assert_false(source_is_ours(SPAN_LIT("#cloud-config\n")));
        assert_false(source_is_ours(SPAN_LIT("# gatehouse.cf")));
        assert_false(source_is_ours(SPAN_NULL));

        seed_copy_init(&s);
        assert_int_equal(source_local(&h, &s, &e), -ENOENT);
        write_file("/efi/gatehouse/user-data", "#cloud-config\n", 14);
        assert_int_equal(source_local(&h, &s, &e), -ENOENT);
        write_file("/efi/gatehouse/user-data", "# gatehouse.cfg\nx", 17);
        write_file("/efi/gatehouse/kubeconfig", "k", 1);
        assert_int_equal(source_local(&h, &s, &e), 0);
        assert_int_equal(s.source, FROM_ESP);
        assert_true(span_eq_str(s.seed.kubeconfig, "k"));
        write_file("/run/credentials/@system/gatehouse.cfg", "version", 7);
        seed_copy_fini(&s);
        seed_copy_init(&s);
        assert_int_equal(source_local(&h, &s, &e), 0);
        assert_int_equal(s.source, FROM_SMBIOS);
        seed_copy_fini(&s);

        /* what did not fit into the first page of the table was cut off before it came to us */
        static const char table[4097];
        write_file("/sys/firmware/dmi/entries/11-0/raw", table, 4096);
        seed_copy_init(&s);
        assert_int_equal(source_local(&h, &s, &e), 0);
        seed_copy_fini(&s);
        write_file("/sys/firmware/dmi/entries/11-0/raw", table, 4097);
        seed_copy_init(&s);
        assert_int_equal(source_local(&h, &s, &e), -EFBIG);
        assert_int_equal(s.source, FROM_SMBIOS);
        seed_copy_fini(&s);
}

static void bounds(void **state)
{
        char dir[HOST_PATH_MAX], name[128];
        struct seed_copy s;
        struct err e = {0};
        (void)state;
        write_file("/seed/gatehouse.cfg", "version", 7);
        for (unsigned i = 0; i <= IMAGE_MAX_MANIFESTS; i++) {
                snprintf(name, sizeof name, "/seed/manifests/%04u.yaml", i);
                write_file(name, "a", 1);
        }
        write_file("/seed/manifests/.hidden.yaml", "a", 1);
        write_file("/seed/manifests/a b.yaml", "a", 1);
        write_file("/seed/manifests/readme.txt", "a", 1);
        seed_copy_init(&s);
        assert_int_equal(seed_copy_read(host_path(&h, dir, "/seed"), &s, &e), -E2BIG);
        assert_non_null(strstr(e.place, "manifests"));
        seed_copy_fini(&s);
        assert_int_equal(unlink(host_path(&h, dir, "/seed/manifests/0007.yaml")), 0);
        seed_copy_init(&s);
        assert_int_equal(seed_copy_read(host_path(&h, dir, "/seed"), &s, &e), 0);
        assert_int_equal(s.seed.n_manifests, IMAGE_MAX_MANIFESTS);
        assert_string_equal(s.seed.manifests[7].name,
                            "0008.yaml"); /* sorted: the same digest whatever the directory's order */
        seed_copy_fini(&s);
        assert_int_equal(truncate(host_path(&h, dir, "/seed/gatehouse.cfg"), IMAGE_MAX_FILE_BYTES + 1), 0);
        seed_copy_init(&s);
        assert_int_equal(seed_copy_read(host_path(&h, dir, "/seed"), &s, &e), -EFBIG);
        seed_copy_fini(&s);
        assert_int_equal(unlink(host_path(&h, dir, "/seed/gatehouse.cfg")), 0);
        assert_int_equal(symlink("/dev/zero", host_path(&h, dir, "/seed/gatehouse.cfg")), 0);
        seed_copy_init(&s);
        assert_int_equal(seed_copy_read(host_path(&h, dir, "/seed"), &s, &e), -EINVAL); /* no file */
        seed_copy_fini(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test_setup(volumes, fresh),
                                           cmocka_unit_test_setup(user_data, fresh),
                                           cmocka_unit_test_setup(bounds, fresh)};
        if (!mkdtemp(root))
                return 1;
        int r = cmocka_run_group_tests_name("image-source", tests, NULL, NULL);
        struct err e;
        return path_remove_tree(root, &e) < 0 ? 1 : r;
}
