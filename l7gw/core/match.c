/* l7gw/core/match.c - see match.h. */
#include "lib/base.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/grpc.h"
#include "l7gw/core/match.h"
#include "l7gw/core/refused.tbl.h"
#include "lib/control.pb-c.h"

static int unsupported(struct model_error *e, const char *section, const Model__Source *src, const char *why)
{
        model_error_set(e, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, section, src, "%s", why);
        return -ENOTSUP;
}

static const char *match_refused(const Model__Match *o)
{
#define R(cond, text)     \
        if (cond)         \
                return text;
        REFUSED_MATCH(R)
#undef R
        return NULL;
}

static enum text_kind text_kind_of(const Model__NamedMatch *n)
{
        if (n->present_only || !n->value)
                return TEXT_PRESENT;
        return n->value->kind == MODEL__STRING_MATCH__KIND__PREFIX   ? TEXT_PREFIX
               : n->value->kind == MODEL__STRING_MATCH__KIND__SUFFIX ? TEXT_SUFFIX
               : n->value->kind == MODEL__STRING_MATCH__KIND__REGEX  ? TEXT_REGEX
                                                                     : TEXT_EXACT;
}

/* Fields that are not in msg.fields cannot be matched, but for the two whose meaning msg keeps. */
static bool header_is_gone(enum field_id id)
{
        return id == FIELD_CONNECTION || id == FIELD_KEEP_ALIVE || id == FIELD_PROXY_CONNECTION || id == FIELD_TE ||
               id == FIELD_TRANSFER_ENCODING || id == FIELD_CONTENT_LENGTH || id == FIELD_EXPECT ||
               id == FIELD_PROXY_AUTHORIZATION || id == FIELD_PROXY_AUTHENTICATE;
}

struct named_build {
        struct arena *a;
        struct regex_set *regexes;
        const Model__Source *src;
        const char *section;
        struct model_error *err;
};

static int regex_build(const struct named_build *b, const char *what, struct span pattern, const struct regex **ret)
{
        char why[192];
        int r = regex_compile(b->regexes, pattern, ret, why, sizeof why);
        if (r == -EINVAL)
                model_error_set(b->err, CONTROL__NACK_STAGE__NACK_CHECK, b->section, b->src,
                                "match: %s: regular expression \"%.*s\": %s", what, SPAN_FMT(pattern), why);
        return r;
}

static int named_build(const struct named_build *b, Model__NamedMatch *const *v, size_t n, bool header,
                       const struct text_match **ret)
{
        struct text_match *t = arena_calloc(b->a, n + 1, sizeof *t);
        if (!t)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                t[i] = (struct text_match){ .name = span_str(v[i]->name), .kind = text_kind_of(v[i]), .invert = v[i]->invert };
                if (t[i].kind != TEXT_PRESENT)
                        t[i].value = span_str(v[i]->value->value);
                int r = t[i].kind == TEXT_REGEX ? regex_build(b, v[i]->name, t[i].value, &t[i].regex) : 0;
                if (r < 0)
                        return r;
                if (!header)
                        continue;
                uint8_t *lower = arena_dup(b->a, t[i].name.p, t[i].name.n);
                if (!lower)
                        return -ENOMEM;
                for (size_t k = 0; k < t[i].name.n; k++)
                        lower[k] = char_lower[lower[k]];
                t[i].name.p = lower;
                t[i].id = field_id_of(t[i].name);
                if (!name_is_token(t[i].name)) {
                        model_error_set(b->err, CONTROL__NACK_STAGE__NACK_CHECK, b->section, b->src,
                                        "match: not a header name: \"%s\"", v[i]->name);
                        return -EINVAL;
                }
                if (header_is_gone(t[i].id))
                        return unsupported(b->err, b->section, b->src, "match: this header belongs to the connection");
        }
        *ret = t;
        return 0;
}

int match_build(struct arena *a, struct regex_set *rs, const Model__Match *m, const Model__Source *src, const char *section, struct match *ret,
                struct model_error *reterr)
{
        struct named_build b = { a, rs, src, section, reterr };
        const char *why = match_refused(m);
        if (why)
                return unsupported(reterr, section, src, why);
        *ret = (struct match){ .method = span_str(m->method), .n_headers = m->n_headers, .n_query = m->n_query };
        int r = named_build(&b, m->headers, m->n_headers, true, &ret->headers);
        if (r == 0)
                r = named_build(&b, m->query, m->n_query, false, &ret->query);
        if (r == 0 && m->path_kind == MODEL__MATCH__PATH_KIND__REGEX)
                r = regex_build(&b, "path", span_str(m->path), &ret->path);
        if (r == -ENOMEM)
                model_error_set(reterr, CONTROL__NACK_STAGE__NACK_INTERNAL, section, src, "out of memory");
        return r;
}

