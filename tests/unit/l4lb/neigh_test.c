/* tests/unit/l4lb/neigh_test.c - the neighbour machine and the routes that pin it. */
#include "lib/base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "l4lb/core/wire.h"
#include "tests/unit/l4lb/frame.h"
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

static struct ipaddr addr(const char *s)
{
        struct ipaddr a;
        assert_int_equal(ipaddr_parse(span_str(s), &a), 0);
        return a;
}

static bool input(struct world *w, uint8_t port, const char *text)
{
        uint8_t f[FRAME_MAX];
        size_t n = frame_make(text, w->net.ports[port].mac, f);
        return neigh_input(&w->neigh, port, f, n, w->now_ms);
}

/* Requests that are due now; the last one in *ret. */
static unsigned requests(struct world *w, struct frame_out *ret)
{
        unsigned n = 0;
        while (neigh_next(&w->neigh, w->now_ms, ret))
                n++;
        return n;
}

static void test_resolve_v4(void **state)
{
        struct world *w = *state;
        struct ipaddr a = addr("10.20.0.50");
        struct frame_out f;
        uint8_t want[FRAME_MAX];
        int k = neigh_pin(&w->neigh, 0, &a, w->now_ms);
        assert_true(k >= 0);
        assert_int_equal(neigh_word(&w->neigh, (uint16_t)k), 0);
        assert_int_equal(neigh_lookup(&w->neigh, 0, 4, a.b), 0);
        assert_int_equal(requests(w, &f), 1);
        size_t n = frame_make("eth ff:ff:ff:ff:ff:ff 02:00:00:00:00:01 / arp request 02:00:00:00:00:01 10.20.0.2 "
                              "00:00:00:00:00:00 10.20.0.50 / pad 60",
                              w->net.ports[0].mac, want);
        assert_int_equal(f.len, n);
        assert_memory_equal(f.b, want, n);
        assert_false(
                input(w, 1, "arp reply 02:dd:00:00:00:01 10.20.0.50 02:00:00:00:00:01 10.20.0.2")); /* another port */
        assert_false(
                input(w, 0, "arp reply 03:dd:00:00:00:01 10.20.0.50 02:00:00:00:00:01 10.20.0.2")); /* group address */
        assert_false(
                input(w, 0, "arp reply 02:dd:00:00:00:01 10.20.0.51 02:00:00:00:00:01 10.20.0.2")); /* nobody asked */
        assert_true(input(w, 0, "arp reply 02:dd:00:00:00:01 10.20.0.50 02:00:00:00:00:01 10.20.0.2"));
        uint64_t word = adjacency_make((uint8_t[]){ 2, 0xdd, 0, 0, 0, 1 }, 0);
        assert_int_equal(neigh_word(&w->neigh, (uint16_t)k), word);
        assert_int_equal(neigh_lookup(&w->neigh, 0, 4, a.b), word);
        assert_int_equal(neigh_lookup(&w->neigh, 1, 4, a.b), 0);
        assert_false(
                input(w, 0, "arp reply 02:dd:00:00:00:01 10.20.0.50 02:00:00:00:00:01 10.20.0.2")); /* same again */
        assert_true(
                input(w, 0, "arp request 02:dd:00:00:00:02 10.20.0.50 00:00:00:00:00:00 10.20.0.50")); /* it moved */
        assert_int_equal(w->neigh.n_changed, 1);
        assert_int_equal(requests(w, &f), 0);
}

