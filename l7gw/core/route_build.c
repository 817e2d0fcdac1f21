/* l7gw/core/route_build.c - compiles the model's Gateways into a struct route_table, or says which object cannot be done.
 * Works Gateway by Gateway: rules, then listeners with their virtual hosts, then all binds merged by address and port. */
#include "lib/base.h"
#include "l7gw/core/health_check.h"
#include "l7gw/core/path.h"
#include "l7gw/core/path_edit.h"
#include "l7gw/core/refused.tbl.h"
#include "l7gw/core/route.h"
#include "l7gw/core/route_table.h"
#include "l7gw/core/session.h"
#include "lib/control.pb-c.h"

struct build {
        struct arena *a;
        const struct model *model;
        struct siphash_key hash_key;
        struct strindex clusters; /* id -> 1 + index, as a pointer */
        const Model__Gateway *gw;
        const char *section;
        struct route_rule *rules; /* of gw */
        struct route_table *t;
        struct model_error *err;
        bool bytes; /* legs of TCP and TLS routes are being built */
};

#define NO(b, src, stage, ...) no((b), CONTROL__NACK_STAGE__NACK_##stage, (src), __VA_ARGS__)
PRINTF(4, 5) static int no(const struct build *b, Control__NackStage stage, const Model__Source *src, const char *fmt, ...)
{
        char text[256];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        model_error_set(b->err, stage, b->section, src, "%s", text);
        return stage == CONTROL__NACK_STAGE__NACK_UNSUPPORTED ? -ENOTSUP
               : stage == CONTROL__NACK_STAGE__NACK_INTERNAL  ? -ENOMEM
                                                              : -EINVAL;
}
static int no_memory(const struct build *b) { return NO(b, NULL, INTERNAL, "out of memory"); }

static bool policies_any(const Model__Policies *p)
{
        if (!p)
                return false;
        const char *const ids[] = { p->rate_limit, p->global_rate_limit, p->external_auth, p->jwt, p->basic_auth, p->api_key,
                                    p->cors, p->authorization, p->headers, p->compression, p->buffer, p->access_log,
                                    p->tracing, p->fault, p->response };
        for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
                if (ids[i][0])
                        return true;
        return false;
}

#define REFUSER(name, type, table)                \
        static const char *name(const type *o)    \
        {                                         \
                table(REFUSER_ROW_) return NULL;  \
        }
#define REFUSER_ROW_(cond, text) \
        if (cond)                \
                return text;
REFUSER(bind_refused, Model__Bind, REFUSED_BIND)
REFUSER(listener_refused, Model__Listener, REFUSED_LISTENER)
REFUSER(rule_refused, Model__Rule, REFUSED_RULE)
REFUSER(cluster_refused, Model__Cluster, REFUSED_CLUSTER)

/* ------------------------------------------------------------------------------------------------ rules */

static int cluster_find(struct build *b, const char *id, const Model__Source *src, uint32_t *ret)
{
        uintptr_t at = (uintptr_t)strindex_get(&b->clusters, 0, span_str(id));
        if (!at)
                return NO(b, src, CHECK, "no such cluster: %s", id);
        *ret = (uint32_t)(at - 1);
        if (b->model->clusters[at - 1]->protocol == MODEL__CLUSTER__PROTOCOL__TCP && !b->bytes)
                return NO(b, src, UNSUPPORTED, "backend: TCP in an HTTP route: cluster %s", id);
        const Model__Cluster *c = b->model->clusters[at - 1];
        const char *why = cluster_refused(c);
        if (!why)
                why = health_check_refused(c->health_check, c->tls != NULL);
        return why ? NO(b, src, UNSUPPORTED, "%s: cluster %s", why, id) : 0;
}

