/* tests/unit/agent/push_test.c - agent/io/push against scripted data planes, over a real Unix socket and one loop.
 * Nothing sleeps: a test turns the loop until what it waits for has happened, or fails after WAIT_MS. */
#include "lib/base.h"
#include "agent/io/push.h"
#include "lib/io/log.h"
#include "tests/unit/agent/fake_dp.h"
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#define WAIT_MS 15000 /* of a machine that is busy */
#define PREPARE_MS 400
#define DRAIN_MS 50
#define PING_MS 150

struct fix {
        struct loop *l;
        struct push *p;
        char path[64];
        struct fake_dp s1, s2, front;
        struct translation t;
        struct pool_output pool;
        unsigned n_changed, n_refused, n_outdated;
        char refused[128];      /* the last NACK's object */
        bool take_refusal;      /* answer of ops->refused */
        struct translation *on_refused; /* offered from inside ops->refused */
};

static void on_changed(void *arg) { ((struct fix *)arg)->n_changed++; }
static void on_outdated(void *arg) { ((struct fix *)arg)->n_outdated++; }
static bool on_refused(void *arg, const Control__Nack *n, const char *member)
{
        struct fix *f = arg;
        f->n_refused++;
        (void)snprintf(f->refused, sizeof f->refused, "%s %s/%s rule %u by %s", n->source ? n->source->kind : "-",
                       n->source ? n->source->namespace_ : "-", n->source ? n->source->name : "-", n->source ? n->source->rule : 0, member);
        return f->take_refusal;
}

static int setup(void **state)
{
        static const struct push_ops ops = { .changed = on_changed, .refused = on_refused, .outdated = on_outdated };
        static const struct push_member_conf members[] = {
                { "l4-1", CONTROL__ROLE__ROLE_L4, "" },
                { "s1", CONTROL__ROLE__ROLE_L7, "default" },
                { "s2", CONTROL__ROLE__ROLE_L7, "default" },
        };
        struct fix *f = calloc(1, sizeof *f);
        struct err e = { 0 };
        f->l = loop_new();
        (void)snprintf(f->path, sizeof f->path, "/tmp/gh-push-test-%d.sock", (int)getpid());
        struct push_conf conf = { .agent_name = "agent", .socket = f->path, .members = members, .n_members = ARRAY_SIZE(members),
                                  .prepare_timeout_ms = PREPARE_MS, .drain_ms = DRAIN_MS, .ping_ms = PING_MS };
        log_init("test", LOG_ERROR);
        assert_int_equal(push_new(f->l, &conf, &ops, f, &f->p, &e), 0);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fix *f = *state;
        fake_dp_fini(&f->s1);
        fake_dp_fini(&f->s2);
        fake_dp_fini(&f->front);
        push_free(f->p);
        loop_free(f->l);
        free(f);
        return 0;
}

static void turns(struct fix *f, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                assert_true(loop_turn(f->l, 0) >= 0);
}

#define WAIT(f, cond)                                                              \
        do {                                                                       \
                uint64_t wait_end_ = loop_now_ms((f)->l) + WAIT_MS;                \
                while (!(cond)) {                                                  \
                        assert_true(loop_turn((f)->l, 20) >= 0);                   \
                        if (loop_now_ms((f)->l) > wait_end_)                       \
                                fail_msg("never: %s; s1 [%s] s2 [%s] front [%s] plan %s", #cond, (f)->s1.trace, (f)->s2.trace, \
                                         (f)->front.trace, push_plan_state((f)->p)); \
                }                                                                  \
        } while (0)

/* A manifest with one section per key; the bytes are the key and `content`. */
static struct manifest *manifest_of(unsigned generation, const char *content, const char *const *keys)
{
        struct manifest *m = manifest_new(generation);
        struct err e = { 0 };
        for (; *keys; keys++) {
                char bytes[256];
                int n = snprintf(bytes, sizeof bytes, "%s %s", *keys, content);
                assert_int_equal(manifest_add(m, *keys, SPAN(bytes, (size_t)n), false), 0);
        }
        assert_int_equal(manifest_seal(m, &e), 0);
        return m;
}