static void test_resolve_v6(void **state)
{
        struct world *w = *state;
        struct ipaddr a = addr("fd00:20::50");
        struct frame_out f;
        uint8_t want[FRAME_MAX];
        int k = neigh_pin(&w->neigh, 0, &a, w->now_ms);
        assert_int_equal(requests(w, &f), 1);
        size_t n = frame_make("eth 33:33:ff:00:00:50 02:00:00:00:00:01 / ip6 fd00:20::2 > ff02::1:ff00:50 / ns "
                              "fd00:20::50 sll=02:00:00:00:00:01",
                              w->net.ports[0].mac, want);
        assert_int_equal(f.len, n);
        assert_memory_equal(f.b, want, n);
        assert_false(input(
                w, 0,
                "ip6 fd00:20::50 > fd00:20::2 / na fd00:20::50 flags=O")); /* no link-layer address, unsolicited */
        assert_true(input(w, 0, "ip6 fd00:20::50 > fd00:20::2 / na fd00:20::50 flags=SO tll=02:dd:00:00:00:06"));
        uint64_t word = neigh_word(&w->neigh, (uint16_t)k);
        assert_int_equal(word, adjacency_make((uint8_t[]){ 2, 0xdd, 0, 0, 0, 6 }, 0));
        /* without Override another address only raises doubt (RFC 4861 7.2.5): we ask the one we know */
        assert_false(input(w, 0, "ip6 fd00:20::50 > fd00:20::2 / na fd00:20::50 flags=S tll=02:dd:00:00:00:07"));
        assert_int_equal(neigh_word(&w->neigh, (uint16_t)k), word);
        assert_int_equal(w->neigh.ctl[k].state, NEIGH_PROBE);
        assert_int_equal(requests(w, &f), 1);
        assert_memory_equal(f.b, ((uint8_t[]){ 2, 0xdd, 0, 0, 0, 6 }), 6);
        assert_true(input(w, 0, "ip6 fd00:20::50 > fd00:20::2 / na fd00:20::50 flags=SO tll=02:dd:00:00:00:07"));
        word = neigh_word(&w->neigh, (uint16_t)k);
        /* without the option the frame's source is only good to confirm what we know */
        assert_false(input(w, 0, "eth 02:00:00:00:00:01 02:dd:00:00:00:08 / ip6 fd00:20::50 > fd00:20::2 / na fd00:20::50 flags=SO"));
        assert_int_equal(neigh_word(&w->neigh, (uint16_t)k), word);
}

static void test_retries_and_loss(void **state)
{
        struct world *w = *state;
        struct ipaddr a = addr("10.20.0.50");
        struct frame_out f;
        int k = neigh_pin(&w->neigh, 0, &a, w->now_ms);
        static const unsigned gaps[] = { 100, 200, 400, 800, 1000, 1000 };
        for (size_t i = 0; i < ARRAY_SIZE(gaps); i++) {
                assert_int_equal(requests(w, &f), 1);
                assert_int_equal(neigh_due_ms(&w->neigh, w->now_ms, 5000), gaps[i]);
                w->now_ms += gaps[i] - 1;
                assert_int_equal(requests(w, &f), 0);
                w->now_ms++;
        }
        assert_true(input(w, 0, "arp reply 02:dd:00:00:00:01 10.20.0.50 02:00:00:00:00:01 10.20.0.2"));
        for (uint16_t i = 0; i < L4_MAX_NEIGHBOURS; i++) /* only this one from here on */
                if (i != k && w->neigh.ctl[i].state == NEIGH_REACHABLE)
                        w->neigh.ctl[i].due_ms = UINT64_MAX;
        w->now_ms += 30000;
        (void)neigh_lookup(&w->neigh, 0, 4, a.b);
        for (int i = 0; i < 4; i++) { /* still used while it is probed: at the MAC we know, then at all, as it may have another */
                assert_int_equal(requests(w, &f), 1);
                static const uint8_t to[2][6] = { { 2, 0xdd, 0, 0, 0, 1 }, { 255, 255, 255, 255, 255, 255 } };
                assert_memory_equal(f.b, to[i != 0], 6);
                assert_int_not_equal(neigh_word(&w->neigh, (uint16_t)k), 0);
                w->now_ms += i ? 1000 : 200;
        }
        assert_int_equal(requests(w, &f), 1); /* broadcast again, word withdrawn */
        assert_int_equal(f.b[0], 0xff);
        assert_int_equal(neigh_word(&w->neigh, (uint16_t)k), 0);
        assert_int_equal(w->neigh.n_failed, 1);
}