static enum match_rc rc_of(bool yes) { return yes ? MATCH_YES : MATCH_NO; }

static enum match_rc regex_rc(const struct regex *r, struct span v)
{
        enum regex_rc rc = regex_test(r, v);
        return rc == REGEX_LIMIT ? MATCH_LIMIT : rc_of(rc == REGEX_YES);
}

static enum match_rc text_test(const struct text_match *t, struct span v)
{
        switch (t->kind) {
        case TEXT_EXACT:
                return rc_of(span_eq(v, t->value));
        case TEXT_PREFIX:
                return rc_of(v.n >= t->value.n && span_eq(SPAN(v.p, t->value.n), t->value));
        case TEXT_SUFFIX:
                return rc_of(v.n >= t->value.n && span_eq(SPAN(v.p + (v.n - t->value.n), t->value.n), t->value));
        case TEXT_PRESENT:
                return MATCH_YES;
        case TEXT_REGEX:
                return regex_rc(t->regex, v);
        }
        BUG_ON(true);
}

/* ------------------------------------------------------------------------------------------------ headers */

static bool field_is(const struct field *f, const struct text_match *t) { return f->id == t->id && span_eq(f->name, t->name); }

/* One line of a joined header, at byte pos of the whole: does it agree with want, which stands at byte `from`? */
static bool part_agrees(struct span part, size_t pos, struct span want, size_t from)
{
        size_t lo = MAX(pos, from), hi = MIN(pos + part.n, from + want.n);
        return lo >= hi || memcmp(part.p + (lo - pos), want.p + (lo - from), hi - lo) == 0;
}

/* want stands at byte `from` of the lines of one header joined with ",".  Nothing is joined: a request may be tested
 * against many entries, and its lines may be long. */
static bool joined_has(const struct msg *m, const struct text_match *t, size_t from)
{
        size_t pos = 0;
        bool first = true;
        for (size_t i = 0; i < m->n_fields; i++) {
                if (!field_is(&m->fields[i], t))
                        continue;
                if (!first && !part_agrees(SPAN_LIT(","), pos++, t->value, from))
                        return false;
                if (!part_agrees(m->fields[i].value, pos, t->value, from))
                        return false;
                pos += m->fields[i].value.n;
                first = false;
        }
        return true;
}

/* The one kind of test that needs the joined value as bytes. */
static enum match_rc joined_regex(const struct msg *m, const struct text_match *t, size_t n)
{
        uint8_t *p = arena_alloc(m->arena, n + 1);
        size_t w = 0;
        if (!p)
                return MATCH_LIMIT;
        for (size_t i = 0; i < m->n_fields; i++) {
                if (!field_is(&m->fields[i], t))
                        continue;
                if (w > 0)
                        p[w++] = ',';
                struct span v = m->fields[i].value;
                if (v.n)
                        memcpy(p + w, v.p, v.n);
                w += v.n;
        }
        return regex_rc(t->regex, SPAN(p, w));
}

/* n = length of the joined value. */
static enum match_rc joined_test(const struct msg *m, const struct text_match *t, size_t n)
{
        switch (t->kind) {
        case TEXT_EXACT:
                return rc_of(n == t->value.n && joined_has(m, t, 0));
        case TEXT_PREFIX:
                return rc_of(n >= t->value.n && joined_has(m, t, 0));
        case TEXT_SUFFIX:
                return rc_of(n >= t->value.n && joined_has(m, t, n - t->value.n));
        case TEXT_PRESENT:
                return MATCH_YES;
        case TEXT_REGEX:
                return joined_regex(m, t, n);
        }
        BUG_ON(true);
}

static enum match_rc header_test(const struct msg *m, const struct text_match *t)
{
        if (t->id == FIELD_HOST || t->id == FIELD_UPGRADE) {
                struct span v = t->id == FIELD_HOST ? m->authority : m->upgrade;
                return v.n > 0 ? text_test(t, v) : MATCH_NO;
        }
        const struct field *found = NULL;
        size_t lines = 0, n = 0;
        for (size_t i = 0; i < m->n_fields; i++)
                if (field_is(&m->fields[i], t)) {
                        found = &m->fields[i];
                        n += found->value.n + (lines++ > 0);
                }
        return lines == 0 ? MATCH_NO : lines == 1 ? text_test(t, found->value) : joined_test(m, t, n);
}

/* ------------------------------------------------------------------------------------------------ query */

static bool escape_at(struct span s, size_t i)
{
        return s.p[i] == '%' && s.n - i >= 3 && char_is(s.p[i + 1], CH_HEX) && char_is(s.p[i + 2], CH_HEX);
}

/* The decoded byte at *i, which moves on. */
static uint8_t query_byte(struct span s, size_t *i)
{
        size_t at = *i;
        *i += escape_at(s, at) ? 3 : 1;
        if (*i == at + 1)
                return s.p[at];
        return (uint8_t)(hex_value(s.p[at + 1]) << 4 | hex_value(s.p[at + 2]));
}

