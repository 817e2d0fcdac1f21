/* l7gw/core/dispatch.c - see dispatch.h. */
#include "lib/base.h"
#include "l7gw/core/dispatch.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/decimal.h"
#include "l7gw/core/grpc.h"
#include "l7gw/core/hash_policy.h"
#include "l7gw/core/session.h"
#include "l7gw/core/websocket.h"

static void answer(struct dispatch *d, enum reason r)
{
        d->reason = r;
        d->status = reason_status(r);
}

static int list_add(struct arena *a, struct span *list, struct span item)
{
        if (item.n == 0)
                return 0;
        char *p = list->n ? arena_printf(a, "%.*s, %.*s", SPAN_FMT(*list), SPAN_FMT(item)) : NULL;
        *list = list->n ? span_str(p) : arena_span(a, item);
        return list->p ? 0 : -ENOMEM;
}

static bool hex_lower(struct span s)
{
        bool zero = true;
        for (size_t i = 0; i < s.n; i++) {
                if (!char_is(s.p[i], CH_HEX) || char_lower[s.p[i]] != s.p[i])
                        return false;
                zero &= s.p[i] == '0';
        }
        return !zero;
}

/* W3C Trace Context 3.2: version "-" trace-id "-" parent-id "-" flags; versions to come may be longer. */
static bool traceparent_valid(struct span s)
{
        if (s.n < 55 || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-' || !hex_lower(SPAN(s.p + 3, 32)) || !hex_lower(SPAN(s.p + 36, 16)))
                return false;
        bool first = s.p[0] == '0' && s.p[1] == '0', never = s.p[0] == 'f' && s.p[1] == 'f';
        return char_is(s.p[0], CH_HEX) && char_is(s.p[1], CH_HEX) && char_is(s.p[53], CH_HEX) && char_is(s.p[54], CH_HEX) && !never &&
               (first ? s.n == 55 : s.n == 55 || s.p[55] == '-');
}

/* The context of a trusted peer passes as it is; else a trace begins here, under the id the log has.  Not sampled: nobody
 * records spans here, and who wants the trace decides so downstream. */
static int trace_set(struct stream *s, const struct dispatch_in *in)
{
        struct msg *m = &s->req;
        const struct field *f = msg_find_id(m, FIELD_TRACEPARENT);
        if (f && in->peer_trusted && traceparent_valid(f->value))
                return 0;
        msg_remove(m, SPAN_LIT("tracestate")); /* it belongs to the context that does not pass */
        static const char form[] = "00-TTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT-SSSSSSSSSSSSSSSS-00";
        uint8_t *p = arena_dup(&s->arena, form, sizeof form - 1);
        if (!p)
                return -ENOMEM;
        memcpy(p + 3, in->request_id, 32); /* always 32 digits */
        memcpy(p + 36, in->request_id + 16, 16);
        return msg_set(m, SPAN_LIT("traceparent"), SPAN(p, sizeof form - 1));
}

/* X-Forwarded-* from an untrusted peer is replaced, from a trusted one extended (requirement 30). */
static int forwarded_set(struct stream *s, const struct dispatch_in *in, struct span authority)
{
        struct msg *m = &s->req;
        struct span list = SPAN_NULL;
        int r = 0;
        for (size_t i = 0; in->peer_trusted && i < m->n_fields && r == 0; i++)
                if (m->fields[i].id == FIELD_X_FORWARDED_FOR)
                        r = list_add(&s->arena, &list, m->fields[i].value);
        if (r == 0)
                r = list_add(&s->arena, &list, in->peer);
        if (r == 0)
                r = msg_set(m, SPAN_LIT("x-forwarded-for"), list);
        if (r == 0 && !(in->peer_trusted && msg_find_id(m, FIELD_X_FORWARDED_PROTO)))
                r = msg_set(m, SPAN_LIT("x-forwarded-proto"), in->tls ? SPAN_LIT("https") : SPAN_LIT("http"));
        if (r == 0 && !(in->peer_trusted && msg_find_id(m, FIELD_X_FORWARDED_HOST)) && authority.n > 0)
                r = msg_set(m, SPAN_LIT("x-forwarded-host"), authority);
        if (!in->peer_trusted) {
                msg_remove(m, SPAN_LIT("forwarded"));
                msg_remove(m, SPAN_LIT("x-real-ip"));
        }
        if (r == 0 && in->client_cert.n > 0) { /* verified here: whatever was claimed before */
                struct span cert = arena_span(&s->arena, in->client_cert);
                r = cert.p ? msg_set(m, SPAN_LIT("x-forwarded-client-cert"), cert) : -ENOMEM;
        } else if (!in->peer_trusted) {
                msg_remove(m, SPAN_LIT("x-forwarded-client-cert"));
        }
        if (r == 0 && !(in->peer_trusted && msg_find_id(m, FIELD_X_REQUEST_ID))) {
                struct span id = arena_span(&s->arena, span_str(in->request_id));
                r = id.p ? msg_set(m, SPAN_LIT("x-request-id"), id) : -ENOMEM;
        }
        return r == 0 ? trace_set(s, in) : r;
}

/* Is one of the hops in this Via ours?  Elements: protocol, white space, pseudonym, perhaps a comment (RFC 9110 7.6.3). */
static bool via_has(struct span list, struct span name)
{
        struct span hop;
        while (value_list_next(&list, &hop)) {
                size_t at = 0;
                while (at < hop.n && hop.p[at] != ' ' && hop.p[at] != '\t')
                        at++;
                struct span by = value_trim(SPAN(hop.p + at, hop.n - at));
                for (at = 0; at < by.n && by.p[at] != ' ' && by.p[at] != '\t' && by.p[at] != '(';)
                        at++;
                if (span_ieq(SPAN(by.p, at), name))
                        return true;
        }
        return false;
}

/* Digits only, without overflow. */
static bool hops_left(struct span s, uint64_t *ret)
{
        uint64_t v = 0;
        for (size_t i = 0; i < s.n; i++)
                if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
                        return false;
        *ret = v;
        return s.n > 0;
}

/* Loops and the end of a chain (requirement 32; RFC 9110 7.6.2, 7.6.3).  false: answered. */
static bool hops_judge(struct stream *s, const struct dispatch_self *self, struct dispatch *d)
{
        struct msg *m = &s->req;
        for (size_t i = 0; self && self->via.n && i < m->n_fields; i++)
                if (m->fields[i].id == FIELD_VIA && via_has(m->fields[i].value, self->via)) {
                        answer(d, REASON_LOOP);
                        return false;
                }
        const struct field *f = span_eq_str(m->method, "OPTIONS") ? msg_find(m, SPAN_LIT("max-forwards")) : NULL;
        uint64_t left = 0;
        if (!f)
                return true;
        if (!hops_left(f->value, &left)) {
                answer(d, REASON_BAD_REQUEST);
                return false;
        }
        if (left == 0) {
                answer(d, REASON_MAX_FORWARDS);
                return false;
        }
        char digits[DECIMAL_MAX];
        struct span less = arena_span(&s->arena, SPAN(digits, decimal_put(digits, left - 1)));
        if (less.p && msg_set(m, SPAN_LIT("max-forwards"), less) == 0)
                return true;
        answer(d, REASON_OVERLOAD);
        return false;
}

static int via_add(struct stream *s, const struct dispatch_self *self)
{
        if (!self || self->via.n == 0)
                return 0;
        char *text = arena_printf(&s->arena, "%s %.*s", s->req.minor == 2 ? "2" : s->req.minor ? "1.1" : "1.0", SPAN_FMT(self->via));
        return text ? msg_add(&s->req, SPAN_LIT("via"), span_str(text)) : -ENOMEM;
}

/* The most specific listener for the host, and whether the TLS connection was opened for it (RFC 9110 15.5.20; Gateway
 * API: another listener owns the host = 421, none does = 404). */
static bool listener_choose(struct stream *s, const struct dispatch_in *in, struct dispatch *d)
{
        if (!in->bind) {
                answer(d, REASON_NO_LISTENER);
                return false;
        }
        d->listener = route_listener_find(in->bind, s->req.host);
        if (!d->listener) {
                answer(d, REASON_NO_LISTENER);
                return false;
        }
        if (in->tls && route_listener_find(in->bind, in->sni) != d->listener) {
                answer(d, REASON_MISDIRECTED);
                return false;
        }
        return true;
}

static void redirect(struct stream *s, const struct dispatch_in *in, struct dispatch *d, const Model__Redirect *r)
{
        int e = redirect_location(r, d->entry, &s->req, in->bind->port, &d->location, &s->arena);
        answer(d, e == 0 ? REASON_REDIRECT : e == -EINVAL ? REASON_BAD_REQUEST : REASON_OVERLOAD);
        if (e == 0 && r->status)
                d->status = r->status;
}

/* A route with CORS answers preflights itself; of other requests it keeps who asks.  false: answered. */
static bool cors_judge(const struct stream *s, struct dispatch *d, const struct filter_chain *fc)
{
        const struct cors *c = filter_chain_cors(fc);
        if (!c)
                return true;
        d->cors = c;
        d->origin = cors_origin(&s->req);
        if (!cors_is_preflight(&s->req))
                return true;
        answer(d, cors_admits(c, d->origin) ? REASON_CORS_PREFLIGHT : REASON_CORS_DENIED);
        return false;
}

#define SESSIONS_MAX 4 /* cookies of one name that are tried */

/* The leg whose cluster has the endpoint of this client's session: it goes before weights (GEP-1619). */
static const struct route_leg *leg_of_session(const struct stream *s, const struct dispatch_in *in, struct dispatch *d)
{
        const Model__Persistence *p = d->rule->model->persistence;
        uint64_t tokens[SESSIONS_MAX];
        size_t n = p ? session_read(p, &s->req, in->now_s, tokens, SESSIONS_MAX) : 0;
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < d->rule->n_legs; k++) {
                        const struct route_leg *l = &d->rule->legs[k];
                        if (!l->cluster || !in->has_endpoint(in->arg, l->cluster_index, tokens[i]))
                                continue;
                        d->session = tokens[i];
                        return l;
                }
        return NULL;
}

