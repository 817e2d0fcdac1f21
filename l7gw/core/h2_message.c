/* l7gw/core/h2_message.c - see h2_message.h. */
#include "lib/base.h"
#include "l7gw/core/h2_message.h"
#include "l7gw/core/decimal.h"
#include "l7gw/core/h1_fields.h"
#include "l7gw/core/path.h"
#include "l7gw/core/websocket.h"

static struct span keep(struct stream *s, struct span v)
{
        struct span c = arena_span(&s->arena, v);
        if (v.n > 0 && !c.p)
                s->h2_too_large = true;
        return c;
}

static void pseudo(struct stream *s, struct span name, struct span value)
{
        struct span v = keep(s, value);
        if (span_eq_str(name, ":method"))
                s->req.method = v;
        else if (span_eq_str(name, ":scheme"))
                s->req.scheme = v;
        else if (span_eq_str(name, ":authority"))
                s->req.authority = v;
        else if (span_eq_str(name, ":path"))
                s->h2_path = v;
        else if (span_eq_str(name, ":protocol"))
                s->h2_protocol = v;
        else
                s->h2_bad = true;
}

static bool length_take(struct msg *m, struct span v)
{
        uint64_t n = 0;
        bool ok = v.n > 0;
        for (size_t i = 0; i < v.n; i++)
                if (v.p[i] < '0' || v.p[i] > '9' || __builtin_mul_overflow(n, 10u, &n) ||
                    __builtin_add_overflow(n, (uint64_t)(v.p[i] - '0'), &n))
                        ok = false;
        m->has_length = ok;
        m->content_length = n;
        return ok;
}

void h2_request_field(struct stream *s, struct span name, struct span value)
{
        if (s->h2_list_bytes <= 4u * L7_H2_HEADER_LIST) /* the session ends what goes on beyond that */
                s->h2_list_bytes += (uint32_t)MIN(name.n + value.n + 32, (size_t)L7_H2_HEADER_LIST + 1); /* RFC 9113 6.5.2 */
        if (s->h2_too_large || s->h2_bad)
                return; /* it will be refused: decode on, store nothing */
        if (s->req.n_fields >= MSG_MAX_FIELDS || s->h2_list_bytes > L7_H2_HEADER_LIST) {
                s->h2_too_large = true;
                return;
        }
        if (name.n > 0 && name.p[0] == ':') {
                pseudo(s, name, value);
                return;
        }
        enum field_id id = field_id_of(name);
        if (id == FIELD_CONTENT_LENGTH) {
                s->h2_bad |= !length_take(&s->req, value);
                return;
        }
        if (id == FIELD_TE) { /* nghttp2 lets only "trailers" pass */
                s->req.te_trailers = true;
                return;
        }
        if (id == FIELD_EXPECT) {
                if (span_ieq(value, SPAN_LIT("100-continue")))
                        s->req.expect_continue = true;
                else
                        s->h2_bad_expect = true; /* 417 unless something worse is wrong (requirement 42) */
                return;
        }
        if (id == FIELD_PROXY_AUTHORIZATION || id == FIELD_PROXY_AUTHENTICATE)
                return; /* for the proxy that asked; this gateway never asks */
        bool again = (id == FIELD_CONTENT_TYPE || id == FIELD_AUTHORIZATION) && msg_find_id(&s->req, id);
        if (again || (id == FIELD_OTHER && h1_name_is_twin(name))) {
                s->h2_bad = true;
                return;
        }
        struct span n = keep(s, name), v = keep(s, value);
        if (s->h2_too_large)
                return;
        int r = msg_add(&s->req, n, v);
        if (r == -ENOMEM)
                s->h2_too_large = true;
        else if (r < 0)
                s->h2_bad = true;
}