/* Decoded `enc` begins with (whole: equals) `plain`.  Nothing is stored: a request may be tested against many entries. */
static bool query_begins(struct span enc, struct span plain, bool whole)
{
        size_t i = 0, k = 0;
        while (i < enc.n && k < plain.n)
                if (query_byte(enc, &i) != plain.p[k++])
                        return false;
        return k == plain.n && (!whole || i == enc.n);
}

static bool query_ends(struct span enc, struct span plain)
{
        size_t n = 0;
        for (size_t i = 0; i < enc.n; n++)
                (void)query_byte(enc, &i); /* counts decoded bytes */
        size_t i = 0;
        for (size_t skip = n >= plain.n ? n - plain.n : 0; skip; skip--)
                (void)query_byte(enc, &i);
        return n >= plain.n && query_begins(SPAN(enc.p + i, enc.n - i), plain, true);
}

static enum match_rc query_regex(const struct msg *m, const struct text_match *t, struct span enc)
{
        if (enc.n == 0 || !memchr(enc.p, '%', enc.n))
                return regex_rc(t->regex, enc);
        uint8_t *p = arena_alloc(m->arena, enc.n);
        size_t w = 0;
        if (!p)
                return MATCH_LIMIT;
        for (size_t i = 0; i < enc.n;)
                p[w++] = query_byte(enc, &i);
        return regex_rc(t->regex, SPAN(p, w));
}

static enum match_rc query_text_test(const struct msg *m, const struct text_match *t, struct span enc)
{
        switch (t->kind) {
        case TEXT_EXACT:
        case TEXT_PREFIX:
                return rc_of(query_begins(enc, t->value, t->kind == TEXT_EXACT));
        case TEXT_SUFFIX:
                return rc_of(query_ends(enc, t->value));
        case TEXT_PRESENT:
                return MATCH_YES;
        case TEXT_REGEX:
                return query_regex(m, t, enc);
        }
        BUG_ON(true);
}

/* The value, still encoded, of the first parameter of that name. */
static bool query_value(const struct msg *m, const struct text_match *t, struct span *ret)
{
        struct span rest = m->query;
        while (rest.n) {
                const uint8_t *amp = memchr(rest.p, '&', rest.n);
                struct span pair = SPAN(rest.p, amp ? (size_t)(amp - rest.p) : rest.n);
                size_t skip = amp ? pair.n + 1 : pair.n;
                rest = SPAN(rest.p + skip, rest.n - skip);
                const uint8_t *eq = pair.n ? memchr(pair.p, '=', pair.n) : NULL;
                struct span name = SPAN(pair.p, eq ? (size_t)(eq - pair.p) : pair.n);
                struct span value = eq ? SPAN(eq + 1, pair.n - name.n - 1) : SPAN_NULL;
                if (name.n >= t->name.n && query_begins(name, t->name, true)) {
                        *ret = value;
                        return true;
                }
        }
        return false;
}

/* A condition of several holds: goes on; else tells why not. */
static bool holds(enum match_rc rc, const struct text_match *t, enum match_why kind, enum match_why *ret, struct span *ret_name)
{
        if (rc != MATCH_LIMIT && (rc == MATCH_YES) != t->invert)
                return true;
        *ret = rc == MATCH_LIMIT ? WHY_LIMIT : kind;
        *ret_name = t->name;
        return false;
}

enum match_why match_explain(const struct match *m, const struct msg *req, struct span *ret_name)
{
        struct span v;
        enum match_why why;
        *ret_name = SPAN_NULL;
        if (m->method.n && !span_eq(m->method, req->method))
                return WHY_METHOD;
        if (m->grpc && !grpc_is(req))
                return WHY_NOT_GRPC;
        for (size_t i = 0; i < m->n_headers; i++)
                if (!holds(header_test(req, &m->headers[i]), &m->headers[i], WHY_HEADER, &why, ret_name))
                        return why;
        for (size_t i = 0; i < m->n_query; i++) {
                const struct text_match *t = &m->query[i];
                if (!holds(query_value(req, t, &v) ? query_text_test(req, t, v) : MATCH_NO, t, WHY_QUERY, &why, ret_name))
                        return why;
        }
        enum match_rc rc = m->path ? regex_rc(m->path, req->path) : MATCH_YES;
        return rc == MATCH_YES ? WHY_MATCH : rc == MATCH_NO ? WHY_PATH : WHY_LIMIT;
}

enum match_rc match_test(const struct match *m, const struct msg *req)
{
        struct span name;
        enum match_why why = match_explain(m, req, &name);
        return why == WHY_MATCH ? MATCH_YES : why == WHY_LIMIT ? MATCH_LIMIT : MATCH_NO;
}
