/* tests/unit/l4lb/frame.c - see frame.h.  Layers are built from the last to the first, each in front of what follows. */
#include "lib/base.h"
#include "tests/unit/l4lb/frame.h"
#include "lib/core/ipaddr.h"
#include "l4lb/core/wire.h"

#define LAYERS_MAX 12
#define ARGS_MAX 16

struct layer {
        char *args[ARGS_MAX];
        int n;
};
struct build {
        const char *text;
        uint8_t b[FRAME_MAX]; /* grows to the left: the bytes are b + at .. end */
        size_t at;
        int next; /* protocol number of what follows; -1 = none, -4/-6 = an IP header, -806 = ARP */
        size_t pad, cut;
        bool has_cut;
};

NORETURN static void mistake(const struct build *f, const char *what)
{
        fprintf(stderr, "frame notation: %s in: %s\n", what, f->text);
        abort();
}

static size_t size_of(const struct build *f) { return FRAME_MAX - f->at; }

static uint8_t *front(struct build *f, size_t n)
{
        if (n > f->at)
                mistake(f, "frame too long");
        f->at -= n;
        memset(f->b + f->at, 0, n);
        return f->b + f->at;
}

static const char *arg(const struct layer *l, const char *key)
{
        size_t n = strlen(key);
        for (int i = 1; i < l->n; i++)
                if (strncmp(l->args[i], key, n) == 0 && (l->args[i][n] == '=' || l->args[i][n] == 0))
                        return l->args[i][n] ? l->args[i] + n + 1 : "";
        return NULL;
}

static unsigned num(const struct layer *l, const char *key, unsigned otherwise)
{
        const char *s = arg(l, key);
        return s ? (unsigned)strtoul(s, NULL, 0) : otherwise;
}

static const char *word(const struct build *f, const struct layer *l, int i)
{
        if (i >= l->n)
                mistake(f, "missing word");
        return l->args[i];
}

static void mac(const struct build *f, const char *s, uint8_t ret[6])
{
        unsigned v[6];
        if (sscanf(s, "%x:%x:%x:%x:%x:%x", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]) != 6)
                mistake(f, "bad MAC");
        for (int i = 0; i < 6; i++)
                ret[i] = (uint8_t)v[i];
}

static void address(const struct build *f, const char *s, uint8_t af, uint8_t *ret)
{
        struct ipaddr a;
        if (ipaddr_parse(span_str(s), &a) < 0 || a.af != af)
                mistake(f, "bad address");
        memcpy(ret, a.b, ipaddr_len(&a));
}

static size_t hex(const struct build *f, const char *s, uint8_t *ret, size_t cap)
{
        size_t n = 0;
        for (; s[0] && s[1]; s += 2, n++) {
                unsigned v;
                if (n == cap || sscanf(s, "%2x", &v) != 1)
                        mistake(f, "bad hex");
                ret[n] = (uint8_t)v;
        }
        return n;
}

/* Fills the checksum of TCP, UDP or ICMPv6 behind an IP header, unless it was given. */
static bool keep_sum; /* set by the transport layer for the IP layer that follows */
static bool bad_sum;
static void transport_sum(struct build *f, int proto, const uint8_t *src, const uint8_t *dst, size_t addr_len)
{
        size_t off = proto == PROTO_TCP ? 16 : proto == PROTO_UDP ? 6 : proto == PROTO_ICMPV6 ? 2 : 0;
        uint8_t *p = f->b + f->at;
        if (off == 0 || keep_sum || size_of(f) < off + 2)
                return;
        set_u16(p + off, 0);
        uint32_t sum = cksum_pseudo(src, dst, addr_len, (uint32_t)size_of(f), (uint8_t)proto);
        uint16_t c = cksum_fold(cksum_add(sum, p, size_of(f)));
        set_u16(p + off, (uint16_t)(bad_sum ? c ^ 0x5555 : c == 0 && proto == PROTO_UDP ? 0xffff : c));
}

