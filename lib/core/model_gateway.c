/* lib/core/model_gateway.c - checks of a Gateway section: binds, listeners, virtual hosts, routes, rules.  What one
 * Gateway shares with another (an address and port) must agree, and no two listeners may claim the same hostname there.
 */
#include "lib/base.h"
#include "lib/core/model_check.h"

/* What may share a port: only listeners told apart by the same first bytes. */
enum bind_class { BIND_FREE, BIND_HTTP, BIND_TLS, BIND_TCP, BIND_UDP };
struct bind_use {
        const Model__Bind *bind;
        const char *gateway;
        enum bind_class class;
};

static enum bind_class class_of(Model__Listener__Protocol p)
{
        switch (p) {
        case MODEL__LISTENER__PROTOCOL__HTTP:
                return BIND_HTTP;
        case MODEL__LISTENER__PROTOCOL__HTTPS:
        case MODEL__LISTENER__PROTOCOL__TLS_PASSTHROUGH:
        case MODEL__LISTENER__PROTOCOL__TLS_TERMINATE:
                return BIND_TLS;
        case MODEL__LISTENER__PROTOCOL__TCP:
                return BIND_TCP;
        case MODEL__LISTENER__PROTOCOL__UDP:
                return BIND_UDP;
        case _MODEL__LISTENER__PROTOCOL_IS_INT_SIZE:
                break;
        }
        return BIND_FREE;
}

/* "addr bytes | port | l4" and, behind it, the hostname: keys of the two maps. */
static struct span bind_key(struct model_check *c, const Model__Bind *b, const char *hostname)
{
        size_t host = strlen(hostname), n = b->addr.len + 3 + host;
        uint8_t *k = arena_alloc(c->scratch, n);
        if (!k)
                return SPAN_NULL;
        memcpy(k, b->addr.data, b->addr.len);
        k[b->addr.len] = (uint8_t)(b->port >> 8);
        k[b->addr.len + 1] = (uint8_t)b->port;
        k[b->addr.len + 2] = b->l4 == MODEL__L4_PROTOCOL__L4_TCP ? 6 : 17;
        memcpy(k + b->addr.len + 3, hostname, host);
        return SPAN(k, n);
}

static bool prefixes_eq(Model__Prefix *const *a, size_t na, Model__Prefix *const *b, size_t nb)
{
        if (na != nb)
                return false;
        for (size_t i = 0; i < na; i++)
                if (a[i]->len != b[i]->len ||
                    !span_eq(SPAN(a[i]->addr.data, a[i]->addr.len), SPAN(b[i]->addr.data, b[i]->addr.len)))
                        return false;
        return true;
}

static bool bind_agrees(const Model__Bind *a, const Model__Bind *b)
{
        return a->l4 == b->l4 && a->proxy_protocol == b->proxy_protocol && strcmp(a->client_policy, b->client_policy) == 0 &&
               prefixes_eq(a->proxy_trusted, a->n_proxy_trusted, b->proxy_trusted, b->n_proxy_trusted) &&
               prefixes_eq(a->forwarded_trusted, a->n_forwarded_trusted, b->forwarded_trusted, b->n_forwarded_trusted);
}

static int check_bind(struct model_check *c, const Model__Gateway *g, const Model__Bind *b)
{
        int r = check_addr(c, g->source, "bind address", b->addr);
        if (r == 0 && (b->port == 0 || b->port > UINT16_MAX))
                r = check_fail(c, CHECK, g->source, "bind port %u", b->port);
        if (r == 0)
                r = check_prefixes(c, g->source, b->proxy_trusted, b->n_proxy_trusted);
        if (r == 0)
                r = check_prefixes(c, g->source, b->forwarded_trusted, b->n_forwarded_trusted);
        if (r == 0)
                r = check_policy_ref(c, g->source, "client", b->client_policy);
        if (r < 0)
                return r;
        struct span key = bind_key(c, b, "");
        if (!key.p)
                return check_oom(c);
        struct bind_use *u = map_get(&c->binds, key);
        if (u && u->gateway == g->id)
                return check_fail(c, CHECK, g->source, "bind port %u is listed twice", b->port);
        if (u && !bind_agrees(u->bind, b))
                return check_fail(c, CHECK, g->source,
                                  "port %u is shared with Gateway %s, which wants another protocol or PROXY mode",
                                  b->port, u->gateway);
        if (u)
                return 0;
        u = arena_alloc(c->scratch, sizeof *u);
        if (!u)
                return check_oom(c);
        *u = (struct bind_use){.bind = b, .gateway = g->id};
        return map_put(&c->binds, key, u) < 0 ? check_oom(c) : 0;
}

