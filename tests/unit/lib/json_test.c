/* tests/unit/lib/json_test.c - commas, nesting, escapes; metrics text too, the other thing operators read. */
#include "lib/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "lib/core/json.h"
#include "lib/core/metrics.h"

static void test_document(void **state)
{
        struct buf b;
        struct json j;
        (void)state;
        buf_init(&b, 4096);
        json_init(&j, &b);
        json_obj(&j);
        json_key(&j, "n");
        json_u64(&j, UINT64_MAX);
        json_key(&j, "i");
        json_i64(&j, -5);
        json_key(&j, "list");
        json_arr(&j);
        json_bool(&j, true);
        json_nil(&j);
        json_obj(&j);
        json_end(&j);
        json_str(&j, NULL);
        json_f64(&j, 0.5);
        json_f64(&j, 1.0 / 0.0);
        json_end(&j);
        json_key(&j, "raw");
        json_raw(&j, SPAN_LIT("[1]"));
        json_end(&j);
        assert_string_equal(buf_cstr(&b),
                            "{\"n\":18446744073709551615,\"i\":-5,\"list\":[true,null,{},null,0.5,null],\"raw\":[1]}");
        buf_fini(&b);
}

static void test_pretty(void **state)
{
        struct buf b;
        struct json j;
        (void)state;
        buf_init(&b, 4096);
        json_init(&j, &b);
        j.pretty = true;
        json_obj(&j);
        json_key(&j, "a");
        json_arr(&j);
        json_u64(&j, 1);
        json_end(&j);
        json_end(&j);
        assert_string_equal(buf_cstr(&b), "{\n  \"a\": [\n    1\n  ]\n}");
        buf_fini(&b);
}

static void test_escapes(void **state)
{
        static const struct {
                const char *name;
                struct span in;
                const char *want;
        } cases[] = {
                {"plain", {(const uint8_t *)"abc", 3}, "\"abc\""},
                {"empty", {NULL, 0}, "\"\""},
                {"RFC 8259 7: must be escaped",
                 {(const uint8_t *)"\"\\\n\r\t\b\f\x01\x1f", 9},
                 "\"\\\"\\\\\\n\\r\\t\\b\\f\\u0001\\u001f\""},
                {"NUL", {(const uint8_t *)"a\0b", 3}, "\"a\\u0000b\""},
                {"UTF-8", {(const uint8_t *)"\xc3\xa9\xf0\x9f\x9a\x80", 6}, "\"\xc3\xa9\xf0\x9f\x9a\x80\""},
                {"lone continuation", {(const uint8_t *)"\x80", 1}, "\"\\u0080\""},
                {"overlong", {(const uint8_t *)"\xc0\xaf", 2}, "\"\\u00c0\\u00af\""},
                {"surrogate", {(const uint8_t *)"\xed\xa0\x80", 3}, "\"\\u00ed\\u00a0\\u0080\""},
                {"cut short", {(const uint8_t *)"a\xe2\x82", 3}, "\"a\\u00e2\\u0082\""},
                {"above U+10FFFF", {(const uint8_t *)"\xf4\x90\x80\x80", 4}, "\"\\u00f4\\u0090\\u0080\\u0080\""},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct buf b;
                struct json j;
                buf_init(&b, 4096);
                json_init(&j, &b);
                json_span(&j, cases[i].in);
                if (strcmp(buf_cstr(&b), cases[i].want) != 0)
                        fail_msg("%s: %s", cases[i].name, buf_cstr(&b));
                buf_fini(&b);
        }
}

#define TEST_COUNTERS(C) C(RX, "rx_total", "Packets received, all \\ of them") C(DROP, "drop_total", "Dropped")
static const struct metric_desc desc[] = METRICS_DESC(TEST_COUNTERS);

static void test_metrics(void **state)
{
        struct buf b, l;
        metric_t m = 0;
        (void)state;
        buf_init(&b, 4096);
        buf_init(&l, 4096);
        metrics_label(&l, "port", SPAN_LIT("a\"b\\c\nd"));
        metrics_label(&l, "q", SPAN_LIT("0"));
        metric_add(&m, 40);
        metric_add(&m, 2);
        metrics_family(&b, "gh_", &desc[0], false);
        metrics_sample(&b, "gh_", desc[0].name, buf_cstr(&l), metric_get(&m));
        metrics_family(&b, "gh_", &desc[1], true);
        metrics_sample(&b, "gh_", desc[1].name, NULL, 0);
        assert_string_equal(buf_cstr(&b),
                            "# HELP gh_rx_total Packets received, all \\\\ of them\n# TYPE gh_rx_total counter\n"
                            "gh_rx_total{port=\"a\\\"b\\\\c\\nd\",q=\"0\"} 42\n"
                            "# HELP gh_drop_total Dropped\n# TYPE gh_drop_total gauge\ngh_drop_total 0\n");
        buf_fini(&b);
        buf_fini(&l);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_document), cmocka_unit_test(test_pretty),
                                           cmocka_unit_test(test_escapes), cmocka_unit_test(test_metrics)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
