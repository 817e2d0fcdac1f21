/* tests/unit/l4lb/pipeline_test.c - what takes more than one packet: stickiness over changes of tables and health, SYN
 * without state, budgets, lost neighbours, learning through punts. */
#include "lib/base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "l4lb/core/wire.h"
#include "tests/unit/l4lb/frame.h"
#include "tests/unit/l4lb/world.h"

#define CLIENTS 200

static int setup(void **state)
{
        *state = world_new(1024);
        return 0;
}

static int teardown(void **state)
{
        world_free(*state);
        return 0;
}

static struct pkt run(struct world *w, uint8_t port, const char *text)
{
        static uint8_t f[FRAME_MAX + 64];
        struct pkt p;
        size_t n = frame_make(text, w->net.ports[port].mac, f);
        world_run(w, port, f, n, n, n + 64, &p);
        return p;
}

/* A TCP packet of client c. */
static struct pkt run_client(struct world *w, unsigned c, const char *flags)
{
        char text[128];
        snprintf(text, sizeof text, "ip4 198.51.100.%u > 192.0.2.1 / tcp %u > 80 %s", c % 200 + 1, 2000 + c, flags);
        return run(w, 0, text);
}

static uint8_t tcp(struct world *w, unsigned c, const char *flags) /* it is forwarded: the shard's port */
{
        struct pkt p = run_client(w, c, flags);
        assert_int_equal(p.verdict, FORWARD_SHARD);
        return p.out_port;
}

/* A router's error about a packet that client c was sent. */
static struct pkt icmp_about(struct world *w, unsigned c)
{
        char text[256];
        snprintf(text, sizeof text,
                 "ip4 203.0.113.1 > 192.0.2.1 / icmp 3.4 rest=1400 / ip4 192.0.2.1 > 198.51.100.%u keep=28 / "
                 "tcp 80 > %u A",
                 c % 200 + 1, 2000 + c);
        return run(w, 0, text);
}

static uint16_t backend_at(const struct world *w, const char *text)
{
        struct ipaddr a;
        assert_int_equal(ipaddr_parse(span_str(text), &a), 0);
        for (uint16_t i = 0; i < w->backends.n; i++)
                if (w->backends.b[i].state != BACKEND_FREE && ipaddr_eq(&w->backends.b[i].addr, &a))
                        return i;
        fail();
        return 0;
}

static void health(struct world *w, const char *addr, bool up)
{
        uint16_t b = backend_at(w, addr);
        if (backends_set_health(&w->backends, b, up))
                assert_int_equal(tables_health_changed(w->tables, b, w->now_ms, world_retire, w), 0);
}

static void replace_tables(struct world *w, const struct world_spec *spec, uint64_t generation)
{
        struct model *m;
        struct model_error e;
        struct tables *t;
        assert_int_equal(world_model(spec, generation, &m, &e), 0);
        assert_int_equal(tables_build(m, &w->net, &w->backends, &w->conf, w->now_ms, &t, &e), 0);
        model_free(m);
        tables_commit(t, w->tables, w->now_ms);
        tables_free(w->tables, w->now_ms);
        w->tables = t;
        world_resolve(w);
}

static void one_shard(Model__L4 *l4, Model__EndpointSet *set)
{
        (void)l4;
        set->n_endpoints = 2; /* shard-1, both families */
        set->version = 2;
}

static void shard_1_draining(Model__L4 *l4, Model__EndpointSet *set)
{
        (void)l4;
        set->version = 2;
        set->endpoints[0]->state = set->endpoints[1]->state = MODEL__ENDPOINT_STATE__ENDPOINT_DRAINING;
}

static void test_both_shards_get_flows(void **state)
{
        struct world *w = *state;
        unsigned n[3] = { 0 };
        for (unsigned c = 0; c < CLIENTS; c++)
                n[tcp(w, c, "S")]++;
        assert_true(n[1] > CLIENTS / 3 && n[2] > CLIENTS / 3);
}