static void test_learned_is_given_up(void **state)
{
        struct world *w = *state;
        struct ipaddr a = addr("10.20.0.60");
        struct frame_out f;
        unsigned asked = 0;
        neigh_want(&w->neigh, 0, &a, w->now_ms);
        neigh_want(&w->neigh, 0, &a, w->now_ms);
        for (int i = 0; i < 100; i++, w->now_ms += 100)
                asked += requests(w, &f);
        assert_int_equal(asked, 4);
        for (size_t i = 0; i < L4_MAX_NEIGHBOURS; i++)
                assert_int_not_equal(w->neigh.ctl[i].state, NEIGH_INCOMPLETE);
        assert_int_equal(neigh_retired(&w->neigh), 0); /* no worker could have seen it */
}

static void only(struct world *w, const struct ipaddr *a) /* nobody else has anything due */
{
        for (uint16_t i = 0; i < L4_MAX_NEIGHBOURS; i++)
                if (w->neigh.ctl[i].state == NEIGH_REACHABLE && memcmp(w->neigh.slots[i].addr, a->b, 4) != 0)
                        w->neigh.ctl[i].due_ms = UINT64_MAX;
}

/* It answers for ever, yet nobody sends to it: its slot is for others.  One that is sent to stays. */
static void test_unused_is_given_up(void **state)
{
        struct world *w = *state;
        struct ipaddr a = addr("10.20.0.60");
        struct frame_out f;
        static const char answer[] = "arp reply 02:dd:00:00:00:01 10.20.0.60 02:00:00:00:00:01 10.20.0.2";
        neigh_want(&w->neigh, 0, &a, w->now_ms);
        assert_int_equal(requests(w, &f), 1);
        assert_true(input(w, 0, answer));
        only(w, &a);
        for (int i = 0; i < 12; i++) { /* six minutes in use */
                w->now_ms += 30000;
                assert_int_not_equal(neigh_lookup(&w->neigh, 0, 4, a.b), 0);
                assert_int_equal(requests(w, &f), 1);
                (void)input(w, 0, answer);
        }
        for (int i = 0; i < 9; i++) {
                w->now_ms += 30000;
                assert_int_equal(requests(w, &f), 1);
                (void)input(w, 0, answer);
        }
        w->now_ms += 30000;
        assert_int_equal(requests(w, &f), 0);
        assert_int_equal(neigh_lookup(&w->neigh, 0, 4, a.b), 0);
        assert_true(neigh_retired(&w->neigh) > 0);
}

/* The router asks us from another MAC than we know: verified within the next look, not after half a minute. */
static void test_other_mac_is_verified(void **state)
{
        struct world *w = *state;
        struct ipaddr a = addr("10.20.0.60");
        struct frame_out f;
        neigh_want(&w->neigh, 0, &a, w->now_ms);
        assert_int_equal(requests(w, &f), 1);
        assert_true(input(w, 0, "arp reply 02:dd:00:00:00:01 10.20.0.60 02:00:00:00:00:01 10.20.0.2"));
        uint64_t word = neigh_lookup(&w->neigh, 0, 4, a.b);
        for (int mac = 1; mac < 3; mac++) {
                uint8_t b[FRAME_MAX + 64];
                char text[128];
                struct pkt p;
                snprintf(text, sizeof text, "arp request 02:dd:00:00:00:0%d 10.20.0.60 00:00:00:00:00:00 192.0.2.1", mac);
                size_t n = frame_make(text, w->net.ports[0].mac, b);
                world_run(w, 0, b, n, n, sizeof b, &p);
                assert_int_equal(p.verdict, REPLY_ARP);
                assert_int_equal(requests(w, &f), mac == 1 ? 0 : 1);
        }
        assert_int_equal(neigh_lookup(&w->neigh, 0, 4, a.b), word); /* a request is no proof */
        w->now_ms += 200;
        assert_int_equal(requests(w, &f), 1);
        assert_int_equal(f.b[0], 0xff);
        assert_true(input(w, 0, "arp reply 02:dd:00:00:00:02 10.20.0.60 02:00:00:00:00:01 10.20.0.2"));
        assert_int_equal(neigh_lookup(&w->neigh, 0, 4, a.b), adjacency_make((uint8_t[]){ 2, 0xdd, 0, 0, 0, 2 }, 0));
}

