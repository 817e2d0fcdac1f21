/* l4lb/core/parse.c - see parse.h.  The order of checks is the order of the bytes; every offset is checked against len. */
#include "lib/base.h"
#include "l4lb/core/kernel.h"
#include "l4lb/core/parse.h"
#include "l4lb/core/wire.h"

/* ---------------------------------------------------------------- transport */

static void parse_tcp(struct pkt *p)
{
        if (p->l4_len < TCP_LEN) {
                pkt_done(p, p->frag == PKT_FRAG_FIRST ? DROP_FRAGMENT_TINY : DROP_BAD_TCP_HEADER);
                return;
        }
        if ((uint32_t)p->l4 + TCP_LEN > p->len) {
                pkt_done(p, DROP_SHORT);
                return;
        }
        const uint8_t *t = p->p + p->l4;
        unsigned header = (t[12] >> 4) * 4u, flags = t[13] & 0x3fu;
        if (header < TCP_LEN || header > p->l4_len) {
                pkt_done(p, p->frag == PKT_FRAG_FIRST && header >= TCP_LEN ? DROP_FRAGMENT_TINY : DROP_BAD_TCP_HEADER);
                return;
        }
        if ((flags & TCP_SYN && flags & (TCP_FIN | TCP_RST)) || (flags & (TCP_SYN | TCP_ACK | TCP_RST)) == 0) {
                pkt_done(p, DROP_BAD_TCP_FLAGS); /* null, xmas, FIN scans: RFC 9293 3.10.7.4, all but SYN and RST have ACK */
                return;
        }
        if (get_u16(t) == 0 || get_u16(t + 2) == 0) {
                pkt_done(p, DROP_PORT_ZERO);
                return;
        }
        p->tcp_flags = (uint8_t)flags;
        p->kind = PKT_TCP;
}

static void parse_udp(struct pkt *p)
{
        if (p->l4_len < UDP_LEN) {
                pkt_done(p, p->frag == PKT_FRAG_FIRST ? DROP_FRAGMENT_TINY : DROP_UDP_LENGTH);
                return;
        }
        if ((uint32_t)p->l4 + UDP_LEN > p->len) {
                pkt_done(p, DROP_SHORT);
                return;
        }
        const uint8_t *u = p->p + p->l4;
        unsigned len = get_u16(u + 4);
        if (len < UDP_LEN || (p->frag == PKT_WHOLE && len > p->l4_len)) {
                pkt_done(p, DROP_UDP_LENGTH);
                return;
        }
        if (get_u16(u) == 0 || get_u16(u + 2) == 0) {
                pkt_done(p, DROP_PORT_ZERO);
                return;
        }
        p->kind = PKT_UDP;
        if (p->version == 6 && get_u16(u + 6) == 0) { /* RFC 8200 8.1: over IPv6 the checksum is mandatory, but in a tunnel (RFC 6935) */
                p->verdict = DROP_UDP_LENGTH;
                p->kind = PKT_UNSUMMED;
        }
}

static void parse_icmp(struct pkt *p)
{
        if (p->l4_len < ICMP_LEN || (uint32_t)p->l4 + ICMP_LEN > p->len) {
                pkt_done(p, DROP_SHORT);
                return;
        }
        uint8_t type = p->p[p->l4];
        bool nd = p->version == 6 && type >= ICMPV6_RS && type <= ICMPV6_REDIRECT;
        p->kind = nd ? PKT_ND : PKT_ICMP;
}

static void parse_transport(struct pkt *p)
{
        if (p->frag == PKT_FRAG_LATER)
                p->kind = PKT_FRAGMENT;
        else if (p->proto == PROTO_TCP)
                parse_tcp(p);
        else if (p->proto == PROTO_UDP)
                parse_udp(p);
        else if (p->proto == (p->version == 4 ? PROTO_ICMP : PROTO_ICMPV6))
                parse_icmp(p);
        else
                p->kind = PKT_OTHER;
}

