/* l4lb/core/tunnel.c - see tunnel.h. */
#include "lib/base.h"
#include <assert.h>
#include "l4lb/core/pipeline.h"
#include "l4lb/core/refuse.h"
#include "l4lb/core/wire.h"

#define ENTROPY_PORTS 0xc000u /* 49152..65535: 14 bits of the flow's hash */
#define MTU6_MIN 1280         /* RFC 8200 5: no IPv6 host is told less */

static_assert(TUNNEL_MAX_BYTES == IPV6_LEN + UDP_LEN + GUE_LEN, "the longest");

bool tunnel_eq(const struct tunnel *a, const struct tunnel *b)
{
        return a->af == b->af && a->gue == b->gue && (!a->gue || a->port == b->port || !a->port || !b->port) &&
               memcmp(a->src, b->src, 16) == 0 && memcmp(a->dst, b->dst, 16) == 0;
}

void tunnel_write(const struct tunnel *t, uint8_t *ip, uint32_t inner_bytes, uint32_t entropy)
{
        const uint8_t *in = ip + tunnel_bytes(t);
        bool v4 = in[0] >> 4 == 4;
        uint8_t proto = v4 ? PROTO_IPIP : PROTO_IPV6, tos = (uint8_t)(v4 ? in[1] : in[0] << 4 | in[1] >> 4);
        uint32_t bytes = inner_bytes + (t->gue ? UDP_LEN + GUE_LEN : 0);
        if (t->af == 4) {
                memset(ip, 0, IPV4_LEN);
                ip[0] = 0x45;
                ip[1] = tos;
                set_u16(ip + 2, (uint16_t)(IPV4_LEN + bytes));
                set_u16(ip + 6, IPV4_DF);
                ip[8] = REPLY_TTL;
                ip[9] = t->gue ? PROTO_UDP : proto;
                memcpy(ip + 12, t->src, 4);
                memcpy(ip + 16, t->dst, 4);
                set_u16(ip + 10, cksum_fold(cksum_add(0, ip, IPV4_LEN)));
                ip += IPV4_LEN;
        } else {
                ip6_write(ip, (uint16_t)bytes, t->gue ? PROTO_UDP : proto, REPLY_TTL, t->src, t->dst);
                set_u32(ip, UINT32_C(6) << 28 | (uint32_t)tos << 20 | (entropy & 0xfffff)); /* flow label: RFC 6438 */
                ip += IPV6_LEN;
        }
        if (!t->gue)
                return;
        set_u16(ip, (uint16_t)(ENTROPY_PORTS | (entropy & 0x3fff)));
        set_u16(ip + 2, t->port);
        set_u16(ip + 4, (uint16_t)bytes);
        set_u16(ip + 6, 0);
        ip[8] = 0;
        ip[9] = proto;
        set_u16(ip + 10, 0);
}

/* A host of IPv6 may ignore less than 1280: what it must be able to send and the tunnel cannot take is lost, and counted. */
static void too_big(struct worker *w, uint64_t now_ms, struct pkt *p, uint32_t fits)
{
        if (p->version == 6 && fits < MTU6_MIN) {
                if (p->l3_len <= MTU6_MIN) {
                        pkt_done(p, DROP_MTU);
                        return;
                }
                fits = MTU6_MIN;
        }
        refuse_too_big(w, now_ms, p, (uint16_t)fits);
}

bool tunnel_wrap(struct worker *w, uint64_t now_ms, struct pkt *p)
{
        const struct tunnel *t = &w->backends->targets[p->backend].tunnel;
        uint32_t extra = tunnel_bytes(t), mtu = w->net->ports[adjacency_port(p->adjacency)].mtu, learnt = backend_mtu(w->backends, p->backend);
        if (p->rx_flags & PKT_DECAPSULATED) {
                pkt_done(p, DROP_TUNNEL_INNER);
                return false;
        }
        if (learnt)
                mtu = MIN(mtu, learnt);
        if (p->l3_len + extra > mtu) {
                too_big(w, now_ms, p, mtu - extra);
                return false;
        }
        if (extra > p->head) {
                pkt_done(p, DROP_TUNNEL_ROOM);
                return false;
        }
        if (p->len == p->wire_len) /* padding behind the packet is not sent on */
                p->len = p->wire_len = ETH_LEN + p->l3_len;
        p->p -= extra;
        p->head -= extra;
        p->len += extra;
        p->wire_len += extra;
        p->cap += extra;
        set_u16(p->p + 12, t->af == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
        tunnel_write(t, p->p + ETH_LEN, p->l3_len, (uint32_t)(p->hash >> 20));
        return true;
}

/* in: the quoted packet, what there is of it. */
static bool quoted4(const uint8_t *in, size_t left, struct tunnel *t)
{
        size_t header = left >= IPV4_LEN ? (in[0] & 15u) * 4u : 0;
        if (header < IPV4_LEN || left < header + 8 || in[0] >> 4 != 4)
                return false;
        t->af = 4;
        memcpy(t->src, in + 12, 4);
        memcpy(t->dst, in + 16, 4);
        t->gue = in[9] == PROTO_UDP;
        t->port = t->gue ? get_u16(in + header + 2) : 0;
        return t->gue || in[9] == PROTO_IPIP || in[9] == PROTO_IPV6;
}

static bool quoted6(const uint8_t *in, size_t left, struct tunnel *t)
{
        if (left < IPV6_LEN + 8 || in[0] >> 4 != 6)
                return false;
        t->af = 6;
        memcpy(t->src, in + 8, 16);
        memcpy(t->dst, in + 24, 16);
        t->gue = in[6] == PROTO_UDP;
        t->port = t->gue ? get_u16(in + IPV6_LEN + 2) : 0;
        return t->gue || in[6] == PROTO_IPIP || in[6] == PROTO_IPV6;
}

bool tunnel_quoted(const uint8_t *frame, size_t len, struct tunnel *ret, uint16_t *ret_mtu)
{
        *ret = (struct tunnel){ 0 };
        if (len < ETH_LEN + IPV4_LEN)
                return false;
        const uint8_t *ip = frame + ETH_LEN;
        bool v4 = get_u16(frame + 12) == ETHERTYPE_IPV4;
        size_t header = v4 ? (ip[0] & 15u) * 4u : IPV6_LEN;
        if (len < ETH_LEN + header + ICMP_LEN || (!v4 && ip[6] != PROTO_ICMPV6) || (v4 && ip[9] != PROTO_ICMP))
                return false;
        const uint8_t *icmp = ip + header;
        bool big = v4 ? icmp[0] == ICMP_UNREACHABLE && icmp[1] == ICMP_UNREACHABLE_FRAG_NEEDED : icmp[0] == ICMPV6_TOO_BIG;
        if (!big)
                return false;
        uint32_t mtu = v4 ? get_u16(icmp + 6) : get_u32(icmp + 4);
        if (mtu < (v4 ? 68 : MTU6_MIN)) /* RFC 791, RFC 8200 5: no link has that */
                return false;
        *ret_mtu = (uint16_t)MIN(mtu, (uint32_t)UINT16_MAX);
        size_t left = len - ETH_LEN - header - ICMP_LEN;
        return (v4 ? quoted4 : quoted6)(icmp + ICMP_LEN, left, ret);
}
