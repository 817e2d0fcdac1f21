/* tests/unit/agent/directory_test.c - a real directory and real inotify events, driven by loop_turn: what is loaded,
 * what is refused, and what a change on disk leads to. */
#include "lib/base.h"

#include "agent/core/store.h"
#include "agent/io/directory.h"
#include "lib/io/log.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define SETTLE_MS 40
#define DEADLINE_MS 10000 /* a load that has not come by then never will */

struct fixture {
        char root[64], dir[80]; /* dir is root/manifests */
        struct loop *loop;
        struct directory *d;
        size_t loads, refusals;
        char names[512];        /* "kind/name ..." of the last good load */
        struct load_errors errs; /* of the last refusal */
};

static void on_load(void *arg, struct object **objs, size_t n, const struct load_errors *errs)
{
        struct fixture *f = arg;
        if (errs) {
                f->refusals++;
                f->errs = *errs;
                return;
        }
        f->loads++;
        size_t at = 0;
        f->names[0] = '\0';
        for (size_t i = 0; i < n; i++) {
                at += (size_t)snprintf(f->names + at, sizeof f->names - at, "%s/%s ", objs[i]->namespace,
                                       objs[i]->name);
                object_free(objs[i]);
        }
}

static void write_file(const struct fixture *f, const char *name, const char *text)
{
        char path[200];
        snprintf(path, sizeof path, "%s/%s", f->dir, name);
        FILE *o = fopen(path, "w");
        assert_non_null(o);
        assert_true(fputs(text, o) >= 0);
        assert_int_equal(fclose(o), 0);
}
static const char *path_of(const struct fixture *f, const char *name)
{
        static char path[2][200];
        static int turn;
        turn ^= 1;
        snprintf(path[turn], sizeof path[turn], "%s/%s", f->dir, name);
        return path[turn];
}
#define CONFIG(name) "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " name "}\n"

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof *f);
        assert_non_null(f);
        snprintf(f->root, sizeof f->root, "/tmp/gh-directory-XXXXXX");
        assert_non_null(mkdtemp(f->root));
        snprintf(f->dir, sizeof f->dir, "%s/manifests", f->root);
        assert_int_equal(mkdir(f->dir, 0700), 0);
        f->loop = loop_new();
        assert_non_null(f->loop);
        *state = f;
        return 0;
}
static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) { return remove(path); }
static int tear_down(void **state)
{
        struct fixture *f = *state;
        directory_free(f->d);
        loop_free(f->loop);
        int r = nftw(f->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(f);
        return r;
}

static void watch(struct fixture *f, unsigned settle_ms)
{
        struct err err;
        f->d = directory_new(f->loop, f->dir, settle_ms, "default", on_load, f, &err);
        assert_non_null(f->d);
}
static uint64_t now_ms(void)
{
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
/* Turns the loop until both counts are reached; more loads than wanted fail. */
static void wait_for(struct fixture *f, size_t loads, size_t refusals)
{
        uint64_t end = now_ms() + DEADLINE_MS;
        while ((f->loads < loads || f->refusals < refusals) && now_ms() < end)
                assert_true(loop_turn(f->loop, 100) >= 0);
        assert_int_equal(f->loads, loads);
        assert_int_equal(f->refusals, refusals);
}
/* Turns the loop for that long: for what must NOT happen. */
static void turn_for(struct fixture *f, uint64_t ms)
{
        for (uint64_t end = now_ms() + ms; now_ms() < end;)
                assert_true(loop_turn(f->loop, 10) >= 0);
}

static void loads_what_it_should(void **state)
{
        struct fixture *f = *state;
        char path[200];
        write_file(f, "b.yaml", CONFIG("b1") "---\n" CONFIG("b2"));
        write_file(f, "a.yml", CONFIG("a"));
        write_file(f, "c.json", "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"c\"}}");
        write_file(f, "list.yaml",
                   "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: l1}}\n"
                   "- {apiVersion: v1, kind: ConfigMap, metadata: {name: l2, namespace: other}}\n");
        write_file(f, "deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n");
        write_file(f, ".hidden.yaml", "not: [yaml");
        write_file(f, "old.yaml~", "not: [yaml");
        write_file(f, "notes.txt", "not: [yaml");
        write_file(f, ".yaml", "not: [yaml");
        snprintf(path, sizeof path, "%s/team", f->dir);
        assert_int_equal(mkdir(path, 0700), 0);
        write_file(f, "team/t.yaml", CONFIG("t"));
        snprintf(path, sizeof path, "%s/team/deep", f->dir);
        assert_int_equal(mkdir(path, 0700), 0);
        write_file(f, "team/deep/d.yaml", "not: [yaml");
        snprintf(path, sizeof path, "%s/.git", f->dir);
        assert_int_equal(mkdir(path, 0700), 0);
        write_file(f, ".git/g.yaml", "not: [yaml");
        assert_int_equal(mkfifo(path_of(f, "fifo.yaml"), 0600), 0); /* opening it must not wait for a writer */
        assert_int_equal(mkdir(path_of(f, "dir.yaml"), 0700), 0);
        assert_int_equal(symlink("a.yml", path_of(f, "z.yaml~")), 0);

        struct object **objs;
        struct load_counts counts;
        size_t n;
        assert_int_equal(directory_load(f->dir, "default", &objs, &n, &counts, &f->errs), 0);
        assert_int_equal(counts.files, 6);
        assert_int_equal(counts.objects, 7);
        assert_int_equal(counts.ignored, 1);
        on_load(f, objs, n, NULL);
        free(objs);
        assert_string_equal(f->names, "default/a default/b1 default/b2 default/c default/l1 other/l2 default/t ");
}

static void refuses_with_places(void **state)
{
        struct fixture *f = *state;
        struct object **objs;
        size_t n;
        assert_int_equal(directory_load(path_of(f, "none"), "default", &objs, &n, NULL, &f->errs), -ENOENT);
        assert_int_equal(f->errs.n, 1);

        write_file(f, "a.yaml", CONFIG("a"));
        write_file(f, "b.yaml", "\n" CONFIG("b") "data: {k: [v]}\n---\n" CONFIG("B"));
        write_file(f, "c.yaml", "a: [\n");
        assert_int_equal(directory_load(f->dir, "default", &objs, &n, NULL, &f->errs), -EINVAL);
        assert_int_equal(f->errs.total, 3);
        assert_string_equal(f->errs.v[0].place, "b.yaml:5: data.k");
        assert_string_equal(f->errs.v[0].msg, "ConfigMap default/b: must be text");
        assert_string_equal(f->errs.v[1].place, "b.yaml:9: metadata");
        assert_string_equal(f->errs.v[2].place, "c.yaml:2:1");

        write_file(f, "b.yaml", CONFIG("a"));
        write_file(f, "c.yaml", "");
        assert_int_equal(directory_load(f->dir, "default", &objs, &n, NULL, &f->errs), -EINVAL);
        assert_int_equal(f->errs.total, 1);
        assert_string_equal(f->errs.v[0].place, "b.yaml:1");
        assert_string_equal(f->errs.v[0].msg, "ConfigMap default/a: already declared at a.yaml:1");

        FILE *o = fopen(path_of(f, "c.yaml"), "w");
        for (int i = 0; i < 15; i++)
                fputs("---\n" CONFIG("B"), o);
        fclose(o);
        assert_int_equal(truncate(path_of(f, "b.yaml"), SOURCE_MAX_FILE_BYTES + 1), 0);
        assert_int_equal(directory_load(f->dir, "default", &objs, &n, NULL, &f->errs), -EINVAL);
        assert_int_equal(f->errs.total, 16);
        assert_int_equal(f->errs.n, SOURCE_MAX_LOAD_ERRORS);
        assert_string_equal(f->errs.v[0].place, "b.yaml");
        assert_string_equal(f->errs.v[0].msg, "file larger than 4 MiB");
}

static void rename_replaces(void **state)
{
        struct fixture *f = *state;
        write_file(f, "a.yaml", CONFIG("a"));
        watch(f, SETTLE_MS);
        wait_for(f, 1, 0);
        assert_string_equal(f->names, "default/a ");
        /* as vi and sed -i do: the new text beside it, then renamed over it; the other name is never read */
        write_file(f, ".a.yaml.swp", "not: [yaml");
        write_file(f, "4913", "x");
        write_file(f, "a.yaml.new", CONFIG("a") "---\n" CONFIG("b"));
        assert_int_equal(rename(path_of(f, "a.yaml"), path_of(f, "a.yaml~")), 0);
        assert_int_equal(rename(path_of(f, "a.yaml.new"), path_of(f, "a.yaml")), 0);
        wait_for(f, 2, 0);
        assert_string_equal(f->names, "default/a default/b ");
        turn_for(f, 3 * SETTLE_MS); /* all of that was one change */
        assert_int_equal(f->loads, 2);
}

static void other_files_change_nothing(void **state)
{
        struct fixture *f = *state;
        watch(f, SETTLE_MS);
        wait_for(f, 1, 0);
        write_file(f, ".a.yaml", CONFIG("a"));
        write_file(f, "a.yaml~", CONFIG("a"));
        write_file(f, "README", "text");
        turn_for(f, 4 * SETTLE_MS);
        assert_int_equal(f->loads, 1);
}

static void half_written_file_waits(void **state)
{
        struct fixture *f = *state;
        watch(f, 100); /* waits for the writer up to 1 s */
        wait_for(f, 1, 0);
        int fd = open(path_of(f, "a.yaml"), O_WRONLY | O_CREAT, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "apiVersion: v1\nkind: Conf", 25), 25);
        write_file(f, "b.yaml", CONFIG("b"));
        turn_for(f, 300);
        assert_int_equal(f->loads + f->refusals, 1); /* settled long ago, but a.yaml is open */
        assert_int_equal(write(fd, "igMap\nmetadata: {name: a}\n", 26), 26);
        close(fd);
        wait_for(f, 2, 0);
        assert_string_equal(f->names, "default/a default/b ");
}

static void hanging_writer_is_not_waited_for_ever(void **state)
{
        struct fixture *f = *state;
        watch(f, SETTLE_MS);
        wait_for(f, 1, 0);
        int fd = open(path_of(f, "a.yaml"), O_WRONLY | O_CREAT, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "a: [", 4), 4);
        wait_for(f, 1, 1);
        assert_string_equal(f->errs.v[0].place, "a.yaml:2:1");
        assert_int_equal(pwrite(fd, CONFIG("a"), strlen(CONFIG("a")), 0), strlen(CONFIG("a")));
        close(fd);
        wait_for(f, 2, 1);
        assert_string_equal(f->names, "default/a ");
}

