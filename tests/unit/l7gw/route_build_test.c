/* tests/unit/l7gw/route_build_test.c - compiling the model: merged binds, and every refusal with its stage and source. */
#include "lib/base.h"
#include "tests/unit/l7gw/route_rows.h"

static struct world w;

static void base(void)
{
        static const struct row rows[] = { { "", "", '^', "/a", .header = "h=v", .query = "q=v", .rule = "r" } };
        world_init(&w);
        rows_add(&w, rows, 1);
}

/* One object of the base model made wrong; each names what it touches. */
#define RULE (w.gw.rules[0])
#define LEG (RULE->forward->legs[0])
#define LISTENER (w.gw.listeners[0])
#define BIND (w.gw.binds[0])
#define ENTRY (LISTENER->virtual_hosts[0]->routes[0])
#define MATCH (ENTRY->match)
#define STR(s) ((char *)(s))
static Model__Filter *filter_add(Model__Filter__KindCase kind)
{
        Model__Filter *f = NEW(&w, Model__Filter, MODEL__FILTER__INIT);
        f->kind_case = kind;
        RULE->filters = take(&w, sizeof(void *));
        RULE->filters[0] = f;
        RULE->n_filters = 1;
        return f;
}
static Model__HeaderEdit *edit_add(Model__Filter__KindCase kind)
{
        Model__Filter *f = filter_add(kind);
        f->request_headers = NEW(&w, Model__HeaderEdit, MODEL__HEADER_EDIT__INIT); /* a union: either side */
        return f->request_headers;
}
static void set_add(Model__HeaderEdit *e, char *name, char *value)
{
        e->set = take(&w, sizeof(void *));
        e->set[0] = NEW(&w, Model__Header, MODEL__HEADER__INIT);
        e->set[0]->name = name;
        e->set[0]->value = value;
        e->n_set = 1;
}
static Model__PathEdit *path_edit(Model__PathEdit__Kind kind, char *value)
{
        Model__PathEdit *p = NEW(&w, Model__PathEdit, MODEL__PATH_EDIT__INIT);
        p->kind = kind;
        p->value = value;
        return p;
}
static void rewrite(Model__PathEdit__Kind kind, char *value)
{
        Model__Filter *f = filter_add(MODEL__FILTER__KIND_REWRITE);
        f->rewrite = NEW(&w, Model__Rewrite, MODEL__REWRITE__INIT);
        f->rewrite->path = path_edit(kind, value);
}
/* The rule rewrites the path, and then the rule again or its backend. */
static void rewrite_twice(Model__PathEdit__Kind second, bool of_leg)
{
        rewrite(second, STR("/y"));
        Model__Filter *f = RULE->filters[0];
        rewrite(MODEL__PATH_EDIT__KIND__FULL, STR("/x"));
        Model__Filter **both = take(&w, 2 * sizeof(void *));
        both[0] = of_leg ? f : RULE->filters[0];
        both[1] = f;
        *(of_leg ? &LEG->filters : &RULE->filters) = both;
        *(of_leg ? &LEG->n_filters : &RULE->n_filters) = of_leg ? 1 : 2;
}
static Model__Redirect *redirect(uint32_t status)
{
        RULE->action_case = MODEL__RULE__ACTION_REDIRECT;
        RULE->redirect = NEW(&w, Model__Redirect, MODEL__REDIRECT__INIT);
        RULE->redirect->status = status;
        return RULE->redirect;
}
static void check_add(Model__HealthCheckType type, const char *path, const char *expect)
{
        w.cluster.health_check = NEW(&w, Model__HealthCheck, MODEL__HEALTH_CHECK__INIT);
        w.cluster.health_check->type = type;
        w.cluster.health_check->path = STR(path);
        w.cluster.health_check->expect = STR(expect);
}
static void leg_redirect(Model__PathEdit__Kind kind, bool of_leg)
{
        Model__Filter *f = filter_add(MODEL__FILTER__KIND_REDIRECT);
        f->redirect = NEW(&w, Model__Redirect, MODEL__REDIRECT__INIT);
        f->redirect->status = 302;
        f->redirect->path = path_edit(kind, STR("/x"));
        if (!of_leg)
                return;
        LEG->filters = RULE->filters;
        LEG->n_filters = 1;
        RULE->n_filters = 0;
}
static void leg_redirect_behind_rewrite(void)
{
        leg_redirect(MODEL__PATH_EDIT__KIND__PREFIX, true);
        rewrite(MODEL__PATH_EDIT__KIND__FULL, STR("/y"));
}
static void mirror_add(const char *cluster, uint32_t numerator, uint32_t denominator)
{
        Model__Filter *f = filter_add(MODEL__FILTER__KIND_MIRROR);
        f->mirror = NEW(&w, Model__Mirror, MODEL__MIRROR__INIT);
        f->mirror->cluster = STR(cluster);
        f->mirror->fraction = NEW(&w, Model__Fraction, MODEL__FRACTION__INIT);
        f->mirror->fraction->numerator = numerator;
        f->mirror->fraction->denominator = denominator;
}
static void cors_add(const char *origin, const char *method, const char *header)
{
        Model__Filter *f = filter_add(MODEL__FILTER__KIND_CORS);
        Model__Cors *c = f->cors = NEW(&w, Model__Cors, MODEL__CORS__INIT);
        char **v = take(&w, 3 * sizeof *v);
        v[0] = STR(origin), v[1] = STR(method), v[2] = STR(header);
        c->allow_origins = v, c->n_allow_origins = 1;
        c->allow_methods = v + 1, c->n_allow_methods = 1;
        c->allow_headers = v + 2, c->n_allow_headers = 1;
}
static void cors_twice(void)
{
        cors_add("*", "*", "*");
        Model__Filter **both = take(&w, 2 * sizeof(void *));
        both[0] = both[1] = RULE->filters[0];
        RULE->filters = both;
        RULE->n_filters = 2;
}
static void regex(Model__NamedMatch *m, const char *pattern)
{
        m->value->kind = MODEL__STRING_MATCH__KIND__REGEX;
        m->value->value = STR(pattern);
}
static void policy(Model__Policies **p)
{
        *p = NEW(&w, Model__Policies, MODEL__POLICIES__INIT);
        (*p)->rate_limit = (char *)"x";
}
static void tls(void)
{
        static char *certs[] = { (char *)"default/cert" };
        LISTENER->protocol = MODEL__LISTENER__PROTOCOL__HTTPS;
        LISTENER->tls = NEW(&w, Model__Tls, MODEL__TLS__INIT);
        LISTENER->tls->certificates = certs;
        LISTENER->tls->n_certificates = 1;
}
/* A listener that passes TLS through: an older route for two names, a newer one for one of them and for a wildcard. */
static void streams(void)
{
        static const char *const names[2][2] = { { "a.x", "b.x" }, { "a.x", "*.x" } };
        LISTENER->protocol = MODEL__LISTENER__PROTOCOL__TLS_PASSTHROUGH;
        LISTENER->n_virtual_hosts = 0;
        LISTENER->stream_routes = take(&w, 2 * sizeof(void *));
        for (size_t i = 0; i < 2; i++) {
                Model__StreamRoute *s = LISTENER->stream_routes[i] = NEW(&w, Model__StreamRoute, MODEL__STREAM_ROUTE__INIT);
                s->sni = take(&w, 2 * sizeof(char *));
                s->sni[0] = STR(names[i][0]), s->sni[1] = STR(names[i][1]), s->n_sni = 2;
                s->legs = take(&w, sizeof(void *));
                s->legs[0] = NEW(&w, Model__Leg, MODEL__LEG__INIT);
                *s->legs[0] = *LEG;
                s->legs[0]->filters = NULL;
                s->legs[0]->n_filters = 0;
                s->legs[0]->weight = (uint32_t)i + 1;
                s->n_legs = 1;
        }
        LISTENER->n_stream_routes = 2;
}
static void cookie(void)
{
        MATCH->cookies = MATCH->headers;
        MATCH->n_cookies = 1;
}
static void second_listener(const char *hostname)
{
        Model__Listener *l = NEW(&w, Model__Listener, MODEL__LISTENER__INIT);
        *l = *LISTENER;
        l->hostname = arena_strdup(&w.arena, hostname);
        l->source = NEW(&w, Model__Source, MODEL__SOURCE__INIT);
        l->source->kind = (char *)"second";
        w.gw.listeners[w.gw.n_listeners++] = l;
}
static void second_vhost(const char *hostname)
{
        vhost_of(&w, LISTENER, "x")->hostname = arena_strdup(&w.arena, hostname);
}

