/* l7gw/io/trace.c - see trace.h.  The request is made by our own parser and decided by the same code as a real one. */
#include "lib/base.h"
#include "l7gw/io/trace.h"
#include "l7gw/core/dispatch.h"
#include "l7gw/core/h1.h"
#include "l7gw/core/path.h"
#include "l7gw/io/control.h"

#define CANDIDATES_MAX 64

struct question {
        struct span scheme, authority, host, target;
        uint16_t port;
        char *head;
};

static void field(struct json *j, const char *key, struct span v)
{
        json_key(j, key);
        json_span(j, v);
}
static void text(struct json *j, const char *key, const char *v)
{
        json_key(j, key);
        json_str(j, v);
}
static void number(struct json *j, const char *key, uint64_t v)
{
        json_key(j, key);
        json_u64(j, v);
}

static bool is_clean(const char *s) /* it becomes part of a head */
{
        for (; *s; s++)
                if ((unsigned char)*s < 0x20 || *s == 0x7f)
                        return false;
        return true;
}

/* "http://host[:port]/path?query" and the fields -> a request head. */
static int question_make(struct arena *a, char *const *argv, size_t argc, struct question *q, struct err *e)
{
        for (size_t i = 0; i < argc; i++)
                if (!is_clean(argv[i]))
                        return err_set(e, EINVAL, "trace", "argument %zu has a control character", i + 1);
        if (argc < 2)
                return err_set(e, EINVAL, "trace", "METHOD URL [NAME:VALUE...]");
        const char *url = argv[1], *colon = strstr(url, "://");
        q->scheme = colon ? SPAN(url, (size_t)(colon - url)) : SPAN_NULL;
        if (!span_eq_str(q->scheme, "http") && !span_eq_str(q->scheme, "https"))
                return err_set(e, EINVAL, "trace", "not an http or https URL: %s", url);
        const char *rest = colon + 3, *path = rest + strcspn(rest, "/?");
        q->authority = SPAN(rest, (size_t)(path - rest));
        if (authority_split(a, q->authority, &q->host, &q->port) < 0)
                return err_set(e, EINVAL, "trace", "not a host: %.*s", SPAN_FMT(q->authority));
        if (q->port == 0)
                q->port = scheme_port(q->scheme);
        q->head = arena_printf(a, "%s %s%s HTTP/1.1\r\nhost: %.*s\r\n", argv[0], *path == '/' ? "" : "/", path, SPAN_FMT(q->authority));
        for (size_t i = 2; q->head && i < argc; i++)
                q->head = arena_printf(a, "%s%s\r\n", q->head, argv[i]);
        q->head = q->head ? arena_printf(a, "%s\r\n", q->head) : NULL;
        return q->head ? 0 : err_set(e, ENOMEM, "trace", "out of memory");
}

static void source(struct json *j, const Model__Source *s)
{
        char route[800];
        snprintf(route, sizeof route, "%s %s/%s", s ? s->kind : "?", s ? s->namespace_ : "?", s ? s->name : "?"); /* names: 253 each */
        text(j, "route", route);
        number(j, "rule", s ? s->rule : 0);
        number(j, "match", s ? s->match : 0);
}

static void candidates(struct json *j, const struct route_listener *l, const struct msg *req)
{
        static const char *const words[WHY_N] = {"taken", "another method", "not gRPC", "header", "query parameter", "path does not match",
                                                 "a regular expression gives up"};
        static const char *const kinds[] = {"any", "exact", "prefix", "regex"};
        struct route_candidate v[CANDIDATES_MAX];
        size_t n = route_explain(l, req, v, CANDIDATES_MAX);
        json_key(j, "asked");
        json_arr(j);
        for (size_t i = 0; i < n; i++) {
                const Model__RouteEntry *e = v[i].entry;
                char why[300];
                json_obj(j);
                source(j, e->source ? e->source : v[i].rule->model->source);
                text(j, "host", v[i].hostname);
                text(j, "path_kind", e->match->path_kind < ARRAY_SIZE(kinds) ? kinds[e->match->path_kind] : "?");
                text(j, "path", *e->match->path ? e->match->path : "/"); /* of a prefix without its last slash */
                snprintf(why, sizeof why, "%s%s%.*s", words[v[i].why], v[i].name.n ? " " : "", SPAN_FMT(v[i].name));
                text(j, "verdict", why);
                json_end(j);
        }
        json_end(j);
}