static void bad_file_then_fixed(void **state)
{
        struct fixture *f = *state;
        write_file(f, "a.yaml", "kind: ConfigMap\n");
        watch(f, SETTLE_MS);
        wait_for(f, 0, 1); /* the first load may be refused too */
        write_file(f, "a.yaml", CONFIG("a"));
        wait_for(f, 1, 1);
        write_file(f, "b.yaml",
                   "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n  - port: eighty\n");
        wait_for(f, 1, 2);
        assert_string_equal(f->errs.v[0].place, "b.yaml:7: spec.ports[0].port");
        assert_string_equal(f->errs.v[0].msg, "Service default/web: must be a whole decimal number");
        assert_string_equal(f->names, "default/a "); /* what was there stays */
        write_file(f, "b.yaml", CONFIG("b"));
        wait_for(f, 2, 2);
        assert_string_equal(f->names, "default/a default/b ");
}

static void deletion(void **state)
{
        struct fixture *f = *state;
        write_file(f, "a.yaml", CONFIG("a"));
        write_file(f, "b.yaml", CONFIG("b"));
        watch(f, SETTLE_MS);
        wait_for(f, 1, 0);
        assert_int_equal(unlink(path_of(f, "a.yaml")), 0);
        wait_for(f, 2, 0);
        assert_string_equal(f->names, "default/b ");
}

