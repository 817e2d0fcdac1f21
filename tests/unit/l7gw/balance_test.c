/* tests/unit/l7gw/balance_test.c - shares, states, priorities, tries; every policy's distribution, what moves when an endpoint
 * leaves, agreement of shards, slow start, panic. */
#include "lib/base.h"
#include "l7gw/core/balance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

enum { MAX_EPS = 64 };
#define LB(x) MODEL__CLUSTER__LOAD_BALANCER__##x
static const Model__Cluster__LoadBalancer all_lbs[] = {LB(ROUND_ROBIN), LB(WEIGHTED), LB(LEAST_REQUEST), LB(RANDOM), LB(RING_HASH), LB(MAGLEV)};
struct ep {         /* endpoint 10.0.0.i+1:80 */
        char state; /* 'r' ready, 'd' draining, 'x' down, '-' not in the set, 0 = end */
        uint32_t weight, priority;
};
static const Model__EndpointState states[] = {
        ['r'] = MODEL__ENDPOINT_STATE__ENDPOINT_READY,
        ['d'] = MODEL__ENDPOINT_STATE__ENDPOINT_DRAINING,
        ['x'] = MODEL__ENDPOINT_STATE__ENDPOINT_DOWN,
};
struct set {
        Model__EndpointSet m;
        Model__Endpoint eps[MAX_EPS], *ptrs[MAX_EPS];
        uint8_t addrs[MAX_EPS][4];
};

static const Model__EndpointSet *set_make(struct set *s, const struct ep *eps, bool backwards)
{
        s->m = (Model__EndpointSet)MODEL__ENDPOINT_SET__INIT;
        s->m.endpoints = s->ptrs;
        for (size_t i = 0; i < MAX_EPS && eps[i].state; i++) {
                if (eps[i].state == '-')
                        continue;
                s->eps[i] = (Model__Endpoint)MODEL__ENDPOINT__INIT;
                memcpy(s->addrs[i], (uint8_t[]){10, 0, 0, (uint8_t)(i + 1)}, 4);
                s->eps[i].addr = (ProtobufCBinaryData){4, s->addrs[i]};
                s->eps[i].port = 80;
                s->eps[i].state = states[(unsigned char)eps[i].state];
                s->eps[i].weight = eps[i].weight;
                s->eps[i].priority = eps[i].priority;
                s->ptrs[s->m.n_endpoints++] = &s->eps[i];
        }
        for (size_t i = 0; backwards && i < s->m.n_endpoints / 2; i++) {
                Model__Endpoint *t = s->ptrs[i];
                s->ptrs[i] = s->ptrs[s->m.n_endpoints - 1 - i];
                s->ptrs[s->m.n_endpoints - 1 - i] = t;
        }
        return &s->m;
}

static void adopt(struct balance *b, const Model__Cluster *c, const struct ep *eps, uint64_t now_ms, uint64_t seed)
{
        static uint64_t identity;
        struct set s;
        struct balance_plan *p;
        assert_int_equal(balance_plan_new(c, set_make(&s, eps, seed & 1), ++identity, &p), 0);
        assert_int_equal(balance_adopt(b, p, now_ms, seed), 0);
        balance_plan_put(p);
}

static Model__Cluster cluster(Model__Cluster__LoadBalancer lb)
{
        Model__Cluster c = MODEL__CLUSTER__INIT;
        c.lb = lb;
        return c;
}

static uint64_t rnd;
static unsigned ask(struct balance *b, uint64_t now_ms, uint64_t hash, const struct balance_tried *tried, size_t n) /* last byte of the address, 0 = nobody */
{
        const struct balance_ask a = {.now_ms = now_ms, .rnd = balance_mix(++rnd), .hash = hash, .tried = tried, .n_tried = n};
        const struct balance_endpoint *e = balance_pick(b, &a);
        return e ? e->addr.b[3] : 0;
}

static struct ipaddr addr(unsigned i)
{
        return (struct ipaddr){.af = 4, .b = {10, 0, 0, (uint8_t)i}};
}

static void mark(struct balance *b, unsigned i, uint8_t bad, uint64_t now_ms)
{
        struct ipaddr a = addr(i);
        balance_mark(b, &a, 80, bad, now_ms);
}

static struct balance_state *state_of(struct balance *b, unsigned i)
{
        struct ipaddr a = addr(i);
        struct balance_state *s = balance_state_of(b, &a, 80);
        assert_non_null(s);
        return s;
}

