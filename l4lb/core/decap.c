/* l4lb/core/decap.c - see decap.h. */
#include "lib/base.h"
#include "l4lb/core/decap.h"
#include "l4lb/core/parse.h"
#include "l4lb/core/refuse.h"
#include "l4lb/core/wire.h"

#define GUE_VARIANT1_V4 4 /* variant 1: an IP packet begins where the GUE header would */
#define GUE_VARIANT1_V6 6
#define ECN_MASK 3
#define ECN_CE 3

bool decap_wanted(const struct net *net, const struct pkt *p)
{
        const struct net_decap *d = &net->decap;
        const uint8_t *ip = p->p + p->l3;
        size_t n = p->version == 4 ? 4 : 16;
        bool gue = (p->kind == PKT_UDP || p->kind == PKT_UNSUMMED) && get_u16(p->p + p->l4 + 2) == d->port;
        if (!gue && (p->kind != PKT_OTHER || (p->proto != PROTO_IPIP && p->proto != PROTO_IPV6)))
                return false;
        for (size_t i = 0; i < d->n_to; i++)
                if (d->to[i].af == p->version && memcmp(d->to[i].b, ip + (n == 4 ? 16 : 24), n) == 0)
                        return true;
        return false;
}

static bool permitted(const struct net *net, const struct pkt *p)
{
        struct ipaddr src = { .af = p->version };
        memcpy(src.b, p->p + p->l3 + (p->version == 4 ? 12 : 8), ipaddr_len(&src));
        for (size_t i = 0; i < net->decap.n_from; i++)
                if (ipprefix_contains(&net->decap.from[i], &src))
                        return true;
        return false;
}

/* Where the packet inside begins, and how long it may be. */
struct inner {
        uint32_t at, bytes;
        bool v4;
};

/* Variant 0 without optional fields; what its length covers besides is private data (GLB's hops), which we pass over.  A flag
 * that we do not know may change what follows: refused. */
static bool gue_look(const struct pkt *p, struct inner *in)
{
        const uint8_t *udp = p->p + p->l4, *g = udp + UDP_LEN;
        uint32_t bytes = get_u16(udp + 4), head = 0;
        if (bytes > p->l4_len || bytes < UDP_LEN + GUE_LEN || (uint32_t)p->l4 + UDP_LEN + GUE_LEN > p->len)
                return false;
        unsigned first = g[0] >> 4;
        if (first == GUE_VARIANT1_V4 || first == GUE_VARIANT1_V6) {
                in->v4 = first == GUE_VARIANT1_V4;
        } else {
                head = GUE_LEN + (g[0] & 0x1fu) * 4u;
                if (g[0] & 0xe0 || get_u16(g + 2) != 0 || (g[1] != PROTO_IPIP && g[1] != PROTO_IPV6))
                        return false;
                in->v4 = g[1] == PROTO_IPIP;
        }
        if (UDP_LEN + head > bytes)
                return false;
        in->at = p->l4 + UDP_LEN + head;
        in->bytes = bytes - UDP_LEN - head;
        return true;
}

static bool look(const struct pkt *p, struct inner *in)
{
        if (p->frag != PKT_WHOLE)
                return false;
        if (p->kind != PKT_OTHER) {
                if (!gue_look(p, in))
                        return false;
        } else {
                *in = (struct inner){ p->l4, p->l4_len, p->proto == PROTO_IPIP };
        }
        return in->bytes >= (in->v4 ? IPV4_LEN : IPV6_LEN) && in->at + 2 <= p->len;
}

static uint8_t tos_of(const uint8_t *ip) { return (uint8_t)(ip[0] >> 4 == 4 ? ip[1] : ip[0] << 4 | ip[1] >> 4); }

/* The packet inside becomes the frame: a new Ethernet header before it, the rest of the outer ones is head room. */
static void shift(struct pkt *p, const struct inner *in)
{
        uint32_t by = in->at - ETH_LEN;
        uint8_t *eth = p->p + by;
        memmove(eth, p->p, 12);
        set_u16(eth + 12, in->v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
        if (p->len == p->wire_len) /* padding behind the outer packet */
                p->len = p->wire_len = in->at + in->bytes;
        p->p = eth;
        p->head += by;
        p->len -= by;
        p->wire_len -= by;
        p->cap -= by;
}

/* RFC 6040 4.2: congestion that was marked on the way is told inside; who does not speak ECN learns it by the loss. */
static bool ecn_join(struct pkt *p, uint8_t outer)
{
        uint8_t *ip = p->p + ETH_LEN, inner = tos_of(ip) & ECN_MASK, to = inner;
        outer &= ECN_MASK;
        if (outer == ECN_CE && inner == 0)
                return false;
        if (inner != 0 && (outer == ECN_CE || (outer == 1 && inner == 2)))
                to = outer;
        if (to == inner)
                return true;
        if (p->version == 4) {
                uint16_t from = get_u16(ip);
                ip[1] = (uint8_t)((ip[1] & ~ECN_MASK) | to);
                set_u16(ip + 10, cksum_update(get_u16(ip + 10), from, get_u16(ip)));
        } else {
                ip[1] = (uint8_t)((ip[1] & ~(ECN_MASK << 4)) | to << 4);
        }
        return true;
}

static void hop(struct pkt *p)
{
        uint8_t *ip = p->p + ETH_LEN;
        if (p->version == 6) {
                ip[7]--;
                return;
        }
        uint16_t from = get_u16(ip + 8);
        ip[8]--;
        set_u16(ip + 10, cksum_update(get_u16(ip + 10), from, get_u16(ip + 8)));
}

void decap_open(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p)
{
        struct inner in;
        if (!permitted(w->net, p)) {
                pkt_done(p, DROP_TUNNEL_SOURCE);
                return;
        }
        if (!look(p, &in)) {
                pkt_done(p, DROP_TUNNEL_HEADER);
                return;
        }
        uint32_t rx_len = p->rx_len;
        uint8_t outer = tos_of(p->p + p->l3);
        shift(p, &in);
        p->rx_flags = PKT_DECAPSULATED; /* the NIC has seen the outer checksum only */
        pkt_parse(w->net, p);
        p->rx_len = rx_len;
        if (p->kind == PKT_DONE)
                return;
        const uint8_t *ip = p->p + ETH_LEN;
        if (t && (p->kind == PKT_TCP || p->kind == PKT_UDP || p->kind == PKT_FRAGMENT || p->kind == PKT_ICMP))
                p->vip = p->version == 4 ? tables_vip4(t, ip + 16) : tables_vip6(t, ip + 24);
        if (p->vip == VIP_NONE)
                pkt_done(p, DROP_TUNNEL_INNER);
        else if (!ecn_join(p, outer))
                pkt_done(p, DROP_TUNNEL_ECN);
        else if ((p->version == 4 ? ip[8] : ip[7]) <= 1)
                refuse_expired(w, now_ms, p);
        else
                hop(p);
}
