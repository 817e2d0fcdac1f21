/* tests/unit/l4lb/tunnel_test.c - what single frames (tests/packet) cannot show of tunnels: room, the path's MTU over time, probes
 * through them, flows that leave a far l4lb which fell silent, and that one l4lb opens what another closes. */
#include "lib/base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "l4lb/core/wire.h"
#include "tests/unit/l4lb/frame.h"
#include "tests/unit/l4lb/world.h"

#define CLIENT "ip4 198.51.100.7 > 192.0.2.1"
#define HEAD 128
#define PATH_TOLD "ip4 10.9.9.9 > 10.20.0.2 / icmp 3.4 rest=%u / ip4 10.20.0.2 > 10.50.0.2 df / udp 50000 > 6080 / data 20"

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

static uint8_t room[HEAD + FRAME_MAX + 64];

static struct pkt run(struct world *w, const char *text, uint32_t head)
{
        struct pkt p;
        size_t n = frame_make(text, w->net.ports[0].mac, room + HEAD);
        w->head = head;
        world_run(w, 0, room + HEAD, n, n, n + 64, &p);
        return p;
}

static uint16_t far(const struct world *w, uint8_t way, uint8_t af, uint8_t inner)
{
        for (uint16_t i = 0; i < w->backends.n; i++)
                if (w->backends.b[i].way == way && w->backends.b[i].addr.af == af && w->backends.b[i].inner == inner)
                        return i;
        fail();
        return 0;
}

static void test_room(void **state)
{
        struct world *w = *state;
        assert_int_equal(run(w, CLIENT " / tcp 4000 > 95 S", 31).verdict, DROP_TUNNEL_ROOM);
        assert_int_equal(run(w, CLIENT " / tcp 4000 > 95 S", 32).verdict, FORWARD_TUNNEL);
        assert_int_equal(run(w, CLIENT " / tcp 4000 > 97 S", 51).verdict, DROP_TUNNEL_ROOM);
        assert_int_equal(run(w, CLIENT " / tcp 4000 > 97 S", 52).verdict, FORWARD_TUNNEL);
}

static void told(struct world *w, unsigned mtu, unsigned n)
{
        char text[256];
        snprintf(text, sizeof text, PATH_TOLD, mtu);
        struct pkt p = run(w, text, HEAD);
        assert_int_equal(p.verdict, PUNT_PATH_MTU);
        assert_int_equal(backends_path_mtu(&w->backends, p.p, p.len, w->now_ms), n);
}

static void test_path_mtu(void **state)
{
        struct world *w = *state;
        uint16_t b = far(w, WAY_GUE, 4, 4);
        assert_int_equal(run(w, CLIENT " df / tcp 4000 > 95 A / data 1400", HEAD).verdict, FORWARD_TUNNEL);
        told(w, 1280, 2); /* both families inside: the same outer addresses */
        assert_int_equal(backend_mtu(&w->backends, b), 1280);
        struct pkt p = run(w, CLIENT " df / tcp 4000 > 95 A / data 1400", HEAD);
        assert_int_equal(p.verdict, REPLY_TOO_BIG);
        assert_int_equal(get_u16(p.p + ETH_LEN + IPV4_LEN + 6), 1280 - 32);
        assert_int_equal(run(w, CLIENT " df / tcp 4000 > 95 A / data 1208", HEAD).verdict, FORWARD_TUNNEL);
        assert_int_equal(run(w, CLIENT " df / tcp 4000 > 98 A / data 1400", HEAD).verdict, FORWARD_TUNNEL); /* IPIP: not this tunnel */
        /* what an IPv6 host must be able to send does not fit: it is told 1280, and lost if it sends that */
        p = run(w, "ip6 2001:db8:99::7 > 2001:db8:10::1 / tcp 4000 > 95 A / data 1400", HEAD);
        assert_int_equal(p.verdict, REPLY_TOO_BIG);
        assert_int_equal(get_u32(p.p + ETH_LEN + IPV6_LEN + 4), 1280);
        assert_int_equal(run(w, "ip6 2001:db8:99::7 > 2001:db8:10::1 / tcp 4000 > 95 A / data 1220", HEAD).verdict, DROP_MTU);
        told(w, 100, 2);
        assert_int_equal(backend_mtu(&w->backends, b), TUNNEL_MTU_MIN);
        assert_true(backends_mtu_expire(&w->backends, w->now_ms) == 600000);
        w->now_ms += 600000;
        assert_true(backends_mtu_expire(&w->backends, w->now_ms) == UINT64_MAX);
        assert_int_equal(backend_mtu(&w->backends, b), 0);
        assert_int_equal(run(w, CLIENT " df / tcp 4000 > 95 A / data 1400", HEAD).verdict, FORWARD_TUNNEL);
}

