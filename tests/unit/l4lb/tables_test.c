/* tests/unit/l4lb/tables_test.c - building generations: every refusal names its object, aborts leave no trace, lookups
 * agree with the list, weights and endpoints are followed. */
#include "lib/base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "lib/control.pb-c.h"
#include "l4lb/core/wire.h"
#include "tests/unit/l4lb/world.h"

static int setup(void **state)
{
        *state = world_new(64);
        return 0;
}

static int teardown(void **state)
{
        world_free(*state);
        return 0;
}

#define EDIT(name, ...)                                              \
        static void name(Model__L4 *l4, Model__EndpointSet *set)     \
        {                                                            \
                (void)l4;                                            \
                (void)set;                                           \
                __VA_ARGS__;                                         \
        }
static Model__Outlier outlier = MODEL__OUTLIER__INIT;
static Model__Prefix pod_prefix = MODEL__PREFIX__INIT;
static Model__PodRoute pod_route = MODEL__POD_ROUTE__INIT, *pod_routes[] = { &pod_route };
static uint8_t pod_bytes[4] = { 10, 244, 0, 0 }, pod_hop[4] = { 10, 0, 0, 1 };

EDIT(vip_prefix, l4->vips[0]->prefix_len = 24)
EDIT(vip_advertise, l4->vips[0]->advertise_profile = (char *)(uintptr_t)"bgp")
EDIT(vip_withdraw, l4->vips[0]->withdraw_when_empty = true)
EDIT(listener_quic, l4->listeners[0]->protocol = MODEL__L4_PROTOCOL__L4_QUIC)
EDIT(listener_endpoints, l4->listeners[0]->target = MODEL__L4_LISTENER__TARGET__ENDPOINTS)
EDIT(tunnel_family, l4->pools[5]->tunnel_source = (char *)(uintptr_t)"fd00::1")
EDIT(ipip_port, l4->listeners[0]->forward = MODEL__L4_LISTENER__FORWARD__IPIP; set->endpoints[0]->port = 6080)
EDIT(tunnel_udp_only, l4->listeners[19]->protocol = MODEL__L4_PROTOCOL__L4_UDP; l4->listeners[19]->port_lo = l4->listeners[19]->port_hi = 99)
EDIT(listener_nat, l4->listeners[0]->forward = MODEL__L4_LISTENER__FORWARD__NAT)
EDIT(listener_full_nat, l4->listeners[0]->forward = MODEL__L4_LISTENER__FORWARD__FULL_NAT)
EDIT(listener_proxy, l4->listeners[0]->proxy_protocol = MODEL__PROXY_PROTOCOL__PROXY_V2)
EDIT(listener_affinity_none, l4->listeners[0]->affinity = MODEL__AFFINITY__AFFINITY_NONE)
EDIT(listener_affinity_s, l4->listeners[0]->affinity_s = 60)
EDIT(listener_rate, l4->listeners[0]->source_packets_per_s = 4000001)
EDIT(listener_connections, l4->listeners[0]->max_connections = 10)
EDIT(listener_idle, l4->listeners[0]->idle_s = 30001)
EDIT(nat_no_port, l4->listeners[0]->target = MODEL__L4_LISTENER__TARGET__ENDPOINTS;
     l4->listeners[0]->forward = MODEL__L4_LISTENER__FORWARD__FULL_NAT)
EDIT(pool_http, l4->pools[0]->health_check->type = MODEL__HEALTH_CHECK_TYPE__HC_HTTP)
EDIT(pool_no_port, l4->pools[0]->health_check->port = 0)
EDIT(pool_path, l4->pools[0]->health_check->path = (char *)(uintptr_t)"/")
EDIT(pool_outlier, l4->pools[0]->outlier = &outlier)
EDIT(pool_least, l4->pools[0]->algorithm = MODEL__POOL__ALGORITHM__LEAST)
EDIT(pool_slow, l4->pools[0]->slow_start_ms = 3600001)
EDIT(pool_tunnel, l4->pools[0]->tunnel_source = (char *)(uintptr_t)"10.0.0.1")
EDIT(some_pod_route, pod_prefix.addr = (ProtobufCBinaryData){ 4, pod_bytes }; pod_prefix.len = 16; pod_route.prefix = &pod_prefix;
     pod_route.next_hop = (ProtobufCBinaryData){ 4, pod_hop }; l4->n_pod_routes = 1; l4->pod_routes = pod_routes)