/* X(name, stage, source kind, what the reason holds, what is wrong) */
#define CASES(X) \
        X("UDP bind", UNSUPPORTED, "Gateway", "only TCP", BIND->l4 = MODEL__L4_PROTOCOL__L4_UDP) \
        X("PROXY protocol in", UNSUPPORTED, "Gateway", "PROXY", BIND->proxy_protocol = MODEL__PROXY_PROTOCOL__PROXY_V2) \
        X("PROXY protocol in, from nobody", UNSUPPORTED, "Gateway", "trusted", BIND->proxy_protocol = MODEL__PROXY_PROTOCOL__PROXY_OPTIONAL) \
        X("bind without address", CHECK, "Gateway", "bind address", BIND->addr.len = 3) \
        X("bind without port", CHECK, "Gateway", "bind address", BIND->port = 0) \
        X("no such bind", CHECK, "Gateway", "no bind 7", LISTENER->binds[0] = 7) \
        X("TLS to TCP without a certificate", CHECK, "Gateway", "certificate", LISTENER->protocol = MODEL__LISTENER__PROTOCOL__TLS_TERMINATE) \
        X("a server name that is none", CHECK, "Gateway", "server name", (streams(), LISTENER->stream_routes[0]->sni[0] = STR("*"))) \
        X("a stream's cluster that is not there", CHECK, "Gateway", "no such cluster", (streams(), LISTENER->stream_routes[0]->legs[0]->cluster = STR("x"))) \
        X("TCP", UNSUPPORTED, "Gateway", "protocol TCP", LISTENER->protocol = MODEL__LISTENER__PROTOCOL__TCP) \
        X("UDP", UNSUPPORTED, "Gateway", "protocol UDP", LISTENER->protocol = MODEL__LISTENER__PROTOCOL__UDP) \
        X("client policy", UNSUPPORTED, "Gateway", "client policies", BIND->client_policy = STR("x")) \
        X("listener policy", UNSUPPORTED, "Gateway", "policies", policy(&LISTENER->policies)) \
        X("HTTPS without certificate", CHECK, "Gateway", "without a certificate", LISTENER->protocol = MODEL__LISTENER__PROTOCOL__HTTPS) \
        X("HTTP with TLS", CHECK, "Gateway", "TLS settings", (tls(), LISTENER->protocol = MODEL__LISTENER__PROTOCOL__HTTP)) \
        X("listener host", CHECK, "Gateway", "not a host name", LISTENER->hostname = STR("a*b")) \
        X("same host twice on a bind", CHECK, "second", "is taken", second_listener("")) \
        X("two protocols on a bind", CHECK, "second", "another protocol", (second_listener("a"), tls(), \
          w.gw.listeners[1]->tls = NULL)) \
        X("virtual host twice", CHECK, "Gateway", "twice", second_vhost("")) \
        X("virtual host name", CHECK, "Gateway", "not a host name", second_vhost("a b")) \
        X("no action", UNSUPPORTED, "HTTPRoute", "action", RULE->action_case = MODEL__RULE__ACTION__NOT_SET) \
        X("session with idle timeout", UNSUPPORTED, "HTTPRoute", "idle timeout", \
          (RULE->persistence = NEW(&w, Model__Persistence, MODEL__PERSISTENCE__INIT), RULE->persistence->idle_timeout_s = 1)) \
        X("session cookie name", CHECK, "HTTPRoute", "cookie: \"a b\"", \
          (RULE->persistence = NEW(&w, Model__Persistence, MODEL__PERSISTENCE__INIT), RULE->persistence->name = STR("a b"))) \
        X("session header that is the engine's", CHECK, "HTTPRoute", "header: \"host\"", \
          (RULE->persistence = NEW(&w, Model__Persistence, MODEL__PERSISTENCE__INIT), RULE->persistence->name = STR("host"), \
           RULE->persistence->kind = MODEL__PERSISTENCE__KIND__HEADER)) \
        X("rule policy", UNSUPPORTED, "HTTPRoute", "policies", policy(&RULE->policies)) \
        X("no such cluster", CHECK, "HTTPRoute", "no such cluster", LEG->cluster = STR("x")) \
        X("fail status", CHECK, "HTTPRoute", "fail_status", (LEG->cluster = STR(""), LEG->fail_status = 404)) \
        X("TCP backend", UNSUPPORTED, "HTTPRoute", "TCP", w.cluster.protocol = MODEL__CLUSTER__PROTOCOL__TCP) \
        X("a load balancer of tomorrow", UNSUPPORTED, "HTTPRoute", "load balancer", w.cluster.lb = (Model__Cluster__LoadBalancer)17) \
        X("hash", UNSUPPORTED, "HTTPRoute", "hash", \
          (w.cluster.hash = NEW(&w, Model__HashPolicy, MODEL__HASH_POLICY__INIT), w.cluster.hash->kind = (Model__HashPolicy__Kind)9)) \
        X("health check of UDP", UNSUPPORTED, "HTTPRoute", "health check", check_add(MODEL__HEALTH_CHECK_TYPE__HC_UDP, "/", "200")) \
        X("health check over TLS without TLS", UNSUPPORTED, "HTTPRoute", "no TLS", check_add(MODEL__HEALTH_CHECK_TYPE__HC_HTTPS, "/", "200")) \
        X("health check without a path", UNSUPPORTED, "HTTPRoute", "path", check_add(MODEL__HEALTH_CHECK_TYPE__HC_HTTP, "", "200")) \
        X("health check: statuses", UNSUPPORTED, "HTTPRoute", "statuses", check_add(MODEL__HEALTH_CHECK_TYPE__HC_HTTP, "/", "200-")) \
        X("outlier interval", UNSUPPORTED, "HTTPRoute", "outlier", \
          (w.cluster.outlier = NEW(&w, Model__Outlier, MODEL__OUTLIER__INIT), w.cluster.outlier->interval_ms = 1)) \
        X("PROXY out", UNSUPPORTED, "HTTPRoute", "PROXY", w.cluster.proxy_protocol = MODEL__PROXY_PROTOCOL__PROXY_REQUIRED) \
        X("DNS", UNSUPPORTED, "HTTPRoute", "DNS", w.cluster.dns_name = STR("a")) \
        X("mirror to nobody", CHECK, "HTTPRoute", "no such cluster: x", mirror_add("x", 1, 2)) \
        X("mirror of nothing", CHECK, "HTTPRoute", "mirror: 0 of 0", mirror_add(w.cluster.id, 0, 0)) \
        X("mirror of more than all", CHECK, "HTTPRoute", "mirror: 3 of 2", mirror_add(w.cluster.id, 3, 2)) \
        X("mirror by a protocol we cannot speak", UNSUPPORTED, "HTTPRoute", "TCP", \
          (mirror_add(w.cluster.id, 1, 2), LEG->cluster = STR(""), w.cluster.protocol = MODEL__CLUSTER__PROTOCOL__TCP)) \
        X("CORS origin", CHECK, "HTTPRoute", "origins: \"https://*.a*\"", cors_add("https://*.a*", "GET", "x")) \
        X("CORS method", CHECK, "HTTPRoute", "methods: \"G T\"", cors_add("*", "G T", "x")) \
        X("CORS header", CHECK, "HTTPRoute", "headers: \"x\r\n\"", cors_add("*", "*", "x\r\n")) \
        X("CORS twice", CHECK, "HTTPRoute", "twice", cors_twice()) \
        X("external auth", UNSUPPORTED, "HTTPRoute", "external auth", filter_add(MODEL__FILTER__KIND_EXTERNAL_AUTH)) \
        X("redirect as a rule's filter", CHECK, "HTTPRoute", "it is an action", leg_redirect(MODEL__PATH_EDIT__KIND__KEEP, false)) \
        X("redirect of a backend: status", CHECK, "HTTPRoute", "status", \
          (leg_redirect(MODEL__PATH_EDIT__KIND__KEEP, true), LEG->filters[0]->redirect->status = 200)) \
        X("prefix redirect of a backend behind the rule's rewrite", UNSUPPORTED, "HTTPRoute", "replaces the prefix", \
          leg_redirect_behind_rewrite()) \
        X("prefix redirect of a backend of an exact match", CHECK, "HTTPRoute", "prefix can only", \
          (leg_redirect(MODEL__PATH_EDIT__KIND__PREFIX, true), MATCH->path_kind = MODEL__MATCH__PATH_KIND__EXACT)) \
        X("unknown filter", UNSUPPORTED, "HTTPRoute", "does not know", filter_add(MODEL__FILTER__KIND__NOT_SET)) \
        X("header name", CHECK, "HTTPRoute", "not a header name", set_add(edit_add(MODEL__FILTER__KIND_REQUEST_HEADERS), STR("a b"), STR("v"))) \
        X("header value", CHECK, "HTTPRoute", "not a header value", \
          set_add(edit_add(MODEL__FILTER__KIND_RESPONSE_HEADERS), STR("a"), STR("v\r\nx: y"))) \
        X("engine's header", UNSUPPORTED, "HTTPRoute", "not for filters", \
          set_add(edit_add(MODEL__FILTER__KIND_REQUEST_HEADERS), STR("Transfer-Encoding"), STR("chunked"))) \
        X("Host by a header filter", UNSUPPORTED, "HTTPRoute", "not for filters", \
          set_add(edit_add(MODEL__FILTER__KIND_REQUEST_HEADERS), STR("Host"), STR("x"))) \
        X("rewrite by regex", UNSUPPORTED, "HTTPRoute", "regular expression", rewrite(MODEL__PATH_EDIT__KIND__REGEX, STR("/x"))) \
        X("rewrite to no path", CHECK, "HTTPRoute", "not a path", rewrite(MODEL__PATH_EDIT__KIND__FULL, STR("x"))) \
        X("rewrite above the root", CHECK, "HTTPRoute", "not a path", rewrite(MODEL__PATH_EDIT__KIND__PREFIX, STR("/../x"))) \
        X("rewrite to no host", CHECK, "HTTPRoute", "not a host name", \
          (rewrite(MODEL__PATH_EDIT__KIND__KEEP, STR("")), RULE->filters[0]->rewrite->hostname = STR("a/b"))) \
        X("prefix rewrite of an exact match", CHECK, "HTTPRoute", "prefix can only", \
          (rewrite(MODEL__PATH_EDIT__KIND__PREFIX, STR("/x")), MATCH->path_kind = MODEL__MATCH__PATH_KIND__EXACT)) \
        X("prefix rewrite behind another", UNSUPPORTED, "HTTPRoute", "already rewritten", \
          rewrite_twice(MODEL__PATH_EDIT__KIND__PREFIX, false)) \
        X("prefix rewrite of a backend behind the rule's", UNSUPPORTED, "HTTPRoute", "replaces the prefix", \
          rewrite_twice(MODEL__PATH_EDIT__KIND__PREFIX, true)) \
        X("prefix redirect of an exact match", CHECK, "HTTPRoute", "prefix can only", \
          (redirect(302)->path = path_edit(MODEL__PATH_EDIT__KIND__PREFIX, STR("/x")), MATCH->path_kind = MODEL__MATCH__PATH_KIND__EXACT)) \
        X("redirect status", CHECK, "HTTPRoute", "status", redirect(200)) \
        X("redirect scheme", CHECK, "HTTPRoute", "scheme", redirect(301)->scheme = STR("javascript")) \
        X("redirect host", CHECK, "HTTPRoute", "host name", redirect(301)->hostname = STR("a\r\n")) \
        X("redirect port", CHECK, "HTTPRoute", "port", redirect(301)->port = 65536) \
        X("redirect path", CHECK, "HTTPRoute", "not a path", redirect(301)->path = path_edit(MODEL__PATH_EDIT__KIND__FULL, STR("a"))) \
        X("redirect by regex", UNSUPPORTED, "HTTPRoute", "regular", redirect(301)->path = path_edit(MODEL__PATH_EDIT__KIND__REGEX, STR("/a"))) \
        X("fixed status", CHECK, "HTTPRoute", "status", (RULE->action_case = MODEL__RULE__ACTION_FIXED, \
          RULE->fixed = NEW(&w, Model__Fixed, MODEL__FIXED__INIT))) \
        X("regex path", CHECK, "HTTPRoute", "path: regular expression \"/(a\": missing closing parenthesis at byte 3", \
          (MATCH->path_kind = MODEL__MATCH__PATH_KIND__REGEX, MATCH->path = STR("/(a"))) \
        X("regex header", CHECK, "HTTPRoute", "h: regular expression \"*\": quantifier", regex(MATCH->headers[0], "*")) \
        X("regex query", CHECK, "HTTPRoute", "q: regular expression \"[\": missing terminating", regex(MATCH->query[0], "[")) \
        X("regex of single bytes", CHECK, "HTTPRoute", "is disabled", regex(MATCH->query[0], "\\C")) \
        X("regex of Unicode", CHECK, "HTTPRoute", "UTF", regex(MATCH->query[0], "(*UTF)a")) \
        X("regex that grows", CHECK, "HTTPRoute", "too large", regex(MATCH->query[0], "((a{1,999}){1,999}){1,999}")) \
        X("cookie", UNSUPPORTED, "HTTPRoute", "cookies", cookie()) \
        X("source match", UNSUPPORTED, "HTTPRoute", "client addresses", MATCH->n_sources = 1) \
        X("header name of a match", CHECK, "HTTPRoute", "header name", MATCH->headers[0]->name = STR(":path")) \
        X("hop-by-hop header match", UNSUPPORTED, "HTTPRoute", "connection", MATCH->headers[0]->name = STR("Connection")) \
        X("path of a match", CHECK, "HTTPRoute", "not a path", MATCH->path = STR("/a b")) \
        X("no such rule", CHECK, "HTTPRoute", "no rule", ENTRY->rule = 1) \
        X("no match", CHECK, "HTTPRoute", "no match", ENTRY->match = NULL)

