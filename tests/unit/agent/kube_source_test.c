/* tests/unit/agent/kube_source_test.c - the agent whole on Kubernetes, in one process: a scripted API server gives objects
 * and takes statuses, a scripted data plane takes what is made of them. */
#include "lib/base.h"
#include "agent/io/pipeline.h"
#include "lib/io/log.h"
#include "tests/unit/agent/fake_api.h"
#include "tests/unit/agent/fake_dp.h"
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#define WAIT_MS 4000
#define WAIT(f, cond)                                                              \
        do {                                                                       \
                uint64_t end_ = loop_now_ms((f)->l) + WAIT_MS;                     \
                while (!(cond)) {                                                  \
                        assert_int_equal(loop_turn((f)->l, 20), 0);                \
                        if (loop_now_ms((f)->l) > end_)                            \
                                fail_msg("waited too long for: %s\n%s\n%s\n%s", #cond, (f)->api.trace, (f)->s1.trace, (f)->gateway); \
                }                                                                  \
        } while (0)

struct fix {
        char dir[64];
        struct loop *l;
        struct settings *conf;
        struct pipeline *p;
        struct fake_api api;
        struct fake_dp s1, front;
        const char *held;             /* path of a list that is left waiting */
        const char *gateway_status;   /* what the Gateway has at first */
        int version_status;           /* of the CRD's answer; 0 = v1.6.3 */
        unsigned rv;
        char class[4096], gateway[8192], route[4096]; /* last patches */
};

#define META(name, rv) "\"metadata\":{\"namespace\":\"default\",\"name\":\"" name "\",\"generation\":1,\"resourceVersion\":\"" rv "\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"}"
#define CLASS "{\"metadata\":{\"name\":\"c\",\"generation\":1,\"resourceVersion\":\"1\"},\"spec\":{\"controllerName\":\"gatehouse.dev/gateway\"}}"
#define GATEWAY(status) "{" META("web", "2") ",\"spec\":{\"gatewayClassName\":\"c\",\"listeners\":[{\"name\":\"http\",\"port\":80,\"protocol\":\"HTTP\"}]}" status "}"
#define ROUTE "{" META("app", "3") ",\"spec\":{\"parentRefs\":[{\"name\":\"web\"}],\"rules\":[{\"backendRefs\":[{\"name\":\"app\",\"port\":80}]}]}}"
#define SERVICE "{" META("app", "4") ",\"spec\":{\"ports\":[{\"port\":80}]}}"
#define SLICE(rv, address) "{\"metadata\":{\"namespace\":\"default\",\"name\":\"app-1\",\"resourceVersion\":\"" rv "\",\"labels\":{\"kubernetes.io/service-name\":\"app\"}}," \
        "\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"\",\"port\":8080}],\"endpoints\":[{\"addresses\":[\"" address "\"]}]}"
#define NAMESPACE "{\"metadata\":{\"name\":\"default\",\"resourceVersion\":\"5\"}}"

static void answer_list(struct fix *f, struct fake_conn *c, const char *item)
{
        char body[4096];
        (void)snprintf(body, sizeof body, "{\"metadata\":{\"resourceVersion\":\"50\"},\"items\":[%.3900s]}", item);
        fake_answer(c, 200, "", body);
}

static void answer_patch(struct fix *f, struct fake_conn *c)
{
        char body[9000];
        const char *status = strstr(c->body, "\"status\":");
        assert_non_null(status);
        char *to = strstr(c->target, "/gatewayclasses/") ? f->class : strstr(c->target, "/gateways/") ? f->gateway : f->route;
        (void)snprintf(to, 4096, "%.4000s", c->body);
        (void)snprintf(body, sizeof body, "{\"metadata\":{\"resourceVersion\":\"%u\",\"generation\":1},%.8000s", ++f->rv, status);
        fake_answer(c, 200, "", body);
}

static void answer(void *arg, struct fake_conn *c)
{
        struct fix *f = arg;
        char gateway[2048];
        (void)snprintf(gateway, sizeof gateway, GATEWAY("%s"), f->gateway_status ? f->gateway_status : "");
        const struct { const char *path, *item; } lists[] = {
                { "/gatewayclasses?limit", CLASS }, { "/gateways?limit", gateway }, { "/httproutes?limit", ROUTE }, { "/grpcroutes?limit", "" }, { "/tcproutes?limit", "" }, { "/tlsroutes?limit", "" }, { "/udproutes?limit", "" }, { "/listenersets?limit", "" }, { "/referencegrants?limit", "" },
                { "/api/v1/services?limit", SERVICE }, { "/endpointslices?limit", SLICE("6", "10.1.0.1") }, { "/api/v1/secrets?limit", "" },
                { "/api/v1/namespaces?limit", NAMESPACE }, { "/backendtlspolicies?limit", "" }, { "/api/v1/configmaps?limit", "" },
        };
        if (strcmp(c->method, "PATCH") == 0) {
                answer_patch(f, c);
                return;
        }
        if (strstr(c->target, "customresourcedefinitions")) {
                fake_answer(c, f->version_status ? f->version_status : 200, "",
                            "{\"metadata\":{\"name\":\"x\",\"annotations\":{\"gateway.networking.k8s.io/bundle-version\":\"v1.6.3\"}}}");
                return;
        }
        if (strstr(c->target, "watch=1")) {
                fake_stream(c);
                return;
        }
        if (f->held && strstr(c->target, f->held))
                return;
        if (strstr(c->target, "/backendpolicies?limit") || strstr(c->target, "/clientpolicies?limit")) { /* a cluster without Gatehouse's CRDs */
                fake_answer(c, strstr(c->target, "backend") ? 404 : 403, "", "{\"kind\":\"Status\",\"message\":\"no such resource\"}");
                return;
        }
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                if (strstr(c->target, lists[i].path)) {
                        answer_list(f, c, lists[i].item);
                        return;
                }
        fail_msg("unexpected %s %s", c->method, c->target);
}

static void put(struct fix *f, const char *name, const char *fmt, ...) PRINTF(3, 4);
static void put(struct fix *f, const char *name, const char *fmt, ...)
{
        char path[128];
        va_list ap;
        (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
        FILE *o = fopen(path, "w");
        assert_non_null(o);
        va_start(ap, fmt);
        vfprintf(o, fmt, ap);
        va_end(ap);
        fclose(o);
}

static int setup(void **state)
{
        struct fix *f = calloc(1, sizeof *f);
        struct err e = { 0 };
        char path[128];
        (void)snprintf(f->dir, sizeof f->dir, "/tmp/gh-kube-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        log_init("test", LOG_ERROR);
        f->l = loop_new();
        f->rv = 100;
        fake_api_init(&f->api, f->l, answer, f);
        put(f, "kubeconfig", "current-context: t\ncontexts: [{name: t, context: {cluster: t, user: t}}]\n"
                             "clusters: [{name: t, cluster: {server: \"http://127.0.0.1:%u\"}}]\nusers: [{name: t, user: {token: abc}}]\n", f->api.port);
        put(f, "agent.cfg", "controller_name = \"gatehouse.dev/gateway\"; source = \"kubernetes\"; kubernetes = { kubeconfig = \"%s/kubeconfig\"; retry_ms = 5; };\n"
                            "listen = { socket = \"%s/agent.sock\"; admin = \"%s/admin.sock\"; };\nl4 = { members = [ \"l4-1\" ]; };\n"
                            "pools = ( { name = \"default\"; shards = ( { name = \"s1\"; address = \"10.0.0.1\"; health_port = 9000; } ); } );\n"
                            "vip_pools = [ \"192.0.2.0/28\" ]; push = { fold_ms = 60000; };\n", f->dir, f->dir, f->dir);
        (void)snprintf(path, sizeof path, "%s/agent.cfg", f->dir);
        if (settings_load(path, &f->conf, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        *state = f;
        return 0;
}

static void start(struct fix *f)
{
        struct err e = { 0 };
        if (pipeline_new(f->l, f->conf, &f->p, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        fake_dp_dial(&f->s1, f->l, f->conf->push.socket, "s1", CONTROL__ROLE__ROLE_L7, "default", NULL);
        fake_dp_dial(&f->front, f->l, f->conf->push.socket, "l4-1", CONTROL__ROLE__ROLE_L4, "", NULL);
}

static int teardown(void **state)
{
        static const char *const files[] = { "kubeconfig", "agent.cfg", "agent.sock" };
        struct fix *f = *state;
        char path[128];
        fake_dp_fini(&f->s1);
        fake_dp_fini(&f->front);
        pipeline_free(f->p);
        fake_api_fini(&f->api);
        loop_free(f->l);
        settings_free(f->conf);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                (void)snprintf(path, sizeof path, "%s/%s", f->dir, files[i]);
                (void)unlink(path);
        }
        assert_int_equal(rmdir(f->dir), 0);
        free(f);
        return 0;
}

static void event(struct fix *f, const char *resource, const char *type, const char *object)
{
        char find[64];
        CLEANUP(buf_fini) struct buf b;
        (void)snprintf(find, sizeof find, "/%s?watch=1", resource);
        WAIT(f, fake_api_find(&f->api, find));
        buf_init(&b, 65536);
        buf_printf(&b, "{\"type\":\"%s\",\"object\":%s}\n", type, object);
        fake_chunk(fake_api_find(&f->api, find), buf_cstr(&b));
}

static bool has(const char *patch, const char *type, const char *status)
{
        char want[256];
        (void)snprintf(want, sizeof want, "\"type\":\"%s\",\"status\":\"%s\"", type, status);
        return strstr(patch, want) != NULL;
}

static void test_from_objects_to_programmed(void **state)
{
        struct fix *f = *state;
        start(f);
        WAIT(f, has(f->gateway, "Programmed", "True"));
        WAIT(f, has(f->route, "Accepted", "True") && has(f->class, "SupportedVersion", "True"));
        assert_non_null(strstr(f->gateway, "{\"type\":\"IPAddress\",\"value\":\"192.0.2.1\"}"));
        assert_non_null(strstr(f->gateway, "\"metadata\":{\"resourceVersion\":"));
        assert_non_null(f->s1.active);
        /* the change of a slice alone takes the short way */
        struct pipeline_view v;
        pipeline_view(f->p, &v);
        uint64_t translations = metric_get(&v.counters[PIPELINE_TRANSLATIONS]);
        event(f, "endpointslices", "MODIFIED", SLICE("60", "10.1.0.2"));
        WAIT(f, strstr(f->s1.endpoints, "default/app:80@2"));
        pipeline_view(f->p, &v);
        assert_int_equal(metric_get(&v.counters[PIPELINE_TRANSLATIONS]), translations);
        /* a status comes back by the watch: nothing to translate, nothing to write */
        unsigned requests = f->api.n_requests;
        event(f, "gateways", "MODIFIED", GATEWAY(",\"status\":{}"));
        WAIT(f, f->api.n_requests > requests); /* it was taken away: written again */
        pipeline_view(f->p, &v);
        assert_int_equal(metric_get(&v.counters[PIPELINE_TRANSLATIONS]), translations);
        /* the Gateway goes: its route has no parent of ours any more */
        event(f, "gateways", "DELETED", GATEWAY(""));
        WAIT(f, strstr(f->route, "\"parents\":[]"));
}

static void test_nothing_before_all_kinds_are_listed(void **state)
{
        struct fix *f = *state;
        f->held = "/endpointslices?limit";
        start(f);
        WAIT(f, fake_api_count(&f->api, "watch=1") == 14);
        WAIT(f, strchr(f->s1.trace, 'W'));
        struct pipeline_view v;
        pipeline_view(f->p, &v);
        assert_null(v.translation);
        assert_null(strchr(f->s1.trace, 'M')); /* no manifest */
        assert_int_equal(fake_api_count(&f->api, "PATCH"), 0);
        answer_list(f, fake_api_find(&f->api, "/endpointslices?limit"), SLICE("6", "10.1.0.1"));
        WAIT(f, has(f->gateway, "Programmed", "True"));
}

static void test_addresses_are_adopted(void **state)
{
        struct fix *f = *state;
        f->gateway_status = ",\"status\":{\"addresses\":[{\"type\":\"IPAddress\",\"value\":\"192.0.2.9\"}],\"conditions\":[{\"type\":\"Accepted\",\"status\":\"True\","
                            "\"observedGeneration\":1,\"reason\":\"Accepted\",\"message\":\"\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}";
        start(f);
        WAIT(f, has(f->gateway, "Programmed", "True"));
        assert_non_null(strstr(f->gateway, "192.0.2.9"));
        assert_null(strstr(f->gateway, "\"192.0.2.1\""));
        assert_non_null(strstr(f->gateway, "2026-01-01T00:00:00Z")); /* Accepted did not change: neither does its time */
}

static void test_unknown_version(void **state)
{
        struct fix *f = *state;
        f->version_status = 403;
        start(f);
        WAIT(f, has(f->class, "SupportedVersion", "False") && has(f->class, "Accepted", "True"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_from_objects_to_programmed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nothing_before_all_kinds_are_listed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_addresses_are_adopted, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unknown_version, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
