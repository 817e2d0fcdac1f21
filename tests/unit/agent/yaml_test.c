/* tests/unit/agent/yaml_test.c - the reader: what becomes which node, and what is refused where. */
#include "lib/base.h"

#include "agent/core/source_limits.tbl.h"
#include "agent/io/yaml.h"
#include "lib/core/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void put_node(struct buf *b, const struct node *n) /* {k:v} [a,b] text "quoted" null */
{
        switch (n->type) {
        case NODE_NULL: buf_str(b, "null"); break;
        case NODE_SCALAR: buf_printf(b, n->quoted ? "\"%.*s\"" : "%.*s", SPAN_FMT(n->text)); break;
        case NODE_MAP:
                buf_str(b, "{");
                for (size_t i = 0; i < n->n; i++) {
                        buf_printf(b, "%s%.*s:", i ? "," : "", SPAN_FMT(n->items[i].key));
                        put_node(b, n->items[i].value);
                }
                buf_str(b, "}");
                break;
        case NODE_SEQ:
                buf_str(b, "[");
                for (size_t i = 0; i < n->n; i++) {
                        buf_str(b, i ? "," : "");
                        put_node(b, n->items[i].value);
                }
                buf_str(b, "]");
                break;
        }
}

static const struct {
        const char *name, *text;
        const char *want; /* the documents, each followed by "|"; or "!PLACE: part of the message" */
} cases[] = {
        { "nothing", "", "" },
        { "only comments and markers", "# a\n---\n---\n# b\n", "" },
        { "scalars stay text", "[yes, 0755, 1e3, 0x10, 1.10, 2001-01-01, on]", "[yes,0755,1e3,0x10,1.10,2001-01-01,on]|" },
        { "nulls", "[null, ~, Null, NULL, 'null', \"~\", nulL]", "[null,null,null,null,\"null\",\"~\",nulL]|" },
        { "empty value", "a:\nb: ''\n", "{a:null,b:\"\"}|" },
        { "quoted", "['80', \"true\", true]", "[\"80\",\"true\",true]|" },
        { "block scalar is quoted", "a: |\n  80\n", "{a:\"80\n\"}|" },
        { "tag of text", "!!str 80", "\"80\"|" },
        { "tag of number changes nothing", "!!int 80", "80|" },
        { "unknown tag", "a: !secret x", "!t:1:4: tags" },
        { "unknown tag of a map", "a: !x {}", "!t:1:4: tags" },
        { "documents", "a: 1\n---\nb: 2\n...\n---\nc: 3\n", "{a:1}|{b:2}|{c:3}|" },
        { "JSON", "{\"a\": [1, \"2\", null, true],\n\t\"b\": {\"c\\/\\u00e4\": \"\\n\"}}", "{a:[1,\"2\",null,true],b:{c/\xc3\xa4:\"\n\"}}|" },
        { "alias", "a: &x [1]\nb: *x\n", "!t:2:4: aliases" },
        { "bomb", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n", "!t:2:8: aliases" },
        { "anchor alone", "a: &x 1\n", "{a:1}|" },
        { "merge key is a key", "<<: {a: 1}\n", "{<<:{a:1}}|" },
        { "key twice", "a: 1\nb: 2\na: 3\n", "!t:3:1: key \"a\" is given twice, first in line 1" },
        { "key twice, flow", "x: {a: 1, 'a': 2}\n", "!t:1:4: key \"a\" is given twice" },
        { "key twice, empty", "{'': 1, '': 2}", "!t:1:1: key \"\" is given twice" },
        { "same key in other maps", "a: {a: {a: 1}}\n", "{a:{a:{a:1}}}|" },
        { "key a list", "[a]: 1\n", "!t:1:1: a key must be text" },
        { "key a map", "? {a: 1}\n: 2\n", "!t:1:3: a key must be text" },
        { "unclosed list", "a: [1,\n", "!t:2:1: " },
        { "unclosed quote", "a: 'b\nc: d\n", "!t:3:1: " },
        { "bad indent", "a:\n  b: 1\n c: 2\n", "!t:3:2: " },
        { "tab as indent", "a:\n\tb: 1\n", "!t:2:1: " },
        { "text after a value", "a: 'b' c\n", "!t:1:8: " },
        { "not UTF-8", "a: \xff\n", "!t:1:1: " },
        { "control character", "a: \x01\n", "!t:1:1: " },
        { "UTF-8 mark in front", "\xef\xbb\xbf" "a: 1\n", "{a:1}|" },
        { "CRLF", "a: 1\r\nb: 2\r\n", "{a:1,b:2}|" },
};

static void reads(void **state)
{
        size_t bad = 0;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct arena a;
                struct yaml_docs docs = { 0 };
                struct err err = { .place = "", .msg = "" };
                struct buf got;
                arena_init(&a, 4096, 1u << 20);
                buf_init(&got, 4096);
                int r = yaml_read(span_str(cases[i].text), "t", &a, &docs, &err);
                for (size_t k = 0; r == 0 && k < docs.n; k++) {
                        put_node(&got, docs.v[k]);
                        buf_str(&got, "|");
                }
                if (r < 0)
                        buf_printf(&got, "!%s: %s", err.place, err.msg);
                const char *want = cases[i].want;
                bool ok = want[0] == '!' ? r == -EINVAL && strncmp(buf_cstr(&got), want, strlen(want)) == 0
                                         : strcmp(buf_cstr(&got), want) == 0;
                if (!ok) {
                        print_error("case \"%s\": got \"%s\", want \"%s\"\n", cases[i].name, buf_cstr(&got), want);
                        bad++;
                }
                buf_fini(&got);
                arena_fini(&a);
        }
        assert_int_equal(bad, 0);
}

