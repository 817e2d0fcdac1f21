/* tests/unit/agent/pipeline_test.c - the agent whole, in one process: a directory of manifests in, scripted data planes on
 * the socket, status files out.  Temporary directories; nothing sleeps (see push_test.c). */
#include "lib/base.h"
#include "agent/io/pipeline.h"
#include "lib/io/log.h"
#include "tests/unit/agent/fake_dp.h"
#include <dirent.h>
#include <sys/stat.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#define WAIT_MS 4000

struct fix {
        char dir[64];
        struct loop *l;
        struct settings *conf;
        struct pipeline *p;
        struct fake_dp s1, a1, front;
};

static void put(struct fix *f, const char *name, const char *fmt, ...) PRINTF(3, 4);
static void put(struct fix *f, const char *name, const char *fmt, ...)
{
        char path[256];
        va_list ap;
        (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
        FILE *o = fopen(path, "w");
        assert_non_null(o);
        va_start(ap, fmt);
        vfprintf(o, fmt, ap);
        va_end(ap);
        fclose(o);
}

static const char *status_of(struct fix *f, const char *name)
{
        static char text[16384];
        char path[256];
        (void)snprintf(path, sizeof path, "%s/status/%s", f->dir, name);
        FILE *i = fopen(path, "r");
        if (!i)
                return "";
        text[fread(text, 1, sizeof text - 1, i)] = '\0';
        fclose(i);
        return text;
}

static void start(struct fix *f)
{
        struct err e = { 0 };
        if (pipeline_new(f->l, f->conf, &f->p, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
}

static void gateway(struct fix *f, const char *labels)
{
        put(f, "m/gw.yaml", "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: c}\nspec: {controllerName: gatehouse.dev/gateway}\n"
                            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: web, labels: {%s}}\n"
                            "spec: {gatewayClassName: c, listeners: [{name: http, port: 80, protocol: HTTP}]}\n", labels);
}

static void route(struct fix *f, const char *rules)
{
        put(f, "m/route.yaml", "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: app}\nspec:\n  parentRefs: [{name: web}]\n  rules: [%s]\n", rules);
}

#define RULE(path) "{matches: [{path: {value: " path "}}], backendRefs: [{name: app, port: 80}]}"

static void service(struct fix *f, const char *addresses)
{
        put(f, "m/app.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: app}\nspec: {ports: [{port: 80}]}\n---\n"
                             "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: app-1, labels: {kubernetes.io/service-name: app}}\n"
                             "addressType: IPv4\nports: [{name: \"\", port: 8080}]\nendpoints: [{addresses: [%s]}]\n", addresses);
}

static int setup(void **state)
{
        struct fix *f = calloc(1, sizeof *f);
        struct err e = { 0 };
        char path[256];
        (void)snprintf(f->dir, sizeof f->dir, "/tmp/gh-pipeline-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        (void)snprintf(path, sizeof path, "%s/m", f->dir);
        assert_int_equal(mkdir(path, 0755), 0);
        put(f, "agent.cfg", "controller_name = \"gatehouse.dev/gateway\"; source = \"directory\";\n"
                            "directory = { path = \"%s/m\"; settle_ms = 20; }; status_dir = \"%s/status\";\n"
                            "listen = { socket = \"%s/agent.sock\"; admin = \"%s/admin.sock\"; };\nl4 = { members = [ \"l4-1\" ]; };\n"
                            "pools = ( { name = \"default\"; shards = ( { name = \"s1\"; address = \"10.0.0.1\"; health_port = 9000; } ); },\n"
                            "          { name = \"a\"; select = [ \"team=a\" ]; shards = ( { name = \"a1\"; address = \"10.0.0.2\"; health_port = 9000; } ); } );\n"
                            "vip_pools = [ \"192.0.2.0/28\" ]; push = { drain_ms = 60; fold_ms = 150; prepare_timeout_ms = 500; };\n",
            f->dir, f->dir, f->dir, f->dir);
        (void)snprintf(path, sizeof path, "%s/agent.cfg", f->dir);
        log_init("test", LOG_ERROR);
        if (settings_load(path, &f->conf, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        f->l = loop_new();
        gateway(f, "");
        route(f, RULE("/a"));
        service(f, "10.1.0.1");
        *state = f;
        return 0;
}

static void remove_tree(const char *path)
{
        DIR *d = opendir(path);
        if (!d)
                return;
        for (const struct dirent *de; (de = readdir(d));) {
                char sub[512];
                if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
                        continue;
                (void)snprintf(sub, sizeof sub, "%s/%s", path, de->d_name);
                if (unlink(sub) < 0)
                        remove_tree(sub);
        }
        closedir(d);
        (void)rmdir(path);
}

static int teardown(void **state)
{
        struct fix *f = *state;
        fake_dp_fini(&f->s1);
        fake_dp_fini(&f->a1);
        fake_dp_fini(&f->front);
        pipeline_free(f->p);
        loop_free(f->l);
        settings_free(f->conf);
        remove_tree(f->dir);
        free(f);
        return 0;
}

#define WAIT(f, cond)                                                              \
        do {                                                                       \
                uint64_t wait_end_ = loop_now_ms((f)->l) + WAIT_MS;                \
                while (!(cond)) {                                                  \
                        assert_true(loop_turn((f)->l, 20) >= 0);                   \
                        if (loop_now_ms((f)->l) > wait_end_)                       \
                                fail_msg("never: %s; s1 [%s] a1 [%s] front [%s]\n%s", #cond, (f)->s1.trace, (f)->a1.trace, \
                                         (f)->front.trace, status_of(f, "default.gateway.web.yaml")); \
                }                                                                  \
        } while (0)

static void dial(struct fix *f)
{
        char path[256];
        (void)snprintf(path, sizeof path, "%s/agent.sock", f->dir);
        fake_dp_dial(&f->s1, f->l, path, "s1", CONTROL__ROLE__ROLE_L7, "default", NULL);
        fake_dp_dial(&f->a1, f->l, path, "a1", CONTROL__ROLE__ROLE_L7, "a", NULL);
        fake_dp_dial(&f->front, f->l, path, "l4-1", CONTROL__ROLE__ROLE_L4, "", NULL);
}

static bool programmed(struct fix *f)
{
        return strstr(status_of(f, "default.gateway.web.yaml"), "reason: Programmed\n    message: \"1/1 shards, 1/1 front ends\"") != NULL;
}

static struct pipeline_view view(struct fix *f)
{
        struct pipeline_view v;
        pipeline_view(f->p, &v);
        return v;
}

static void up(struct fix *f)
{
        start(f);
        dial(f);
        WAIT(f, programmed(f));
}

static void test_from_directory_to_programmed(void **state)
{
        struct fix *f = *state;
        up(f);
        assert_non_null(manifest_find(f->s1.active, "gateway/default/web"));
        assert_non_null(manifest_find(f->front.active, "l4"));
        assert_non_null(strstr(status_of(f, "_.gatewayclass.c.yaml"), "type: Accepted\n    status: \"True\""));
        assert_non_null(strstr(status_of(f, "default.httproute.app.yaml"), "controllerName: gatehouse.dev/gateway"));
        put(f, "m/route.yaml", "# nothing left\n");
        WAIT(f, *status_of(f, "default.httproute.app.yaml") == '\0'); /* a vanished object's status goes */
        WAIT(f, strstr(status_of(f, "default.gateway.web.yaml"), "attachedRoutes: 0"));
}

static void test_bad_load_keeps_previous(void **state)
{
        struct fix *f = *state;
        up(f);
        char before[sizeof f->s1.trace];
        (void)snprintf(before, sizeof before, "%s", f->s1.trace);
        put(f, "m/bad.yaml", "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: bad}\nspec: {gatewayClassName: 1, listeners: 2}\n");
        WAIT(f, strstr(view(f).source_error, "bad.yaml:4"));
        assert_string_equal(f->s1.trace, before);
        assert_true(programmed(f));
        route(f, RULE("/b")); /* good, but the load as a whole is not */
        WAIT(f, metric_get(&view(f).counters[PIPELINE_LOAD_ERRORS]) >= 2);
        assert_string_equal(f->s1.trace, before);
        put(f, "m/bad.yaml", "# mended\n");
        WAIT(f, strstr(f->s1.trace, "A2"));
        assert_string_equal(view(f).source_error, "");
}

static void refuse(struct fix *f, const char *content, uint32_t rule)
{
        f->s1.nack_section = content;
        f->s1.nack_section_is_content = true;
        f->s1.nack_has_source = true;
        model__source__init(&f->s1.nack_source);
        f->s1.nack_source.kind = (char *)(uintptr_t)"HTTPRoute";
        f->s1.nack_source.namespace_ = (char *)(uintptr_t)"default";
        f->s1.nack_source.name = (char *)(uintptr_t)"app";
        f->s1.nack_source.generation = 2;
        f->s1.nack_source.rule = rule;
}

/* A rule the shard refuses is dropped and named; the others serve; an edit frees it. */
static void test_quarantine(void **state)
{
        struct fix *f = *state;
        up(f);
        refuse(f, "/poison", 2);
        route(f, RULE("/a") ", " RULE("/poison") ", " RULE("/c"));
        WAIT(f, strstr(status_of(f, "default.httproute.app.yaml"), "reason: UnsupportedValue\n      message: \"Dropped Rule 2: cannot do this\""));
        WAIT(f, strstr(f->s1.trace, "A3"));
        assert_int_equal(view(f).n_quarantine, 1);
        assert_true(programmed(f));
        route(f, RULE("/a") ", " RULE("/fine") ", " RULE("/c"));
        WAIT(f, strstr(f->s1.trace, "A4"));
        assert_int_equal(view(f).n_quarantine, 0);
        WAIT(f, !strstr(status_of(f, "default.httproute.app.yaml"), "PartiallyInvalid"));
}

/* A route whose rules are refused one after the other goes as a whole; the Gateway and other routes serve on. */
static void test_nack_rules(void **state)
{
        struct fix *f = *state;
        up(f);
        refuse(f, "poison", 2);
        f->s1.nack_count = true;
        /* rule 1 stays whatever is dropped, and holds what is refused */
        route(f, RULE("/poison") ", " RULE("/2") ", " RULE("/3") ", " RULE("/4") ", " RULE("/5") ", " RULE("/6") ", " RULE("/7") ", " RULE(
                         "/8") ", " RULE("/9") ", " RULE("/10") ", " RULE("/11"));
        WAIT(f, strstr(status_of(f, "default.httproute.app.yaml"), "type: Accepted\n      status: \"False\""));
        assert_non_null(strstr(status_of(f, "default.httproute.app.yaml"), "reason: UnsupportedValue\n      message: \"cannot do this\""));
        assert_int_equal(view(f).n_quarantine, PIPELINE_NACK_RULES + 1);
        assert_string_equal(view(f).alarm, "");
        WAIT(f, f->s1.active->generation > 1 && programmed(f));
        f->s1.nack_section = NULL;
        route(f, RULE("/mended"));
        WAIT(f, view(f).n_quarantine == 0);
}

/* The same refusal again after the object was dropped is not ours to mend. */
static void test_nack_repeated(void **state)
{
        struct fix *f = *state;
        up(f);
        refuse(f, "poison", 2);
        route(f, RULE("/poison") ", " RULE("/2"));
        WAIT(f, strstr(view(f).alarm, "quarantined already"));
        assert_int_equal(f->s1.active->generation, 1); /* the last good one */
        for (size_t i = 0; i < push_n_members(view(f).push); i++)
                if (push_ack(view(f).push, i).refused)
                        assert_string_equal(push_ack(view(f).push, i).refused_of, "HTTPRoute default/app");
        f->s1.nack_section = NULL;
        route(f, RULE("/mended"));
        WAIT(f, f->s1.active->generation > 1 && strcmp(view(f).alarm, "") == 0);
        WAIT(f, programmed(f));
}

/* Slices alone: the set goes beside the manifest; a little later a manifest holds it. */
static void test_endpoints(void **state)
{
        struct fix *f = *state;
        up(f);
        service(f, "10.1.0.2");
        WAIT(f, strstr(f->s1.trace, "E"));
        assert_string_equal(f->s1.trace, "W M1 A1 E ");
        assert_string_equal(f->s1.endpoints, "default/app:80@2 ");
        assert_int_equal(metric_get(&view(f).counters[PIPELINE_TRANSLATIONS]), 1);
        WAIT(f, strstr(f->s1.trace, "A2"));
        assert_string_equal(f->s1.endpoints, "default/app:80@2 ");
        assert_false(strstr(f->front.trace, "M2"));
}

/* Whoever asks between a build and its report hears what was last said, not nothing. */
static void test_status_is_always_there(void **state)
{
        struct fix *f = *state;
        up(f);
        for (int i = 0; i < 3; i++) {
                uint64_t had = view(f).generation;
                route(f, i % 2 ? RULE("/b") : RULE("/c"));
                while (view(f).generation == had || strcmp(push_plan_state(view(f).push), "idle") != 0) {
                        assert_true(loop_turn(f->l, 20) >= 0);
                        assert_non_null(view(f).status);
                        assert_int_equal(view(f).status->n_gateways, 1);
                        assert_string_equal(view(f).status->gateways[0].report->id.name, "web");
                        assert_int_equal(view(f).status->n_routes, 1);
                }
        }
}

/* Slices that never rest do not keep the manifest from being folded. */
static void test_endpoints_churn(void **state)
{
        struct fix *f = *state;
        up(f);
        char address[32];
        uint64_t next = 0, end = loop_now_ms(f->l) + WAIT_MS;
        unsigned n = 1;
        while (!strstr(f->s1.trace, "A2")) { /* a change each 40 ms; fold_ms is 150 */
                if (loop_now_ms(f->l) >= next) {
                        (void)snprintf(address, sizeof address, "10.1.0.%u", ++n % 250 + 1);
                        service(f, address);
                        next = loop_now_ms(f->l) + 40;
                }
                assert_true(loop_turn(f->l, 5) >= 0);
                if (loop_now_ms(f->l) > end)
                        fail_msg("never folded: %s", f->s1.trace);
        }
        assert_true(metric_get(&view(f).counters[PIPELINE_FAST_PATHS]) >= 1);
}

/* Addresses survive a restart, even when an older Gateway would choose first. */
static void test_addresses_kept(void **state)
{
        struct fix *f = *state;
        up(f);
        assert_non_null(strstr(status_of(f, "default.gateway.web.yaml"), "value: \"192.0.2.1\""));
        fake_dp_fini(&f->s1);
        fake_dp_fini(&f->a1);
        fake_dp_fini(&f->front);
        pipeline_free(f->p);
        f->p = NULL;
        put(f, "m/aaa.yaml", "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: aaa}\n"
                             "spec: {gatewayClassName: c, listeners: [{name: http, port: 80, protocol: HTTP}]}\n");
        start(f);
        WAIT(f, strstr(status_of(f, "default.gateway.aaa.yaml"), "value: \"192.0.2.2\""));
        assert_non_null(strstr(status_of(f, "default.gateway.web.yaml"), "value: \"192.0.2.1\""));
}

/* A restart counts on where the agent before it stopped: same generations, same hash, nothing is sent. */
static void test_generations_kept(void **state)
{
        struct fix *f = *state;
        up(f);
        route(f, RULE("/b"));
        gateway(f, "");
        WAIT(f, strstr(f->s1.trace, "A2"));
        WAIT(f, strstr(status_of(f, "default.httproute.app.yaml"), "generation: 2\n"));
        struct manifest *l7 = manifest_get(f->s1.active), *l4 = manifest_get(f->front.active);
        const char *since = strstr(status_of(f, "default.gateway.web.yaml"), "type: Programmed");
        char before[1024];
        (void)snprintf(before, sizeof before, "%.1000s", since);
        fake_dp_fini(&f->s1);
        fake_dp_fini(&f->a1);
        fake_dp_fini(&f->front);
        pipeline_free(f->p);
        f->p = NULL;
        start(f);
        WAIT(f, view(f).translation);
        assert_memory_equal(view(f).translation->pools[0].manifest->hash.b, l7->hash.b, SHA256_BYTES);
        assert_memory_equal(view(f).translation->l4->hash.b, l4->hash.b, SHA256_BYTES);
        char path[256];
        (void)snprintf(path, sizeof path, "%s/agent.sock", f->dir);
        fake_dp_dial(&f->s1, f->l, path, "s1", CONTROL__ROLE__ROLE_L7, "default", l7);
        fake_dp_dial(&f->front, f->l, path, "l4-1", CONTROL__ROLE__ROLE_L4, "", l4);
        WAIT(f, programmed(f) && f->s1.n_pings + f->front.n_pings + strlen(f->s1.trace) + strlen(f->front.trace) > 0);
        assert_false(strchr(f->s1.trace, 'M') || strchr(f->front.trace, 'M'));
        assert_non_null(strstr(status_of(f, "default.gateway.web.yaml"), before)); /* with its time */
        manifest_put(l7);
        manifest_put(l4);
}

/* A Gateway moves to another pool: the new pool serves it first, then the front tier turns, then the old pool lets go. */
static void test_move_between_pools(void **state)
{
        struct fix *f = *state;
        up(f);
        f->a1.hold_prepared = true;
        gateway(f, "team: a");
        WAIT(f, f->a1.next && manifest_complete(f->a1.next) && f->a1.next->n > 0);
        for (int i = 0; i < 10; i++)
                assert_true(loop_turn(f->l, 0) >= 0);
        assert_false(strstr(f->front.trace, "M2"));                            /* not before the new pool is there */
        assert_non_null(manifest_find(f->s1.active, "gateway/default/web"));
        f->a1.hold_prepared = false;
        fake_dp_prepare(&f->a1);
        WAIT(f, strstr(f->front.trace, "A2"));
        assert_non_null(manifest_find(f->a1.active, "gateway/default/web"));
        assert_non_null(manifest_find(f->s1.active, "gateway/default/web"));   /* still, while flows drain */
        WAIT(f, strcmp(push_plan_state(view(f).push), "drain") == 0);
        WAIT(f, !manifest_find(f->s1.active, "gateway/default/web"));
        WAIT(f, strcmp(push_plan_state(view(f).push), "idle") == 0);
        assert_true(programmed(f));
}

/* A Gateway goes: the front tier first. */
static void test_remove_gateway(void **state)
{
        struct fix *f = *state;
        up(f);
        f->front.hold_prepared = true;
        put(f, "m/gw.yaml", "# gone\n");
        WAIT(f, f->front.next && manifest_complete(f->front.next));
        for (int i = 0; i < 10; i++)
                assert_true(loop_turn(f->l, 0) >= 0);
        assert_non_null(manifest_find(f->s1.active, "gateway/default/web"));
        f->front.hold_prepared = false;
        fake_dp_prepare(&f->front);
        WAIT(f, !manifest_find(f->s1.active, "gateway/default/web"));
        assert_true(strstr(f->front.trace, "A2") != NULL);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_from_directory_to_programmed), T(test_bad_load_keeps_previous), T(test_quarantine), T(test_nack_rules),
                T(test_nack_repeated), T(test_endpoints), T(test_endpoints_churn), T(test_status_is_always_there), T(test_addresses_kept), T(test_generations_kept), T(test_move_between_pools), T(test_remove_gateway),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