static int mirrors_build(struct build *b, Model__Filter *const *f, size_t n, const Model__Source *owner, struct route_mirrors *ret)
{
        struct route_mirror *v = NULL;
        for (size_t i = 0; i < n; i++) {
                if (f[i]->kind_case != MODEL__FILTER__KIND_MIRROR)
                        continue;
                const Model__Mirror *m = f[i]->mirror;
                const Model__Source *src = m->source ? m->source : f[i]->source ? f[i]->source : owner;
                if (!v && !(v = arena_calloc(b->a, n, sizeof *v)))
                        return no_memory(b);
                struct route_mirror *o = &v[ret->n++];
                *o = (struct route_mirror){ .share = 1, .of = 1 };
                if (m->fraction) {
                        o->share = m->fraction->numerator;
                        o->of = m->fraction->denominator;
                }
                if (o->of == 0 || o->share > o->of)
                        return NO(b, src, CHECK, "mirror: %u of %u requests", o->share, o->of);
                int r = cluster_find(b, m->cluster, src, &o->cluster_index);
                if (r < 0)
                        return r;
        }
        ret->v = v;
        return 0;
}

static int leg_build(struct build *b, const Model__Leg *l, const Model__Source *owner, struct route_leg *ret)
{
        const Model__Source *src = l->source ? l->source : owner;
        ret->model = l;
        if (l->cluster[0]) {
                int r = cluster_find(b, l->cluster, src, &ret->cluster_index);
                if (r < 0)
                        return r;
                ret->cluster = b->model->clusters[ret->cluster_index];
        } else if (l->fail_status != 0 && l->fail_status != 500 && l->fail_status != 503) {
                return NO(b, src, CHECK, "leg: fail_status %u", l->fail_status);
        }
        int r = mirrors_build(b, l->filters, l->n_filters, src, &ret->mirrors);
        return r < 0 ? r : filter_chain_build(b->a, l->filters, l->n_filters, src, b->section, &ret->filters, b->err);
}

static int legs_build(struct build *b, const Model__Rule *m, struct route_rule *ret)
{
        const Model__Forward *f = m->forward;
        struct route_leg *legs = arena_calloc(b->a, f->n_legs + 1, sizeof *legs);
        if (!legs)
                return no_memory(b);
        for (size_t i = 0; i < f->n_legs; i++) {
                int r = leg_build(b, f->legs[i], m->source, &legs[i]);
                if (r < 0)
                        return r;
                if (filter_chain_edits_path(ret->filters) && filter_chain_needs_prefix(legs[i].filters))
                        return NO(b, f->legs[i]->source ? f->legs[i]->source : m->source, UNSUPPORTED,
                                  "backend: it replaces the prefix of a path that the rule rewrites");
                ret->weight_total += f->legs[i]->weight;
                legs[i].weight_end = ret->weight_total;
        }
        ret->legs = legs;
        ret->n_legs = f->n_legs;
        return 0;
}

static int fixed_check(struct build *b, const Model__Rule *m)
{
        const Model__Fixed *f = m->fixed;
        if (f->status < 200 || f->status > 599)
                return NO(b, m->source, CHECK, "fixed response: status %u", f->status);
        for (size_t i = 0; i < f->n_headers; i++)
                if (!name_is_token(span_str(f->headers[i]->name)) || !value_is_valid(span_str(f->headers[i]->value)))
                        return NO(b, m->source, CHECK, "fixed response: header %s", f->headers[i]->name);
        return 0;
}

static int rule_build(struct build *b, const Model__Rule *m, struct route_rule *ret)
{
        const char *why = rule_refused(m);
        if (why)
                return NO(b, m->source, UNSUPPORTED, "%s", why);
        ret->model = m;
        ret->index = (uint32_t)b->t->n_rules++;
        int r = filter_chain_build(b->a, m->filters, m->n_filters, m->source, b->section, &ret->filters, b->err);
        if (r < 0)
                return r;
        r = mirrors_build(b, m->filters, m->n_filters, m->source, &ret->mirrors);
        if (r < 0)
                return r;
        r = m->persistence ? session_check(m->persistence, m->source, b->section, b->err) : 0;
        if (r < 0)
                return r;
        if (filter_chain_redirect(ret->filters))
                return NO(b, m->source, CHECK, "a redirect among the filters of a rule: it is an action");
        switch (m->action_case) {
        case MODEL__RULE__ACTION_FORWARD:
                return legs_build(b, m, ret);
        case MODEL__RULE__ACTION_REDIRECT:
                return redirect_check(m->redirect, m->source, b->section, b->err);
        case MODEL__RULE__ACTION_FIXED:
                return fixed_check(b, m);
        case MODEL__RULE__ACTION__NOT_SET: /* refused by the table */
        case _MODEL__RULE__ACTION__CASE_IS_INT_SIZE:
                break;
        }
        BUG_ON(true);
}

