/* tests/unit/agent/push_tls_test.c - agent/io/push with data planes on another box: a peer gets what belongs to the name in its
 * certificate, and whatever else it claims ends its connection before a byte of configuration was sent. */
#include "lib/base.h"
#include "agent/io/push.h"
#include "lib/io/dpclient.h"
#include "lib/io/log.h"
#include "tests/unit/agent/fake_dp.h"
#include "tests/unit/lib_io/tls_lab.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#define WAIT_MS 30000

struct fix {
        struct tls_lab lab;
        struct loop *l;
        struct push *p;
        struct control_addr at;
        char path[64];
        struct fake_dp dp, other;
        struct credentials *own;
        struct translation t;
        struct pool_output pools[2];
        int log_fd;
        char log[8192];
};

static void on_changed(void *arg) { (void)arg; }
static bool on_refused(void *arg, const Control__Nack *n, const char *member)
{
        (void)arg, (void)n, (void)member;
        return false;
}

static struct credentials *own_of(struct fix *f, const char *uri)
{
        struct credentials_conf conf = lab_issue(&f->lab, uri, LAB_GOOD);
        struct identity id = lab_identity(uri);
        struct credentials *c = credentials_new(&conf, &id);
        assert_non_null(c);
        return c;
}

static struct manifest *manifest_of(const char *key)
{
        struct manifest *m = manifest_new(1);
        struct err e = { 0 };
        assert_int_equal(manifest_add(m, key, span_str(key), false), 0);
        assert_int_equal(manifest_seal(m, &e), 0);
        return m;
}

