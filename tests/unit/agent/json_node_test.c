/* tests/unit/agent/json_node_test.c - JSON read, written and compared; events of a watch; objects as a server sends them. */
#include "lib/base.h"
#include "agent/core/decode.h"
#include "agent/core/json_node.h"
#include "agent/core/watch_event.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Reads text, writes it again; "" = refused. */
static void round_trip(const char *text, size_t n, char *ret, size_t size)
{
        struct arena a;
        struct node *root;
        struct err e = { 0 };
        struct buf b;
        struct json j;
        ret[0] = '\0';
        arena_init(&a, 4096, 1u << 20);
        buf_init(&b, 1u << 20);
        json_init(&j, &b);
        char *exact = malloc(n ? n : 1); /* so that a byte too far is seen by the sanitizer */
        memcpy(exact, text, n);
        if (json_node_read(SPAN(exact, n), "t", &a, &root, &e) == 0) {
                assert_int_equal(json_node_write(root, &j), 0);
                (void)snprintf(ret, size, "%s", buf_cstr(&b));
        } else {
                assert_true(*e.msg != '\0' && *e.place != '\0');
        }
        free(exact);
        buf_fini(&b);
        arena_fini(&a);
}

static const struct { const char *name, *in, *want; } cases[] = {
        { "all kinds", " {\"a\" : [1, -0.5e+3, true,false,null, \"x\"], \"b\":{}, \"c\":[ ]}\n", "{\"a\":[1,-0.5e+3,true,false,null,\"x\"],\"b\":{},\"c\":[]}" },
        { "quoted numbers stay text", "[\"1\",\"true\",\"null\"]", "[\"1\",\"true\",\"null\"]" },
        { "escapes", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t" "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
        { "a scalar", "7", "7" },
        { "UTF-8", "\"\xc3\xa9\"", "\"\xc3\xa9\"" },
        { "nothing", "", "" },
        { "two values", "1 2", "" },
        { "trailing comma", "[1,]", "" },
        { "trailing comma in a map", "{\"a\":1,}", "" },
        { "key without quotes", "{a:1}", "" },
        { "no colon", "{\"a\" 1}", "" },
        { "a key twice", "{\"a\":1,\"b\":2,\"\\u0061\":1}", "" },
        { "a key twice among many", "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1,\"q\":1,\"b\":1}", "" },
        { "leading zero", "01", "" },
        { "plus", "+1", "" },
        { "bare fraction", "1.", "" },
        { "bare exponent", "1e", "" },
        { "words", "True", "" },
        { "a word too long", "nulls", "" },
        { "single quotes", "'a'", "" },
        { "open string", "\"a", "" },
        { "open escape", "\"a\\", "" },
        { "unknown escape", "\"\\x41\"", "" },
        { "short \\u", "\"\\u12\"", "" },
        { "lone low surrogate", "\"\\udc00\"", "" },
        { "lone high surrogate", "\"\\ud800x\"", "" },
        { "high without low", "\"\\ud800\\u0041\"", "" },
        { "line end in a string", "\"a\nb\"", "" },
        { "overlong UTF-8", "\"\xc0\x80\"", "" },
        { "surrogate in UTF-8", "\"\xed\xa0\x80\"", "" },
        { "cut UTF-8", "\"\xe2\x82\"", "" },
        { "beyond Unicode", "\"\xf4\x90\x80\x80\"", "" },
        { "65 deep", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "" },
};

static void test_cases(void **state)
{
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char got[512];
                round_trip(cases[i].in, strlen(cases[i].in), got, sizeof got);
                if (strcmp(got, cases[i].want) != 0)
                        fail_msg("%s: got %s, want %s", cases[i].name, got, cases[i].want);
        }
}

/* Every prefix of a document is refused, never read beyond. */
static void test_prefixes(void **state)
{
        static const char doc[] = "{\"a\":[1,{\"b\":\"\\u00e9\xc3\xa9\"}],\"c\":null,\"d\":false}";
        for (size_t n = 0; n < sizeof doc - 1; n++) {
                char got[512];
                round_trip(doc, n, got, sizeof got);
                assert_string_equal(got, "");
        }
}

static void test_writing_too_deep(void **state)
{
        static const char deep[] = "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]";
        struct arena a;
        struct node *root;
        struct buf b;
        struct json j;
        arena_init(&a, 4096, 1u << 20);
        buf_init(&b, 4096);
        json_init(&j, &b);
        assert_int_equal(json_node_read(span_str(deep), "t", &a, &root, NULL), 0);
        assert_int_equal(json_node_write(root, &j), -E2BIG);
        assert_int_equal(b.n, 0);
        buf_fini(&b);
        arena_fini(&a);
}

static void test_same(void **state)
{
        static const struct { const char *a, *b; bool same; } rows[] = {
                { "{\"a\":1,\"b\":[1,2]}", "{\"b\":[1,2],\"a\":1}", true },
                { "{\"a\":1,\"b\":null}", "{\"a\":1}", true },
                { "{\"a\":1}", "{\"a\":1,\"b\":2}", false },
                { "{\"a\":1,\"b\":2}", "{\"a\":1}", false },
                { "[1,2]", "[2,1]", false },
                { "[1]", "[1,1]", false },
                { "{}", "[]", false },
                { "\"x\"", "\"y\"", false },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct arena a;
                struct node *x, *y;
                arena_init(&a, 4096, 1u << 20);
                assert_int_equal(json_node_read(span_str(rows[i].a), "t", &a, &x, NULL), 0);
                assert_int_equal(json_node_read(span_str(rows[i].b), "t", &a, &y, NULL), 0);
                if (node_same(x, y) != rows[i].same)
                        fail_msg("%s and %s", rows[i].a, rows[i].b);
                arena_fini(&a);
        }
}