static void subdirectories(void **state)
{
        struct fixture *f = *state;
        watch(f, SETTLE_MS);
        wait_for(f, 1, 0);
        assert_int_equal(mkdir(path_of(f, "team"), 0700), 0);
        write_file(f, "team/a.yaml", CONFIG("a")); /* maybe before its watch: the load that sets it finds the file */
        wait_for(f, 2, 0);
        assert_string_equal(f->names, "default/a ");
        turn_for(f, 2 * SETTLE_MS);
        size_t loads = f->loads;
        write_file(f, "team/a.yaml", CONFIG("b"));
        wait_for(f, loads + 1, 0);
        assert_string_equal(f->names, "default/b ");
        assert_int_equal(rename(path_of(f, "team"), path_of(f, ".team")), 0);
        wait_for(f, loads + 2, 0);
        assert_string_equal(f->names, "");
}

/* As the kubelet mounts a ConfigMap: files are links into ..data, itself a link that is renamed. */
static void mounted_config_map(void **state)
{
        struct fixture *f = *state;
        assert_int_equal(mkdir(path_of(f, "..1"), 0700), 0);
        assert_int_equal(mkdir(path_of(f, "..2"), 0700), 0);
        write_file(f, "..1/a.yaml", CONFIG("a"));
        write_file(f, "..2/a.yaml", CONFIG("b"));
        assert_int_equal(symlink("..1", path_of(f, "..data")), 0);
        assert_int_equal(symlink("..data/a.yaml", path_of(f, "a.yaml")), 0);
        watch(f, SETTLE_MS);
        wait_for(f, 1, 0);
        assert_string_equal(f->names, "default/a ");
        assert_int_equal(symlink("..2", path_of(f, "..data_tmp")), 0);
        assert_int_equal(rename(path_of(f, "..data_tmp"), path_of(f, "..data")), 0);
        wait_for(f, 2, 0);
        assert_string_equal(f->names, "default/b ");
}

