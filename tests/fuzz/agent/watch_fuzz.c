/* tests/fuzz/agent/watch_fuzz.c - what an API server sends: a line of a watch to an object of every kind, its status merged
 * with one of ours; and the same bytes as a page of a list.  What was read is written and read again: the same. */
#include "lib/base.h"
#include "agent/core/decode.h"
#include "agent/core/status_merge.h"
#include "agent/core/watch_event.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void merge(const struct node *seen, struct arena *a)
{
        static const char ours[] = "{\"conditions\":[{\"type\":\"Accepted\",\"status\":\"True\"}],\"listeners\":[{\"name\":\"a\",\"conditions\":[]}],"
                                   "\"parents\":[{\"parentRef\":{\"name\":\"a\"},\"controllerName\":\"us/gw\",\"conditions\":[]}]}";
        struct node *mine, *merged;
        int r = json_node_read(SPAN(ours, sizeof ours - 1), "ours", a, &mine, NULL);
        BUG_ON(r < 0);
        for (int k = 0; k < OBJECT_KIND_N; k++) {
                CLEANUP(buf_fini) struct buf b, again;
                struct json j;
                buf_init(&b, 1u << 22);
                buf_init(&again, 1u << 22);
                json_init(&j, &b);
                if (status_merge((enum object_kind)k, "ns", "us/gw", mine, seen, &j) <= 0)
                        continue;
                r = json_node_read(buf_span(&b), "merged", a, &merged, NULL);
                BUG_ON(r < 0);
                json_init(&j, &again);
                r = status_merge((enum object_kind)k, "ns", "us/gw", mine, merged, &j);
                BUG_ON(r != 0); /* written, there is nothing more to say */
        }
}

static void round_trip(const struct node *n, struct arena *a)
{
        CLEANUP(buf_fini) struct buf b;
        struct json j;
        struct node *again;
        buf_init(&b, 1u << 22);
        json_init(&j, &b);
        if (json_node_write(n, &j) < 0)
                return;
        int r = json_node_read(buf_span(&b), "again", a, &again, NULL);
        BUG_ON(r < 0 || !node_same(n, again));
}

static int item(void *arg, const struct node *n)
{
        round_trip(n, arg);
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
        struct arena a, scratch, other;
        struct watch_event ev;
        struct node *rest;
        struct err e;
        arena_init(&a, 65536, 64u << 20);
        arena_init(&scratch, 65536, 64u << 20);
        arena_init(&other, 65536, 64u << 20);
        if (watch_event_read(SPAN(p, n), "fuzz", &a, &ev, &e) == 0) {
                for (int k = 0; k < OBJECT_KIND_N; k++) {
                        struct object *o = NULL;
                        if (object_decode_served((enum object_kind)k, ev.object, "fuzz", &o, &e) == 0)
                                object_free(o);
                }
                round_trip(ev.object, &a);
                const struct node *status = node_get(ev.object, "status");
                if (status)
                        merge(status, &a);
        }
        if (json_node_read_items(SPAN(p, n), "fuzz", &a, &scratch, item, &other, &rest, &e) == 0)
                (void)node_text2(rest, "metadata", "continue"); /* read as the reflector does */
        arena_fini(&other);
        arena_fini(&scratch);
        arena_fini(&a);
        return 0;
}
