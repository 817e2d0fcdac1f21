/* l4lb/core/refuse.c - see refuse.h. */
#include "lib/base.h"
#include "l4lb/core/refuse.h"
#include "l4lb/core/route.h"
#include "l4lb/core/wire.h"

#define ERROR4_MAX 576  /* RFC 1812 4.3.2.3: as much of the original as fits 576 bytes */
#define ERROR6_MAX 1280 /* RFC 4443 2.4 (c) */
#define ERROR_MIN_QUOTE 8 /* of the transport: what the receiver finds the socket by */

/* What came in a tunnel did not come from the station that sent the frame: its sender is found by the routes. */
static bool sender_find(const struct worker *w, struct pkt *p)
{
        const uint8_t *ip = p->p + ETH_LEN;
        if (!(p->rx_flags & PKT_DECAPSULATED))
                return true;
        p->adjacency = route_known(w, p->version, p->version == 4 ? ip + 12 : ip + 8);
        return p->adjacency != 0;
}

/* Back to where it came from, with this many bytes from the IP header on. */
static void send_back(const struct worker *w, struct pkt *p, uint32_t l3_bytes, enum l4_verdict v)
{
        bool routed = p->rx_flags & PKT_DECAPSULATED;
        p->out_port = routed ? adjacency_port(p->adjacency) : p->in_port;
        memcpy(p->p, routed ? (const uint8_t *)&p->adjacency : p->p + 6, 6);
        memcpy(p->p + 6, w->net->ports[p->out_port].mac, 6);
        p->len = p->wire_len = ETH_LEN + l3_bytes;
        pkt_done(p, v);
}

/* src and dst may lie in the header that is written. */
static void ip4_write(uint8_t *ip, uint16_t total, uint8_t proto, const uint8_t src[4], const uint8_t dst[4])
{
        uint8_t a[8];
        memcpy(a, src, 4);
        memcpy(a + 4, dst, 4);
        memset(ip, 0, IPV4_LEN);
        ip[0] = 0x45;
        set_u16(ip + 2, total);
        set_u16(ip + 6, proto == PROTO_TCP ? IPV4_DF : 0);
        ip[8] = REPLY_TTL;
        ip[9] = proto;
        memcpy(ip + 12, a, 8);
        set_u16(ip + 10, cksum_fold(cksum_add(0, ip, IPV4_LEN)));
}

/* ---------------------------------------------------------------- TCP */

/* RFC 9293 3.10.7.1, CLOSED: with ACK, <SEQ=SEG.ACK><CTL=RST>; without, <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>. */
static void reset(struct worker *w, struct pkt *p)
{
        uint8_t *ip = p->p + ETH_LEN, old[TCP_LEN];
        bool v4 = p->version == 4;
        memcpy(old, p->p + p->l4, sizeof old);
        uint32_t data = (uint32_t)p->l4_len - (uint32_t)(old[12] >> 4) * 4;
        uint32_t seg_len = data + (old[13] & TCP_SYN ? 1 : 0) + (old[13] & TCP_FIN ? 1 : 0);
        uint8_t *tcp = ip + (v4 ? IPV4_LEN : IPV6_LEN), addr[16];
        if (v4) {
                ip4_write(ip, IPV4_LEN + TCP_LEN, PROTO_TCP, ip + 16, ip + 12);
        } else {
                memcpy(addr, ip + 8, 16);
                ip6_write(ip, TCP_LEN, PROTO_TCP, REPLY_TTL, ip + 24, ip + 24);
                memcpy(ip + 24, addr, 16);
        }
        memset(tcp, 0, TCP_LEN);
        memcpy(tcp, old + 2, 2);
        memcpy(tcp + 2, old, 2);
        if (old[13] & TCP_ACK)
                memcpy(tcp + 4, old + 8, 4);
        else
                set_u32(tcp + 8, get_u32(old + 4) + seg_len);
        tcp[12] = TCP_LEN / 4 << 4;
        tcp[13] = (uint8_t)(old[13] & TCP_ACK ? TCP_RST : TCP_RST | TCP_ACK);
        size_t n = v4 ? 4 : 16;
        const uint8_t *a = v4 ? ip + 12 : ip + 8;
        uint32_t sum = cksum_pseudo(a, a + n, n, TCP_LEN, PROTO_TCP);
        set_u16(tcp + 16, cksum_fold(cksum_add(sum, tcp, TCP_LEN)));
        send_back(w, p, (uint32_t)(tcp - ip) + TCP_LEN, REPLY_RST);
}

/* ---------------------------------------------------------------- ICMP errors */

