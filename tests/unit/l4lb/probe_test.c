/* tests/unit/l4lb/probe_test.c - the health probe machine: frames, answers, rise and fall, and who is probed. */
#include "lib/base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "l4lb/core/wire.h"
#include "tests/unit/l4lb/frame.h"
#include "tests/unit/l4lb/world.h"

static int setup(void **state)
{
        struct world *w = world_new(64);
        for (uint16_t i = 0; i < w->backends.n; i++) /* as at boot; only shard-1's IPv4 address is probed */
                w->backends.b[i].health = HEALTH_UNKNOWN;
        for (uint16_t i = 1; i < w->backends.n; i++)
                w->backends.b[i].check.tcp = false;
        *state = w;
        return 0;
}

static int teardown(void **state)
{
        world_free(*state);
        return 0;
}

static enum prober_step next(struct world *w, struct frame_out *f, struct probe_event *e)
{
        return prober_next(&w->prober, w->now_ms, f, e);
}

static size_t l4_of(const uint8_t *f) { return ETH_LEN + (get_u16(f + 12) == ETHERTYPE_IPV4 ? IPV4_LEN : IPV6_LEN); }

/* The backend's answer to the SYN f. */
static bool answer(struct world *w, const struct frame_out *f, const char *flags, uint32_t ack_off,
                   struct probe_event *e)
{
        char text[256];
        uint8_t r[FRAME_MAX];
        const uint8_t *t = f->b + l4_of(f->b);
        snprintf(text, sizeof text, "%s / tcp %u > %u %s ack=%u",
                 f->port == 1 && get_u16(f->b + 12) == ETHERTYPE_IPV4 ? "ip4 10.30.1.2 > 10.30.1.1"
                                                                      : "ip6 fd00:30:1::2 > fd00:30:1::1",
                 get_u16(t + 2), get_u16(t), flags, get_u32(t + 4) + ack_off);
        size_t n = frame_make(text, w->net.ports[f->port].mac, r);
        return prober_input(&w->prober, f->port, r, n, w->now_ms, e);
}

static void check_tcp_frame(const struct frame_out *f, uint8_t flags)
{
        const uint8_t *t = f->b + l4_of(f->b);
        bool v4 = get_u16(f->b + 12) == ETHERTYPE_IPV4;
        if (v4)
                assert_true(frame_ip4_sum_ok(f->b, f->len));
        const uint8_t *ip = f->b + ETH_LEN;
        uint32_t sum = v4 ? cksum_pseudo(ip + 12, ip + 16, 4, TCP_LEN, PROTO_TCP)
                          : cksum_pseudo(ip + 8, ip + 24, 16, TCP_LEN, PROTO_TCP);
        assert_int_equal(cksum_fold(cksum_add(sum, t, TCP_LEN)), 0);
        assert_int_equal(t[13], flags);
        assert_int_equal(get_u16(t + 2), 9000);
        assert_true(get_u16(t) >= PROBE_PORT_LO);
}

static void test_success(void **state)
{
        struct world *w = *state;
        struct frame_out f, rst;
        struct probe_event e;
        assert_int_equal(next(w, &f, &e), PROBER_FRAME);
        assert_int_equal(f.port, 1);
        assert_memory_equal(f.b, world_shard_macs[0], 6);
        check_tcp_frame(&f, TCP_SYN);
        assert_int_equal(next(w, &rst, &e), PROBER_IDLE);
        assert_true(answer(w, &f, "SA", 1, &e)); /* first success of an unknown backend counts at once */
        assert_true(e.up && e.backend == 0);
        assert_int_equal(w->backends.b[0].health, HEALTH_UP);
        assert_int_equal(next(w, &rst, &e), PROBER_FRAME);
        check_tcp_frame(&rst, TCP_RST);
        assert_int_equal(get_u32(rst.b + l4_of(rst.b) + 4), get_u32(f.b + l4_of(f.b) + 4) + 1);
        assert_int_equal(get_u16(rst.b + l4_of(rst.b)), get_u16(f.b + l4_of(f.b)));
        assert_int_equal(next(w, &rst, &e), PROBER_IDLE);
        assert_int_equal(prober_due_ms(&w->prober, w->now_ms, 5000), 200);
        w->now_ms += 199;
        assert_int_equal(next(w, &rst, &e), PROBER_IDLE);
        w->now_ms += 1;
        assert_int_equal(next(w, &rst, &e), PROBER_FRAME);
        assert_memory_not_equal(rst.b + l4_of(rst.b), f.b + l4_of(f.b), 8); /* other port, other sequence number */
}

