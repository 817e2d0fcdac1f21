/* tests/unit/l4lb/health_test.c - what health makes of a pool's shares: slow start and panic; and endpoints that are probed wherever
 * they are. */
#include "lib/base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "l4lb/core/wire.h"
#include "tests/unit/l4lb/frame.h"
#include "tests/unit/l4lb/world.h"

#define SLOW_MS 8000

static int setup(void **state)
{
        *state = world_new(256);
        return 0;
}

static int teardown(void **state)
{
        world_free(*state);
        return 0;
}

static void generation(struct world *w, void (*edit)(Model__L4 *, Model__EndpointSet *), uint64_t n)
{
        struct world_spec spec = { .edit = edit };
        struct model *m;
        struct tables *t;
        struct model_error e;
        assert_int_equal(world_model(&spec, n, &m, &e), 0);
        assert_int_equal(tables_build(m, &w->net, &w->backends, &w->conf, w->now_ms, &t, &e), 0);
        model_free(m);
        tables_commit(t, w->tables, w->now_ms);
        tables_free(w->tables, w->now_ms);
        w->tables = t;
        world_resolve(w);
}

static const struct pool *shards(const struct world *w)
{
        for (uint32_t i = 0; i < w->tables->n_pools; i++)
                if (strcmp(w->tables->pools[i].id, "shards/default") == 0 && w->tables->pools[i].af == 4)
                        return &w->tables->pools[i];
        fail();
        return NULL;
}

/* What part of new connections a member gets, in percent. */
static unsigned share(const struct world *w, const char *addr)
{
        const struct maglev *m = pool_now(shards(w));
        struct ipaddr a;
        unsigned n = 0;
        assert_int_equal(ipaddr_parse(span_str(addr), &a), 0);
        for (uint32_t i = 0; i < m->n_slots; i++)
                n += ipaddr_eq(&w->backends.b[m->cells[i]].addr, &a);
        return (n * 100 + m->n_slots / 2) / m->n_slots;
}

static void health(struct world *w, const char *addr, bool up)
{
        struct ipaddr a;
        assert_int_equal(ipaddr_parse(span_str(addr), &a), 0);
        for (uint16_t i = 0; i < w->backends.n; i++)
                if (ipaddr_eq(&w->backends.b[i].addr, &a) && backends_set_health(&w->backends, i, up))
                        assert_int_equal(tables_health_changed(w->tables, i, w->now_ms, world_retire, w), 0);
}

static void slow(Model__L4 *l4, Model__EndpointSet *set) { l4->pools[0]->slow_start_ms = SLOW_MS; }

static void test_slow_start(void **state)
{
        struct world *w = *state;
        generation(w, slow, 2);
        assert_int_equal(share(w, "10.30.2.2"), 50); /* who was there needs no start */
        assert_true(shards(w)->ramp_due_ms == UINT64_MAX);
        health(w, "10.30.2.2", false);
        assert_int_equal(share(w, "10.30.2.2"), 0);
        health(w, "10.30.2.2", true);
        unsigned before = 0;
        for (unsigned step = 1; step <= 8; step++) {
                unsigned now = share(w, "10.30.2.2"), want = 100 * step / (8 + step);
                assert_in_range(now, want - 1, want + 2);
                assert_true(now > before);
                before = now;
                if (step == 8)
                        break;
                uint64_t wait = tables_expire(w->tables, w->now_ms, world_retire, w);
                assert_in_range(wait, 1, SLOW_MS / 8);
                w->now_ms += wait;
                (void)tables_expire(w->tables, w->now_ms, world_retire, w);
        }
        assert_int_equal(share(w, "10.30.2.2"), 50);
        w->now_ms += SLOW_MS;
        (void)tables_expire(w->tables, w->now_ms, world_retire, w);
        assert_true(shards(w)->ramp_due_ms == UINT64_MAX);
}

static void one_shard(Model__L4 *l4, Model__EndpointSet *set)
{
        slow(l4, set);
        l4->pools[0]->health_check = NULL;
        set->n_endpoints = 2; /* shard-1 alone, both families */
}

static void unchecked(Model__L4 *l4, Model__EndpointSet *set)
{
        slow(l4, set);
        l4->pools[0]->health_check = NULL;
}

