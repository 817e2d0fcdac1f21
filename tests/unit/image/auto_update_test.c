/* tests/unit/image/auto_update_test.c - when a box updates by itself: windows, moments, versions it will not have again. */
#include "lib/base.h"
#include "image/core/auto_update.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void windows(void **state)
{
        static const struct { const char *text; int want; uint16_t from, len; } rows[] = {
                {"03:00-05:00", 0, 180, 120}, {"23:30-00:30", 0, 1410, 60}, {"00:00-00:00", 0, 0, 1440}, {"12:00-12:30", 0, 720, 30},
                {"12:00-12:29", -EINVAL, 0, 0}, {"24:00-01:00", -EINVAL, 0, 0}, {"03:60-05:00", -EINVAL, 0, 0}, {"3:00-5:00", -EINVAL, 0, 0},
                {"03:00-05:00 ", -EINVAL, 0, 0}, {"", -EINVAL, 0, 0}, {"03:00/05:00", -EINVAL, 0, 0}, {"0a:00-05:00", -EINVAL, 0, 0},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct auto_window w = {0};
                if (auto_window_parse(rows[i].text, &w) != rows[i].want || w.from_min != rows[i].from || w.len_min != rows[i].len)
                        fail_msg("\"%s\": %u %u", rows[i].text, w.from_min, w.len_min);
        }
}

static struct version v(const char *text)
{
        struct version r = {.n = 0};
        if (*text)
                assert_true(version_parse(span_str(text), &r));
        return r;
}

static void decisions(void **state)
{
        static const struct { const char *name, *running, *found, *left; bool trial; uint16_t after; enum auto_verdict want; } rows[] = {
                {"the same", "1.2", "1.2", "", false, 119, AUTO_CURRENT},
                {"older", "1.2", "1.1", "", false, 119, AUTO_CURRENT},
                {"newer, at the window's end", "1.2", "1.3", "", false, 119, AUTO_INSTALL},
                {"newer, the window is over", "1.2", "1.3", "", false, 120, AUTO_LATER},
                {"newer, long before", "1.2", "1.3", "", false, 700, AUTO_LATER},
                {"rolled back before", "1.2", "1.3", "1.3", false, 119, AUTO_REJECTED},
                {"older than what was rolled back", "1.2", "1.3", "1.4", false, 119, AUTO_REJECTED},
                {"newer than what was rolled back", "1.2", "1.5", "1.4", false, 119, AUTO_INSTALL},
                {"while on trial", "1.2", "1.3", "", true, 119, AUTO_TRIAL},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct auto_facts f = {.running = v(rows[i].running), .found = v(rows[i].found), .left = v(rows[i].left), .on_trial = rows[i].trial,
                                       .window = {.from_min = 1400, .len_min = 120}, .now_min = (uint16_t)((1400 + rows[i].after) % 1440), .box = 7};
                enum auto_verdict got = auto_decide(&f);
                if (got != rows[i].want)
                        fail_msg("%s: %d", rows[i].name, (int)got);
        }
}

/* Boxes spread over the window, each at one moment per version, early enough for two looks before its end. */
static void moments(void **state)
{
        unsigned in_quarter[4] = {0};
        (void)state;
        for (uint64_t box = 0; box < 1000; box++) {
                struct auto_facts f = {.running = v("1"), .found = v("2"), .window = {.from_min = 180, .len_min = 120}, .box = box * 2654435761u};
                uint16_t at = auto_moment(&f);
                assert_true(at <= 120 - AUTO_LAST_CALL_MIN);
                in_quarter[at * 4 / (120 - AUTO_LAST_CALL_MIN + 1)]++;
                f.now_min = (uint16_t)(180 + at);
                assert_int_equal(auto_decide(&f), AUTO_INSTALL);
                if (at) {
                        f.now_min--;
                        assert_int_equal(auto_decide(&f), AUTO_LATER);
                }
        }
        for (size_t i = 0; i < 4; i++)
                assert_true(in_quarter[i] > 100);
        struct auto_facts shortest = {.running = v("1"), .found = v("2"), .window = {.from_min = 0, .len_min = AUTO_WINDOW_MIN}};
        assert_int_equal(auto_moment(&shortest), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(windows), cmocka_unit_test(decisions), cmocka_unit_test(moments)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