static void offer_manifests(struct fix *f, struct manifest *pool, struct manifest *l4) /* takes both */
{
        f->pool = (struct pool_output){ .pool = "default", .manifest = pool };
        f->t = (struct translation){ .pools = &f->pool, .n_pools = 1, .l4 = l4 };
        push_offer(f->p, &f->t);
        manifest_put(pool);
        manifest_put(l4);
}

static void offer(struct fix *f, unsigned generation, const char *content)
{
        static const char *const l7[] = { "gateway/ns/web", "clusters/ns", NULL }, *const l4[] = { "l4", NULL };
        offer_manifests(f, manifest_of(generation, content, l7), manifest_of(generation, content, l4));
}

static void dial_shards(struct fix *f)
{
        fake_dp_dial(&f->s1, f->l, f->path, "s1", CONTROL__ROLE__ROLE_L7, "default", NULL);
        fake_dp_dial(&f->s2, f->l, f->path, "s2", CONTROL__ROLE__ROLE_L7, "default", NULL);
}

static void dial_all(struct fix *f)
{
        dial_shards(f);
        fake_dp_dial(&f->front, f->l, f->path, "l4-1", CONTROL__ROLE__ROLE_L4, "", NULL);
}

static bool idle(const struct fix *f) { return strcmp(push_plan_state(f->p), "idle") == 0; }
static bool saw(const struct fake_dp *d, const char *what) { return strstr(d->trace, what) != NULL; }

static void test_all_active(void **state)
{
        struct fix *f = *state;
        dial_all(f);
        offer(f, 1, "one");
        WAIT(f, saw(&f->front, "A1") && idle(f));
        assert_string_equal(f->s1.trace, "W M1 A1 ");
        assert_string_equal(f->s2.trace, "W M1 A1 ");
        for (size_t i = 0; i < push_n_members(f->p); i++) {
                struct dp_ack a = push_ack(f->p, i);
                assert_true(a.connected);
                assert_non_null(a.active);
                assert_int_equal(a.active->generation, 1);
        }
        assert_true(f->n_changed > 0);
}

static void test_nothing_before_offer(void **state)
{
        struct fix *f = *state;
        dial_all(f);
        WAIT(f, saw(&f->front, "W") && saw(&f->s1, "W") && f->s1.n_pings > 0);
        assert_string_equal(f->s1.trace, "W ");
        assert_string_equal(f->front.trace, "W ");
}

/* Nobody activates while another member still prepares; the front tier waits for the pool. */
static void test_two_phase(void **state)
{
        struct fix *f = *state;
        f->s2.hold_prepared = true;
        dial_all(f);
        offer(f, 1, "one");
        WAIT(f, f->s1.next && manifest_complete(f->s1.next) && f->s2.next && manifest_complete(f->s2.next));
        turns(f, 20);
        assert_string_equal(f->s1.trace, "W M1 ");
        assert_string_equal(f->front.trace, "W ");
        fake_dp_prepare(&f->s2);
        WAIT(f, saw(&f->front, "A1"));
        assert_string_equal(f->s1.trace, "W M1 A1 ");
        assert_string_equal(f->s2.trace, "W M1 A1 ");
}

/* One that does not answer in time is left behind, and gets the newest manifest when it does. */
static void test_slow_prepare(void **state)
{
        struct fix *f = *state;
        f->s2.hold_prepared = true;
        dial_all(f);
        offer(f, 1, "one");
        WAIT(f, saw(&f->front, "A1") && idle(f));
        assert_string_equal(f->s1.trace, "W M1 A1 ");
        assert_string_equal(f->s2.trace, "W M1 ");
        offer(f, 2, "two");
        WAIT(f, saw(&f->s1, "A2") && saw(&f->front, "A2"));
        assert_string_equal(f->s2.trace, "W M1 ");
        f->s2.hold_prepared = false;
        fake_dp_prepare(&f->s2);
        WAIT(f, saw(&f->s2, "A2"));
        assert_string_equal(f->s2.trace, "W M1 X M2 A2 ");
}