static void test_shares(void **state)
{
        (void)state;
        static const struct {
                const char *name;
                struct ep eps[9];
                unsigned picks, want[8];
        } cases[] = {
                {"equal", {{'r'}, {'r'}, {'r'}}, 300, {100, 100, 100}},
                {"weights, exact over whole cycles", {{'r', 4}, {'r', 1}}, 500, {400, 100}},
                {"weight 0 is 1", {{'r', 0}, {'r', 1}}, 100, {50, 50}},
                {"down is never chosen", {{'x', 100}, {'r', 1}}, 100, {0, 100}},
                {"draining only without ready", {{'d'}, {'r'}, {'d'}}, 60, {0, 60, 0}},
                {"all draining", {{'d'}, {'x'}, {'d'}}, 60, {30, 0, 30}},
                {"best priority with a ready endpoint",
                 {{'r', 1, 1}, {'r', 1, 1}, {'d', 1, 0}, {'r', 1, 2}},
                 60,
                 {30, 30, 0, 0}},
                {"many weights", {{'r', 1}, {'r', 2}, {'r', 3}, {'r', 4}}, 1000, {100, 200, 300, 400}},
        };
        Model__Cluster c = cluster(LB(WEIGHTED));
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                for (uint64_t seed = 0; seed < 20; seed++) {
                        struct balance b = {0};
                        unsigned got[256] = {0};
                        adopt(&b, &c, cases[i].eps, 0, seed);
                        if (seed >= 10) /* near the end of the numbers: turns wrap */
                                for (uint32_t k = 0; k < b.plan->n; k++)
                                        b.state[k].turn -= (uint64_t)20 << 32;
                        for (unsigned k = 0; k < cases[i].picks; k++)
                                got[ask(&b, 0, 0, NULL, 0)]++;
                        for (unsigned k = 0; k < 8; k++)
                                if (got[k + 1] + 1 < cases[i].want[k] || got[k + 1] > cases[i].want[k] + 1)
                                        fail_msg("%s, seed %u: endpoint %u got %u, want %u", cases[i].name, (unsigned)seed, k, got[k + 1], cases[i].want[k]);
                        balance_fini(&b);
                }
}

static void test_seeds_spread(void **state)
{
        (void)state;
        unsigned first[5] = {0};
        Model__Cluster c = cluster(LB(ROUND_ROBIN));
        for (uint64_t seed = 1; seed <= 400; seed++) {
                struct balance b = {0};
                adopt(&b, &c, (struct ep[]){{'r'}, {'r'}, {'r'}, {'r'}, {0}}, 0, seed);
                first[ask(&b, 0, 0, NULL, 0)]++;
                balance_fini(&b);
        }
        for (unsigned i = 1; i < 5; i++) /* workers that restart together must not all begin with one endpoint */
                assert_in_range(first[i], 60, 140);
}

/* Whatever the policy: three tries, three endpoints; who refused is chosen last; who is bad not at all. */
static void test_tried_and_avoided(void **state)
{
        (void)state;
        for (size_t l = 0; l < ARRAY_SIZE(all_lbs); l++)
                for (uint64_t hash = 0; hash < 40; hash++) {
                        struct balance b = {0};
                        Model__Cluster c = cluster(all_lbs[l]);
                        adopt(&b, &c, (struct ep[]){{'r', 1}, {'r', 100}, {'r', 1}, {0}}, 0, 7);
                        struct balance_tried tried[3];
                        unsigned seen = 0;
                        for (size_t n = 0; n < 3; n++) { /* however uneven the weights */
                                unsigned e = ask(&b, 0, hash, tried, n);
                                assert_true(e != 0 && !(seen & 1u << e));
                                seen |= 1u << e;
                                tried[n] = (struct balance_tried){addr(e), 80};
                        }
                        assert_int_equal(ask(&b, 0, hash, tried, 3), 0);
                        state_of(&b, 2)->avoid_until_ms = 1000;
                        for (int i = 0; i < 50; i++)
                                assert_int_not_equal(ask(&b, 999, balance_mix(hash + (uint64_t)i), NULL, 0), 2);
                        bool again = false;
                        for (int i = 0; i < 300; i++)
                                again |= ask(&b, 1000, balance_mix(hash + (uint64_t)i), NULL, 0) == 2;
                        assert_true(again);
                        for (unsigned i = 1; i <= 3; i++)
                                state_of(&b, i)->avoid_until_ms = i == 3 ? 4000 : 5000;
                        assert_int_equal(ask(&b, 0, hash, NULL, 0), 3); /* all are avoided: the one that ends first */
                        adopt(&b, &c, (struct ep[]){{'r'}, {'r'}, {0}}, 0, 9);
                        assert_int_equal(state_of(&b, 2)->avoid_until_ms, 5000); /* an update of the set does not forgive */
                        state_of(&b, 1)->avoid_until_ms = 0;
                        uint64_t token = b.plan->eps[balance_plan_find(b.plan, &(struct ipaddr){.af = 4, .b = {10, 0, 0, 1}}, 80)].token;
                        assert_non_null(balance_by_token(&b, token));
                        mark(&b, 1, BALANCE_EJECTED, 0);
                        assert_null(balance_by_token(&b, token)); /* its sessions go elsewhere */
                        for (int i = 0; i < 50; i++)
                                assert_int_equal(ask(&b, 9000, balance_mix((uint64_t)i), NULL, 0), 2);
                        mark(&b, 2, BALANCE_UNHEALTHY, 0);
                        assert_int_equal(ask(&b, 9000, hash, NULL, 0), 0); /* no threshold: rather nobody than a sick one */
                        balance_fini(&b);
                }
}

