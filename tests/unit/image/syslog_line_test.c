/* tests/unit/image/syslog_line_test.c - journald's old lines as RFC 5424. */
#include "lib/base.h"
#include "image/core/syslog_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define NOW "2026-11-23T06:31:43.000001Z"
#define HEAD "1 " NOW " edge "

static void test_lines(void **state)
{
        (void)state;
        static const struct {
                const char *name, *in, *want;
        } rows[] = {
                { "a line of journald", "<30>Nov 23 06:31:43 l4lb[812]: event=ready port=up", "<30>" HEAD "l4lb 812 - - event=ready port=up" },
                { "a day of one digit", "<6>Nov  3 06:31:43 kernel: eth0: up", "<6>" HEAD "kernel - - - eth0: up" },
                { "no time", "<30>l4lb[1]: x", "<30>" HEAD "l4lb 1 - - x" },
                { "a time in the message stays", "<30>l4lb: Nov 23 06:31:43 x", "<30>" HEAD "l4lb - - - Nov 23 06:31:43 x" },
                { "no priority", "hello", "<13>" HEAD "- - - - hello" },
                { "priority out of range", "<192>l4lb: x", "<13>" HEAD "- - - - <192>l4lb: x" },
                { "priority of four digits", "<0030>l4lb: x", "<13>" HEAD "- - - - <0030>l4lb: x" },
                { "priority without a number", "<>x", "<13>" HEAD "- - - - <>x" },
                { "a bracket that does not close", "<30>l4lb[812: x", "<30>" HEAD "- - - - l4lb[812: x" },
                { "letters for a pid", "<30>l4lb[a]: x", "<30>" HEAD "- - - - l4lb[a]: x" },
                { "a colon without a blank is no tag", "<30>a:b c", "<30>" HEAD "- - - - a:b c" },
                { "nothing behind the tag", "<30>l4lb[1]:", "<30>" HEAD "- - - - l4lb[1]:" },
                { "line ends and escapes", "<30>l4lb: a\nb\x1b[2J\x7f" "c\n\n", "<30>" HEAD "l4lb - - - a b [2J c" },
                { "a name that is too long is cut", "<30>aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff[1]: x",
                  "<30>" HEAD "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeee 1 - - x" },
                { "UTF-8 stays", "<30>l4lb: \xc3\xa4", "<30>" HEAD "l4lb - - - \xc3\xa4" },
                { "empty", "", "<13>" HEAD "- - - - " },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                char line[SYSLOG_LINE_MAX + 1];
                size_t n = syslog_line(span_str(rows[i].in), "edge", NOW, line);
                if (strcmp(line, rows[i].want) != 0 || n != strlen(line))
                        fail_msg("%s: %s", rows[i].name, line);
        }
}

static void test_long(void **state)
{
        (void)state;
        static char in[3 * SYSLOG_LINE_MAX], line[SYSLOG_LINE_MAX + 1];
        memset(in, 'x', sizeof in);
        memcpy(in, "<30>a: ", 7);
        assert_int_equal(syslog_line(SPAN(in, sizeof in), "", NOW, line), SYSLOG_LINE_MAX);
        assert_int_equal(strlen(line), SYSLOG_LINE_MAX);
        assert_memory_equal(line, "<30>1 " NOW " - a - - - xxx", strlen(NOW) + 20);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_lines), cmocka_unit_test(test_long) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
