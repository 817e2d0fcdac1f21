/* l4lb/core/icmp.c - see icmp.h.  RFC 792, RFC 4443; minimum MTUs: RFC 791 (68), RFC 8200 5 (1280). */
#include "lib/base.h"
#include "l4lb/core/icmp.h"
#include "l4lb/core/wire.h"

static enum icmp_what refuse(struct pkt *p, enum l4_verdict v)
{
        pkt_done(p, v);
        return ICMP_WHAT_DROP;
}

static uint32_t ports_swapped(const uint8_t *l4) /* as tuple_set wants them: source, destination on the wire */
{
        uint8_t b[4] = { l4[2], l4[3], l4[0], l4[1] };
        return raw_u32(b);
}

static enum icmp_what quoted(struct pkt *p, uint8_t proto, const uint8_t *l4, uint16_t *ret_port)
{
        if (proto != PROTO_TCP && proto != PROTO_UDP)
                return refuse(p, DROP_BAD_ICMP);
        *ret_port = get_u16(l4);
        if (*ret_port == 0 || get_u16(l4 + 2) == 0)
                return refuse(p, DROP_BAD_ICMP);
        p->proto = proto;
        return ICMP_WHAT_ERROR;
}

static enum icmp_what error4(struct pkt *p, uint16_t *ret_port)
{
        const uint8_t *outer = p->p + p->l3, *in = p->p + p->l4 + ICMP_LEN;
        uint32_t left = MIN((uint32_t)p->l4_len, p->len - p->l4) - ICMP_LEN;
        unsigned header = left >= IPV4_LEN ? (in[0] & 15u) * 4u : 0;
        if (left < IPV4_LEN || in[0] >> 4 != 4 || header < IPV4_LEN || left < header + 8 ||
            (get_u16(in + 6) & IPV4_OFFSET) != 0 || raw_u32(in + 12) != raw_u32(outer + 16))
                return refuse(p, DROP_BAD_ICMP);
        const uint8_t *icmp = p->p + p->l4;
        if (icmp[0] == ICMP_UNREACHABLE && icmp[1] == ICMP_UNREACHABLE_FRAG_NEEDED && get_u16(icmp + 6) < 68)
                return refuse(p, DROP_ICMP_MTU);
        tuple_set4(&p->key, in[9], in + 16, in + 12, ports_swapped(in + header));
        return quoted(p, in[9], in + header, ret_port);
}

static enum icmp_what error6(struct pkt *p, uint16_t *ret_port)
{
        const uint8_t *outer = p->p + p->l3, *in = p->p + p->l4 + ICMP_LEN;
        uint32_t left = MIN((uint32_t)p->l4_len, p->len - p->l4) - ICMP_LEN;
        if (left < IPV6_LEN + 8 || in[0] >> 4 != 6 || memcmp(in + 8, outer + 24, 16) != 0)
                return refuse(p, DROP_BAD_ICMP);
        const uint8_t *icmp = p->p + p->l4, *l4 = in + IPV6_LEN;
        if (icmp[0] == ICMPV6_TOO_BIG && get_u32(icmp + 4) < 1280)
                return refuse(p, DROP_ICMP_MTU);
        uint8_t proto = in[6];
        if (proto == PROTO_FRAGMENT) { /* our shard's packet was fragmented: the first fragment still names its ports */
                if (left < IPV6_LEN + 16 || (get_u16(l4 + 2) & 0xfff8) != 0)
                        return refuse(p, DROP_BAD_ICMP);
                proto = l4[0];
                l4 += 8;
        }
        tuple_set6(&p->key, proto, in + 24, in + 8, ports_swapped(l4));
        return quoted(p, proto, l4, ret_port);
}

enum icmp_what icmp_look(struct pkt *p, uint16_t *ret_port)
{
        if (p->frag != PKT_WHOLE)
                return refuse(p, DROP_ICMP_FRAGMENT);
        uint8_t type = p->p[p->l4];
        if (p->version == 4) {
                if (type == ICMP_ECHO)
                        return ICMP_WHAT_ECHO;
                if (type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER)
                        return error4(p, ret_port);
        } else {
                if (type == ICMPV6_ECHO)
                        return ICMP_WHAT_ECHO;
                if (type >= ICMPV6_UNREACHABLE && type <= ICMPV6_PARAMETER)
                        return error6(p, ret_port);
        }
        return refuse(p, DROP_ICMP_TYPE);
}