void h2_trailer(struct stream *s, struct msg *trailers, struct span name, struct span value)
{
        if (h1_trailer_forbidden(name))
                return;
        struct span n = arena_span(&s->arena, name), v = arena_span(&s->arena, value);
        if (trailers->n_fields >= MSG_MAX_FIELDS || !n.p || (value.n > 0 && !v.p))
                return; /* a trailer may be dropped (RFC 9110 6.5.1) */
        int r = msg_add(trailers, n, v);
        (void)r; /* likewise */
}

/* HTTP/2 splits Cookie for compression; HTTP/1.1 has one line (requirement 33). */
static int cookies_join(struct stream *s)
{
        size_t count = 0, total = 0;
        for (size_t i = 0; i < s->req.n_fields; i++)
                if (s->req.fields[i].id == FIELD_COOKIE) {
                        count++;
                        total += s->req.fields[i].value.n + 2;
                }
        if (count < 2)
                return 0;
        uint8_t *p = arena_alloc(&s->arena, total);
        if (!p)
                return -ENOMEM;
        size_t at = 0;
        for (size_t i = 0; i < s->req.n_fields; i++) {
                struct span v = s->req.fields[i].value;
                if (s->req.fields[i].id != FIELD_COOKIE)
                        continue;
                if (at > 0) {
                        p[at++] = ';';
                        p[at++] = ' ';
                }
                if (v.n)
                        memcpy(p + at, v.p, v.n);
                at += v.n;
        }
        return msg_set(&s->req, SPAN_LIT("cookie"), SPAN(p, at));
}

static unsigned host_decide(struct stream *s)
{
        struct msg *m = &s->req;
        const struct field *host = msg_find_id(m, FIELD_HOST);
        if (host && m->authority.n == 0)
                m->authority = host->value;
        else if (host && !span_ieq(host->value, m->authority))
                return 400;
        msg_remove(m, SPAN_LIT("host"));
        if (m->authority.n == 0)
                return 400;
        int r = authority_split(&s->arena, m->authority, &m->host, &m->port);
        return r == 0 ? 0 : r == -ENOMEM ? 431 : 400;
}

/* Extended CONNECT (RFC 8441 4) becomes what it means in HTTP/1.1 (requirement 56). */
static unsigned upgrade_decide(struct stream *s, bool end_stream)
{
        struct msg *m = &s->req;
        if (!span_eq_str(m->method, "CONNECT") || end_stream || m->framing == BODY_LENGTH)
                return 400;
        if (!span_eq_str(s->h2_protocol, "websocket"))
                return 501;
        m->method = SPAN_LIT("GET");
        m->upgrade = s->h2_protocol;
        m->framing = BODY_NONE;
        m->expect_continue = false;
        s->h2_connect = true;
        return 0;
}

unsigned h2_request_finish(struct stream *s, bool tls, bool end_stream)
{
        struct msg *m = &s->req;
        m->minor = 2;
        m->keep_alive = true;
        if (s->h2_too_large)
                return 431;
        if (s->h2_bad || !name_is_token(m->method))
                return 400;
        unsigned status = host_decide(s);
        if (status)
                return status;
        if (s->h2_bad_expect)
                return 417;
        m->framing = end_stream ? BODY_NONE : m->has_length ? BODY_LENGTH : BODY_CHUNKED;
        if (end_stream && m->has_length && m->content_length == 0)
                m->framing = BODY_LENGTH; /* an empty POST keeps its "content-length: 0" */
        m->has_length = false;
        if (s->h2_protocol.n > 0) {
                status = upgrade_decide(s, end_stream);
                if (status)
                        return status;
        }
        if (span_eq_str(m->method, "CONNECT"))
                return 0; /* no scheme, no path: the engine refuses it */
        if (!span_eq_str(m->scheme, tls ? "https" : "http"))
                return 400;
        if (span_eq_str(s->h2_path, "*")) {
                if (!span_eq_str(m->method, "OPTIONS"))
                        return 400;
                m->path = s->h2_path;
        } else {
                if (s->h2_path.n == 0 || s->h2_path.p[0] != '/')
                        return 400;
                int r = target_split(&s->arena, s->h2_path, &m->path, &m->query, &m->has_query);
                if (r < 0)
                        return r == -ENOMEM ? 431 : 400;
        }
        int r = cookies_join(s);
        return r == 0 ? 0 : r == -ENOMEM ? 431 : 400;
}

