/* agent/core/watch_event.c - see watch_event.h. */
#include "lib/base.h"
#include "agent/core/format.h"
#include "agent/core/json_node.h"
#include "agent/core/watch_event.h"

struct span node_text(const struct node *map, const char *key)
{
        const struct node *n = node_get(map, key);
        return n && n->type == NODE_SCALAR ? n->text : SPAN_NULL;
}
struct span node_text2(const struct node *map, const char *outer, const char *key) { return node_text(node_get(map, outer), key); }

static bool find_type(struct span s, enum watch_type *ret)
{
        static const char *const names[WATCH_TYPE_N] = { "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR" };
        for (int i = 0; i < WATCH_TYPE_N; i++)
                if (span_eq_str(s, names[i])) {
                        *ret = (enum watch_type)i;
                        return true;
                }
        return false;
}

int watch_event_read(struct span line, const char *what, struct arena *a, struct watch_event *ret, struct err *reterr)
{
        struct node *n;
        struct watch_event e = { 0 };
        int r = json_node_read(line, what, a, &n, reterr);
        if (r < 0)
                return r;
        struct span type = node_text(n, "type");
        if (!find_type(type, &e.type))
                return err_set(reterr, EINVAL, what, "event of type \"%.*s\"", (int)MIN(type.n, (size_t)32), type.n ? (const char *)type.p : "");
        e.object = node_get(n, "object");
        if (!e.object || e.object->type != NODE_MAP)
                return err_set(reterr, EINVAL, what, "event without an object");
        if (e.type == WATCH_ERROR) {
                int64_t code = 0;
                if (text_int(node_text(e.object, "code"), &code) && code > 0 && code < 1000)
                        e.code = (int)code;
                e.message = node_text(e.object, "message");
        } else {
                e.resource_version = node_text2(e.object, "metadata", "resourceVersion");
                if (!e.resource_version.n)
                        return err_set(reterr, EINVAL, what, "object without a resourceVersion");
        }
        *ret = e;
        return 0;
}
