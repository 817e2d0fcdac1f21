/* l4lb/core/nat_rewrite.c - see nat_rewrite.h.  Sums are over 16-bit words as they lie in memory: RFC 1071 2(B). */
#include "lib/base.h"
#include "l4lb/core/nat_rewrite.h"
#include "l4lb/core/wire.h"

#define TCP_SUM 16 /* offset of the checksum */
#define UDP_SUM 6

static uint16_t raw_u16(const uint8_t *p)
{
        uint16_t v;
        memcpy(&v, p, sizeof v);
        return v;
}
static void put_raw16(uint8_t *p, uint16_t v) { memcpy(p, &v, sizeof v); }

static uint16_t fold(uint64_t s)
{
        s = (s & 0xffffffff) + (s >> 32);
        s = (s & 0xffff) + (s >> 16 & 0xffff) + (s >> 32);
        s = (s & 0xffff) + (s >> 16);
        return (uint16_t)((s & 0xffff) + (s >> 16));
}
/* n is even */
static uint64_t sum_of(const uint8_t *p, size_t n)
{
        uint64_t s = 0;
        for (; n >= 4; p += 4, n -= 4)
                s += raw_u32(p);
        return n ? s + raw_u16(p) : s;
}
/* RFC 1624 equation 3 */
static void sum_move(uint8_t *at, uint64_t removed, uint64_t added)
{
        uint32_t s = (uint16_t)~raw_u16(at);
        s += (uint16_t)~fold(removed);
        s += fold(added);
        put_raw16(at, (uint16_t)~fold(s));
}

static uint64_t tuple_addr_sum(const struct tuple *t)
{
        uint64_t s = 0;
        for (unsigned i = 1; i < (tuple_is_v4(t) ? 2 : 5); i++)
                s += (t->w[i] & 0xffffffff) + (t->w[i] >> 32);
        return s;
}
static uint32_t tuple_ports(const struct tuple *t) { return (uint32_t)(t->w[0] >> 32); }
static uint32_t turned(uint32_t ports) { return ports << 16 | ports >> 16; }
static uint64_t ports_sum(uint32_t ports) { return ports; }

/* The addresses of t, turned around or not, into a header. */
static void addrs4(const struct tuple *t, bool turn, uint8_t *src)
{
        uint64_t w = turn ? t->w[1] << 32 | t->w[1] >> 32 : t->w[1];
        memcpy(src, &w, 8);
}
static void addrs6(const struct tuple *t, bool turn, uint8_t *src)
{
        memcpy(src, &t->w[turn ? 3 : 1], 16);
        memcpy(src + 16, &t->w[turn ? 1 : 3], 16);
}

/* We end the client's way and begin the endpoint's: a packet that has reached us does not die of us, and does not live for ever. */
static uint8_t ttl_next(uint8_t ttl) { return (uint8_t)(ttl > 1 ? ttl - 1 : 1); }

/* The transport's ports and checksum; removed and added: sums of the addresses. */
static void transport(uint8_t *l4, uint8_t proto, uint32_t ports, uint64_t removed, uint64_t added)
{
        removed += ports_sum(raw_u32(l4));
        added += ports_sum(ports);
        memcpy(l4, &ports, 4);
        if (proto == PROTO_TCP) {
                sum_move(l4 + TCP_SUM, removed, added);
        } else if (raw_u16(l4 + UDP_SUM) != 0) {
                sum_move(l4 + UDP_SUM, removed, added);
                if (raw_u16(l4 + UDP_SUM) == 0)
                        put_raw16(l4 + UDP_SUM, 0xffff);
        }
}

/* Addresses and TTL of an IPv4 header. */
static void header4(uint8_t *ip, const struct tuple *to)
{
        uint64_t removed = sum_of(ip + 8, 2) + sum_of(ip + 12, 8);
        ip[8] = ttl_next(ip[8]);
        addrs4(to, true, ip + 12);
        sum_move(ip + 10, removed, sum_of(ip + 8, 2) + sum_of(ip + 12, 8));
}

static void same_family(struct pkt *p, const struct tuple *to)
{
        uint8_t *ip = p->p + p->l3, *l4 = p->p + p->l4;
        bool v4 = p->version == 4;
        uint64_t removed = v4 ? sum_of(ip + 12, 8) : sum_of(ip + 8, 32);
        if (v4) {
                header4(ip, to);
        } else {
                ip[7] = ttl_next(ip[7]);
                addrs6(to, true, ip + 8);
        }
        if (p->frag != PKT_FRAG_LATER)
                transport(l4, p->proto, turned(tuple_ports(to)), removed, tuple_addr_sum(to));
}

/* ---------------------------------------------------------------- between the families */

uint32_t nat_rewrite_len(const struct pkt *p, const struct tuple *to)
{
        if ((p->version == 4) == tuple_is_v4(to))
                return p->l3_len;
        return (uint32_t)p->l4_len + (tuple_is_v4(to) ? (uint32_t)IPV4_LEN : (uint32_t)IPV6_LEN);
}