/* A newcomer of a pool that nobody checks starts slowly too; at boot nobody does. */
static void test_newcomer(void **state)
{
        struct world *w = *state;
        generation(w, one_shard, 2);
        assert_int_equal(share(w, "10.30.1.2"), 100);
        w->now_ms += 3600000; /* the other is forgotten */
        for (uint32_t t; (t = backends_retire(&w->backends, w->now_ms)) != 0;)
                backends_reclaim(&w->backends, t);
        generation(w, unchecked, 3);
        assert_in_range(share(w, "10.30.2.2"), 10, 13);
        w->now_ms += SLOW_MS;
        (void)tables_expire(w->tables, w->now_ms, world_retire, w);
        assert_int_equal(share(w, "10.30.2.2"), 50);
}

static void panic_60(Model__L4 *l4, Model__EndpointSet *set) { l4->pools[0]->panic_pct = 60; }
static void panic_50(Model__L4 *l4, Model__EndpointSet *set) { l4->pools[0]->panic_pct = 50; }

static void test_panic(void **state)
{
        struct world *w = *state;
        generation(w, panic_50, 2);
        health(w, "10.30.2.2", false);
        assert_int_equal(share(w, "10.30.2.2"), 0); /* half of them is enough */
        assert_false(shards(w)->fail_open);
        generation(w, panic_60, 3);
        assert_int_equal(share(w, "10.30.2.2"), 50); /* it is not: the sick one gets its part */
        assert_true(shards(w)->fail_open);
        health(w, "10.30.2.2", true);
        assert_false(shards(w)->fail_open);
}

static void check_apps(Model__L4 *l4, Model__EndpointSet *set)
{
        static Model__HealthCheck h;
        model__health_check__init(&h);
        h.type = MODEL__HEALTH_CHECK_TYPE__HC_TCP;
        h.interval_ms = h.timeout_ms = 200;
        h.rise = 1;
        h.fall = 2;
        l4->pools[2]->health_check = &h; /* apps; no port: the endpoints' own */
}

/* An endpoint under NAT is probed on its own port, from our address on the way there, and its answer taken on any port. */
static void test_endpoint_probe(void **state)
{
        struct world *w = *state;
        static uint8_t room[64 + FRAME_MAX];
        struct frame_out f;
        struct probe_event e;
        struct pkt p;
        char text[256];
        size_t n = frame_make("ip4 10.40.0.101 > 10.20.0.2 / tcp 8080 > 61500 SA", w->net.ports[0].mac, room);
        world_run(w, 0, room, n, n, n, &p);
        assert_int_equal(p.verdict, DROP_NOT_OURS); /* nobody is probed there */
        generation(w, check_apps, 2);
        for (uint16_t i = 0; i < w->backends.n; i++)
                if (w->backends.b[i].way != WAY_NAT || w->backends.b[i].addr.af != 4)
                        w->backends.b[i].check.tcp = false;
        w->now_ms += 1000;
        while (prober_next(&w->prober, w->now_ms, &f, &e) != PROBER_FRAME)
                w->now_ms += 10;
        const uint8_t *ip = f.b + ETH_LEN, *tcp = ip + IPV4_LEN;
        assert_int_equal(f.port, WORLD_BACKENDS);
        assert_memory_equal(ip + 12, ((const uint8_t[]){ 10, 40, 0, 3, 10, 40, 0, 101 }), 8);
        assert_int_equal(get_u16(tcp + 2), 8080);
        snprintf(text, sizeof text, "ip4 10.40.0.101 > 10.40.0.3 / tcp 8080 > %u SA ack=%u", get_u16(tcp), get_u32(tcp + 4) + 1);
        n = frame_make(text, w->net.ports[WORLD_BACKENDS].mac, room);
        world_run(w, WORLD_BACKENDS, room, n, n, n, &p);
        assert_int_equal(p.verdict, PUNT_PROBE);
        uint64_t ok = w->prober.n_ok;
        (void)!prober_input(&w->prober, p.in_port, p.p, p.len, w->now_ms, &e);
        assert_true(w->prober.n_ok == ok + 1);
        n = frame_make("ip4 10.40.0.101 > 10.20.0.2 / tcp 8080 > 61500 SA", w->net.ports[0].mac, room);
        world_run(w, 0, room, n, n, n, &p);
        assert_int_equal(p.verdict, PUNT_PROBE); /* by another way; the prober knows whom it asked */
        assert_false(prober_input(&w->prober, p.in_port, p.p, p.len, w->now_ms, &e));
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_slow_start, setup, teardown),
                cmocka_unit_test_setup_teardown(test_newcomer, setup, teardown),
                cmocka_unit_test_setup_teardown(test_panic, setup, teardown),
                cmocka_unit_test_setup_teardown(test_endpoint_probe, setup, teardown),
        };
        return cmocka_run_group_tests_name("l4_health", tests, NULL, NULL);
}