static void test_empty(void **state)
{
        (void)state;
        for (size_t l = 0; l < ARRAY_SIZE(all_lbs); l++) {
                struct balance b = {0};
                Model__Cluster c = cluster(all_lbs[l]);
                assert_int_equal(ask(&b, 0, 1, NULL, 0), 0);
                adopt(&b, &c, (struct ep[]){{'x'}, {0}}, 0, 1);
                assert_int_equal(ask(&b, 0, 1, NULL, 0), 0);
                assert_null(balance_by_token(&b, 1));
                balance_fini(&b);
        }
}

static void test_tiers_and_panic(void **state)
{
        (void)state;
        for (size_t l = 0; l < ARRAY_SIZE(all_lbs); l++) {
                struct balance b = {0};
                Model__Cluster c = cluster(all_lbs[l]);
                c.panic_pct = 50;
                /* 1..4 first, 5 and 6 behind them, 7 draining */
                adopt(&b, &c, (struct ep[]){{'r'}, {'r'}, {'r'}, {'r'}, {'r', 1, 1}, {'r', 1, 1}, {'d'}, {0}}, 0, 3);
                unsigned got[8] = {0};
#define ROUND(n) \
        memset(got, 0, sizeof got); \
        for (uint64_t i = 0; i < (n); i++) \
                got[ask(&b, 0, balance_mix(i + 1), NULL, 0)]++;
                ROUND(400)
                assert_true(got[1] && got[2] && got[3] && got[4] && !got[5] && !got[6] && !got[7]);
                mark(&b, 1, BALANCE_UNHEALTHY, 0);
                mark(&b, 2, BALANCE_EJECTED, 0);
                ROUND(400) /* half of them: enough */
                assert_true(!got[1] && !got[2] && got[3] && got[4] && !got[5]);
                mark(&b, 3, BALANCE_UNHEALTHY, 0);
                ROUND(400) /* the next tier */
                assert_true(!got[4] && got[5] && got[6] && !got[7]);
                mark(&b, 5, BALANCE_UNHEALTHY, 0);
                mark(&b, 6, BALANCE_UNHEALTHY, 0);
                ROUND(400) /* who is leaving serves still */
                assert_int_equal(got[7], 400);
                mark(&b, 7, BALANCE_UNHEALTHY, 0);
                ROUND(400) /* panic: all of the first */
                assert_true(b.panic && got[1] && got[2] && got[3] && got[4] && !got[5] && !got[7]);
                mark(&b, 1, 0, 0);
                mark(&b, 2, 0, 0);
                ROUND(400)
                assert_true(!b.panic && got[1] && got[2] && !got[3] && got[4]);
                balance_fini(&b);
        }
}

