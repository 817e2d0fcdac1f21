/* tests/unit/agent/store_test.c - what a load changes, generations, look-ups, grants; and every allocation failing once. */
#include "agent/core/generations.h"
#include "tests/unit/agent/decode_fixture.h"

/* Every allocation of ours goes through here: number fail_at fails, 0 = none (linked with --wrap). */
static size_t allocations, fail_at;
static bool fails(void) { return ++allocations == fail_at; }
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }
void *__wrap_reallocarray(void *p, size_t n, size_t size) { return fails() ? NULL : __real_reallocarray(p, n, size); }

#define CONFIG(name, meta, value) \
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: " name ", namespace: ns" meta "}, data: {a: " value "}}"
#define SLICE(name, service, address) \
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: " name ", namespace: ns, labels: " \
        "{kubernetes.io/service-name: " service "}}, addressType: IPv4, endpoints: [{addresses: [" address "]}]}"

/* Applies the documents (NULL-terminated) as one load. */
static int apply(struct store *s, const char *const *docs, struct store_changes *c, struct err *err)
{
        struct object *objs[16];
        size_t n = 0;
        for (; docs[n]; n++)
                objs[n] = decode_ok(docs[n]);
        return store_apply_all(s, objs, n, c, err);
}
static int64_t generation(const struct store *s, const char *name)
{
        const struct object *o = store_get(s, OBJECT_CONFIG_MAP, "ns", name);
        return o ? o->generation : -1;
}

/* Loads one after the other into one store: what each changes, and the generation of ConfigMap a after it (-1 = gone). */
static void loads(void **state)
{
        static const struct {
                const char *name;
                const char *docs[5];
                size_t added, changed, removed;
                bool endpoints_only;
                int64_t generation;
        } rows[] = {
                { "first: implies its namespace", { CONFIG("a", "", "x"), SLICE("s1", "web", "192.0.2.1") }, 3, 0, 0, false, 1 },
                { "same again", { SLICE("s1", "web", "192.0.2.1"), CONFIG("a", "", "x") }, 0, 0, 0, false, 1 },
                { "metadata only", { CONFIG("a", ", labels: {x: y}", "x"), SLICE("s1", "web", "192.0.2.1") }, 0, 1, 0, false, 1 },
                { "content", { CONFIG("a", ", labels: {x: y}", "z"), SLICE("s1", "web", "192.0.2.1") }, 0, 1, 0, false, 2 },
                { "a slice only", { CONFIG("a", ", labels: {x: y}", "z"), SLICE("s1", "web", "192.0.2.2") }, 0, 1, 0, true, 2 },
                { "slice comes", { CONFIG("a", ", labels: {x: y}", "z"), SLICE("s1", "web", "192.0.2.2"), SLICE("s2", "web", "192.0.2.3") },
                  1, 0, 0, true, 2 },
                { "slice goes, and content", { CONFIG("a", "", "w"), SLICE("s1", "web", "192.0.2.2") }, 0, 1, 1, false, 3 },
                { "generation carried", { CONFIG("a", ", generation: 9", "w"), SLICE("s1", "web", "192.0.2.2") }, 0, 1, 0, false, 9 },
                { "the namespace declared", { CONFIG("a", ", generation: 9", "w"), SLICE("s1", "web", "192.0.2.2"),
                  "{apiVersion: v1, kind: Namespace, metadata: {name: ns, labels: {team: a}}}" }, 0, 1, 0, false, 9 },
                { "nothing at all", { NULL }, 0, 0, 3, false, -1 },
                { "back: counted anew", { CONFIG("a", "", "w") }, 2, 0, 0, false, 1 },
        };
        struct store *s = store_new();
        assert_non_null(s);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct store_changes c = { 0 };
                struct err err = { 0 };
                if (apply(s, rows[i].docs, &c, &err) < 0)
                        fail_msg("%s: %s %s", rows[i].name, err.place, err.msg);
                if (c.added != rows[i].added || c.changed != rows[i].changed || c.removed != rows[i].removed ||
                    c.endpoints_only != rows[i].endpoints_only || generation(s, "a") != rows[i].generation)
                        fail_msg("%s: added %zu changed %zu removed %zu endpoints_only %d generation %lld", rows[i].name, c.added,
                                 c.changed, c.removed, c.endpoints_only, (long long)generation(s, "a"));
        }
        store_free(s);
}