static void legs(struct json *j, const struct generation *g, const struct route_rule *r)
{
        json_key(j, "backends");
        json_arr(j);
        for (size_t i = 0; i < r->n_legs; i++) {
                const struct route_leg *l = &r->legs[i];
                const struct set_rt *set = l->cluster ? g->clusters[l->cluster_index].set : NULL;
                json_obj(j);
                text(j, "cluster", l->cluster ? l->cluster->id : "");
                number(j, "weight", l->model->weight);
                number(j, "of", r->weight_total);
                if (!l->cluster)
                        number(j, "fail_status", l->model->fail_status ? l->model->fail_status : 500);
                else
                        number(j, "endpoints_ready", set ? set->ready : 0);
                json_end(j);
        }
        json_end(j);
}

static bool no_endpoint(void *arg, uint32_t cluster_index, uint64_t token)
{
        (void)arg;
        (void)cluster_index;
        (void)token;
        return false; /* which endpoints are there is the workers' knowledge */
}

/* The whole decision, as for a real request. */
static void decision(struct json *j, const struct generation *g, const struct gen_bind *b, struct stream *s, const struct question *q)
{
        struct dispatch d;
        bool tls = span_eq_str(q->scheme, "https");
        struct dispatch_in in = {.bind = b->route, .tls = tls, .sni = tls ? q->host : SPAN_NULL, .peer = SPAN_LIT("192.0.2.0"),
                                 .has_endpoint = no_endpoint, .request_id = "00000000000000000000000000000000"};
        dispatch_request(s, &in, &d);
        text(j, "listener", d.listener ? d.listener->model->id : NULL);
        text(j, "outcome", d.reason == REASON_NONE ? "forward" : reason_word(d.reason));
        if (d.reason != REASON_NONE)
                number(j, "status", d.status);
        if (d.location.n)
                field(j, "location", d.location);
        if (d.rule)
                legs(j, g, d.rule);
        if (d.reason != REASON_NONE)
                return;
        json_key(j, "sent");
        json_obj(j);
        field(j, "method", s->req.method);
        field(j, "host", s->req.authority);
        field(j, "path", s->req.path);
        field(j, "query", s->req.query);
        json_key(j, "headers");
        json_arr(j);
        for (size_t i = 0; i < s->req.n_fields; i++) {
                json_arr(j);
                json_span(j, s->req.fields[i].name);
                json_span(j, s->req.fields[i].value);
                json_end(j);
        }
        json_end(j);
        number(j, "mirrors", d.rule->mirrors.n + d.leg->mirrors.n);
        json_end(j);
}

static int trace_bind(struct json *j, const struct generation *g, const struct gen_bind *b, const struct question *q, struct err *e)
{
        struct chunk_pool pool;
        struct stream s = {0};
        struct h1_scan scan = {0};
        char addr[IPADDR_STR_MAX];
        size_t used;
        chunk_pool_init(&pool);
        arena_init(&s.arena, L7_STREAM_CHUNK_BYTES, L7_STREAM_ARENA_BYTES);
        stream_init(&s, &pool);
        enum h1_rc rc = h1_request(&scan, span_str(q->head), &h1_default_limits, &s.req, &used);
        int r = rc == H1_OK ? 0 : err_set(e, EINVAL, "trace", "not a request: %s", h1_rc_str(rc));
        if (r == 0) {
                s.req.scheme = q->scheme;
                const struct route_listener *l = route_listener_find(b->route, s.req.host);
                json_obj(j);
                text(j, "address", ipaddr_str(&b->rt->addr, addr));
                number(j, "port", b->rt->port);
                if (l)
                        candidates(j, l, &s.req);
                decision(j, g, b, &s, q);
                json_end(j);
        }
        stream_reset(&s);
        arena_fini(&s.arena);
        chunk_pool_fini(&pool);
        return r;
}

int query_trace(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        const struct control *c = arg;
        const struct generation *g = c->active;
        struct question q = {0};
        struct arena a;
        arena_init(&a, 4096, 1u << 20);
        int r = question_make(&a, argv, argc, &q, reterr);
        bool https = span_eq_str(q.scheme, "https");
        if (r == 0) {
                json_arr(j);
                for (size_t i = 0; r == 0 && g && i < g->n_binds; i++) {
                        const struct gen_bind *b = &g->binds[i];
                        bool tls = b->route->protocol == MODEL__LISTENER__PROTOCOL__HTTPS;
                        if (b->rt->port == q.port && tls == https)
                                r = trace_bind(j, g, b, &q, reterr);
                }
                json_end(j);
        }
        arena_fini(&a);
        return r;
}
