/* l7gw/core/proxy_header.c - see proxy_header.h. */
#include "lib/base.h"
#include "l7gw/core/proxy_header.h"

#include <assert.h>

static const uint8_t v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";
#define V2_FIXED 16

static uint16_t be16(const uint8_t *p)
{
        return (uint16_t)(p[0] << 8 | p[1]);
}

static void unmap(struct ipaddr *a) /* RFC 4291 2.5.5.2 */
{
        static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
        if (a->af != 6 || memcmp(a->b, prefix, sizeof prefix) != 0)
                return;
        struct ipaddr v4 = {.af = 4};
        memcpy(v4.b, a->b + 12, 4);
        *a = v4;
}

/* ---- version 1: "PROXY TCP4 SRC DST SPORT DPORT\r\n" ---- */

/* The next word up to a space (or, for the last, up to the end) of *in; empty: there is none. */
static struct span word(struct span *in, bool last)
{
        const uint8_t *end = last ? in->p + in->n : memchr(in->p, ' ', in->n);
        if (!end)
                return SPAN_NULL;
        struct span w = SPAN(in->p, (size_t)(end - in->p));
        size_t skip = w.n + (last ? 0 : 1);
        *in = SPAN(in->p + skip, in->n - skip);
        return w;
}

static bool port_parse(struct span s, uint16_t *ret)
{
        uint32_t v = 0;
        if (s.n == 0 || s.n > 5 || (s.n > 1 && s.p[0] == '0'))
                return false;
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] < '0' || s.p[i] > '9')
                        return false;
                v = v * 10 + (uint32_t)(s.p[i] - '0');
        }
        *ret = (uint16_t)v;
        return v <= UINT16_MAX;
}

static bool v1_line(struct span line, struct proxy_addrs *ret)
{
        struct span family = memchr(line.p, ' ', line.n) ? word(&line, false) : word(&line, true);
        if (span_eq(family, SPAN_LIT("UNKNOWN")))
                return true; /* whatever else the line says */
        uint8_t af = span_eq(family, SPAN_LIT("TCP4")) ? 4 : span_eq(family, SPAN_LIT("TCP6")) ? 6 : 0;
        struct span src = word(&line, false), dst = word(&line, false), sport = word(&line, false), dport = word(&line, true);
        if (!af || ipaddr_parse(src, &ret->src) < 0 || ipaddr_parse(dst, &ret->dst) < 0 || ret->src.af != af || ret->dst.af != af ||
            !port_parse(sport, &ret->src_port) || !port_parse(dport, &ret->dst_port))
                return false;
        ret->known = true;
        return true;
}

static enum proxy_rc v1_parse(struct span in, struct proxy_addrs *ret, size_t *ret_used)
{
        static const char begin[] = "PROXY ";
        size_t n = MIN(in.n, sizeof begin - 1);
        if (memcmp(in.p, begin, n) != 0)
                return PROXY_NONE;
        if (n < sizeof begin - 1)
                return PROXY_MORE;
        size_t max = MIN(in.n, (size_t)PROXY_V1_MAX);
        const uint8_t *lf = memchr(in.p, '\n', max);
        if (!lf)
                return in.n < PROXY_V1_MAX ? PROXY_MORE : PROXY_BAD;
        size_t len = (size_t)(lf - in.p);
        if (in.p[len - 1] != '\r' || !v1_line(SPAN(in.p + n, len - 1 - n), ret))
                return PROXY_BAD;
        *ret_used = len + 1;
        return PROXY_HEADER;
}

/* ---- version 2 ---- */

static bool tlvs_lie_within(struct span s)
{
        while (s.n > 0) {
                if (s.n < 3 || (size_t)be16(s.p + 1) + 3 > s.n)
                        return false;
                size_t n = (size_t)be16(s.p + 1) + 3;
                s = SPAN(s.p + n, s.n - n);
        }
        return true;
}