/* Generations as text: what is read back counts on; what is not whole is nothing. */
static void generations_survive(void **state)
{
        static const struct { const char *name, *docs[4]; int changed; int64_t a; bool again; } rows[] = {
                { "first", { CONFIG("a", "", "x"), SLICE("s", "web", "192.0.2.1") }, 1, 1, false },
                { "restart", { CONFIG("a", "", "x") }, 0, 1, true },
                { "edit", { CONFIG("a", "", "y") }, 1, 2, false },
                { "metadata", { CONFIG("a", ", labels: {x: y}", "y") }, 0, 2, false },
                { "edit while away", { CONFIG("a", "", "z") }, 1, 3, true },
                { "another", { CONFIG("a", "", "z"), CONFIG("b", "", "z") }, 1, 3, true },
                { "it goes", { CONFIG("a", "", "z"), SLICE("s", "web", "192.0.2.1") }, 1, 3, true },
                { "carried", { CONFIG("a", ", generation: 9", "z") }, 1, 9, true },
                { "no longer", { CONFIG("a", "", "w") }, 1, 10, true },
        };
        struct generations *g = generations_new();
        struct buf b;
        buf_init(&b, 1 << 20);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct object *objs[4];
                size_t n = 0;
                if (rows[i].again) {
                        generations_free(g);
                        g = generations_new();
                        assert_int_equal(generations_read(g, buf_span(&b)), 0);
                }
                for (; n < 4 && rows[i].docs[n]; n++)
                        objs[n] = decode_ok(rows[i].docs[n]);
                int changed = generations_assign(g, objs, n);
                if (changed != rows[i].changed || objs[0]->generation != rows[i].a)
                        fail_msg("%s: changed %d, generation %lld", rows[i].name, changed, (long long)objs[0]->generation);
                buf_reset(&b);
                generations_print(g, &b);
                assert_false(b.failed);
                for (size_t k = 0; k < n; k++)
                        object_free(objs[k]);
        }
        for (size_t n = 0; n < b.n; n++) {
                int r = generations_read(g, SPAN(b.p, n));
                if (r != -EINVAL && n != strlen("gatehouse generations 1\n"))
                        fail_msg("cut at %zu: %d", n, r);
        }
        buf_fini(&b);
        generations_free(g);
}

static void unchanged_objects_stay(void **state)
{
        struct store *s = store_new();
        struct store_changes c;
        struct err err;
        assert_int_equal(apply(s, (const char *const[]){ CONFIG("a", "", "x"), NULL }, &c, &err), 0);
        const struct object *before = store_get(s, OBJECT_CONFIG_MAP, "ns", "a");
        assert_int_equal(apply(s, (const char *const[]){ CONFIG("a", "", "x"), CONFIG("b", "", "x"), NULL }, &c, &err), 0);
        assert_ptr_equal(store_get(s, OBJECT_CONFIG_MAP, "ns", "a"), before);
        store_free(s);
}

static void duplicates_change_nothing(void **state)
{
        struct store *s = store_new();
        struct store_changes c;
        struct err err;
        assert_int_equal(apply(s, (const char *const[]){ CONFIG("a", "", "x"), NULL }, &c, &err), 0);
        assert_int_equal(apply(s, (const char *const[]){ CONFIG("a", "", "y"), CONFIG("b", "", "y"), "\n\n" CONFIG("a", "", "z"), NULL },
                               &c, &err), -EEXIST);
        assert_non_null(strstr(err.msg, "ConfigMap ns/a: already declared at t.yaml:"));
        assert_non_null(strstr(err.place, "t.yaml:"));
        assert_string_not_equal(strstr(err.msg, "t.yaml:"), err.place); /* both places are named */
        assert_int_equal(generation(s, "a"), 1);
        assert_int_equal(generation(s, "b"), -1);

        struct object *one[] = { decode_ok(CONFIG("a", "", "x")), decode_ok(CONFIG("a", "", "x")) };
        assert_int_equal(objects_check_unique(one, 1, &err), 0);
        assert_int_equal(objects_check_unique(one, 2, &err), -EEXIST);
        assert_int_equal(objects_check_unique(NULL, 0, &err), 0);
        object_free(one[0]);
        object_free(one[1]);
        store_free(s);
}