/* A refusal drops the manifest for the whole group; what the owner offers next goes through. */
static void test_nack(void **state)
{
        struct fix *f = *state;
        static const char *const bad[] = { "gateway/ns/web", "gateway/ns/bad", NULL }, *const l4[] = { "l4", NULL };
        dial_all(f);
        offer(f, 1, "one");
        WAIT(f, saw(&f->front, "A1") && idle(f));
        f->s2.nack_section = "gateway/ns/bad";
        f->s2.nack_has_source = true;
        model__source__init(&f->s2.nack_source);
        f->s2.nack_source.kind = (char *)(uintptr_t)"HTTPRoute";
        f->s2.nack_source.namespace_ = (char *)(uintptr_t)"ns";
        f->s2.nack_source.name = (char *)(uintptr_t)"app";
        f->s2.nack_source.rule = 2;
        f->take_refusal = true;
        offer_manifests(f, manifest_of(2, "two", bad), manifest_of(2, "two", l4));
        WAIT(f, f->n_refused == 1);
        assert_string_equal(f->refused, "HTTPRoute ns/app rule 2 by s2");
        turns(f, 20);
        assert_false(saw(&f->s1, "A2"));
        assert_false(saw(&f->front, "M2"));
        offer(f, 3, "three");
        WAIT(f, saw(&f->front, "A3"));
        assert_string_equal(f->s1.trace, "W M1 A1 M2 X M3 A3 ");
        assert_string_equal(f->s2.trace, "W M1 A1 M2 M3 A3 ");
        assert_null(push_ack(f->p, 2).refused);
}

/* Nobody can mend it: the group stays at the last good manifest, says why, and who joins gets the good one. */
static void test_nack_held(void **state)
{
        struct fix *f = *state;
        static const char *const bad[] = { "clusters/ns", "gateway/ns/bad", NULL }, *const l4[] = { "l4", NULL };
        fake_dp_dial(&f->s1, f->l, f->path, "s1", CONTROL__ROLE__ROLE_L7, "default", NULL);
        fake_dp_dial(&f->front, f->l, f->path, "l4-1", CONTROL__ROLE__ROLE_L4, "", NULL);
        offer(f, 1, "one");
        WAIT(f, saw(&f->s1, "A1"));
        f->s1.nack_section = "gateway/ns/bad";
        offer_manifests(f, manifest_of(2, "two", bad), manifest_of(2, "two", l4));
        WAIT(f, f->n_refused == 1);
        assert_string_equal(f->refused, "- -/- rule 0 by s1");
        assert_string_equal(push_ack(f->p, 1).refused, "cannot do this");
        assert_int_equal(push_ack(f->p, 1).active->generation, 1);
        fake_dp_dial(&f->s2, f->l, f->path, "s2", CONTROL__ROLE__ROLE_L7, "default", NULL);
        WAIT(f, saw(&f->s2, "A1"));
        assert_false(saw(&f->s2, "M2"));
        assert_false(saw(&f->front, "M2"));
}

static void test_nack_retryable(void **state)
{
        struct fix *f = *state;
        f->s2.nack_section = "clusters/ns";
        f->s2.nack_retryable = true;
        dial_all(f);
        offer(f, 1, "one");
        WAIT(f, saw(&f->front, "A1")); /* the others go on */
        assert_int_equal(f->n_refused, 0);
        f->s2.nack_section = NULL;
        WAIT(f, saw(&f->s2, "A1"));
        assert_string_equal(f->s2.trace, "W M1 M1 A1 ");
}

/* A refusal of a manifest that was replaced meanwhile does not stop the plan of the new one. */
static void test_nack_stale(void **state)
{
        struct fix *f = *state;
        static const char *const bad[] = { "gateway/ns/bad", NULL }, *const l4[] = { "l4", NULL };
        f->s2.hold_prepared = true;
        dial_all(f);
        offer_manifests(f, manifest_of(1, "one", bad), manifest_of(1, "one", l4));
        WAIT(f, saw(&f->front, "A1") && idle(f)); /* s2 is late */
        f->s1.hold_prepared = true;
        offer(f, 2, "two");
        WAIT(f, f->s1.next && manifest_complete(f->s1.next));
        f->s2.nack_section = "gateway/ns/bad";
        fake_dp_refuse(&f->s2);
        WAIT(f, metric_get(&push_counters(f->p)[PUSH_NACKS]) == 1);
        assert_int_equal(f->n_refused, 0);
        f->s2.hold_prepared = false;
        f->s1.hold_prepared = false;
        fake_dp_prepare(&f->s1);
        WAIT(f, saw(&f->front, "A2") && saw(&f->s2, "A2") && idle(f));
}

