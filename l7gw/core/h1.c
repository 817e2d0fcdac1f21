/* l7gw/core/h1.c - finds the end of a head, parses request and status lines.  (RFC 9112 2-4) */
#include "lib/base.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/h1.h"
#include "l7gw/core/h1_fields.h"
#include "l7gw/core/path.h"

#define MAX_METHOD_BYTES 32 /* longest registered is 17 (UPDATEREDIRECTREF) */

const struct h1_limits h1_default_limits = { 8192, 32768, MSG_MAX_FIELDS, 16384 };

static const struct {
        unsigned status;
        const char *rfc, *text;
} results[] = {
#define R(id, status, rfc, text) { status, rfc, text },
        H1_RESULTS(R)
#undef R
};
_Static_assert(ARRAY_SIZE(results) == H1_RC_N, "one row per result");

unsigned h1_rc_status(enum h1_rc rc) { return results[rc].status; }
const char *h1_rc_str(enum h1_rc rc) { return results[rc].text; }
const char *h1_rc_rfc(enum h1_rc rc) { return results[rc].rfc; }

/* What the first bytes of a head must be: a token character, after at most two empty lines where allowed (requirement 6). */
static enum h1_rc scan_start(struct h1_scan *s, struct span in, bool empty_lines)
{
        while (s->seen == s->start) {
                if (in.n == s->start)
                        return H1_MORE;
                uint8_t c = in.p[s->start];
                if (c == '\n')
                        return H1_BAD_LF;
                if (c != '\r') {
                        if (!char_is(c, CH_TOKEN))
                                return H1_BAD_LINE;
                        s->seen = s->start + 1;
                        s->line = s->start;
                        return H1_OK;
                }
                if (!empty_lines || s->start >= 4)
                        return H1_BAD_LINE;
                if (in.n == s->start + 1)
                        return H1_MORE;
                if (in.p[s->start + 1] != '\n')
                        return H1_BAD_LF;
                s->start += 2;
                s->seen = s->start;
        }
        return H1_OK;
}

/* Searches for the empty line that ends the head; checks line ends and limits in byte order, so that the result does not
 * depend on how the bytes were delivered.  H1_OK: s->seen is the length of the head with the empty lines before it. */
static enum h1_rc scan_head(struct h1_scan *s, struct span in, const struct h1_limits *lim, bool empty_lines)
{
        enum h1_rc rc = scan_start(s, in, empty_lines);
        if (rc != H1_OK)
                return rc;
        size_t head_max = s->start + lim->max_head_bytes;
        for (;;) {
                size_t line_max = s->line + (s->lines == 0 ? lim->max_line_bytes : lim->max_field_bytes);
                size_t max = MIN(line_max, head_max), end = MIN(in.n, max);
                const uint8_t *lf = s->seen < end ? memchr(in.p + s->seen, '\n', end - s->seen) : NULL;
                if (!lf) {
                        s->seen = MAX(s->seen, end);
                        if (end < max)
                                return H1_MORE;
                        return s->lines == 0 && line_max <= head_max ? H1_LINE_TOO_LONG : H1_HEAD_TOO_LARGE;
                }
                size_t at = (size_t)(lf - in.p);
                if (at == s->line || in.p[at - 1] != '\r')
                        return H1_BAD_LF;
                s->seen = at + 1;
                if (at == s->line + 1)
                        return H1_OK;
                s->line = s->seen;
                if (++s->lines > lim->max_fields + 1)
                        return H1_HEAD_TOO_LARGE;
        }
}

/* Copies the head into the arena and splits off its first line (without CRLF). */
static enum h1_rc head_take(const struct h1_scan *s, struct span in, struct msg *m, struct span *ret_line,
                            uint8_t **ret_fields, uint8_t **ret_end)
{
        size_t n = s->seen - s->start;
        uint8_t *p = arena_dup(m->arena, in.p + s->start, n);
        if (!p || msg_reserve(m, MIN(s->lines + 8, (size_t)MSG_MAX_STORED)) < 0)
                return H1_NO_MEMORY;
        const uint8_t *lf = memchr(p, '\n', n);
        *ret_line = SPAN(p, (size_t)(lf - p) - 1);
        *ret_fields = p + ret_line->n + 2;
        *ret_end = p + n - 2;
        return H1_OK;
}

/* "HTTP/1.0" or "HTTP/1.1"; well-formed with another major: BAD_VERSION (requirement 1). */
static enum h1_rc version_parse(struct span v, uint8_t *ret_minor)
{
        if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || !char_is(v.p[5], CH_DIGIT) || v.p[6] != '.' ||
            !char_is(v.p[7], CH_DIGIT))
                return H1_BAD_LINE;
        if (v.p[5] != '1')
                return H1_BAD_VERSION;
        if (v.p[7] > '1')
                return H1_BAD_LINE;
        *ret_minor = (uint8_t)(v.p[7] - '0');
        return H1_OK;
}

static enum h1_rc rc_of(int r, enum h1_rc bad) { return r == 0 ? H1_OK : r == -ENOMEM ? H1_NO_MEMORY : bad; }

static enum h1_rc authority_take(struct msg *m, struct span authority)
{
        m->authority = authority;
        return rc_of(authority_split(m->arena, authority, &m->host, &m->port), H1_BAD_TARGET);
}

