/* tests/unit/lib/dpclient_store_test.c - booting from last known good: which manifest, whose store, what a damaged one or a
 * boot that keeps crashing leads to.  A real store on disk; each step waits for what must happen. */
#include "lib/base.h"
#include "tests/unit/lib/scripted_agent.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_boot_from_store(void **state)
{
        struct bench *b = *state;
        struct world w;
        struct manifest *m = bench_start(b, &w);
        agent_endpoints(b, &w, 6, 66);
        UNTIL(b, b->endpoints == 1);
        agent_kill(b);
        dp_kill(b); /* writes what is due */

        dp_make(b, true); /* no agent anywhere */
        assert_int_equal(b->activated, 2);
        assert_int_equal(b->current->generation, 7);
        assert_int_equal(bench_last_octet(b), 66); /* with the endpoints that came beside the manifest */
        assert_memory_equal(model_key(b->current, "default/cert")->pem.data, "PRIVATE KEY BYTES", 17);
        manifest_put(m);

        dpclient_start(b->dp);
        agent_listen(b);
        agent_greet(b);
        m = world_manifest(&w); /* what the agent has now is just what we serve */
        assert_memory_equal(b->hello->active_hash.data, m->hash.b, SHA256_BYTES);
        agent_manifest(b, m);
        UNTIL(b, b->n[FRAME_ACTIVE] == 2);
        assert_int_equal(b->activated, 2);
        manifest_put(m);
        world_fini(&w);
}

/* Flips one bit in the middle of a file. */
static void flip(const char *dir, const char *name)
{
        char path[256];
        uint8_t c;
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", dir, name);
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(pread(fd, &c, 1, st.st_size / 2), 1);
        c ^= 0x10;
        assert_int_equal(pwrite(fd, &c, 1, st.st_size / 2), 1);
        close(fd);
}

static void test_damaged_store(void **state)
{
        struct bench *b = *state;
        struct world w;
        struct manifest *m = bench_start(b, &w);
        dpclient_flush(b->dp);
        w.generation = 8;
        w.redirect->redirect->status = 308;
        struct manifest *m2 = world_manifest(&w);
        agent_push(b, m2);
        dpclient_flush(b->dp);
        agent_kill(b);
        dp_kill(b);

        char path[300], hex[65];
        sha256_hex(&manifest_find(m2, "gateway/default/web")->sha, hex);
        snprintf(path, sizeof path, "blobs/%s", hex);
        flip(b->state, path); /* only the second manifest has it */
        dp_make(b, true);
        assert_int_equal(b->current->generation, 7);
        agent_listen(b); /* the damaged blob is asked for again */
        dpclient_start(b->dp);
        agent_greet(b);
        agent_push(b, m2);
        assert_int_equal(b->need->n_sha256, 1);
        dpclient_flush(b->dp);
        agent_kill(b);
        dp_kill(b);

        dp_make(b, true);
        assert_int_equal(b->current->generation, 8);
        dp_kill(b);
        snprintf(path, sizeof path, "%s/current", b->state);
        char target[32] = "";
        assert_true(readlink(path, target, sizeof target - 1) > 0);
        flip(b->state, target); /* the manifest itself: the other slot */
        dp_make(b, true);
        assert_int_equal(b->current->generation, 7);
        dp_kill(b);

        b->refuse_generation = 7; /* whole, but not for this program: the other slot, here damaged */
        struct err e = {0};
        struct dpclient_conf conf = {
                .state_dir = b->state, .name = "shard-1", .pool = "default", .role = CONTROL__ROLE__ROLE_L7};
        assert_int_equal(dpclient_new(b->loop, &conf, &dp_ops, b, &b->dp, &e), 0);
        assert_int_equal(dpclient_boot(b->dp, &e), -EINVAL);
        assert_non_null(strstr(e.msg, "not this generation"));
        dp_kill(b);
        flip(b->state, target); /* and here whole */
        b->refuse_generation = 8;
        dp_make(b, true);
        assert_int_equal(b->current->generation, 7);
        b->refuse_generation = 0;
        dp_kill(b);

        flip(b->state, target);
        flip(b->state, "manifest.a");
        flip(b->state, "manifest.b"); /* one of them twice: whole again, the other damaged */
        dp_make(b, true);
        manifest_put(m);
        manifest_put(m2);
        world_fini(&w);
}

