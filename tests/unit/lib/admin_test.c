/* tests/unit/lib/admin_test.c - questions and answers over a real socket: the daemon's loop runs here, the asker (which
 * blocks) in a thread. */
#include "lib/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "lib/io/admin.h"
#include "lib/io/random.h"
#include "lib/io/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct ask {
        const char *path, *name;
        const char *argv[4];
        size_t argc;
        struct loop *loop;
        atomic_bool done;
        char *json;
        struct err e;
        int r;
};

static int q_status(void *arg, char *const *argv, size_t argc, struct json *out, struct err *e)
{
        (void)e;
        json_obj(out);
        json_key(out, "daemon");
        json_str(out, arg);
        json_key(out, "args");
        json_arr(out);
        for (size_t i = 0; i < argc; i++)
                json_str(out, argv[i]);
        json_end(out);
        json_end(out);
        return 0;
}
static int q_fail(void *arg, char *const *argv, size_t argc, struct json *out, struct err *e)
{
        (void)arg;
        (void)argv;
        (void)argc;
        json_obj(out); /* half an answer is dropped */
        return err_set(e, ENOENT, "route x", "not there");
}
static int q_big(void *arg, char *const *argv, size_t argc, struct json *out, struct err *e)
{
        (void)arg;
        (void)argv;
        (void)argc;
        (void)e;
        json_arr(out);
        for (uint64_t i = 0; i < 200000; i++)
                json_u64(out, i);
        json_end(out);
        return 0;
}
static int q_too_big(void *arg, char *const *argv, size_t argc, struct json *out, struct err *e)
{
        (void)arg;
        (void)argv;
        (void)argc;
        (void)e;
        char *s = malloc(ADMIN_MAX_REPLY_BYTES + 1);
        memset(s, 'a', ADMIN_MAX_REPLY_BYTES);
        s[ADMIN_MAX_REPLY_BYTES] = 0;
        json_str(out, s);
        free(s);
        return 0;
}
static const struct admin_query queries[] = {{"status", "what runs", q_status},
                                             {"fail", "fails", q_fail},
                                             {"big", "many frames", q_big},
                                             {"huge", "over the limit", q_too_big},
                                             {NULL, NULL, NULL}};

static void *ask_thread(void *arg)
{
        struct ask *a = arg;
        a->r = admin_ask(a->path, a->name, a->argv, a->argc, 20000, &a->json, &a->e);
        atomic_store(&a->done, true);
        loop_wake(a->loop);
        return NULL;
}

static char path[100];
static struct loop *loop;
static struct admin *admin;

static int setup(void **state)
{
        struct err e;
        char dir[64] = "/tmp/gh-admin-XXXXXX";
        (void)state;
        log_init("test", LOG_ERROR);
        map_seed_random();
        if (!mkdtemp(dir))
                return -1;
        snprintf(path, sizeof path, "%s/admin.sock", dir);
        loop = loop_new();
        return admin_new(loop, path, NULL, 0, queries, (void *)"test", &admin, &e);
}

static int teardown(void **state)
{
        (void)state;
        admin_free(admin);
        loop_free(loop);
        if (access(path, F_OK) == 0)
                return -1; /* the socket file must be gone */
        *strrchr(path, '/') = 0;
        return rmdir(path);
}

static void ask(struct ask *a)
{
        pthread_t t;
        a->path = path;
        a->loop = loop;
        assert_int_equal(pthread_create(&t, NULL, ask_thread, a), 0);
        while (!atomic_load(&a->done))
                assert_true(loop_turn(loop, 1000) >= 0);
        assert_int_equal(pthread_join(t, NULL), 0);
}

static void test_answers(void **state)
{
        struct ask a = {.name = "status", .argv = {"x", "y\"z"}, .argc = 2};
        (void)state;
        ask(&a);
        assert_int_equal(a.r, 0);
        assert_string_equal(a.json, "{\"daemon\":\"test\",\"args\":[\"x\",\"y\\\"z\"]}");
        free(a.json);
        a = (struct ask){.name = "help"};
        ask(&a);
        assert_int_equal(a.r, 0);
        assert_non_null(strstr(a.json, "\"status\":\"what runs\""));
        assert_non_null(strstr(a.json, "\"help\":"));
        free(a.json);
}

static void test_errors(void **state)
{
        struct ask a = {.name = "fail"};
        (void)state;
        ask(&a);
        assert_true(a.r < 0);
        assert_string_equal(a.e.msg, "route x: not there");
        a = (struct ask){.name = "nonsense"};
        ask(&a);
        assert_true(a.r < 0);
        assert_non_null(strstr(a.e.msg, "no such query"));
        a = (struct ask){.name = "huge"};
        ask(&a);
        assert_true(a.r < 0);
        assert_non_null(strstr(a.e.msg, "over"));
        struct err e;
        char *json;
        assert_true(admin_ask("/nonexistent/sock", "status", NULL, 0, 100, &json, &e) < 0);
        assert_string_equal(e.place, "/nonexistent/sock");
}

static void test_many_frames(void **state)
{
        struct ask a = {.name = "big"};
        (void)state;
        ask(&a);
        assert_int_equal(a.r, 0);
        assert_true(strlen(a.json) > 1000000);
        assert_string_equal(a.json + strlen(a.json) - 8, ",199999]");
        free(a.json);
}

/* Something that is no gatectl: it is dropped, the socket goes on answering. */
static void test_garbage(void **state)
{
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        (void)state;
        snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
        assert_int_equal(write(fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
        char c;
        ssize_t n;
        for (int i = 0; (n = recv(fd, &c, 1, MSG_DONTWAIT)) < 0 && errno == EAGAIN; i++) {
                assert_true(i < 1000);
                assert_true(loop_turn(loop, 5) >= 0);
        }
        assert_true(n == 0 || errno == ECONNRESET);
        close(fd);
        struct ask a = {.name = "status"};
        ask(&a);
        assert_int_equal(a.r, 0);
        free(a.json);
}

/* Past the connection limit newcomers are closed at once; when one leaves there is room again. */
static void test_connection_limit(void **state)
{
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        int fd[ADMIN_MAX_CONNECTIONS];
        (void)state;
        snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
        for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
                fd[i] = socket(AF_UNIX, SOCK_STREAM, 0);
                assert_int_equal(connect(fd[i], (struct sockaddr *)&sa, sizeof sa), 0);
                assert_true(loop_turn(loop, 5) >= 0);
        }
        struct ask a = {.name = "status"};
        ask(&a);
        assert_true(a.r < 0);
        close(fd[0]);
        assert_true(loop_turn(loop, 50) >= 0);
        a = (struct ask){.name = "status"};
        ask(&a);
        assert_int_equal(a.r, 0);
        free(a.json);
        for (size_t i = 1; i < ARRAY_SIZE(fd); i++)
                close(fd[i]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {T(test_answers), T(test_errors), T(test_many_frames), T(test_garbage),
                                           T(test_connection_limit)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
