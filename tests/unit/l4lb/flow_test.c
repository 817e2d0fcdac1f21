/* tests/unit/l4lb/flow_test.c - the flow table: alone, when full, while time passes, and against a reference model. */
#include "lib/base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "l4lb/core/flow.h"
#include "l4lb/core/wire.h"

static const struct siphash_key key = { 3, 4 };
#define IDLE 350

struct fixture {
        struct flow_table t;
        void *mem;
};

static int setup(void **state)
{
        struct fixture *f = calloc(1, sizeof *f);
        f->mem = aligned_alloc(64, flow_table_bytes(256));
        memset(f->mem, 0xa5, flow_table_bytes(256)); /* any content */
        flow_table_init(&f->t, f->mem, 256);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;
        free(f->mem);
        free(f);
        return 0;
}

static struct tuple tuple_n(uint32_t n, uint8_t proto)
{
        struct tuple t;
        uint8_t src[16] = { 10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n }, dst[16] = { 192, 0, 2, 1 };
        if (n & 1)
                tuple_set6(&t, proto, src, dst, 0x5000a00f);
        else
                tuple_set4(&t, proto, src, dst, 0x5000a00f);
        return t;
}

static uint32_t insert(struct flow_table *t, const struct tuple *k, uint16_t backend, uint16_t now)
{
        return flow_insert(t, tuple_hash(&key, k), k, backend, 1, IDLE, now);
}

static uint32_t find(const struct flow_table *t, const struct tuple *k, uint16_t now)
{
        return flow_find(t, tuple_hash(&key, k), k, now);
}

static void test_hash_is_siphash(void **state)
{
        (void)state;
        for (uint32_t n = 0; n < 100; n++) {
                struct tuple t = tuple_n(n, PROTO_TCP);
                size_t bytes = tuple_is_v4(&t) ? TUPLE_V4_BYTES : TUPLE_V6_BYTES;
                assert_int_equal(tuple_hash(&key, &t), siphash13(&key, t.w, bytes));
        }
}

static void test_match_equals_scalar(void **state)
{
        uint64_t x = 88172645463325252u;
        (void)state;
        for (int i = 0; i < 20000; i++) {
                _Alignas(16) uint16_t tag[FLOW_WAYS];
                for (int k = 0; k < FLOW_WAYS; k++) {
                        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                        tag[k] = (uint16_t)(x & 0x8003); /* few values, sign bit included */
                }
                for (unsigned want = 0; want < 4; want++) {
                        assert_int_equal(flow_match(tag, (uint16_t)want), flow_match_scalar(tag, (uint16_t)want));
                        assert_int_equal(flow_match(tag, (uint16_t)(want | 0x8000)),
                                         flow_match_scalar(tag, (uint16_t)(want | 0x8000)));
                }
        }
}

static void test_life(void **state)
{
        struct flow_table *t = &((struct fixture *)*state)->t;
        struct tuple a = tuple_n(2, PROTO_TCP);
        uint16_t now = 65530; /* the clock wraps on the way */
        uint32_t s = insert(t, &a, 7, now);
        assert_int_not_equal(s, FLOW_NONE);
        assert_int_equal(find(t, &a, now), s);
        assert_int_equal(flow_at(t, s)->state, FLOW_EMBRYONIC);
        assert_int_equal(find(t, &a, (uint16_t)(now + FLOW_EMBRYONIC_TCP_S - 1)), s);
        assert_int_equal(find(t, &a, (uint16_t)(now + FLOW_EMBRYONIC_TCP_S)), FLOW_NONE);
        now = (uint16_t)(now + 5);
        flow_touch(t, s, false, 100, now);
        assert_int_equal(flow_at(t, s)->state, FLOW_ESTABLISHED);
        assert_int_equal(find(t, &a, (uint16_t)(now + IDLE - 1)), s);
        assert_int_equal(find(t, &a, (uint16_t)(now + IDLE)), FLOW_NONE);
        flow_touch(t, s, true, 40, now);
        assert_int_equal(flow_at(t, s)->state, FLOW_CLOSING);
        assert_int_equal(find(t, &a, (uint16_t)(now + FLOW_CLOSING_S)), FLOW_NONE);
        flow_touch(t, s, false, 40, now); /* data after FIN keeps it closing */
        assert_int_equal(flow_at(t, s)->state, FLOW_CLOSING);
        flow_restart(t, s, 9, 2, now);
        assert_int_equal(flow_at(t, s)->state, FLOW_EMBRYONIC);
        assert_int_equal(flow_at(t, s)->backend, 9);
        assert_int_equal(flow_at(t, s)->packets, 3);
        assert_int_equal(flow_at(t, s)->bytes, 180);
        assert_int_equal(t->n_live, 1);
        flow_remove(t, s);
        assert_int_equal(t->n_live, 0);
        assert_true(flow_table_check(t));
}