static void test_path_mtu_of_others(void **state)
{
        static const char *const others[] = {
                "ip4 10.9.9.9 > 10.20.0.2 / icmp 3.4 rest=1280 / ip4 10.20.0.2 > 10.50.0.3 df / udp 50000 > 6080 / data 20", /* no tunnel of ours */
                "ip4 10.9.9.9 > 10.20.0.2 / icmp 3.4 rest=1280 / ip4 10.20.0.9 > 10.50.0.2 df / udp 50000 > 6080 / data 20", /* not by us */
                "ip4 10.9.9.9 > 10.20.0.2 / icmp 3.4 rest=1280 / ip4 10.20.0.2 > 10.50.0.2 df / udp 50000 > 53 / data 20",   /* this host's own */
        };
        struct world *w = *state;
        for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
                size_t n = frame_make(others[i], w->net.ports[0].mac, room);
                assert_int_equal(backends_path_mtu(&w->backends, room, n, w->now_ms), 0);
        }
}

/* The next probe of backend i, with everybody else left alone. */
static struct frame_out probe_of(struct world *w, uint16_t i)
{
        struct frame_out f;
        struct probe_event e;
        for (uint16_t k = 0; k < w->backends.n; k++)
                w->backends.b[k].check.tcp = k == i;
        w->now_ms += 1000;
        while (prober_next(&w->prober, w->now_ms, &f, &e) != PROBER_FRAME)
                w->now_ms += 100;
        return f;
}

static void test_probe(void **state)
{
        struct world *w = *state;
        static const struct {
                uint8_t way, af, inner;
                const char *outer, *to, *from;
                uint16_t port;
        } cases[] = {
                { WAY_GUE, 4, 4, "ip4 10.20.0.2 > 10.50.0.2 df / udp 0 > 6080 sum=0 / gue", "ip4 10.20.0.2 > 192.0.2.1", "ip4 192.0.2.1 > 10.20.0.2", 95 },
                { WAY_GUE, 6, 6, "ip6 fd00:20::2 > fd00:50::2 / udp 0 > 6080 sum=0 / gue", "ip6 fd00:20::2 > 2001:db8:10::1", "ip6 2001:db8:10::1 > fd00:20::2", 97 },
                { WAY_IPIP, 6, 4, "ip6 fd00:20::2 > fd00:50::2", "ip4 10.20.0.2 > 192.0.2.1", "ip4 192.0.2.1 > 10.20.0.2", 96 },
                { WAY_IPIP, 4, 6, "ip4 10.20.0.2 > 10.50.0.2 df", "ip6 fd00:20::2 > 2001:db8:10::1", "ip6 2001:db8:10::1 > fd00:20::2", 98 },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                uint16_t b = far(w, cases[i].way, cases[i].af, cases[i].inner);
                struct frame_out f = probe_of(w, b);
                uint32_t head = tunnel_bytes(&w->backends.targets[b].tunnel), ip = cases[i].inner == 4 ? IPV4_LEN : IPV6_LEN;
                const uint8_t *t = f.b + ETH_LEN + head + ip;
                char text[512];
                uint8_t want[FRAME_MAX];
                struct probe_event e;
                snprintf(text, sizeof text, "eth 02:aa:00:00:00:01 02:00:00:00:00:01 / %s / %s%s / tcp %u > %u S seq=%u", cases[i].outer, cases[i].to,
                         cases[i].inner == 4 ? " df" : " hl=64", get_u16(t), cases[i].port, get_u32(t + 4));
                size_t n = frame_make(text, w->net.ports[0].mac, want);
                assert_int_equal(f.port, 0);
                assert_int_equal(f.len, n);
                if (cases[i].way == WAY_GUE)
                        memcpy(want + ETH_LEN + head - 12, f.b + ETH_LEN + head - 12, 2); /* entropy */
                if (cases[i].af == 6)
                        memcpy(want + ETH_LEN + 1, f.b + ETH_LEN + 1, 3);
                assert_memory_equal(f.b + ETH_LEN, want + ETH_LEN, n - ETH_LEN);
                /* the answer comes as from the VIP, and counts for this backend */
                uint64_t ok = w->prober.n_ok;
                snprintf(text, sizeof text, "%s / tcp %u > %u SA ack=%u", cases[i].from, cases[i].port, get_u16(t), get_u32(t + 4) + 1);
                struct pkt p = run(w, text, HEAD);
                assert_int_equal(p.verdict, PUNT_PROBE);
                bool changed = prober_input(&w->prober, p.in_port, p.p, p.len, w->now_ms, &e);
                assert_true(!changed && w->prober.n_ok == ok + 1); /* it was up */
        }
}