/* The listener's class and hostname against everything else on the same address and port. */
static int check_listener_bind(struct model_check *c, const Model__Listener *l, const Model__Bind *b)
{
        enum bind_class class = class_of(l->protocol);
        bool udp_bind = b->l4 == MODEL__L4_PROTOCOL__L4_UDP;
        if ((class == BIND_UDP) != udp_bind || (b->l4 == MODEL__L4_PROTOCOL__L4_QUIC && class != BIND_TLS))
                return check_fail(c, CHECK, l->source, "listener %s: its protocol cannot run on this bind", l->id);
        struct span key = bind_key(c, b, "");
        struct span host = bind_key(c, b, l->hostname[0] ? l->hostname : "*");
        if (!key.p || !host.p)
                return check_oom(c);
        struct bind_use *u = map_get(&c->binds, key);
        BUG_ON(!u); /* check_bind put it there */
        if (u->class != BIND_FREE && u->class != class)
                return check_fail(c, CHECK, l->source, "listener %s: port %u speaks another protocol for Gateway %s",
                                  l->id, b->port, u->gateway);
        u->class = class;
        const char *other = map_get(&c->hosts, host);
        if (other)
                return check_fail(c, CHECK, l->source, "listener %s: listener %s has this hostname and port %u", l->id,
                                  other, b->port);
        return map_put(&c->hosts, host, l->id) < 0 ? check_oom(c) : 0;
}

static int check_tls(struct model_check *c, const Model__Listener *l)
{
        bool terminates = l->protocol == MODEL__LISTENER__PROTOCOL__HTTPS ||
                          l->protocol == MODEL__LISTENER__PROTOCOL__TLS_TERMINATE;
        const Model__Tls *t = l->tls;
        if (terminates && (!t || t->n_certificates == 0))
                return check_fail(c, CHECK, l->source, "listener %s: TLS without a certificate", l->id);
        if (!t)
                return 0;
        int r = 0;
        for (size_t i = 0; r == 0 && i < t->n_certificates; i++)
                r = check_ref(c, l->source, &c->m->certificate_by_id, "certificate", t->certificates[i], true);
        if (r == 0)
                r = check_ref(c, l->source, &c->m->trust_by_id, "trust", t->client_trust,
                              t->client_mode != MODEL__TLS__CLIENT_MODE__NONE);
        for (size_t i = 0; r == 0 && i < t->n_alpn; i++)
                if (!t->alpn[i][0] || strlen(t->alpn[i]) > 255)
                        r = check_fail(c, CHECK, l->source, "listener %s: ALPN name of %zu bytes", l->id,
                                       strlen(t->alpn[i]));
        if (r == 0 && t->min_version && t->max_version && t->min_version > t->max_version)
                r = check_fail(c, CHECK, l->source, "listener %s: TLS versions are upside down", l->id);
        return r;
}

static int check_match(struct model_check *c, const Model__Source *src, const Model__Match *m)
{
        if (m->path[0] && m->path[0] != '/' && m->path_kind != MODEL__MATCH__PATH_KIND__REGEX)
                return check_fail(c, CHECK, src, "path does not begin with a slash");
        bool literal = m->path_kind == MODEL__MATCH__PATH_KIND__EXACT || m->path_kind == MODEL__MATCH__PATH_KIND__PREFIX;
        if (literal && !m->path[0])
                return check_fail(c, CHECK, src, "path is empty");
        int r = m->method[0] ? check_token(c, src, "method", m->method, false) : 0;
        if (r == 0)
                r = check_named(c, src, m->headers, m->n_headers, true);
        if (r == 0)
                r = check_named(c, src, m->query, m->n_query, false);
        if (r == 0)
                r = check_named(c, src, m->cookies, m->n_cookies, false);
        return r < 0 ? r : check_prefixes(c, src, m->sources, m->n_sources);
}

/* Data planes read match without asking whether it is there: an absent one is an empty one. */
static int match_fill(struct model_check *c, Model__RouteEntry *e)
{
        if (e->match)
                return 0;
        e->match = arena_alloc(c->scratch, sizeof *e->match);
        if (!e->match)
                return check_oom(c);
        model__match__init(e->match);
        return 0;
}

