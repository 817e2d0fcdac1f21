/* tests/unit/agent/decode_fixture.h - one YAML document in, an object or an error with its place out. */
#pragma once
#include "lib/base.h"

#include "agent/core/decode.h"
#include "agent/core/store.h"
#include "agent/io/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Decodes the only document of text; file is "t.yaml", the default namespace "default". */
static inline int decode_text(const char *text, struct object **ret, struct err *reterr)
{
        struct arena a;
        struct yaml_docs docs = { 0 };
        arena_init(&a, 16384, 64u << 20);
        int r = yaml_read(span_str(text), "t.yaml", &a, &docs, reterr);
        if (r == 0) {
                assert_int_equal(docs.n, 1);
                r = object_decode(docs.v[0], "t.yaml", "default", ret, reterr);
        }
        arena_fini(&a);
        return r;
}

/* The object of a document that must decode. */
static inline struct object *decode_ok(const char *text)
{
        struct object *o = NULL;
        struct err err = { 0 };
        if (decode_text(text, &o, &err) < 0)
                fail_msg("%s: %s\n%s", err.place, err.msg, text);
        assert_non_null(o);
        return o;
}

struct decode_case {
        const char *name;
        const char *text; /* the spec in flow style, or what follows the metadata */
        const char *want; /* NULL = decodes; "field path: part of the message" */
};

/* Runs head + text of every row and prints each row that is not as wanted. */
static inline void run_cases(const char *head, const struct decode_case *c, size_t n)
{
        size_t bad = 0;
        for (size_t i = 0; i < n; i++) {
                char *text = NULL;
                struct object *o = NULL;
                struct err err = { .place = "", .msg = "" };
                assert_true(asprintf(&text, "%s%s\n", head, c[i].text) > 0);
                int r = decode_text(text, &o, &err);
                const char *sep = c[i].want ? strstr(c[i].want, ": ") : NULL;
                bool ok = r == 0 && !c[i].want;
                if (r < 0 && c[i].want) {
                        assert_non_null(sep);
                        const char *path = strstr(err.place, ": ");
                        path = path ? path + 2 : "";
                        ok = r == -EINVAL && strlen(path) == (size_t)(sep - c[i].want) &&
                             strncmp(path, c[i].want, strlen(path)) == 0 && strstr(err.msg, sep + 2);
                }
                if (!ok) {
                        print_error("case \"%s\": got %d \"%s\" \"%s\", want \"%s\"\n", c[i].name, r, err.place, err.msg,
                                    c[i].want ? c[i].want : "ok");
                        bad++;
                }
                if (r == 0)
                        object_free(o);
                free(text);
        }
        assert_int_equal(bad, 0);
}