static void namespaces(void **state)
{
        struct store *s = store_new();
        struct store_changes c;
        struct err err;
        size_t n;
        assert_int_equal(apply(s, (const char *const[]){
                "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: z}}", CONFIG("a", "", "x"), CONFIG("b", "", "x"),
                "{apiVersion: v1, kind: Namespace, metadata: {name: m, labels: {team: a}}}",
                "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: m}}",
                "{apiVersion: v1, kind: Namespace, metadata: {name: unused}}", NULL }, &c, &err), 0);
        const struct object *const *all = store_all(s, OBJECT_NAMESPACE, &n);
        assert_int_equal(n, 4);
        static const char *const want[] = { "m", "ns", "unused", "z" };
        for (size_t i = 0; i < n; i++) {
                assert_string_equal(all[i]->name, want[i]);
                assert_string_equal(labels_get(&all[i]->labels, "kubernetes.io/metadata.name"), want[i]);
        }
        assert_string_equal(labels_get(&all[0]->labels, "team"), "a");
        assert_string_equal(all[1]->origin, "implied");
        store_free(s);
}

static void put_and_del(void **state)
{
        static const char *const order[] = { "c", "a", "d", "b" };
        struct store *s = store_new();
        for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
                char text[256];
                snprintf(text, sizeof text, CONFIG("%s", "", "x"), order[i]);
                assert_int_equal(store_put(s, decode_ok(text)), 0);
        }
        size_t n;
        const struct object *const *all = store_all(s, OBJECT_CONFIG_MAP, &n);
        assert_int_equal(n, 4);
        for (size_t i = 1; i < n; i++)
                assert_true(strcmp(all[i - 1]->name, all[i]->name) < 0);
        assert_int_equal(store_put(s, decode_ok(CONFIG("b", "", "x"))), 0);
        assert_int_equal(generation(s, "b"), 1);
        assert_int_equal(store_put(s, decode_ok(CONFIG("b", "", "y"))), 0);
        assert_int_equal(generation(s, "b"), 2);
        store_del(s, OBJECT_CONFIG_MAP, "ns", "b");
        store_del(s, OBJECT_CONFIG_MAP, "ns", "none");
        store_del(s, OBJECT_CONFIG_MAP, "other", "a");
        assert_int_equal(generation(s, "b"), -1);
        assert_int_equal(generation(s, "a"), 1);
        assert_null(store_get(s, OBJECT_SECRET, "ns", "a"));
        store_free(s);
}

static void names_of(const struct store *s, const char *service, char *ret, size_t size)
{
        size_t n, at = 0;
        const struct endpoint_slice *const *v = store_slices(s, "ns", service, &n);
        ret[0] = '\0';
        for (size_t i = 0; i < n; i++)
                at += (size_t)snprintf(ret + at, size - at, "%s ", v[i]->o.name);
}
static void slices_by_service(void **state)
{
        struct store *s = store_new();
        struct store_changes c;
        struct err err;
        char got[64];
        assert_int_equal(apply(s, (const char *const[]){ SLICE("c", "web", "192.0.2.1"), SLICE("a", "web", "192.0.2.2"),
                                                         SLICE("b", "api", "192.0.2.3"), SLICE("x", "webby", "192.0.2.4"), NULL }, &c, &err), 0);
        names_of(s, "web", got, sizeof got);
        assert_string_equal(got, "a c ");
        names_of(s, "api", got, sizeof got);
        assert_string_equal(got, "b ");
        names_of(s, "we", got, sizeof got);
        assert_string_equal(got, "");
        /* single changes move a slice to another service, and remove it */
        assert_int_equal(store_put(s, decode_ok(SLICE("a", "api", "192.0.2.2"))), 0);
        names_of(s, "web", got, sizeof got);
        assert_string_equal(got, "c ");
        names_of(s, "api", got, sizeof got);
        assert_string_equal(got, "a b ");
        store_del(s, OBJECT_ENDPOINT_SLICE, "ns", "b");
        names_of(s, "api", got, sizeof got);
        assert_string_equal(got, "a ");
        store_free(s);
}

