/* tests/unit/image/update_fixture.c - see update_fixture.h. */
#include "lib/base.h"
#include "tests/unit/image/update_fixture.h"

#include "image/io/host.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u
#define DISK_SECTORS 20480u
static const struct {
        const char *label;
        uint32_t first, last;
} layout[] = {{"ESP", 2048, 2303},
              {"gatehouse-root-a", 2304, 6399},
              {"gatehouse-verity-a", 6400, 6463},
              {"gatehouse-root-b", 6464, 10559},
              {"gatehouse-verity-b", 10560, 10623},
              {"gatehouse-data", 10624, 20000}};

void gpt_entry_put(struct gpt *g, unsigned i, uint8_t seed, uint32_t first, uint32_t last, const char *label)
{
        uint8_t *e = g->array + (size_t)i * GPT_ENTRY_BYTES;
        memset(e, 0, GPT_ENTRY_BYTES);
        memset(e, seed, 16);
        memset(e + 16, seed ^ 0x80, 16);
        for (int b = 0; b < 4; b++) {
                e[32 + b] = (uint8_t)(first >> (8 * b));
                e[40 + b] = (uint8_t)(last >> (8 * b));
        }
        for (size_t c = 0; label[c]; c++)
                e[56 + 2 * c] = (uint8_t)label[c];
}

static const char *const suffix[UPDATE_FILE_N] = {
        [UPDATE_ROOT] = "root", [UPDATE_VERITY] = "verity", [UPDATE_UKI] = "efi"};
uint32_t box_root_bytes = BOX_ROOT_SMALL;

static size_t size_of(enum update_file f)
{
        return f == UPDATE_ROOT ? box_root_bytes : f == UPDATE_VERITY ? BOX_VERITY_BYTES : BOX_UKI_BYTES;
}

void box_content(const char *version, enum update_file f, struct buf *ret)
{
        const struct siphash_key k = {f + 1, 77};
        uint64_t seed = siphash13(&k, version, strlen(version));
        buf_init(ret, 16u << 20);
        uint8_t *p = buf_reserve(ret, size_of(f));
        assert_non_null(p);
        for (; ret->n < size_of(f); ret->n += MIN(sizeof seed, size_of(f) - ret->n)) {
                seed ^= seed << 13; /* xorshift64: any stream that depends on the version */
                seed ^= seed >> 7;
                seed ^= seed << 17;
                memcpy(p + ret->n, &seed, MIN(sizeof seed, size_of(f) - ret->n));
        }
        assert_false(ret->failed);
}

/* Any hash will do: that of the root's bytes. */
static void roothash_of(const char *version, struct sha256 *ret)
{
        struct buf c;
        box_content(version, UPDATE_ROOT, &c);
        sha256_of(buf_span(&c), ret);
        buf_fini(&c);
}

void box_write(const char *path, const void *p, size_t n)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        const uint8_t *b = p;
        assert_true(fd >= 0);
        while (n) {
                ssize_t w = pwrite(fd, b, n, lseek(fd, 0, SEEK_END));
                assert_true(w > 0);
                b += w;
                n -= (size_t)w;
        }
        close(fd);
}

static void put(int fd, uint64_t at, const void *p, size_t n)
{
        assert_int_equal(pwrite(fd, p, n, (off_t)at), (ssize_t)n);
}

static void disk_fill(const struct box *b, const char *version)
{
        struct gpt g = {.sector = SECTOR,
                        .sectors = DISK_SECTORS,
                        .at = 1,
                        .other = DISK_SECTORS - 1,
                        .first_usable = 34,
                        .last_usable = DISK_SECTORS - 34,
                        .array_lba = 2,
                        .n_entries = 128};
        struct gpt_uuid root, verity;
        struct sha256 hash;
        struct buf c;
        uint8_t sector[SECTOR];
        int fd = open(b->disk, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0 && ftruncate(fd, DISK_SECTORS * SECTOR) == 0);
        for (unsigned i = 0; i < ARRAY_SIZE(layout); i++)
                gpt_entry_put(&g, i, (uint8_t)(i + 1), layout[i].first, layout[i].last, layout[i].label);
        roothash_of(version, &hash);
        gpt_uuids_of_roothash(hash.b, &root, &verity);
        gpt_set_uuid(&g, 1, &root);
        gpt_set_uuid(&g, 2, &verity);
        gpt_header_write(&g, sector);
        put(fd, SECTOR, sector, SECTOR);
        put(fd, g.array_lba * SECTOR, g.array, sizeof g.array);
        gpt_flip(&g, gpt_backup_array_lba(&g));
        gpt_header_write(&g, sector);
        put(fd, g.at * SECTOR, sector, SECTOR);
        put(fd, g.array_lba * SECTOR, g.array, sizeof g.array);
        for (enum update_file f = UPDATE_ROOT; f <= UPDATE_VERITY; f++) {
                box_content(version, f, &c);
                put(fd, (uint64_t)layout[1 + f].first * SECTOR, c.p, c.n);
                buf_fini(&c);
        }
        close(fd);
}

