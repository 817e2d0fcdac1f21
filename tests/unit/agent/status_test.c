/* tests/unit/agent/status_test.c - agent/core/status: acks into Programmed, what is held, transition times, text. */
#include "lib/base.h"
#include "agent/core/status.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define NOW_MS 100000u

/* A Gateway ns/web in pool "default" at generation g, one listener on 192.0.2.1:80; and manifests that carry it. */
static struct manifest *l7_manifest(uint64_t generation, const char *rule_name)
{
        Model__Source src = MODEL__SOURCE__INIT;
        Model__Rule rule = MODEL__RULE__INIT, *rules = &rule;
        Model__Gateway gw = MODEL__GATEWAY__INIT;
        Model__Section s = MODEL__SECTION__INIT;
        src.generation = generation;
        rule.name = (char *)(uintptr_t)rule_name;
        gw.source = &src;
        gw.rules = &rules;
        gw.n_rules = 1;
        s.body_case = MODEL__SECTION__BODY_GATEWAY;
        s.gateway = &gw;
        uint8_t bytes[256];
        size_t n = model__section__pack(&s, bytes);
        struct manifest *m = manifest_new(1);
        assert_int_equal(manifest_add(m, "gateway/ns/web", SPAN(bytes, n), false), 0);
        assert_int_equal(manifest_seal(m, NULL), 0);
        return m;
}

static struct manifest *l4_manifest(const char *vip, uint32_t port, const char *pool)
{
        Model__L4Leg leg = MODEL__L4_LEG__INIT, *legs = &leg;
        Model__L4Distribution d = MODEL__L4_DISTRIBUTION__INIT, *dv = &d;
        Model__L4Listener l = MODEL__L4_LISTENER__INIT, *lv = &l;
        Model__L4 l4 = MODEL__L4__INIT;
        Model__Section s = MODEL__SECTION__INIT;
        leg.pool = (char *)(uintptr_t)pool;
        d.id = l.distribution = (char *)(uintptr_t)"d";
        d.legs = &legs;
        d.n_legs = 1;
        l.vip = (char *)(uintptr_t)vip;
        l.port_lo = l.port_hi = port;
        l4.listeners = &lv;
        l4.n_listeners = 1;
        l4.distributions = &dv;
        l4.n_distributions = 1;
        s.body_case = MODEL__SECTION__BODY_L4;
        s.l4 = &l4;
        uint8_t bytes[256];
        size_t n = model__section__pack(&s, bytes);
        struct manifest *m = manifest_new(1);
        assert_int_equal(manifest_add(m, "l4", SPAN(bytes, n), false), 0);
        assert_int_equal(manifest_seal(m, NULL), 0);
        return m;
}

struct fix {
        struct status_memory *memory;
        struct translation t;
        struct pool_output pool;
        struct gateway_report gw;
        struct listener_report listener;
        struct ipaddr addr;
        struct manifest *l7, *l7_routes, *l7_old, *l4, *l4_other, *l4_elsewhere;
};

static int setup(void **state)
{
        struct fix *f = calloc(1, sizeof *f);
        f->memory = status_memory_new();
        f->l7 = l7_manifest(3, "now");
        f->l7_routes = l7_manifest(3, "routes before an edit");
        f->l7_old = l7_manifest(2, "now");
        f->l4 = l4_manifest("192.0.2.1", 80, "shards/default");
        f->l4_other = l4_manifest("192.0.2.2", 80, "shards/default");
        f->l4_elsewhere = l4_manifest("192.0.2.1", 80, "shards/other");
        assert_int_equal(ipaddr_parse(span_str("192.0.2.1"), &f->addr), 0);
        f->listener = (struct listener_report){ .name = "http", .port = 80, .serves = true };
        f->gw = (struct gateway_report){ .id = { OBJECT_GATEWAY, "ns", "web", 3 }, .pool = "default", .class_name = "c", .serves = true,
                                         .addresses = &f->addr, .n_addresses = 1, .listeners = &f->listener, .n_listeners = 1 };
        f->pool = (struct pool_output){ .pool = "default", .manifest = f->l7 };
        f->t = (struct translation){ .pools = &f->pool, .n_pools = 1, .l4 = f->l4, .gateways = &f->gw, .n_gateways = 1 };
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fix *f = *state;
        struct manifest *all[] = { f->l7, f->l7_routes, f->l7_old, f->l4, f->l4_other, f->l4_elsewhere };
        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                manifest_put(all[i]);
        status_memory_free(f->memory);
        free(f);
        return 0;
}