/* May an ICMP error be about it?  Not about errors, later fragments, or what came to a group (parse has refused those). */
static bool may_err(const struct pkt *p)
{
        if (p->frag == PKT_FRAG_LATER)
                return false;
        if (p->proto == PROTO_ICMP && p->version == 4)
                return p->p[p->l4] == ICMP_ECHO || p->p[p->l4] == ICMP_ECHO_REPLY;
        if (p->proto == PROTO_ICMPV6 && p->version == 6)
                return p->p[p->l4] >= 128;
        return true;
}

/* Turns the packet into an ICMP error about itself, from src (NULL: from where it went to).  False: no room. */
static bool error_make(struct pkt *p, uint8_t type, uint8_t code, uint32_t rest, const uint8_t *src)
{
        bool v4 = p->version == 4;
        uint8_t *ip = p->p + ETH_LEN, from[16], to[16];
        uint32_t head = (v4 ? IPV4_LEN : IPV6_LEN) + ICMP_LEN, quote = MIN((uint32_t)p->l3_len, p->len - ETH_LEN);
        quote = MIN(quote, (v4 ? ERROR4_MAX : ERROR6_MAX) - head);
        if (p->cap < ETH_LEN + head)
                return false;
        quote = MIN(quote, p->cap - ETH_LEN - head);
        if (quote < (uint32_t)p->l4 - ETH_LEN + ERROR_MIN_QUOTE)
                return false;
        size_t n = v4 ? 4 : 16, at = v4 ? 12 : 8;
        memcpy(from, src ? src : ip + at + n, n);
        memcpy(to, ip + at, n);
        memmove(ip + head, ip, quote);
        uint8_t *icmp = ip + head - ICMP_LEN;
        uint32_t sum = 0;
        if (v4) {
                ip4_write(ip, (uint16_t)(head + quote), PROTO_ICMP, from, to);
        } else {
                ip6_write(ip, (uint16_t)(ICMP_LEN + quote), PROTO_ICMPV6, REPLY_TTL, from, to);
                sum = cksum_pseudo(from, to, 16, ICMP_LEN + quote, PROTO_ICMPV6);
        }
        icmp[0] = type;
        icmp[1] = code;
        set_u16(icmp + 2, 0);
        set_u32(icmp + 4, rest);
        set_u16(icmp + 2, cksum_fold(cksum_add(sum, icmp, ICMP_LEN + quote)));
        p->l3_len = (uint16_t)(head + quote);
        return true;
}

/* ---------------------------------------------------------------- what others call */

void refuse_closed(struct worker *w, uint64_t now_ms, struct pkt *p, enum l4_verdict otherwise)
{
        bool v4 = p->version == 4, tcp = p->kind == PKT_TCP;
        if ((!tcp && p->kind != PKT_UDP) || p->tcp_flags & TCP_RST || p->frag != PKT_WHOLE ||
            !tokens_take(&w->refuse, now_ms) || !sender_find(w, p))
                pkt_done(p, otherwise);
        else if (tcp)
                reset(w, p);
        else if (error_make(p, v4 ? ICMP_UNREACHABLE : ICMPV6_UNREACHABLE,
                            v4 ? ICMP_UNREACHABLE_PORT : ICMPV6_UNREACHABLE_PORT, 0, NULL))
                send_back(w, p, p->l3_len, REPLY_UNREACHABLE);
        else
                pkt_done(p, otherwise);
}

void refuse_too_big(struct worker *w, uint64_t now_ms, struct pkt *p, uint16_t mtu)
{
        bool v4 = p->version == 4;
        const struct net_port *in = &w->net->ports[p->in_port];
        const uint8_t *own = v4 ? in->own4 : in->own6, *src = p->verdict == FORWARD_RETURN ? own : NULL;
        bool known = p->verdict != FORWARD_RETURN || (v4 ? raw_u32(own) != 0 : !ip6_is_zero(own));
        if (known && may_err(p) && tokens_take(&w->refuse, now_ms) && sender_find(w, p) &&
            error_make(p, v4 ? ICMP_UNREACHABLE : ICMPV6_TOO_BIG, v4 ? ICMP_UNREACHABLE_FRAG_NEEDED : 0, mtu, src))
                send_back(w, p, p->l3_len, REPLY_TOO_BIG);
        else
                pkt_done(p, DROP_MTU);
}

void refuse_expired(struct worker *w, uint64_t now_ms, struct pkt *p)
{
        bool v4 = p->version == 4;
        const struct net_port *in = &w->net->ports[p->in_port];
        const uint8_t *own = v4 ? in->own4 : in->own6;
        bool known = v4 ? raw_u32(own) != 0 : !ip6_is_zero(own);
        if (known && may_err(p) && tokens_take(&w->refuse, now_ms) && sender_find(w, p) &&
            error_make(p, v4 ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEEDED, 0, 0, own))
                send_back(w, p, p->l3_len, REPLY_EXPIRED);
        else
                pkt_done(p, DROP_TTL);
}
