/* l4lb/core/reply.c - see reply.h. */
#include "lib/base.h"
#include "l4lb/core/kernel.h"
#include "l4lb/core/reply.h"
#include "l4lb/core/wire.h"

static bool budget(struct tokens *b, uint64_t now_ms, struct pkt *p)
{
        if (tokens_take(b, now_ms))
                return true;
        pkt_done(p, DROP_RATE_LIMITED);
        return false;
}

/* To the control thread, which gives a copy to the kernel where there is a kernel port.  Without budget for that, the kernel
 * alone gets it: we ask again, and a flood must not make this host deaf. */
static void punt_neigh(struct worker *w, uint64_t now_ms, struct pkt *p)
{
        if (tokens_take(&w->punt, now_ms))
                pkt_done(p, PUNT_NEIGH);
        else
                kernel_take(w, now_ms, p, DROP_RATE_LIMITED);
}

static void send_back(const struct worker *w, struct pkt *p, enum l4_verdict v)
{
        memcpy(p->p, p->p + 6, 6);
        memcpy(p->p + 6, w->net->ports[p->in_port].mac, 6);
        p->out_port = p->in_port;
        pkt_done(p, v);
}

/* Somebody speaks with one of our addresses: never learnt, never answered; the control thread says so and defends it.
 * Our own frame, reflected, claims nothing. */
static void claimed(struct worker *w, uint64_t now_ms, struct pkt *p, const uint8_t mac[6], enum l4_verdict otherwise)
{
        bool ours = memcmp(mac, w->net->ports[p->in_port].mac, 6) == 0;
        pkt_done(p, !ours && tokens_take(&w->punt, now_ms) ? PUNT_CONFLICT : otherwise);
}

/* ---------------------------------------------------------------- ARP */

static bool answers4(const struct worker *w, const struct tables *t, const struct pkt *p, const uint8_t *addr)
{
        if (net_owner4(w->net, addr) == p->in_port)
                return true;
        return t && w->net->ports[p->in_port].role == PORT_UPLINK && tables_vip4(t, addr) != VIP_NONE;
}

void reply_arp(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p)
{
        static const uint8_t head[6] = { 0, 1, 8, 0, 6, 4 };
        uint8_t *a = p->p + ETH_LEN, *sha = a + 8, *spa = a + 14, *tha = a + 18, *tpa = a + 24;
        if (p->len < ETH_LEN + ARP_LEN) {
                pkt_done(p, DROP_SHORT);
                return;
        }
        unsigned op = get_u16(a + 6);
        if (memcmp(a, head, sizeof head) != 0 || (op != 1 && op != 2) || sha[0] & 1 || spa[0] >= 224 || spa[0] == 127) {
                pkt_done(p, DROP_BAD_ARP);
                return;
        }
        if (answers4(w, t, p, spa)) {
                claimed(w, now_ms, p, sha, DROP_BAD_ARP);
                return;
        }
        bool gratuitous = raw_u32(spa) == raw_u32(tpa);
        if (op == 2 || gratuitous) {
                if (raw_u32(spa) == 0)
                        pkt_done(p, DROP_BAD_ARP);
                else
                        punt_neigh(w, now_ms, p);
                return;
        }
        if (!answers4(w, t, p, tpa)) {
                kernel_take(w, now_ms, p, DROP_ARP_OTHER);
                return;
        }
        if (!budget(&w->link, now_ms, p))
                return;
        neigh_seen(w->neigh, p->in_port, 4, spa, sha);
        uint8_t target[4];
        memcpy(target, tpa, 4);
        set_u16(a + 6, 2);
        memcpy(tha, sha, 6);
        memcpy(tpa, spa, 4); /* sender address 0 is an address probe (RFC 5227 2.1.1): answered like any other */
        memcpy(sha, w->net->ports[p->in_port].mac, 6);
        memcpy(spa, target, 4);
        send_back(w, p, REPLY_ARP);
}

/* ---------------------------------------------------------------- neighbour discovery */

static bool answers6(const struct worker *w, const struct tables *t, const struct pkt *p, const uint8_t *addr)
{
        if (net_owner6(w->net, addr, p->in_port) == p->in_port)
                return true;
        return t && w->net->ports[p->in_port].role == PORT_UPLINK && tables_vip6(t, addr) != VIP_NONE;
}

/* RFC 4861 7.1.1 and 7.1.2: what both messages must satisfy.  No extension headers (RFC 6980 forbids fragments; the rest
 * nobody sends), all options of non-zero length, checksum right. */
static bool nd_valid(const struct pkt *p, bool *ret_source_ll)
{
        const uint8_t *ip = p->p + ETH_LEN, *nd = p->p + p->l4;
        if (ip[7] != 255 || p->l4 != ETH_LEN + IPV6_LEN || p->l4_len < ND_NS_LEN ||
            (uint32_t)p->l4 + p->l4_len > p->len || nd[1] != 0 || nd[8] == 0xff)
                return false;
        *ret_source_ll = false;
        for (unsigned o = ND_NS_LEN; o < p->l4_len; o += nd[o + 1] * 8u) {
                if (o + 8 > p->l4_len || nd[o + 1] == 0 || o + nd[o + 1] * 8u > p->l4_len)
                        return false;
                *ret_source_ll |= nd[o] == ND_OPT_SOURCE_LL;
        }
        uint32_t sum = cksum_pseudo(ip + 8, ip + 24, 16, p->l4_len, PROTO_ICMPV6);
        return cksum_fold(cksum_add(sum, nd, p->l4_len)) == 0;
}

