/* tests/unit/l7gw/route_rows.h - builds a model from rows, compiles it, and sends requests through it.  Header only. */
#pragma once
#include "l7gw/core/h1.h"
#include "l7gw/core/route.h"
#include "lib/control.pb-c.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define ROWS_MAX 16384
struct row { /* in the agent's order; a row with the rule's name only adds a match to it */
        const char *listener, *host; /* listener hostname, virtual host */
        char kind;                   /* '=' exact, '^' prefix, '*' any, '~' regex */
        const char *path, *method, *header, *query; /* "name=value" lists, "name~regex" too, separated by ";" */
        const char *rule;
};

struct world {
        struct arena arena;
        struct model model;
        struct model_error err;
        const struct route_table *table;
        Model__Gateway gw, *gws[4];
        Model__Cluster cluster, *clusters[1];
        Model__Rule *rules[ROWS_MAX];
};

static inline void *take(struct world *w, size_t n)
{
        void *p = arena_alloc(&w->arena, n);
        assert_non_null(p);
        return p;
}
#define NEW(w, Type, init) ({ Type *new_ = take((w), sizeof(Type)); *new_ = (Type)init; new_; })

static inline void named(struct world *w, const char *list, Model__NamedMatch ***ret, size_t *n)
{
        *ret = take(w, 8 * sizeof **ret);
        for (const char *p = list; p && *p;) {
                const char *eq = p + strcspn(p, "=~"), *end = strchrnul(p, ';');
                Model__NamedMatch *m = NEW(w, Model__NamedMatch, MODEL__NAMED_MATCH__INIT);
                m->name = arena_printf(&w->arena, "%.*s", (int)(eq - p), p);
                m->value = NEW(w, Model__StringMatch, MODEL__STRING_MATCH__INIT);
                m->value->value = arena_printf(&w->arena, "%.*s", (int)(end - eq - 1), eq + 1);
                m->value->kind = *eq == '~' ? MODEL__STRING_MATCH__KIND__REGEX : MODEL__STRING_MATCH__KIND__EXACT;
                (*ret)[(*n)++] = m;
                p = *end ? end + 1 : end;
        }
}

static inline Model__Match *match_of(struct world *w, const struct row *r)
{
        Model__Match *m = NEW(w, Model__Match, MODEL__MATCH__INIT);
        m->path_kind = r->kind == '=' ? MODEL__MATCH__PATH_KIND__EXACT
                       : r->kind == '^' ? MODEL__MATCH__PATH_KIND__PREFIX
                       : r->kind == '~' ? MODEL__MATCH__PATH_KIND__REGEX
                                        : MODEL__MATCH__PATH_KIND__ANY;
        m->path = arena_strdup(&w->arena, r->path ? r->path : "");
        m->method = arena_strdup(&w->arena, r->method ? r->method : "");
        named(w, r->header, &m->headers, &m->n_headers);
        named(w, r->query, &m->query, &m->n_query);
        return m;
}

static inline Model__Listener *listener_of(struct world *w, Model__Gateway *g, const char *hostname)
{
        for (size_t i = 0; i < g->n_listeners; i++)
                if (strcmp(g->listeners[i]->hostname, hostname) == 0)
                        return g->listeners[i];
        Model__Listener *l = NEW(w, Model__Listener, MODEL__LISTENER__INIT);
        l->id = arena_printf(&w->arena, "%s/%s", g->id, hostname);
        l->hostname = arena_strdup(&w->arena, hostname);
        l->binds = take(w, 4 * sizeof *l->binds);
        l->n_binds = 1;
        l->virtual_hosts = take(w, ROWS_MAX / 16 * sizeof(void *));
        l->source = NEW(w, Model__Source, MODEL__SOURCE__INIT);
        l->source->kind = arena_strdup(&w->arena, "Gateway");
        l->source->section = l->hostname;
        g->listeners[g->n_listeners++] = l;
        return l;
}

static inline Model__VirtualHost *vhost_of(struct world *w, Model__Listener *l, const char *hostname)
{
        for (size_t i = l->n_virtual_hosts; i-- > 0;)
                if (strcmp(l->virtual_hosts[i]->hostname, hostname) == 0)
                        return l->virtual_hosts[i];
        Model__VirtualHost *v = NEW(w, Model__VirtualHost, MODEL__VIRTUAL_HOST__INIT);
        v->hostname = arena_strdup(&w->arena, hostname);
        v->routes = take(w, ROWS_MAX * sizeof(void *));
        l->virtual_hosts[l->n_virtual_hosts++] = v;
        return v;
}

static inline Model__Rule *forward_rule(struct world *w, const char *name)
{
        Model__Rule *r = NEW(w, Model__Rule, MODEL__RULE__INIT);
        r->name = arena_strdup(&w->arena, name);
        r->action_case = MODEL__RULE__ACTION_FORWARD;
        r->forward = NEW(w, Model__Forward, MODEL__FORWARD__INIT);
        r->forward->n_legs = 1;
        r->forward->legs = take(w, 8 * sizeof(void *));
        r->forward->legs[0] = NEW(w, Model__Leg, MODEL__LEG__INIT);
        r->forward->legs[0]->cluster = w->cluster.id;
        r->forward->legs[0]->weight = 1;
        r->source = NEW(w, Model__Source, MODEL__SOURCE__INIT);
        r->source->kind = arena_strdup(&w->arena, "HTTPRoute");
        r->source->name = r->name;
        r->source->rule = 1;
        return r;
}