void box_entry(const struct box *b, const char *version, const char *name)
{
        char path[256];
        struct buf c;
        box_content(version, UPDATE_UKI, &c);
        snprintf(path, sizeof path, "%s/EFI/Linux/%s", b->esp, name);
        box_write(path, c.p, c.n);
        buf_fini(&c);
}

/* Key n is the hash of its number: the same in every run. */
static EVP_PKEY *key_of(int n)
{
        struct sha256 seed;
        sha256_of(SPAN(&n, sizeof n), &seed);
        EVP_PKEY *k = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed.b, sizeof seed.b);
        assert_non_null(k);
        return k;
}

void box_make(struct box *b)
{
        char path[160];
        memset(b, 0, sizeof *b);
        snprintf(b->dir, sizeof b->dir, "%s/gh-update-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        assert_non_null(mkdtemp(b->dir));
        snprintf(b->disk, sizeof b->disk, "%s/disk", b->dir);
        snprintf(b->esp, sizeof b->esp, "%s/esp", b->dir);
        snprintf(b->keys, sizeof b->keys, "%s/keys", b->dir);
        snprintf(b->bundle, sizeof b->bundle, "%s/bundle", b->dir);
        snprintf(b->file, sizeof b->file, "%s/bundle.tar", b->dir);
        snprintf(path, sizeof path, "%s/EFI", b->esp);
        assert_true(mkdir(b->esp, 0700) == 0 && mkdir(path, 0700) == 0 && mkdir(b->keys, 0700) == 0 &&
                    mkdir(b->bundle, 0700) == 0);
        snprintf(path, sizeof path, "%s/EFI/Linux", b->esp);
        assert_int_equal(mkdir(path, 0700), 0);
        disk_fill(b, "0.1.0");
        box_entry(b, "0.1.0", "gatehouse_0.1.0.efi");

        EVP_PKEY *k = key_of(1);
        snprintf(path, sizeof path, "%s/release.pem", b->keys);
        FILE *f = fopen(path, "we");
        assert_true(f && PEM_write_PUBKEY(f, k) == 1);
        fclose(f);
        EVP_PKEY_free(k);

        b->job = (struct update_job){.source = b->bundle, .disk = b->disk, .esp = b->esp, .key_dirs = {b->keys}};
        assert_true(version_parse(span_str("0.1.0"), &b->job.running));
        roothash_of("0.1.0", &b->job.roothash);
}

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void)st;
        (void)flag;
        (void)ftw;
        return remove(path);
}