static void test_udp_embryonic_is_shorter(void **state)
{
        struct flow_table *t = &((struct fixture *)*state)->t;
        struct tuple a = tuple_n(2, PROTO_UDP);
        insert(t, &a, 7, 100);
        assert_int_not_equal(find(t, &a, 100 + FLOW_EMBRYONIC_UDP_S - 1), FLOW_NONE);
        assert_int_equal(find(t, &a, 100 + FLOW_EMBRYONIC_UDP_S), FLOW_NONE);
}

static void test_sweep(void **state)
{
        struct flow_table *t = &((struct fixture *)*state)->t;
        for (uint32_t n = 0; n < 100; n++) {
                struct tuple k = tuple_n(n, PROTO_TCP);
                uint32_t s = insert(t, &k, 1, 100);
                if (n % 2)
                        flow_touch(t, s, false, 0, 100);
        }
        assert_int_equal(flow_sweep(t, t->bucket_mask + 1, 100 + FLOW_EMBRYONIC_TCP_S - 1), 0);
        assert_int_equal(flow_sweep(t, t->bucket_mask + 1, 100 + FLOW_EMBRYONIC_TCP_S), 50);
        assert_int_equal(flow_sweep(t, t->bucket_mask + 1, 100 + IDLE), 50);
        assert_int_equal(t->n_live, 0);
        assert_int_equal(metric_get(&t->counters[FLOW_COUNT_EXPIRED]), 100);
        assert_true(flow_table_check(t));
}

/* A flood of one-packet flows: established, active ones stay, embryonic ones make room, the rest goes without state. */
static void test_flood_keeps_established(void **state)
{
        struct flow_table *t = &((struct fixture *)*state)->t;
        for (uint32_t n = 0; n < 100; n++) {
                struct tuple k = tuple_n(n, PROTO_TCP);
                flow_touch(t, insert(t, &k, (uint16_t)n, 1000), false, 0, 1000);
        }
        for (uint32_t n = 0; n < 20000; n++) {
                struct tuple k = tuple_n(1000 + n, PROTO_TCP);
                insert(t, &k, 1, 1001);
                assert_true(t->n_live <= t->n_entries);
        }
        for (uint32_t n = 0; n < 100; n++) {
                struct tuple k = tuple_n(n, PROTO_TCP);
                uint32_t s = find(t, &k, 1001);
                assert_int_not_equal(s, FLOW_NONE);
                assert_int_equal(flow_at(t, s)->backend, n);
        }
        assert_true(metric_get(&t->counters[FLOW_COUNT_EVICTED]) > 15000);
        assert_true(flow_table_check(t));
}