/* A start from the store that is cut off by a signal, seen from the next one. */
static void crash_after_boot(struct bench *b)
{
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                dp_make(b, true);
                _exit(0); /* nothing is written, nothing is tidied up */
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static bool on_trial(struct bench *b)
{
        char path[128];
        snprintf(path, sizeof path, "%s/trying", b->state);
        return access(path, F_OK) == 0;
}

static void test_crash_loop(void **state)
{
        struct bench *b = *state;
        struct world w;
        struct manifest *good = bench_start(b, &w);
        dpclient_flush(b->dp);
        w.generation = 8;
        w.redirect->redirect->status = 308;
        struct manifest *bad = world_manifest(&w);
        agent_push(b, bad);
        agent_kill(b);
        dp_kill(b);
        for (int i = 0; i < 5; i++) { /* an orderly end is no crash */
                dp_make(b, true);
                assert_int_equal(b->current->generation, 8);
                assert_true(on_trial(b));
                dp_kill(b);
                assert_false(on_trial(b));
        }
        for (int i = 0; i < 2; i++)
                crash_after_boot(b);
        b->trial_ms = 1;
        dp_make(b, true); /* the third one lives, so the count begins anew */
        assert_int_equal(b->current->generation, 8);
        UNTIL(b, !on_trial(b));
        dp_kill(b);
        b->trial_ms = 0;

        for (int i = 0; i < 3; i++)
                crash_after_boot(b);
        dp_make(b, true);
        assert_int_equal(b->current->generation, 7);
        agent_listen(b);
        dpclient_start(b->dp);
        agent_greet(b);
        agent_manifest(b, bad);
        UNTIL(b, b->n[FRAME_NACK] == 1);
        assert_memory_equal(b->nack->hash.data, bad->hash.b, SHA256_BYTES);
        assert_int_equal(b->nack->stage, CONTROL__NACK_STAGE__NACK_INTERNAL);
        assert_non_null(strstr(b->nack->reason, "crash loop"));
        assert_false(b->nack->retryable);
        assert_int_equal(b->current->generation, 7);
        agent_kill(b);
        dp_kill(b);

        dp_make(b, true); /* it stays with the one that lived, and takes the other from an agent in its next life */
        assert_int_equal(b->current->generation, 7);
        agent_listen(b);
        dpclient_start(b->dp);
        agent_greet(b);
        agent_push(b, bad);
        assert_int_equal(b->current->generation, 8);
        manifest_put(good);
        manifest_put(bad);
        world_fini(&w);
}

/* With nothing else in the store it is tried again, and the agent may send it. */
static void test_crash_loop_of_the_only_one(void **state)
{
        struct bench *b = *state;
        struct world w;
        struct manifest *m = bench_start(b, &w);
        agent_kill(b);
        dp_kill(b);
        for (int i = 0; i < 4; i++)
                crash_after_boot(b);
        dp_make(b, true);
        assert_int_equal(b->current->generation, 7);
        manifest_put(m);
        world_fini(&w);
}

/* A store is one data plane's: nobody else boots from it or writes to it. */
static void test_store_of_another(void **state)
{
        static const struct {
                const char *name, *pool, *says;
                Control__Role role;
        } rows[] = {{"shard-1", "other", "pool=other", CONTROL__ROLE__ROLE_L7},
                    {"shard-1", "default", "role=l4", CONTROL__ROLE__ROLE_L4},
                    {"shard-2", "default", "name=shard-2", CONTROL__ROLE__ROLE_L7}};
        struct bench *b = *state;
        struct world w;
        struct manifest *m = bench_start(b, &w);
        agent_kill(b);
        dp_kill(b);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct err e = {0};
                struct dpclient_conf conf = {
                        .state_dir = b->state, .name = rows[i].name, .pool = rows[i].pool, .role = rows[i].role};
                b->current = b->pending = NULL;
                assert_int_equal(dpclient_new(b->loop, &conf, &dp_ops, b, &b->dp, &e), 0);
                assert_int_equal(dpclient_boot(b->dp, &e), -EPERM);
                if (!strstr(e.msg, rows[i].says) || !strstr(e.msg, "role=l7 pool=default name=shard-1"))
                        fail_msg("%s", e.msg);
                assert_null(b->current);
                dp_kill(b);
        }
        dp_make(b, true);
        assert_int_equal(b->current->generation, 7);
        manifest_put(m);
        world_fini(&w);
}

static void test_no_secret_on_disk_in_clear(void **state)
{
        struct bench *b = *state;
        struct world w;
        struct manifest *m = bench_start(b, &w);
        dpclient_flush(b->dp);
        char path[300], hex[65];
        sha256_hex(&manifest_find(m, "keys/default")->sha, hex);
        snprintf(path, sizeof path, "%s/blobs/%s.enc", b->state, hex);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        uint8_t buf[512];
        size_t n = fread(buf, 1, sizeof buf, f);
        fclose(f);
        assert_true(n > 32);
        assert_null(memmem(buf, n, "PRIVATE", 7));
        struct stat st;
        snprintf(path, sizeof path, "%s/host.key", b->state);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(stat(b->state, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
        manifest_put(m);
        world_fini(&w);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
        const struct CMUnitTest tests[] = {
                T(test_boot_from_store),
                T(test_damaged_store),
                T(test_crash_loop),
                T(test_crash_loop_of_the_only_one),
                T(test_store_of_another),
                T(test_no_secret_on_disk_in_clear),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