static void layer_ip4(struct build *f, const struct layer *l)
{
        uint8_t src[4], dst[4], opt[40];
        address(f, word(f, l, 1), 4, src);
        address(f, word(f, l, 3), 4, dst);
        int proto = (int)num(l, "proto", f->next >= 0 ? (unsigned)f->next : f->next == -4 ? PROTO_IPIP : f->next == -6 ? PROTO_IPV6 : 255);
        bool fragment = num(l, "off", 0) != 0 || arg(l, "mf");
        if (!fragment)
                transport_sum(f, proto, src, dst, 4);
        size_t n_opt = arg(l, "opt") ? hex(f, arg(l, "opt"), opt, sizeof opt) : 0,
               header = IPV4_LEN + (n_opt + 3) / 4 * 4;
        size_t total = header + size_of(f);
        uint8_t *ip = front(f, header);
        ip[0] = (uint8_t)(num(l, "ver", 4) << 4 | num(l, "ihl", (unsigned)header / 4));
        ip[1] = (uint8_t)num(l, "tos", 0);
        set_u16(ip + 2, (uint16_t)num(l, "len", (unsigned)total));
        set_u16(ip + 4, (uint16_t)num(l, "id", 0));
        set_u16(ip + 6,
                (uint16_t)(num(l, "off", 0) / 8 | (arg(l, "mf") ? IPV4_MF : 0u) | (arg(l, "df") ? IPV4_DF : 0u)));
        ip[8] = (uint8_t)num(l, "ttl", 64);
        ip[9] = (uint8_t)proto;
        memcpy(ip + 12, src, 4);
        memcpy(ip + 16, dst, 4);
        memcpy(ip + 20, opt, n_opt);
        unsigned claimed = (ip[0] & 15u) * 4u;
        set_u16(ip + 10, cksum_fold(cksum_add(0, ip, MIN(claimed, total))));
        if (arg(l, "sum"))
                ip[10] ^= 0x55;
        f->next = -4;
        keep_sum = bad_sum = false;
}

static void layer_ip6(struct build *f, const struct layer *l)
{
        uint8_t src[16], dst[16];
        address(f, word(f, l, 1), 6, src);
        address(f, word(f, l, 3), 6, dst);
        if (f->next >= 0 && f->next != PROTO_FRAGMENT)
                transport_sum(f, f->next, src, dst, 16);
        size_t payload = size_of(f);
        uint8_t *ip = front(f, IPV6_LEN);
        ip6_write(ip, (uint16_t)num(l, "plen", (unsigned)payload),
                  (uint8_t)num(l, "nh", f->next >= 0 ? (unsigned)f->next : f->next == -4 ? PROTO_IPIP : f->next == -6 ? PROTO_IPV6 : PROTO_NONE),
                  (uint8_t)num(l, "hl", f->next == PROTO_ICMPV6 ? 255 : 64), src, dst);
        set_u16(ip, (uint16_t)(num(l, "ver", 6) << 12 | num(l, "tc", 0) << 4));
        f->next = -6;
        keep_sum = bad_sum = false;
}

static void layer_ext(struct build *f, const struct layer *l, int proto)
{
        size_t n = proto == PROTO_FRAGMENT ? 8 : 8 * num(l, "n", 1);
        int next = (int)num(l, "nh", f->next >= 0 ? (unsigned)f->next : PROTO_NONE);
        uint8_t *h = front(f, n);
        h[0] = (uint8_t)next;
        if (proto == PROTO_FRAGMENT) {
                set_u16(h + 2, (uint16_t)((num(l, "off", 0) & 0xfff8) | (arg(l, "mf") ? 1u : 0u)));
                set_u32(h + 4, num(l, "id", 0));
        } else {
                h[1] = (uint8_t)num(l, "claim", (unsigned)(n / 8 - 1));
                if (proto == PROTO_ROUTING) {
                        h[2] = (uint8_t)num(l, "type", 0);
                        h[3] = (uint8_t)num(l, "left", 0);
                } else {
                        h[2] = 1; /* PadN */
                        h[3] = (uint8_t)(n - 4);
                }
        }
        f->next = proto;
        keep_sum = true; /* behind an extension header the row's packet keeps checksum 0: nothing of ours looks at it */
}