static void test_refusals(void **state)
{
        (void)state;
#define X(name_, stage_, kind_, reason_, change_)                                                                         \
        do {                                                                                                              \
                base();                                                                                                   \
                world_must_build(&w); /* the base is right: the change alone is refused */                                \
                (void)(change_, 0);                                                                                       \
                int r = world_build(&w);                                                                                  \
                bool ok = r < 0 && w.err.stage == CONTROL__NACK_STAGE__NACK_##stage_ && w.err.has_source &&               \
                          strcmp(w.err.kind, kind_) == 0 && strstr(w.err.err.msg, reason_) &&                             \
                          strcmp(w.err.section, "gateway/default/gw") == 0;                                               \
                if (!ok)                                                                                                  \
                        print_error("%s: %d stage %u source \"%s\" section \"%s\": %s\n", name_, r, w.err.stage, w.err.kind, \
                                    w.err.section, w.err.err.msg);                                                        \
                assert_true(ok);                                                                                          \
                world_fini(&w);                                                                                           \
        } while (0);
        CASES(X)
#undef X
}

/* A TLS listener: the route of a server name, and nothing for HTTP.  It shares its port with HTTPS. */
static void test_streams(void **state)
{
        (void)state;
        static const struct { const char *sni; uint32_t weight; } cases[] = { { "a.x", 1 }, { "b.x", 1 }, { "c.x", 2 }, { "c.c.x", 2 }, { "x", 0 }, { "", 0 } };
        base();
        streams();
        second_listener("web.x");
        Model__Listener *https = w.gw.listeners[1];
        tls(); /* of the first: moved to the second */
        https->protocol = MODEL__LISTENER__PROTOCOL__HTTPS;
        https->tls = LISTENER->tls;
        https->n_stream_routes = 0;
        LISTENER->tls = NULL;
        LISTENER->protocol = MODEL__LISTENER__PROTOCOL__TLS_PASSTHROUGH;
        world_must_build(&w);
        const struct route_bind *b = &w.table->binds[0];
        assert_true(b->passthrough);
        assert_int_equal(b->protocol, MODEL__LISTENER__PROTOCOL__HTTPS);
        const struct route_listener *l = route_listener_find(b, SPAN_LIT("a.x"));
        assert_non_null(l);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const struct route_rule *r = route_stream_find(l, span_str(cases[i].sni));
                if (r ? r->legs[0].model->weight != cases[i].weight : cases[i].weight != 0)
                        fail_msg("%s", cases[i].sni);
        }
        struct route_hit hit;
        const struct msg req = { .host = SPAN_LIT("a.x") };
        assert_int_equal(route_find(l, &req, &hit), ROUTE_NONE);
        assert_null(route_stream_find(route_listener_find(b, SPAN_LIT("web.x")), SPAN_LIT("web.x")));
        world_fini(&w);
}

