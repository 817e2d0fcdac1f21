/* tests/unit/lib_io/log_test.c - one line per event, escaped values, levels, rate limit. */
#include "lib/base.h"
#include "lib/io/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static int pipe_fds[2];

static size_t take(char *buf, size_t n)
{
        ssize_t r = read(pipe_fds[0], buf, n - 1);
        buf[r > 0 ? r : 0] = 0;
        return r > 0 ? (size_t)r : 0;
}

static int setup(void **state)
{
        (void)state;
        assert_int_equal(pipe2(pipe_fds, O_NONBLOCK), 0);
        log_set_fd(pipe_fds[1]);
        log_init("testd", LOG_INFO);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        log_set_fd(STDERR_FILENO);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        return 0;
}

static void test_line(void **state)
{
        char got[2048];
        (void)state;
        log_info("started", "port=%d name=%s", 80, LOG_ESC("a b\n\"x\""));
        assert_true(take(got, sizeof got) > 0);
        assert_non_null(strstr(got, " level=info daemon=testd event=started port=80 name=\"a b\\x0a\\\"x\\\"\"\n"));
        assert_int_equal(strncmp(got, "ts=20", 5), 0);
        assert_ptr_equal(strchr(got, '\n'), got + strlen(got) - 1); /* exactly one line */
        log_debug("hidden", "x=%d", 1);
        assert_int_equal(take(got, sizeof got), 0);
}

static void test_long_line_is_cut(void **state)
{
        char got[4096], big[3000];
        (void)state;
        memset(big, 'a', sizeof big - 1);
        big[sizeof big - 1] = 0;
        log_warn("big", "v=%s", big);
        size_t n = take(got, sizeof got);
        assert_true(n <= 1024);
        assert_int_equal(got[n - 1], '\n');
}

static void test_escape(void **state)
{
        static const struct {
                const char *name;
                struct span in;
                const char *want;
        } cases[] = {
                { "plain stays", SPAN_LIT("default/web:80"), "default/web:80" },
                { "empty is quoted", SPAN_LIT(""), "\"\"" },
                { "equals sign is quoted", SPAN_LIT("a=b"), "\"a=b\"" },
                { "NUL and high bytes", SPAN_LIT("a\0\xff"), "\"a\\x00\\xff\"" },
                { "backslash", SPAN_LIT("a\\ b"), "\"a\\\\ b\"" },
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const char *got = log_esc(cases[i].in);
                if (strcmp(got, cases[i].want) != 0)
                        fail_msg("%s: got %s", cases[i].name, got);
        }
        char big[1000];
        memset(big, '\n', sizeof big);
        assert_true(strlen(log_esc(SPAN(big, sizeof big))) < 256);
}

static void test_rate_limit(void **state)
{
        struct log_limit l = { 0 };
        uint32_t suppressed = 99, permitted = 0;
        (void)state;
        for (int i = 0; i < 10; i++)
                permitted += log_permit(&l, 3, 3600000, &suppressed);
        assert_int_equal(permitted, 3);
        assert_int_equal(suppressed, 0);
        l.window_start_ms = 1; /* as if the window had begun long ago */
        assert_true(log_permit(&l, 3, 1, &suppressed));
        assert_int_equal(suppressed, 7);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_line, setup, teardown),
                cmocka_unit_test_setup_teardown(test_long_line_is_cut, setup, teardown),
                cmocka_unit_test(test_escape),
                cmocka_unit_test(test_rate_limit),
        };
        return cmocka_run_group_tests_name("lib-io-log", tests, NULL, NULL);
}
