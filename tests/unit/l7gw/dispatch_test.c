/* tests/unit/l7gw/dispatch_test.c - the decision about one request, and what it makes of the request. */
#include "lib/base.h"
#include "l7gw/core/dispatch.h"
#include "l7gw/core/grpc.h"
#include "tests/unit/l7gw/route_rows.h"

static struct world w; /* large: not on the stack */
static struct chunk_pool pool;

static const struct row rows[] = {
        {"", "", '^', "/any", .rule = "any"},
        {"one.example", "one.example", '^', "/", .rule = "one"},
        {"*.wild.example", "x.wild.example", '^', "/", .rule = "wild"},
        {"", "gone.example", '^', "/", .rule = "gone"},
        {"", "fail.example", '^', "/", .rule = "fail"},
        {"", "none.example", '^', "/", .rule = "none"},
        {"", "redirect.example", '^', "/old", .rule = "redirect"},
        {"", "leg.example", '^', "/old", .rule = "leg-redirect"},
        {"", "regex.example", '~', "/(?:a+)+", .rule = "regex"},
        {"", "regex.example", '^', "/", .rule = "behind"},
        {"", "fixed.example", '^', "/", .rule = "fixed"},
        {"", "grpc.example", '=', "/s/M", .rule = "grpc"},
        {"", "grpc.example", '^', "/s", .rule = "beside"},
        {"", "cors.example", '^', "/", .rule = "cors"},
        {"", "open.example", '^', "/", .rule = "open"},
        {"", "both.example", '^', "/", .rule = "both"},
        {"", "leg-cors.example", '^', "/", .rule = "leg-cors"},
};

static Model__Rule *rule_named(const char *name)
{
        for (size_t i = 0; i < w.gw.n_rules; i++)
                if (strcmp(w.gw.rules[i]->name, name) == 0)
                        return w.gw.rules[i];
        fail_msg("no rule %s", name);
        return NULL;
}

/* The demo of each: origins, methods, headers, what is exposed, credentials. */
static Model__Filter **cors_filter(const char *origins, const char *methods, const char *headers, const char *expose, bool credentials)
{
        Model__Filter **v = take(&w, sizeof(void *)), *f = v[0] = NEW(&w, Model__Filter, MODEL__FILTER__INIT);
        Model__Cors *c = f->cors = NEW(&w, Model__Cors, MODEL__CORS__INIT);
        const char *const lists[] = {origins, methods, headers, expose};
        char ***const to[] = {&c->allow_origins, &c->allow_methods, &c->allow_headers, &c->expose_headers};
        size_t *const n[] = {&c->n_allow_origins, &c->n_allow_methods, &c->n_allow_headers, &c->n_expose_headers};
        for (size_t i = 0; i < 4; i++) {
                *to[i] = take(&w, 8 * sizeof(char *));
                for (char *p = arena_strdup(&w.arena, lists[i]), *t; (t = strsep(&p, " "));)
                        if (*t)
                                (*to[i])[(*n[i])++] = t;
        }
        f->kind_case = MODEL__FILTER__KIND_CORS;
        c->allow_credentials = credentials;
        c->max_age_s = 3600;
        return v;
}

static void cors_make(void)
{
        static const struct {
                const char *rule, *origins, *methods, *headers, *expose;
                bool credentials;
        } all[] = {
                {"cors", "https://www.foo.com https://*.bar.com http://*.bar.com:81", "GET OPTIONS", "x-1 x-2", "x-3 x-4", true},
                {"open", "*", "*", "*", "", false},
                {"both", "*", "*", "*", "", true},
                {"leg-cors", "https://leg.example", "PUT", "", "", false},
        };
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                Model__Rule *r = rule_named(all[i].rule);
                Model__Filter **f = cors_filter(all[i].origins, all[i].methods, all[i].headers, all[i].expose, all[i].credentials);
                bool leg = strcmp(all[i].rule, "leg-cors") == 0;
                *(leg ? &r->forward->legs[0]->filters : &r->filters) = f;
                *(leg ? &r->forward->legs[0]->n_filters : &r->n_filters) = 1;
        }
}

