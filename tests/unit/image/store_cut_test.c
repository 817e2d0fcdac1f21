/* tests/unit/image/store_cut_test.c - stored configurations: kept, confirmed, taken back; and the power goes before every
 * single call that changes the disk: what is current afterwards is whole, and the old or the new one.
 * Linked with --wrap: a process of its own does the work and ends at the N-th call, for N = 1, 2 ... until it gets through. */
#include "lib/base.h"
#include "image/io/keys.h"
#include "image/io/path.h"
#include "image/io/store.h"
#include "lib/io/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int cut_at = -1, calls; /* -1: the power stays */

static void step(void)
{
        if (cut_at >= 0 && calls++ == cut_at)
                _exit(77);
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
        step();
        return __real_rename(from, to);
}
int __real_symlink(const char *to, const char *path);
int __wrap_symlink(const char *to, const char *path);
int __wrap_symlink(const char *to, const char *path)
{
        step();
        return __real_symlink(to, path);
}
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __wrap_unlink(const char *path)
{
        step();
        return __real_unlink(path);
}
int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode)
{
        step();
        return __real_mkdir(path, mode);
}
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
        step();
        return __real_fsync(fd);
}
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n)
{
        step();
        return __real_write(fd, p, n);
}
int __real_remove(const char *path);
int __wrap_remove(const char *path);
int __wrap_remove(const char *path)
{
        step();
        return __real_remove(path);
}

static char root[64];
static struct host h = {.root = root, .daemons = "", .systemctl = ""};

static int fresh(void **state)
{
        struct err e;
        struct keys_status keys;
        char dir[HOST_PATH_MAX];
        (void)state;
        int r = path_remove_tree(host_path(&h, dir, "/var/lib/gatehouse/config"), &e);
        keys_status_read(&h, &keys);
        if (r == 0 && keys.state == KEYS_NONE)
                keys_open(&h, &keys);
        return r < 0 || keys.state != KEYS_PLAIN ? -1 : 0;
}

static void put(struct seed_copy *s, const char *text)
{
        static const struct seed_file manifests[] = {{"a.yaml", {(const uint8_t *)"kind: A", 7}}};
        seed_copy_init(s);
        s->cfg = span_str(text);
        s->source = FROM_ESP;
        s->seed = (struct seed){.kubeconfig = span_str(text), .manifests = manifests, .n_manifests = 1};
        seed_copy_digest(s, s->seen[FROM_ESP]);
}

static void store(const char *text)
{
        struct seed_copy s;
        struct err e = {0};
        put(&s, text);
        if (store_propose(&h, &s, &e) < 0 || store_commit(&h, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        seed_copy_fini(&s);
}

/* The text of a slot, "" when it is empty; a slot that is there must be whole. */
static const char *text_of(enum store_slot slot)
{
        static char text[64];
        struct seed_copy s;
        struct err e = {0};
        seed_copy_init(&s);
        int r = store_load(&h, slot, &s, &e);
        text[0] = '\0';
        if (r == 0) {
                snprintf(text, sizeof text, "%.*s", SPAN_FMT(s.cfg));
                assert_true(span_eq(s.cfg, s.seed.kubeconfig)); /* written together */
                assert_int_equal(s.seed.n_manifests, 1);
                assert_int_equal(s.source, FROM_ESP);
                char digest[65];
                seed_copy_digest(&s, digest);
                assert_string_equal(digest, s.seen[FROM_ESP]);
        } else if (r != -ENOENT) {
                fail_msg("%s: %s", e.place, e.msg);
        }
        seed_copy_fini(&s);
        return text;
}

static size_t directories(void)
{
        char path[HOST_PATH_MAX];
        size_t n = 0;
        for (unsigned i = 1; i < 1000; i++) {
                struct stat st;
                n += stat(host_path(&h, path, "/var/lib/gatehouse/config/%u", i), &st) == 0;
        }
        return n;
}

static void kept_and_swept(void **state)
{
        struct seed_copy s;
        struct err e = {0};
        (void)state;
        assert_string_equal(text_of(STORE_CURRENT), "");
        assert_int_equal(store_withdraw(&h, &e), 0); /* nothing there: fine */
        assert_int_equal(store_commit(&h, &e), -ENOENT);
        store("one");
        store("two");
        store("three");
        assert_string_equal(text_of(STORE_CURRENT), "three");
        assert_string_equal(text_of(STORE_PREVIOUS), "two");
        assert_int_equal(directories(), 2);
        put(&s, "four");
        assert_int_equal(store_propose(&h, &s, &e), 0);
        seed_copy_fini(&s);
        assert_string_equal(text_of(STORE_CANDIDATE), "four");
        assert_string_equal(text_of(STORE_CURRENT), "three");
        assert_int_equal(store_withdraw(&h, &e), 0);
        assert_false(store_has(&h, STORE_CANDIDATE));
        assert_int_equal(directories(), 2);
}

/* Changes "old" to "new"; the exit status says whether the power lasted. */
static int change_with_cut(int at)
{
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                struct seed_copy s;
                struct err e;
                put(&s, "new");
                cut_at = at;
                int r = store_propose(&h, &s, &e);
                if (r == 0)
                        r = store_commit(&h, &e);
                _exit(r < 0 ? 1 : 0);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void power_cuts(void **state)
{
        int rc = 77, n = 0;
        bool seen_old = false, seen_new = false;
        for (; rc == 77 && n < 500; n++) {
                struct err e = {0};
                assert_int_equal(fresh(state), 0);
                store("older");
                store("old");
                rc = change_with_cut(n);
                char now[64];
                snprintf(now, sizeof now, "%s", text_of(STORE_CURRENT));
                bool is_old = strcmp(now, "old") == 0, is_new = strcmp(now, "new") == 0;
                if (!is_old && !is_new)
                        fail_msg("cut before call %d: current is \"%s\"", n, now);
                seen_old |= is_old;
                seen_new |= is_new;
                const char *before = text_of(STORE_PREVIOUS);
                assert_true(strcmp(before, "older") == 0 || strcmp(before, "old") == 0);
                assert_int_equal(store_withdraw(&h, &e), 0); /* what a boot does */
                assert_string_equal(text_of(STORE_CURRENT), now);
                assert_int_equal(directories(), strcmp(text_of(STORE_PREVIOUS), now) == 0 ? 1 : 2);
                store("next"); /* and life goes on */
                assert_string_equal(text_of(STORE_CURRENT), "next");
        }
        assert_int_equal(rc, 0);
        assert_true(seen_old && seen_new);
        assert_true(n > 20); /* that many calls there are at least, or the wraps wrap nothing */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(kept_and_swept, fresh),
                cmocka_unit_test_setup(power_cuts, fresh),
        };
        log_init("test", LOG_ERROR);
        /* Memory, where there is some: the test is about order and content, not about how long a disk takes. */
        snprintf(root, sizeof root, "%s/gh-store-test-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        if (!mkdtemp(root))
                return 1;
        int r = cmocka_run_group_tests_name("image-store", tests, NULL, NULL);
        struct err e;
        return path_remove_tree(root, &e) < 0 ? 1 : r;
}