/* Behind a tunnel the neighbour is a router: only the probes know, and flows leave with them, if there is somebody else. */
static void test_silent(void **state)
{
        struct world *w = *state;
        uint16_t b = far(w, WAY_GUE, 4, 4);
        assert_int_equal(run(w, CLIENT " / tcp 4000 > 95 A", HEAD).verdict, FORWARD_TUNNEL);
        assert_true(backends_set_health(&w->backends, b, false));
        assert_int_equal(tables_health_changed(w->tables, b, w->now_ms, world_retire, w), 0);
        struct pkt p = run(w, CLIENT " / tcp 4000 > 95 A", HEAD); /* the only one: it may be the first to return */
        assert_int_equal(p.verdict, FORWARD_TUNNEL);
        assert_int_equal(p.backend, b);
}

/* What we send into a tunnel, another l4lb makes the client's packet of: here it is ourselves, once the outer addresses are ours. */
static void test_there_and_back(void **state)
{
        struct world *w = *state;
        struct pkt p = run(w, CLIENT " tos=2 / tcp 4000 > 95 PA / data 100", HEAD);
        assert_int_equal(p.verdict, FORWARD_TUNNEL);
        uint8_t *ip = p.p + ETH_LEN, *in = ip + 32, in_before[140], f[512];
        memcpy(in_before, in, sizeof in_before);
        memcpy(ip + 12, (uint8_t[]){ 10, 60, 0, 9, 10, 20, 0, 2 }, 8);
        set_u16(ip + 10, 0);
        set_u16(ip + 10, cksum_fold(cksum_add(0, ip, IPV4_LEN)));
        set_u16(in + IPV4_LEN + 2, 80); /* a service that is here */
        memcpy(p.p, w->net.ports[0].mac, 6);
        memcpy(f, p.p, p.len);
        struct pkt q;
        world_run(w, 0, f, p.len, p.len, sizeof f, &q);
        assert_int_equal(q.verdict, FORWARD_SHARD);
        assert_true(metric_get(&w->worker.decapsulated) == 1);
        assert_int_equal(q.len, ETH_LEN + 140);
        assert_int_equal(q.rx_len, ETH_LEN + 32 + 140);
        in_before[8]--;
        set_u16(in_before + 10, 0);
        set_u16(in_before + 10, cksum_fold(cksum_add(0, in_before, IPV4_LEN)));
        set_u16(in_before + IPV4_LEN + 2, 80);
        assert_memory_equal(q.p + ETH_LEN, in_before, sizeof in_before);
}

/* Flows differ in their source port, packets of one flow do not. */
static void test_entropy(void **state)
{
        struct world *w = *state;
        uint16_t seen[32];
        size_t n = 0;
        for (unsigned i = 0; i < 32; i++) {
                char text[128];
                snprintf(text, sizeof text, CLIENT " / tcp %u > 95 A", 4000 + i);
                struct pkt p = run(w, text, HEAD);
                uint16_t port = get_u16(p.p + ETH_LEN + IPV4_LEN);
                p = run(w, text, HEAD);
                assert_int_equal(get_u16(p.p + ETH_LEN + IPV4_LEN), port);
                bool known = false;
                for (size_t k = 0; k < n; k++)
                        known |= seen[k] == port;
                if (!known)
                        seen[n++] = port;
        }
        assert_true(n > 28);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_room, setup, teardown),
                cmocka_unit_test_setup_teardown(test_path_mtu, setup, teardown),
                cmocka_unit_test_setup_teardown(test_path_mtu_of_others, setup, teardown),
                cmocka_unit_test_setup_teardown(test_probe, setup, teardown),
                cmocka_unit_test_setup_teardown(test_silent, setup, teardown),
                cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
                cmocka_unit_test_setup_teardown(test_entropy, setup, teardown),
        };
        return cmocka_run_group_tests_name("l4_tunnel", tests, NULL, NULL);
}
