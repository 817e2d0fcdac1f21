/* l7gw/core/h1_fields.c - field lines, and the normal form: framing decided once, hop-by-hop fields gone.
 * (RFC 9110 5, 7.6.1, 8.6; RFC 9112 5, 6)  What is ambiguous is an error. */
#include "lib/base.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/h1_fields.h"
#include "l7gw/core/path.h"

static bool is_ows(uint8_t c) { return c == ' ' || c == '\t'; }

/* One line [p, end) without CRLF. */
static enum h1_rc line_parse(uint8_t *p, uint8_t *end, struct field *ret)
{
        if (is_ows(*p))
                return H1_BAD_FOLD; /* obs-fold, or white space before the first field (9112 2.2) */
        uint8_t *c = p;
        for (; c < end && char_is(*c, CH_TOKEN); c++)
                *c = char_lower[*c];
        if (c == end || *c != ':' || c == p)
                return c < end && *c == '\r' ? H1_BAD_LF : H1_BAD_FIELD;
        struct span name = SPAN(p, (size_t)(c - p));
        for (c++; c < end && is_ows(*c);)
                c++;
        while (end > c && is_ows(end[-1]))
                end--;
        struct span value = SPAN(c, (size_t)(end - c));
        if (!chars_value(value))
                return memchr(c, '\r', value.n) ? H1_BAD_LF : H1_BAD_FIELD;
        *ret = (struct field){ name, value, field_id_of(name) };
        return H1_OK;
}

enum h1_rc h1_fields_parse(uint8_t *p, uint8_t *end, const struct h1_limits *lim, struct msg *m)
{
        while (p < end) {
                uint8_t *lf = memchr(p, '\n', (size_t)(end - p));
                BUG_ON(!lf || lf == p); /* the scan has seen CRLF at the end of every line */
                if (m->n_fields >= lim->max_fields)
                        return H1_HEAD_TOO_LARGE;
                if (msg_reserve(m, m->n_fields + 1) < 0)
                        return H1_NO_MEMORY;
                enum h1_rc rc = line_parse(p, lf - 1, &m->fields[m->n_fields]);
                if (rc != H1_OK)
                        return rc;
                m->n_fields++;
                p = lf + 1;
        }
        return H1_OK;
}

/* ------------------------------------------------------------------------------------------------ facts */

/* Bounded, because every field is compared with every option: a few are honest, thousands are an attack on the CPU. */
#define MAX_CONNECTION_OPTIONS 32

struct facts { /* what the framing and connection fields of one head said */
        unsigned n_host, n_te, n_cl;
        struct span host, te, cl;
        bool close, keep_alive, upgrade_option;
        struct span upgrade;
        unsigned n_upgrade;
        bool expect, expect_other;
        uint32_t seen_type, seen_auth;
        struct span options[MAX_CONNECTION_OPTIONS]; /* other names in Connection: fields to drop; last, see facts_init */
        size_t n_options;
};

static void facts_init(struct facts *f)
{
        memset(f, 0, offsetof(struct facts, options)); /* the options are written before they are read */
        f->n_options = 0;
}

/* Content-Length: 1*DIGIT, or a list of equal ones, in one line or several (requirement 7).  An empty element is an error. */
static enum h1_rc length_parse(struct span rest, struct facts *f)
{
        for (;;) {
                const uint8_t *comma = rest.n ? memchr(rest.p, ',', rest.n) : NULL;
                size_t n = comma ? (size_t)(comma - rest.p) : rest.n, skip = n + 1;
                struct span e = value_trim(SPAN(rest.p, n));
                if (e.n == 0 || !chars_all(e, CH_DIGIT) || (f->n_cl && !span_eq(f->cl, e)))
                        return H1_BAD_LENGTH;
                f->cl = e;
                f->n_cl++;
                if (!comma)
                        return H1_OK;
                rest = SPAN(rest.p + skip, rest.n - skip);
        }
}

static enum h1_rc length_value(struct span digits, uint64_t *ret)
{
        int64_t v = 0;
        for (size_t i = 0; i < digits.n; i++)
                if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digits.p[i] - '0', &v))
                        return H1_BAD_LENGTH;
        *ret = (uint64_t)v;
        return H1_OK;
}