static void test_syn_costs_nothing(void **state)
{
        struct world *w = *state;
        for (unsigned c = 0; c < CLIENTS; c++) {
                uint8_t shard = tcp(w, c, "S");
                assert_int_equal(w->worker.flows.n_live, c); /* those of the ACKs before */
                assert_int_equal(tcp(w, c, "A"), shard);
                assert_int_equal(w->worker.flows.n_live, c + 1);
        }
        for (unsigned c = CLIENTS; c < 3 * CLIENTS; c++) {
                tcp(w, c, "R");
                tcp(w, c, "FA");
        }
        assert_int_equal(w->worker.flows.n_live, CLIENTS);
}

/* A shard's probes fail and succeed again: nothing new goes there meanwhile, but no connection ever moves, with or without
 * its flow entry: the shard may be draining, and no other one knows the connection. */
static void test_health_moves_only_what_opens(void **state)
{
        struct world *w = *state;
        uint8_t shard[CLIENTS];
        for (unsigned c = 0; c < CLIENTS; c++)
                shard[c] = tcp(w, c, c % 2 ? "S" : "A"); /* every other one has no entry yet */
        health(w, "10.30.2.2", false);
        for (unsigned c = 0; c < CLIENTS; c++)
                assert_int_equal(tcp(w, c, "PA"), shard[c]);
        for (unsigned c = CLIENTS; c < 2 * CLIENTS; c++) {
                assert_int_equal(tcp(w, c, "S"), 1);
                assert_int_equal(tcp(w, c, "A"), 1);
        }
        health(w, "10.30.2.2", true);
        for (unsigned c = 0; c < CLIENTS; c++)
                assert_int_equal(tcp(w, c, "A"), shard[c]);
        for (unsigned c = CLIENTS; c < 2 * CLIENTS; c++)
                assert_int_equal(tcp(w, c, "A"), 1);
        assert_int_equal(metric_get(&w->worker.flows.counters[FLOW_COUNT_REPICKED]), 0);
}

static bool resolved(const struct world *w, const char *addr)
{
        return neigh_word(&w->neigh, w->backends.b[backend_at(w, addr)].adjacency) != 0;
}

/* The shard's host answers neither probes nor ARP any more. */
static void silence(struct world *w, const char *addr)
{
        struct frame_out f;
        neigh_doubt(&w->neigh, w->backends.b[backend_at(w, addr)].adjacency, w->now_ms);
        for (unsigned i = 0; resolved(w, addr); i++, w->now_ms += 500) {
                assert_true(i < 20);
                while (neigh_next(&w->neigh, w->now_ms, &f))
                        ;
        }
}

/* Health down and no neighbour: the host is gone, and so are its connections, with or without an entry; the shard that gets
 * their packets resets them.  Not before both are known, and not back again. */
static void test_silent_shard_loses_its_flows(void **state)
{
        struct world *w = *state;
        uint8_t shard[CLIENTS];
        unsigned on_2 = 0;
        for (unsigned c = 0; c < CLIENTS; c++) {
                shard[c] = tcp(w, c, c % 2 ? "S" : "A"); /* every other one has no entry yet */
                on_2 += c % 2 == 0 && shard[c] == 2;
        }
        health(w, "10.30.2.2", false);
        for (unsigned c = 0; c < CLIENTS; c += 4)
                assert_int_equal(tcp(w, c, "PA"), shard[c]);
        silence(w, "10.30.2.2");
        assert_true(resolved(w, "10.30.1.2"));
        for (unsigned c = 0; c < CLIENTS; c++)
                assert_int_equal(tcp(w, c, "PA"), 1);
        assert_int_equal(metric_get(&w->worker.flows.counters[FLOW_COUNT_REPICKED]), on_2);
        w->now_ms += 1000; /* the next request is due */
        world_resolve(w);
        health(w, "10.30.2.2", true);
        for (unsigned c = 0; c < CLIENTS; c++)
                assert_int_equal(tcp(w, c, "A"), 1);
}

