/* tests/unit/agent/status_merge_test.c - what we want to say laid over what the server has: one row per rule. */
#include "lib/base.h"
#include "agent/core/status_merge.h"
#include "agent/core/status_read.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define OURS "\"controllerName\":\"us/gw\""
#define THEIRS "\"controllerName\":\"them/gw\""
#define REF(name) "\"parentRef\":{\"group\":\"gateway.networking.k8s.io\",\"kind\":\"Gateway\",\"name\":\"" name "\"}"
#define COND(type, status) "{\"type\":\"" type "\",\"status\":\"" status "\"}"

static const struct { const char *name; enum object_kind kind; const char *ours, *seen, *want; /* "" = nothing to write */ } cases[] = {
        { "first status", OBJECT_GATEWAY, "{\"conditions\":[" COND("Accepted", "True") "]}", NULL, "{\"conditions\":[" COND("Accepted", "True") "]}" },
        { "equal, other order of keys", OBJECT_GATEWAY, "{\"conditions\":[{\"type\":\"Accepted\",\"status\":\"True\",\"observedGeneration\":3}]}",
          "{\"conditions\":[{\"observedGeneration\":3,\"status\":\"True\",\"type\":\"Accepted\"}],\"other\":1}", "" },
        { "absent list is an empty one", OBJECT_GATEWAY, "{\"addresses\":[],\"conditions\":[" COND("Accepted", "True") "]}",
          "{\"conditions\":[" COND("Accepted", "True") "]}", "" },
        { "foreign conditions stay in place, stale ones of ours go", OBJECT_GATEWAY_CLASS,
          "{\"conditions\":[" COND("Accepted", "True") "," COND("SupportedVersion", "True") "]}",
          "{\"conditions\":[" COND("Theirs", "True") "," COND("Conflicted", "True") "," COND("Accepted", "Unknown") "]}",
          "{\"conditions\":[" COND("Theirs", "True") "," COND("Accepted", "True") "," COND("SupportedVersion", "True") "]}" },
        { "conditions of listeners likewise, removed listeners go", OBJECT_GATEWAY,
          "{\"listeners\":[{\"name\":\"b\",\"conditions\":[" COND("Accepted", "True") "]}]}",
          "{\"listeners\":[{\"name\":\"a\",\"conditions\":[]},{\"name\":\"b\",\"conditions\":[" COND("X", "True") "]}]}",
          "{\"listeners\":[{\"name\":\"b\",\"conditions\":[" COND("X", "True") "," COND("Accepted", "True") "]}]}" },
        { "parents of others stay where they are", OBJECT_HTTP_ROUTE,
          "{\"parents\":[{" REF("a") "," OURS ",\"conditions\":[" COND("Accepted", "True") "]},{" REF("new") "," OURS ",\"conditions\":[]}]}",
          "{\"parents\":[{" REF("old") "," OURS "},{\"parentRef\":{\"name\":\"a\"}," OURS ",\"conditions\":[" COND("X", "True") "]},{" REF("a") "," THEIRS "}]}",
          "{\"parents\":[{" REF("a") "," OURS ",\"conditions\":[" COND("X", "True") "," COND("Accepted", "True") "]},{" REF("a") "," THEIRS "},{" REF("new") "," OURS
          ",\"conditions\":[]}]}" },
        { "defaults of a parentRef mean the same", OBJECT_HTTP_ROUTE, "{\"parents\":[{" REF("a") "," OURS "}]}",
          "{\"parents\":[{\"parentRef\":{\"name\":\"a\",\"namespace\":\"ns\"}," OURS "},{" REF("a") "," OURS "}]}", "{\"parents\":[{" REF("a") "," OURS "}]}" },
        { "another section is another parent", OBJECT_HTTP_ROUTE, "{\"parents\":[{\"parentRef\":{\"name\":\"a\",\"port\":80}," OURS "}]}",
          "{\"parents\":[{\"parentRef\":{\"name\":\"a\",\"port\":81}," OURS "}]}", "{\"parents\":[{\"parentRef\":{\"name\":\"a\",\"port\":80}," OURS "}]}" },
        { "a route that is ours no more", OBJECT_HTTP_ROUTE, NULL, "{\"parents\":[{" REF("a") "," OURS "},{" REF("a") "," THEIRS "}]}",
          "{\"parents\":[{" REF("a") "," THEIRS "}]}" },
        { "a route that never was", OBJECT_HTTP_ROUTE, NULL, "{\"parents\":[{" REF("a") "," THEIRS "}]}", "" },
        { "a route without any status", OBJECT_HTTP_ROUTE, NULL, NULL, "" },
        { "a Gateway that is ours no more keeps what it has", OBJECT_GATEWAY, NULL, "{\"conditions\":[" COND("Accepted", "True") "]}", "" },
        { "a status of another shape", OBJECT_GATEWAY, "{\"conditions\":[" COND("Accepted", "True") "]}", "{\"conditions\":{\"a\":7},\"listeners\":\"x\"}",
          "{\"conditions\":[" COND("Accepted", "True") "]}" },
};