static inline void gateway_init(struct world *w, Model__Gateway *g, const char *id)
{
        *g = (Model__Gateway)MODEL__GATEWAY__INIT;
        g->id = arena_strdup(&w->arena, id);
        g->listeners = take(w, 64 * sizeof(void *));
        g->rules = take(w, ROWS_MAX * sizeof(void *));
        g->binds = take(w, 4 * sizeof(void *));
        g->n_binds = 1;
        g->binds[0] = NEW(w, Model__Bind, MODEL__BIND__INIT);
        g->binds[0]->addr.data = take(w, 16);
        memcpy(g->binds[0]->addr.data, "\xc0\x00\x02\x01", 4);
        g->binds[0]->addr.len = 4;
        g->binds[0]->port = 80;
}

static inline void world_init(struct world *w)
{
        memset(w, 0, sizeof *w);
        arena_init(&w->arena, 1u << 20, SIZE_MAX);
        w->cluster = (Model__Cluster)MODEL__CLUSTER__INIT;
        w->cluster.id = arena_strdup(&w->arena, "default/echo:80/http");
        w->clusters[0] = &w->cluster;
        w->model.clusters = w->clusters;
        w->model.n_clusters = 1;
        w->gws[0] = &w->gw;
        w->model.gateways = w->gws;
        w->model.n_gateways = 1;
        gateway_init(w, &w->gw, "default/gw");
}

static inline void rows_add(struct world *w, const struct row *rows, size_t n)
{
        Model__Gateway *g = &w->gw;
        for (size_t i = 0; i < n; i++) {
                Model__VirtualHost *v = vhost_of(w, listener_of(w, g, rows[i].listener), rows[i].host);
                Model__RouteEntry *e = NEW(w, Model__RouteEntry, MODEL__ROUTE_ENTRY__INIT);
                size_t k = g->n_rules;
                while (k > 0 && strcmp(g->rules[k - 1]->name, rows[i].rule) != 0)
                        k = n > 100 ? 0 : k - 1; /* big tables have one rule per row */
                if (k == 0) {
                        g->rules[g->n_rules++] = forward_rule(w, rows[i].rule);
                        k = g->n_rules;
                }
                e->rule = (uint32_t)(k - 1);
                e->match = match_of(w, &rows[i]);
                e->source = g->rules[k - 1]->source;
                v->routes[v->n_routes++] = e;
        }
}

static inline int world_build(struct world *w)
{
        route_table_close(w->table);
        w->table = NULL;
        return route_table_build(&w->arena, &w->model, &w->table, &w->err);
}
static inline void world_must_build(struct world *w)
{
        int r = world_build(w);
        if (r < 0)
                print_error("%s: %s\n", w->err.section, w->err.err.msg);
        assert_int_equal(r, 0);
}
static inline void world_fini(struct world *w)
{
        route_table_close(w->table);
        arena_fini(&w->arena);
}

/* head: "GET /path HTTP/1.1\r\nHost: h\r\n..." without the last CRLF. */
static inline void request_parse(struct arena *a, const char *head, struct msg *ret)
{
        struct h1_scan s = { 0 };
        size_t used;
        char *text = arena_printf(a, "%s\r\n", head);
        assert_non_null(text);
        msg_init(ret, a);
        ret->scheme = SPAN_LIT("http");
        enum h1_rc rc = h1_request(&s, span_str(text), &h1_default_limits, ret, &used);
        if (rc != H1_OK)
                print_error("test request: %s\n%s\n", h1_rc_str(rc), text);
        assert_int_equal(rc, H1_OK);
}

/* The name of the rule that takes the request, NULL = 404. */
static inline const char *world_ask(struct world *w, struct arena *a, const char *head, struct route_hit *hit)
{
        struct msg m;
        request_parse(a, head, &m);
        const struct route_listener *l = route_listener_find(&w->table->binds[0], m.host);
        return l && route_find(l, &m, hit) == ROUTE_FOUND ? hit->rule->model->name : NULL;
}

struct probe {
        const char *host, *line, *fields, *want; /* line "GET /path"; fields "A: b\r\n" or NULL; want NULL = 404 */
};
static inline void probes_run(struct world *w, const struct probe *p, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                struct arena a;
                struct route_hit hit;
                arena_init(&a, 16384, SIZE_MAX);
                char *head = arena_printf(&a, "%s HTTP/1.1\r\nHost: %s\r\n%s", p[i].line, p[i].host, p[i].fields ? p[i].fields : "");
                const char *got = world_ask(w, &a, head, &hit);
                bool ok = p[i].want ? got && strcmp(got, p[i].want) == 0 : !got;
                if (!ok)
                        print_error("%s %s %s: got %s, want %s\n", p[i].host, p[i].line, p[i].fields ? p[i].fields : "",
                                    got ? got : "404", p[i].want ? p[i].want : "404");
                assert_true(ok);
                arena_fini(&a);
        }
}
