/* tests/unit/l4lb/guard_test.c - access lists and rates over time: rows of tests/packet show single moments. */
#include "lib/base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "tests/unit/l4lb/frame.h"
#include "tests/unit/l4lb/world.h"

#define CLIENT "ip4 198.51.100.7 > 192.0.2.1"

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

static uint8_t run(struct world *w, const char *text)
{
        static uint8_t room[64 + FRAME_MAX + 64];
        struct pkt p;
        size_t n = frame_make(text, w->net.ports[0].mac, room + 64);
        w->head = 64;
        world_run(w, 0, room + 64, n, n, n + 64, &p);
        return p.verdict;
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
}

static void no_packet_limits(Model__L4 *l4, Model__EndpointSet *set)
{
        for (size_t i = 0; i < l4->n_listeners; i++)
                l4->listeners[i]->packets_per_s = l4->listeners[i]->source_packets_per_s = 0;
}

static void nobody(Model__L4 *l4, Model__EndpointSet *set)
{
        no_packet_limits(l4, set);
        l4->acls[0]->n_allow = 1;
        l4->acls[0]->allow[0]->addr.data[0] = 10; /* 10.51.100.0/24 */
}

static void no_list(Model__L4 *l4, Model__EndpointSet *set)
{
        no_packet_limits(l4, set);
        for (size_t i = 0; i < l4->n_listeners; i++)
                l4->listeners[i]->acl = (char *)(uintptr_t)"";
}

/* A list that changes acts on flows that are there, under NAT too; one that stays costs them nothing. */
static void test_list_changes(void **state)
{
        struct world *w = *state;
        generation(w, no_packet_limits, 2);
        assert_false(w->tables->per_packet || w->tables->acl_changed);
        assert_int_equal(run(w, CLIENT " / tcp 4000 > 84 A"), FORWARD_SHARD);
        assert_int_equal(run(w, CLIENT " / tcp 4000 > 94 S"), FORWARD_NAT);
        generation(w, no_packet_limits, 3);
        assert_false(w->tables->per_packet);
        generation(w, nobody, 4);
        assert_true(w->tables->acl_changed && w->tables->per_packet);
        assert_int_equal(run(w, CLIENT " / tcp 4000 > 84 A"), DROP_ACL);
        assert_int_equal(run(w, CLIENT " / tcp 4000 > 94 A"), DROP_ACL);
        assert_int_equal(run(w, CLIENT " / tcp 4000 > 80 A"), FORWARD_SHARD); /* a service without a list */
        generation(w, nobody, 5); /* the same again: flows of before may still be there */
        assert_int_equal(run(w, CLIENT " / tcp 4000 > 84 A"), DROP_ACL);
        generation(w, no_list, 6);
        assert_false(w->tables->acl_changed || w->tables->per_packet);
        assert_int_equal(run(w, CLIENT " / tcp 4000 > 84 A"), FORWARD_SHARD);
}

/* A bucket holds a second's worth, fills at its rate, and goes on over a new generation. */
static void test_rate_refills(void **state)
{
        struct world *w = *state;
        assert_int_equal(run(w, CLIENT " / tcp 1 > 85 S"), FORWARD_SHARD);
        assert_int_equal(run(w, CLIENT " / tcp 2 > 85 S"), FORWARD_SHARD);
        assert_int_equal(run(w, CLIENT " / tcp 3 > 85 S"), DROP_SOURCE_RATE);
        generation(w, NULL, 2);
        assert_int_equal(run(w, CLIENT " / tcp 3 > 85 S"), DROP_SOURCE_RATE);
        w->now_ms += 499; /* two a second of a source */
        assert_int_equal(run(w, CLIENT " / tcp 3 > 85 S"), DROP_SOURCE_RATE);
        w->now_ms += 1;
        assert_int_equal(run(w, CLIENT " / tcp 3 > 85 S"), FORWARD_SHARD);
        assert_int_equal(run(w, CLIENT " / tcp 4 > 85 S"), DROP_SOURCE_RATE);
        w->now_ms += 3600000;
        assert_int_equal(run(w, CLIENT " / tcp 5 > 85 S"), FORWARD_SHARD);
        assert_int_equal(run(w, CLIENT " / tcp 6 > 85 S"), FORWARD_SHARD);
        assert_int_equal(run(w, CLIENT " / tcp 7 > 85 S"), DROP_SOURCE_RATE);
}

/* Workers share what a service may have; one of many still gets something. */
static void test_shares(void **state)
{
        struct world *w = *state;
        for (unsigned n = 1; n <= 8; n++) {
                w->conf.n_workers = n;
                generation(w, NULL, n + 1);
                for (uint32_t i = 0; i < w->tables->n_services; i++)
                        if (w->tables->guards[i].connections)
                                assert_int_equal(w->tables->guards[i].connections, (3 + n - 1) / n);
        }
}

/* A hundred thousand sources at once: who is over his rate stays so, and the table does not grow. */
static void test_flood_of_sources(void **state)
{
        struct world *w = *state;
        struct rates *r = &w->worker.rates;
        uint64_t x = 88172645463325252u;
        const uint64_t heavy = 0x123456789abcdef1;
        unsigned passed = 0;
        for (unsigned i = 0; i < 100; i++)
                passed += rates_take(r, heavy, 100, w->now_ms);
        assert_int_equal(passed, 100);
        for (unsigned i = 0; i < 100000; i++) {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                assert_true(rates_take(r, x, 100, w->now_ms));
                if (i % 1000 == 0)
                        w->now_ms++;
                if (i % 100 == 0)
                        passed += rates_take(r, heavy, 100, w->now_ms);
        }
        assert_true(passed >= 100 && passed <= 111); /* 100 ms at 100 a second */
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_list_changes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rate_refills, setup, teardown),
                cmocka_unit_test_setup_teardown(test_shares, setup, teardown),
                cmocka_unit_test_setup_teardown(test_flood_of_sources, setup, teardown),
        };
        return cmocka_run_group_tests_name("l4_guard", tests, NULL, NULL);
}
