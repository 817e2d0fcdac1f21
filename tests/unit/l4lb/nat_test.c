/* tests/unit/l4lb/nat_test.c - what packet rows cannot say of NAT: checksums of any packet, ports and tables that run out, time,
 * other workers, endpoints that go. */
#include "lib/base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "l4lb/core/wire.h"
#include "tests/unit/l4lb/frame.h"
#include "tests/unit/l4lb/world.h"

#define HEAD 64

static int setup(void **state)
{
        struct world *w = world_new(256);
        w->head = HEAD;
        *state = w;
        return 0;
}

static int teardown(void **state)
{
        struct world *w = *state;
        assert_true(flow_table_check(&w->worker.flows));
        assert_int_equal(verdicts_sum(&w->worker.verdicts), metric_get(&w->worker.verdicts.received));
        world_free(w);
        return 0;
}

static struct pkt run(struct world *w, uint8_t port, const char *text)
{
        static uint8_t room[HEAD + FRAME_MAX + 64];
        struct pkt p;
        size_t n = frame_make(text, w->net.ports[port].mac, room + HEAD);
        world_run(w, port, room + HEAD, n, n, n + 64, &p);
        return p;
}

PRINTF(4, 5) static void expect(struct world *w, uint8_t port, enum l4_verdict v, const char *fmt, ...)
{
        char text[256];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        struct pkt p = run(w, port, text);
        if (p.verdict != v)
                fail_msg("%s: %s, wanted %s", text, verdict_name((enum l4_verdict)p.verdict), verdict_name(v));
}

/* The one's complement sum of a transport segment with its pseudo header: 0xffff when the checksum is right. */
static uint32_t residue(const uint8_t *f, size_t l4, size_t n, uint8_t proto)
{
        const uint8_t *ip = f + ETH_LEN;
        uint32_t s = get_u16(f + 12) == ETHERTYPE_IPV4 ? cksum_pseudo(ip + 12, ip + 16, 4, (uint32_t)n, proto)
                                                       : cksum_pseudo(ip + 8, ip + 24, 16, (uint32_t)n, proto);
        s = cksum_add(s, f + l4, n);
        return (uint16_t)~cksum_fold(s);
}

static uint32_t next_random(uint32_t *x)
{
        *x ^= *x << 13;
        *x ^= *x >> 17;
        *x ^= *x << 5;
        return *x;
}

/* Right stays right and wrong stays wrong by as much, for every length, mode and direction. */
static void test_checksums(void **state)
{
        struct world *w = *state;
        uint32_t x = 2463534242u;
        for (unsigned i = 0; i < 4000; i++) {
                uint8_t room[HEAD + FRAME_MAX], *f = room + HEAD;
                char text[160];
                struct pkt p;
                bool udp = next_random(&x) & 1, broken = next_random(&x) % 3 == 0;
                size_t more = next_random(&x) % 1400;
                snprintf(text, sizeof text, "%s%u > %s / %s %u > %u %s / data %zu",
                         i & 2 ? "ip6 2001:db8:99::" : "ip4 198.51.100.", 1 + next_random(&x) % 200,
                         i & 2 ? "2001:db8:10::1" : "192.0.2.1", udp ? "udp" : "tcp", 1024 + next_random(&x) % 60000,
                         90 + i % 2, udp ? "" : "S", more);
                size_t n = frame_make(text, w->net.ports[0].mac, f), l4 = n - more - (udp ? 8 : 20);
                for (size_t k = 0; k < more && broken; k++)
                        f[n - more + k] = (uint8_t)next_random(&x);
                uint32_t before = residue(f, l4, n - l4, udp ? 17 : 6);
                world_run(w, 0, f, n, n, n, &p);
                if (i % 100 == 99)
                        world_reset_worker(w, 256);
                assert_int_equal(p.verdict, FORWARD_NAT);
                assert_int_equal(p.len, p.wire_len);
                uint32_t after = residue(p.p, p.l4, p.l4_len, udp ? 17 : 6);
                assert_int_equal(after % 0xffff, before % 0xffff);
                assert_true(broken || after == 0xffff);
                assert_true(p.version == 6 || frame_ip4_sum_ok(p.p, p.len));
                assert_int_equal(p.version, i % 4 == 0 || i % 4 == 3 ? 4 : 6);
        }
}

static void test_ports_run_out(void **state)
{
        struct world *w = *state;
        worker_nat_ports(&w->worker, 2000, 2007, 0, 1);
        for (unsigned c = 0; c < 8; c++)
                expect(w, 0, FORWARD_NAT, "ip4 198.51.100.7 > 192.0.2.1 / udp %u > 90", 4000 + c);
        expect(w, 0, DROP_NAT_PORTS, "ip4 198.51.100.7 > 192.0.2.1 / udp 5000 > 90");
        expect(w, 0, FORWARD_NAT, "ip4 198.51.100.7 > 192.0.2.1 / udp 4003 > 90"); /* a known one goes on */
        expect(w, 0, FORWARD_NAT, "ip4 198.51.100.7 > 192.0.2.1 / tcp 5000 > 90 S"); /* the same port of another protocol */
        expect(w, 0, FORWARD_NAT, "ip4 198.51.100.7 > 192.0.2.1 / udp 5000 > 91"); /* and towards another endpoint */
        w->now_ms += 1000 * (FLOW_EMBRYONIC_UDP_S + 1);
        expect(w, 0, FORWARD_NAT, "ip4 198.51.100.7 > 192.0.2.1 / udp 5001 > 90");
        expect(w, 5, FORWARD_NAT_RETURN, "ip4 10.40.0.101 > 10.40.0.3 / udp 8080 > 2003"); /* only the flow in use still has its port */
}