static nghttp2_nv nv_of(struct span name, struct span value)
{
        return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                            .namelen = name.n,
                            .value = (uint8_t *)(uintptr_t)value.p,
                            .valuelen = value.n}; /* nghttp2 copies: the flags stay 0 */
}

static struct span decimal(struct stream *s, uint64_t v)
{
        char text[DECIMAL_MAX];
        return arena_span(&s->arena, SPAN(text, decimal_put(text, v)));
}

nghttp2_nv *h2_fields(struct stream *s, const struct msg *m, unsigned status, size_t *ret_n)
{
        nghttp2_nv *nv = arena_calloc(&s->arena, m->n_fields + 2, sizeof *nv);
        size_t n = 0;
        if (!nv)
                return NULL;
        if (status) {
                struct span v = decimal(s, status);
                if (!v.p)
                        return NULL;
                nv[n++] = nv_of(SPAN_LIT(":status"), v);
        }
        for (size_t i = 0; i < m->n_fields; i++)
                nv[n++] = nv_of(m->fields[i].name, m->fields[i].value);
        if (status >= 200 && ((m->framing == BODY_LENGTH && !m->length_implied) || (m->framing == BODY_NONE && m->has_length))) {
                struct span v = decimal(s, m->content_length);
                if (!v.p)
                        return NULL;
                nv[n++] = nv_of(SPAN_LIT("content-length"), v);
        }
        *ret_n = n;
        return nv;
}

/* ---- responses ---- */

void h2_response_field(struct stream *s, struct span name, struct span value)
{
        struct msg *m = &s->resp;
        if (s->up.bad || s->up.too_large)
                return; /* it will be refused: decode on, store nothing */
        s->up.list_bytes += (uint32_t)MIN(name.n + value.n + 32, (size_t)L7_H2_RESPONSE_LIST + 1);
        if (m->n_fields >= MSG_MAX_FIELDS || s->up.list_bytes > L7_H2_RESPONSE_LIST) {
                s->up.too_large = true;
                return;
        }
        if (span_eq_str(name, ":status")) { /* nghttp2 has seen three digits */
                for (size_t i = 0; i < value.n; i++)
                        m->status = (uint16_t)(m->status * 10 + (value.p[i] - '0'));
                return;
        }
        enum field_id id = field_id_of(name);
        if (id == FIELD_CONTENT_LENGTH) {
                s->up.bad |= !length_take(m, value);
                return;
        }
        if (id == FIELD_PROXY_AUTHENTICATE || id == FIELD_PROXY_AUTHORIZATION || id == FIELD_TE)
                return; /* between the endpoint and us */
        struct span n = arena_span(&s->arena, name), v = arena_span(&s->arena, value);
        int r = n.p && (v.p || value.n == 0) ? msg_add(m, n, v) : -ENOMEM;
        s->up.too_large |= r == -ENOMEM;
        s->up.bad |= r == -EINVAL;
}

/* 2xx to an extended CONNECT: what HTTP/1.1 calls 101, with the proof an HTTP/1.1 client waits for. */
static const char *tunnel_accept(struct stream *s)
{
        struct msg *m = &s->resp;
        const struct field *key = s->h2_connect ? NULL : msg_find(&s->req, SPAN_LIT("sec-websocket-key"));
        if (m->has_length)
                return "content-length on a tunnel";
        if (key) {
                char text[WS_ACCEPT_N];
                websocket_accept(key->value, text);
                struct span v = arena_span(&s->arena, SPAN(text, sizeof text));
                if (!v.p || msg_set(m, SPAN_LIT("sec-websocket-accept"), v) < 0)
                        return "out of memory";
        }
        m->status = 101;
        m->upgrade = s->req.upgrade;
        m->framing = BODY_CLOSE;
        s->tunnel = true;
        s->req_done &= s->h2_connect; /* in HTTP/1.1 the request has ended, its half of the tunnel begins */
        return NULL;
}