static void test_disconnect(void **state)
{
        struct fix *f = *state;
        f->s2.hold_prepared = true;
        dial_all(f);
        offer(f, 1, "one");
        WAIT(f, f->s2.next && manifest_complete(f->s2.next));
        fake_dp_close(&f->s2);
        WAIT(f, saw(&f->s1, "A1") && saw(&f->front, "A1"));
        assert_false(push_ack(f->p, 2).connected);
        assert_null(push_ack(f->p, 2).active);
}

static void test_reconnect_same_hash(void **state)
{
        struct fix *f = *state;
        dial_all(f);
        offer(f, 1, "one");
        WAIT(f, saw(&f->front, "A1") && idle(f));
        struct manifest *had = manifest_get(f->s1.active);
        fake_dp_fini(&f->s1);
        WAIT(f, !push_ack(f->p, 1).connected);
        fake_dp_dial(&f->s1, f->l, f->path, "s1", CONTROL__ROLE__ROLE_L7, "default", had);
        WAIT(f, f->s1.n_pings > 1);
        assert_string_equal(f->s1.trace, "W ");
        assert_non_null(push_ack(f->p, 1).active);
        assert_int_equal(push_ack(f->p, 1).active->generation, 1);
        manifest_put(had);
}

/* It serves what the agent will offer only later (the agent started after it): recognised then, nothing sent. */
static void test_hello_before_offer(void **state)
{
        struct fix *f = *state;
        static const char *const l7[] = { "gateway/ns/web", "clusters/ns", NULL };
        struct manifest *has = manifest_of(7, "one", l7);
        fake_dp_dial(&f->s1, f->l, f->path, "s1", CONTROL__ROLE__ROLE_L7, "default", has);
        WAIT(f, saw(&f->s1, "W"));
        offer(f, 1, "one");
        WAIT(f, push_ack(f->p, 1).active != NULL);
        WAIT(f, f->s1.n_pings > 1);
        assert_string_equal(f->s1.trace, "W ");
        manifest_put(has);
}

static void test_refused_hello(void **state)
{
        static const struct { const char *name, *pool; Control__Role role; } cases[] = {
                { "nobody", "default", CONTROL__ROLE__ROLE_L7 },
                { "s1", "other", CONTROL__ROLE__ROLE_L7 },
                { "s1", "default", CONTROL__ROLE__ROLE_L4 },
                { "l4-1", "default", CONTROL__ROLE__ROLE_L4 },
        };
        struct fix *f = *state;
        offer(f, 1, "one");
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                fake_dp_dial(&f->s1, f->l, f->path, cases[i].name, cases[i].role, cases[i].pool, NULL);
                WAIT(f, saw(&f->s1, "closed"));
                assert_string_equal(f->s1.trace, "closed ");
                fake_dp_fini(&f->s1);
        }
        assert_int_equal(metric_get(&push_counters(f->p)[PUSH_REFUSED_PEERS]), ARRAY_SIZE(cases));
}

/* One plan at a time; of those that wait only the newest is kept. */
static void test_newest_wins(void **state)
{
        struct fix *f = *state;
        f->s1.hold_prepared = true;
        fake_dp_dial(&f->s1, f->l, f->path, "s1", CONTROL__ROLE__ROLE_L7, "default", NULL);
        offer(f, 1, "one");
        WAIT(f, f->s1.next && manifest_complete(f->s1.next));
        offer(f, 2, "two");
        offer(f, 3, "three");
        turns(f, 10);
        f->s1.hold_prepared = false;
        fake_dp_prepare(&f->s1);
        WAIT(f, saw(&f->s1, "A3"));
        assert_string_equal(f->s1.trace, "W M1 A1 M3 A3 ");
}

static void send_set(struct fix *f, const char *id, uint64_t version)
{
        Model__EndpointSet s = MODEL__ENDPOINT_SET__INIT, *v = &s;
        s.id = (char *)(uintptr_t)id;
        s.version = version;
        push_endpoints(f->p, "default", &v, 1);
}

