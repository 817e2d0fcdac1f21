/* tests/unit/l4lb/announce_test.c - announcements of VIPs, byte for byte. */
#include "lib/base.h"
#include "l4lb/core/announce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct net_port port = {
        .mac = {2, 0, 0, 0, 0, 0x11},
        .link_local = {0xfe, 0x80, [11] = 0xff, [12] = 0xfe, [15] = 0x11},
};

static void arp(void **state)
{
        static const uint8_t want[60] = { /* padded to what Ethernet carries at least */
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,   0, 0, 0,  0, 0x11, 8, 6, /* broadcast */
                0,    1,    8,    0,    6,    4,    0,   1,                       /* Ethernet, IPv4, request */
                2,    0,    0,    0,    0,    0x11, 192, 0, 2, 10, 0, 0,    0, 0,
                0,    0,    192,  0,    2,    10, /* RFC 5227 3: sender = target */
        };
        struct ipaddr vip = {4, {192, 0, 2, 10}};
        struct frame_out f;
        (void)state;
        announce_frame(&port, 3, &vip, &f);
        assert_int_equal(f.port, 3);
        assert_int_equal(f.len, sizeof want);
        assert_memory_equal(f.b, want, sizeof want);
}

/* RFC 8200 8.1: summed with the pseudo header, checksum included, all ones. */
static unsigned checksum_of(const struct frame_out *f)
{
        uint32_t sum = (uint32_t)f->len - 54 + 58;
        for (size_t i = 22; i < f->len; i += 2)
                sum += (uint32_t)f->b[i] << 8 | f->b[i + 1];
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        return sum;
}

static void advertisement(void **state)
{
        struct ipaddr vip = {6, {0x20, 1, 0xd, 0xb8, [15] = 0x10}};
        static const uint8_t all_nodes[] = {0x33, 0x33, 0, 0, 0, 1}, option[] = {2, 1, 2, 0, 0, 0, 0, 0x11};
        struct frame_out f;
        (void)state;
        announce_frame(&port, 0, &vip, &f);
        assert_int_equal(f.len, 14 + 40 + 32);
        assert_memory_equal(f.b, all_nodes, 6);
        assert_int_equal(f.b[14] >> 4, 6);
        assert_int_equal(f.b[18] << 8 | f.b[19], 32);
        assert_int_equal(f.b[20], 58);
        assert_int_equal(f.b[21], 255); /* RFC 4861 7.1.2: receivers insist */
        assert_memory_equal(f.b + 22, port.link_local, 16);
        assert_int_equal(f.b[54], 136);
        assert_int_equal(f.b[58], 0x20); /* RFC 4861 7.2.6: override, not solicited; and no router, as we answer there */
        assert_memory_equal(f.b + 62, vip.b, 16);
        assert_memory_equal(f.b + 78, option, sizeof option);
        assert_int_equal(checksum_of(&f), 0xffff);
}

/* What another station claims, and that it is answered once in ten seconds for each address, for 64 of them at most. */
static void conflicts(void **state)
{
        static struct defender d;
        struct ipaddr vip = {4, {192, 0, 2, 10}}, vip6 = {6, {0x20, 1, 0xd, 0xb8, [15] = 0x10}}, got;
        struct frame_out f;
        uint8_t mac[6];
        (void)state;
        announce_frame(&port, 0, &vip, &f);
        assert_true(claim_read(f.b, f.len, &got, mac));
        assert_true(ipaddr_eq(&got, &vip));
        assert_memory_equal(mac, port.mac, 6);
        announce_frame(&port, 0, &vip6, &f);
        assert_true(claim_read(f.b, f.len, &got, mac));
        assert_true(ipaddr_eq(&got, &vip6));
        for (size_t cut = 0; cut < 14 + 40 + 24; cut++)
                assert_false(claim_read(f.b, cut, &got, mac));
        assert_true(defender_take(&d, &vip, 5));
        assert_false(defender_take(&d, &vip, 10004));
        assert_true(defender_take(&d, &vip6, 10004));
        assert_true(defender_take(&d, &vip, 10005));
        for (unsigned i = 0; i < DEFEND_MAX - 2; i++) {
                struct ipaddr other = {4, {10, 0, 0, (uint8_t)i}};
                assert_true(defender_take(&d, &other, 10006));
        }
        assert_false(defender_take(&d, &(struct ipaddr){4, {10, 1, 0, 0}}, 10007));
        assert_true(defender_take(&d, &(struct ipaddr){4, {10, 1, 0, 0}}, 20005));
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(arp), cmocka_unit_test(advertisement), cmocka_unit_test(conflicts)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
