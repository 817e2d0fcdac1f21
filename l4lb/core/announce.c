/* l4lb/core/announce.c - see announce.h. */
#include "lib/base.h"
#include "l4lb/core/announce.h"
#include "l4lb/core/wire.h"

#include <assert.h>

static_assert(ETH_LEN + IPV6_LEN + ND_NS_LEN + 8 <= sizeof(((struct frame_out *)0)->b), "fits a frame_out");
static_assert(ETH_MIN_FRAME >= ETH_LEN + ARP_LEN, "padded");

/*  htype 2 | ptype 2 | hlen 1 | plen 1 | op 2 | sender MAC 6 | sender IP 4 | target MAC 6 | target IP 4 */
static void announce4(const uint8_t mac[6], const uint8_t addr[4], struct frame_out *f)
{
        static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
        static const uint8_t head[8] = { 0, 1, 8, 0, 6, 4, 0, 1 };
        uint8_t *a = f->b + ETH_LEN;
        eth_write(f->b, broadcast, mac, ETHERTYPE_ARP);
        memcpy(a, head, sizeof head);
        memcpy(a + 8, mac, 6);
        memcpy(a + 14, addr, 4);
        memcpy(a + 24, addr, 4);
        f->len = ETH_MIN_FRAME;
}

/* Without the Router flag, like our answers on uplinks: for a VIP we are the host. */
static void announce6(const struct net_port *port, const uint8_t addr[16], struct frame_out *f)
{
        static const uint8_t all_nodes_mac[6] = { 0x33, 0x33, 0, 0, 0, 1 };
        static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 1 };
        uint8_t *ip = f->b + ETH_LEN, *na = ip + IPV6_LEN;
        eth_write(f->b, all_nodes_mac, port->mac, ETHERTYPE_IPV6);
        ip6_write(ip, ND_NS_LEN + 8, PROTO_ICMPV6, 255, port->link_local, all_nodes);
        na[0] = ICMPV6_NA;
        na[4] = ND_OVERRIDE; /* this one replaces what was cached */
        memcpy(na + 8, addr, 16);
        na[24] = ND_OPT_TARGET_LL;
        na[25] = 1;
        memcpy(na + 26, port->mac, 6);
        uint32_t sum = cksum_pseudo(ip + 8, ip + 24, 16, ND_NS_LEN + 8, PROTO_ICMPV6);
        set_u16(na + 2, cksum_fold(cksum_add(sum, na, ND_NS_LEN + 8)));
        f->len = ETH_LEN + IPV6_LEN + ND_NS_LEN + 8;
}

void announce_frame(const struct net_port *port, uint8_t port_index, const struct ipaddr *addr, struct frame_out *ret)
{
        memset(ret, 0, sizeof *ret);
        ret->port = port_index;
        if (addr->af == 4)
                announce4(port->mac, addr->b, ret);
        else
                announce6(port, addr->b, ret);
}

/* ---------------------------------------------------------------- conflicts */

bool claim_read(const uint8_t *frame, size_t len, struct ipaddr *ret, uint8_t ret_mac[6])
{
        const uint8_t *nd = frame + ETH_LEN + IPV6_LEN, *ip = frame + ETH_LEN;
        *ret = (struct ipaddr){ 0 };
        if (len >= ETH_LEN + ARP_LEN && get_u16(frame + 12) == ETHERTYPE_ARP) {
                ret->af = 4;
                memcpy(ret->b, frame + ETH_LEN + 14, 4);
                memcpy(ret_mac, frame + ETH_LEN + 8, 6);
                return true;
        }
        if (len < ETH_LEN + IPV6_LEN + ND_NS_LEN || get_u16(frame + 12) != ETHERTYPE_IPV6 || ip[6] != PROTO_ICMPV6)
                return false;
        ret->af = 6;
        memcpy(ret->b, nd[0] == ICMPV6_NA ? nd + 8 : ip + 8, 16); /* a solicitation claims its source */
        memcpy(ret_mac, frame + 6, 6);
        return true;
}

bool defender_take(struct defender *d, const struct ipaddr *addr, uint64_t now_ms)
{
        size_t slot = DEFEND_MAX;
        for (size_t i = 0; i < DEFEND_MAX; i++) {
                bool over = d->last_ms[i] == 0 || now_ms - d->last_ms[i] >= DEFEND_INTERVAL_MS;
                if (ipaddr_eq(&d->addr[i], addr) && !over)
                        return false;
                if (over && slot == DEFEND_MAX)
                        slot = i;
        }
        if (slot == DEFEND_MAX)
                return false;
        d->addr[slot] = *addr;
        d->last_ms[slot] = now_ms;
        return true;
}