/* "True Programmed 2/2 shards, 1/1 front ends" of the Gateway; its lines of the document are checked elsewhere. */
static const char *programmed(struct fix *f, const struct dp_ack *acks, size_t n, uint64_t now_ms, int64_t now_s, uint64_t *ret_recheck,
                              int64_t *ret_since)
{
        static char text[512];
        struct status_set *s;
        assert_int_equal(status_build(f->memory, &f->t, acks, n, now_ms, now_s, &s), 0);
        const struct final_condition *c = NULL;
        for (size_t i = 0; i < s->gateways[0].n; i++)
                if (strcmp(s->gateways[0].v[i].type, "Programmed") == 0)
                        c = &s->gateways[0].v[i];
        assert_non_null(c);
        assert_int_equal(c->generation, f->gw.id.generation);
        (void)snprintf(text, sizeof text, "%s %s %s", c->status ? "True" : "False", c->reason, c->message);
        if (ret_recheck)
                *ret_recheck = s->recheck_ms;
        if (ret_since)
                *ret_since = c->since_s;
        status_free(s);
        return text;
}

enum { L7, L7_ROUTES, L7_OLD, L4, L4_OTHER, L4_ELSEWHERE, NONE };
static const struct manifest *which(const struct fix *f, int w)
{
        const struct manifest *all[] = { f->l7, f->l7_routes, f->l7_old, f->l4, f->l4_other, f->l4_elsewhere, NULL };
        return all[w];
}