static bool coding_is_known(struct span s)
{
        static const char *const names[] = { "gzip", "x-gzip", "deflate", "compress", "x-compress" };
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (span_ieq(s, span_str(names[i])))
                        return true;
        return false;
}

/* "chunked" and nothing else (requirement 9); known codings before it are 501, all other values an error. */
static enum h1_rc coding_check(struct span v)
{
        if (span_ieq(v, SPAN_LIT("chunked")))
                return H1_OK;
        bool last_chunked = false;
        struct span rest = v, e;
        while (value_list_next(&rest, &e)) {
                if (last_chunked)
                        return H1_BAD_FRAMING;
                last_chunked = span_ieq(e, SPAN_LIT("chunked"));
                if (!last_chunked && !coding_is_known(e))
                        return H1_BAD_FRAMING;
        }
        bool empty_element = v.n == 0 || v.p[0] == ',' || v.p[v.n - 1] == ',';
        return last_chunked && !empty_element ? H1_BAD_CODING : H1_BAD_FRAMING;
}

/* Connection: names fields to drop, except those that an attacker would like to see dropped (requirement 29). */
static bool connection_may_name(struct span name)
{
        static const char *const kept[] = { "host", "content-length", "transfer-encoding", "authorization", "cookie",
                                            "content-type", "forwarded", "x-real-ip" };
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
                if (span_ieq(name, span_str(kept[i])))
                        return false;
        return !(name.n >= 12 && span_ieq(SPAN(name.p, 12), SPAN_LIT("x-forwarded-")));
}

static enum h1_rc connection_parse(struct span v, struct facts *f)
{
        struct span e;
        while (value_list_next(&v, &e)) {
                if (!name_is_token(e))
                        return H1_BAD_FIELD;
                if (span_ieq(e, SPAN_LIT("close"))) {
                        f->close = true;
                } else if (span_ieq(e, SPAN_LIT("keep-alive"))) {
                        f->keep_alive = true;
                } else if (span_ieq(e, SPAN_LIT("upgrade"))) {
                        f->upgrade_option = true;
                } else if (connection_may_name(e)) {
                        if (f->n_options == MAX_CONNECTION_OPTIONS)
                                return H1_BAD_FIELD;
                        f->options[f->n_options++] = e;
                }
        }
        return H1_OK;
}

bool h1_name_is_twin(struct span name)
{
        static const char *const ours[] = { "content-length", "transfer-encoding", "x-real-ip" };
        if (!memchr(name.p, '_', name.n))
                return false;
        uint8_t dashed[20];
        size_t n = MIN(name.n, sizeof dashed);
        for (size_t i = 0; i < n; i++)
                dashed[i] = name.p[i] == '_' ? '-' : name.p[i];
        if (n >= 12 && memcmp(dashed, "x-forwarded-", 12) == 0)
                return true;
        for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
                if (span_eq(SPAN(dashed, name.n <= sizeof dashed ? n : 0), span_str(ours[i])))
                        return true;
        return false;
}

/* Reads one field into the facts. */
static enum h1_rc fact_of(const struct field *fd, struct msg *m, struct facts *f)
{
        struct span rest = fd->value, e;
        switch ((int)fd->id) { /* int: only the names that matter here */
        case FIELD_HOST:
                f->n_host++;
                f->host = fd->value;
                return H1_OK;
        case FIELD_CONTENT_LENGTH:
                return length_parse(fd->value, f);
        case FIELD_TRANSFER_ENCODING:
                f->te = fd->value;
                return ++f->n_te > 1 ? H1_BAD_FRAMING : H1_OK;
        case FIELD_CONNECTION:
                return connection_parse(fd->value, f);
        case FIELD_UPGRADE:
                while (value_list_next(&rest, &e)) {
                        f->upgrade = e;
                        f->n_upgrade++;
                }
                return H1_OK;
        case FIELD_EXPECT:
                f->expect = true;
                f->expect_other |= !span_ieq(fd->value, SPAN_LIT("100-continue"));
                return H1_OK;
        case FIELD_TE:
                while (value_list_next(&rest, &e))
                        m->te_trailers |= span_ieq(e, SPAN_LIT("trailers"));
                return H1_OK;
        case FIELD_CONTENT_TYPE:
                return ++f->seen_type > 1 ? H1_BAD_FIELD : H1_OK;
        case FIELD_AUTHORIZATION:
                return ++f->seen_auth > 1 ? H1_BAD_FIELD : H1_OK;
        case FIELD_OTHER:
                return h1_name_is_twin(fd->name) ? H1_BAD_FIELD : H1_OK;
        }
        return H1_OK;
}