/* Full of established flows: while they are active nothing is evicted; after FLOW_EVICT_IDLE_S the oldest goes. */
static void test_eviction_by_idleness(void **state)
{
        struct flow_table *t = &((struct fixture *)*state)->t;
        uint32_t in = 0;
        for (uint32_t n = 0; n < 5000; n++) {
                struct tuple k = tuple_n(n, PROTO_TCP);
                uint32_t s = insert(t, &k, 1, 1000);
                if (s != FLOW_NONE) {
                        flow_touch(t, s, false, 0, 1000);
                        in++;
                }
        }
        assert_int_equal(in, t->n_live);
        assert_int_equal(in, t->n_entries); /* two choices at half load: every entry is used */
        assert_int_equal(metric_get(&t->counters[FLOW_COUNT_EVICTED]), 0);
        assert_int_equal(metric_get(&t->counters[FLOW_COUNT_FULL]), 5000 - in);
        struct tuple k = tuple_n(7777, PROTO_TCP);
        assert_int_equal(insert(t, &k, 1, 1000 + FLOW_EVICT_IDLE_S - 1), FLOW_NONE);
        uint32_t tries = 0;
        while (insert(t, &k, 1, 1000 + FLOW_EVICT_IDLE_S) == FLOW_NONE && tries < 50) /* its two buckets may be empty */
                k = tuple_n(8000 + tries++, PROTO_TCP);
        assert_true(tries < 50);
        assert_int_equal(metric_get(&t->counters[FLOW_COUNT_EVICTED]), 1);
        assert_true(flow_table_check(t));
}

/* Against the obvious implementation: an array of (expiry, backend) per key.  Far from full, both must agree always. */
static void test_against_reference(void **state)
{
        enum { KEYS = 120, STEPS = 60000 };
        struct flow_table *t = &((struct fixture *)*state)->t;
        struct {
                bool in, established, closing;
                uint32_t expires;
                uint16_t backend;
        } ref[KEYS] = { 0 };
        uint64_t x = 0x9e3779b97f4a7c15u;
        uint32_t now = 64000; /* wraps twice */
        for (int step = 0; step < STEPS; step++) {
                x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                uint32_t n = (uint32_t)(x >> 8) % KEYS, op = (uint32_t)x & 15;
                struct tuple k = tuple_n(n, PROTO_TCP);
                uint32_t s = find(t, &k, (uint16_t)now);
                bool live = ref[n].in && ref[n].expires > now;
                assert_int_equal(s != FLOW_NONE, live);
                if (live)
                        assert_int_equal(flow_at(t, s)->backend, ref[n].backend);
                if (!live && op < 8) {
                        uint16_t backend = (uint16_t)(x >> 40);
                        assert_int_not_equal(insert(t, &k, backend, (uint16_t)now), FLOW_NONE);
                        ref[n] = (__typeof__(ref[n])){ true, false, false, now + FLOW_EMBRYONIC_TCP_S, backend };
                } else if (live && op < 12) {
                        bool fin = (x >> 60) == 0;
                        flow_touch(t, s, fin, 1, (uint16_t)now);
                        ref[n].closing |= fin;
                        ref[n].expires = now + (ref[n].closing ? FLOW_CLOSING_S : IDLE);
                } else if (live && op == 12) {
                        flow_remove(t, s);
                        ref[n].in = false;
                } else if (live && op == 13) {
                        flow_repick(t, s, (uint16_t)(x >> 20), 1);
                        ref[n].backend = (uint16_t)(x >> 20);
                } else if (op == 14) {
                        flow_sweep(t, 3, (uint16_t)now);
                } else if (op == 15) {
                        now += (uint32_t)(x >> 30) % 60;
                }
        }
        assert_true(now > 2 * 65536);
        assert_true(flow_table_check(t));
}

static void test_sizes(void **state)
{
        (void)state;
        assert_int_equal(flow_table_bytes(1), 64 * 64 + 16 * 64);
        assert_int_equal(flow_table_bytes(1048576), (size_t)1048576 * 80);
        assert_int_equal(flow_table_bytes(1000000), (size_t)1048576 * 80);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hash_is_siphash),
                cmocka_unit_test(test_match_equals_scalar),
                T(test_life),
                T(test_udp_embryonic_is_shorter),
                T(test_sweep),
                T(test_flood_keeps_established),
                T(test_eviction_by_idleness),
                T(test_against_reference),
                cmocka_unit_test(test_sizes),
        };
        return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