static void test_acks(void **state)
{
        struct fix *f = *state;
        static const struct { const char *name; struct { bool connected; uint64_t gone_ms; int at; const char *refused; } s1, s2, l4; const char *want; } cases[] = {
                { "all at it", { true, 0, L7, NULL }, { true, 0, L7, NULL }, { true, 0, L4, NULL }, "True Programmed 2/2 shards, 1/1 front ends" },
                { "routes differ, same generation", { true, 0, L7_ROUTES, NULL }, { true, 0, L7, NULL }, { true, 0, L4, NULL }, "True Programmed 2/2 shards, 1/1 front ends" },
                { "one at the generation before", { true, 0, L7, NULL }, { true, 0, L7_OLD, NULL }, { true, 0, L4, NULL }, "False Pending 1/2 shards, 1/1 front ends" },
                { "one has nothing", { true, 0, L7, NULL }, { true, 0, NONE, NULL }, { true, 0, L4, NULL }, "False Pending 1/2 shards, 1/1 front ends" },
                { "front tier behind", { true, 0, L7, NULL }, { true, 0, L7, NULL }, { true, 0, L4_OTHER, NULL }, "False Pending 2/2 shards, 0/1 front ends" },
                { "front tier sends it elsewhere", { true, 0, L7, NULL }, { true, 0, L7, NULL }, { true, 0, L4_ELSEWHERE, NULL }, "False Pending 2/2 shards, 0/1 front ends" },
                { "one gone a moment ago", { true, 0, L7, NULL }, { false, NOW_MS - 1, L7, NULL }, { true, 0, L4, NULL }, "False Pending 1/2 shards, 1/1 front ends" },
                { "one gone for long", { true, 0, L7, NULL }, { false, NOW_MS - STATUS_GONE_MS, L7, NULL }, { true, 0, L4, NULL }, "True Programmed 1/2 shards, 1/1 front ends" },
                { "nobody ever came", { false, 0, NONE, NULL }, { false, 0, NONE, NULL }, { false, 0, NONE, NULL }, "False Pending 0/2 shards, 0/1 front ends" },
                { "no front tier", { true, 0, L7, NULL }, { true, 0, L7, NULL }, { false, 0, NONE, NULL }, "False Pending 2/2 shards, 0/1 front ends" },
                { "refused", { true, 0, L7, NULL }, { true, 0, L7_OLD, "no such cipher" }, { true, 0, L4, NULL }, "False Invalid no such cipher" },
                { "refused something later", { true, 0, L7, "a later manifest" }, { true, 0, L7, "a later manifest" }, { true, 0, L4, NULL }, "True Programmed 2/2 shards, 1/1 front ends" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const struct dp_ack acks[] = {
                        { "s1", "default", cases[i].s1.connected, cases[i].s1.gone_ms, which(f, cases[i].s1.at), cases[i].s1.refused },
                        { "s2", "default", cases[i].s2.connected, cases[i].s2.gone_ms, which(f, cases[i].s2.at), cases[i].s2.refused },
                        { "other", "other", true, 0, NULL, NULL }, /* another pool's: never counts */
                        { "l4-1", "", cases[i].l4.connected, cases[i].l4.gone_ms, which(f, cases[i].l4.at), cases[i].l4.refused },
                };
                status_memory_free(f->memory);
                f->memory = status_memory_new();
                const char *got = programmed(f, acks, ARRAY_SIZE(acks), NOW_MS, 1, NULL, NULL);
                if (strcmp(got, cases[i].want) != 0)
                        fail_msg("%s: got \"%s\", want \"%s\"", cases[i].name, got, cases[i].want);
        }
}

static const struct dp_ack *good(struct fix *f, struct dp_ack v[3])
{
        v[0] = (struct dp_ack){ "s1", "default", true, 0, f->l7, NULL };
        v[1] = (struct dp_ack){ "s2", "default", true, 0, f->l7, NULL };
        v[2] = (struct dp_ack){ "l4-1", "", true, 0, f->l4, NULL };
        return v;
}

/* Waiting never takes back a True of the same generation; a new generation, a refusal or a stop does. */
static void test_held(void **state)
{
        struct fix *f = *state;
        struct dp_ack v[3];
        int64_t since;
        assert_string_equal(programmed(f, good(f, v), 3, NOW_MS, 10, NULL, &since), "True Programmed 2/2 shards, 1/1 front ends");
        assert_int_equal(since, 10);
        v[0].connected = v[1].connected = false;
        v[0].gone_ms = v[1].gone_ms = NOW_MS;
        assert_string_equal(programmed(f, v, 3, NOW_MS, 20, NULL, &since), "True Programmed 0/2 shards, 1/1 front ends");
        assert_int_equal(since, 10);
        (void)good(f, v);
        v[1].active = f->l7_old;
        v[1].refused = "no";
        assert_string_equal(programmed(f, v, 3, NOW_MS, 30, NULL, &since), "False Invalid no");
        assert_int_equal(since, 30);
        assert_string_equal(programmed(f, good(f, v), 3, NOW_MS, 40, NULL, &since), "True Programmed 2/2 shards, 1/1 front ends");
        assert_int_equal(since, 40);
        f->gw.id.generation = 4; /* the manifests carry 3 */
        f->pool.manifest = f->l7_old;
        assert_string_equal(programmed(f, v, 3, NOW_MS, 50, NULL, &since), "False Pending 0/2 shards, 1/1 front ends");
        f->gw.id.generation = 3;
        f->pool.manifest = f->l7;
        f->gw.stop_reason = "AddressNotUsable";
        f->gw.stop = "taken";
        assert_string_equal(programmed(f, v, 3, NOW_MS, 60, NULL, &since), "False AddressNotUsable taken");
        assert_int_equal(since, 50);
}

/* A refusal is told by the Gateway it is about, not by all that wait for the same manifest. */
static void test_refused_of(void **state)
{
        static const struct { const char *of, *want; } rows[] = {
                { NULL, "False Invalid no" }, { "", "False Invalid no" }, { "Gateway ns/web", "False Invalid no" },
                { "Gateway ns/web2", "False Pending 1/2 shards, 1/1 front ends" },
                { "HTTPRoute app/mine", "False Invalid no" },
                { "HTTPRoute ns/own", "False Invalid no" },
                { "HTTPRoute app/other", "False Pending 1/2 shards, 1/1 front ends" },
                { "HTTPRoute app/gone", "False Pending 1/2 shards, 1/1 front ends" },
                { "HTTPRoute app/by-set", "False Invalid no" }, { "ListenerSet ns/set", "False Invalid no" },
                { "HTTPRoute app/by-other", "False Pending 1/2 shards, 1/1 front ends" },
                { "Secret ns/web", "False Pending 1/2 shards, 1/1 front ends" },
        };
        struct fix *f = *state;
        struct dp_ack v[3];
        struct route_parent_report mine = { .parent = { .kind = "Gateway", .namespace = "ns", .name = "web", .section_name = "" } };
        struct route_parent_report own = { .parent = { .kind = "Gateway", .namespace = "", .name = "web", .section_name = "" } };
        struct route_parent_report by_set = { .parent = { .kind = "ListenerSet", .namespace = "ns", .name = "set", .section_name = "" } };
        struct route_parent_report by_other = { .parent = { .kind = "ListenerSet", .namespace = "ns", .name = "web", .section_name = "" } };
        struct listener_set_report sets[] = { { .id = { OBJECT_LISTENER_SET, "ns", "set", 1 }, .gateway = 0, .accepted = { "Accepted", true, "", "" } } };
        struct route_report routes[] = { { .id = { OBJECT_HTTP_ROUTE, "app", "mine", 1 }, .parents = &mine, .n_parents = 1 },
                                         { .id = { OBJECT_HTTP_ROUTE, "app", "other", 1 }, .parents = &own, .n_parents = 1 },
                                         { .id = { OBJECT_HTTP_ROUTE, "ns", "own", 1 }, .parents = &own, .n_parents = 1 },
                                         { .id = { OBJECT_HTTP_ROUTE, "app", "by-set", 1 }, .parents = &by_set, .n_parents = 1 },
                                         { .id = { OBJECT_HTTP_ROUTE, "app", "by-other", 1 }, .parents = &by_other, .n_parents = 1 } };
        f->t.sets = sets;
        f->t.n_sets = 1;
        f->t.routes = routes;
        f->t.n_routes = ARRAY_SIZE(routes);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                (void)good(f, v);
                v[1].active = f->l7_old;
                v[1].refused = "no";
                v[1].refused_of = rows[i].of;
                const char *got = programmed(f, v, 3, NOW_MS, 1, NULL, NULL);
                if (strcmp(got, rows[i].want) != 0)
                        fail_msg("%s: got \"%s\"", rows[i].of, got);
        }
}