static void world_make(void)
{
        world_init(&w);
        rows_add(&w, rows, ARRAY_SIZE(rows));
        Model__Leg *gone = rule_named("gone")->forward->legs[0], *fail = rule_named("fail")->forward->legs[0];
        gone->cluster = arena_strdup(&w.arena, "");
        fail->cluster = gone->cluster;
        fail->fail_status = 503;
        rule_named("none")->forward->n_legs = 0;
        Model__Rule *r = rule_named("redirect");
        r->action_case = MODEL__RULE__ACTION_REDIRECT;
        r->redirect = NEW(&w, Model__Redirect, MODEL__REDIRECT__INIT);
        r->redirect->scheme = arena_strdup(&w.arena, "https");
        r->redirect->status = 301;
        Model__Leg *leg = rule_named("leg-redirect")->forward->legs[0];
        leg->cluster = gone->cluster; /* a redirect needs no backend */
        leg->n_filters = 1;
        leg->filters = take(&w, sizeof(void *));
        leg->filters[0] = NEW(&w, Model__Filter, MODEL__FILTER__INIT);
        leg->filters[0]->kind_case = MODEL__FILTER__KIND_REDIRECT;
        leg->filters[0]->redirect = NEW(&w, Model__Redirect, MODEL__REDIRECT__INIT);
        leg->filters[0]->redirect->path = NEW(&w, Model__PathEdit, MODEL__PATH_EDIT__INIT);
        leg->filters[0]->redirect->path->kind = MODEL__PATH_EDIT__KIND__PREFIX;
        leg->filters[0]->redirect->path->value = arena_strdup(&w.arena, "/new");
        leg->filters[0]->redirect->status = 307;
        cors_make();
        rule_named("grpc")->grpc = true;
        rule_named("grpc")->forward->n_legs = 0;
        r = rule_named("fixed");
        r->action_case = MODEL__RULE__ACTION_FIXED;
        r->fixed = NEW(&w, Model__Fixed, MODEL__FIXED__INIT);
        r->fixed->status = 403;
        r->fixed->body = arena_strdup(&w.arena, "go away");
        world_must_build(&w);
        chunk_pool_init(&pool);
}

struct ask {
        struct stream s;
        struct dispatch d;
        struct span body;
};
static void ask(struct ask *a, const char *head, const struct dispatch_in *extra)
{
        struct h1_scan scan = {0};
        size_t used;
        *a = (struct ask){0};
        arena_init(&a->s.arena, 4096, L7_STREAM_ARENA_BYTES);
        stream_init(&a->s, &pool);
        assert_int_equal(h1_request(&scan, span_str(head), &h1_default_limits, &a->s.req, &used), H1_OK);
        a->s.req.scheme = extra->tls ? SPAN_LIT("https") : SPAN_LIT("http");
        struct dispatch_in in = *extra;
        in.peer = SPAN_LIT("198.51.100.7");
        snprintf(in.request_id, sizeof in.request_id, "0af7651916cd43dd8448eb211c80319c");
        dispatch_request(&a->s, &in, &a->d);
        if (a->d.reason != REASON_NONE)
                assert_int_equal(dispatch_reply(&a->s, &a->d, &a->body), 0);
}
static void ask_fini(struct ask *a)
{
        stream_reset(&a->s);
        arena_fini(&a->s.arena);
}