static void test_refused_twice_is_down(void **state)
{
        struct world *w = *state;
        struct frame_out f;
        struct probe_event e;
        backends_set_health(&w->backends, 0, true);
        assert_int_equal(next(w, &f, &e), PROBER_FRAME);
        assert_false(answer(w, &f, "RA", 1, &e));
        w->now_ms += 200;
        assert_int_equal(next(w, &f, &e), PROBER_FRAME);
        assert_true(answer(w, &f, "RA", 1, &e));
        assert_false(e.up);
        assert_int_equal(w->backends.b[0].health, HEALTH_DOWN);
        assert_int_equal(backend_word(&w->backends, 0) & BACKEND_ALIVE, 0);
        w->now_ms += 200;
        assert_int_equal(next(w, &f, &e), PROBER_FRAME);
        assert_true(answer(w, &f, "SA", 1, &e)); /* rise 1 */
        assert_true(e.up);
}

static void test_silence(void **state)
{
        struct world *w = *state;
        struct frame_out f;
        struct probe_event e;
        uint64_t start = w->now_ms;
        unsigned sent = 0;
        enum prober_step s;
        backends_set_health(&w->backends, 0, true);
        for (;; w->now_ms += MAX(prober_due_ms(&w->prober, w->now_ms, 1000), (uint64_t)1)) {
                while ((s = next(w, &f, &e)) == PROBER_FRAME)
                        sent++;
                if (s == PROBER_EVENT)
                        break;
                assert_true(w->now_ms < start + 1000);
        }
        assert_false(e.up);
        assert_int_equal(sent, 2);
        assert_true(w->neigh.ctl[w->backends.b[0].adjacency].due_ms <=
                    w->now_ms);                /* perhaps it moved: ask its neighbour slot */
        assert_true(w->now_ms - start <= 401); /* fall 2, interval and timeout 200 ms */
}

static void test_rise(void **state)
{
        struct world *w = *state;
        struct frame_out f;
        struct probe_event e;
        w->backends.b[0].check.rise = 3;
        backends_set_health(&w->backends, 0, false);
        for (int i = 0; i < 3; i++) {
                while (next(w, &f, &e) == PROBER_FRAME && f.b[l4_of(f.b) + 13] != TCP_SYN)
                        ;
                assert_int_equal(f.b[l4_of(f.b) + 13], TCP_SYN);
                assert_int_equal(answer(w, &f, "SA", 1, &e), i == 2);
                w->now_ms += 200;
        }
        assert_int_equal(w->backends.b[0].health, HEALTH_UP);
}

/* Rise is for backends that were down; what is not known yet is believed at once, and two refusals end it. */
static void test_unknown_is_believed(void **state)
{
        struct world *w = *state;
        struct frame_out f;
        struct probe_event e;
        w->backends.b[0].check.rise = 3;
        assert_int_equal(next(w, &f, &e), PROBER_FRAME);
        assert_true(answer(w, &f, "SA", 1, &e));
        assert_true(e.up);
}

