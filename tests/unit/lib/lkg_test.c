/* tests/unit/lib/lkg_test.c - the store: what is written comes back, damage of any one file never brings back anything
 * wrong, garbage goes, a crash between two steps leaves the old or the new. */
#include "lib/base.h"
#include "tests/unit/lib/fixture.h"

#include "lib/io/lkg.h"
#include "lib/io/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void)st;
        (void)flag;
        (void)ftw;
        return remove(path);
}

static int setup(void **state)
{
        (void)state;
        log_init("test", LOG_ERROR);
        /* Memory, where there is some: the test is about order and content, not about how long a disk takes. */
        snprintf(dir, sizeof dir, "%s/gh-lkg-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
        (void)state;
        return nftw(dir, rm_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct manifest *sample(uint64_t generation, const char *content)
{
        struct manifest *m = manifest_new(generation);
        assert_int_equal(manifest_add(m, "keys/a", SPAN_LIT("top secret"), true), 0);
        assert_int_equal(manifest_add(m, "l4", span_str(content), false), 0);
        assert_int_equal(manifest_add(m, "policies", SPAN_NULL, false), 0); /* an empty section is one */
        assert_int_equal(manifest_seal(m, NULL), 0);
        return m;
}

static void save(struct lkg *k, uint64_t generation, const char *content)
{
        struct err e;
        struct manifest *m = sample(generation, content);
        assert_int_equal(lkg_save(k, m, &e), 0);
        manifest_put(m);
}

/* Generation of what a fresh process would boot from; 0 = nothing. */
static uint64_t booted(void)
{
        struct lkg *k;
        struct err e;
        struct manifest *m = NULL;
        assert_int_equal(lkg_open(dir, &k, &e), 0);
        int r = lkg_load(k, &m, &e);
        uint64_t g = r == 0 ? m->generation : 0;
        if (r == 0) {
                assert_true(manifest_complete(m));
                assert_true(span_eq_str(SPAN(m->entries[0].blob->p, m->entries[0].blob->n), "top secret"));
        } else {
                assert_int_equal(r, -ENOENT);
        }
        manifest_put(m);
        lkg_close(k);
        return g;
}

static size_t blobs(void)
{
        char path[96];
        size_t n = 0;
        snprintf(path, sizeof path, "%s/blobs", dir);
        DIR *d = opendir(path);
        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));)
                n += e->d_name[0] != '.';
        closedir(d);
        return n;
}

static void test_save_and_load(void **state)
{
        struct lkg *k;
        struct err e;
        (void)state;
        assert_int_equal(booted(), 0);
        assert_int_equal(lkg_open(dir, &k, &e), 0);
        save(k, 1, "one");
        assert_int_equal(booted(), 1);
        save(k, 2, "two");
        assert_int_equal(booted(), 2);
        assert_int_equal(blobs(), 4); /* the key, the empty one, two l4 */
        struct manifest *m;
        assert_int_equal(lkg_load_previous(k, &m, &e), 0);
        assert_int_equal(m->generation, 1);
        manifest_put(m);
        save(k, 3, "three");
        save(k, 4, "four");
        assert_int_equal(booted(), 4);
        assert_int_equal(blobs(), 4); /* one and two are gone */
        struct blob *b = blob_new(SPAN_LIT("four"), false);
        struct blob *got = lkg_blob(k, &b->sha, false);
        assert_non_null(got);
        assert_null(lkg_blob(k, &b->sha, true)); /* stored in clear is not stored as a secret */
        blob_put(got);
        blob_put(b);
        lkg_close(k);
}

/* Every file in the store, damaged in three ways: boot gives a generation that was really saved, whole, or nothing. */
static void damage(const char *path, int how)
{
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        uint8_t c = 0;
        if (how == 0) {
                assert_int_equal(ftruncate(fd, st.st_size / 2), 0);
        } else if (how == 1) {
                off_t at = st.st_size - 1;
                if (st.st_size > 0)
                        assert_int_equal(pread(fd, &c, 1, at), 1);
                c ^= 1;
                assert_int_equal(pwrite(fd, &c, 1, st.st_size ? at : 0), 1);
        } else {
                assert_int_equal(unlink(path), 0);
        }
        close(fd);
}