/* HTTPRoute of namespace "routes" to Service "web" of namespace "backends": by which grants? */
static void grants(void **state)
{
#define GRANT(ns, from, to) \
        "{apiVersion: gateway.networking.k8s.io/v1, kind: ReferenceGrant, metadata: {name: g, namespace: " ns "}, spec: {from: [" from \
        "], to: [" to "]}}"
#define FROM(group, kind, ns) "{group: " group ", kind: " kind ", namespace: " ns "}"
#define GW "gateway.networking.k8s.io"
        static const struct {
                const char *name, *grant;
                bool want;
        } rows[] = {
                { "right, any name", GRANT("backends", FROM(GW, "HTTPRoute", "routes"), "{group: '', kind: Service}"), true },
                { "right, by name", GRANT("backends", FROM(GW, "HTTPRoute", "routes"), "{group: '', kind: Service, name: web}"), true },
                { "right, second of each", GRANT("backends", FROM(GW, "Gateway", "x") "," FROM(GW, "HTTPRoute", "routes"),
                  "{group: '', kind: Secret}, {group: '', kind: Service, name: web}"), true },
                { "in the wrong namespace", GRANT("routes", FROM(GW, "HTTPRoute", "routes"), "{group: '', kind: Service}"), false },
                { "from the wrong group", GRANT("backends", FROM("other.io", "HTTPRoute", "routes"), "{group: '', kind: Service}"), false },
                { "from the wrong kind", GRANT("backends", FROM(GW, "Gateway", "routes"), "{group: '', kind: Service}"), false },
                { "from the wrong namespace", GRANT("backends", FROM(GW, "HTTPRoute", "others"), "{group: '', kind: Service}"), false },
                { "to the wrong group", GRANT("backends", FROM(GW, "HTTPRoute", "routes"), "{group: other.io, kind: Service}"), false },
                { "to the wrong kind", GRANT("backends", FROM(GW, "HTTPRoute", "routes"), "{group: '', kind: Secret}"), false },
                { "to the wrong name", GRANT("backends", FROM(GW, "HTTPRoute", "routes"), "{group: '', kind: Service, name: api}"), false },
                { "right from, but Secrets only", GRANT("backends", FROM(GW, "HTTPRoute", "routes") "," FROM(GW, "Gateway", "g"),
                  "{group: '', kind: Secret}"), false },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct store *s = store_new();
                struct store_changes c;
                struct err err;
                assert_int_equal(apply(s, (const char *const[]){ rows[i].grant, NULL }, &c, &err), 0);
                if (store_granted(s, GW, "HTTPRoute", "routes", "", "Service", "backends", "web") != rows[i].want)
                        fail_msg("%s", rows[i].name);
                assert_true(store_granted(s, GW, "HTTPRoute", "backends", "", "Service", "backends", "web")); /* own namespace */
                store_free(s);
        }
}

/* Decodes and applies with the n-th allocation failing, for every n: an error, the old content, nothing leaked (ASan). */
static void each_allocation_fails_once(void **state)
{
        struct store *s = store_new();
        struct store_changes c;
        struct err err;
        assert_int_equal(apply(s, (const char *const[]){ CONFIG("a", "", "x"), NULL }, &c, &err), 0);
        for (size_t n = 1;; n++) {
                struct object *o = NULL, *slice = decode_ok(SLICE("s", "web", "192.0.2.1"));
                bool done = false;
                allocations = 0;
                fail_at = n;
                int r = decode_text("{apiVersion: v1, kind: Secret, metadata: {name: b, namespace: other, labels: {a: b}}, stringData: {a: b}}",
                                    &o, &err);
                if (r == 0)
                        r = store_apply_all(s, (struct object *[]){ o, slice }, 2, &c, &err);
                else
                        object_free(slice);
                done = allocations < n;
                fail_at = 0;
                if (done) {
                        assert_int_equal(r, 0);
                        break;
                }
                if (r == 0) /* a failure that only cost speed would be fine, but there is none */
                        fail_msg("allocation %zu failed unnoticed", n);
                assert_int_equal(r, -ENOMEM);
                assert_int_equal(generation(s, "a"), 1);
                assert_true(n < 200);
        }
        assert_non_null(store_get(s, OBJECT_SECRET, "other", "b"));
        assert_int_equal(generation(s, "a"), -1);
        store_free(s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(loads), cmocka_unit_test(generations_survive), cmocka_unit_test(unchanged_objects_stay), cmocka_unit_test(duplicates_change_nothing),
                cmocka_unit_test(namespaces), cmocka_unit_test(put_and_del), cmocka_unit_test(slices_by_service),
                cmocka_unit_test(grants), cmocka_unit_test(each_allocation_fails_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
