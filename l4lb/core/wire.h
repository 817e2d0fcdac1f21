/* l4lb/core/wire.h - offsets, numbers and checksums of Ethernet, ARP, IP, TCP, UDP and ICMP.
 * Layer: l4lb/core, pure, header only.
 * Loads and stores are byte-wise or by memcpy: frames have no alignment.  Callers have checked the bounds. */
#pragma once
#include "lib/base.h"

#define ETH_LEN 14
#define VLAN_LEN 4
#define ETH_MIN_FRAME 60 /* without FCS */
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define ETHERTYPE_QINQ_OLD 0x9100
#define ETHERTYPE_IPV6 0x86dd

#define IPV4_LEN 20
#define IPV4_DF 0x4000
#define IPV4_MF 0x2000
#define IPV4_OFFSET 0x1fff
#define IPV6_LEN 40
#define ARP_LEN 28
#define TCP_LEN 20
#define UDP_LEN 8
#define ICMP_LEN 8
#define ND_NS_LEN 24 /* neighbour solicitation and advertisement without options */
#define REPLY_TTL 64

#define PROTO_HOP_BY_HOP 0
#define PROTO_ICMP 1
#define PROTO_IPIP 4
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_IPV6 41
#define PROTO_ROUTING 43
#define PROTO_FRAGMENT 44
#define PROTO_ICMPV6 58
#define PROTO_NONE 59
#define PROTO_DESTINATION 60

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20

#define ICMP_ECHO_REPLY 0
#define ICMP_UNREACHABLE 3
#define ICMP_UNREACHABLE_PORT 3
#define ICMP_UNREACHABLE_FRAG_NEEDED 4
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER 12
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_UNREACHABLE_PORT 4
#define ICMPV6_TOO_BIG 2
#define ICMPV6_TIME_EXCEEDED 3
#define ICMPV6_PARAMETER 4
#define ICMPV6_ECHO 128
#define ICMPV6_ECHO_REPLY 129
#define ICMPV6_RS 133
#define ICMPV6_NS 135
#define ICMPV6_NA 136
#define ICMPV6_REDIRECT 137
#define ND_OPT_SOURCE_LL 1
#define ND_OPT_TARGET_LL 2
#define ND_ROUTER 0x80 /* first flag byte of a neighbour advertisement */
#define ND_SOLICITED 0x40
#define ND_OVERRIDE 0x20

static inline uint16_t get_u16(const uint8_t *p) { return (uint16_t)((unsigned)p[0] << 8 | p[1]); }
static inline uint32_t get_u32(const uint8_t *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void set_u16(uint8_t *p, uint16_t v)
{
        p[0] = (uint8_t)(v >> 8);
        p[1] = (uint8_t)v;
}
static inline void set_u32(uint8_t *p, uint32_t v)
{
        set_u16(p, (uint16_t)(v >> 16));
        set_u16(p + 2, (uint16_t)v);
}
static inline uint32_t raw_u32(const uint8_t *p) /* as it is in memory: for comparing and hashing */
{
        uint32_t v;
        memcpy(&v, p, sizeof v);
        return v;
}

/* RFC 1071: a running sum of 16-bit big-endian words; an odd last byte is padded with 0. */
static inline uint32_t cksum_add(uint32_t sum, const uint8_t *p, size_t n)
{
        for (; n > 1; p += 2, n -= 2)
                sum += get_u16(p);
        return n ? sum + ((uint32_t)*p << 8) : sum;
}
static inline uint16_t cksum_fold(uint32_t sum)
{
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t)~sum;
}
/* Is the sum of an IPv4 header (a multiple of 4 bytes) right?  RFC 1071 2(B): the sum is the same in any byte order, so
 * 32-bit words are added as they lie and folded once. */
static inline bool cksum_header_ok(const uint8_t *p, size_t n)
{
        uint64_t sum = 0;
        for (size_t i = 0; i < n; i += 4)
                sum += raw_u32(p + i);
        sum = (sum & 0xffffffff) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
        return cksum_fold((uint32_t)sum) == 0;
}
/* RFC 1624 equation 3: HC' = ~(~HC + ~m + m').  A sum that was wrong stays wrong by the same amount. */
static inline uint16_t cksum_update(uint16_t cksum, uint16_t from, uint16_t to)
{
        uint32_t sum = (uint32_t)(uint16_t)~cksum + (uint16_t)~from + to;
        return cksum_fold(sum);
}
/* Pseudo header of RFC 8200 8.1 (IPv6) and RFC 9293 3.1 (IPv4). */
static inline uint32_t cksum_pseudo(const uint8_t *src, const uint8_t *dst, size_t addr_len, uint32_t len, uint8_t proto)
{
        uint32_t sum = cksum_add(0, src, addr_len);
        sum = cksum_add(sum, dst, addr_len);
        return sum + (len >> 16) + (len & 0xffff) + proto;
}

static inline bool ip6_is_zero(const uint8_t *a)
{
        uint64_t w[2];
        memcpy(w, a, 16);
        return (w[0] | w[1]) == 0;
}
static inline bool ip6_is_solicited_node(const uint8_t *a) /* ff02::1:ff00:0/104, RFC 4291 2.7.1 */
{
        static const uint8_t prefix[13] = { 0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff };
        return memcmp(a, prefix, sizeof prefix) == 0;
}
static inline void eth_write(uint8_t *p, const uint8_t dst[6], const uint8_t src[6], uint16_t ethertype)
{
        memcpy(p, dst, 6);
        memcpy(p + 6, src, 6);
        set_u16(p + 12, ethertype);
}
static inline void ip6_write(uint8_t *p, uint16_t payload_len, uint8_t next, uint8_t hop_limit, const uint8_t *src,
                             const uint8_t *dst)
{
        memset(p, 0, 8);
        p[0] = 0x60;
        set_u16(p + 4, payload_len);
        p[6] = next;
        p[7] = hop_limit;
        memmove(p + 8, src, 16);
        memmove(p + 24, dst, 16);
}