static size_t list_files(char paths[][512], size_t max)
{
        size_t n = 0;
        static const char *const subs[] = {"", "/blobs"};
        for (size_t s = 0; s < ARRAY_SIZE(subs); s++) {
                char sub[96];
                snprintf(sub, sizeof sub, "%s%s", dir, subs[s]);
                DIR *d = opendir(sub);
                assert_non_null(d);
                for (struct dirent *e; (e = readdir(d));) {
                        if (e->d_name[0] == '.' || e->d_type != DT_REG)
                                continue;
                        assert_true(n < max);
                        snprintf(paths[n++], 512, "%s/%s", sub, e->d_name);
                }
                closedir(d);
        }
        return n;
}

static void test_damage(void **state)
{
        static char paths[32][512];
        (void)state;
        for (size_t i = 0;; i++)
                for (int how = 0; how < 3; how++) {
                        struct lkg *k;
                        struct err e;
                        nftw(dir, rm_one, 16, FTW_DEPTH | FTW_PHYS);
                        assert_int_equal(lkg_open(dir, &k, &e), 0);
                        save(k, 1, "one");
                        save(k, 2, "two");
                        lkg_close(k);
                        size_t n = list_files(paths, ARRAY_SIZE(paths));
                        assert_true(n >= 7); /* 2 slots, key, 4 blobs */
                        if (i == n)
                                return;
                        damage(paths[i], how);
                        uint64_t got = booted();
                        /* Which file decides what may come back.  Shared blobs and the key take both slots with them.
                         */
                        bool slot = strstr(paths[i], "manifest.") != NULL;
                        assert_true(slot ? got > 0 : got <= 2);
                        assert_int_equal(lkg_open(dir, &k, &e), 0); /* whatever happened, the next save heals it */
                        save(k, 3, "three");
                        save(k, 4, "four");
                        lkg_close(k);
                        assert_int_equal(booted(), 4);
                }
}

/* What a crash may leave: temporary files, a slot written and `current` not yet switched. */
static void test_crash_leftovers(void **state)
{
        struct lkg *k;
        struct err e;
        char path[128], to[128];
        (void)state;
        assert_int_equal(lkg_open(dir, &k, &e), 0);
        save(k, 1, "one");
        snprintf(path, sizeof path, "%s/current", dir);
        char target[32] = "";
        assert_true(readlink(path, target, sizeof target - 1) > 0);
        save(k, 2, "two");
        assert_int_equal(unlink(path), 0); /* back to before the switch */
        assert_int_equal(symlink(target, path), 0);
        assert_int_equal(booted(), 1);
        snprintf(to, sizeof to, "%s/current.tmp", dir);
        assert_int_equal(symlink("manifest.a", to), 0);
        snprintf(to, sizeof to, "%s/blobs/0123.tmp", dir);
        close(open(to, O_WRONLY | O_CREAT, 0600));
        save(k, 3, "three");
        assert_int_equal(booted(), 3);
        assert_int_not_equal(access(to, F_OK), 0); /* swept */
        assert_int_equal(unlink(path), 0);         /* no link at all: the first slot that is whole */
        assert_true(booted() > 0);
        lkg_close(k);
}

static void test_host_key(void **state)
{
        struct lkg *k;
        struct err e;
        char path[128];
        struct stat st;
        (void)state;
        assert_int_equal(lkg_open(dir, &k, &e), 0);
        save(k, 1, "one");
        lkg_close(k);
        snprintf(path, sizeof path, "%s/host.key", dir);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, 32);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(booted(), 1);
        assert_int_equal(truncate(path, 31), 0);
        assert_int_equal(booted(), 0); /* a new key opens nothing */
        assert_int_equal(lkg_open(dir, &k, &e), 0);
        save(k, 2, "two");
        assert_int_equal(booted(), 2);
        lkg_close(k);
}

/* Hands over what systemd would: n bytes as the credential host.key; NULL: none. */
static void credential(const void *bytes, size_t n)
{
        char path[128];
        snprintf(path, sizeof path, "%s/credentials", dir);
        (void)mkdir(path, 0700); /* there already, the second time */
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", path, 1), 0);
        snprintf(path, sizeof path, "%s/credentials/host.key", dir);
        FILE *f = bytes ? fopen(path, "wb") : NULL;
        if (!bytes) {
                (void)unlink(path);
                assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
                return;
        }
        assert_non_null(f);
        assert_int_equal(fwrite(bytes, 1, n, f), n);
        assert_int_equal(fclose(f), 0);
}