static int check_virtual_host(struct model_check *c, const Model__Gateway *g, const Model__Listener *l,
                              const Model__VirtualHost *v)
{
        int r = check_hostname(c, l->source, v->hostname);
        if (r == 0)
                r = check_limit(c, l->source, "routes of one host", v->n_routes, MODEL_MAX_ROUTES_PER_HOST);
        for (size_t i = 0; r == 0 && i < v->n_routes; i++) {
                Model__RouteEntry *e = v->routes[i];
                if (e->rule >= g->n_rules)
                        return check_fail(c, CHECK, e->source, "route refers to rule %u of %zu", e->rule, g->n_rules);
                r = match_fill(c, e);
                if (r == 0)
                        r = check_match(c, e->source, e->match);
        }
        return r;
}

static int check_virtual_hosts(struct model_check *c, const Model__Gateway *g, const Model__Listener *l)
{
        struct map seen;
        map_init(&seen);
        int r = 0;
        for (size_t i = 0; r == 0 && i < l->n_virtual_hosts; i++) {
                const Model__VirtualHost *v = l->virtual_hosts[i];
                struct span host = span_str(v->hostname);
                if (map_get(&seen, host))
                        r = check_fail(c, CHECK, l->source, "listener %s: virtual host %s is listed twice", l->id,
                                       v->hostname);
                else if (map_put(&seen, host, (void *)v) < 0)
                        r = check_oom(c);
                else
                        r = check_virtual_host(c, g, l, v);
        }
        map_fini(&seen);
        return r;
}

static int check_filter(struct model_check *c, const Model__Source *owner, const Model__Filter *f);

static int check_legs(struct model_check *c, const Model__Source *owner, Model__Leg *const *legs, size_t n)
{
        int r = check_limit(c, owner, "legs", n, MODEL_MAX_LEGS);
        uint64_t sum = 0;
        for (size_t i = 0; r == 0 && i < n; i++) {
                const Model__Source *src = legs[i]->source ? legs[i]->source : owner;
                sum += legs[i]->weight;
                if (legs[i]->fail_status != 0 && legs[i]->fail_status != 500 && legs[i]->fail_status != 503)
                        return check_fail(c, CHECK, src, "a leg fails with status %u", legs[i]->fail_status);
                r = check_ref(c, src, &c->m->cluster_by_id, "cluster", legs[i]->cluster, false);
                for (size_t k = 0; r == 0 && k < legs[i]->n_filters; k++)
                        r = check_filter(c, src, legs[i]->filters[k]);
        }
        return r < 0 ? r : check_weights(c, owner, sum);
}

static int check_path_edit(struct model_check *c, const Model__Source *src, const Model__PathEdit *p)
{
        return p ? check_line(c, src, "path", p->value) : 0;
}

static int check_redirect(struct model_check *c, const Model__Source *src, const Model__Redirect *d)
{
        if (d->scheme[0] && strcmp(d->scheme, "http") != 0 && strcmp(d->scheme, "https") != 0)
                return check_fail(c, CHECK, src, "redirect to scheme %s", d->scheme);
        if (d->status != 301 && d->status != 302 && d->status != 303 && d->status != 307 && d->status != 308)
                return check_fail(c, CHECK, src, "redirect with status %u", d->status);
        int r = check_port(c, src, "redirect", d->port);
        if (r == 0)
                r = check_hostname(c, src, d->hostname);
        return r < 0 ? r : check_path_edit(c, src, d->path);
}

static int check_mirror(struct model_check *c, const Model__Source *src, const Model__Mirror *m)
{
        src = m->source ? m->source : src;
        int r = check_ref(c, src, &c->m->cluster_by_id, "cluster", m->cluster, true);
        return r < 0 ? r : check_fraction(c, src, m->fraction);
}

static int check_filter(struct model_check *c, const Model__Source *owner, const Model__Filter *f)
{
        const Model__Source *src = f->source ? f->source : owner;
        int r = 0;
        switch (f->kind_case) {
        case MODEL__FILTER__KIND_REQUEST_HEADERS:
                return check_header_edit(c, src, f->request_headers);
        case MODEL__FILTER__KIND_RESPONSE_HEADERS:
                return check_header_edit(c, src, f->response_headers);
        case MODEL__FILTER__KIND_REWRITE:
                r = check_hostname(c, src, f->rewrite->hostname);
                return r < 0 ? r : check_path_edit(c, src, f->rewrite->path);
        case MODEL__FILTER__KIND_MIRROR:
                return check_mirror(c, src, f->mirror);
        case MODEL__FILTER__KIND_CORS:
                return check_cors(c, src, f->cors);
        case MODEL__FILTER__KIND_EXTERNAL_AUTH:
                return check_external_auth(c, src, f->external_auth);
        case MODEL__FILTER__KIND_REDIRECT:
                return check_redirect(c, src, f->redirect);
        case MODEL__FILTER__KIND__NOT_SET:
        case _MODEL__FILTER__KIND__CASE_IS_INT_SIZE:
                break;
        }
        return check_fail(c, CHECK, src, "a filter says nothing");
}