/* Two Gateways on one address share the bind; another port is another bind; hostnames decide between listeners. */
static void test_merged_binds(void **state)
{
        (void)state;
        static const struct row rows[] = { { "", "", '^', "/", .rule = "first" }, { "*.b.org", "*.b.org", '^', "/", .rule = "wild" } };
        world_init(&w);
        rows_add(&w, rows, 2);
        Model__Gateway *g2 = take(&w, sizeof *g2);
        gateway_init(&w, g2, "other/gw");
        g2->binds[1] = NEW(&w, Model__Bind, MODEL__BIND__INIT);
        *g2->binds[1] = *g2->binds[0];
        g2->binds[1]->port = 81;
        g2->n_binds = 2;
        Model__Listener *l = listener_of(&w, g2, "a.b.org");
        l->binds[l->n_binds++] = 1;
        Model__VirtualHost *v = vhost_of(&w, l, "a.b.org");
        v->routes[v->n_routes++] = NEW(&w, Model__RouteEntry, MODEL__ROUTE_ENTRY__INIT);
        v->routes[0]->match = match_of(&w, &rows[0]);
        g2->rules[g2->n_rules++] = forward_rule(&w, "second");
        w.gws[w.model.n_gateways++] = g2;
        world_must_build(&w);
        assert_int_equal(w.table->n_binds, 2);
        assert_int_equal(w.table->n_listeners, 3);
        assert_int_equal(w.table->n_rules, 3);
        assert_int_equal(w.table->binds[0].port, 80);
        assert_int_equal(w.table->binds[0].n_listeners, 3);
        assert_string_equal(w.table->binds[0].listeners[0]->model->hostname, "a.b.org"); /* most specific first */
        assert_string_equal(w.table->binds[0].listeners[1]->model->hostname, "*.b.org");
        assert_string_equal(w.table->binds[0].listeners[2]->model->hostname, "");
        assert_int_equal(w.table->binds[1].port, 81);
        assert_int_equal(w.table->binds[1].n_listeners, 1);
        static const struct probe probes[] = { { "x.org", "GET /", NULL, "first" }, { "c.b.org", "GET /", NULL, "wild" },
                                               { "a.b.org", "GET /", NULL, "second" } };
        probes_run(&w, probes, ARRAY_SIZE(probes));
        world_fini(&w);
}