static int rules_build(struct build *b)
{
        b->rules = arena_calloc(b->a, b->gw->n_rules + 1, sizeof *b->rules);
        if (!b->rules)
                return no_memory(b);
        for (size_t i = 0; i < b->gw->n_rules; i++) {
                int r = rule_build(b, b->gw->rules[i], &b->rules[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A rule that replaces the matched prefix can only be reached by prefix matches. */
static bool rule_needs_prefix(const struct route_rule *r)
{
        const Model__Rule *m = r->model;
        bool needs = filter_chain_needs_prefix(r->filters);
        for (size_t i = 0; i < r->n_legs; i++)
                needs |= filter_chain_needs_prefix(r->legs[i].filters);
        return needs || (m->action_case == MODEL__RULE__ACTION_REDIRECT && m->redirect->path &&
                         m->redirect->path->kind == MODEL__PATH_EDIT__KIND__PREFIX);
}

/* ------------------------------------------------------------------------------------------------ virtual hosts */

static void list_add(struct route_list *l, struct route_item *it)
{
        if (!l->tail)
                l->tail = &l->head;
        *l->tail = it;
        l->tail = &it->next;
}

/* The node for a path of segments, made where missing.  path is "" (root) or "/a/b". */
static struct route_node *node_at(struct build *b, struct route_vhost *v, struct span path)
{
        struct route_node *node = v->root;
        for (size_t i = 1; i <= path.n && path.n > 0;) {
                const uint8_t *slash = i < path.n ? memchr(path.p + i, '/', path.n - i) : NULL;
                struct span seg = SPAN(path.p + i, slash ? (size_t)(slash - path.p) - i : path.n - i);
                struct route_node *child = strindex_get(&v->children, node->id, seg);
                if (!child) {
                        child = arena_calloc(b->a, 1, sizeof *child);
                        if (!child)
                                return NULL;
                        child->id = ++v->n_nodes;
                        (void)strindex_put(&v->children, node->id, seg, child); /* absent: just looked */
                }
                node = child;
                i += seg.n + 1;
        }
        return node;
}

/* The model's path in normal form, put into the item's own copy of the entry. */
static int item_path(struct build *b, const Model__RouteEntry *e, const Model__Source *src, struct route_item *it, struct span *ret)
{
        struct span path;
        int r = path_normalise(b->a, span_str(e->match->path), &path);
        if (r == -EINVAL)
                return NO(b, src, CHECK, "match: not a path: \"%s\"", e->match->path);
        if (r == 0 && e->match->path_kind == MODEL__MATCH__PATH_KIND__PREFIX)
                path = path_prefix_trim(path);
        char *text = r == 0 ? arena_printf(b->a, "%.*s", SPAN_FMT(path)) : NULL;
        if (!text)
                return no_memory(b);
        it->model_match.path = text;
        *ret = span_str(text);
        return 0;
}

static int entry_build(struct build *b, struct route_vhost *v, const Model__RouteEntry *e, uint32_t order)
{
        if (!e->match || e->rule >= b->gw->n_rules)
                return NO(b, e->source, CHECK, "route entry: no match, or no rule %u", e->rule);
        const struct route_rule *rule = &b->rules[e->rule];
        const Model__Source *src = e->source ? e->source : rule->model->source;
        struct route_item *it = arena_calloc(b->a, 1, sizeof *it);
        if (!it)
                return no_memory(b);
        int r = match_build(b->a, b->t->regexes, e->match, src, b->section, &it->match, b->err);
        if (r < 0)
                return r;
        it->match.grpc = rule->model->grpc;
        it->rule = rule;
        it->order = order;
        it->entry = *e;
        it->model_match = *e->match;
        it->entry.match = &it->model_match;
        if (rule_needs_prefix(rule) && e->match->path_kind != MODEL__MATCH__PATH_KIND__PREFIX)
                return NO(b, src, CHECK, "a prefix can only be replaced where a path prefix is matched");
        if (e->match->path_kind == MODEL__MATCH__PATH_KIND__ANY || e->match->path_kind == MODEL__MATCH__PATH_KIND__REGEX) {
                list_add(&v->any, it);
                return 0;
        }
        struct span path = SPAN_NULL;
        r = item_path(b, e, src, it, &path);
        if (r < 0)
                return r;
        struct route_node *node = node_at(b, v, path);
        if (!node)
                return no_memory(b);
        list_add(e->match->path_kind == MODEL__MATCH__PATH_KIND__EXACT ? &node->exact : &node->prefix, it);
        return 0;
}

/* An upper bound of the trie's nodes: every slash of every path begins a segment. */
static size_t segments_count(const Model__VirtualHost *m)
{
        size_t n = 0;
        for (size_t i = 0; i < m->n_routes; i++)
                for (const char *p = m->routes[i]->match ? m->routes[i]->match->path : ""; *p; p++)
                        n += *p == '/';
        return n;
}

static int vhost_build(struct build *b, const Model__VirtualHost *m, struct route_vhost **ret)
{
        struct route_vhost *v = arena_calloc(b->a, 1, sizeof *v);
        if (!v || !(v->root = arena_calloc(b->a, 1, sizeof *v->root)) ||
            strindex_init(&v->children, b->a, &b->hash_key, segments_count(m)) < 0)
                return no_memory(b);
        v->hostname = m->hostname;
        for (size_t i = 0; i < m->n_routes; i++) {
                int r = entry_build(b, v, m->routes[i], (uint32_t)i);
                if (r < 0)
                        return r;
        }
        *ret = v;
        return 0;
}

/* ------------------------------------------------------------------------------------------------ listeners */

static int tls_check(struct build *b, const Model__Listener *m)
{
        bool ends = m->protocol == MODEL__LISTENER__PROTOCOL__HTTPS || m->protocol == MODEL__LISTENER__PROTOCOL__TLS_TERMINATE;
        if (ends && (!m->tls || m->tls->n_certificates == 0))
                return NO(b, m->source, CHECK, "listener: HTTPS without a certificate");
        if (m->protocol == MODEL__LISTENER__PROTOCOL__HTTP && m->tls)
                return NO(b, m->source, CHECK, "listener: HTTP with TLS settings");
        return 0;
}

/* The routes of a TLS listener: server name -> legs.  Of two routes with one name the first is the older. */
static int streams_build(struct build *b, const Model__Listener *m, const struct route_streams **ret)
{
        struct route_streams *s = arena_calloc(b->a, 1, sizeof *s);
        size_t max = 0;
        for (size_t i = 0; i < m->n_stream_routes; i++)
                max += m->stream_routes[i]->n_sni;
        if (!s || host_index_init(&s->by_sni, b->a, &b->hash_key, max) < 0)
                return no_memory(b);
        for (size_t i = 0; i < m->n_stream_routes; i++) {
                const Model__StreamRoute *sr = m->stream_routes[i];
                struct route_rule *rule = arena_calloc(b->a, 1, sizeof *rule);
                struct route_leg *legs = arena_calloc(b->a, sr->n_legs + 1, sizeof *legs);
                if (!rule || !legs)
                        return no_memory(b);
                rule->legs = legs;
                rule->n_legs = sr->n_legs;
                for (size_t k = 0; k < sr->n_legs; k++) {
                        b->bytes = true;
                        int r = leg_build(b, sr->legs[k], sr->source ? sr->source : m->source, &legs[k]);
                        b->bytes = false;
                        if (r < 0)
                                return r;
                        rule->weight_total += sr->legs[k]->weight;
                        legs[k].weight_end = rule->weight_total;
                }
                for (size_t k = 0; k < sr->n_sni; k++) {
                        int r = host_index_put(&s->by_sni, b->a, sr->sni[k], rule);
                        if (r == -ENOMEM)
                                return no_memory(b);
                        if (r < 0 && r != -EEXIST)
                                return NO(b, sr->source ? sr->source : m->source, CHECK, "server name \"%s\" is not a host name", sr->sni[k]);
                }
        }
        *ret = s;
        return 0;
}

static int listener_build(struct build *b, const Model__Listener *m, struct route_listener *ret)
{
        const char *why = listener_refused(m);
        if (why)
                return NO(b, m->source, UNSUPPORTED, "%s", why);
        int r = tls_check(b, m);
        if (r < 0)
                return r;
        if (m->protocol == MODEL__LISTENER__PROTOCOL__TLS_PASSTHROUGH || m->protocol == MODEL__LISTENER__PROTOCOL__TLS_TERMINATE) {
                ret->model = m;
                ret->index = (uint32_t)b->t->n_listeners++;
                return streams_build(b, m, &ret->streams);
        }
        struct route_hosts *h = arena_calloc(b->a, 1, sizeof *h);
        if (!h || host_index_init(&h->vhosts, b->a, &b->hash_key, m->n_virtual_hosts) < 0)
                return no_memory(b);
        for (size_t i = 0; i < m->n_virtual_hosts; i++) {
                struct route_vhost *v = NULL;
                r = vhost_build(b, m->virtual_hosts[i], &v);
                if (r < 0)
                        return r;
                r = host_index_put(&h->vhosts, b->a, m->virtual_hosts[i]->hostname, v);
                if (r == -ENOMEM)
                        return no_memory(b);
                if (r < 0)
                        return NO(b, m->source, CHECK, "virtual host \"%s\": %s", m->virtual_hosts[i]->hostname,
                                  r == -EEXIST ? "twice" : "not a host name");
        }
        *ret = (struct route_listener){ m, (uint32_t)b->t->n_listeners++, h };
        return 0;
}

/* ------------------------------------------------------------------------------------------------ binds */

struct bind_ref { /* one (listener, bind) pair of the model */
        struct ipaddr addr;
        const Model__Bind *bind;
        const struct route_listener *listener;
        const char *section;
        size_t seq;
};

static int ref_cmp(const void *pa, const void *pb)
{
        const struct bind_ref *a = pa, *b = pb;
        int r = ipaddr_cmp(&a->addr, &b->addr);
        if (r == 0)
                r = (a->bind->port > b->bind->port) - (a->bind->port < b->bind->port);
        return r ? r : (a->seq > b->seq) - (a->seq < b->seq);
}

/* Exact before wildcard before any; of wildcards the longer first. */
static int specificity(const char *hostname)
{
        size_t n = strlen(hostname);
        return n == 0 ? 0 : hostname[0] == '*' ? (int)n : 1000;
}
static int listener_cmp(const void *pa, const void *pb)
{
        const struct route_listener *const *a = pa, *const *b = pb;
        int r = specificity((*b)->model->hostname) - specificity((*a)->model->hostname);
        return r ? r : ((*a)->index > (*b)->index) - ((*a)->index < (*b)->index);
}

static int listener_refs(struct build *b, const struct route_listener *l, struct bind_ref *refs, size_t *n)
{
        const Model__Listener *m = l->model;
        for (size_t i = 0; i < m->n_binds; i++) {
                if (m->binds[i] >= b->gw->n_binds)
                        return NO(b, m->source, CHECK, "listener: no bind %u", m->binds[i]);
                const Model__Bind *bind = b->gw->binds[m->binds[i]];
                struct bind_ref *ref = &refs[*n];
                if (ipaddr_from_bytes(bind->addr.data, bind->addr.len, &ref->addr) < 0 || bind->port == 0 || bind->port > 65535)
                        return NO(b, m->source, CHECK, "listener: bind address or port");
                const char *why = bind_refused(bind);
                if (why)
                        return NO(b, m->source, UNSUPPORTED, "%s", why);
                ref->bind = bind;
                ref->listener = l;
                ref->section = b->section;
                ref->seq = *n;
                (*n)++;
        }
        return 0;
}

/* Makes one bind of refs[0..n), which agree in address and port. */
static int bind_build(struct build *b, const struct bind_ref *refs, size_t n, struct route_bind *ret)
{
        const struct route_listener **v = arena_calloc(b->a, n, sizeof *v);
        struct route_listener_index *ix = arena_calloc(b->a, 1, sizeof *ix);
        if (!v || !ix || host_index_init(&ix->hosts, b->a, &b->hash_key, n) < 0)
                return no_memory(b);
        *ret = (struct route_bind){ refs[0].addr, (uint16_t)refs[0].bind->port, route_protocol_tls(refs[0].listener->model->protocol) ? MODEL__LISTENER__PROTOCOL__HTTPS
                                                                                                                                  : refs[0].listener->model->protocol,
                                    false, v, 0, ix };
        for (size_t i = 0; i < n; i++) {
                const Model__Listener *m = refs[i].listener->model;
                b->section = refs[i].section;
                ret->passthrough |= m->protocol == MODEL__LISTENER__PROTOCOL__TLS_PASSTHROUGH;
                if (route_protocol_tls(m->protocol) ? ret->protocol != MODEL__LISTENER__PROTOCOL__HTTPS : m->protocol != ret->protocol)
                        return NO(b, m->source, CHECK, "listener: another one of this address and port has another protocol");
                int r = host_index_put(&ix->hosts, b->a, m->hostname, (void *)(uintptr_t)refs[i].listener);
                if (r == -ENOMEM)
                        return no_memory(b);
                if (r < 0)
                        return NO(b, m->source, CHECK, "listener: hostname \"%s\" %s", m->hostname,
                                  r == -EEXIST ? "is taken on this address and port" : "is not a host name");
                v[ret->n_listeners++] = refs[i].listener;
        }
        qsort(v, ret->n_listeners, sizeof *v, listener_cmp);
        return 0;
}

static int binds_build(struct build *b, struct bind_ref *refs, size_t n)
{
        struct route_bind *binds = arena_calloc(b->a, n + 1, sizeof *binds);
        if (!binds)
                return no_memory(b);
        if (n)
                qsort(refs, n, sizeof *refs, ref_cmp);
        for (size_t i = 0, k; i < n; i = k) {
                for (k = i + 1; k < n && refs[k].bind->port == refs[i].bind->port && ipaddr_eq(&refs[k].addr, &refs[i].addr);)
                        k++;
                int r = bind_build(b, refs + i, k - i, &binds[b->t->n_binds++]);
                if (r < 0)
                        return r;
        }
        b->t->binds = binds;
        return 0;
}

/* ------------------------------------------------------------------------------------------------ all */

static int gateway_build(struct build *b, struct bind_ref *refs, size_t *n_refs)
{
        struct route_listener *ls = arena_calloc(b->a, b->gw->n_listeners + 1, sizeof *ls);
        int r = ls ? rules_build(b) : no_memory(b);
        for (size_t i = 0; r == 0 && i < b->gw->n_listeners; i++) {
                r = listener_build(b, b->gw->listeners[i], &ls[i]);
                if (r == 0)
                        r = listener_refs(b, &ls[i], refs, n_refs);
        }
        return r;
}

static int clusters_index(struct build *b)
{
        const struct model *m = b->model;
        if (strindex_init(&b->clusters, b->a, &b->hash_key, m->n_clusters) < 0)
                return no_memory(b);
        for (size_t i = 0; i < m->n_clusters; i++)
                if (strindex_put(&b->clusters, 0, span_str(m->clusters[i]->id), (void *)(uintptr_t)(i + 1)))
                        return NO(b, m->clusters[i]->source, CHECK, "cluster %s: twice", m->clusters[i]->id);
        return 0;
}

int route_table_build(struct arena *a, const struct model *m, const struct route_table **ret, struct model_error *reterr)
{
        struct build b = { .a = a, .model = m, .err = reterr, .section = "" };
        memcpy(&b.hash_key, m->hash.b, sizeof b.hash_key);
        size_t n_refs = 0, max_refs = 0;
        for (size_t i = 0; i < m->n_gateways; i++)
                for (size_t k = 0; k < m->gateways[i]->n_listeners; k++)
                        max_refs += m->gateways[i]->listeners[k]->n_binds;
        struct bind_ref *refs = arena_calloc(a, max_refs + 1, sizeof *refs);
        b.t = arena_calloc(a, 1, sizeof *b.t);
        if (!refs || !b.t)
                return no_memory(&b);
        if (regex_set_new(a, &b.t->regexes) < 0)
                return no_memory(&b);
        int r = clusters_index(&b);
        for (size_t i = 0; r == 0 && i < m->n_gateways; i++) {
                b.gw = m->gateways[i];
                b.section = arena_printf(a, "gateway/%s", b.gw->id);
                r = b.section ? gateway_build(&b, refs, &n_refs) : no_memory(&b);
        }
        if (r == 0)
                r = binds_build(&b, refs, n_refs);
        if (r == 0)
                *ret = b.t;
        else
                regex_set_close(b.t->regexes);
        return r;
}

void route_table_close(const struct route_table *t)
{
        if (t)
                regex_set_close(t->regexes);
}
