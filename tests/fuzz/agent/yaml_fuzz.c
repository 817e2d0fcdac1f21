/* tests/fuzz/agent/yaml_fuzz.c - bytes -> document trees -> objects, as a file in the directory takes them.
 * Holds: an error has a place and a message; what decodes, decodes again to the same digest; nothing leaks (ASan). */
#include "lib/base.h"

#include "agent/core/decode.h"
#include "agent/io/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode_twice(const struct node *doc)
{
        struct object *a = NULL, *b = NULL;
        struct err err = { .place = "", .msg = "" };
        int r = object_decode(doc, "f", "default", &a, &err);
        BUG_ON(r < 0 && (!err.place[0] || !err.msg[0] || a));
        if (!a)
                return;
        BUG_ON(object_decode(doc, "f", "default", &b, &err) < 0);
        BUG_ON(memcmp(a->digest.b, b->digest.b, sizeof a->digest.b) != 0);
        BUG_ON(!a->name[0] || (object_namespaced(a->kind) && !a->namespace[0]));
        object_free(a);
        object_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct arena a;
        struct yaml_docs docs = { 0 };
        struct err err = { .place = "", .msg = "" };
        arena_init(&a, 4096, 16u << 20);
        int r = yaml_read(SPAN(data, size), "f", &a, &docs, &err);
        BUG_ON(r < 0 && (!err.place[0] || !err.msg[0]));
        for (size_t i = 0; r == 0 && i < docs.n; i++)
                decode_twice(docs.v[i]);
        arena_fini(&a);
        return 0;
}