/* A scan of on-link addresses fills the table with learned slots; pinned ones stay, slots that were visible wait for grace. */
static void test_bounded_and_grace(void **state)
{
        struct world *w = *state;
        struct frame_out f;
        uint64_t router = 0;
        for (unsigned n = 0; n < 4 * L4_MAX_NEIGHBOURS; n++) {
                struct ipaddr a = { .af = 4, .b = { 10, 20, (uint8_t)(n >> 8), (uint8_t)n } };
                uint8_t reply[FRAME_MAX];
                w->now_ms++;
                neigh_want(&w->neigh, 0, &a, w->now_ms);
                size_t len = frame_make("arp reply 02:dd:00:00:00:01 10.20.0.50 02:00:00:00:00:01 10.20.0.2",
                                        w->net.ports[0].mac, reply);
                memcpy(reply + ETH_LEN + 14, a.b, 4);
                neigh_input(&w->neigh, 0, reply, len, w->now_ms);
        }
        for (size_t i = 0; i < w->net.n_routes; i++)
                if (w->net.routes[i].via.af == 4)
                        router = neigh_word(&w->neigh, w->net.routes[i].adjacency);
        assert_int_not_equal(router, 0);
        uint32_t token = neigh_retired(&w->neigh);
        assert_true(token > 0);
        assert_int_equal(neigh_retired(&w->neigh), 0); /* each batch once */
        unsigned dying = 0, after = 0;
        for (size_t i = 0; i < L4_MAX_NEIGHBOURS; i++)
                dying += w->neigh.ctl[i].state == NEIGH_DYING;
        assert_true(dying > 0);
        neigh_reclaim(&w->neigh, token - 1);
        for (size_t i = 0; i < L4_MAX_NEIGHBOURS; i++)
                after += w->neigh.ctl[i].state == NEIGH_DYING;
        assert_int_equal(after, dying);
        neigh_reclaim(&w->neigh, token);
        for (size_t i = 0; i < L4_MAX_NEIGHBOURS; i++)
                assert_int_not_equal(w->neigh.ctl[i].state, NEIGH_DYING);
        (void)requests(w, &f);
}

/* Replies to forged on-link sources make us want addresses that nobody has: peers that are there stay, and a backend of
 * the next generation still finds room. */
static void test_flood_of_strangers(void **state)
{
        struct world *w = *state;
        struct ipaddr peer = addr("10.20.0.50"), next = addr("10.20.0.51");
        neigh_want(&w->neigh, 0, &peer, w->now_ms);
        assert_true(input(w, 0, "arp reply 02:dd:00:00:00:01 10.20.0.50 02:00:00:00:00:01 10.20.0.2"));
        for (unsigned n = 0; n < 8 * L4_MAX_NEIGHBOURS; n++) {
                struct ipaddr a = { .af = 4, .b = { 10, 20, (uint8_t)(1 + (n >> 8)), (uint8_t)n } };
                neigh_want(&w->neigh, 0, &a, ++w->now_ms);
        }
        assert_true(w->neigh.n_evicted > 0);
        assert_int_not_equal(neigh_lookup(&w->neigh, 0, 4, peer.b), 0);
        assert_true(neigh_pin(&w->neigh, 0, &next, w->now_ms) >= 0);
}

/* Frames that only look like neighbour traffic, cut anywhere. */
static void test_cut_frames(void **state)
{
        static const char *const frames[] = {
                "arp reply 02:dd:00:00:00:01 10.20.0.1 02:00:00:00:00:01 10.20.0.2",
                "ip6 fd00:20::1 > fd00:20::2 / na fd00:20::1 flags=SO tll=02:dd:00:00:00:01",
                "ip6 fd00:20::1 > fd00:20::2 / na fd00:20::1 flags=SO opt=0200000000000000",
                "ip4 192.0.2.1 > 10.20.0.9 / tcp 80 > 4000 A", "ip6 2001:db8:10::1 > fd00:20::9 / tcp 80 > 4000 A"
        };
        struct world *w = *state;
        for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
                uint8_t f[FRAME_MAX];
                size_t n = frame_make(frames[i], w->net.ports[0].mac, f);
                for (size_t cut = 0; cut < n; cut++) {
                        uint8_t *exact = malloc(cut ? cut : 1);
                        memcpy(exact, f, cut);
                        neigh_input(&w->neigh, 0, exact, cut, w->now_ms);
                        free(exact);
                }
        }
}