static void test_decisions(void **state)
{
        (void)state;
        static const struct {
                const char *name, *head;
                bool no_bind, tls;
                const char *sni;
                enum reason reason;
                unsigned status;
                const char *body, *field, *value; /* expected in the answer */
                unsigned answer;                  /* its status, when that is another */
        } cases[] = {
                {"forward", "GET /any HTTP/1.1\r\nHost: h\r\n\r\n", .reason = REASON_NONE},
                {"32: TRACE", "TRACE /any HTTP/1.1\r\nHost: h\r\n\r\n", .reason = REASON_METHOD_REFUSED, .status = 405,
                 .body = "method not allowed\n", .field = "allow",
                 .value = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
                {"55: CONNECT", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", .reason = REASON_METHOD_REFUSED,
                 .status = 405},
                {"44: no route", "GET /none HTTP/1.1\r\nHost: h\r\n\r\n", .reason = REASON_NO_ROUTE, .status = 404,
                 .body = "no route\n"},
                {"bind gone", "GET /any HTTP/1.1\r\nHost: h\r\n\r\n", .no_bind = true, .reason = REASON_NO_LISTENER,
                 .status = 404},
                {"isolation: the specific listener owns the host", "GET /any HTTP/1.1\r\nHost: y.wild.example\r\n\r\n",
                 .reason = REASON_NO_ROUTE, .status = 404},
                {"44: invalid backend", "GET / HTTP/1.1\r\nHost: gone.example\r\n\r\n", .reason = REASON_NO_BACKEND,
                 .status = 500},
                {"invalid backend that says 503", "GET / HTTP/1.1\r\nHost: fail.example\r\n\r\n",
                 .reason = REASON_NO_BACKEND, .status = 503},
                {"no backend at all", "GET / HTTP/1.1\r\nHost: none.example\r\n\r\n", .reason = REASON_NO_BACKEND,
                 .status = 500},
                {"redirect", "GET /old/x?q HTTP/1.1\r\nHost: redirect.example\r\n\r\n", .reason = REASON_REDIRECT,
                 .status = 301, .body = "", .field = "location", .value = "https://redirect.example/old/x?q"},
                {"redirect of a backend", "GET /old/x?q HTTP/1.1\r\nHost: leg.example\r\n\r\n", .reason = REASON_REDIRECT,
                 .status = 307, .body = "", .field = "location", .value = "http://leg.example/new/x?q"},
                {"a regular expression gives up", "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa! HTTP/1.1\r\nHost: regex.example\r\n\r\n",
                 .reason = REASON_REGEX_LIMIT, .status = 500},
                {"gRPC: no route is UNIMPLEMENTED", "POST /t/M HTTP/1.1\r\nHost: grpc.example\r\nContent-Type: application/grpc\r\n\r\n",
                 .reason = REASON_NO_ROUTE, .status = 404, .body = "", .field = "grpc-status", .value = "12", .answer = 200},
                {"58: an error of ours", "POST /s/M HTTP/1.1\r\nHost: grpc.example\r\nContent-Type: application/grpc+proto\r\n\r\n",
                 .reason = REASON_NO_BACKEND, .status = 500, .body = "", .field = "grpc-message", .value = "no valid backend", .answer = 200},
                {"gRPC rules take gRPC only", "POST /s/M HTTP/1.1\r\nHost: grpc.example\r\nContent-Type: application/grpc-web\r\n\r\n",
                 .reason = REASON_NONE},
                {"fixed", "GET / HTTP/1.1\r\nHost: fixed.example\r\n\r\n", .reason = REASON_FIXED, .status = 403,
                 .body = "go away"},
                {"HEAD gets no body", "HEAD /none HTTP/1.1\r\nHost: h\r\n\r\n", .reason = REASON_NO_ROUTE,
                 .status = 404, .body = ""},
                {"25: SNI chose this listener", "GET / HTTP/1.1\r\nHost: one.example\r\n\r\n",
                 .tls = true, .sni = "one.example", .reason = REASON_NONE},
                {"25: another listener owns the host: 421 (RFC 9110 15.5.20)", "GET / HTTP/1.1\r\nHost: x.wild.example\r\n\r\n",
                 .tls = true, .sni = "one.example", .reason = REASON_MISDIRECTED, .status = 421},
                {"the wildcard listener serves other names of it", "GET / HTTP/1.1\r\nHost: x.wild.example\r\n\r\n",
                 .tls = true, .sni = "y.wild.example", .reason = REASON_NONE},
                {"no SNI: the listener without a name", "GET /any HTTP/1.1\r\nHost: h\r\n\r\n", .tls = true, .sni = "",
                 .reason = REASON_NONE},
                {"25: no SNI, but a named listener's host: 421", "GET / HTTP/1.1\r\nHost: one.example\r\n\r\n", .tls = true,
                 .sni = "", .reason = REASON_MISDIRECTED, .status = 421},
        };
        world_make();
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct ask a;
                const struct dispatch_in in = {.bind = cases[i].no_bind ? NULL : &w.table->binds[0],
                                               .tls = cases[i].tls,
                                               .sni = span_str(cases[i].sni)};
                ask(&a, cases[i].head, &in);
                bool ok = a.d.reason == cases[i].reason && a.d.status == cases[i].status;
                if (ok && cases[i].status)
                        ok = a.s.resp.status == (cases[i].answer ? cases[i].answer : cases[i].status) &&
                             (!cases[i].body || span_eq_str(a.body, cases[i].body));
                if (ok && cases[i].field) {
                        const struct field *f = msg_find(&a.s.resp, span_str(cases[i].field));
                        ok = f && span_eq_str(f->value, cases[i].value);
                }
                if (ok && cases[i].reason == REASON_NONE)
                        ok = a.d.leg && a.d.leg->cluster;
                if (!ok)
                        fail_msg("%s: %s %u body %.*s", cases[i].name, reason_word(a.d.reason), a.d.status,
                                 SPAN_FMT(a.body));
                ask_fini(&a);
        }
        chunk_pool_fini(&pool);
        world_fini(&w);
}