/* absolute-form: scheme "://" authority [path] ["?" query]  (requirement 22) */
static enum h1_rc target_absolute(struct msg *m, struct span t)
{
        struct span scheme = t.n > 7 && span_ieq(SPAN(t.p, 7), SPAN_LIT("http://"))    ? SPAN_LIT("http")
                             : t.n > 8 && span_ieq(SPAN(t.p, 8), SPAN_LIT("https://")) ? SPAN_LIT("https")
                                                                                      : SPAN_NULL;
        if (!scheme.n || (m->scheme.n && !span_eq(scheme, m->scheme)))
                return H1_BAD_TARGET;
        m->scheme = scheme;
        struct span rest = SPAN(t.p + scheme.n + 3, t.n - scheme.n - 3);
        size_t n = 0;
        while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
                n++;
        enum h1_rc rc = authority_take(m, SPAN(rest.p, n));
        if (rc != H1_OK)
                return rc;
        rest = SPAN(rest.p + n, rest.n - n);
        if (rest.n == 0) { /* RFC 9112 3.2.4: OPTIONS with an empty path is the server as a whole */
                m->path = span_eq(m->method, SPAN_LIT("OPTIONS")) ? SPAN_LIT("*") : SPAN_LIT("/");
                return H1_OK;
        }
        if (rest.p[0] == '/')
                return rc_of(target_split(m->arena, rest, &m->path, &m->query, &m->has_query), H1_BAD_TARGET);
        m->path = SPAN_LIT("/");
        m->query = SPAN(rest.p + 1, rest.n - 1);
        m->has_query = true;
        return query_is_valid(m->query) ? H1_OK : H1_BAD_TARGET;
}

static enum h1_rc target_parse(struct msg *m, struct span t)
{
        if (t.n == 0)
                return H1_BAD_LINE;
        if (span_eq(m->method, SPAN_LIT("CONNECT"))) { /* authority-form and nothing else (requirement 23) */
                enum h1_rc rc = authority_take(m, t);
                return rc == H1_OK && m->port == 0 ? H1_BAD_TARGET : rc;
        }
        if (t.p[0] == '/')
                return rc_of(target_split(m->arena, t, &m->path, &m->query, &m->has_query), H1_BAD_TARGET);
        if (t.n == 1 && t.p[0] == '*') {
                m->path = t;
                return span_eq(m->method, SPAN_LIT("OPTIONS")) ? H1_OK : H1_BAD_TARGET;
        }
        return target_absolute(m, t);
}

static enum h1_rc request_line(struct msg *m, struct span line)
{
        const uint8_t *sp1 = memchr(line.p, ' ', line.n);
        const uint8_t *sp2 = memrchr(line.p, ' ', line.n);
        if (memchr(line.p, '\r', line.n))
                return H1_BAD_LF;
        if (!sp1 || sp1 == sp2)
                return H1_BAD_LINE;
        m->method = SPAN(line.p, (size_t)(sp1 - line.p));
        struct span target = SPAN(sp1 + 1, (size_t)(sp2 - sp1) - 1);
        struct span version = SPAN(sp2 + 1, line.n - m->method.n - target.n - 2);
        if (!name_is_token(m->method) || m->method.n > MAX_METHOD_BYTES)
                return H1_BAD_METHOD;
        if (memchr(target.p, ' ', target.n)) /* exactly one SP each: a space in the target is not told from a third part */
                return H1_BAD_LINE;
        enum h1_rc rc = version_parse(version, &m->minor);
        return rc == H1_OK ? target_parse(m, target) : rc;
}

enum h1_rc h1_request(struct h1_scan *s, struct span in, const struct h1_limits *lim, struct msg *m, size_t *ret_used)
{
        enum h1_rc rc = scan_head(s, in, lim, true);
        if (rc != H1_OK)
                return rc;
        struct span line;
        uint8_t *fields, *end;
        rc = head_take(s, in, m, &line, &fields, &end);
        if (rc == H1_OK)
                rc = request_line(m, line);
        if (rc == H1_OK)
                rc = h1_fields_parse(fields, end, lim, m);
        if (rc == H1_OK)
                rc = h1_request_normalise(m);
        if (rc == H1_OK)
                *ret_used = s->seen;
        return rc;
}

/* status-line = HTTP-version SP 3DIGIT SP [reason]; we also take the form without the last SP, which many send. */
static enum h1_rc status_line(struct msg *m, struct span line)
{
        if (line.n < 12 || line.p[8] != ' ' || (line.n > 12 && line.p[12] != ' '))
                return H1_BAD_LINE;
        enum h1_rc rc = version_parse(SPAN(line.p, 8), &m->minor);
        if (rc != H1_OK)
                return rc;
        unsigned status = 0;
        for (size_t i = 9; i < 12; i++) {
                if (!char_is(line.p[i], CH_DIGIT))
                        return H1_BAD_LINE;
                status = status * 10 + (unsigned)(line.p[i] - '0');
        }
        if (status < 100 || status > 599)
                return H1_BAD_LINE;
        m->status = (uint16_t)status;
        m->reason = line.n > 13 ? SPAN(line.p + 13, line.n - 13) : SPAN_NULL;
        return chars_all(m->reason, CH_VALUE) ? H1_OK : memchr(m->reason.p, '\r', m->reason.n) ? H1_BAD_LF : H1_BAD_LINE;
}

enum h1_rc h1_response(struct h1_scan *s, struct span in, const struct h1_limits *lim, struct span method, struct msg *m,
                       size_t *ret_used)
{
        enum h1_rc rc = scan_head(s, in, lim, false);
        if (rc != H1_OK)
                return rc;
        struct span line;
        uint8_t *fields, *end;
        rc = head_take(s, in, m, &line, &fields, &end);
        if (rc == H1_OK)
                rc = status_line(m, line);
        if (rc == H1_OK)
                rc = h1_fields_parse(fields, end, lim, m);
        if (rc == H1_OK)
                rc = h1_response_normalise(m, method);
        if (rc == H1_OK)
                *ret_used = s->seen;
        return rc;
}