/* Payload of a fragment that is not the last is a multiple of 8; nothing ends beyond 65535; TCP at offset 8 rewrites flags
 * of the first fragment (RFC 1858 3). */
static bool fragment_ok(struct pkt *p, bool more)
{
        if (more && p->l4_len % 8 != 0) {
                pkt_done(p, DROP_FRAGMENT_TINY);
                return false;
        }
        if (p->frag_off + (uint32_t)p->l4_len > UINT16_MAX) {
                pkt_done(p, DROP_FRAGMENT_OVERLAP);
                return false;
        }
        if (p->frag == PKT_FRAG_LATER && p->frag_off == 8 && p->proto == PROTO_TCP) {
                pkt_done(p, DROP_FRAGMENT_TINY);
                return false;
        }
        return true;
}

/* ---------------------------------------------------------------- IPv4 */

static bool ipv4_source_martian(const uint8_t *a) { return a[0] == 0 || a[0] == 127 || a[0] >= 224; }

static bool ipv4_options_ok(struct pkt *p, const uint8_t *ip, unsigned header)
{
        for (unsigned i = IPV4_LEN; i < header;) {
                uint8_t type = ip[i];
                if (type == 0)
                        return true;
                if (type == 1) {
                        i++;
                        continue;
                }
                if (i + 1 >= header || ip[i + 1] < 2 || i + ip[i + 1] > header) {
                        pkt_done(p, DROP_BAD_OPTIONS);
                        return false;
                }
                if (type == 131 || type == 137) { /* LSRR, SSRR: RFC 7126 4.3 */
                        pkt_done(p, DROP_SOURCE_ROUTE);
                        return false;
                }
                i += ip[i + 1];
        }
        return true;
}

static bool ipv4_addresses_ok(struct pkt *p, const uint8_t *ip)
{
        const uint8_t *src = ip + 12, *dst = ip + 16;
        enum l4_verdict v = VERDICT_NONE;
        if (raw_u32(src) == raw_u32(dst))
                v = DROP_LAND;
        else if (dst[0] >= 224 || p->p[0] & 1) { /* before the source: 0.0.0.0 asks for an address by DHCP */
                pkt_foreign(p, DROP_MULTICAST);
                return false;
        } else if (ipv4_source_martian(src) || dst[0] == 0 || dst[0] == 127)
                v = DROP_MARTIAN;
        if (v != VERDICT_NONE)
                pkt_done(p, v);
        return v == VERDICT_NONE;
}

static void parse_ipv4(struct pkt *p)
{
        const uint8_t *ip = p->p + ETH_LEN;
        if (p->len < ETH_LEN + IPV4_LEN) {
                pkt_done(p, DROP_SHORT);
                return;
        }
        unsigned header = (ip[0] & 15u) * 4u, total = get_u16(ip + 2);
        if (ip[0] >> 4 != 4 || header < IPV4_LEN || total < header || total > p->wire_len - ETH_LEN) {
                pkt_done(p, DROP_BAD_IPV4_HEADER);
                return;
        }
        if (ETH_LEN + header > p->len) {
                pkt_done(p, DROP_SHORT);
                return;
        }
        if (!(p->rx_flags & PKT_RX_IP_CKSUM_GOOD) && !cksum_header_ok(ip, header)) {
                pkt_done(p, DROP_BAD_CHECKSUM);
                return;
        }
        if (ip[8] == 0) {
                pkt_done(p, DROP_TTL);
                return;
        }
        if (!ipv4_addresses_ok(p, ip) || (header > IPV4_LEN && !ipv4_options_ok(p, ip, header)))
                return;
        unsigned frag = get_u16(ip + 6);
        p->version = 4;
        p->proto = ip[9];
        p->l3_len = (uint16_t)total;
        p->l4 = (uint16_t)(ETH_LEN + header);
        p->l4_len = (uint16_t)(total - header);
        if (frag & (IPV4_MF | IPV4_OFFSET)) {
                p->frag_off = (uint16_t)((frag & IPV4_OFFSET) * 8);
                p->frag = p->frag_off ? PKT_FRAG_LATER : PKT_FRAG_FIRST;
                p->frag_id = get_u16(ip + 4);
                if (!fragment_ok(p, (frag & IPV4_MF) != 0))
                        return;
        }
        parse_transport(p);
}