/* With both gone the flows stay where they are, although the table over all that are down would choose anew. */
static void test_all_silent_moves_nothing(void **state)
{
        struct world *w = *state;
        health(w, "10.30.1.2", false);
        for (unsigned c = 0; c < CLIENTS; c++) {
                assert_int_equal(tcp(w, c, "S"), 2);
                assert_int_equal(tcp(w, c, "A"), 2);
        }
        health(w, "10.30.2.2", false);
        silence(w, "10.30.2.2");
        for (unsigned c = 0; c < CLIENTS; c++)
                assert_int_equal(run_client(w, c, "PA").verdict, DROP_NO_NEIGHBOUR);
        w->now_ms += 1000;
        world_resolve(w);
        for (unsigned c = 0; c < CLIENTS; c++)
                assert_int_equal(tcp(w, c, "A"), 2);
}

/* A neighbour alone proves nothing (the healthy one is resolved again soon), nor do two shards that are both gone. */
static void test_silence_without_a_better_shard(void **state)
{
        struct world *w = *state;
        uint8_t shard[CLIENTS];
        for (unsigned c = 0; c < CLIENTS; c++)
                shard[c] = tcp(w, c, "A");
        for (unsigned round = 0; round < 2; round++) {
                silence(w, "10.30.2.2");
                if (round == 1)
                        silence(w, "10.30.1.2");
                for (unsigned c = 0; c < CLIENTS; c++) {
                        bool lost = round == 1 || shard[c] == 2;
                        assert_int_equal(run_client(w, c, "PA").verdict, lost ? DROP_NO_NEIGHBOUR : FORWARD_SHARD);
                }
                w->now_ms += 1000;
                world_resolve(w);
                for (unsigned c = 0; c < CLIENTS; c++)
                        assert_int_equal(tcp(w, c, "A"), shard[c]);
                health(w, "10.30.1.2", false);
                health(w, "10.30.2.2", false);
        }
        assert_int_equal(metric_get(&w->worker.flows.counters[FLOW_COUNT_REPICKED]), 0);
}

static void test_health_does_not_touch_the_others(void **state)
{
        struct world *w = *state;
        uint8_t shard[CLIENTS];
        for (unsigned c = 0; c < CLIENTS; c++)
                shard[c] = tcp(w, c, "A");
        for (int round = 0; round < 5; round++) {
                health(w, "10.30.2.2", round % 2 != 0);
                for (unsigned c = 0; c < CLIENTS; c++)
                        if (shard[c] == 1)
                                assert_int_equal(tcp(w, c, "A"), 1);
        }
}

static void test_all_down_fails_open(void **state)
{
        struct world *w = *state;
        unsigned n[3] = { 0 };
        health(w, "10.30.1.2", false);
        health(w, "10.30.2.2", false);
        for (unsigned c = 0; c < CLIENTS; c++)
                n[tcp(w, c, "S")]++;
        assert_true(n[1] > CLIENTS / 3 && n[2] > CLIENTS / 3);
        assert_true(w->tables->pools[0].fail_open);
}

/* Connections opened before a table change whose flow entries are lost follow the previous table; connections opened
 * after it must not, although their first ACK looks the same. */
static void test_previous_table(void **state)
{
        struct world *w = *state;
        uint8_t before[CLIENTS];
        unsigned moved = 0;
        health(w, "10.30.2.2", false);
        for (unsigned c = 0; c < CLIENTS; c++)
                before[c] = tcp(w, c, "S");
        health(w, "10.30.2.2", true); /* half of the slots change */
        world_reset_worker(w, 1024);  /* all entries lost */
        for (unsigned c = 0; c < CLIENTS; c++) {
                assert_int_equal(icmp_about(w, c).out_port, before[c]);
                assert_int_equal(tcp(w, c, "A"), before[c]);
        }
        assert_true(metric_get(&w->worker.flows.counters[FLOW_COUNT_FOLLOWED_PREVIOUS]) > CLIENTS / 3);
        for (unsigned c = CLIENTS; c < 2 * CLIENTS; c++) {
                uint8_t shard = tcp(w, c, "S");
                moved += shard == 2;
                assert_int_equal(tcp(w, c, "A"), shard);
                assert_int_equal(tcp(w, c, "PA"), shard);
        }
        assert_true(moved > CLIENTS / 3);
        w->now_ms += 60000; /* the pool's drain_ms is over */
        assert_int_equal(tables_expire(w->tables, w->now_ms, world_retire, w), UINT64_MAX);
        world_reset_worker(w, 1024);
        for (unsigned c = 0; c < CLIENTS; c++)
                assert_int_equal(tcp(w, c, "S"), tcp(w, c, "A"));
}