EDIT(endpoint_port, set->endpoints[1]->port = 8080)
EDIT(endpoint_priority, set->endpoints[1]->priority = 1)
EDIT(endpoint_twice, set->endpoints[2]->addr = set->endpoints[0]->addr)
EDIT(endpoint_far, set->endpoints[2]->addr.data[0] = 172)
EDIT(endpoint_on_uplink, set->endpoints[2]->addr.data[1] = 20; set->endpoints[2]->addr.data[2] = 0)
EDIT(vip_is_ours, memcpy(l4->vips[0]->addr.data, ((uint8_t[]){ 10, 20, 0, 2 }), 4))
EDIT(vip_twice, l4->vips[1]->addr = l4->vips[0]->addr)

static const struct {
        const char *name;
        void (*edit)(Model__L4 *, Model__EndpointSet *);
        unsigned stage;
        const char *source_kind, *says;
} refusals[] = {
        { "CIDR VIP", vip_prefix, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "Gateway", "prefix" },
        { "advertisement", vip_advertise, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "Gateway", "bgp" },
        { "withdraw_when_empty", vip_withdraw, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "Gateway", "withdraw" },
        { "QUIC", listener_quic, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "Gateway", "QUIC" },
        { "target ENDPOINTS", listener_endpoints, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "Gateway", "endpoints" },
        { "tunnel source of another family", tunnel_family, CONTROL__NACK_STAGE__NACK_BUILD, "ShardPool", "family" },
        { "IPIP to a port", ipip_port, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "ShardPool", "6080" },
        { "nothing to probe through a tunnel", tunnel_udp_only, CONTROL__NACK_STAGE__NACK_BUILD, "ShardPool", "TCP listener" },
        { "NAT", listener_nat, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "Gateway", "layer 2" },
        { "full NAT", listener_full_nat, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "Gateway", "layer 2" },
        { "PROXY protocol", listener_proxy, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "Gateway", "PROXY" },
        { "no affinity", listener_affinity_none, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "Gateway", "affinity" },
        { "affinity time", listener_affinity_s, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "Gateway", "affinity" },
        { "packet rate", listener_rate, CONTROL__NACK_STAGE__NACK_LIMIT, "Gateway", "4000001" },
        { "connection count", listener_connections, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "Gateway", "at a time" },
        { "idle time", listener_idle, CONTROL__NACK_STAGE__NACK_LIMIT, "Gateway", "30001" },
        { "NAT to an endpoint without a port", nat_no_port, CONTROL__NACK_STAGE__NACK_BUILD, "ShardPool", "port 0" },
        { "HTTP check", pool_http, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "ShardPool", "TCP" },
        { "check without port", pool_no_port, CONTROL__NACK_STAGE__NACK_BUILD, "ShardPool", "port" },
        { "TCP check with path", pool_path, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "ShardPool", "path" },
        { "outlier", pool_outlier, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "ShardPool", "outlier" },
        { "least connections", pool_least, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "ShardPool", "Maglev" },
        { "slow start", pool_slow, CONTROL__NACK_STAGE__NACK_LIMIT, "ShardPool", "3600001" },
        { "tunnel", pool_tunnel, CONTROL__NACK_STAGE__NACK_BUILD, "ShardPool", "no tunnel" },
        { "pod route", some_pod_route, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, NULL, "pod" },
        { "endpoint port", endpoint_port, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "ShardPool", "8080" },
        { "endpoint priority", endpoint_priority, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "ShardPool", "priorit" },
        { "endpoint twice", endpoint_twice, CONTROL__NACK_STAGE__NACK_BUILD, "ShardPool", "one address" },
        { "endpoint nowhere", endpoint_far, CONTROL__NACK_STAGE__NACK_BUILD, "ShardPool", "172.30.2.2" },
        { "endpoint on the uplink", endpoint_on_uplink, CONTROL__NACK_STAGE__NACK_BUILD, "ShardPool", "10.20.0.2" },
        { "VIP that is ours", vip_is_ours, CONTROL__NACK_STAGE__NACK_BUILD, "Gateway", "port up" },
        { "VIP twice", vip_twice, CONTROL__NACK_STAGE__NACK_BUILD, "Gateway", "taken" },
};

static unsigned total_refs(const struct world *w)
{
        unsigned n = 0;
        for (size_t i = 0; i < w->backends.n; i++)
                n += w->backends.b[i].refs;
        return n;
}