void box_free(struct box *b)
{
        assert_int_equal(nftw(b->dir, rm_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void bundle_write(const struct box *b, const char *name, struct span s)
{
        char path[256];
        snprintf(path, sizeof path, "%s/%s", b->bundle, name);
        box_write(path, s.p, s.n);
}

static void sign(int key, struct span text, uint8_t sig[UPDATE_SIGNATURE_BYTES])
{
        size_t n = UPDATE_SIGNATURE_BYTES;
        EVP_PKEY *k = key_of(key);
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        assert_true(md && EVP_DigestSignInit(md, NULL, NULL, NULL, k) == 1 &&
                    EVP_DigestSign(md, sig, &n, text.p, text.n) == 1);
        EVP_MD_CTX_free(md);
        EVP_PKEY_free(k);
}

void box_bundle(const struct box *b, const char *version, const char *minimum, int key)
{
        struct sha256 sha;
        struct buf m, c;
        uint8_t sig[UPDATE_SIGNATURE_BYTES];
        char hex[65], name[64];
        buf_init(&m, UPDATE_MANIFEST_MAX);
        roothash_of(version, &sha);
        sha256_hex(&sha, hex);
        buf_printf(&m, "gatehouse-update 1\nversion=%s\nminimum=%s\narchitecture=x86-64\nroothash=%s\n", version,
                   minimum, hex);
        for (enum update_file f = UPDATE_ROOT; f < UPDATE_FILE_N; f++) {
                box_content(version, f, &c);
                sha256_of(buf_span(&c), &sha);
                sha256_hex(&sha, hex);
                buf_printf(&m, "%s=%zu %s\n", update_file_names[f], c.n, hex);
                snprintf(name, sizeof name, "gatehouse_%s.%s", version, suffix[f]);
                bundle_write(b, name, buf_span(&c));
                buf_fini(&c);
        }
        sign(key, buf_span(&m), sig);
        bundle_write(b, "manifest", buf_span(&m));
        bundle_write(b, "manifest.sig", SPAN(sig, sizeof sig));
        buf_fini(&m);
}

void box_archive(const struct box *b, const char *version)
{
        char name[UPDATE_FILE_N][64];
        for (unsigned f = 0; f < UPDATE_FILE_N; f++)
                snprintf(name[f], sizeof name[f], "gatehouse_%s.%s", version, suffix[f]);
        const char *const argv[] = {"/bin/tar", "--format=ustar", "-C",    b->bundle, "-cf",   b->file,
                                    "manifest", "manifest.sig",   name[0], name[1],   name[2], NULL};
        assert_int_equal(host_run(argv, 10000, NULL, 0), 0);
}

/* ---------------------------------------------------------------- what would boot */

static bool holds(int fd, uint64_t at, const char *version, enum update_file f)
{
        struct buf c;
        box_content(version, f, &c);
        uint8_t *p = malloc(c.n);
        bool same = p && pread(fd, p, c.n, (off_t)at) == (ssize_t)c.n && memcmp(p, c.p, c.n) == 0;
        free(p);
        buf_fini(&c);
        return same;
}

static bool entry_whole(const struct box *b, const struct boot_entry *e)
{
        char path[256], name[BOOT_ENTRY_NAME_MAX], v[VERSION_STR_MAX];
        struct stat st;
        snprintf(path, sizeof path, "%s/EFI/Linux/%s", b->esp, boot_entry_name(e, name));
        int fd = open(path, O_RDONLY);
        bool whole = fd >= 0 && fstat(fd, &st) == 0 && st.st_size == BOX_UKI_BYTES &&
                     holds(fd, 0, version_str(&e->version, v), UPDATE_UKI);
        close(fd);
        return whole;
}

/* As Linux does it: the primary table counts, the backup is not looked at. */
static bool slot_whole(const struct box *b, const char *version)
{
        uint8_t sector[SECTOR], array[GPT_ARRAY_MAX];
        struct gpt g;
        struct slot s;
        struct sha256 hash;
        int fd = open(b->disk, O_RDONLY);
        roothash_of(version, &hash);
        bool whole =
                fd >= 0 && pread(fd, sector, SECTOR, SECTOR) == SECTOR &&
                gpt_header_parse(SPAN(sector, SECTOR), 1, DISK_SECTORS, &g, NULL) == 0 &&
                pread(fd, array, gpt_array_bytes(&g), (off_t)(g.array_lba * SECTOR)) == (ssize_t)gpt_array_bytes(&g) &&
                gpt_array_parse(&g, SPAN(array, gpt_array_bytes(&g)), NULL) == 0 &&
                slot_running(&g, &hash, &s, NULL) == 0 &&
                holds(fd, disk_partition_at(&g, &s.root), version, UPDATE_ROOT) &&
                holds(fd, disk_partition_at(&g, &s.verity), version, UPDATE_VERITY);
        close(fd);
        return whole;
}

static void entries(const struct box *b, struct esp_entries *ret)
{
        struct esp e;
        struct err err = {0};
        if (esp_open(b->esp, &e, &err) < 0 || esp_list(&e, ret, &err) < 0)
                fail_msg("%s: %s", err.place, err.msg);
        esp_close(&e);
}

bool box_bootable(const struct box *b, const char *version)
{
        struct esp_entries l;
        struct version v;
        entries(b, &l);
        assert_true(version_parse(span_str(version), &v));
        const struct boot_entry *e = esp_find(&l, &v);
        return e && entry_whole(b, e) && slot_whole(b, version);
}

const char *box_boots(const struct box *b, const char *when)
{
        static char v[VERSION_STR_MAX];
        struct esp_entries l;
        entries(b, &l);
        if (l.n == 0)
                fail_msg("%s: no boot entry is left", when);
        version_str(&l.v[0].version, v);
        if (!entry_whole(b, &l.v[0]))
                fail_msg("%s: the boot entry of %s is not whole", when, v);
        if (!slot_whole(b, v))
                fail_msg("%s: the slot of %s is not whole", when, v);
        return v;
}

void box_entries_whole(const struct box *b, const char *when)
{
        struct esp_entries l;
        char v[VERSION_STR_MAX];
        entries(b, &l);
        for (size_t i = 0; i < l.n; i++)
                if (!boot_entry_failed(&l.v[i]) &&
                    (!entry_whole(b, &l.v[i]) || !slot_whole(b, version_str(&l.v[i].version, v))))
                        fail_msg("%s: the entry of %s is there, but would not boot", when, v);
}