/* A set over one frame goes in parts of whole endpoints. */
static void test_endpoints_over_frame(void **state)
{
        enum { MANY = 16384 };
        struct fix *f = *state;
        static uint8_t addr[16] = { 0x20, 1, 0xd, 0xb8 };
        Model__Endpoint e = MODEL__ENDPOINT__INIT;
        Model__EndpointSet s = MODEL__ENDPOINT_SET__INIT, *sets = &s;
        dial_all(f);
        offer(f, 1, "one");
        WAIT(f, saw(&f->front, "A1") && idle(f));
        e.addr = (ProtobufCBinaryData){ sizeof addr, addr };
        e.port = 8080;
        s.id = (char *)(uintptr_t)"ns/a:80";
        s.version = 2;
        s.endpoints = calloc(MANY, sizeof *s.endpoints);
        for (s.n_endpoints = 0; s.n_endpoints < MANY; s.n_endpoints++)
                s.endpoints[s.n_endpoints] = &e;
        assert_true(model__endpoint_set__get_packed_size(&s) > FRAME_MAX_BODY);
        push_endpoints(f->p, "default", &sets, 1);
        WAIT(f, strstr(f->s1.endpoints, "ns/a:80@2 "));
        assert_string_equal(f->s1.endpoints, "ns/a:80@2+ ns/a:80@2 ");
        assert_int_equal(f->s1.n_endpoints, MANY);
        assert_int_equal(push_counters(f->p)[PUSH_ENDPOINT_SETS], 2); /* a set for each of two shards */
        free(s.endpoints);
}

static const Control__Status *status_of(struct fix *f, size_t i)
{
        struct push_member_view v;
        push_member(f->p, i, &v);
        return v.status;
}

/* A STATUS in several frames replaces the one before it when its last frame is there. */
static void test_status_in_parts(void **state)
{
        struct fix *f = *state;
        dial_all(f);
        offer(f, 1, "one");
        WAIT(f, saw(&f->front, "A1") && idle(f));
        fake_dp_status(&f->s1, "old", 1, false);
        WAIT(f, status_of(f, 1));
        fake_dp_status(&f->s1, "a", 2, true);
        fake_dp_status(&f->s1, "b", 3, true);
        fake_dp_status(&f->s2, "other", 9, false);
        WAIT(f, status_of(f, 2));
        for (int i = 0; i < 20; i++)
                assert_int_equal(loop_turn(f->l, 1), 0);
        assert_int_equal(status_of(f, 1)->requests_total, 1);
        fake_dp_status(&f->s1, "c", 4, false);
        WAIT(f, status_of(f, 1)->requests_total == 4);
        const Control__Status *st = status_of(f, 1);
        assert_int_equal(st->n_endpoints, 3);
        assert_string_equal(st->endpoints[0]->set, "a");
        assert_string_equal(st->endpoints[1]->set, "b");
        assert_string_equal(st->endpoints[2]->set, "c");
        fake_dp_status(&f->s1, "d", 5, false);
        WAIT(f, status_of(f, 1)->requests_total == 5);
        assert_int_equal(status_of(f, 1)->n_endpoints, 1);
        fake_dp_status(&f->s1, "half", 6, true); /* left behind: freed with the connection */
        fake_dp_close(&f->s1);
        WAIT(f, !status_of(f, 1));
}

static void test_endpoints(void **state)
{
        struct fix *f = *state;
        dial_all(f);
        offer(f, 1, "one");
        WAIT(f, saw(&f->front, "A1") && idle(f));
        send_set(f, "ns/a:80", 2);
        WAIT(f, saw(&f->s1, "E") && saw(&f->s2, "E"));
        assert_string_equal(f->s1.endpoints, "ns/a:80@2 ");
        assert_false(saw(&f->front, "E"));
        assert_string_equal(f->s1.trace, "W M1 A1 E ");
        /* An endpoint change while a newer manifest is prepared comes again after ACTIVE: that manifest is older. */
        f->s2.hold_prepared = true;
        offer(f, 2, "two");
        WAIT(f, f->s2.next && manifest_complete(f->s2.next));
        send_set(f, "ns/b:80", 5);
        WAIT(f, strstr(f->s2.endpoints, "b:80@5"));
        fake_dp_prepare(&f->s2);
        WAIT(f, saw(&f->front, "A2") && idle(f));
        WAIT(f, strcmp(f->s2.endpoints, "ns/a:80@2 ns/b:80@5 ns/b:80@5 ") == 0);
        /* The next manifest holds it: nothing is sent again. */
        f->s2.hold_prepared = false;
        offer(f, 3, "three");
        WAIT(f, saw(&f->front, "A3") && idle(f) && saw(&f->s2, "A3"));
        turns(f, 20);
        assert_string_equal(f->s2.endpoints, "ns/a:80@2 ns/b:80@5 ns/b:80@5 ");
}