static int merge_text(enum object_kind kind, const char *ours, const char *seen, struct buf *b)
{
        struct arena a;
        struct node *o = NULL, *s = NULL;
        struct json j;
        arena_init(&a, 4096, 4u << 20);
        json_init(&j, b);
        assert_true(!ours || json_node_read(span_str(ours), "ours", &a, &o, NULL) == 0);
        assert_true(!seen || json_node_read(span_str(seen), "seen", &a, &s, NULL) == 0);
        int r = status_merge(kind, "ns", "us/gw", o, s, &j);
        arena_fini(&a);
        return r;
}

static void test_cases(void **state)
{
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct buf b;
                buf_init(&b, 1u << 20);
                int r = merge_text(cases[i].kind, cases[i].ours, cases[i].seen, &b);
                if (r != (*cases[i].want != '\0') || strcmp(buf_cstr(&b), cases[i].want) != 0)
                        fail_msg("%s:\n got %d %s\nwant   %s", cases[i].name, r, buf_cstr(&b), cases[i].want);
                if (r == 1) { /* written, it is what the server has: then there is nothing more to say */
                        struct buf again;
                        buf_init(&again, 1u << 20);
                        r = merge_text(cases[i].kind, cases[i].ours, buf_cstr(&b), &again);
                        if (r != 0)
                                fail_msg("%s: never settles: %s", cases[i].name, buf_cstr(&again));
                        buf_fini(&again);
                }
                buf_fini(&b);
        }
}

static void entries(struct buf *b, const char *controller, size_t n)
{
        for (size_t i = 0; i < n; i++)
                buf_printf(b, "%s{\"parentRef\":{\"name\":\"p%zu\"},\"controllerName\":\"%s\"}", i ? "," : "", i, controller);
}
static void test_no_more_than_32_parents(void **state)
{
        struct buf ours, seen, out;
        size_t n = 0;
        buf_init(&ours, 1u << 20);
        buf_init(&seen, 1u << 20);
        buf_init(&out, 1u << 20);
        buf_str(&ours, "{\"parents\":[");
        entries(&ours, "us/gw", 10);
        buf_str(&ours, "]}");
        buf_str(&seen, "{\"parents\":[");
        entries(&seen, "them/gw", 30);
        buf_str(&seen, "]}");
        assert_int_equal(merge_text(OBJECT_HTTP_ROUTE, buf_cstr(&ours), buf_cstr(&seen), &out), 1);
        for (const char *p = buf_cstr(&out); (p = strstr(p, "us/gw")); p++)
                n++;
        assert_int_equal(n, 2);
        buf_fini(&out);
        buf_fini(&seen);
        buf_fini(&ours);
}

/* Read back at start: only our entries, and no default of the CRD. */
static void test_read_back(void **state)
{
        static const char route[] = "{\"parents\":[{" REF("a") "," THEIRS ",\"conditions\":[{\"type\":\"Accepted\",\"status\":\"True\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}]}";
        static const char gateway[] = "{\"addresses\":[{\"type\":\"IPAddress\",\"value\":\"192.0.2.7\"},{\"type\":\"Hostname\",\"value\":\"x.test\"},{\"value\":\"2001:db8::7\"}],"
                                      "\"conditions\":[{\"type\":\"Accepted\",\"status\":\"Unknown\",\"lastTransitionTime\":\"1970-01-01T00:00:00Z\"}]}";
        struct status_memory *m = status_memory_new();
        struct vip_grants g = { 0 };
        struct arena a;
        struct node *n;
        struct ipaddr want;
        arena_init(&a, 4096, 1u << 20);
        assert_int_equal(json_node_read(span_str(route), "t", &a, &n, NULL), 0);
        assert_int_equal(status_read(OBJECT_HTTP_ROUTE, "ns", "r", "us/gw", n, m, &a, &g), 0);
        assert_int_equal(json_node_read(span_str(gateway), "t", &a, &n, NULL), 0);
        assert_int_equal(status_read(OBJECT_GATEWAY, "ns", "g", "us/gw", n, m, &a, &g), 0);
        assert_int_equal(g.n, 2);
        assert_string_equal(g.v[0].gateway, "ns/g");
        assert_int_equal(ipaddr_parse(SPAN_LIT("2001:db8::7"), &want), 0);
        assert_true(ipaddr_eq(&g.v[1].addr, &want));
        /* nothing was remembered: a False said now is of now, not of 1970 */
        struct gateway_report gr = { .id = { OBJECT_GATEWAY, "ns", "g", 1 }, .pool = "p", .conditions = { { "Accepted", false, "X", "" } }, .n_conditions = 1,
                                     .stop_reason = "X", .stop = "" };
        struct translation t = { .gateways = &gr, .n_gateways = 1 };
        struct status_set *s;
        assert_int_equal(status_build(m, &t, NULL, 0, 5, 12345, &s), 0);
        assert_int_equal(s->gateways[0].v[0].since_s, 12345);
        status_free(s);
        status_memory_free(m);
        arena_fini(&a);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases), cmocka_unit_test(test_no_more_than_32_parents), cmocka_unit_test(test_read_back) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