static void test_table_runs_out(void **state)
{
        struct world *w = *state;
        unsigned full = 0, opened = 0;
        for (unsigned c = 0; c < 200; c++) { /* established ones, which nothing may push out */
                char text[128];
                snprintf(text, sizeof text, "ip4 198.51.100.7 > 192.0.2.1 / tcp %u > 90 S", 4000 + c);
                struct pkt p = run(w, 0, text);
                full += p.verdict == DROP_FLOWS_FULL;
                if (p.verdict != FORWARD_NAT)
                        continue;
                opened++;
                expect(w, 0, FORWARD_NAT, "ip4 198.51.100.7 > 192.0.2.1 / tcp %u > 90 A", 4000 + c);
        }
        assert_int_equal(full + opened, 200);
        assert_true(full > 0 && opened > 100 && opened <= 128);
        assert_int_equal(w->worker.flows.n_live, 2 * opened);
}

/* A flood of SYNs cannot cut what is established; half-open ones make room for each other. */
static void test_syn_flood(void **state)
{
        struct world *w = *state;
        for (unsigned c = 0; c < 40; c++) {
                expect(w, 0, FORWARD_NAT, "ip4 203.0.113.7 > 192.0.2.1 / tcp %u > 90 S", 4000 + c);
                expect(w, 0, FORWARD_NAT, "ip4 203.0.113.7 > 192.0.2.1 / tcp %u > 90 A", 4000 + c);
        }
        unsigned in = 0;
        for (unsigned c = 0; c < 5000; c++) {
                char text[128];
                snprintf(text, sizeof text, "ip4 198.51.%u.%u > 192.0.2.1 / tcp %u > 90 S", c / 200, 1 + c % 200, 1025 + c);
                in += run(w, 0, text).verdict == FORWARD_NAT;
        }
        assert_true(in > 4000);
        assert_true(w->worker.flows.n_live <= 256);
        for (unsigned c = 0; c < 40; c++)
                expect(w, 0, FORWARD_NAT, "ip4 203.0.113.7 > 192.0.2.1 / tcp %u > 90 A", 4000 + c);
        assert_true(flow_table_check(&w->worker.flows));
}

#define CLIENT "ip4 198.51.100.7 > 192.0.2.1 / tcp 4000 > 90 "
#define APP "ip4 10.40.0.101 > 10.40.0.3 / tcp 8080 > 1024 "
static void establish(struct world *w)
{
        expect(w, 0, FORWARD_NAT, CLIENT "S");
        expect(w, 5, FORWARD_NAT_RETURN, APP "SA");
        expect(w, 0, FORWARD_NAT, CLIENT "A");
}

static void test_time(void **state)
{
        struct world *w = *state;
        expect(w, 0, FORWARD_NAT, CLIENT "S"); /* half-open: 30 s, whatever the endpoint says */
        expect(w, 5, FORWARD_NAT_RETURN, APP "SA");
        w->now_ms += 31000;
        expect(w, 5, REPLY_RST, APP "SA");
        world_reset_worker(w, 256);
        establish(w); /* idle_s of the service's kind */
        w->now_ms += 349000;
        expect(w, 5, FORWARD_NAT_RETURN, APP "A"); /* either side keeps both halves */
        w->now_ms += 349000;
        expect(w, 0, FORWARD_NAT, CLIENT "A");
        w->now_ms += 351000;
        expect(w, 0, REPLY_RST, CLIENT "A"); /* data after idle: told, not ignored */
        world_reset_worker(w, 256);
        establish(w);
        expect(w, 0, FORWARD_NAT, CLIENT "FA"); /* half-closed is not closing: a long answer may come */
        w->now_ms += 100000;
        expect(w, 5, FORWARD_NAT_RETURN, APP "A");
        w->now_ms += 100000;
        expect(w, 5, FORWARD_NAT_RETURN, APP "FA");
        w->now_ms += 11000;
        expect(w, 0, REPLY_RST, CLIENT "A");
        assert_int_equal(w->worker.flows.n_live, 2); /* until the sweep: expired ones are not found */
        flow_sweep(&w->worker.flows, w->worker.flows.bucket_mask + 1, (uint16_t)(w->now_ms / 1000));
        assert_int_equal(w->worker.flows.n_live, 0);
}