static void test_refusals(void **state)
{
        struct world *w = *state;
        unsigned refs = total_refs(w);
        for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
                struct world_spec spec = { .edit = refusals[i].edit };
                struct model *m = NULL;
                struct tables *t = NULL;
                struct model_error e = { 0 };
                if (world_model(&spec, 2, &m, &e) < 0) {
                        print_message("%s: refused by the model: %s\n", refusals[i].name, e.err.msg);
                        fail();
                }
                if (tables_build(m, &w->net, &w->backends, &w->conf, w->now_ms, &t, &e) == 0) {
                        print_message("%s was not refused\n", refusals[i].name);
                        fail();
                }
                bool ok = e.stage == refusals[i].stage && strstr(e.err.msg, refusals[i].says) &&
                          (refusals[i].source_kind ? e.has_source && strcmp(e.kind, refusals[i].source_kind) == 0 : !e.has_source);
                if (!ok)
                        print_message("%s: stage %u, source %s: %s\n", refusals[i].name, e.stage, e.has_source ? e.kind : "-", e.err.msg);
                assert_true(ok);
                assert_null(t);
                assert_int_equal(total_refs(w), refs);
                model_free(m);
        }
        for (size_t i = 0; i < w->backends.n; i++)
                assert_int_not_equal(w->backends.b[i].state, BACKEND_RESERVED);
}

static void test_abort_leaves_no_trace(void **state)
{
        struct world *w = *state;
        struct model *m;
        struct model_error e;
        struct tables *t;
        unsigned refs = total_refs(w);
        struct backends *before = malloc(sizeof *before);
        memcpy(before->words, w->backends.words, sizeof before->words);
        assert_int_equal(world_model(NULL, 2, &m, &e), 0);
        assert_int_equal(tables_build(m, &w->net, &w->backends, &w->conf, w->now_ms, &t, &e), 0);
        model_free(m);
        assert_true(total_refs(w) > refs);
        tables_free(t, w->now_ms);
        assert_int_equal(total_refs(w), refs);
        assert_memory_equal(before->words, w->backends.words, sizeof before->words);
        free(before);
}

/* Every (vip, protocol, port) against a linear search of the services. */
static void test_lookup_exhaustive(void **state)
{
        struct world *w = *state;
        const struct tables *t = w->tables;
        for (uint16_t v = 0; v < t->n_vips; v++)
                for (unsigned udp = 0; udp < 2; udp++)
                        for (unsigned port = 1; port < 65536; port++) {
                                uint16_t any = SERVICE_NONE, want = SERVICE_NONE;
                                for (uint16_t s = 0; s < t->n_services; s++) {
                                        const struct service *x = &t->services[s];
                                        if (x->vip == v && x->udp == udp && x->port_lo == 0)
                                                any = s;
                                        else if (x->vip == v && x->udp == udp && port >= x->port_lo && port <= x->port_hi)
                                                want = s;
                                }
                                want = want == SERVICE_NONE ? any : want;
                                if (tables_service(t, v, udp, (uint16_t)port) != want)
                                        fail_msg("vip %u udp %u port %u: %u, wanted %u", v, udp, port, tables_service(t, v, udp, (uint16_t)port), want);
                        }
        for (uint16_t v = 0; v < t->n_vips; v++) {
                const struct ipaddr *a = &t->vips[v].addr;
                assert_int_equal(a->af == 4 ? tables_vip4(t, a->b) : tables_vip6(t, a->b), v);
        }
        assert_int_equal(tables_vip4(t, (uint8_t[4]){ 192, 0, 2, 3 }), VIP_NONE);
        assert_int_equal(tables_vip6(t, (uint8_t[16]){ 0x20, 1 }), VIP_NONE);
}

static void weights_80_20_drop(Model__L4 *l4, Model__EndpointSet *set)
{
        static Model__L4Leg legs[3], *list[3] = { &legs[0], &legs[1], &legs[2] };
        (void)set;
        for (size_t i = 0; i < 3; i++)
                model__l4_leg__init(list[i]);
        legs[0].pool = (char *)(uintptr_t)"shards/default";
        legs[0].weight = 80;
        legs[1].verdict = MODEL__L4_LEG__VERDICT__DROP;
        legs[1].weight = 20;
        legs[2].pool = (char *)(uintptr_t)"shards/empty";
        legs[2].weight = 0;
        l4->distributions[2]->n_legs = 3;
        l4->distributions[2]->legs = list;
}

