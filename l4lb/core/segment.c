/* l4lb/core/segment.c - see segment.h. */
#include "lib/base.h"
#include "l4lb/core/segment.h"
#include "l4lb/core/wire.h"

void segment_write(const struct segment *s, struct frame_out *ret)
{
        bool v4 = s->dst->af == 4;
        memset(ret, 0, sizeof *ret);
        memcpy(ret->b, s->dst_mac, 6);
        memcpy(ret->b + 6, s->src_mac, 6);
        set_u16(ret->b + 12, v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
        uint8_t *ip = ret->b + ETH_LEN, *tcp = ip + (v4 ? IPV4_LEN : IPV6_LEN);
        if (v4) {
                ip[0] = 0x45;
                set_u16(ip + 2, IPV4_LEN + TCP_LEN);
                set_u16(ip + 6, IPV4_DF);
                ip[8] = REPLY_TTL;
                ip[9] = PROTO_TCP;
                memcpy(ip + 12, s->src->b, 4);
                memcpy(ip + 16, s->dst->b, 4);
                set_u16(ip + 10, cksum_fold(cksum_add(0, ip, IPV4_LEN)));
        } else {
                ip6_write(ip, TCP_LEN, PROTO_TCP, REPLY_TTL, s->src->b, s->dst->b);
        }
        set_u16(tcp, s->sport);
        set_u16(tcp + 2, s->dport);
        set_u32(tcp + 4, s->seq);
        tcp[12] = TCP_LEN / 4 << 4;
        tcp[13] = s->flags;
        set_u16(tcp + 14, s->window);
        uint32_t sum = cksum_pseudo(s->src->b, s->dst->b, ipaddr_len(s->dst), TCP_LEN, PROTO_TCP);
        set_u16(tcp + 16, cksum_fold(cksum_add(sum, tcp, TCP_LEN)));
        ret->len = (uint16_t)MAX((size_t)(tcp + TCP_LEN - ret->b), (size_t)ETH_MIN_FRAME);
}