static int check_action(struct model_check *c, const Model__Rule *u)
{
        switch (u->action_case) {
        case MODEL__RULE__ACTION_FORWARD:
                return check_legs(c, u->source, u->forward->legs, u->forward->n_legs);
        case MODEL__RULE__ACTION_REDIRECT:
                return check_redirect(c, u->source, u->redirect);
        case MODEL__RULE__ACTION_FIXED:
                if (u->fixed->status < 200 || u->fixed->status > 599)
                        return check_fail(c, CHECK, u->source, "fixed response with status %u", u->fixed->status);
                return check_headers(c, u->source, u->fixed->headers, u->fixed->n_headers);
        case MODEL__RULE__ACTION__NOT_SET:
        case _MODEL__RULE__ACTION__CASE_IS_INT_SIZE:
                break;
        }
        return check_fail(c, CHECK, u->source, "a rule without an action");
}

static int check_rule(struct model_check *c, const Model__Rule *u)
{
        int r = check_action(c, u);
        for (size_t i = 0; r == 0 && i < u->n_filters; i++)
                r = check_filter(c, u->source, u->filters[i]);
        if (r == 0)
                r = check_policies(c, u->source, u->policies);
        if (r == 0 && u->retry) {
                r = check_fraction(c, u->source, u->retry->budget);
                for (size_t i = 0; r == 0 && i < u->retry->n_codes; i++)
                        if (u->retry->codes[i] < 400 || u->retry->codes[i] > 599)
                                r = check_fail(c, CHECK, u->source, "retry on status %u", u->retry->codes[i]);
        }
        if (r == 0 && u->persistence)
                r = check_token(c, u->source, "session persistence", u->persistence->name, false);
        return r;
}

static int check_listener(struct model_check *c, const Model__Gateway *g, const Model__Listener *l)
{
        int r = check_unique(c, l->source, &c->listener_ids, "listener", l->id);
        if (r == 0)
                r = check_hostname(c, l->source, l->hostname);
        if (r == 0 && l->n_binds == 0)
                r = check_fail(c, CHECK, l->source, "listener %s has nothing to listen on", l->id);
        for (size_t i = 0; r == 0 && i < l->n_binds; i++) {
                if (l->binds[i] >= g->n_binds)
                        return check_fail(c, CHECK, l->source, "listener %s: bind %u of %zu", l->id, l->binds[i],
                                          g->n_binds);
                r = check_listener_bind(c, l, g->binds[l->binds[i]]);
        }
        if (r == 0)
                r = check_tls(c, l);
        bool http = l->protocol == MODEL__LISTENER__PROTOCOL__HTTP || l->protocol == MODEL__LISTENER__PROTOCOL__HTTPS;
        if (r == 0 && (http ? l->n_stream_routes : l->n_virtual_hosts))
                r = check_fail(c, CHECK, l->source, "listener %s: routes of another protocol", l->id);
        if (r == 0)
                r = check_virtual_hosts(c, g, l);
        for (size_t i = 0; r == 0 && i < l->n_stream_routes; i++) {
                const Model__StreamRoute *s = l->stream_routes[i];
                const Model__Source *src = s->source ? s->source : l->source;
                r = check_legs(c, src, s->legs, s->n_legs);
                for (size_t k = 0; r == 0 && k < s->n_sni; k++)
                        r = check_hostname(c, src, s->sni[k]);
        }
        return r < 0 ? r : check_policies(c, l->source, l->policies);
}

int check_gateway(struct model_check *c, const Model__Gateway *g)
{
        static const char prefix[] = "gateway/";
        if (strncmp(c->section, prefix, sizeof prefix - 1) != 0 || strcmp(c->section + sizeof prefix - 1, g->id) != 0)
                return check_fail(c, CHECK, g->source, "Gateway %s is in the section of another", g->id);
        int r = check_limit(c, g->source, "listeners", g->n_listeners, MODEL_MAX_LISTENERS_PER_GATEWAY);
        for (size_t i = 0; r == 0 && i < g->n_binds; i++)
                r = check_bind(c, g, g->binds[i]);
        for (size_t i = 0; r == 0 && i < g->n_listeners; i++)
                r = check_listener(c, g, g->listeners[i]);
        for (size_t i = 0; r == 0 && i < g->n_rules; i++)
                r = check_rule(c, g->rules[i]);
        return r;
}