static int setup(void **state)
{
        static const struct push_ops ops = { .changed = on_changed, .refused = on_refused, .outdated = on_changed };
        static const struct push_member_conf members[] = {
                { "l4-1", CONTROL__ROLE__ROLE_L4, "" },
                { "s1", CONTROL__ROLE__ROLE_L7, "red" },
                { "s2", CONTROL__ROLE__ROLE_L7, "blue" },
        };
        struct fix *f = calloc(1, sizeof *f);
        struct err e = { 0 };
        unsigned pid = (unsigned)getpid();
        f->l = loop_new();
        lab_init(&f->lab);
        f->at = (struct control_addr){ .kind = CONTROL_TLS, .port = 7443,
                                       .ip = { 4, { 127, (uint8_t)(1 + (pid >> 16)), (uint8_t)(pid >> 8), (uint8_t)pid } } };
        (void)snprintf(f->path, sizeof f->path, "%s/agent.sock", f->lab.dir);
        struct push_conf conf = { .agent_name = "agent", .socket = f->path, .members = members, .n_members = ARRAY_SIZE(members),
                                  .prepare_timeout_ms = WAIT_MS, .drain_ms = 50, .ping_ms = 10000, .tls = &f->at, .n_tls = 1,
                                  .credentials = lab_issue(&f->lab, "gatehouse://agent/a", LAB_GOOD) };
        f->log_fd = memfd_create("log", MFD_CLOEXEC);
        log_init("test", LOG_INFO);
        log_set_fd(f->log_fd);
        if (push_new(f->l, &conf, &ops, f, &f->p, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        struct manifest *red = manifest_of("gateway/red"), *blue = manifest_of("gateway/blue"), *l4 = manifest_of("l4");
        f->pools[0] = (struct pool_output){ .pool = "red", .manifest = red };
        f->pools[1] = (struct pool_output){ .pool = "blue", .manifest = blue };
        f->t = (struct translation){ .pools = f->pools, .n_pools = 2, .l4 = l4 };
        push_offer(f->p, &f->t);
        manifest_put(red);
        manifest_put(blue);
        manifest_put(l4);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fix *f = *state;
        fake_dp_fini(&f->dp);
        fake_dp_fini(&f->other);
        credentials_free(f->own);
        push_free(f->p);
        loop_free(f->l);
        log_set_fd(STDERR_FILENO);
        close(f->log_fd);
        lab_fini(&f->lab);
        free(f);
        return 0;
}

static const char *log_text(struct fix *f)
{
        ssize_t n = pread(f->log_fd, f->log, sizeof f->log - 1, 0);
        f->log[n > 0 ? n : 0] = '\0';
        return f->log;
}

#define WAIT(f, cond)                                                                                     \
        do {                                                                                              \
                uint64_t wait_end_ = loop_now_ms((f)->l) + WAIT_MS;                                       \
                while (!(cond)) {                                                                         \
                        assert_true(loop_turn((f)->l, 20) >= 0);                                          \
                        if (loop_now_ms((f)->l) > wait_end_)                                              \
                                fail_msg("line %d: never: %s; [%s] %s", __LINE__, #cond, (f)->dp.trace, log_text(f)); \
                }                                                                                         \
        } while (0)

static void test_shard(void **state)
{
        struct fix *f = *state;
        struct push_member_view v;
        f->own = own_of(f, "gatehouse://l7/red/s1");
        fake_dp_dial_tls(&f->dp, f->l, &f->at, f->own, "s1", CONTROL__ROLE__ROLE_L7, "red");
        WAIT(f, strstr(f->dp.trace, "A1"));
        assert_int_equal(f->dp.active->n, 1);
        assert_string_equal(f->dp.active->entries[0].key, "gateway/red");
        push_member(f->p, 1, &v);
        assert_true(v.connected);
        assert_non_null(strstr(v.peer, "gatehouse://l7/red/s1"));
}

/* A shard of one pool, by its certificate, that wants to be somebody else. */
static void test_claims(void **state)
{
        static const struct { const char *uri, *name; Control__Role role; const char *pool, *why; } cases[] = {
                { "gatehouse://l7/red/s1", "s2", CONTROL__ROLE__ROLE_L7, "blue", "pool differs from its certificate" },
                { "gatehouse://l7/red/s1", "s1", CONTROL__ROLE__ROLE_L7, "blue", "pool differs from its certificate" },
                { "gatehouse://l7/red/s1", "s2", CONTROL__ROLE__ROLE_L7, "red", "name differs from its certificate" },
                { "gatehouse://l7/red/s1", "l4-1", CONTROL__ROLE__ROLE_L4, "", "role differs from its certificate" },
                { "gatehouse://l4/l4-1", "s1", CONTROL__ROLE__ROLE_L7, "red", "role differs from its certificate" },
                { "gatehouse://l4/s1", "s1", CONTROL__ROLE__ROLE_UNSET, "", "role differs from its certificate" },
                { "gatehouse://l7/blue/s1", "s1", CONTROL__ROLE__ROLE_L7, "blue", "pool differs from the configuration" },
                { "gatehouse://l7/red/s9", "s9", CONTROL__ROLE__ROLE_L7, "red", "name is not in the configuration" },
        };
        struct fix *f = *state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                credentials_free(f->own);
                f->own = own_of(f, cases[i].uri);
                fake_dp_fini(&f->dp);
                fake_dp_dial_tls(&f->dp, f->l, &f->at, f->own, cases[i].name, cases[i].role, cases[i].pool);
                WAIT(f, strstr(f->dp.trace, "closed"));
                if (strcmp(f->dp.trace, "closed ") != 0)
                        fail_msg("case %zu: it was told %s", i, f->dp.trace);
                if (!strstr(log_text(f), cases[i].why))
                        fail_msg("case %zu: %s", i, f->log);
                assert_int_equal(ftruncate(f->log_fd, 0), 0);
                assert_int_equal(lseek(f->log_fd, 0, SEEK_SET), 0);
        }
        assert_int_equal(metric_get(&push_counters(f->p)[PUSH_REFUSED_PEERS]), ARRAY_SIZE(cases));
        for (size_t i = 0; i < push_n_members(f->p); i++)
                assert_false(push_ack(f->p, i).connected);
}

/* Strangers are counted, and whoever is known goes on. */
static void test_stranger(void **state)
{
        struct fix *f = *state;
        struct credentials_conf conf = lab_issue(&f->lab, "gatehouse://l7/red/s1", LAB_OTHER_CA);
        struct identity id = lab_identity("gatehouse://l7/red/s1");
        f->own = credentials_new(&conf, &id);
        fake_dp_dial_tls(&f->dp, f->l, &f->at, f->own, "s1", CONTROL__ROLE__ROLE_L7, "red");
        WAIT(f, strstr(f->dp.trace, "closed"));
        WAIT(f, metric_get(&push_counters(f->p)[PUSH_REFUSED_HANDSHAKES]) == 1);
        assert_string_equal(f->dp.trace, "closed ");
        assert_int_equal(metric_get(&push_counters(f->p)[PUSH_REFUSED_PEERS]), 0); /* it was nobody's peer */
}

/* On this box nothing changes: the Unix socket knows users, not names. */
static void test_unix_beside(void **state)
{
        struct fix *f = *state;
        f->own = own_of(f, "gatehouse://l7/red/s1");
        fake_dp_dial_tls(&f->dp, f->l, &f->at, f->own, "s1", CONTROL__ROLE__ROLE_L7, "red");
        fake_dp_dial(&f->other, f->l, f->path, "s2", CONTROL__ROLE__ROLE_L7, "blue", NULL);
        WAIT(f, strstr(f->dp.trace, "A1") && strstr(f->other.trace, "A1"));
        assert_string_equal(f->other.active->entries[0].key, "gateway/blue");
}

/* ---------------------------------------------------------------- a data plane's own side of it */

static int dp_prepare(void *arg, const struct model *m, struct model_error *e)
{
        (void)arg, (void)m, (void)e;
        return 0;
}
static void dp_activate(void *arg, const struct model *m) { (void)arg, (void)m; }
static void dp_abort(void *arg) { (void)arg; }
static void dp_endpoints(void *arg, const Model__EndpointSet *set) { (void)arg, (void)set; }

/* dpclient dials by TLS; without its credentials it tries on and takes them when they come. */
static void test_dpclient(void **state)
{
        static const struct dpclient_ops dp_ops = { dp_prepare, dp_activate, dp_abort, dp_endpoints, NULL };
        struct fix *f = *state;
        struct agents_conf agents = { .n = 1, .tls = true, .at = { f->at } };
        struct dpclient *dp;
        struct err e = { 0 };
        struct credentials_conf *c = &agents.credentials;
        (void)snprintf(c->certificate, sizeof c->certificate, "%s/dp.pem", f->lab.dir);
        (void)snprintf(c->key, sizeof c->key, "%s/dp.key", f->lab.dir);
        (void)snprintf(c->ca, sizeof c->ca, "%s/dp.ca", f->lab.dir);
        struct dpclient_conf conf = { .agents = &agents, .name = "s1", .pool = "red", .role = CONTROL__ROLE__ROLE_L7 };
        assert_int_equal(dpclient_new(f->l, &conf, &dp_ops, f, &dp, &e), 0);
        dpclient_start(dp);
        WAIT(f, strstr(log_text(f), "event=agent_unreachable"));
        assert_non_null(strstr(f->log, c->certificate));
        lab_issue_into(&f->lab, c, "gatehouse://l7/red/s1", LAB_GOOD);
        WAIT(f, dpclient_connected(dp));
        WAIT(f, push_ack(f->p, 1).connected);
        dpclient_free(dp);

        conf.name = "no such name";
        assert_int_equal(dpclient_new(f->l, &conf, &dp_ops, f, &dp, &e), -EINVAL);
        assert_non_null(strstr(e.msg, "red/no such name"));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        const struct CMUnitTest tests[] = { T(test_shard), T(test_claims), T(test_stranger), T(test_unix_beside), T(test_dpclient) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