/* ------------------------------------------------------------------------------------------------ normal form */

static bool id_is_hop_by_hop(enum field_id id)
{
        switch ((int)id) {
        case FIELD_HOST:
        case FIELD_CONTENT_LENGTH:
        case FIELD_TRANSFER_ENCODING:
        case FIELD_CONNECTION:
        case FIELD_KEEP_ALIVE:
        case FIELD_PROXY_CONNECTION:
        case FIELD_UPGRADE:
        case FIELD_TE:
        case FIELD_EXPECT:
        case FIELD_PROXY_AUTHORIZATION: /* for the proxy that asked; this gateway never asks */
        case FIELD_PROXY_AUTHENTICATE:
                return true;
        }
        return false;
}

static bool connection_names(const struct facts *f, struct span name)
{
        for (size_t i = 0; i < f->n_options; i++)
                if (f->options[i].n == name.n && span_ieq(f->options[i], name))
                        return true;
        return false;
}

/* Reads all facts, then keeps the fields that go on to the next hop. */
static enum h1_rc fields_facts(struct msg *m, struct facts *f)
{
        for (size_t i = 0; i < m->n_fields; i++) {
                enum h1_rc rc = fact_of(&m->fields[i], m, f);
                if (rc != H1_OK)
                        return rc;
        }
        size_t keep = 0;
        for (size_t i = 0; i < m->n_fields; i++) {
                const struct field *fd = &m->fields[i];
                if (!id_is_hop_by_hop(fd->id) && !connection_names(f, fd->name))
                        m->fields[keep++] = *fd;
        }
        m->n_fields = keep;
        return H1_OK;
}

/* Exactly one Host in HTTP/1.1; valid; equal to the authority of the target when that has one (requirements 21, 22). */
static enum h1_rc host_decide(struct msg *m, const struct facts *f)
{
        if (f->n_host > 1 || (f->n_host == 0 && m->minor > 0))
                return H1_BAD_HOST;
        if (f->n_host == 0)
                return H1_OK;
        struct span host;
        uint16_t port;
        int r = authority_split(m->arena, f->host, &host, &port);
        if (r < 0)
                return r == -ENOMEM ? H1_NO_MEMORY : H1_BAD_HOST;
        if (m->authority.n) {
                uint16_t dflt = scheme_port(m->scheme);
                if (!span_eq(host, m->host) || (port ? port : dflt) != (m->port ? m->port : dflt))
                        return H1_BAD_HOST;
                return H1_OK;
        }
        m->authority = f->host;
        m->host = host;
        m->port = port;
        return H1_OK;
}

static enum h1_rc request_framing(struct msg *m, const struct facts *f)
{
        if (f->n_te) {
                if (m->minor == 0 || f->n_cl) /* requirements 8, 10 */
                        return H1_BAD_FRAMING;
                m->framing = BODY_CHUNKED;
                return coding_check(f->te);
        }
        if (!f->n_cl)
                return H1_OK;
        m->framing = BODY_LENGTH;
        return length_value(f->cl, &m->content_length);
}

/* A single protocol, lower case; several, or h2c, are as if not asked: a server MAY ignore Upgrade (requirement 54). */
static enum h1_rc upgrade_take(struct msg *m, const struct facts *f)
{
        if (f->n_upgrade != 1 || !f->upgrade_option || m->minor == 0)
                return H1_OK;
        for (size_t i = 0; i < f->upgrade.n; i++)
                if (!char_is(f->upgrade.p[i], CH_TOKEN) && f->upgrade.p[i] != '/')
                        return H1_BAD_FIELD;
        uint8_t *p = arena_dup(m->arena, f->upgrade.p, f->upgrade.n);
        if (!p)
                return H1_NO_MEMORY;
        for (size_t i = 0; i < f->upgrade.n; i++)
                p[i] = char_lower[p[i]];
        struct span proto = SPAN(p, f->upgrade.n);
        if (!span_eq(proto, SPAN_LIT("h2c")))
                m->upgrade = proto;
        return H1_OK;
}