static void test_nothing(void **state)
{
        (void)state;
        world_init(&w);
        w.model.n_gateways = 0;
        world_must_build(&w);
        assert_int_equal(w.table->n_binds, 0);
        world_fini(&w);
        base(); /* an invalid backend is no refusal: it keeps its weight and answers fail_status */
        LEG->cluster = STR("");
        LEG->fail_status = 503;
        world_must_build(&w);
        world_fini(&w);
        base(); /* nor is a backend's full path behind the rule's: the last one stands */
        rewrite_twice(MODEL__PATH_EDIT__KIND__FULL, true);
        world_must_build(&w);
        world_fini(&w);
}

/* Every arena size: -ENOMEM with a reason until it fits. */
static void test_starved(void **state)
{
        (void)state;
        base();
        rewrite(MODEL__PATH_EDIT__KIND__PREFIX, STR("/new"));
        regex(MATCH->query[0], "[a-z]+(x|y)*");
        int r = -1;
        size_t step = 0;
        for (; r < 0; step += 16) {
                struct arena a;
                arena_init(&a, 4096, step);
                r = route_table_build(&a, &w.model, &w.table, &w.err);
                if (r < 0) {
                        assert_int_equal(r, -ENOMEM);
                        assert_int_equal(w.err.stage, CONTROL__NACK_STAGE__NACK_INTERNAL);
                } else {
                        route_table_close(w.table);
                        w.table = NULL;
                }
                arena_fini(&a);
        }
        assert_true(step > 1000);
        world_fini(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_refusals), cmocka_unit_test(test_streams), cmocka_unit_test(test_merged_binds),
                                            cmocka_unit_test(test_nothing), cmocka_unit_test(test_starved) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