static uint8_t flags_of(const char *s)
{
        static const char names[] = "FSRPAU";
        uint8_t v = 0;
        for (; *s && *s != '0'; s++)
                v |= (uint8_t)(1u << (strchr(names, *s) - names));
        return v;
}

static void layer_tcp(struct build *f, const struct layer *l)
{
        uint8_t *t = front(f, TCP_LEN);
        set_u16(t, (uint16_t)strtoul(word(f, l, 1), NULL, 0));
        set_u16(t + 2, (uint16_t)strtoul(word(f, l, 3), NULL, 0));
        set_u32(t + 4, num(l, "seq", 1));
        set_u32(t + 8, num(l, "ack", 0));
        t[12] = (uint8_t)(num(l, "doff", 5) << 4);
        t[13] = flags_of(word(f, l, 4));
        set_u16(t + 14, (uint16_t)num(l, "win", 1024));
        bad_sum = arg(l, "sum") != NULL;
        f->next = PROTO_TCP;
}

static void layer_udp(struct build *f, const struct layer *l)
{
        size_t n = UDP_LEN + size_of(f);
        uint8_t *u = front(f, UDP_LEN);
        set_u16(u, (uint16_t)strtoul(word(f, l, 1), NULL, 0));
        set_u16(u + 2, (uint16_t)strtoul(word(f, l, 3), NULL, 0));
        set_u16(u + 4, (uint16_t)num(l, "len", (unsigned)n));
        keep_sum = arg(l, "sum") != NULL;
        set_u16(u + 6, (uint16_t)num(l, "sum", 0));
        f->next = PROTO_UDP;
}

static void layer_gue(struct build *f, const struct layer *l)
{
        uint8_t private[128];
        size_t n = arg(l, "hex") ? hex(f, arg(l, "hex"), private, sizeof private) : 0;
        memcpy(front(f, n), private, n);
        uint8_t *g = front(f, 4);
        g[0] = (uint8_t)num(l, "first", (unsigned)n / 4);
        g[1] = (uint8_t)num(l, "proto", f->next == -6 ? PROTO_IPV6 : PROTO_IPIP);
        set_u16(g + 2, (uint16_t)num(l, "flags", 0));
}

static void layer_icmp(struct build *f, const struct layer *l, bool v6)
{
        uint8_t *i = front(f, ICMP_LEN);
        unsigned type = 0, code = 0;
        sscanf(word(f, l, 1), "%u.%u", &type, &code);
        i[0] = (uint8_t)type;
        i[1] = (uint8_t)code;
        set_u32(i + 4, num(l, "rest", 0));
        bad_sum = arg(l, "sum") != NULL;
        if (!v6)
                set_u16(i + 2, (uint16_t)(cksum_fold(cksum_add(0, i, size_of(f))) ^ (bad_sum ? 0x5555u : 0u)));
        keep_sum = false;
        f->next = v6 ? PROTO_ICMPV6 : PROTO_ICMP;
}

static void layer_nd(struct build *f, const struct layer *l, bool na)
{
        const char *ll = arg(l, na ? "tll" : "sll"), *flags = arg(l, "flags"), *opt = arg(l, "opt");
        uint8_t more[64];
        size_t n = opt ? hex(f, opt, more, sizeof more) : 0;
        memcpy(front(f, n), more, n);
        if (ll) {
                uint8_t *o = front(f, 8);
                o[0] = na ? ND_OPT_TARGET_LL : ND_OPT_SOURCE_LL;
                o[1] = 1;
                mac(f, ll, o + 2);
        }
        uint8_t *p = front(f, ND_NS_LEN);
        p[0] = na ? ICMPV6_NA : ICMPV6_NS;
        p[1] = (uint8_t)num(l, "code", 0);
        for (const char *c = flags ? flags : ""; *c; c++)
                p[4] |= *c == 'R' ? ND_ROUTER : *c == 'S' ? ND_SOLICITED : ND_OVERRIDE;
        address(f, word(f, l, 1), 6, p + 8);
        bad_sum = arg(l, "sum") != NULL;
        f->next = PROTO_ICMPV6;
}