static void vanished_directory_keeps_the_set(void **state)
{
        struct fixture *f = *state;
        char away[100];
        snprintf(away, sizeof away, "%s/away", f->root);
        write_file(f, "a.yaml", CONFIG("a"));
        watch(f, SETTLE_MS);
        wait_for(f, 1, 0);
        assert_int_equal(rename(f->dir, away), 0);
        wait_for(f, 1, 1);
        assert_string_equal(f->names, "default/a ");
        assert_int_equal(mkdir(f->dir, 0700), 0); /* another directory under the same name */
        write_file(f, "b.yaml", CONFIG("b"));
        uint64_t end = now_ms() + DEADLINE_MS;
        while (strcmp(f->names, "default/b ") != 0 && now_ms() < end)
                assert_true(loop_turn(f->loop, 100) >= 0);
        assert_string_equal(f->names, "default/b ");
        turn_for(f, 2 * SETTLE_MS);
        size_t loads = f->loads;
        write_file(f, "b.yaml", CONFIG("c")); /* and it is watched */
        wait_for(f, loads + 1, 1);
        assert_string_equal(f->names, "default/c ");
}

static void starts_without_the_directory(void **state)
{
        struct fixture *f = *state;
        assert_int_equal(rmdir(f->dir), 0);
        watch(f, SETTLE_MS);
        wait_for(f, 0, 1);
        assert_int_equal(mkdir(f->dir, 0700), 0);
        wait_for(f, 1, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(loads_what_it_should),
                TEST(refuses_with_places),
                TEST(rename_replaces),
                TEST(other_files_change_nothing),
                TEST(half_written_file_waits),
                TEST(hanging_writer_is_not_waited_for_ever),
                TEST(bad_file_then_fixed),
                TEST(deletion),
                TEST(subdirectories),
                TEST(mounted_config_map),
                TEST(vanished_directory_keeps_the_set),
                TEST(starts_without_the_directory),
        };
        log_init("directory_test", LOG_ERROR);
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC); /* refusals are wanted here */
        log_set_fd(null);
        int r = cmocka_run_group_tests(tests, NULL, NULL);
        close(null);
        return r;
}