/* A RST in blind: the real client speaks on, and the connection is no shorter than before.  A real one ends it in 10 s. */
static void test_reset(void **state)
{
        struct world *w = *state;
        establish(w);
        expect(w, 0, FORWARD_NAT, CLIENT "R");
        expect(w, 0, FORWARD_NAT, CLIENT "A");
        w->now_ms += 300000;
        expect(w, 5, FORWARD_NAT_RETURN, APP "A");
        expect(w, 5, FORWARD_NAT_RETURN, APP "R");
        expect(w, 0, FORWARD_NAT, CLIENT "A"); /* was on its way: revives nothing */
        w->now_ms += 11000;
        expect(w, 0, REPLY_RST, CLIENT "A");
}

static void test_hand_over(void **state)
{
        struct world *w = *state;
        unsigned own = 0;
        worker_nat_ports(&w->worker, 1024, 32767, 1, 3);
        assert_true(w->worker.nat.n_own > 9000);
        for (unsigned port = 1024; port < 32768; port++) {
                char text[128];
                snprintf(text, sizeof text, "ip4 10.40.0.101 > 10.40.0.3 / udp 8080 > %u", port);
                struct pkt p = run(w, 5, text);
                bool mine = port >= w->worker.nat.own && port < (unsigned)w->worker.nat.own + w->worker.nat.n_own;
                own += mine;
                if (mine == (p.verdict == HAND_OVER) || (!mine && p.out_port != (port < w->worker.nat.own ? 0 : 2)))
                        fail_msg("port %u: %s to %u", port, verdict_name((enum l4_verdict)p.verdict), p.out_port);
        }
        assert_int_equal(own, w->worker.nat.n_own);
        expect(w, 5, DROP_NOT_OURS, "ip4 10.40.0.101 > 10.40.0.3 / udp 8080 > 1023");
        static const char first[] = "ip4 10.40.0.101 > 10.40.0.3 mf id=5 / udp 8080 > 1024 len=1488 / data 1400",
                          later[] = "ip4 10.40.0.101 > 10.40.0.3 off=1408 id=5 proto=17 / data 80";
        expect(w, 5, DROP_NOT_OURS, "%s", later);
        expect(w, 5, HAND_OVER, "%s", first);
        expect(w, 5, HAND_OVER, "%s", later); /* has no ports: follows its first */
        expect(w, 5, HAND_OVER, "ip4 10.40.0.101 > 10.40.0.3 / icmp 3.3 / ip4 10.40.0.3 > 10.40.0.101 / udp 1024 > 8080");
        expect(w, 5, DROP_BAD_ICMP, "ip4 10.40.0.101 > 10.40.0.3 / icmp 3.3 / ip4 10.40.0.3 > 10.40.0.101 / udp %u > 8080",
               w->worker.nat.own);
        struct pkt p = run(w, 0, "ip4 203.0.113.1 > 192.0.2.1 / icmp 3.1 / ip4 192.0.2.1 > 198.51.100.7 / tcp 90 > 4444 A");
        assert_int_equal(p.verdict, HAND_OVER); /* about a client's connection that somebody may have: goes around */
        assert_int_equal(p.out_port, 2);
        p = run(w, 0, CLIENT "S"); /* what we open uses our own ports */
        assert_int_equal(p.verdict, FORWARD_NAT);
        assert_int_equal(get_u16(p.p + p.l4), w->worker.nat.own);
        for (unsigned n = 1; n <= 32; n++) { /* every port has exactly one owner, none has nothing */
                unsigned sum = 0;
                for (unsigned i = 0; i < n; i++) {
                        worker_nat_ports(&w->worker, 1024, 32767, i, n);
                        assert_true(w->worker.nat.n_own > 0);
                        sum += w->worker.nat.n_own;
                }
                assert_int_equal(sum, 31744);
        }
}

/* The endpoint leaves the set: its connections stay for the drain time; then the client is told, UDP goes elsewhere. */
static void test_endpoint_goes(void **state)
{
        struct world *w = *state;
        struct model_error e;
        Model__EndpointSet set = MODEL__ENDPOINT_SET__INIT;
        set.id = (char *)(uintptr_t) "apps";
        set.version = 2;
        establish(w);
        assert_int_equal(tables_endpoints(w->tables, &set, w->now_ms, world_retire, w, &e), 0);
        expect(w, 0, FORWARD_NAT, CLIENT "A");
        expect(w, 0, REPLY_RST, "ip4 198.51.100.7 > 192.0.2.1 / tcp 4001 > 90 S");
        w->now_ms += 62000;
        (void)tables_expire(w->tables, w->now_ms, world_retire, w);
        uint32_t token = backends_retire(&w->backends, w->now_ms);
        assert_true(token > 0);
        expect(w, 0, REPLY_RST, CLIENT "A");
        assert_int_equal(w->worker.flows.n_live, 0);
        backends_reclaim(&w->backends, token);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = { T(test_checksums), T(test_ports_run_out), T(test_table_runs_out), T(test_syn_flood), T(test_time),
                                            T(test_reset),     T(test_hand_over),     T(test_endpoint_goes) };
        return cmocka_run_group_tests_name("nat", tests, NULL, NULL);
}