static void test_routes(void **state)
{
        static struct net net;
        static struct neigh neigh;
        struct err e;
        (void)state;
        memset(&net, 0, sizeof net);
        static const char *const prefixes[] = { "0.0.0.0/0",         "198.51.100.0/24", "198.51.100.128/25",
                                                "198.51.100.200/32", "2001:db8::/32",   "2001:db8:1::/48" };
        static const char *const vias[] = { "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "fd00::1", "fd00::2" };
        neigh_init(&neigh, &net, (struct siphash_key){ 0 });
        net.n_ports = 1;
        snprintf(net.ports[0].name, sizeof net.ports[0].name, "up");
        assert_int_equal(ipprefix_parse(span_str("10.0.0.9/24"), &net.ports[0].addresses[0]), 0);
        assert_int_equal(ipprefix_parse(span_str("fd00::9/64"), &net.ports[0].addresses[1]), 0);
        net.ports[0].n_addresses = 2;
        for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
                assert_int_equal(ipprefix_parse(span_str(prefixes[i]), &net.routes[i].prefix), 0);
                net.routes[i].via = addr(vias[i]);
                net.n_routes++;
        }
        assert_int_equal(net_init(&net, &neigh, &e), 0);
        static const struct {
                const char *dst, *via; /* NULL via: on-link; "" no route */
        } cases[] = { { "8.8.8.8", "10.0.0.1" },
                      { "198.51.100.1", "10.0.0.2" },
                      { "198.51.100.129", "10.0.0.3" },
                      { "198.51.100.200", "10.0.0.4" },
                      { "10.0.0.77", NULL },
                      { "10.0.1.77", "10.0.0.1" },
                      { "2001:db8:1::5", "fd00::2" },
                      { "2001:db8:2::5", "fd00::1" },
                      { "fd00::77", NULL },
                      { "2001:db9::1", "" } };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct ipaddr d = addr(cases[i].dst);
                const struct net_hop4 *h4 = d.af == 4 ? net_route4(&net, d.b) : NULL;
                const struct net_hop6 *h6 = d.af == 6 ? net_route6(&net, d.b) : NULL;
                if (cases[i].via && !cases[i].via[0]) {
                        assert_true(!h4 && !h6);
                        continue;
                }
                assert_true(h4 || h6);
                uint16_t adjacency = h4 ? h4->adjacency : h6->adjacency;
                if (!cases[i].via) {
                        assert_int_equal(adjacency, NEIGH_NONE);
                        continue;
                }
                struct ipaddr v = addr(cases[i].via);
                assert_memory_equal(neigh.slots[adjacency].addr, v.b, ipaddr_len(&v));
        }
        /* refused */
        struct net bad = net;
        bad.n_routes = 1;
        bad.routes[0].via = addr("10.9.0.1");
        bad.routes[0].prefix = (struct ipprefix){ addr("1.0.0.0"), 8 };
        assert_int_equal(net_init(&bad, &neigh, &e), -EINVAL);
        assert_non_null(strstr(e.place, "10.9.0.1"));
        bad = net;
        bad.n_routes = 0;
        bad.n_ports = 2;
        bad.ports[1] = bad.ports[0];
        assert_int_equal(net_init(&bad, &neigh, &e), -EINVAL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        static const struct CMUnitTest tests[] = {
                T(test_resolve_v4),
                T(test_resolve_v6),
                T(test_retries_and_loss),
                T(test_learned_is_given_up),
                T(test_unused_is_given_up),
                T(test_other_mac_is_verified),
                T(test_bounded_and_grace),
                T(test_flood_of_strangers),
                T(test_cut_frames),
                cmocka_unit_test(test_routes),
        };
        return cmocka_run_group_tests_name("neigh", tests, NULL, NULL);
}