/* A manifest that folds in what ENDPOINTS frames have brought is served before it comes: ACTIVE at once, and the plan goes on. */
static void test_served_already(void **state)
{
        struct fix *f = *state;
        dial_all(f);
        offer(f, 1, "one");
        WAIT(f, saw(&f->front, "A1") && idle(f));
        f->s1.serves_already = f->s2.serves_already = true;
        offer(f, 2, "two");
        WAIT(f, saw(&f->front, "A2") && idle(f));
        assert_string_equal(f->s1.trace, "W M1 A1 M2 A2 ");
        assert_int_equal(metric_get(&push_counters(f->p)[PUSH_LATE]), 0);
        f->s1.serves_already = f->s2.serves_already = false;
        offer(f, 3, "three");
        WAIT(f, saw(&f->s1, "A3") && saw(&f->s2, "A3") && idle(f));
}

/* Who joins while sets are newer than the manifest makes the agent fold them in. */
static void test_outdated(void **state)
{
        struct fix *f = *state;
        fake_dp_dial(&f->s1, f->l, f->path, "s1", CONTROL__ROLE__ROLE_L7, "default", NULL);
        offer(f, 1, "one");
        WAIT(f, saw(&f->s1, "A1"));
        send_set(f, "ns/a:80", 2);
        fake_dp_dial(&f->s2, f->l, f->path, "s2", CONTROL__ROLE__ROLE_L7, "default", NULL);
        WAIT(f, f->n_outdated == 1);
        WAIT(f, saw(&f->s2, "A1 E")); /* this owner offered nothing: the old manifest, and the set beside it */
}

static void test_replaced_connection(void **state)
{
        struct fix *f = *state;
        fake_dp_dial(&f->s1, f->l, f->path, "s1", CONTROL__ROLE__ROLE_L7, "default", NULL);
        offer(f, 1, "one");
        WAIT(f, saw(&f->s1, "A1"));
        fake_dp_dial(&f->s2, f->l, f->path, "s1", CONTROL__ROLE__ROLE_L7, "default", NULL); /* the same name again */
        WAIT(f, saw(&f->s1, "closed") && saw(&f->s2, "A1"));
        assert_true(push_ack(f->p, 1).connected);
}

static void test_dead_peer(void **state)
{
        struct fix *f = *state;
        f->s1.silent = true;
        dial_shards(f);
        WAIT(f, saw(&f->s1, "closed"));
        assert_int_equal(metric_get(&push_counters(f->p)[PUSH_DEAD_PEERS]), 1);
        assert_false(saw(&f->s2, "closed"));
}

static void test_garbage(void **state)
{
        struct fix *f = *state;
        fake_dp_dial(&f->s1, f->l, f->path, "s1", CONTROL__ROLE__ROLE_L7, "default", NULL);
        offer(f, 1, "one");
        WAIT(f, saw(&f->s1, "A1"));
        buf_str(transport_out(f->s1.t), "GET / HTTP/1.1\r\nHost: not a data plane\r\n\r\n");
        transport_flush(f->s1.t);
        WAIT(f, saw(&f->s1, "closed"));
        assert_false(push_ack(f->p, 1).connected);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_all_active), T(test_nothing_before_offer), T(test_two_phase), T(test_slow_prepare), T(test_nack), T(test_nack_held),
                T(test_nack_retryable), T(test_nack_stale), T(test_disconnect), T(test_reconnect_same_hash), T(test_hello_before_offer),
                T(test_refused_hello), T(test_newest_wins), T(test_endpoints), T(test_served_already), T(test_endpoints_over_frame), T(test_status_in_parts), T(test_outdated), T(test_replaced_connection),
                T(test_dead_peer), T(test_garbage),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