static void keep_alive_decide(struct msg *m, const struct facts *f)
{
        m->keep_alive = !f->close && (m->minor > 0 || f->keep_alive);
}

enum h1_rc h1_request_normalise(struct msg *m)
{
        struct facts f;
        facts_init(&f);
        enum h1_rc rc = fields_facts(m, &f);
        if (rc == H1_OK)
                rc = host_decide(m, &f);
        if (rc == H1_OK)
                rc = request_framing(m, &f);
        if (rc == H1_OK)
                rc = upgrade_take(m, &f);
        if (rc != H1_OK)
                return rc;
        if (f.expect && m->minor > 0) { /* RFC 9110 10.1.1: from HTTP/1.0 ignored */
                if (f.expect_other)
                        return H1_BAD_EXPECT;
                m->expect_continue = m->framing == BODY_CHUNKED || m->content_length > 0;
        }
        keep_alive_decide(m, &f);
        return H1_OK;
}

/* RFC 9112 6.3 in its order (requirements 8, 10, 20). */
static enum h1_rc response_framing(struct msg *m, struct facts *f, struct span method)
{
        bool head = span_eq(method, SPAN_LIT("HEAD")), connect = span_eq(method, SPAN_LIT("CONNECT"));
        uint64_t length = 0;
        enum h1_rc rc = f->n_cl ? length_value(f->cl, &length) : H1_OK;
        if (rc == H1_OK && f->n_te)
                rc = m->minor == 0 ? H1_BAD_FRAMING : coding_check(f->te);
        if (rc != H1_OK)
                return rc;
        if (f->n_te && f->n_cl) { /* TE wins; who sends both may be attacked: do not reuse the connection */
                f->close = true;
                f->n_cl = 0;
        }
        bool tunnel = connect && m->status >= 200 && m->status < 300;
        if (m->status < 200 || m->status == 204 || tunnel) {
                m->framing = BODY_NONE;
        } else if (head || m->status == 304) {
                m->framing = BODY_NONE;
                m->has_length = f->n_cl > 0;
                m->content_length = f->n_cl ? length : 0;
        } else if (f->n_te) {
                m->framing = BODY_CHUNKED;
        } else if (f->n_cl) {
                m->framing = BODY_LENGTH;
                m->content_length = length;
        } else {
                m->framing = BODY_CLOSE;
                f->close = true;
        }
        return H1_OK;
}

enum h1_rc h1_response_normalise(struct msg *m, struct span method)
{
        struct facts f;
        facts_init(&f);
        enum h1_rc rc = fields_facts(m, &f);
        if (rc == H1_OK)
                rc = response_framing(m, &f, method);
        if (rc == H1_OK && (m->status == 101 || m->status == 426))
                rc = upgrade_take(m, &f);
        if (rc == H1_OK)
                keep_alive_decide(m, &f);
        return rc;
}

bool h1_trailer_forbidden(struct span name)
{
        switch ((int)field_id_of(name)) {
        case FIELD_COOKIE:
        case FIELD_SET_COOKIE:
        case FIELD_AUTHORIZATION:
        case FIELD_CONTENT_TYPE:
        case FIELD_TRAILER:
        case FIELD_LOCATION:
        case FIELD_DATE:
        case FIELD_FORWARDED:
        case FIELD_X_REAL_IP:
                return true;
        }
        static const char *const more[] = { "cache-control", "content-encoding", "content-range", "max-forwards", "range",
                                            "pragma", "expires", "age", "vary", "www-authenticate", "retry-after",
                                            "proxy-authentication-info", "authentication-info", "x-http-method-override" };
        for (size_t i = 0; i < ARRAY_SIZE(more); i++)
                if (span_eq(name, span_str(more[i])))
                        return true;
        return id_is_hop_by_hop(field_id_of(name)) || !connection_may_name(name) || h1_name_is_twin(name) ||
               (name.n >= 3 && memcmp(name.p, "if-", 3) == 0);
}