static enum proxy_rc v2_parse(struct span in, struct proxy_addrs *ret, size_t *ret_used)
{
        static const uint8_t addr_bytes[] = {0, 12, 36, 216}; /* by family: UNSPEC, INET, INET6, UNIX */
        if (memcmp(in.p, v2_signature, MIN(in.n, sizeof v2_signature)) != 0)
                return PROXY_NONE;
        if (in.n < V2_FIXED)
                return PROXY_MORE;
        uint8_t version = in.p[12] >> 4, command = in.p[12] & 15, family = in.p[13] >> 4, transport = in.p[13] & 15;
        size_t len = be16(in.p + 14);
        bool local = command == 0; /* section 2.2: whatever family it names is ignored */
        if (version != 2 || command > 1 || V2_FIXED + len > PROXY_V2_MAX)
                return PROXY_BAD;
        if (!local && (family > 3 || transport > 2 || len < addr_bytes[family]))
                return PROXY_BAD;
        if (in.n < V2_FIXED + len)
                return PROXY_MORE;
        const uint8_t *p = in.p + V2_FIXED;
        if (!local && family != 0 && !tlvs_lie_within(SPAN(p + addr_bytes[family], len - addr_bytes[family])))
                return PROXY_BAD;
        *ret_used = V2_FIXED + len;
        if (local || family == 0)
                return PROXY_HEADER;
        if (transport != 1 || family == 3)
                return PROXY_HEADER;
        size_t n = family == 1 ? 4 : 16;
        if (ipaddr_from_bytes(p, n, &ret->src) < 0 || ipaddr_from_bytes(p + n, n, &ret->dst) < 0)
                BUG_ON(true); /* 4 or 16 bytes are always an address */
        ret->src_port = be16(p + 2 * n);
        ret->dst_port = be16(p + 2 * n + 2);
        ret->known = true;
        return PROXY_HEADER;
}

enum proxy_rc proxy_header_parse(struct span in, struct proxy_addrs *ret, size_t *ret_used)
{
        *ret = (struct proxy_addrs){.known = false};
        *ret_used = 0;
        if (in.n == 0)
                return PROXY_MORE;
        enum proxy_rc r = in.p[0] == v2_signature[0] ? v2_parse(in, ret, ret_used) : v1_parse(in, ret, ret_used);
        if (r == PROXY_HEADER && ret->known) {
                struct proxy_addrs v4 = *ret;
                unmap(&v4.src);
                unmap(&v4.dst);
                if (v4.src.af == v4.dst.af)
                        *ret = v4;
        }
        return r;
}

/* ---- writing ---- */

static size_t v1_write(const struct proxy_addrs *a, uint8_t *ret)
{
        char line[PROXY_V1_MAX + 1], src[IPADDR_STR_MAX], dst[IPADDR_STR_MAX];
        int n = a->known ? snprintf(line, sizeof line, "PROXY TCP%u %s %s %u %u\r\n", a->src.af, ipaddr_str(&a->src, src),
                                    ipaddr_str(&a->dst, dst), a->src_port, a->dst_port)
                         : snprintf(line, sizeof line, "PROXY UNKNOWN\r\n");
        BUG_ON(n <= 0 || n > PROXY_V1_MAX);
        memcpy(ret, line, (size_t)n);
        return (size_t)n;
}

size_t proxy_header_write(unsigned version, const struct proxy_addrs *a, uint8_t ret[PROXY_WRITE_MAX])
{
        static_assert(V2_FIXED + 36 <= PROXY_WRITE_MAX, "both fit");
        BUG_ON(a->known && (a->src.af != a->dst.af || (a->src.af != 4 && a->src.af != 6)));
        if (version == 1)
                return v1_write(a, ret);
        size_t n = a->known ? ipaddr_len(&a->src) : 0, len = a->known ? 2 * n + 4 : 0;
        memcpy(ret, v2_signature, sizeof v2_signature);
        ret[12] = a->known ? 0x21 : 0x20;
        ret[13] = !a->known ? 0 : a->src.af == 4 ? 0x11 : 0x21;
        ret[14] = 0;
        ret[15] = (uint8_t)len;
        if (!a->known)
                return V2_FIXED;
        uint8_t *p = ret + V2_FIXED;
        memcpy(p, a->src.b, n);
        memcpy(p + n, a->dst.b, n);
        p += 2 * n;
        p[0] = (uint8_t)(a->src_port >> 8);
        p[1] = (uint8_t)a->src_port;
        p[2] = (uint8_t)(a->dst_port >> 8);
        p[3] = (uint8_t)a->dst_port;
        return V2_FIXED + len;
}
