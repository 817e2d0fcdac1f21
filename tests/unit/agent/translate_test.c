/* tests/unit/agent/translate_test.c - what golden files cannot show of agent/core/translate: running out of memory at any
 * point, versions of endpoint sets over time, the endpoint fast path, and agent/core/retain. */
#include "lib/base.h"
#include "agent/core/decode.h"
#include "agent/core/retain.h"
#include "agent/core/status.h"
#include "agent/io/yaml.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static size_t allocations, fail_at; /* the fail_at-th allocation fails; 0 = none */
static bool fails(void) { return ++allocations == fail_at; }
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size) { return fails() ? NULL : __real_reallocarray(p, n, size); }

#define GW "{apiVersion: gateway.networking.k8s.io/v1, kind: "
#define CLASS GW "GatewayClass, metadata: {name: c}, spec: {controllerName: x.dev/gw}}\n---\n"
#define GATEWAY(name, labels) GW "Gateway, metadata: {name: " name ", labels: {" labels "}}, spec: {gatewayClassName: c, listeners: [" \
        "{name: http, port: 80, protocol: HTTP}, {name: tls, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: s}]}}]}}\n---\n"
#define ROUTE(name, parent) GW "HTTPRoute, metadata: {name: " name "}, spec: {parentRefs: [{name: " parent "}], hostnames: [a.example, b.example], rules: [" \
        "{matches: [{path: {value: /a}, headers: [{name: H, value: v}]}], filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: A, value: b}]}}], " \
        "backendRefs: [{name: app, port: 80}, {name: gone, port: 80}]}]}}\n---\n"
#define SERVICE(name) "{apiVersion: v1, kind: Service, metadata: {name: " name "}, spec: {ports: [{port: 80}]}}\n---\n"
#define SLICE(name, service, addrs) "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: " name ", labels: {kubernetes.io/service-name: " service "}}, " \
        "addressType: IPv4, ports: [{name: '', port: 8080}], endpoints: [{addresses: [" addrs "]}]}\n---\n"
#define SECRET "{apiVersion: v1, kind: Secret, metadata: {name: s}, type: kubernetes.io/tls, stringData: {tls.crt: chain, tls.key: key}}\n---\n"

static int fake_cert(struct span chain, struct span key, struct span ocsp, struct arena *a, struct cert_facts *ret, struct err *reterr)
{
        ret->names = arena_calloc(a, 1, sizeof *ret->names);
        ret->names[0] = "a.example"; /* the test's arena never fails here: see test_out_of_memory */
        ret->n_names = 1;
        return 0;
}
static int fake_cert_checked(struct span chain, struct span key, struct span ocsp, struct arena *a, struct cert_facts *ret, struct err *reterr)
{
        ret->names = arena_calloc(a, 1, sizeof *ret->names);
        if (!ret->names)
                return -ENOMEM;
        ret->names[0] = "a.example";
        ret->n_names = 1;
        return 0;
}

static struct shard_conf shards[] = { { .name = "s1", .health_port = 9000 } };
static struct label team_a[] = { { "team", "a" } };
static struct pool_conf pools[] = { { .name = "default", .shards = shards, .n_shards = 1 },
                                    { .name = "a", .shards = shards, .n_shards = 1, .select = { .match_labels = { team_a, 1 } } } };
static struct ipprefix vips[2];
static struct translate_conf conf = { .controller_name = "x.dev/gw", .pools = pools, .n_pools = 2, .vip_pools = vips, .n_vip_pools = 2,
                                      .cert_read = fake_cert };

static int group_setup(void **state)
{
        assert_int_equal(ipprefix_parse(span_str("192.0.2.0/24"), &vips[0]), 0);
        assert_int_equal(ipprefix_parse(span_str("2001:db8::/64"), &vips[1]), 0);
        assert_int_equal(ipaddr_parse(span_str("10.0.0.1"), &shards[0].addr4), 0);
        return 0;
}

