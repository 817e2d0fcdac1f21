/* l4lb/core/announce.c - see announce.h. */
#include "lib/base.h"
#include "l4lb/core/announce.h"
#include "lib/core/cursor.h"

#include <assert.h>

#define ETH_ARP 0x0806
#define ETH_IPV6 0x86dd
#define NA_BYTES 32 /* ICMPv6 header and target 24, target link-layer address option 8 */

static uint8_t *eth(struct frame_out *f, const uint8_t dst[6], const uint8_t src[6], uint16_t type)
{
        memcpy(f->b, dst, 6);
        memcpy(f->b + 6, src, 6);
        put_u16_be(f->b + 12, type);
        return f->b + 14;
}

/*  htype 2 | ptype 2 | hlen 1 | plen 1 | op 2 | sender MAC 6 | sender IP 4 | target MAC 6 | target IP 4 */
static void announce4(const uint8_t mac[6], const uint8_t addr[4], struct frame_out *f)
{
        static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
        static const uint8_t head[8] = {0, 1, 8, 0, 6, 4, 0, 1};
        uint8_t *p = eth(f, broadcast, mac, ETH_ARP);
        memcpy(p, head, sizeof head);
        memcpy(p + 8, mac, 6);
        memcpy(p + 14, addr, 4);
        memset(p + 18, 0, 6);
        memcpy(p + 24, addr, 4);
        f->len = 14 + 28;
}

static uint16_t icmp6_checksum(const uint8_t *ip6, const uint8_t *p, size_t n)
{
        uint32_t sum = (uint32_t)n + 58; /* RFC 8200 8.1: pseudo header */
        for (size_t i = 8; i < 40; i += 2)
                sum += (uint32_t)ip6[i] << 8 | ip6[i + 1];
        for (size_t i = 0; i < n; i += 2)
                sum += (uint32_t)p[i] << 8 | p[i + 1];
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t)~sum;
}

static void announce6(const struct net_port *port, const uint8_t addr[16], struct frame_out *f)
{
        static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
        static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
        uint8_t *ip = eth(f, all_nodes_mac, port->mac, ETH_IPV6), *na = ip + 40;
        memset(ip, 0, 40 + NA_BYTES);
        ip[0] = 0x60;
        put_u16_be(ip + 4, NA_BYTES);
        ip[6] = 58;
        ip[7] = 255;
        memcpy(ip + 8, port->link_local, 16);
        memcpy(ip + 24, all_nodes, 16);
        na[0] = 136;
        na[4] = 0xa0; /* Router and Override: we forward; this one replaces what was cached */
        memcpy(na + 8, addr, 16);
        na[24] = 2; /* target link-layer address */
        na[25] = 1;
        memcpy(na + 26, port->mac, 6);
        put_u16_be(na + 2, icmp6_checksum(ip, na, NA_BYTES));
        f->len = 14 + 40 + NA_BYTES;
}

void announce_frame(const struct net_port *port, uint8_t port_index, const struct ipaddr *addr, struct frame_out *ret)
{
        static_assert(14 + 40 + NA_BYTES <= sizeof ret->b, "fits a frame_out");
        ret->port = port_index;
        if (addr->af == 4)
                announce4(port->mac, addr->b, ret);
        else
                announce6(port, addr->b, ret);
}