/* ---------------------------------------------------------------- IPv6 */

static bool ipv6_mapped(const uint8_t *a)
{
        static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };
        return memcmp(a, prefix, sizeof prefix) == 0;
}

static bool ipv6_loopback(const uint8_t *a)
{
        static const uint8_t one[16] = { [15] = 1 };
        return memcmp(a, one, sizeof one) == 0;
}

static bool ipv6_addresses_ok(struct pkt *p, const uint8_t *ip)
{
        const uint8_t *src = ip + 8, *dst = ip + 24;
        enum l4_verdict v = VERDICT_NONE;
        if (memcmp(src, dst, 16) == 0)
                v = DROP_LAND;
        else if (src[0] == 0xff || ipv6_loopback(src) || ipv6_mapped(src) || ipv6_loopback(dst) || ipv6_mapped(dst) ||
                 ip6_is_zero(dst))
                v = DROP_MARTIAN;
        if (v != VERDICT_NONE)
                pkt_done(p, v);
        return v == VERDICT_NONE;
}

static bool ipv6_fragment(struct pkt *p, const uint8_t *h)
{
        unsigned off = get_u16(h + 2);
        p->frag_off = (uint16_t)(off & 0xfff8);
        bool more = off & 1;
        if (p->frag_off == 0 && !more)
                return true; /* atomic: RFC 6946 */
        p->frag = p->frag_off ? PKT_FRAG_LATER : PKT_FRAG_FIRST;
        p->frag_id = raw_u32(h + 4);
        p->l4_len = (uint16_t)(p->l4_len - 8); /* what follows this header */
        bool ok = fragment_ok(p, more);
        p->l4_len = (uint16_t)(p->l4_len + 8);
        return ok;
}

/* Walks the extension headers: p->l4, l4_len and proto end at the transport.  False: the verdict is set. */
static bool ipv6_extensions(struct pkt *p)
{
        unsigned walked = 0, n = 0;
        for (;; n++) {
                uint8_t next = p->proto;
                bool options = next == PROTO_HOP_BY_HOP || next == PROTO_DESTINATION;
                if (!options && next != PROTO_ROUTING && next != PROTO_FRAGMENT)
                        return true;
                const uint8_t *h = p->p + p->l4;
                enum l4_verdict bad = VERDICT_NONE;
                unsigned bytes = 8;
                if (p->frag == PKT_FRAG_LATER)
                        return true; /* what follows is payload */
                if (p->l4_len < 8)
                        bad = p->frag == PKT_FRAG_FIRST ? DROP_FRAGMENT_TINY : DROP_EXTENSION_HEADERS; /* RFC 7112 5 */
                else if ((uint32_t)p->l4 + 8 > p->len)
                        bad = DROP_SHORT;
                else if (n == L4_MAX_EXTENSION_HEADERS || (next == PROTO_HOP_BY_HOP && n != 0))
                        bad = DROP_EXTENSION_HEADERS; /* RFC 8200 4.1: hop-by-hop comes first */
                else if (next == PROTO_ROUTING && (h[2] == 0 || h[3] != 0))
                        bad = DROP_SOURCE_ROUTE; /* RFC 5095: type 0 is dead; others only when they are used up */
                if (bad == VERDICT_NONE && next != PROTO_FRAGMENT)
                        bytes = 8u + h[1] * 8u;
                walked += bytes;
                if (bad == VERDICT_NONE && (bytes > p->l4_len || walked > L4_MAX_EXTENSION_BYTES))
                        bad = p->frag == PKT_FRAG_FIRST && bytes > p->l4_len ? DROP_FRAGMENT_TINY
                                                                             : DROP_EXTENSION_HEADERS;
                if (bad == VERDICT_NONE && next == PROTO_FRAGMENT && p->frag != PKT_WHOLE)
                        bad = DROP_EXTENSION_HEADERS; /* nested */
                if (bad != VERDICT_NONE) {
                        pkt_done(p, bad);
                        return false;
                }
                p->proto = h[0];
                if (next == PROTO_FRAGMENT && !ipv6_fragment(p, h))
                        return false;
                p->l4 = (uint16_t)(p->l4 + bytes);
                p->l4_len = (uint16_t)(p->l4_len - bytes);
        }
}