static void test_distribution(void **state)
{
        (void)state;
        static const struct ep equal[] = {{'r'}, {'r'}, {'r'}, {'r'}, {'r'}, {'r'}, {'r'}, {'r'}, {'r'}, {'r'}, {0}};
        static const struct ep uneven[] = {{'r', 1}, {'r', 2}, {'r', 3}, {'r', 4}, {0}};
        for (size_t l = 2; l < ARRAY_SIZE(all_lbs); l++)
                for (unsigned w = 0; w < 2; w++) {
                        struct balance b = {0};
                        Model__Cluster c = cluster(all_lbs[l]);
                        unsigned got[16] = {0};
                        adopt(&b, &c, w ? uneven : equal, 0, 5);
                        for (uint64_t i = 0; i < 20000; i++) {
                                unsigned e = ask(&b, 0, balance_mix(i + 1), NULL, 0);
                                got[e]++;
                                if (all_lbs[l] == LB(LEAST_REQUEST))
                                        state_of(&b, e)->active++; /* nobody ever ends */
                        }
                        for (unsigned e = 1; e <= (w ? 4u : 10u); e++) {
                                unsigned want = w ? 2000 * e : 2000;
                                if (got[e] < want * 7 / 10 || got[e] > want * 13 / 10)
                                        fail_msg("policy %zu, weights %u: endpoint %u got %u, want about %u", l, w, e, got[e], want);
                        }
                        balance_fini(&b);
                }
}

static void test_least_request(void **state)
{
        (void)state;
        struct balance b = {0};
        Model__Cluster c = cluster(LB(LEAST_REQUEST));
        adopt(&b, &c, (struct ep[]){{'r'}, {'r'}, {0}}, 0, 1);
        state_of(&b, 1)->active = 10; /* a slow one */
        for (int i = 0; i < 200; i++)
                assert_int_equal(ask(&b, 0, 0, NULL, 0), 2); /* of two both are always drawn */
        adopt(&b, &c, (struct ep[]){{'r'}, {'r'}, {'r'}, {'r'}, {0}}, 0, 1);
        assert_int_equal(state_of(&b, 1)->active, 10); /* kept over the update */
        unsigned slow = 0;
        for (int i = 0; i < 1000; i++)
                slow += ask(&b, 0, 0, NULL, 0) == 1;
        assert_int_equal(slow, 0); /* it loses against whoever it is compared with */
        adopt(&b, &c, (struct ep[]){{'r', 1}, {'r', 3}, {0}}, 0, 1);
        state_of(&b, 1)->active = 1;
        state_of(&b, 2)->active = 4;
        unsigned heavy = 0; /* 2 of 1 against 5 of 3 */
        for (int i = 0; i < 200; i++)
                heavy += ask(&b, 0, 0, NULL, 0) == 2;
        assert_in_range(heavy, 150, 200);
        balance_fini(&b);
}

/* Who leaves moves his own clients and few others; who comes back gets them again; shards agree whatever the order of the set. */
static void test_hash_stays(void **state)
{
        (void)state;
        static const Model__Cluster__LoadBalancer hashes[] = {LB(RING_HASH), LB(MAGLEV)};
        enum { KEYS = 5000, N = 20 };
        for (size_t l = 0; l < ARRAY_SIZE(hashes); l++) {
                struct ep eps[N + 1] = {{0}};
                struct balance b = {0}, other = {0};
                Model__Cluster c = cluster(hashes[l]);
                static unsigned before[KEYS];
                for (int i = 0; i < N; i++)
                        eps[i].state = 'r';
                adopt(&b, &c, eps, 0, 2);
                adopt(&other, &c, eps, 77, 3); /* the other way round */
                for (uint64_t k = 0; k < KEYS; k++) {
                        before[k] = ask(&b, 0, balance_mix(k), NULL, 0);
                        assert_int_equal(ask(&other, 0, balance_mix(k), NULL, 0), before[k]);
                        assert_int_equal(ask(&b, 0, balance_mix(k), NULL, 0), before[k]);
                }
                mark(&b, 7, BALANCE_UNHEALTHY, 0); /* no rebuild: exactly its own move, on every shard to the same */
                mark(&other, 7, BALANCE_EJECTED, 0);
                unsigned heirs[N + 1] = {0};
                for (uint64_t k = 0; k < KEYS; k++) {
                        unsigned now = ask(&b, 0, balance_mix(k), NULL, 0);
                        assert_int_equal(ask(&other, 0, balance_mix(k), NULL, 0), now);
                        assert_true(now != 7 && (before[k] == 7 || now == before[k]));
                        heirs[now] += before[k] == 7;
                }
                unsigned n_heirs = 0;
                for (int i = 1; i <= N; i++)
                        n_heirs += heirs[i] > 0;
                assert_in_range(n_heirs, 8, N - 1); /* not all to one */
                mark(&b, 7, 0, 0);
                eps[2].state = '-'; /* the set without number 3 */
                adopt(&b, &c, eps, 0, 4);
                unsigned moved = 0;
                for (uint64_t k = 0; k < KEYS; k++) {
                        unsigned now = ask(&b, 0, balance_mix(k), NULL, 0);
                        assert_int_not_equal(now, 3);
                        moved += before[k] != 3 && now != before[k];
                }
                if (hashes[l] == LB(RING_HASH) ? moved != 0 : moved > KEYS / 20)
                        fail_msg("policy %zu: %u of %u clients of others moved", l, moved, (unsigned)KEYS);
                eps[2].state = 'r';
                adopt(&b, &c, eps, 0, 5);
                for (uint64_t k = 0; k < KEYS; k++)
                        assert_int_equal(ask(&b, 0, balance_mix(k), NULL, 0), before[k]);
                unsigned spread = 0; /* a request without what is hashed goes anywhere */
                for (int i = 0; i < 200; i++)
                        spread |= 1u << ask(&b, 0, 0, NULL, 0);
                assert_true(__builtin_popcount(spread) > 15);
                balance_fini(&b);
                balance_fini(&other);
        }
}