static void leg_choose(struct stream *s, const struct dispatch_in *in, struct dispatch *d, struct span path)
{
        const struct route_leg *leg = leg_of_session(s, in, d);
        if (!leg)
                leg = route_pick_leg(d->rule, in->rnd);
        if (!leg) {
                answer(d, REASON_NO_BACKEND);
                return;
        }
        if (!cors_judge(s, d, leg->filters))
                return;
        if (filter_chain_redirect(leg->filters)) { /* whether the backend exists is nobody's business then */
                d->leg = leg;
                redirect(s, in, d, filter_chain_redirect(leg->filters));
                return;
        }
        if (!leg->cluster) {
                answer(d, REASON_NO_BACKEND);
                if (leg->model->fail_status)
                        d->status = leg->model->fail_status;
                return;
        }
        if (filter_request(leg->filters, d->entry, &s->req) < 0) {
                answer(d, REASON_OVERLOAD);
                return;
        }
        d->hash = hash_policy_of(leg->cluster->hash, &s->req, path, in->peer);
        s->req.te_trailers &= cluster_speaks_h2(leg->cluster);
        d->leg = leg;
}

/* What is passed on (requirement 54): WebSocket, from a request without a body. */
static bool upgrade_is_offered(const struct msg *m)
{
        return span_eq_str(m->upgrade, "websocket") && span_eq_str(m->method, "GET") && m->framing == BODY_NONE;
}

