/* lib/core/ipaddr.c - see ipaddr.h.  RFC 4291 2.2 text in, RFC 5952 text out; no zone ids, no octal, no short forms. */
#include "lib/core/ipaddr.h"

static int hex_value(uint8_t c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* Decimal without sign or leading zeros, at most max; false if s is anything else. */
static bool decimal(struct span s, unsigned max, unsigned *ret)
{
        if (s.n == 0 || s.n > 3 || (s.n > 1 && s.p[0] == '0'))
                return false;
        unsigned v = 0;
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] < '0' || s.p[i] > '9')
                        return false;
                v = v * 10 + (unsigned)(s.p[i] - '0');
        }
        *ret = v;
        return v <= max;
}

static bool parse4(struct span s, uint8_t out[4])
{
        for (int i = 0; i < 4; i++) {
                size_t n = 0;
                while (n < s.n && s.p[n] != '.')
                        n++;
                unsigned v;
                if (!decimal(SPAN(s.p, n), 255, &v) || (i < 3) != (n < s.n))
                        return false;
                out[i] = (uint8_t)v;
                n += n < s.n; /* the dot */
                s = SPAN(s.p + n, s.n - n);
        }
        return s.n == 0;
}

struct v6_groups {
        uint8_t b[16];
        size_t n;   /* bytes filled */
        size_t gap; /* byte index of "::", SIZE_MAX = none */
};

/* One side at a time: groups separated by ':', "::" at most once, an IPv4 tail allowed as the last two groups. */
static bool v6_scan(struct span s, struct v6_groups *g)
{
        size_t i = 0;
        if (s.n >= 2 && s.p[0] == ':' && s.p[1] == ':') {
                g->gap = 0;
                i = 2;
        }
        while (i < s.n) {
                size_t start = i;
                unsigned v = 0;
                for (int h; i < s.n && i - start < 4 && (h = hex_value(s.p[i])) >= 0; i++)
                        v = v << 4 | (unsigned)h;
                if (i < s.n && s.p[i] == '.') {
                        if (g->n > 12 || !parse4(SPAN(s.p + start, s.n - start), g->b + g->n))
                                return false;
                        g->n += 4;
                        return true;
                }
                if (i == start || g->n > 14)
                        return false;
                g->b[g->n++] = (uint8_t)(v >> 8);
                g->b[g->n++] = (uint8_t)v;
                if (i == s.n)
                        return true;
                if (s.p[i++] != ':' || i == s.n)
                        return false;
                if (s.p[i] == ':') {
                        if (g->gap != SIZE_MAX)
                                return false;
                        g->gap = g->n;
                        i++;
                }
        }
        return g->gap != SIZE_MAX; /* ended in "::" */
}

static bool parse6(struct span s, uint8_t out[16])
{
        struct v6_groups g = {.gap = SIZE_MAX};
        if (!v6_scan(s, &g))
                return false;
        if (g.gap == SIZE_MAX) {
                memcpy(out, g.b, 16);
                return g.n == 16;
        }
        if (g.n > 14) /* "::" stands for at least one group */
                return false;
        memset(out, 0, 16);
        memcpy(out, g.b, g.gap);
        memcpy(out + 16 - (g.n - g.gap), g.b + g.gap, g.n - g.gap);
        return true;
}

int ipaddr_parse(struct span s, struct ipaddr *ret)
{
        struct ipaddr a = {0};
        if (s.n == 0 || s.n >= IPADDR_STR_MAX)
                return -EINVAL;
        if (memchr(s.p, ':', s.n)) {
                if (!parse6(s, a.b))
                        return -EINVAL;
                a.af = 6;
        } else {
                if (!parse4(s, a.b))
                        return -EINVAL;
                a.af = 4;
        }
        *ret = a;
        return 0;
}

int ipprefix_parse(struct span s, struct ipprefix *ret)
{
        const uint8_t *slash = s.n ? memchr(s.p, '/', s.n) : NULL;
        size_t n = slash ? (size_t)(slash - s.p) : s.n;
        struct ipprefix p;
        if (ipaddr_parse(SPAN(s.p, n), &p.addr) < 0)
                return -EINVAL;
        unsigned len = p.addr.af == 4 ? 32 : 128;
        if (slash && !decimal(SPAN(slash + 1, s.n - n - 1), len, &len))
                return -EINVAL;
        p.len = (uint8_t)len;
        *ret = p;
        return 0;
}

int ipaddr_from_bytes(const void *p, size_t n, struct ipaddr *ret)
{
        if (n != 4 && n != 16)
                return -EINVAL;
        *ret = (struct ipaddr){.af = n == 4 ? 4 : 6};
        memcpy(ret->b, p, n);
        return 0;
}

static unsigned v6_group(const struct ipaddr *a, int i)
{
        return (unsigned)a->b[2 * i] << 8 | a->b[2 * i + 1];
}

/* The longest run of two or more zero groups, the first of equals (RFC 5952 4.2). */
static void v6_zero_run(const struct ipaddr *a, int n_groups, int *ret_at, int *ret_len)
{
        *ret_at = -1;
        *ret_len = 1;
        for (int i = 0; i < n_groups; i++) {
                int len = 0;
                while (i + len < n_groups && v6_group(a, i + len) == 0)
                        len++;
                if (len > *ret_len) {
                        *ret_at = i;
                        *ret_len = len;
                }
                i += len;
        }
}

const char *ipaddr_str(const struct ipaddr *a, char ret[IPADDR_STR_MAX])
{
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
        size_t n = 0;
        if (a->af == 0) {
                snprintf(ret, IPADDR_STR_MAX, "-");
                return ret;
        }
        if (a->af == 4) {
                snprintf(ret, IPADDR_STR_MAX, "%u.%u.%u.%u", a->b[0], a->b[1], a->b[2], a->b[3]);
                return ret;
        }
        if (memcmp(a->b, mapped, 12) == 0) { /* RFC 5952 5 */
                snprintf(ret, IPADDR_STR_MAX, "::ffff:%u.%u.%u.%u", a->b[12], a->b[13], a->b[14], a->b[15]);
                return ret;
        }
        int at, len;
        v6_zero_run(a, 8, &at, &len);
        for (int i = 0; i < 8; i++) {
                if (i == at) {
                        n += (size_t)snprintf(ret + n, IPADDR_STR_MAX - n, "::");
                        i += len - 1;
                        continue;
                }
                bool colon = i > 0 && !(at >= 0 && i == at + len);
                n += (size_t)snprintf(ret + n, IPADDR_STR_MAX - n, "%s%x", colon ? ":" : "", v6_group(a, i));
        }
        return ret;
}

bool ipaddr_eq(const struct ipaddr *a, const struct ipaddr *b)
{
        return ipaddr_cmp(a, b) == 0;
}

int ipaddr_cmp(const struct ipaddr *a, const struct ipaddr *b)
{
        if (a->af != b->af)
                return a->af < b->af ? -1 : 1;
        size_t n = ipaddr_len(a);
        return n ? memcmp(a->b, b->b, n) : 0;
}

bool ipprefix_contains(const struct ipprefix *p, const struct ipaddr *a)
{
        if (p->addr.af != a->af || a->af == 0 || p->len > 8 * ipaddr_len(a))
                return false;
        size_t whole = p->len / 8;
        unsigned rest = p->len % 8;
        if (memcmp(p->addr.b, a->b, whole) != 0)
                return false;
        return rest == 0 || ((p->addr.b[whole] ^ a->b[whole]) >> (8 - rest)) == 0;
}