static void apply(struct store *s, const char *text)
{
        struct arena a;
        struct yaml_docs docs;
        struct object *objs[32];
        struct store_changes ch;
        struct err e = { 0 };
        size_t n = 0;
        arena_init(&a, 4096, SIZE_MAX);
        if (yaml_read(span_str(text), "test", &a, &docs, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        for (size_t i = 0; i < docs.n; i++)
                if (object_decode(docs.v[i], "test", "default", &objs[n++], &e) < 0)
                        fail_msg("%s: %s", e.place, e.msg);
        assert_int_equal(store_apply_all(s, objs, n, &ch, &e), 0);
        arena_fini(&a);
}

static struct translation *run(const struct store *s, const struct translation *prev)
{
        struct translation *t;
        struct err e = { 0 };
        if (translate(s, &conf, NULL, 0, NULL, 0, 1, prev, &t, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        return t;
}

static const char whole[] = CLASS GATEWAY("web", "") GATEWAY("other", "team: a") ROUTE("r1", "web") ROUTE("r2", "other") SERVICE("app")
        SLICE("app-1", "app", "10.1.0.1") SECRET;

/* Every allocation of a translation and of its statuses fails once: -ENOMEM and nothing leaks (ASan build). */
static void test_out_of_memory(void **state)
{
        struct store *s = store_new();
        size_t n = 0;
        apply(s, whole);
        conf.cert_read = fake_cert_checked;
        for (bool done = false; !done; n++) {
                struct translation *t = NULL;
                struct status_set *set = NULL;
                struct status_memory *m = status_memory_new();
                struct err e = { 0 };
                allocations = 0;
                fail_at = n + 1;
                int r = translate(s, &conf, NULL, 0, NULL, 0, 1, NULL, &t, &e);
                if (r == 0)
                        r = status_build(m, t, NULL, 0, 0, 0, &set);
                done = allocations < fail_at;
                fail_at = 0;
                if (done)
                        assert_int_equal(r, 0);
                else if (r != -ENOMEM)
                        fail_msg("allocation %zu of %zu: %d", n + 1, allocations, r);
                status_free(set);
                translation_free(t);
                status_memory_free(m);
        }
        assert_true(n > 20);
        conf.cert_read = fake_cert;
        store_free(s);
}

static uint64_t version_of(const struct translation *t, size_t pool, const char *id)
{
        for (size_t i = 0; i < t->pools[pool].n_sets; i++)
                if (strcmp(t->pools[pool].sets[i].id, id) == 0)
                        return t->pools[pool].sets[i].version;
        return 0;
}

#define BASE CLASS GATEWAY("web", "") ROUTE("r1", "web") SERVICE("app") SECRET

static void test_versions(void **state)
{
        struct store *s = store_new();
        apply(s, BASE SLICE("app-1", "app", "10.1.0.1"));
        struct translation *t1 = run(s, NULL), *again = run(s, t1);
        assert_int_equal(version_of(t1, 0, "default/app:80"), 1);
        assert_int_equal(version_of(again, 0, "default/app:80"), 1); /* same content, same number, same bytes */
        assert_memory_equal(t1->pools[0].manifest->hash.b, again->pools[0].manifest->hash.b, SHA256_BYTES);
        apply(s, BASE SLICE("app-1", "app", "10.1.0.2"));
        struct translation *t2 = run(s, again), *fresh = run(s, NULL);
        assert_int_equal(version_of(t2, 0, "default/app:80"), 2);
        assert_int_equal(version_of(fresh, 0, "default/app:80"), 1);
        /* a set that was away is newer than all that were seen, or who missed the gap would keep what it has */
        apply(s, CLASS GATEWAY("web", ""));
        struct translation *gap = run(s, t2);
        apply(s, BASE SLICE("app-1", "app", "10.1.0.1"));
        struct translation *back = run(s, gap);
        assert_int_equal(version_of(gap, 0, "default/app:80"), 0);
        assert_int_equal(version_of(back, 0, "default/app:80"), 3);
        struct translation *all[] = { t1, again, t2, fresh, gap, back };
        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                translation_free(all[i]);
        store_free(s);
}

/* The fast path says exactly what changed, once, with the number the next translation goes on from. */
static void test_fast_path(void **state)
{
        struct store *s = store_new();
        struct arena a;
        Model__EndpointSet **sets;
        arena_init(&a, 4096, SIZE_MAX);
        apply(s, BASE SLICE("app-1", "app", "10.1.0.1"));
        struct translation *t = run(s, NULL);
        assert_int_equal(translate_endpoints(s, &t->pools[0], &a, &sets), 0);
        apply(s, BASE SLICE("app-1", "app", "10.1.0.1") SLICE("app-2", "app", "10.1.0.3"));
        assert_int_equal(translate_endpoints(s, &t->pools[0], &a, &sets), 1);
        assert_string_equal(sets[0]->id, "default/app:80");
        assert_int_equal(sets[0]->n_endpoints, 2);
        assert_int_equal(sets[0]->version, 2);
        assert_int_equal(translate_endpoints(s, &t->pools[0], &a, &sets), 0);
        assert_int_equal(translate_endpoints(s, &t->pools[1], &a, &sets), 0); /* the other pool does not use it */
        struct translation *next = run(s, t);
        assert_int_equal(version_of(next, 0, "default/app:80"), 2);
        translation_free(next);
        translation_free(t);
        store_free(s);
        arena_fini(&a);
}

static Model__Section *section(const struct manifest *m, const char *key)
{
        const struct manifest_entry *e = manifest_find(m, key);
        return e ? model__section__unpack(NULL, e->blob->n, e->blob->p) : NULL;
}

static void test_retain(void **state)
{
        struct store *s = store_new();
        struct manifest *kept;
        struct err e = { 0 };
        apply(s, CLASS GATEWAY("web", "") GATEWAY("stay", "") ROUTE("r1", "web") ROUTE("r2", "stay") SERVICE("app") SECRET);
        struct translation *before = run(s, NULL);
        apply(s, CLASS GATEWAY("web", "team: a") GATEWAY("stay", "") ROUTE("r1", "web") ROUTE("r2", "stay") SERVICE("app") SECRET);
        struct translation *after = NULL;
        assert_int_equal(translate(s, &conf, before->vips, before->n_vips, NULL, 0, 2, before, &after, &e), 0);
        const struct retain_front turning = { NULL, before->l4, after->l4 }, turned = { NULL, after->l4, after->l4 };
        const struct retain_front draining = { before->l4, after->l4, after->l4 };
        /* the front tier still sends web to the first pool: it is kept there, beside what stays */
        assert_int_equal(retain_build(before->pools[0].manifest, after->pools[0].manifest, &turning, "default", &kept, &e), 0);
        assert_non_null(kept);
        assert_non_null(manifest_find(kept, "gateway/default/web"));
        assert_non_null(manifest_find(kept, "gateway/default/stay"));
        assert_null(manifest_find(after->pools[0].manifest, "gateway/default/web"));
        Model__Section *c = section(kept, "clusters/default");
        assert_non_null(c);
        assert_int_equal(c->clusters->n_clusters, 1); /* the same one in both: once */
        model__section__free_unpacked(c, NULL);
        manifest_put(kept);
        /* it has turned, but what came before still drains */
        assert_int_equal(retain_build(before->pools[0].manifest, after->pools[0].manifest, &draining, "default", &kept, &e), 0);
        assert_non_null(kept);
        manifest_put(kept);
        /* it has turned: nothing to keep */
        assert_int_equal(retain_build(before->pools[0].manifest, after->pools[0].manifest, &turned, "default", &kept, &e), 0);
        assert_null(kept);
        /* nothing leaves the other pool */
        assert_int_equal(retain_build(before->pools[1].manifest, after->pools[1].manifest, &turning, "a", &kept, &e), 0);
        assert_null(kept);
        translation_free(after);
        translation_free(before);
        store_free(s);
}

/* Another Gateway takes over the address, but not all ports: only what is left over is retained, or the two would clash. */
static void test_retain_renamed(void **state)
{
        struct store *s = store_new();
        struct manifest *kept;
        struct err e = { 0 };
        apply(s, CLASS GATEWAY("web", "") SECRET);
        struct translation *before = run(s, NULL);
        apply(s, CLASS GW "Gateway, metadata: {name: renamed}, spec: {gatewayClassName: c, listeners: [{name: http, port: 80, protocol: HTTP}]}}\n---\n" SECRET);
        struct translation *after = run(s, before);
        const struct retain_front turning = { NULL, before->l4, after->l4 };
        assert_int_equal(retain_build(before->pools[0].manifest, after->pools[0].manifest, &turning, "default", &kept, &e), 0);
        assert_non_null(kept);
        Model__Section *old = section(kept, "gateway/default/web"), *new = section(kept, "gateway/default/renamed");
        assert_non_null(old);
        assert_non_null(new);
        assert_int_equal(old->gateway->n_listeners, 1);
        assert_string_equal(old->gateway->listeners[0]->id, "default/web/tls");
        assert_int_equal(old->gateway->n_binds, 2); /* IPv4 and IPv6 */
        for (size_t i = 0; i < 2; i++) {
                assert_int_equal(old->gateway->binds[i]->port, 443);
                assert_int_equal(old->gateway->listeners[0]->binds[i], i);
        }
        assert_int_equal(new->gateway->binds[0]->port, 80);
        assert_memory_equal(new->gateway->binds[0]->addr.data, old->gateway->binds[0]->addr.data, 4);
        model__section__free_unpacked(old, NULL);
        model__section__free_unpacked(new, NULL);
        manifest_put(kept);
        translation_free(after);
        translation_free(before);
        store_free(s);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_versions),
                                            cmocka_unit_test(test_fast_path), cmocka_unit_test(test_retain),
                                            cmocka_unit_test(test_retain_renamed) };
        return cmocka_run_group_tests(tests, group_setup, NULL);
}