/* A shard leaves the model: its flows stay for drain_ms, new ones go elsewhere; then its index is retired and reused. */
static void test_removed_backend_lingers(void **state)
{
        struct world *w = *state;
        uint8_t shard[CLIENTS];
        struct world_spec spec = { .edit = one_shard };
        for (unsigned c = 0; c < CLIENTS; c++)
                shard[c] = tcp(w, c, "A");
        uint16_t gone = backend_at(w, "10.30.2.2");
        replace_tables(w, &spec, 2);
        assert_int_equal(w->backends.b[gone].state, BACKEND_LINGER);
        for (unsigned c = 0; c < CLIENTS; c++)
                assert_int_equal(tcp(w, c, "A"), shard[c]);
        for (unsigned c = CLIENTS; c < 2 * CLIENTS; c++)
                assert_int_equal(tcp(w, c, "S"), 1);
        assert_int_equal(backends_retire(&w->backends, w->now_ms), 0);
        w->now_ms += 61000;
        uint32_t token = backends_retire(&w->backends, w->now_ms);
        assert_true(token > 0);
        for (unsigned c = 0; c < CLIENTS; c += 2)
                assert_int_equal(tcp(w, c, "A"), 1);
        uint16_t epoch = w->backends.b[gone].epoch;
        backends_reclaim(&w->backends, token);
        assert_int_equal(w->backends.b[gone].state, BACKEND_FREE);
        replace_tables(w, NULL, 3);
        assert_int_equal(backend_at(w, "10.30.2.2"), gone);
        assert_int_not_equal(w->backends.b[gone].epoch, epoch);
        assert_int_equal(w->backends.b[gone].health,
                         HEALTH_INITIAL); /* joins a working pool: first it must prove itself */
        for (unsigned c = 3 * CLIENTS; c < 4 * CLIENTS; c++)
                assert_int_equal(tcp(w, c, "S"), 1);
        for (unsigned c = 0; c < CLIENTS; c++) /* what still names the index means another backend: the epoch tells */
                assert_int_equal(tcp(w, c, "A"), 1);
}

/* A SYN on the tuple of a connection that is closing is a new connection: it is chosen anew. */
static void test_syn_after_fin(void **state)
{
        struct world *w = *state;
        unsigned moved = 0;
        health(w, "10.30.2.2", false);
        for (unsigned c = 0; c < CLIENTS; c++) {
                assert_int_equal(tcp(w, c, "S"), 1);
                assert_int_equal(tcp(w, c, "A"), 1);
        }
        health(w, "10.30.2.2", true);
        for (unsigned c = 0; c < CLIENTS; c++) {
                assert_int_equal(tcp(w, c, "S"), 1); /* a stray one moves nothing */
                assert_int_equal(tcp(w, c, "FA"), 1);
                uint8_t shard = tcp(w, c, "S");
                moved += shard == 2;
                assert_int_equal(tcp(w, c, "A"), shard);
        }
        assert_true(moved > CLIENTS / 3);
}

static void shard_1_down(Model__L4 *l4, Model__EndpointSet *set)
{
        (void)l4;
        set->version = 2;
        set->endpoints[0]->state = set->endpoints[1]->state = MODEL__ENDPOINT_STATE__ENDPOINT_DOWN;
}