static void test_strays_are_ignored(void **state)
{
        struct world *w = *state;
        struct frame_out f;
        struct probe_event e;
        uint8_t r[FRAME_MAX];
        assert_int_equal(next(w, &f, &e), PROBER_FRAME);
        assert_false(answer(w, &f, "SA", 2, &e)); /* wrong acknowledgement */
        assert_false(answer(w, &f, "A", 1, &e));  /* neither SYN nor RST */
        assert_false(answer(w, &f, "R", 1, &e));  /* RFC 9293 3.5.2: an RST in SYN-SENT must acknowledge */
        const uint8_t *syn = f.b + l4_of(f.b);
        for (unsigned i = 0; i < 2; i++) { /* all is right but who says it: another address, another port */
                char text[128];
                snprintf(text, sizeof text, "ip4 10.30.1.%u > 10.30.1.1 / tcp 9000 > %u SA ack=%u", i ? 2 : 3, get_u16(syn),
                         get_u32(syn + 4) + 1);
                size_t len = frame_make(text, w->net.ports[1].mac, r);
                assert_false(prober_input(&w->prober, i ? 2 : 1, r, len, w->now_ms, &e));
        }
        size_t n = frame_make("ip4 10.30.1.2 > 10.30.1.1 / tcp 9000 > 61440 SA ack=77", w->net.ports[1].mac, r);
        for (size_t cut = 0; cut <= n; cut++) {
                uint8_t *exact = malloc(cut ? cut : 1);
                memcpy(exact, r, cut);
                assert_false(prober_input(&w->prober, 1, exact, cut, w->now_ms, &e));
                free(exact);
        }
        assert_true(w->prober.n_stray > 3);
        assert_int_equal(w->backends.b[0].health, HEALTH_UNKNOWN);
        assert_true(answer(w, &f, "SA", 1, &e));  /* the right one still counts */
        assert_false(answer(w, &f, "SA", 1, &e)); /* once */
}

static void test_unresolved_neighbour_is_failure(void **state)
{
        struct world *w = *state;
        struct frame_out f;
        struct probe_event e;
        enum prober_step s = PROBER_IDLE;
        uint64_t start = w->now_ms;
        atomic_store(&w->neigh.slots[w->backends.b[0].adjacency].word, 0);
        while (s != PROBER_EVENT && w->now_ms < start + 2000) {
                s = next(w, &f, &e);
                assert_int_not_equal(s, PROBER_FRAME);
                w->now_ms += s == PROBER_IDLE ? MAX(prober_due_ms(&w->prober, w->now_ms, 100), (uint64_t)1) : 0;
        }
        assert_int_equal(s, PROBER_EVENT);
        assert_false(e.up);
}

static void test_ipv6(void **state)
{
        struct world *w = *state;
        struct frame_out f;
        struct probe_event e;
        w->backends.b[0].check.tcp = false;
        for (uint16_t i = 0; i < w->backends.n; i++)
                if (w->backends.b[i].addr.af == 6 && w->backends.b[i].port == 1)
                        w->backends.b[i].check.tcp = true;
        assert_int_equal(next(w, &f, &e), PROBER_FRAME);
        check_tcp_frame(&f, TCP_SYN);
        assert_true(answer(w, &f, "SA", 1, &e));
        assert_true(e.up);
}

static void test_gone_backend_is_not_probed(void **state)
{
        struct world *w = *state;
        struct frame_out f;
        struct probe_event e;
        assert_int_equal(next(w, &f, &e), PROBER_FRAME);
        w->backends.b[0].state = BACKEND_RETIRED;
        assert_false(answer(w, &f, "SA", 1, &e));
        w->now_ms += 1000;
        assert_int_equal(next(w, &f, &e), PROBER_IDLE);
        assert_int_equal(prober_due_ms(&w->prober, w->now_ms, 5000), 5000);
        w->backends.b[0].state = BACKEND_ACTIVE; /* reused under another epoch: starts afresh */
        w->backends.b[0].epoch++;
        assert_int_equal(next(w, &f, &e), PROBER_FRAME);
        w->backends.b[0].epoch++; /* and an answer to the one before says nothing about it */
        assert_false(answer(w, &f, "SA", 1, &e));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        static const struct CMUnitTest tests[] = {
                T(test_success), T(test_refused_twice_is_down),      T(test_silence),
                T(test_rise),    T(test_unknown_is_believed),    T(test_strays_are_ignored),         T(test_unresolved_neighbour_is_failure),
                T(test_ipv6),    T(test_gone_backend_is_not_probed),
        };
        return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
