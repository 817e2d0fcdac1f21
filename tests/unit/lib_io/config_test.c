/* tests/unit/lib_io/config_test.c - strict reading of libconfig files: values, bounds, places of errors, unknown settings. */
#include "lib/base.h"
#include "lib/io/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static struct conf *open_text(const char *text)
{
        snprintf(path, sizeof path, "/tmp/gh-config-test-XXXXXX");
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        close(fd);
        struct conf *c = NULL;
        struct err e = { 0 };
        int r = conf_open(path, &c, &e);
        if (r < 0)
                fail_msg("%s: %s", e.place, e.msg);
        unlink(path);
        return c;
}

static void test_values(void **state)
{
        (void)state;
        struct conf *c = open_text("name = \"a\"; n = 5; big = 5000000000L; on = true;\n"
                                   "at = \"2001:db8::1\"; sub = { x = \"y\"; };\n"
                                   "list = ( { k = 1; }, { k = 2; } ); words = [ \"p\", \"q\" ];\n");
        const struct conf_group *g = conf_root(c);
        struct ipaddr a, none;
        assert_string_equal(conf_str(g, "name"), "a");
        assert_string_equal(conf_str_or(g, "absent", "def"), "def");
        assert_int_equal(conf_int(g, "n", 0, 10), 5);
        assert_int_equal(conf_int(g, "big", 0, INT64_MAX), 5000000000);
        assert_int_equal(conf_int_or(g, "absent", 0, 10, 7), 7);
        assert_true(conf_bool_or(g, "on", false));
        assert_true(conf_addr(g, "at", &a));
        assert_int_equal(a.af, 6);
        assert_true(conf_addr_or_unset(g, "absent", &none));
        assert_int_equal(none.af, 0);
        assert_string_equal(conf_str(conf_sub(g, "sub"), "x"), "y");
        assert_null(conf_sub_or_null(g, "absent"));
        assert_int_equal(conf_list_len(g, "list"), 2);
        assert_int_equal(conf_int(conf_list_group(g, "list", 0), "k", 0, 9), 1);
        assert_int_equal(conf_int(conf_list_group(g, "list", 1), "k", 0, 9), 2);
        assert_int_equal(conf_list_len(g, "words"), 2);
        assert_string_equal(conf_list_str(g, "words", 1), "q");
        struct err e = { 0 };
        assert_int_equal(conf_done(c, &e), 0);
        conf_close(c);
}

/* Reads the settings name (string), n (1..10), b (bool), at (address), g { x } and l ( { k } ). */
static int read_all(struct conf *c, struct err *e)
{
        const struct conf_group *g = conf_root(c);
        struct ipaddr a;
        (void)conf_str_or(g, "name", "");
        (void)conf_int_or(g, "n", 1, 10, 1);
        (void)conf_bool_or(g, "b", false);
        (void)conf_addr_or_unset(g, "at", &a);
        const struct conf_group *sub = conf_sub_or_null(g, "g");
        if (sub)
                (void)conf_str(sub, "x");
        for (size_t i = 0; i < conf_list_len(g, "l"); i++)
                (void)conf_int(conf_list_group(g, "l", i), "k", 0, 9);
        return conf_done(c, e);
}

static void test_errors(void **state)
{
        static const struct {
                const char *name, *text, *line, *msg; /* line: the place's end; msg: part of the message */
        } cases[] = {
                { "unknown setting at the top", "name = \"a\";\nnmae = \"b\";", ":2", "nmae: unknown setting" },
                { "unknown setting in a group", "g = { x = \"1\";\n y = 2; };", ":2", "y: unknown setting" },
                { "unknown setting in a list's group", "l = ( { k = 1; },\n { k = 2; z = 3; } );", ":2", "z: unknown setting" },
                { "number over its bound", "\nn = 11;", ":2", "n: must be 1 to 10, not 11" },
                { "number under its bound", "n = -1;", ":1", "n: must be 1 to 10, not -1" },
                { "text for a number", "n = \"5\";", ":1", "n: must be a whole number" },
                { "number for a text", "name = 5;", ":1", "name: must be a string" },
                { "float for a number", "n = 5.5;", ":1", "n: must be a whole number" },
                { "text for a bool", "b = \"true\";", ":1", "b: must be true or false" },
                { "no address", "at = \"10.0.0\";", ":1", "at: \"10.0.0\" is not an IP address" },
                { "missing in a group", "\n\ng = { };", ":3", "x: is missing" },
                { "scalar for a group", "g = 1;", ":1", "g: must be a group" },
                { "scalar for a list", "l = 1;", ":1", "l: must be a list" },
                { "wrong element", "l = ( 1 );", ":1", "l: element 0 must be a group" },
                { "the first error is kept", "n = 0;\nb = 1;", ":1", "n: must be" },
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct conf *c = open_text(cases[i].text);
                struct err e = { 0 };
                if (read_all(c, &e) != -EINVAL)
                        fail_msg("%s: accepted", cases[i].name);
                size_t n = strlen(e.place), m = strlen(cases[i].line);
                if (n < m || strcmp(e.place + n - m, cases[i].line) != 0 || !strstr(e.msg, cases[i].msg))
                        fail_msg("%s: got %s: %s", cases[i].name, e.place, e.msg);
                conf_close(c);
        }
}

static void test_syntax_and_absence(void **state)
{
        (void)state;
        struct conf *c = NULL;
        struct err e = { 0 };
        assert_int_equal(conf_open("/tmp/gh-config-test-no-such-file", &c, &e), -ENOENT);
        assert_non_null(strstr(e.msg, "cannot read"));

        char p[] = "/tmp/gh-config-test-XXXXXX";
        int fd = mkstemp(p);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "a = 1;\nb = ;\n", 13), 13);
        close(fd);
        assert_int_equal(conf_open(p, &c, &e), -EINVAL);
        assert_non_null(strstr(e.place, ":2"));
        unlink(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_errors),
                cmocka_unit_test(test_syntax_and_absence),
        };
        return cmocka_run_group_tests_name("lib-io-config", tests, NULL, NULL);
}
