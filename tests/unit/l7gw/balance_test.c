/* tests/unit/l7gw/balance_test.c - shares, states, priorities, tries. */
#include "lib/base.h"
#include "l7gw/core/balance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { MAX_EPS = 8 };
struct ep {         /* endpoint 10.0.0.i+1:80 */
        char state; /* 'r' ready, 'd' draining, 'x' down, 0 = end */
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

static const Model__EndpointSet *set_make(struct set *s, const struct ep *eps)
{
        s->m = (Model__EndpointSet)MODEL__ENDPOINT_SET__INIT;
        s->m.endpoints = s->ptrs;
        for (size_t i = 0; i < MAX_EPS && eps[i].state; i++) {
                s->eps[i] = (Model__Endpoint)MODEL__ENDPOINT__INIT;
                memcpy(s->addrs[i], (uint8_t[]){10, 0, 0, (uint8_t)(i + 1)}, 4);
                s->eps[i].addr = (ProtobufCBinaryData){4, s->addrs[i]};
                s->eps[i].port = 80;
                s->eps[i].state = states[(unsigned char)eps[i].state];
                s->eps[i].weight = eps[i].weight;
                s->eps[i].priority = eps[i].priority;
                s->ptrs[s->m.n_endpoints++] = &s->eps[i];
        }
        return &s->m;
}

static void test_shares(void **state)
{
        (void)state;
        static const struct {
                const char *name;
                struct ep eps[MAX_EPS];
                unsigned picks, want[MAX_EPS];
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
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct set s;
                for (uint64_t seed = 0; seed < 20; seed++) {
                        struct balance b = {0};
                        unsigned got[MAX_EPS] = {0};
                        assert_int_equal(balance_build(&b, set_make(&s, cases[i].eps), seed), 0);
                        for (unsigned k = 0; k < cases[i].picks; k++) {
                                const struct balance_endpoint *e = balance_pick(&b, 0, NULL, 0);
                                assert_non_null(e);
                                got[e->addr.b[3] - 1]++;
                        }
                        for (unsigned k = 0; k < MAX_EPS; k++)
                                if (got[k] + 1 < cases[i].want[k] || got[k] > cases[i].want[k] + 1)
                                        fail_msg("%s, seed %u: endpoint %u got %u, want %u", cases[i].name,
                                                 (unsigned)seed, k, got[k], cases[i].want[k]);
                        balance_fini(&b);
                }
        }
}

static void test_seeds_spread(void **state)
{
        (void)state;
        struct set s;
        unsigned first[4] = {0};
        for (uint64_t seed = 1; seed <= 400; seed++) {
                struct balance b = {0};
                assert_int_equal(
                        balance_build(&b, set_make(&s, (struct ep[MAX_EPS]){{'r'}, {'r'}, {'r'}, {'r'}}), seed), 0);
                first[balance_pick(&b, 0, NULL, 0)->addr.b[3] - 1]++;
                balance_fini(&b);
        }
        for (unsigned i = 0; i < 4; i++) /* workers that restart together must not all begin with one endpoint */
                assert_in_range(first[i], 60, 140);
}

static void test_tried_and_avoided(void **state)
{
        (void)state;
        struct set s;
        struct balance b = {0};
        assert_int_equal(balance_build(&b, set_make(&s, (struct ep[MAX_EPS]){{'r', 1}, {'r', 100}, {'r', 1}}), 7), 0);
        struct balance_tried tried[3];
        for (size_t n = 0; n < 3; n++) { /* three tries, three endpoints, however uneven the weights */
                const struct balance_endpoint *e = balance_pick(&b, 0, tried, n);
                assert_non_null(e);
                for (size_t i = 0; i < n; i++)
                        assert_false(ipaddr_eq(&tried[i].addr, &e->addr));
                tried[n] = (struct balance_tried){e->addr, e->port};
        }
        assert_null(balance_pick(&b, 0, tried, 3));
        b.eps[1].avoid_until_ms = 1000;
        for (int i = 0; i < 50; i++)
                assert_int_not_equal(balance_pick(&b, 999, NULL, 0)->addr.b[3], 2);
        bool again = false;
        for (int i = 0; i < 300; i++)
                again |= balance_pick(&b, 1000, NULL, 0)->addr.b[3] == 2;
        assert_true(again);
        b.eps[0].avoid_until_ms = b.eps[1].avoid_until_ms = b.eps[2].avoid_until_ms = 5000;
        b.eps[2].avoid_until_ms = 4000;
        assert_int_equal(balance_pick(&b, 0, NULL, 0)->addr.b[3], 3); /* all are avoided: the one that ends first */
        assert_int_equal(balance_build(&b, set_make(&s, (struct ep[MAX_EPS]){{'r'}, {'r'}}), 9), 0);
        assert_int_equal(b.eps[1].avoid_until_ms, 5000); /* an update of the set does not forgive */
        balance_fini(&b);
}

static void test_empty(void **state)
{
        (void)state;
        struct set s;
        struct balance b = {0};
        assert_null(balance_pick(&b, 0, NULL, 0));
        assert_int_equal(balance_build(&b, set_make(&s, (struct ep[MAX_EPS]){{'x'}}), 1), 0);
        assert_null(balance_pick(&b, 0, NULL, 0));
        balance_fini(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_shares), cmocka_unit_test(test_seeds_spread),
                                           cmocka_unit_test(test_tried_and_avoided), cmocka_unit_test(test_empty)};
        return cmocka_run_group_tests_name("balance", tests, NULL, NULL);
}