/* DOWN in the model, though probes succeed: nothing new, and UDP leaves; connections stay until the host is silent. */
static void test_down_in_the_model(void **state)
{
        struct world *w = *state;
        struct world_spec spec = { .edit = shard_1_down };
        uint8_t shard[CLIENTS];
        char text[128];
        for (unsigned c = 0; c < CLIENTS; c++) {
                shard[c] = tcp(w, c, "A");
                snprintf(text, sizeof text, "ip4 198.51.100.%u > 192.0.2.1 / udp 4000 > 53", c + 1);
                assert_int_equal(run(w, 0, text).verdict, FORWARD_SHARD);
        }
        replace_tables(w, &spec, 2);
        for (unsigned c = 0; c < CLIENTS; c++) {
                assert_int_equal(tcp(w, c, "A"), shard[c]);
                assert_int_equal(tcp(w, CLIENTS + c, "S"), 2);
                snprintf(text, sizeof text, "ip4 198.51.100.%u > 192.0.2.1 / udp 4000 > 53", c + 1);
                assert_int_equal(run(w, 0, text).out_port, 2);
        }
        silence(w, "10.30.1.2");
        for (unsigned c = 0; c < CLIENTS; c++)
                assert_int_equal(tcp(w, c, "A"), 2);
}

/* A new generation with the same table goes on honouring the previous one, and no longer than it would have been. */
static void test_generation_inherits_previous_table(void **state)
{
        struct world *w = *state;
        uint8_t before[CLIENTS];
        for (unsigned c = 0; c < CLIENTS; c++)
                before[c] = tcp(w, c, "S");
        health(w, "10.30.2.2", false);
        w->now_ms += 30000;
        replace_tables(w, NULL, 2);
        for (unsigned c = 0; c < CLIENTS; c++)
                assert_int_equal(icmp_about(w, c).out_port, before[c]);
        w->now_ms += 30000; /* drain_ms since the change */
        assert_int_equal(tables_expire(w->tables, w->now_ms, world_retire, w), UINT64_MAX);
        for (unsigned c = 0; c < CLIENTS; c++)
                assert_int_equal(icmp_about(w, c).out_port, 1);
}

static void test_same_model_changes_nothing(void **state)
{
        struct world *w = *state;
        struct maglev *before = atomic_load(&w->tables->pools[0].now);
        struct maglev *copy = maglev_get(before);
        replace_tables(w, NULL, 2);
        assert_true(maglev_equal(copy, atomic_load(&w->tables->pools[0].now)));
        assert_null(atomic_load(&w->tables->pools[0].prev));
        maglev_put(copy);
}

static void test_draining_keeps_flows(void **state)
{
        struct world *w = *state;
        uint8_t shard[CLIENTS];
        struct world_spec spec = { .edit = shard_1_draining };
        for (unsigned c = 0; c < CLIENTS; c++)
                shard[c] = tcp(w, c, "A");
        replace_tables(w, &spec, 2);
        for (unsigned c = 0; c < CLIENTS; c++)
                assert_int_equal(tcp(w, c, "A"), shard[c]);
        for (unsigned c = CLIENTS; c < 2 * CLIENTS; c++)
                assert_int_equal(tcp(w, c, "S"), 2);
        health(w, "10.30.2.2", false); /* nobody READY is healthy: the draining one serves again */
        for (unsigned c = 2 * CLIENTS; c < 3 * CLIENTS; c++)
                assert_int_equal(tcp(w, c, "S"), 1);
}

static void test_icmp_follows_flow(void **state)
{
        struct world *w = *state;
        for (unsigned c = 0; c < CLIENTS; c++) {
                uint8_t shard = tcp(w, c, "A");
                health(w, "10.30.2.2",
                       c % 2 != 0); /* a table change must not lead it astray while the flow's shard lives */
                uint32_t live = w->worker.flows.n_live;
                struct pkt p = icmp_about(w, c);
                assert_int_equal(p.verdict, FORWARD_SHARD);
                if (shard == 1)
                        assert_int_equal(p.out_port, 1);
                assert_int_equal(w->worker.flows.n_live, live); /* read-only */
        }
}