/* The key that an HTTP/1.1 endpoint wants and an HTTP/2 client has not, and the answer we shall want for it. */
static int key_make(struct stream *s, const struct dispatch_in *in)
{
        char key[WS_KEY_N], accept[WS_ACCEPT_N];
        websocket_key(in->nonce, key);
        websocket_accept(SPAN(key, sizeof key), accept);
        struct span k = arena_span(&s->arena, SPAN(key, sizeof key));
        s->ws_accept = arena_span(&s->arena, SPAN(accept, sizeof accept));
        return k.p && s->ws_accept.p ? msg_set(&s->req, SPAN_LIT("sec-websocket-key"), k) : -ENOMEM;
}

void dispatch_request(struct stream *s, const struct dispatch_in *in, struct dispatch *d)
{
        struct msg *m = &s->req;
        *d = (struct dispatch){.reason = REASON_NONE, .self = in->self, .tls = in->tls, .now_s = in->now_s};
        if (span_eq_str(m->method, "CONNECT") || span_eq_str(m->method, "TRACE")) {
                answer(d, REASON_METHOD_REFUSED);
                return;
        }
        if (!hops_judge(s, in->self, d) || !listener_choose(s, in, d))
                return;
        struct route_hit hit;
        enum route_rc rc = route_find(d->listener, m, &hit);
        if (rc != ROUTE_FOUND) {
                answer(d, rc == ROUTE_NONE ? REASON_NO_ROUTE : REASON_REGEX_LIMIT);
                return;
        }
        d->rule = hit.rule;
        d->entry = hit.entry;
        struct span authority = m->authority, path = m->path;
        if (!upgrade_is_offered(m))
                m->upgrade = SPAN_NULL; /* the client goes on in the protocol it speaks */
        if (s->h2_connect && key_make(s, in) < 0) {
                answer(d, REASON_OVERLOAD);
                return;
        }
        m->expect_continue = false; /* we answer it ourselves once an endpoint is connected */
        if (!cors_judge(s, d, hit.rule->filters))
                return;
        if (hit.rule->model->action_case == MODEL__RULE__ACTION_REDIRECT) {
                redirect(s, in, d, hit.rule->model->redirect);
                return;
        }
        if (filter_request(hit.rule->filters, hit.entry, m) < 0) {
                answer(d, REASON_OVERLOAD);
                return;
        }
        if (hit.rule->model->action_case == MODEL__RULE__ACTION_FIXED) {
                answer(d, REASON_FIXED);
                d->fixed = hit.rule->model->fixed;
                d->status = d->fixed->status;
                return;
        }
        if (forwarded_set(s, in, authority) < 0 || via_add(s, in->self) < 0) {
                answer(d, REASON_OVERLOAD);
                return;
        }
        leg_choose(s, in, d, path);
}