static void test_leg_weights(void **state)
{
        struct world *w = *state;
        struct world_spec spec = { .edit = weights_80_20_drop };
        struct model *m;
        struct model_error e;
        struct tables *t;
        unsigned drops = 0, n = 100000;
        assert_int_equal(world_model(&spec, 2, &m, &e), 0);
        assert_int_equal(tables_build(m, &w->net, &w->backends, &w->conf, w->now_ms, &t, &e), 0);
        model_free(m);
        const struct service *s = &t->services[tables_service(t, 0, false, 80)];
        assert_int_equal(s->n_legs, 2);
        for (unsigned i = 0; i < n; i++) {
                struct tuple k;
                tuple_set4(&k, PROTO_TCP, (uint8_t[4]){ 10, 0, (uint8_t)(i >> 8), (uint8_t)i }, (uint8_t[4]){ 192, 0, 2, 1 }, i << 16);
                drops += tables_leg(t, s, tuple_hash(&w->conf.cluster_key, &k))->pool == POOL_NONE;
        }
        assert_true(drops > n / 5 - n / 100 && drops < n / 5 + n / 100);
        assert_int_equal(tables_leg(t, s, UINT64_MAX)->pool, POOL_NONE);
        assert_int_not_equal(tables_leg(t, s, 0)->pool, POOL_NONE);
        tables_free(t, w->now_ms);
}

static Model__EndpointSet *fast_set(uint64_t version, bool second)
{
        static uint8_t a[2][4] = { { 10, 30, 1, 2 }, { 10, 30, 2, 2 } };
        static Model__Endpoint ep[2], *list[2] = { &ep[0], &ep[1] };
        static Model__EndpointSet set;
        model__endpoint_set__init(&set);
        set.id = (char *)(uintptr_t)"shards/default";
        set.version = version;
        set.endpoints = list;
        set.n_endpoints = second ? 2 : 1;
        for (size_t i = 0; i < 2; i++) {
                model__endpoint__init(&ep[i]);
                ep[i].addr = (ProtobufCBinaryData){ 4, a[i] };
                ep[i].name = (char *)(uintptr_t)"s";
        }
        return &set;
}

static void test_endpoints_fast_path(void **state)
{
        struct world *w = *state;
        struct model_error e;
        struct pool *p = NULL;
        for (uint32_t i = 0; i < w->tables->n_pools; i++)
                if (strcmp(w->tables->pools[i].id, "shards/default") == 0 && w->tables->pools[i].af == 4)
                        p = &w->tables->pools[i];
        assert_non_null(p);
        assert_int_equal(p->n_members, 2);
        struct maglev *before = maglev_get(atomic_load(&p->now));
        assert_int_equal(tables_endpoints(w->tables, fast_set(1, false), w->now_ms, world_retire, w, &e), 0);
        assert_int_equal(p->n_members, 2); /* not newer */
        assert_int_equal(tables_endpoints(w->tables, fast_set(2, false), w->now_ms, world_retire, w, &e), 0);
        assert_int_equal(p->n_members, 1);
        assert_ptr_equal(atomic_load(&p->prev), before);
        assert_int_equal(atomic_load(&p->now)->n_backends, 1);
        Model__EndpointSet *bad = fast_set(3, true);
        bad->endpoints[1]->addr.data[0] = 99;
        assert_int_equal(tables_endpoints(w->tables, bad, w->now_ms, world_retire, w, &e), -ENETUNREACH);
        assert_int_equal(p->n_members, 1);
        bad->endpoints[1]->addr.data[0] = 10;
        assert_int_equal(tables_endpoints(w->tables, fast_set(3, true), w->now_ms, world_retire, w, &e), 0);
        assert_int_equal(p->n_members, 2);
        unsigned used = 0;
        for (size_t i = 0; i < w->backends.n; i++)
                used += w->backends.b[i].state == BACKEND_ACTIVE && w->backends.b[i].way == WAY_LINK;
        assert_int_equal(used, 2); /* the IPv6 ones linger: the set has one family now */
        assert_true(maglev_equal(before, atomic_load(&p->now))); /* the same backend came back in time: same index, same table */
        maglev_put(before);
}

static void test_no_l4_section(void **state)
{
        struct world *w = *state;
        struct model m = { .generation = 9 };
        struct model_error e;
        struct tables *t;
        assert_int_equal(tables_build(&m, &w->net, &w->backends, &w->conf, w->now_ms, &t, &e), 0);
        assert_int_equal(tables_vip4(t, (uint8_t[4]){ 192, 0, 2, 1 }), VIP_NONE);
        tables_commit(t, w->tables, w->now_ms);
        for (size_t i = 0; i < w->backends.n; i++)
                assert_int_equal(w->backends.b[i].state, BACKEND_LINGER);
        tables_free(t, w->now_ms);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        static const struct CMUnitTest tests[] = {
                T(test_refusals), T(test_abort_leaves_no_trace), T(test_lookup_exhaustive), T(test_leg_weights),
                T(test_endpoints_fast_path), T(test_no_l4_section),
        };
        return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