static void test_fragments_follow_flow(void **state)
{
        struct world *w = *state;
        for (unsigned c = 0; c < CLIENTS; c++) {
                char text[160];
                snprintf(text, sizeof text, "ip4 198.51.100.9 > 192.0.2.1 / udp %u > 53", 3000 + c);
                uint8_t shard = run(w, 0, text).out_port;
                snprintf(text, sizeof text, "ip4 198.51.100.9 > 192.0.2.1 mf id=%u / udp %u > 53 len=900 / data 800", c,
                         3000 + c);
                assert_int_equal(run(w, 0, text).out_port, shard);
                snprintf(text, sizeof text, "ip4 198.51.100.9 > 192.0.2.1 off=808 proto=17 id=%u / data 84", c);
                assert_int_equal(run(w, 0, text).out_port, shard);
        }
        w->now_ms += 3000;
        assert_int_equal(run(w, 0, "ip4 198.51.100.9 > 192.0.2.1 off=808 proto=17 id=0 / data 84").verdict,
                         DROP_FRAGMENT_UNKNOWN);
}

static void test_budgets(void **state)
{
        struct world *w = *state;
        static const struct {
                const char *frame;
                enum l4_verdict v;
                unsigned per_s;
        } cases[] = {
                { "ip4 198.51.100.7 > 192.0.2.1 / icmp 8.0", REPLY_ECHO, L4_MAX_REPLIES_PER_S },
                { "arp request 02:cc:00:00:00:01 10.20.0.1 00:00:00:00:00:00 192.0.2.1", REPLY_ARP,
                  L4_MAX_REPLIES_PER_S },
                { "arp reply 02:cc:00:00:00:01 10.20.0.1 02:00:00:00:00:01 10.20.0.2", PUNT_NEIGH, L4_MAX_PUNTS_PER_S },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                for (unsigned n = 0; n < cases[i].per_s; n++)
                        assert_int_equal(run(w, 0, cases[i].frame).verdict, cases[i].v);
                assert_int_equal(run(w, 0, cases[i].frame).verdict, DROP_RATE_LIMITED);
                w->now_ms += 10;
                for (unsigned n = 0; n < cases[i].per_s / 100; n++)
                        assert_int_equal(run(w, 0, cases[i].frame).verdict, cases[i].v);
                assert_int_equal(run(w, 0, cases[i].frame).verdict, DROP_RATE_LIMITED);
        }
        /* The punts are used up, but what keeps shards in service has a budget of its own. */
        for (unsigned n = 0; n < L4_MAX_PROBES_PER_S; n++)
                assert_int_equal(run(w, 1, "ip4 10.30.1.2 > 10.30.1.1 / tcp 9000 > 61440 SA").verdict, PUNT_PROBE);
        assert_int_equal(run(w, 1, "ip4 10.30.1.2 > 10.30.1.1 / tcp 9000 > 61440 SA").verdict, DROP_RATE_LIMITED);
        assert_int_equal(verdicts_sum(&w->worker.verdicts), metric_get(&w->worker.verdicts.received));
}

/* The budget towards the kernel; and what only our neighbour table loses when its own budget is over. */
static void test_kernel_budget(void **state)
{
        struct world *w = *state;
        static const char ssh[] = "ip4 198.51.100.7 > 10.21.0.9 / tcp 4000 > 22 S",
                          arp[] = "arp reply 02:cc:00:00:00:01 10.21.0.1 02:00:00:00:00:21 10.21.0.9";
        w->net.to_kernel_pps = L4_MAX_PUNTS_PER_S;
        world_reset_worker(w, 64);
        for (unsigned n = 0; n < L4_MAX_PUNTS_PER_S; n++)
                assert_int_equal(run(w, 3, arp).verdict, PUNT_NEIGH);
        assert_int_equal(run(w, 3, arp).verdict, FORWARD_KERNEL);
        for (unsigned n = 1; n < L4_MAX_PUNTS_PER_S; n++)
                assert_int_equal(run(w, 3, ssh).verdict, FORWARD_KERNEL);
        assert_int_equal(run(w, 3, ssh).verdict, DROP_KERNEL_LIMIT);
        assert_int_equal(run(w, 3, arp).verdict, DROP_KERNEL_LIMIT);
        assert_int_equal(run(w, 3, "ip4 198.51.100.7 > 192.0.2.1 / tcp 4000 > 80 S").verdict, FORWARD_SHARD);
        w->now_ms += 500;
        for (unsigned n = 0; n < L4_MAX_PUNTS_PER_S / 2; n++)
                assert_int_equal(run(w, 3, ssh).verdict, FORWARD_KERNEL);
        assert_int_equal(run(w, 3, ssh).verdict, DROP_KERNEL_LIMIT);
        assert_int_equal(verdicts_sum(&w->worker.verdicts), metric_get(&w->worker.verdicts.received));
}