static void test_forwarding_fields(void **state)
{
        (void)state;
        static const struct {
                const char *name, *fields;
                bool trusted, tls;
                const char *want[6][2];
                const char *cert;
        } cases[] = {
                {"none sent",
                 "",
                 false,
                 false,
                 {{"x-forwarded-for", "198.51.100.7"},
                  {"x-forwarded-proto", "http"},
                  {"x-forwarded-host", "h"},
                  {"x-request-id", "0af7651916cd43dd8448eb211c80319c"},
                  {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-8448eb211c80319c-00"}}},
                {"30: a stranger's are replaced",
                 "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: x\r\nX-Forwarded-Host: evil\r\nX-Request-Id: "
                 "z\r\nForwarded: for=1\r\nX-Real-IP: 1\r\n",
                 false,
                 false,
                 {{"x-forwarded-for", "198.51.100.7"},
                  {"x-forwarded-proto", "http"},
                  {"x-forwarded-host", "h"},
                  {"x-request-id", "0af7651916cd43dd8448eb211c80319c"},
                  {"forwarded", NULL},
                  {"x-real-ip", NULL}}},
                {"30: a trusted hop's are extended",
                 "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Proto: "
                 "https\r\nX-Forwarded-Host: first\r\nX-Request-Id: z\r\n",
                 true,
                 false,
                 {{"x-forwarded-for", "1.1.1.1, 2.2.2.2, 198.51.100.7"},
                  {"x-forwarded-proto", "https"},
                  {"x-forwarded-host", "first"},
                  {"x-request-id", "z"}}},
                {"30: trace context of a stranger", "Traceparent: 00-11111111111111111111111111111111-2222222222222222-01\r\nTracestate: a=b\r\n", false, false,
                 {{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-8448eb211c80319c-00"}, {"tracestate", NULL}}},
                {"30: trace context of a trusted peer", "Traceparent: 00-11111111111111111111111111111111-2222222222222222-01\r\nTracestate: a=b\r\n", true, false,
                 {{"traceparent", "00-11111111111111111111111111111111-2222222222222222-01"}, {"tracestate", "a=b"}}},
                {"one to come", "Traceparent: cc-11111111111111111111111111111111-2222222222222222-01-what\r\n", true, false,
                 {{"traceparent", "cc-11111111111111111111111111111111-2222222222222222-01-what"}}},
                {"a trusted peer's that is none", "Traceparent: 00-00000000000000000000000000000000-2222222222222222-01\r\nTracestate: a=b\r\n", true, false,
                 {{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-8448eb211c80319c-00"}, {"tracestate", NULL}}},
                {"too long for version 00", "Traceparent: 00-11111111111111111111111111111111-2222222222222222-01-x\r\n", true, false,
                 {{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-8448eb211c80319c-00"}}},
                {"TLS", "", false, true, {{"x-forwarded-proto", "https"}}},
                {"30: a stranger's claim of a certificate", "X-Forwarded-Client-Cert: Hash=1\r\n", false, true,
                 {{"x-forwarded-client-cert", NULL}}},
                {"a trusted hop's", "X-Forwarded-Client-Cert: Hash=1\r\n", true, true, {{"x-forwarded-client-cert", "Hash=1"}}},
                {"verified here: the claim is replaced", "X-Forwarded-Client-Cert: Hash=1\r\n", true, true,
                 {{"x-forwarded-client-cert", "Hash=2"}}, "Hash=2"},
        };
        world_make();
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct ask a;
                char head[1024];
                const struct dispatch_in in = {
                        .bind = &w.table->binds[0], .tls = cases[i].tls, .peer_trusted = cases[i].trusted,
                        .client_cert = cases[i].cert ? span_str(cases[i].cert) : SPAN_NULL};
                snprintf(head, sizeof head,
                         "%s /any HTTP/1.1\r\nHost: h\r\nUpgrade: %s\r\nConnection: upgrade\r\n%s\r\n",
                         i % 2 ? "POST" : "GET", i % 3 ? "websocket" : "chess",
                         cases[i].fields);
                ask(&a, head, &in);
                assert_int_equal(a.d.reason, REASON_NONE);
                bool offered = i % 2 == 0 && i % 3 != 0; /* requirement 54: WebSocket, by GET */
                assert_int_equal(a.s.req.upgrade.n, offered ? 9 : 0);
                for (size_t k = 0; k < ARRAY_SIZE(cases[i].want) && cases[i].want[k][0]; k++) {
                        const struct field *f = msg_find(&a.s.req, span_str(cases[i].want[k][0]));
                        const char *want = cases[i].want[k][1];
                        if (want ? !f || !span_eq_str(f->value, want) : f != NULL)
                                fail_msg("%s: %s is %.*s", cases[i].name, cases[i].want[k][0],
                                         SPAN_FMT(f ? f->value : SPAN_NULL));
                }
                ask_fini(&a);
        }
        chunk_pool_fini(&pool);
        world_fini(&w);
}

/* requirement 32 (RFC 9110 7.6.2, 7.6.3): what goes out, or why it does not. */
static void test_hops(void **state)
{
        (void)state;
        static const struct {
                const char *name, *line, *fields;
                enum reason reason;
                const char *via, *max_forwards; /* the last Via and Max-Forwards that go out */
                bool anonymous;
        } cases[] = {
                {"32: Via is added", "GET /any HTTP/1.1", "", REASON_NONE, "1.1 edge-a"},
                {"32: Via of HTTP/1.0", "GET /any HTTP/1.0", "", REASON_NONE, "1.0 edge-a"},
                {"32: Via of others stays in front", "GET /any HTTP/1.1", "Via: 1.0 fred, 2 b (x)\r\n", REASON_NONE, "1.1 edge-a"},
                {"32: a loop: 508", "GET /any HTTP/1.1", "Via: 1.0 fred, 1.1 edge-a\r\n", REASON_LOOP},
                {"32: a loop, in the first of two lines, by another protocol, with a comment", "GET /any HTTP/1.1", "Via: HTTP/2  EDGE-A(x)\r\nVia: 1.1 x\r\n", REASON_LOOP},
                {"32: a name that only begins like ours", "GET /any HTTP/1.1", "Via: 1.1 edge-ab, 1.1 edge, edge-a\r\n", REASON_NONE, "1.1 edge-a"},
                {"32: without a name: no Via", "GET /any HTTP/1.1", "", REASON_NONE, NULL, NULL, true},
                {"32: without a name: no loops", "GET /any HTTP/1.1", "Via: 1.1 edge-a\r\n", REASON_NONE, "1.1 edge-a", NULL, true},
                {"32: Max-Forwards of OPTIONS counts down", "OPTIONS /any HTTP/1.1", "Max-Forwards: 10\r\n", REASON_NONE, "1.1 edge-a", "9"},
                {"32: Max-Forwards 0: we answer", "OPTIONS /any HTTP/1.1", "Max-Forwards: 0\r\n", REASON_MAX_FORWARDS},
                {"32: Max-Forwards that is no number", "OPTIONS /any HTTP/1.1", "Max-Forwards: -1\r\n", REASON_BAD_REQUEST},
                {"32: Max-Forwards beyond 64 bits", "OPTIONS /any HTTP/1.1", "Max-Forwards: 18446744073709551616\r\n", REASON_BAD_REQUEST},
                {"32: Max-Forwards means nothing to GET", "GET /any HTTP/1.1", "Max-Forwards: 0\r\n", REASON_NONE, "1.1 edge-a", "0"},
        };
        static const struct dispatch_self named = {.via = SPAN_LIT("edge-a")}, anonymous = {.server_field = SERVER_PASS};
        world_make();
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct ask a;
                char head[512];
                const struct dispatch_in in = {.self = cases[i].anonymous ? &anonymous : &named, .bind = &w.table->binds[0]};
                snprintf(head, sizeof head, "%s\r\nHost: h\r\n%s\r\n", cases[i].line, cases[i].fields);
                ask(&a, head, &in);
                const struct field *last = NULL, *left = msg_find(&a.s.req, SPAN_LIT("max-forwards"));
                for (size_t k = 0; k < a.s.req.n_fields; k++)
                        if (a.s.req.fields[k].id == FIELD_VIA)
                                last = &a.s.req.fields[k];
                bool ok = a.d.reason == cases[i].reason;
                if (ok && cases[i].reason == REASON_NONE)
                        ok = (cases[i].via ? last && span_eq_str(last->value, cases[i].via) : !last) &&
                             (!cases[i].max_forwards || (left && span_eq_str(left->value, cases[i].max_forwards)));
                else if (ok)
                        ok = a.s.resp.status == (cases[i].reason == REASON_LOOP ? 508u : cases[i].reason == REASON_MAX_FORWARDS ? 204u : 400u) &&
                             (cases[i].reason != REASON_MAX_FORWARDS || msg_find(&a.s.resp, SPAN_LIT("allow")));
                if (!ok)
                        fail_msg("%s: %s, via %.*s", cases[i].name, reason_word(a.d.reason), SPAN_FMT(last ? last->value : SPAN_NULL));
                ask_fini(&a);
        }
        chunk_pool_fini(&pool);
        world_fini(&w);
}

/* requirement 34: Server as the operator wants it, on endpoints' answers and on ours. */
static void test_server_field(void **state)
{
        (void)state;
        static const struct {
                struct dispatch_self self;
                const char *relayed, *ours;
        } cases[] = {
                {{.server_field = SERVER_PASS}, "origin/1.2", NULL},
                {{.server_field = SERVER_HIDE}, NULL, NULL},
                {{.server_field = SERVER_SET, .server = SPAN_LIT("edge")}, "edge", "edge"},
        };
        world_make();
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                for (int ours = 0; ours < 2; ours++) {
                        struct ask a;
                        const struct dispatch_in in = {.self = &cases[i].self, .bind = &w.table->binds[0]};
                        ask(&a, ours ? "GET /none HTTP/1.1\r\nHost: h\r\n\r\n" : "GET /any HTTP/1.1\r\nHost: h\r\n\r\n", &in);
                        assert_int_equal(a.d.reason, ours ? REASON_NO_ROUTE : REASON_NONE);
                        if (!ours) {
                                msg_init(&a.s.resp, &a.s.arena);
                                assert_int_equal(msg_add(&a.s.resp, SPAN_LIT("server"), SPAN_LIT("origin/1.2")), 0);
                                assert_int_equal(dispatch_response(&a.s, &a.d), 0);
                        }
                        const char *want = ours ? cases[i].ours : cases[i].relayed;
                        const struct field *f = msg_find(&a.s.resp, SPAN_LIT("server"));
                        assert_true(want ? f && span_eq_str(f->value, want) : !f);
                        ask_fini(&a);
                }
        chunk_pool_fini(&pool);
        world_fini(&w);
}

/* conformance: HTTPRouteCORS.  `want`: the response's Access-Control fields and Vary, "-" for the prefix they share. */
static void test_cors(void **state)
{
        (void)state;
#define PRE "OPTIONS /x HTTP/1.1\r\nHost: "
#define ORIGIN(o) "\r\nOrigin: " o "\r\n"
#define ASK(m) "Access-Control-Request-Method: " m "\r\nAccess-Control-Request-Headers: x-1, x-9\r\n\r\n"
#define FULL(o) "-allow-methods=GET, OPTIONS -allow-headers=x-1, x-2 -max-age=3600 vary=origin -allow-origin=" o \
                " -allow-credentials=true -expose-headers=x-3, x-4 "
        static const struct {
                const char *name, *head;
                enum reason reason;
                const char *want;
        } cases[] = {
                {"exact origin", PRE "cors.example" ORIGIN("https://www.foo.com") ASK("GET"), REASON_CORS_PREFLIGHT, FULL("https://www.foo.com")},
                {"any case", PRE "cors.example" ORIGIN("HTTPS://WWW.Foo.com") ASK("GET"), REASON_CORS_PREFLIGHT, FULL("HTTPS://WWW.Foo.com")},
                {"star", PRE "cors.example" ORIGIN("https://www.bar.com") ASK("GET"), REASON_CORS_PREFLIGHT, FULL("https://www.bar.com")},
                {"star, several labels", PRE "cors.example" ORIGIN("https://a.b.bar.com") ASK("GET"), REASON_CORS_PREFLIGHT, FULL("https://a.b.bar.com")},
                {"star with a port", PRE "cors.example" ORIGIN("http://a.bar.com:81") ASK("GET"), REASON_CORS_PREFLIGHT, FULL("http://a.bar.com:81")},
                {"star: not the name itself", PRE "cors.example" ORIGIN("https://bar.com") ASK("GET"), REASON_CORS_DENIED, "vary=origin "},
                {"star: an empty label", PRE "cors.example" ORIGIN("https://.bar.com") ASK("GET"), REASON_CORS_DENIED, "vary=origin "},
                {"star: a host, not a path to it", PRE "cors.example" ORIGIN("https://evil/x.bar.com") ASK("GET"), REASON_CORS_DENIED, "vary=origin "},
                {"another port", PRE "cors.example" ORIGIN("https://a.bar.com:8443") ASK("GET"), REASON_CORS_DENIED, "vary=origin "},
                {"longer than allowed", PRE "cors.example" ORIGIN("https://www.foo.com.evil") ASK("GET"), REASON_CORS_DENIED, "vary=origin "},
                {"two origins", PRE "cors.example" ORIGIN("https://www.foo.com") "Origin: https://x\r\n" ASK("GET"), REASON_CORS_DENIED, "vary=origin "},
                {"null", PRE "cors.example" ORIGIN("null") ASK("GET"), REASON_CORS_DENIED, "vary=origin "},
                {"OPTIONS without the question", PRE "cors.example" ORIGIN("https://www.foo.com") "\r\n", REASON_NONE,
                 "vary=origin -allow-origin=https://www.foo.com -allow-credentials=true -expose-headers=x-3, x-4 "},
                {"a question without OPTIONS", "GET / HTTP/1.1\r\nHost: cors.example" ORIGIN("https://a.bar.com") ASK("GET"), REASON_NONE,
                 "vary=origin -allow-origin=https://a.bar.com -allow-credentials=true -expose-headers=x-3, x-4 "},
                {"another origin is served, and told nothing", "GET / HTTP/1.1\r\nHost: cors.example" ORIGIN("https://x") "\r\n", REASON_NONE, "vary=origin "},
                {"no origin", "GET / HTTP/1.1\r\nHost: cors.example\r\n\r\n", REASON_NONE, "vary=origin "},
                {"all stars", PRE "open.example" ORIGIN("https://any:1") ASK("PUT"), REASON_CORS_PREFLIGHT,
                 "-allow-methods=* -allow-headers=* -max-age=3600 -allow-origin=* "},
                {"all stars, no origin", "GET / HTTP/1.1\r\nHost: open.example\r\n\r\n", REASON_NONE, ""},
                {"credentials: no star goes out", PRE "both.example" ORIGIN("https://any") ASK("PUT"), REASON_CORS_PREFLIGHT,
                 "-allow-methods=PUT -allow-headers=x-1, x-9 -max-age=3600 vary=origin -allow-origin=https://any -allow-credentials=true "},
                {"of one backend", PRE "leg-cors.example" ORIGIN("https://leg.example") ASK("PUT"), REASON_CORS_PREFLIGHT,
                 "-allow-methods=PUT -max-age=3600 vary=origin -allow-origin=https://leg.example "},
        };
        world_make();
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct ask a;
                const struct dispatch_in in = {.bind = &w.table->binds[0]};
                char got[1024] = "";
                size_t n = 0;
                ask(&a, cases[i].head, &in);
                if (a.d.reason == REASON_NONE) { /* a backend that has its own opinion */
                        msg_init(&a.s.resp, &a.s.arena);
                        assert_int_equal(msg_add(&a.s.resp, SPAN_LIT("access-control-allow-origin"), SPAN_LIT("*")), 0);
                        assert_int_equal(dispatch_response(&a.s, &a.d), 0);
                }
                for (size_t k = 0; k < a.s.resp.n_fields; k++) {
                        const struct field *f = &a.s.resp.fields[k];
                        size_t skip = f->name.n > 14 && memcmp(f->name.p, "access-control", 14) == 0 ? 14 : 0;
                        if (skip || span_eq_str(f->name, "vary"))
                                n += (size_t)snprintf(got + n, sizeof got - n, "%.*s=%.*s ", (int)(f->name.n - skip),
                                                      (const char *)f->name.p + skip, SPAN_FMT(f->value));
                }
                if (a.d.reason != cases[i].reason || strcmp(got, cases[i].want) != 0)
                        fail_msg("%s: %s: %s", cases[i].name, reason_word(a.d.reason), got);
                if (a.d.reason == REASON_CORS_PREFLIGHT)
                        assert_true(a.s.resp.status == 204 && a.body.n == 0);
                ask_fini(&a);
        }
        chunk_pool_fini(&pool);
        world_fini(&w);
}

/* RFC-like grammar of gRPC's PROTOCOL-HTTP2: TimeoutValue TimeoutUnit */
static void test_grpc(void **state)
{
        (void)state;
        static const struct {
                const char *text;
                uint32_t want;
        } timeouts[] = {{"1S", 1000}, {"250m", 250}, {"1u", 1}, {"999999n", 1}, {"1000001n", 2}, {"2M", 120000}, {"1H", 3600000},
                    {"99999999H", 86400000}, {"99999999S", 86400000}, {"0S", 1}, {"123456789m", 0}, {"S", 0}, {"1", 0}, {"1s", 0}, {"-1S", 0}, {"1.5S", 0}};
        struct arena a;
        struct msg m;
        struct span text = SPAN_LIT("caf\xc3\xa9 100%\n");
        arena_init(&a, 4096, SIZE_MAX);
        for (size_t i = 0; i < ARRAY_SIZE(timeouts); i++) {
                msg_init(&m, &a);
                assert_int_equal(msg_add(&m, SPAN_LIT("grpc-timeout"), span_str(timeouts[i].text)), 0);
                if (grpc_timeout_ms(&m) != timeouts[i].want)
                        fail_msg("%s: %u", timeouts[i].text, grpc_timeout_ms(&m));
        }
        msg_init(&m, &a);
        m.status = 503;
        assert_int_equal(grpc_error(&m, grpc_status_of(m.status), text), 0);
        assert_true(m.status == 200 && span_eq_str(msg_find(&m, SPAN_LIT("grpc-status"))->value, "14"));
        assert_true(span_eq_str(msg_find(&m, SPAN_LIT("grpc-message"))->value, "caf%C3%A9 100%25%0A"));
        arena_fini(&a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_decisions), cmocka_unit_test(test_cors), cmocka_unit_test(test_grpc), cmocka_unit_test(test_forwarding_fields), cmocka_unit_test(test_hops), cmocka_unit_test(test_server_field)};
        return cmocka_run_group_tests_name("dispatch", tests, NULL, NULL);
}
