/* l7gw/core/path.c - paths, queries and authorities in normal form. */
#include "lib/base.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/path.h"
#include "lib/core/ipaddr.h"

#define HOST_MAX_BYTES 255 /* RFC 1035 2.3.4 */

/* True when in is already normal: only pchars, no escape, no segment that starts with a dot.  The common case. */
static bool path_is_plain(struct span in)
{
        uint8_t prev = 0;
        for (size_t i = 0; i < in.n; i++) {
                uint8_t c = in.p[i];
                if (!char_is(c, CH_PCHAR) || (c == '.' && prev == '/'))
                        return false;
                prev = c;
        }
        return true;
}

/* RFC 3986 5.2.4 on the segment just written, out[seg..n): returns the new length, or -1 for ".." above the root.
 * seg is the index after the slash that began it; `last` = no slash follows. */
static ssize_t segment_close(uint8_t *out, size_t seg, size_t n, bool last)
{
        size_t len = n - seg;
        if (len == 1 && out[seg] == '.') {
                n = seg; /* "/./" -> "/", "/." -> "/" */
        } else if (len == 2 && out[seg] == '.' && out[seg + 1] == '.') {
                if (seg < 2)
                        return -1;
                n = seg - 1;
                while (out[n - 1] != '/')
                        n--;
        } else if (!last) {
                out[n++] = '/';
        }
        return (ssize_t)n;
}

/* Writes the normal form of the escape at in.p[i] to out; returns bytes written, 0 for a bad one. */
static size_t escape_copy(uint8_t *out, struct span in, size_t i)
{
        if (in.n - i < 3 || !char_is(in.p[i + 1], CH_HEX) || !char_is(in.p[i + 2], CH_HEX))
                return 0;
        uint8_t v = (uint8_t)(hex_value(in.p[i + 1]) << 4 | hex_value(in.p[i + 2]));
        if (v == 0)
                return 0;
        if (char_is(v, CH_UNRESERVED)) {
                out[0] = v;
                return 1;
        }
        out[0] = '%';
        out[1] = (uint8_t)hex_upper[v >> 4];
        out[2] = (uint8_t)hex_upper[v & 15];
        return 3;
}

static int path_rewrite(struct span in, uint8_t *out, size_t *ret_n)
{
        size_t n = 0, seg = 1;
        out[n++] = '/';
        for (size_t i = 1; i < in.n; i++) {
                uint8_t c = in.p[i];
                if (c == '/') {
                        ssize_t r = segment_close(out, seg, n, false);
                        if (r < 0)
                                return -EINVAL;
                        n = seg = (size_t)r;
                } else if (c == '%') {
                        size_t w = escape_copy(out + n, in, i);
                        if (w == 0)
                                return -EINVAL;
                        n += w;
                        i += 2;
                } else if (char_is(c, CH_PCHAR)) {
                        out[n++] = c;
                } else if (char_is(c, CH_TARGET) && c != '?') {
                        out[n++] = '%';
                        out[n++] = (uint8_t)hex_upper[c >> 4];
                        out[n++] = (uint8_t)hex_upper[c & 15];
                } else {
                        return -EINVAL;
                }
        }
        ssize_t r = segment_close(out, seg, n, true);
        if (r < 0)
                return -EINVAL;
        *ret_n = (size_t)r;
        return 0;
}

int path_normalise(struct arena *a, struct span in, struct span *ret)
{
        if (in.n == 0 || in.p[0] != '/')
                return -EINVAL;
        if (path_is_plain(in)) {
                struct span s = arena_span(a, in);
                if (!s.p)
                        return -ENOMEM;
                *ret = s;
                return 0;
        }
        size_t max;
        if (__builtin_mul_overflow(in.n, 3, &max)) /* every byte may become an escape */
                return -EINVAL;
        uint8_t *out = arena_alloc(a, max);
        if (!out)
                return -ENOMEM;
        size_t n;
        int r = path_rewrite(in, out, &n);
        if (r < 0)
                return r;
        *ret = SPAN(out, n);
        return 0;
}

bool query_is_valid(struct span query) { return chars_all(query, CH_TARGET); }

int target_split(struct arena *a, struct span in, struct span *ret_path, struct span *ret_query, bool *ret_has_query)
{
        const uint8_t *q = in.n ? memchr(in.p, '?', in.n) : NULL;
        struct span path = in, query = SPAN_NULL;
        if (q) {
                path.n = (size_t)(q - in.p);
                query = SPAN(q + 1, in.n - path.n - 1);
                if (!query_is_valid(query))
                        return -EINVAL;
        }
        int r = path_normalise(a, path, ret_path);
        if (r < 0)
                return r;
        *ret_query = query;
        *ret_has_query = q != NULL;
        return 0;
}

static int port_parse(struct span s, uint16_t *ret)
{
        if (s.n == 0 || s.n > 5)
                return -EINVAL;
        unsigned v = 0;
        for (size_t i = 0; i < s.n; i++) {
                if (!char_is(s.p[i], CH_DIGIT))
                        return -EINVAL;
                v = v * 10 + (unsigned)(s.p[i] - '0');
        }
        if (v == 0 || v > 65535)
                return -EINVAL;
        *ret = (uint16_t)v;
        return 0;
}

static int host_ip6(struct arena *a, struct span inner, struct span *ret)
{
        struct ipaddr ip;
        if (inner.n >= IPADDR_STR_MAX || ipaddr_parse(inner, &ip) < 0 || ip.af != 6)
                return -EINVAL;
        char text[IPADDR_STR_MAX];
        char *s = arena_printf(a, "[%s]", ipaddr_str(&ip, text));
        if (!s)
                return -ENOMEM;
        *ret = span_str(s);
        return 0;
}

static int host_name(struct arena *a, struct span in, struct span *ret)
{
        if (in.n && in.p[in.n - 1] == '.')
                in.n--;
        if (in.n == 0 || in.n > HOST_MAX_BYTES || !chars_all(in, CH_HOST))
                return -EINVAL;
        uint8_t *p = arena_alloc(a, in.n);
        if (!p)
                return -ENOMEM;
        uint8_t prev = '.';
        for (size_t i = 0; i < in.n; i++) {
                if (in.p[i] == '.' && prev == '.')
                        return -EINVAL; /* empty label */
                prev = in.p[i];
                p[i] = char_lower[prev];
        }
        if (prev == '.')
                return -EINVAL;
        *ret = SPAN(p, in.n);
        return 0;
}

int authority_split(struct arena *a, struct span in, struct span *ret_host, uint16_t *ret_port)
{
        struct span host = in, rest = SPAN_NULL, out;
        bool ip6 = in.n > 0 && in.p[0] == '[';
        if (in.n == 0)
                return -EINVAL;
        const uint8_t *end = memchr(in.p, ip6 ? ']' : ':', in.n);
        if (ip6 && !end)
                return -EINVAL;
        if (end) {
                host.n = (size_t)(end - in.p);
                rest = SPAN(end + ip6, in.n - host.n - ip6);
        }
        uint16_t port = 0;
        if (rest.n && (rest.p[0] != ':' || port_parse(SPAN(rest.p + 1, rest.n - 1), &port) < 0))
                return -EINVAL;
        int r = ip6 ? host_ip6(a, SPAN(host.p + 1, host.n - 1), &out) : host_name(a, host, &out);
        if (r < 0)
                return r;
        *ret_host = out;
        *ret_port = port;
        return 0;
}

uint16_t scheme_port(struct span scheme)
{
        return span_eq(scheme, SPAN_LIT("http")) ? 80 : span_eq(scheme, SPAN_LIT("https")) ? 443 : 0;
}