/* The checksum of the answer for every checksum of the request: the carry must go around. */
static void test_echo_every_checksum(void **state)
{
        static const char *const requests[] = { "ip4 198.51.100.7 > 192.0.2.1 / icmp 8.0 / data 2",
                                                "ip6 2001:db8:99::7 > 2001:db8:10::1 / icmp 128.0 / data 2" };
        struct world *w = *state;
        for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
                uint8_t request[FRAME_MAX], f[FRAME_MAX];
                size_t n = frame_make(requests[i], w->net.ports[0].mac, request);
                uint8_t *ip = request + ETH_LEN, *icmp = ip + (i == 0 ? IPV4_LEN : IPV6_LEN);
                size_t len = (size_t)(request + n - icmp);
                for (unsigned v = 0; v <= UINT16_MAX; v++) {
                        struct pkt p;
                        set_u16(icmp + 4, (uint16_t)v);
                        set_u16(icmp + 2, 0);
                        uint32_t sum = i == 0 ? 0 : cksum_pseudo(ip + 8, ip + 24, 16, (uint32_t)len, PROTO_ICMPV6);
                        set_u16(icmp + 2, cksum_fold(cksum_add(sum, icmp, len)));
                        memcpy(f, request, n);
                        w->now_ms++; /* within the budget */
                        world_run(w, 0, f, n, n, n, &p);
                        assert_int_equal(p.verdict, REPLY_ECHO);
                        if (!frame_icmp_sum_ok(f, n))
                                fail_msg("request %zu, identifier %04x: checksum of the reply is wrong", i, v);
                }
        }
}

static void test_no_neighbour(void **state)
{
        struct world *w = *state;
        uint16_t router = NEIGH_NONE, shard = w->backends.b[backend_at(w, "10.30.1.2")].adjacency;
        struct frame_out f;
        for (size_t i = 0; i < w->net.n_routes; i++)
                if (w->net.routes[i].via.af == 4)
                        router = w->net.routes[i].adjacency;
        uint64_t end = w->now_ms + 40000; /* nobody answers the probes of reachability */
        for (; w->now_ms < end; w->now_ms += 500)
                while (neigh_next(&w->neigh, w->now_ms, &f))
                        ;
        assert_int_equal(neigh_word(&w->neigh, router), 0);
        assert_int_equal(neigh_word(&w->neigh, shard), 0);
        assert_int_equal(run(w, 1, "ip4 192.0.2.1 > 198.51.100.7 / tcp 80 > 4000 SA").verdict, DROP_NO_NEIGHBOUR);
        assert_int_equal(run(w, 0, "ip4 198.51.100.7 > 192.0.2.1 / tcp 4000 > 80 S").verdict, DROP_NO_NEIGHBOUR);
        w->now_ms += 1000; /* the next request is due */
        world_resolve(w);
        assert_int_equal(neigh_word(&w->neigh, router) != 0, true);
        assert_int_equal(run(w, 1, "ip4 192.0.2.1 > 198.51.100.7 / tcp 80 > 4000 SA").verdict, FORWARD_RETURN);
}

static void test_on_link_client(void **state)
{
        struct world *w = *state;
        const char *reply = "ip4 192.0.2.1 > 10.20.0.77 / tcp 80 > 4000 SA";
        struct pkt p = run(w, 1, reply);
        struct frame_out f;
        assert_int_equal(p.verdict, PUNT_RESOLVE);
        neigh_input(&w->neigh, 1, p.p, p.len, w->now_ms);
        assert_true(neigh_next(&w->neigh, w->now_ms, &f));
        assert_int_equal(f.port, 0);
        assert_int_equal(get_u16(f.b + 12), ETHERTYPE_ARP);
        assert_memory_equal(f.b + ETH_LEN + 24, ((uint8_t[]){ 10, 20, 0, 77 }), 4);
        p = run(w, 0, "arp reply 02:cc:00:00:00:01 10.20.0.77 02:00:00:00:00:01 10.20.0.2");
        assert_int_equal(p.verdict, PUNT_NEIGH);
        assert_true(neigh_input(&w->neigh, 0, p.p, p.len, w->now_ms));
        p = run(w, 1, reply);
        assert_int_equal(p.verdict, FORWARD_RETURN);
        assert_int_equal(p.out_port, 0);
        assert_memory_equal(p.p, ((uint8_t[]){ 2, 0xcc, 0, 0, 0, 1 }), 6);
}