static void parse_ipv6(struct pkt *p)
{
        const uint8_t *ip = p->p + ETH_LEN;
        if (p->len < ETH_LEN + IPV6_LEN) {
                pkt_done(p, DROP_SHORT);
                return;
        }
        unsigned payload = get_u16(ip + 4);
        if (ip[0] >> 4 != 6 || payload == 0 || payload + IPV6_LEN > p->wire_len - ETH_LEN ||
            payload + IPV6_LEN > UINT16_MAX) {
                pkt_done(p, DROP_BAD_IPV6_HEADER); /* payload 0: a jumbogram (RFC 2675) or nothing at all */
                return;
        }
        if (ip[7] == 0) {
                pkt_done(p, DROP_TTL);
                return;
        }
        if (!ipv6_addresses_ok(p, ip))
                return;
        p->version = 6;
        p->proto = ip[6];
        p->l3_len = (uint16_t)(payload + IPV6_LEN);
        p->l4 = ETH_LEN + IPV6_LEN;
        p->l4_len = (uint16_t)payload;
        if (!ipv6_extensions(p))
                return;
        parse_transport(p);
        bool multicast = ip[24] == 0xff || p->p[0] & 1;
        if (p->kind != PKT_DONE && p->kind != PKT_ND && p->kind != PKT_UNSUMMED) {
                if (multicast)
                        pkt_foreign(p, DROP_MULTICAST);
                else if (ip6_is_zero(ip + 8)) /* the unspecified address speaks only ND (RFC 4291 2.5.2) */
                        pkt_done(p, DROP_MARTIAN);
        }
}

void pkt_parse(const struct net *net, struct pkt *p)
{
        p->verdict = VERDICT_NONE;
        p->kind = PKT_DONE;
        p->version = p->proto = p->tcp_flags = p->frag = 0;
        p->out_port = PORT_NONE;
        p->l3 = ETH_LEN;
        p->frag_off = 0;
        p->frag_id = 0;
        p->vip = VIP_NONE;
        p->service = SERVICE_NONE;
        p->backend = BACKEND_NONE;
        p->adjacency = 0;
        p->rx_len = p->wire_len;
        if (p->len < ETH_LEN) {
                pkt_done(p, DROP_SHORT);
                return;
        }
        if (p->p[6] & 1) { /* a station is never a group */
                pkt_done(p, DROP_MARTIAN);
                return;
        }
        if (p->p[0] & 1 || memcmp(p->p, net->ports[p->in_port].mac, 6) != 0) { /* a kernel port's never matches: net_init */
                if (net->ports[p->in_port].role == PORT_KERNEL) {
                        kernel_sent(net, p);
                        return;
                }
                if (!(p->p[0] & 1)) {
                        pkt_done(p, DROP_NOT_OUR_MAC);
                        return;
                }
        }
        switch (get_u16(p->p + 12)) {
        case ETHERTYPE_IPV4:
                parse_ipv4(p);
                break;
        case ETHERTYPE_IPV6:
                parse_ipv6(p);
                break;
        case ETHERTYPE_ARP:
                p->kind = PKT_ARP;
                break;
        case ETHERTYPE_VLAN:
        case ETHERTYPE_QINQ:
        case ETHERTYPE_QINQ_OLD:
                pkt_foreign(p, DROP_VLAN);
                break;
        default:
                pkt_foreign(p, DROP_ETHERTYPE);
                break;
        }
}