static void test_recheck(void **state)
{
        struct fix *f = *state;
        struct dp_ack v[3];
        uint64_t at;
        (void)good(f, v);
        v[1].connected = false;
        v[1].gone_ms = NOW_MS - 4000;
        assert_string_equal(programmed(f, v, 3, NOW_MS, 1, &at, NULL), "False Pending 1/2 shards, 1/1 front ends");
        assert_int_equal(at, NOW_MS - 4000 + STATUS_GONE_MS);
        assert_string_equal(programmed(f, v, 3, at, 2, &at, NULL), "True Programmed 1/2 shards, 1/1 front ends");
        assert_int_equal(at, 0);
}

/* What was read back from disk counts like what was said in this life. */
static void test_memory(void **state)
{
        struct fix *f = *state;
        struct dp_ack v[3];
        struct arena a;
        int64_t since;
        arena_init(&a, 4096, SIZE_MAX);
        const char *key = status_key(&a, OBJECT_GATEWAY, "ns", "web", "", "Programmed");
        assert_int_equal(status_memory_put(f->memory, key, true, 3, 7), 0);
        (void)good(f, v);
        v[0].active = v[1].active = v[2].active = NULL;
        assert_string_equal(programmed(f, v, 3, NOW_MS, 99, NULL, &since), "True Programmed 0/2 shards, 0/1 front ends");
        assert_int_equal(since, 7);
        arena_fini(&a);
}

static void test_text(void **state)
{
        struct fix *f = *state;
        struct dp_ack v[3];
        struct status_set *s;
        struct status_doc *docs;
        struct arena a;
        size_t n;
        arena_init(&a, 4096, SIZE_MAX);
        f->listener.conditions[0] = (struct condition){ "Accepted", true, "Accepted", "odd: \"text\"\n\\" };
        f->listener.n_conditions = 1;
        assert_int_equal(status_build(f->memory, &f->t, good(f, v), 3, NOW_MS, 1767225600, &s), 0);
        assert_int_equal(status_docs(s, "example.com/c", &a, &docs, &n), 0);
        assert_int_equal(n, 1);
        const char *text = arena_printf(&a, "%.*s", SPAN_FMT(docs[0].text));
        static const char *const want[] = {
                "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: web\n  namespace: ns\n  generation: 3\n",
                "  addresses:\n  - type: IPAddress\n    value: \"192.0.2.1\"\n",
                "  - type: Programmed\n    status: \"True\"\n    observedGeneration: 3\n    lastTransitionTime: \"2026-01-01T00:00:00Z\"\n    reason: Programmed\n",
                "message: \"odd: \\\"text\\\"\\u000a\\\\\"\n",
        };
        for (size_t i = 0; i < ARRAY_SIZE(want); i++)
                if (!strstr(text, want[i]))
                        fail_msg("missing:\n%s\nin:\n%s", want[i], text);
        status_free(s);
        arena_fini(&a);
}

static void test_times(void **state)
{
        static const struct { int64_t s; const char *text; } cases[] = {
                { 0, "1970-01-01T00:00:00Z" },          { 951782399, "2000-02-28T23:59:59Z" }, { 951782400, "2000-02-29T00:00:00Z" },
                { 1767225600, "2026-01-01T00:00:00Z" }, { 4107542400, "2100-03-01T00:00:00Z" }, { -1, "1969-12-31T23:59:59Z" },
        };
        static const char *const bad[] = { "", "2026-01-01", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00+", "2026-01-01T24:00:00Z", "x026-01-01T00:00:00Z" };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char text[32];
                int64_t back;
                assert_string_equal(time_text(cases[i].s, text), cases[i].text);
                assert_int_equal(time_parse(text, &back), 0);
                assert_true(back == cases[i].s);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                int64_t back;
                assert_int_equal(time_parse(bad[i], &back), -EINVAL);
        }
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        const struct CMUnitTest tests[] = { T(test_acks), T(test_held), T(test_refused_of), T(test_recheck), T(test_memory), T(test_text), cmocka_unit_test(test_times) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