static int count_item(void *arg, const struct node *item)
{
        int *n = arg;
        if (item->type != NODE_MAP)
                return -ECANCELED;
        return ++*n, 0;
}
static void test_items(void **state)
{
        static const struct { const char *text; int rc, n; } rows[] = {
                { "{\"kind\":\"L\",\"items\":[{\"a\":1},{},{\"b\":[2]}],\"metadata\":{\"resourceVersion\":\"5\"}}", 0, 3 },
                { "{\"items\":[],\"metadata\":{\"resourceVersion\":\"5\"}}", 0, 0 },
                { "{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":null}", 0, 0 },
                { "{\"items\":[{},7,{}]}", -ECANCELED, 1 },
                { "{\"items\":[{},{}", -EINVAL, 2 },
                { "{\"items\":{}}", -EINVAL, 0 },
                { "{\"items\":[{}],\"items\":[{}]}", -EINVAL, 1 },
                { "[]", -EINVAL, 0 },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct arena a, scratch;
                struct node *rest;
                int n = 0;
                arena_init(&a, 4096, 1u << 20);
                arena_init(&scratch, 4096, 1u << 20);
                int rc = json_node_read_items(span_str(rows[i].text), "t", &a, &scratch, count_item, &n, &rest, NULL);
                if (rc != rows[i].rc || n != rows[i].n)
                        fail_msg("%s: %d, %d items", rows[i].text, rc, n);
                if (rc == 0)
                        assert_true(span_eq_str(node_text2(rest, "metadata", "resourceVersion"), "5"));
                arena_fini(&scratch);
                arena_fini(&a);
        }
}

static void test_events(void **state)
{
        static const struct { const char *line; int rc; enum watch_type type; int code; const char *rv; } rows[] = {
                { "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\"}}}", 0, WATCH_ADDED, 0, "7" },
                { "{\"object\":{\"metadata\":{\"resourceVersion\":\"8\"}},\"type\":\"BOOKMARK\"}", 0, WATCH_BOOKMARK, 0, "8" },
                { "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}", 0, WATCH_ERROR, 410, "" },
                { "{\"type\":\"ERROR\",\"object\":{}}", 0, WATCH_ERROR, 0, "" },
                { "{\"type\":\"ADDED\",\"object\":{\"metadata\":{}}}", -EINVAL, 0, 0, "" },
                { "{\"type\":\"ADDED\",\"object\":null}", -EINVAL, 0, 0, "" },
                { "{\"type\":\"OTHER\",\"object\":{}}", -EINVAL, 0, 0, "" },
                { "{\"object\":{}}", -EINVAL, 0, 0, "" },
                { "7", -EINVAL, 0, 0, "" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct arena a;
                struct watch_event ev = { 0 };
                struct err e = { 0 };
                arena_init(&a, 4096, 1u << 20);
                int rc = watch_event_read(span_str(rows[i].line), "t", &a, &ev, &e);
                if (rc != rows[i].rc || (rc == 0 && (ev.type != rows[i].type || ev.code != rows[i].code || !span_eq_str(ev.resource_version, rows[i].rv))))
                        fail_msg("%s: %d \"%s\"", rows[i].line, rc, e.msg);
                arena_fini(&a);
        }
}

/* Items of built-in lists name neither apiVersion nor kind; newer servers have fields we do not know. */
static void test_served(void **state)
{
        static const char text[] = "{\"metadata\":{\"name\":\"web\",\"namespace\":\"ns\",\"uid\":\"u\",\"generation\":4,\"resourceVersion\":\"99\","
                                   "\"creationTimestamp\":\"2026-01-31T10:00:00Z\",\"managedFields\":[{\"fieldsV1\":{\"f:spec\":{}}}]},"
                                   "\"spec\":{\"gatewayClassName\":\"c\",\"newer\":1,\"listeners\":[{\"name\":\"a\",\"port\":80,\"protocol\":\"HTTP\",\"newer\":{}}]}}";
        struct arena a;
        struct node *root;
        struct object *o;
        struct err e = { 0 };
        arena_init(&a, 4096, 1u << 20);
        assert_int_equal(json_node_read(span_str(text), "t", &a, &root, &e), 0);
        if (object_decode_served(OBJECT_GATEWAY, root, "api", &o, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        assert_int_equal(o->generation, 4);
        assert_int_equal(o->created_s, 1769853600);
        assert_string_equal(o->resource_version, "99");
        assert_string_equal(o->uid, "u");
        assert_string_equal(((const struct gateway *)o)->listeners[0].place, "api: spec.listeners[0]");
        object_free(o);
        assert_int_equal(object_decode_served(OBJECT_HTTP_ROUTE, root, "api", &o, &e), 0); /* its spec may be empty */
        object_free(o);
        assert_int_equal(object_decode_served(OBJECT_SERVICE, root->items[0].value, "api", &o, &e), -EINVAL);
        assert_string_equal(e.place, "api: metadata");
        arena_fini(&a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases), cmocka_unit_test(test_prefixes), cmocka_unit_test(test_writing_too_deep), cmocka_unit_test(test_same),
                cmocka_unit_test(test_items), cmocka_unit_test(test_events),   cmocka_unit_test(test_served),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