static void write4(uint8_t *ip, const struct pkt *p, uint8_t tos, uint8_t ttl, const struct tuple *to)
{
        memset(ip, 0, IPV4_LEN);
        ip[0] = 0x45;
        ip[1] = tos;
        set_u16(ip + 2, (uint16_t)(IPV4_LEN + p->l4_len));
        set_u16(ip + 6, IPV4_DF);
        ip[8] = ttl;
        ip[9] = p->proto;
        addrs4(to, true, ip + 12);
        set_u16(ip + 10, cksum_fold(cksum_add(0, ip, IPV4_LEN)));
}

static void write6(uint8_t *ip, const struct pkt *p, uint8_t tos, uint8_t ttl, const struct tuple *to)
{
        memset(ip, 0, 8);
        ip[0] = (uint8_t)(0x60 | tos >> 4);
        ip[1] = (uint8_t)(tos << 4);
        set_u16(ip + 4, p->l4_len);
        ip[6] = p->proto;
        ip[7] = ttl;
        addrs6(to, true, ip + 8);
}

/* A UDP checksum is optional over IPv4 and mandatory over IPv6 (RFC 7915 4.5): made here when the packet is all there. */
static bool udp_sum_make(const struct pkt *p, uint8_t *ip, uint8_t *l4)
{
        if (p->l4_len > p->len - p->l4)
                return false;
        uint32_t sum = cksum_pseudo(ip + 8, ip + 24, 16, p->l4_len, PROTO_UDP);
        uint16_t c = cksum_fold(cksum_add(sum, l4, p->l4_len));
        set_u16(l4 + UDP_SUM, c ? c : 0xffff);
        return true;
}

static bool other_family(struct pkt *p, const struct tuple *to)
{
        bool to4 = tuple_is_v4(to);
        uint8_t *ip = p->p + p->l3, *l4 = p->p + p->l4;
        uint32_t want = ETH_LEN + (to4 ? IPV4_LEN : IPV6_LEN);
        int32_t grow = (int32_t)want - p->l4;
        if (p->frag != PKT_WHOLE || (grow > 0 && (uint32_t)grow > p->head))
                return false;
        bool no_sum = p->proto == PROTO_UDP && raw_u16(l4 + UDP_SUM) == 0;
        if (no_sum && !to4 && p->l4_len > p->len - p->l4)
                return false;
        uint8_t tos = (uint8_t)(p->version == 4 ? ip[1] : ip[0] << 4 | ip[1] >> 4);
        uint8_t ttl = ttl_next(p->version == 4 ? ip[8] : ip[7]);
        uint64_t removed = p->version == 4 ? sum_of(ip + 12, 8) : sum_of(ip + 8, 32);
        transport(l4, p->proto, turned(tuple_ports(to)), removed, tuple_addr_sum(to));
        uint8_t *start = l4 - want;
        set_u16(start + 12, to4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
        (to4 ? write4 : write6)(start + ETH_LEN, p, tos, ttl, to);
        p->p = start;
        p->len = (uint32_t)((int32_t)p->len + grow);
        p->wire_len = (uint32_t)((int32_t)p->wire_len + grow);
        p->cap = (uint32_t)((int32_t)p->cap + grow);
        p->head = (uint32_t)((int32_t)p->head - grow);
        p->l4 = (uint16_t)want;
        p->l3_len = (uint16_t)(want - ETH_LEN + p->l4_len);
        p->version = to4 ? 4 : 6;
        return !no_sum || to4 || udp_sum_make(p, start + ETH_LEN, l4);
}

bool nat_rewrite(struct pkt *p, const struct tuple *to)
{
        if ((p->version == 4) != tuple_is_v4(to))
                return other_family(p, to);
        same_family(p, to);
        return true;
}

/* ---------------------------------------------------------------- ICMP errors */

bool nat_rewrite_error(struct pkt *p, const struct tuple *to)
{
        bool v4 = p->version == 4;
        uint8_t *ip = p->p + p->l3, *icmp = p->p + p->l4, *in = icmp + ICMP_LEN;
        if (v4 != tuple_is_v4(to) || (!v4 && in[6] != p->proto))
                return false;
        uint32_t header = v4 ? (in[0] & 15u) * 4u : IPV6_LEN, left = MIN((uint32_t)p->l4_len, p->len - p->l4) - ICMP_LEN - header;
        uint32_t quoted = header + (left >= TCP_SUM + 2 ? TCP_SUM + 2u : 8u); /* whatever of it may change; icmp_look has seen 8 */
        uint64_t before = sum_of(in, quoted), outer = v4 ? 0 : sum_of(ip + 8, 32);
        uint64_t removed = v4 ? sum_of(in + 12, 8) : sum_of(in + 8, 32);
        uint8_t *l4 = in + header;
        uint32_t ports = tuple_ports(to);
        if (v4) {
                addrs4(to, false, in + 12);
                sum_move(in + 10, removed, sum_of(in + 12, 8));
        } else {
                addrs6(to, false, in + 8);
        }
        if (p->proto == PROTO_UDP || left >= TCP_SUM + 2)
                transport(l4, p->proto, ports, removed, tuple_addr_sum(to));
        else
                memcpy(l4, &ports, 4);
        if (v4) {
                header4(ip, to);
        } else {
                ip[7] = ttl_next(ip[7]);
                addrs6(to, true, ip + 8);
        }
        sum_move(icmp + 2, before + outer, sum_of(in, quoted) + (v4 ? 0 : sum_of(ip + 8, 32)));
        return true;
}