const char *h2_response_finish(struct stream *s, bool end)
{
        struct msg *m = &s->resp;
        m->minor = 2;
        m->keep_alive = true;
        if (s->up.too_large)
                return "header section over the limit";
        if (s->up.bad || m->status < 100 || m->status > 599 || m->status == 101)
                return "malformed response";
        if (s->req.upgrade.n && m->status >= 200 && m->status < 300 && !end)
                return tunnel_accept(s);
        bool head = span_eq_str(s->req.method, "HEAD");
        if (m->status < 200 || m->status == 204 || m->status == 304 || head) {
                m->framing = BODY_NONE;
                m->has_length &= m->status >= 200 && m->status != 204;
                return NULL;
        }
        m->framing = m->has_length ? BODY_LENGTH : BODY_CHUNKED;
        if (end && !m->has_length) { /* an HTTP/1.1 client must hear that nothing follows; HTTP/2 says so by itself */
                m->framing = BODY_LENGTH;
                m->length_implied = true;
        }
        m->has_length = false;
        return NULL;
}

/* ---- requests of ours ---- */

static bool request_field_goes(const struct stream *s, const struct field *f)
{
        switch ((int)f->id) { /* a filter may have made one of these */
        case FIELD_HOST:
        case FIELD_CONTENT_LENGTH:
        case FIELD_TRANSFER_ENCODING:
        case FIELD_CONNECTION:
        case FIELD_KEEP_ALIVE:
        case FIELD_PROXY_CONNECTION:
        case FIELD_UPGRADE:
        case FIELD_TE:
        case FIELD_EXPECT:
                return false;
        }
        return s->req.upgrade.n == 0 || !span_eq_str(f->name, "sec-websocket-key"); /* RFC 8441 5 */
}

nghttp2_nv *h2_request_fields(struct stream *s, bool tls, size_t *ret_n)
{
        const struct msg *m = &s->req;
        nghttp2_nv *nv = arena_calloc(&s->arena, m->n_fields + 8, sizeof *nv);
        struct span path = m->path, length = m->framing == BODY_LENGTH ? decimal(s, m->content_length) : SPAN_NULL;
        size_t n = 0;
        if (m->has_query) {
                char *text = arena_printf(&s->arena, "%.*s?%.*s", SPAN_FMT(m->path), SPAN_FMT(m->query));
                path = span_str(text);
        }
        if (!nv || !path.p || (m->framing == BODY_LENGTH && !length.p))
                return NULL;
        nv[n++] = nv_of(SPAN_LIT(":method"), m->upgrade.n ? SPAN_LIT("CONNECT") : m->method);
        if (m->upgrade.n)
                nv[n++] = nv_of(SPAN_LIT(":protocol"), m->upgrade);
        nv[n++] = nv_of(SPAN_LIT(":scheme"), tls ? SPAN_LIT("https") : SPAN_LIT("http"));
        nv[n++] = nv_of(SPAN_LIT(":path"), path);
        nv[n++] = nv_of(SPAN_LIT(":authority"), m->authority.n ? m->authority : SPAN_LIT(H1_NO_HOST));
        for (size_t i = 0; i < m->n_fields; i++)
                if (request_field_goes(s, &m->fields[i]))
                        nv[n++] = nv_of(m->fields[i].name, m->fields[i].value);
        if (length.n)
                nv[n++] = nv_of(SPAN_LIT("content-length"), length);
        if (m->te_trailers)
                nv[n++] = nv_of(SPAN_LIT("te"), SPAN_LIT("trailers"));
        *ret_n = n;
        return nv;
}