static void test_before_the_first_model(void **state)
{
        struct world *w = *state;
        struct tables *t = w->tables;
        w->tables = NULL;
        assert_int_equal(run(w, 0, "ip4 198.51.100.7 > 192.0.2.1 / tcp 4000 > 80 S").verdict, DROP_NO_TABLES);
        assert_int_equal(run(w, 0, "arp request 02:cc:00:00:00:01 10.20.0.1 00:00:00:00:00:00 192.0.2.1").verdict,
                         DROP_ARP_OTHER);
        assert_int_equal(run(w, 0, "ip4 198.51.100.7 > 10.20.0.2 / icmp 8.0").verdict, REPLY_ECHO);
        assert_int_equal(run(w, 3, "ip4 198.51.100.7 > 10.21.0.9 / tcp 4000 > 22 S").verdict, FORWARD_KERNEL);
        assert_int_equal(run(w, 0, "arp request 02:cc:00:00:00:01 10.20.0.1 00:00:00:00:00:00 10.20.0.2").verdict,
                         REPLY_ARP);
        w->tables = t;
}

static void test_source_affinity(void **state)
{
        struct world *w = *state;
        for (uint32_t i = 0; i < w->tables->n_services; i++)
                w->tables->services[i].source_affinity = 1;
        for (unsigned c = 0; c < 50; c++) {
                uint8_t first = 0;
                for (unsigned port = 1; port < 20; port++) {
                        char text[128];
                        snprintf(text, sizeof text, "ip4 198.51.100.%u > 192.0.2.1 / tcp %u > 80 S", c + 1,
                                 2000 + port);
                        struct pkt p = run(w, 0, text);
                        assert_int_equal(p.verdict, FORWARD_SHARD);
                        first = first ? first : p.out_port;
                        assert_int_equal(p.out_port, first);
                }
        }
}

static void test_idle_flow_expires(void **state)
{
        struct world *w = *state;
        tcp(w, 1, "A");
        tcp(w, 1, "A");
        w->now_ms += 349000;
        worker_sweep(&w->worker, w->now_ms);
        assert_int_equal(w->worker.flows.n_live, 1);
        w->now_ms += 2000;
        for (uint32_t i = 0; i <= w->worker.flows.bucket_mask; i++)
                worker_sweep(&w->worker, ++w->now_ms);
        assert_int_equal(w->worker.flows.n_live, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        static const struct CMUnitTest tests[] = {
                T(test_both_shards_get_flows),
                T(test_syn_costs_nothing),
                T(test_health_moves_only_what_opens),
                T(test_silent_shard_loses_its_flows),
                T(test_silence_without_a_better_shard),
                T(test_all_silent_moves_nothing),
                T(test_health_does_not_touch_the_others),
                T(test_all_down_fails_open),
                T(test_previous_table),
                T(test_removed_backend_lingers),
                T(test_syn_after_fin),
                T(test_down_in_the_model),
                T(test_generation_inherits_previous_table),
                T(test_same_model_changes_nothing),
                T(test_draining_keeps_flows),
                T(test_icmp_follows_flow),
                T(test_fragments_follow_flow),
                T(test_budgets),
                T(test_kernel_budget),
                T(test_echo_every_checksum),
                T(test_no_neighbour),
                T(test_on_link_client),
                T(test_before_the_first_model),
                T(test_source_affinity),
                T(test_idle_flow_expires),
        };
        return cmocka_run_group_tests_name("pipeline", tests, NULL, NULL);
}