static void layer_arp(struct build *f, const struct layer *l)
{
        uint8_t *a = front(f, ARP_LEN);
        memcpy(a, (uint8_t[]){ 0, 1, 8, 0, 6, 4, 0, (uint8_t)(strcmp(word(f, l, 1), "reply") == 0 ? 2 : 1) }, 8);
        mac(f, word(f, l, 2), a + 8);
        address(f, word(f, l, 3), 4, a + 14);
        mac(f, word(f, l, 4), a + 18);
        address(f, word(f, l, 5), 4, a + 24);
        if (arg(l, "hex"))
                hex(f, arg(l, "hex"), a, ARP_LEN);
        f->next = -806;
}

static void layer_data(struct build *f, const struct layer *l, bool as_hex)
{
        uint8_t b[FRAME_MAX];
        size_t n = as_hex ? hex(f, word(f, l, 1), b, sizeof b) : strtoul(word(f, l, 1), NULL, 0);
        for (size_t i = 0; !as_hex && i < n && i < sizeof b; i++)
                b[i] = (uint8_t)i;
        memcpy(front(f, n), b, n);
}

static void layer_eth(struct build *f, const struct layer *l)
{
        uint8_t dst[6], src[6];
        uint16_t type = f->next == -6 ? ETHERTYPE_IPV6 : f->next == -806 ? ETHERTYPE_ARP : ETHERTYPE_IPV4;
        mac(f, word(f, l, 1), dst);
        mac(f, word(f, l, 2), src);
        if (l->n > 3)
                type = (uint16_t)strtoul(l->args[3], NULL, 16);
        eth_write(front(f, ETH_LEN), dst, src, type);
}

static void layer_build(struct build *f, const struct layer *l, bool v6)
{
        const char *name = l->args[0];
        if (strcmp(name, "eth") == 0)
                layer_eth(f, l);
        else if (strcmp(name, "ip4") == 0)
                layer_ip4(f, l);
        else if (strcmp(name, "ip6") == 0)
                layer_ip6(f, l);
        else if (strcmp(name, "hbh") == 0)
                layer_ext(f, l, PROTO_HOP_BY_HOP);
        else if (strcmp(name, "dopt") == 0)
                layer_ext(f, l, PROTO_DESTINATION);
        else if (strcmp(name, "rh") == 0)
                layer_ext(f, l, PROTO_ROUTING);
        else if (strcmp(name, "fh") == 0)
                layer_ext(f, l, PROTO_FRAGMENT);
        else if (strcmp(name, "tcp") == 0)
                layer_tcp(f, l);
        else if (strcmp(name, "udp") == 0)
                layer_udp(f, l);
        else if (strcmp(name, "gue") == 0)
                layer_gue(f, l);
        else if (strcmp(name, "icmp") == 0)
                layer_icmp(f, l, v6);
        else if (strcmp(name, "ns") == 0 || strcmp(name, "na") == 0)
                layer_nd(f, l, name[1] == 'a');
        else if (strcmp(name, "arp") == 0)
                layer_arp(f, l);
        else if (strcmp(name, "data") == 0 || strcmp(name, "hex") == 0)
                layer_data(f, l, name[0] == 'h');
        else if (strcmp(name, "pad") == 0)
                f->pad = strtoul(word(f, l, 1), NULL, 0);
        else if (strcmp(name, "cut") == 0)
                f->has_cut = true, f->cut = strtoul(word(f, l, 1), NULL, 0);
        else
                mistake(f, "unknown layer");
        const char *keep = arg(l, "keep");
        if (keep) { /* drop bytes at the end: what follows keeps its place, so everything moves to the right */
                size_t n = strtoul(keep, NULL, 0), have = size_of(f);
                if (n < have) {
                        memmove(f->b + FRAME_MAX - n, f->b + f->at, n);
                        f->at = FRAME_MAX - n;
                }
        }
}

