/* tests/unit/agent/status_kube_test.c - statuses as patches against a scripted API server: order, rate, conflicts, objects
 * that go, refusals, wars, and silence when there is nothing to say. */
#include "lib/base.h"
#include "agent/io/status_kube.h"
#include "lib/io/log.h"
#include "tests/unit/agent/fake_api.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define WAIT_MS 4000
#define WAIT(f, cond)                                                              \
        do {                                                                       \
                uint64_t end_ = loop_now_ms((f)->l) + WAIT_MS;                     \
                while (!(cond)) {                                                  \
                        assert_int_equal(loop_turn((f)->l, 20), 0);                \
                        if (loop_now_ms((f)->l) > end_)                            \
                                fail_msg("waited too long for: %s\n%s", #cond, (f)->api.trace); \
                }                                                                  \
        } while (0)

struct fix {
        struct loop *l;
        struct fake_api api;
        struct kubeconfig k;
        struct api_client *c;
        struct status_kube_conf conf;
        struct status_kube *s;
        char server[64];
        bool auto_answer;       /* 200 with the patch's status and a new resourceVersion */
        unsigned rv;
        uint64_t first_ms, last_ms;
        char body[4096];        /* of the last patch */
};

/* {"metadata":{..},"status":X} -> the object after it. */
static void accept_patch(struct fix *f, struct fake_conn *c)
{
        char body[8192];
        const char *status = strstr(c->body, "\"status\":");
        assert_non_null(status);
        (void)snprintf(body, sizeof body, "{\"metadata\":{\"resourceVersion\":\"%u\",\"generation\":1},%s", ++f->rv, status);
        fake_answer(c, 200, "", body);
}
static void answer(void *arg, struct fake_conn *c)
{
        struct fix *f = arg;
        f->last_ms = loop_now_ms(f->l);
        f->first_ms = f->first_ms ? f->first_ms : f->last_ms;
        if (strcmp(c->method, "PATCH") != 0)
                return;
        assert_string_equal(c->content_type, "application/merge-patch+json");
        (void)snprintf(f->body, sizeof f->body, "%.4000s", c->body);
        if (f->auto_answer)
                accept_patch(f, c);
}

static int setup(void **state)
{
        struct fix *f = calloc(1, sizeof *f);
        struct err e = { 0 };
        log_init("test", LOG_ERROR);
        log_set_fd(-1);
        f->l = loop_new();
        f->rv = 1000;
        fake_api_init(&f->api, f->l, answer, f);
        (void)snprintf(f->server, sizeof f->server, "http://127.0.0.1:%u", f->api.port);
        f->k = (struct kubeconfig){ .server = f->server, .ca_file = "", .cert_file = "", .key_file = "", .token = "", .token_file = "",
                                    .tls_server_name = "", .proxy_url = "", .context = "" };
        f->conf = (struct status_kube_conf){ "us/gw", 1000, 1000, 5 };
        assert_int_equal(api_client_new(f->l, &f->k, "test", &f->c, &e), 0);
        f->s = status_kube_new(f->l, f->c, &f->conf);
        *state = f;
        return 0;
}
static int teardown(void **state)
{
        struct fix *f = *state;
        status_kube_free(f->s);
        api_client_free(f->c);
        fake_api_fini(&f->api);
        loop_free(f->l);
        log_set_fd(2);
        free(f);
        return 0;
}

static void seen(struct fix *f, enum object_kind kind, const char *ns, const char *name, const char *rv, int64_t generation, const char *status)
{
        const struct object o = { .kind = kind, .namespace = ns, .name = name, .resource_version = rv, .generation = generation };
        status_kube_seen(f->s, &o, status ? strdup(status) : NULL);
}
static struct status_doc doc(enum object_kind kind, const char *ns, const char *name, const char *text)
{
        return (struct status_doc){ kind, ns, name, span_str(text) };
}
static void say(struct fix *f, const struct status_doc *d, size_t n) { assert_int_equal(status_kube_write(f->s, d, n), 0); }
static bool quiet(struct fix *f) { return status_kube_queued(f->s) == 0; }
static uint64_t counter(struct fix *f, enum status_kube_counter c) { return status_kube_counters(f->s)[c]; }

#define DOC(generation, status) "metadata:\n  name: x\n  generation: " generation "\nstatus:\n  conditions:\n  - {type: Accepted, status: \"" status "\"}\n"
#define COND(type, status) "{\"type\":\"" type "\",\"status\":\"" status "\"}"
#define PATCH_GW "PATCH /apis/gateway.networking.k8s.io/v1/namespaces/ns/gateways/x/status?fieldManager=gatehouse-agent"

static void test_order_and_bodies(void **state)
{
        struct fix *f = *state;
        f->auto_answer = true;
        seen(f, OBJECT_HTTP_ROUTE, "ns", "r", "5", 1, NULL);
        seen(f, OBJECT_GATEWAY, "ns", "x", "6", 1, "{\"conditions\":[" COND("Theirs", "True") "]}");
        seen(f, OBJECT_GATEWAY_CLASS, "", "c", "7", 1, NULL);
        const struct status_doc d[] = {
                doc(OBJECT_HTTP_ROUTE, "ns", "r", "metadata:\n  generation: 1\nstatus:\n  parents:\n  - {controllerName: us/gw, parentRef: {name: x, port: 80}}\n"),
                doc(OBJECT_GATEWAY, "ns", "x", DOC("1", "True")), doc(OBJECT_GATEWAY_CLASS, "", "c", DOC("1", "True")),
                doc(OBJECT_GATEWAY, "ns", "unseen", DOC("1", "True")) };
        say(f, d, 4);
        WAIT(f, counter(f, STATUS_KUBE_WRITES) == 3 && quiet(f));
        assert_string_equal(f->api.trace, "PATCH /apis/gateway.networking.k8s.io/v1/gatewayclasses/c/status?fieldManager=gatehouse-agent\n" PATCH_GW "\n"
                                          "PATCH /apis/gateway.networking.k8s.io/v1/namespaces/ns/httproutes/r/status?fieldManager=gatehouse-agent\n");
        assert_string_equal(f->body, "{\"metadata\":{\"resourceVersion\":\"5\"},\"status\":{\"parents\":[{\"controllerName\":\"us/gw\",\"parentRef\":{\"name\":\"x\",\"port\":80}}]}}");
        say(f, d, 4); /* all as it is: not a word */
        seen(f, OBJECT_GATEWAY, "ns", "x", "2000", 1, "{\"conditions\":[" COND("Theirs", "False") "," COND("Accepted", "True") "]}");
        WAIT(f, quiet(f));
        assert_int_equal(f->api.n_requests, 3);
        seen(f, OBJECT_GATEWAY, "ns", "x", "2001", 1, "{}"); /* somebody took it away */
        WAIT(f, counter(f, STATUS_KUBE_WRITES) == 4 && quiet(f));
        assert_string_equal(f->body, "{\"metadata\":{\"resourceVersion\":\"2001\"},\"status\":{\"conditions\":[" COND("Accepted", "True") "]}}");
        say(f, d + 1, 3); /* the route is ours no more */
        WAIT(f, counter(f, STATUS_KUBE_WRITES) == 5 && quiet(f));
        assert_non_null(strstr(f->body, "\"parents\":[]"));
}

static void test_nothing_before_the_first_word(void **state)
{
        struct fix *f = *state;
        f->auto_answer = true;
        seen(f, OBJECT_HTTP_ROUTE, "ns", "r", "5", 1, "{\"parents\":[{\"controllerName\":\"us/gw\",\"parentRef\":{\"name\":\"x\"}}]}");
        for (int i = 0; i < 5; i++)
                assert_int_equal(loop_turn(f->l, 5), 0);
        assert_int_equal(f->api.n_requests, 0); /* a restart says nothing about what it does not know yet */
        say(f, NULL, 0);
        WAIT(f, counter(f, STATUS_KUBE_WRITES) == 1 && quiet(f));
}

static void test_conflict(void **state)
{
        struct fix *f = *state;
        const struct status_doc d = doc(OBJECT_GATEWAY, "ns", "x", DOC("1", "True"));
        seen(f, OBJECT_GATEWAY, "ns", "x", "6", 1, NULL);
        say(f, &d, 1);
        WAIT(f, fake_api_find(&f->api, "PATCH"));
        fake_answer(fake_api_find(&f->api, "PATCH"), 409, "", "{\"message\":\"the object has been modified\"}");
        WAIT(f, fake_api_find(&f->api, "GET /apis/gateway.networking.k8s.io/v1/namespaces/ns/gateways/x"));
        fake_answer(fake_api_find(&f->api, "GET"), 200, "", "{\"metadata\":{\"resourceVersion\":\"9\",\"generation\":1},\"status\":{\"conditions\":[" COND("Theirs", "True") "]}}");
        WAIT(f, fake_api_find(&f->api, "PATCH"));
        assert_string_equal(f->body, "{\"metadata\":{\"resourceVersion\":\"9\"},\"status\":{\"conditions\":[" COND("Theirs", "True") "," COND("Accepted", "True") "]}}");
        accept_patch(f, fake_api_find(&f->api, "PATCH"));
        WAIT(f, quiet(f));
        assert_int_equal(counter(f, STATUS_KUBE_CONFLICTS), 1);
        assert_int_equal(counter(f, STATUS_KUBE_WRITES), 1);
}

static void test_last_word_wins(void **state)
{
        struct fix *f = *state;
        const struct status_doc one = doc(OBJECT_GATEWAY, "ns", "x", DOC("1", "True")), two = doc(OBJECT_GATEWAY, "ns", "x", DOC("1", "False"));
        seen(f, OBJECT_GATEWAY, "ns", "x", "6", 1, NULL);
        say(f, &two, 1);
        say(f, &one, 1); /* the first was not sent yet: never is */
        WAIT(f, fake_api_find(&f->api, "PATCH"));
        assert_non_null(strstr(f->body, "True"));
        say(f, &two, 1); /* while one is under way */
        accept_patch(f, fake_api_find(&f->api, "PATCH"));
        WAIT(f, fake_api_count(&f->api, "PATCH") == 2);
        assert_non_null(strstr(f->body, "\"resourceVersion\":\"1001\""));
        assert_non_null(strstr(f->body, "False"));
        accept_patch(f, fake_api_find(&f->api, "PATCH"));
        WAIT(f, quiet(f));
        assert_int_equal(counter(f, STATUS_KUBE_CONFLICTS), 0);
}

static void test_objects_that_go(void **state)
{
        struct fix *f = *state;
        const struct status_doc d = doc(OBJECT_GATEWAY, "ns", "x", DOC("1", "True"));
        seen(f, OBJECT_GATEWAY, "ns", "x", "6", 1, NULL);
        say(f, &d, 1);
        WAIT(f, fake_api_find(&f->api, "PATCH"));
        fake_answer(fake_api_find(&f->api, "PATCH"), 404, "", "{\"message\":\"not found\"}");
        WAIT(f, quiet(f));
        seen(f, OBJECT_GATEWAY, "ns", "x", "7", 1, "{\"conditions\":[]}");
        WAIT(f, fake_api_find(&f->api, "PATCH"));
        status_kube_gone(f->s, OBJECT_GATEWAY, "ns", "x"); /* with its patch under way */
        assert_true(quiet(f));
        status_kube_gone(f->s, OBJECT_GATEWAY, "ns", "x");
        WAIT(f, !fake_api_find(&f->api, "PATCH"));
}

static void test_older_generation_waits(void **state)
{
        struct fix *f = *state;
        const struct status_doc d = doc(OBJECT_GATEWAY, "ns", "x", DOC("1", "True")), d2 = doc(OBJECT_GATEWAY, "ns", "x", DOC("2", "True"));
        f->auto_answer = true;
        seen(f, OBJECT_GATEWAY, "ns", "x", "6", 2, NULL);
        say(f, &d, 1); /* made of generation 1, but 2 is here: its translation comes */
        WAIT(f, quiet(f));
        assert_int_equal(f->api.n_requests, 0);
        say(f, &d2, 1);
        WAIT(f, counter(f, STATUS_KUBE_WRITES) == 1 && quiet(f));
}

static void test_errors(void **state)
{
        struct fix *f = *state;
        const struct status_doc d = doc(OBJECT_GATEWAY, "ns", "x", DOC("1", "True")), d2 = doc(OBJECT_GATEWAY, "ns", "x", DOC("1", "False"));
        seen(f, OBJECT_GATEWAY, "ns", "x", "6", 1, NULL);
        say(f, &d, 1);
        for (unsigned n = 1; n <= 3; n++) { /* tried again */
                WAIT(f, fake_api_count(&f->api, "PATCH") == n);
                fake_answer(fake_api_find(&f->api, "PATCH"), 500, "", "{\"message\":\"etcd is tired\"}");
        }
        WAIT(f, fake_api_count(&f->api, "PATCH") == 4);
        fake_answer(fake_api_find(&f->api, "PATCH"), 422, "", "{\"message\":\"status.conditions[0]: invalid\"}");
        WAIT(f, quiet(f)); /* the same text would be refused again */
        say(f, &d, 1);
        WAIT(f, quiet(f));
        assert_int_equal(fake_api_count(&f->api, "PATCH"), 4);
        say(f, &d2, 1);
        WAIT(f, fake_api_count(&f->api, "PATCH") == 5);
        accept_patch(f, fake_api_find(&f->api, "PATCH"));
        WAIT(f, quiet(f));
        assert_int_equal(counter(f, STATUS_KUBE_ERRORS), 4);
}

static void test_rate(void **state)
{
        struct fix *f = *state;
        enum { N = 6 };
        char names[N][4];
        struct status_doc d[N];
        f->auto_answer = true;
        status_kube_free(f->s);
        f->conf.qps = 20;
        f->conf.burst = 2;
        f->s = status_kube_new(f->l, f->c, &f->conf);
        for (size_t i = 0; i < N; i++) {
                (void)snprintf(names[i], sizeof names[i], "g%u", (unsigned)i);
                seen(f, OBJECT_GATEWAY, "ns", names[i], "6", 1, NULL);
                d[i] = doc(OBJECT_GATEWAY, "ns", names[i], DOC("1", "True"));
        }
        say(f, d, N);
        WAIT(f, counter(f, STATUS_KUBE_WRITES) == N && quiet(f));
        assert_true(f->last_ms - f->first_ms >= 4 * 1000 / 20 - 10); /* two at once, four at 20 a second */
}

static void test_war(void **state)
{
        struct fix *f = *state;
        const struct status_doc d = doc(OBJECT_GATEWAY, "ns", "x", DOC("1", "True")), d2 = doc(OBJECT_GATEWAY, "ns", "x", DOC("1", "False"));
        char rv[16];
        f->auto_answer = true;
        seen(f, OBJECT_GATEWAY, "ns", "x", "6", 1, NULL);
        say(f, &d, 1);
        for (unsigned n = 1; n <= 5; n++) {
                WAIT(f, counter(f, STATUS_KUBE_WRITES) == n && (n == 5 || quiet(f)));
                (void)snprintf(rv, sizeof rv, "%u", f->rv += 1);
                seen(f, OBJECT_GATEWAY, "ns", "x", rv, 1, "{\"conditions\":[]}"); /* changed back, again and again */
        }
        for (int i = 0; i < 10; i++)
                assert_int_equal(loop_turn(f->l, 5), 0);
        assert_int_equal(counter(f, STATUS_KUBE_WRITES), 5);
        assert_int_equal(counter(f, STATUS_KUBE_WARS), 1);
        assert_int_equal(status_kube_queued(f->s), 1); /* for later */
        say(f, &d2, 1); /* something new is said at once */
        WAIT(f, counter(f, STATUS_KUBE_WRITES) == 6);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_order_and_bodies, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nothing_before_the_first_word, setup, teardown),
                cmocka_unit_test_setup_teardown(test_conflict, setup, teardown),
                cmocka_unit_test_setup_teardown(test_last_word_wins, setup, teardown),
                cmocka_unit_test_setup_teardown(test_objects_that_go, setup, teardown),
                cmocka_unit_test_setup_teardown(test_older_generation_waits, setup, teardown),
                cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rate, setup, teardown),
                cmocka_unit_test_setup_teardown(test_war, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