/* Turns the solicitation into our advertisement; it may be 8 bytes longer. */
static void write_na(const struct worker *w, struct pkt *p, bool dad)
{
        static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 1 }, all_nodes_mac[6] = { 0x33, 0x33, 0, 0, 0, 1 };
        const struct net_port *port = &w->net->ports[p->in_port];
        uint8_t *ip = p->p + ETH_LEN, *na = ip + IPV6_LEN, target[16], peer[16];
        memcpy(target, na + 8, 16);
        memcpy(peer, dad ? all_nodes : ip + 8, 16);
        ip6_write(ip, ND_NS_LEN + 8, PROTO_ICMPV6, 255, target, peer);
        memset(na, 0, 8);
        na[0] = ICMPV6_NA;
        na[4] = (uint8_t)(ND_OVERRIDE | (dad ? 0 : ND_SOLICITED) | (port->role == PORT_SHARD ? ND_ROUTER : 0));
        na[24] = ND_OPT_TARGET_LL;
        na[25] = 1;
        memcpy(na + 26, port->mac, 6);
        uint32_t sum = cksum_pseudo(ip + 8, ip + 24, 16, ND_NS_LEN + 8, PROTO_ICMPV6);
        set_u16(na + 2, cksum_fold(cksum_add(sum, na, ND_NS_LEN + 8)));
        p->len = p->wire_len = ETH_LEN + IPV6_LEN + ND_NS_LEN + 8;
        send_back(w, p, REPLY_ND);
        if (dad)
                memcpy(p->p, all_nodes_mac, 6);
}

static void solicited(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p, bool source_ll)
{
        const uint8_t *ip = p->p + ETH_LEN, *target = p->p + p->l4 + 8, *dst = ip + 24;
        bool dad = ip6_is_zero(ip + 8);
        /* RFC 4861 7.1.1: from the unspecified address only to solicited-node groups and without a link-layer option. */
        if ((dad && (!ip6_is_solicited_node(dst) || source_ll)) ||
            (dst[0] == 0xff && (!ip6_is_solicited_node(dst) || memcmp(dst + 13, target + 13, 3) != 0))) {
                pkt_done(p, DROP_BAD_ND);
                return;
        }
        if (!dad && answers6(w, t, p, ip + 8)) {
                claimed(w, now_ms, p, p->p + 6, DROP_ND_OTHER);
                return;
        }
        if (!answers6(w, t, p, target)) {
                kernel_take(w, now_ms, p, DROP_ND_OTHER);
                return;
        }
        if (p->cap < ETH_LEN + IPV6_LEN + ND_NS_LEN + 8) {
                pkt_done(p, DROP_SHORT); /* no room for the answer: io gives every frame enough */
                return;
        }
        if (!budget(&w->link, now_ms, p))
                return;
        if (!dad && source_ll)
                neigh_seen(w->neigh, p->in_port, 6, ip + 8, p->p + 6);
        write_na(w, p, dad);
}

void reply_nd(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p)
{
        const uint8_t *ip = p->p + ETH_LEN, *nd = p->p + p->l4;
        bool source_ll;
        if (nd[0] != ICMPV6_NS && nd[0] != ICMPV6_NA) {
                /* router solicitations and advertisements, redirects: our routes are configured */
                kernel_take(w, now_ms, p, DROP_ND_OTHER);
                return;
        }
        if (p->frag != PKT_WHOLE || p->wire_len != p->len || !nd_valid(p, &source_ll)) {
                pkt_done(p, DROP_BAD_ND);
                return;
        }
        if (nd[0] == ICMPV6_NS) {
                solicited(w, t, now_ms, p, source_ll);
                return;
        }
        if (ip6_is_zero(ip + 8) || (ip[24] == 0xff && nd[4] & ND_SOLICITED)) {
                pkt_done(p, DROP_BAD_ND);
                return;
        }
        if (answers6(w, t, p, nd + 8))
                claimed(w, now_ms, p, p->p + 6, DROP_ND_OTHER);
        else
                punt_neigh(w, now_ms, p);
}

/* ---------------------------------------------------------------- echo */

/* Only the type changes in the ICMP message, so its checksum moves by the difference with the carry taken around (RFC 1624):
 * a payload that arrived broken stays broken.  Swapping addresses changes no sum. */
void reply_echo(struct worker *w, uint64_t now_ms, struct pkt *p)
{
        uint8_t *ip = p->p + ETH_LEN, *icmp = p->p + p->l4, swap[16];
        if (icmp[1] != 0) {
                pkt_done(p, DROP_ICMP_TYPE);
                return;
        }
        if (p->version == 6 && p->l4 != ETH_LEN + IPV6_LEN) {
                pkt_done(p, DROP_EXTENSION_HEADERS); /* options were meant for our stack, and we have none */
                return;
        }
        if (!budget(&w->echo, now_ms, p))
                return;
        uint16_t from = get_u16(icmp);
        icmp[0] = p->version == 4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY;
        set_u16(icmp + 2, cksum_update(get_u16(icmp + 2), from, get_u16(icmp)));
        size_t n = p->version == 4 ? 4 : 16;
        uint8_t *src = p->version == 4 ? ip + 12 : ip + 8, *dst = src + n;
        memcpy(swap, src, n);
        memcpy(src, dst, n);
        memcpy(dst, swap, n);
        if (p->version == 4) {
                uint16_t ttl_proto = get_u16(ip + 8);
                ip[8] = REPLY_TTL;
                set_u16(ip + 10, cksum_update(get_u16(ip + 10), ttl_proto, get_u16(ip + 8)));
        } else {
                ip[7] = REPLY_TTL;
        }
        send_back(w, p, REPLY_ECHO);
}