static int split(char *text, struct layer *ls, const struct build *f)
{
        int n = 0;
        char *save = NULL;
        ls[0].n = 0;
        for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
                if (strcmp(w, "/") == 0) {
                        if (++n == LAYERS_MAX)
                                mistake(f, "too many layers");
                        ls[n].n = 0;
                } else if (ls[n].n == ARGS_MAX) {
                        mistake(f, "too many words");
                } else {
                        ls[n].args[ls[n].n++] = w;
                }
        }
        return n + 1;
}

size_t frame_make(const char *text, const uint8_t port_mac[6], uint8_t ret[FRAME_MAX])
{
        static const uint8_t sender[6] = { 2, 0xcc, 0, 0, 0, 1 };
        struct build f = { .text = text, .at = FRAME_MAX, .next = -1 };
        struct layer ls[LAYERS_MAX];
        char *copy = strdup(text);
        BUG_ON(!copy);
        keep_sum = bad_sum = false;
        int n = split(copy, ls, &f);
        for (int i = n - 1; i >= 0; i--) {
                bool v6 = false; /* is the nearest IP header in front an IPv6 one? */
                for (int k = i - 1; k >= 0 && !v6; k--) {
                        if (strcmp(ls[k].args[0], "ip4") == 0)
                                break;
                        v6 = strcmp(ls[k].args[0], "ip6") == 0;
                }
                layer_build(&f, &ls[i], v6);
        }
        if (strcmp(ls[0].args[0], "eth") != 0)
                eth_write(front(&f, ETH_LEN), port_mac, sender,
                          f.next == -6     ? ETHERTYPE_IPV6
                          : f.next == -806 ? ETHERTYPE_ARP
                                           : ETHERTYPE_IPV4);
        free(copy);
        size_t len = size_of(&f);
        memcpy(ret, f.b + f.at, len);
        if (len < f.pad) {
                memset(ret + len, 0, f.pad - len);
                len = f.pad;
        }
        return f.has_cut && f.cut < len ? f.cut : len;
}

bool frame_ip4_sum_ok(const uint8_t *p, size_t len)
{
        if (len < ETH_LEN + IPV4_LEN || get_u16(p + 12) != ETHERTYPE_IPV4)
                return false;
        size_t header = (p[ETH_LEN] & 15u) * 4u;
        return header >= IPV4_LEN && ETH_LEN + header <= len && cksum_fold(cksum_add(0, p + ETH_LEN, header)) == 0;
}

bool frame_icmp_sum_ok(const uint8_t *p, size_t len)
{
        const uint8_t *ip = p + ETH_LEN;
        size_t header, total;
        uint32_t sum = 0;
        if (get_u16(p + 12) == ETHERTYPE_IPV4) {
                header = (ip[0] & 15u) * 4u;
                total = get_u16(ip + 2);
        } else {
                header = IPV6_LEN;
                total = IPV6_LEN + (size_t)get_u16(ip + 4);
                sum = cksum_pseudo(ip + 8, ip + 24, 16, (uint32_t)(total - header), PROTO_ICMPV6);
        }
        return ETH_LEN + total <= len && total >= header + ICMP_LEN &&
               cksum_fold(cksum_add(sum, ip + header, total - header)) == 0;
}

void frame_hex(const uint8_t *p, size_t n, char *ret, size_t cap)
{
        size_t o = 0;
        for (size_t i = 0; i < n && o + 4 < cap; i++)
                o += (size_t)snprintf(ret + o, cap - o, i % 16 == 15 ? "%02x\n" : "%02x ", p[i]);
        ret[o] = 0;
}