static void test_slow_start(void **state)
{
        (void)state;
        static const Model__Cluster__LoadBalancer lbs[] = {LB(ROUND_ROBIN), LB(RANDOM), LB(LEAST_REQUEST)};
        for (size_t l = 0; l < ARRAY_SIZE(lbs); l++) {
                struct balance b = {0};
                Model__Cluster c = cluster(lbs[l]);
                c.slow_start_ms = 10000;
                adopt(&b, &c, (struct ep[]){{'r'}, {'r'}, {0}}, 1000, 1);
                unsigned got[4] = {0};
#define SHARE(now) \
        memset(got, 0, sizeof got); \
        for (int i = 0; i < 3000; i++) { \
                unsigned e = ask(&b, (now), 0, NULL, 0); \
                got[e]++; \
                if (lbs[l] == LB(LEAST_REQUEST)) \
                        state_of(&b, e)->active++; \
        }
                SHARE(1000)
                assert_in_range(got[1], 1300, 1700); /* the first ones are grown */
                for (unsigned i = 1; i <= 2; i++)
                        state_of(&b, i)->active = 0;
                adopt(&b, &c, (struct ep[]){{'r'}, {'r'}, {'r'}, {0}}, 2000, 1);
                SHARE(2000)
                assert_in_range(got[3], 20, 350); /* a tenth of a share: 143 */
                for (unsigned i = 1; i <= 3; i++)
                        state_of(&b, i)->active = 0;
                SHARE(7000)
                assert_in_range(got[3], 400, 800); /* half: 600 */
                for (unsigned i = 1; i <= 3; i++)
                        state_of(&b, i)->active = 0;
                SHARE(12000)
                assert_in_range(got[3], 800, 1200); /* grown: 1000 */
                for (unsigned i = 1; i <= 3; i++)
                        state_of(&b, i)->active = 0;
                mark(&b, 3, BALANCE_UNHEALTHY, 20000);
                mark(&b, 3, 0, 30000);
                SHARE(30000)
                assert_in_range(got[3], 20, 350); /* back from the sick: slowly again, and without arrears */
                balance_fini(&b);
        }
}

/* An endpoint that joins under turns gets its share, not all the turns the others have had. */
static void test_joining_is_fair(void **state)
{
        (void)state;
        struct balance b = {0};
        Model__Cluster c = cluster(LB(ROUND_ROBIN));
        adopt(&b, &c, (struct ep[]){{'r'}, {'r'}, {0}}, 0, 1);
        for (int i = 0; i < 100000; i++)
                (void)ask(&b, 0, 0, NULL, 0);
        adopt(&b, &c, (struct ep[]){{'r'}, {'r'}, {'r'}, {0}}, 0, 2);
        unsigned got[4] = {0};
        for (int i = 0; i < 300; i++)
                got[ask(&b, 0, 0, NULL, 0)]++;
        for (unsigned i = 1; i <= 3; i++)
                assert_in_range(got[i], 98, 102);
        balance_fini(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_shares), cmocka_unit_test(test_seeds_spread), cmocka_unit_test(test_tried_and_avoided),
                cmocka_unit_test(test_empty), cmocka_unit_test(test_tiers_and_panic), cmocka_unit_test(test_distribution),
                cmocka_unit_test(test_least_request), cmocka_unit_test(test_hash_stays), cmocka_unit_test(test_slow_start),
                cmocka_unit_test(test_joining_is_fair),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