/* A key that is handed over is used and not stored; while it is away, all but the secrets is there and nothing is lost. */
static void test_given_key(void **state)
{
        static const uint8_t key[32] = "0123456789abcdef0123456789abcde", other[32] = {1};
        struct lkg *k;
        struct err e;
        struct manifest *m;
        char path[128];
        (void)state;
        credential(key, sizeof key);
        assert_int_equal(lkg_open(dir, &k, &e), 0);
        save(k, 1, "one");
        save(k, 2, "two");
        lkg_close(k);
        snprintf(path, sizeof path, "%s/host.key", dir);
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_equal(booted(), 2);

        credential("locked", 6);
        size_t before = blobs();
        assert_int_equal(lkg_open(dir, &k, &e), 0);
        assert_int_equal(lkg_load(k, &m, &e), 0);
        assert_true(m->locked);
        assert_true(manifest_complete(m));
        assert_int_equal(m->generation, 2);
        assert_null(manifest_find(m, "keys/a"));
        assert_non_null(manifest_find(m, "l4"));
        struct manifest *full = sample(2, "two");
        assert_memory_not_equal(&m->hash, &full->hash, sizeof m->hash); /* an agent has to send it */
        assert_int_equal(lkg_save(k, full, &e), -ENOKEY);
        assert_non_null(strstr(e.msg, "locked"));
        assert_null(lkg_blob(k, &full->entries[0].sha, true));
        manifest_put(full);
        manifest_put(m);
        lkg_close(k);
        assert_int_equal(blobs(), before);

        credential(key, sizeof key);
        assert_int_equal(booted(), 2); /* as if nothing had been */
        credential(other, sizeof other);
        assert_int_equal(booted(), 0);
        credential(NULL, 0);
}

static void test_trials(void **state)
{
        struct lkg *k;
        struct err e;
        char path[128];
        struct sha256 one = {{1}}, two = {{2}};
        (void)state;
        assert_int_equal(lkg_open(dir, &k, &e), 0);
        for (int i = 0; i < LKG_CRASHES; i++)
                assert_false(lkg_trial_begin(k, &one, 1000 + i));
        assert_true(lkg_trial_begin(k, &one, 1003));
        assert_true(lkg_trial_begin(k, &one, 1000 + LKG_CRASH_WINDOW_S));
        assert_false(lkg_trial_begin(k, &one, 1001 + LKG_CRASH_WINDOW_S)); /* long ago: the count begins anew */
        assert_false(lkg_trial_begin(k, &one, 1001 + LKG_CRASH_WINDOW_S));
        assert_false(lkg_trial_begin(k, &two, 1001 + LKG_CRASH_WINDOW_S)); /* another one */
        for (int i = 0; i < LKG_CRASHES; i++)
                assert_false(lkg_trial_begin(k, &one, 2000));
        assert_false(lkg_trial_begin(k, &one, 1999)); /* the clock was set back */
        for (int i = 1; i < LKG_CRASHES; i++)
                assert_false(lkg_trial_begin(k, &one, 1999));
        assert_true(lkg_trial_begin(k, &one, 1999));
        lkg_trial_end(k);
        lkg_trial_end(k);
        for (int i = 0; i < LKG_CRASHES; i++)
                assert_false(lkg_trial_begin(k, &one, 3000));
        snprintf(path, sizeof path, "%s/trying", dir);
        FILE *f = fopen(path, "r+b");
        assert_non_null(f);
        assert_int_equal(fputc('x', f), 'x'); /* damaged: no note at all */
        assert_int_equal(fclose(f), 0);
        assert_false(lkg_trial_begin(k, &one, 3000));
        lkg_close(k);
}

static void test_cannot_open(void **state)
{
        struct lkg *k;
        struct err e = {0};
        (void)state;
        assert_true(lkg_open("/proc/none/store", &k, &e) < 0);
        assert_string_equal(e.place, "/proc/none/store");
        assert_true(e.msg[0]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {T(test_save_and_load), T(test_damage), T(test_crash_leftovers),
                                           T(test_host_key), T(test_given_key), T(test_trials), T(test_cannot_open)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