int dispatch_response(struct stream *s, const struct dispatch *d)
{
        int r = d->cors ? cors_response_fields(d->cors, d->origin, &s->resp) : 0;
        if (r == 0 && d->leg)
                r = filter_response(d->leg->filters, &s->resp);
        if (r == 0 && d->rule)
                r = filter_response(d->rule->filters, &s->resp);
        const Model__Persistence *p = d->rule ? d->rule->model->persistence : NULL;
        if (r == 0 && p && d->endpoint && d->endpoint != d->session) {
                bool regex = d->entry->match->path_kind == MODEL__MATCH__PATH_KIND__REGEX;
                r = session_write(p, d->endpoint, d->now_s, regex ? SPAN_NULL : span_str(d->entry->match->path), d->tls, &s->resp);
        }
        if (d->self && d->self->server_field == SERVER_HIDE)
                msg_remove(&s->resp, SPAN_LIT("server"));
        else if (r == 0 && d->self && d->self->server_field == SERVER_SET)
                r = msg_set(&s->resp, SPAN_LIT("server"), d->self->server);
        return r;
}

int dispatch_reply(struct stream *s, const struct dispatch *d, struct span *ret_body)
{
        struct msg *m = &s->resp;
        struct span body = SPAN_NULL;
        int r = 0;
        msg_init(m, &s->arena);
        m->status = (uint16_t)d->status;
        m->framing = BODY_LENGTH;
        if (d->fixed) {
                body = span_str(d->fixed->body);
                for (size_t i = 0; i < d->fixed->n_headers && r == 0; i++)
                        r = msg_add(m, span_str(d->fixed->headers[i]->name), span_str(d->fixed->headers[i]->value));
        } else if (d->reason == REASON_CORS_PREFLIGHT) {
                r = cors_preflight_fields(d->cors, &s->req, m);
        } else if (d->reason != REASON_REDIRECT && grpc_is(&s->req)) {
                bool deadline = d->grpc_deadline && d->reason == REASON_REQUEST_TIMEOUT;
                r = grpc_error(m, deadline ? GRPC_DEADLINE_EXCEEDED : grpc_status_of(d->status), span_str(reason_text(d->reason)));
        } else if (d->reason != REASON_REDIRECT) {
                char *text = arena_printf(&s->arena, "%s\n", reason_text(d->reason));
                body = span_str(text);
                r = text ? 0 : -ENOMEM;
        }
        if (r == 0 && body.n > 0 && !msg_find_id(m, FIELD_CONTENT_TYPE))
                r = msg_add(m, SPAN_LIT("content-type"), SPAN_LIT("text/plain; charset=utf-8"));
        if (r == 0 && d->reason == REASON_REDIRECT)
                r = msg_set(m, SPAN_LIT("location"), d->location);
        if (r == 0 && (d->reason == REASON_METHOD_REFUSED || d->reason == REASON_MAX_FORWARDS))
                r = msg_add(m, SPAN_LIT("allow"), SPAN_LIT("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        bool full = d->reason == REASON_BREAKER_REQUESTS || d->reason == REASON_BREAKER_PENDING || d->reason == REASON_QUEUE_TIMEOUT;
        if (r == 0 && (full || d->reason == REASON_OVERLOAD))
                r = msg_add(m, SPAN_LIT("retry-after"), SPAN_LIT("1"));
        if (r == 0)
                r = dispatch_response(s, d);
        if (r < 0)
                return r;
        m->content_length = body.n;
        if (m->status == 204 || m->status == 304 || span_eq_str(s->req.method, "HEAD")) {
                m->framing = BODY_NONE;
                m->has_length = m->status != 204 && m->status != 304;
                body = SPAN_NULL;
        }
        *ret_body = body;
        return 0;
}