static void places(void **state)
{
        struct arena a;
        struct yaml_docs docs;
        struct err err;
        arena_init(&a, 4096, 1u << 20);
        assert_int_equal(yaml_read(span_str("---\na: 1\nb:\n  - c\n  - d: 2\n---\ne: 3\n"), "t", &a, &docs, &err), 0);
        assert_int_equal(docs.n, 2);
        assert_int_equal(docs.v[0]->line, 2);
        const struct node *b = node_get(docs.v[0], "b");
        assert_int_equal(docs.v[0]->items[1].line, 3);
        assert_int_equal(b->items[0].value->line, 4);
        assert_int_equal(b->items[1].value->line, 5);
        assert_int_equal(b->items[1].value->column, 5);
        assert_int_equal(docs.v[1]->line, 7);
        assert_null(node_get(docs.v[0], "c"));
        assert_null(node_get(b, "c"));
        arena_fini(&a);
}

static int read_size(const char *text, size_t n, size_t max_bytes, struct err *err)
{
        struct arena a;
        struct yaml_docs docs;
        arena_init(&a, 65536, max_bytes);
        int r = yaml_read(SPAN(text, n), "t", &a, &docs, err);
        arena_fini(&a);
        return r;
}

static void limits(void **state)
{
        struct err err;
        size_t n = SOURCE_MAX_FILE_BYTES + 1u;
        char *big = malloc(n);
        assert_non_null(big);
        memset(big, '[', n); /* as deep as can be */
        assert_int_equal(read_size(big, n, 1u << 20, &err), -E2BIG);
        assert_string_equal(err.msg, "file larger than 4 MiB");
        assert_int_equal(read_size(big, n - 1, 1u << 20, &err), -E2BIG);
        assert_string_equal(err.place, "t:1:65");
        memset(big + 64, ']', 64);
        assert_int_equal(read_size(big, 128, 1u << 20, &err), 0); /* 64 levels are allowed */

        memset(big, ' ', n);
        big[0] = '[';
        for (size_t i = 0; i < SOURCE_MAX_DOC_NODES; i++) /* with the list itself one too many */
                memcpy(big + 1 + 2 * i, "a,", 2);
        big[2 * SOURCE_MAX_DOC_NODES + 1] = ']';
        assert_int_equal(read_size(big, n - 1, SOURCE_MAX_TREE_BYTES, &err), -E2BIG);
        assert_non_null(strstr(err.msg, "more than 200000 values"));
        memcpy(big + 2 * SOURCE_MAX_DOC_NODES - 1, " ,", 2); /* "... a, ]": one less, no last value */
        assert_int_equal(read_size(big, n - 1, SOURCE_MAX_TREE_BYTES, &err), -EINVAL);
        memcpy(big + 2 * SOURCE_MAX_DOC_NODES - 1, "  ", 2);
        assert_int_equal(read_size(big, n - 1, SOURCE_MAX_TREE_BYTES, &err), 0);
        assert_int_equal(read_size(big, n - 1, 1u << 20, &err), -ENOMEM); /* the arena's cap is an error too */
        free(big);
}

static void wipes(void **state)
{
        struct arena a;
        struct yaml_docs docs;
        struct err err;
        arena_init(&a, 4096, 1u << 20);
        assert_int_equal(yaml_read(span_str("data: {a: secret, b: [hidden]}"), "t", &a, &docs, &err), 0);
        node_wipe(docs.v[0]);
        const struct node *data = node_get(docs.v[0], "data");
        assert_memory_equal(node_get(data, "a")->text.p, "\0\0\0\0\0\0", 6);
        assert_memory_equal(node_get(data, "b")->items[0].value->text.p, "\0\0\0\0\0\0", 6);
        arena_fini(&a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads),
                cmocka_unit_test(places),
                cmocka_unit_test(limits),
                cmocka_unit_test(wipes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
