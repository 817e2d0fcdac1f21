/* l7gw/io/generation.c - see generation.h. */
#include "lib/base.h"
#include "l7gw/io/generation.h"
#include "l7gw/io/tls_context.h"
#include "lib/control.pb-c.h"

static int no_memory(struct model_error *e)
{
        model_error_set(e, CONTROL__NACK_STAGE__NACK_INTERNAL, "", NULL, "out of memory");
        return -ENOMEM;
}

static const struct siphash_key identity_key = {0x6c37677765706964u, 1};

uint64_t endpoint_set_identity(const Model__EndpointSet *set)
{
        size_t n = model__endpoint_set__get_packed_size(set);
        uint8_t *p = malloc(n + 1);
        if (!p)
                return 0; /* never equal to a stored one: the set is rebuilt */
        model__endpoint_set__pack(set, p);
        uint64_t h = siphash13(&identity_key, p, n);
        free(p);
        return h ? h : 1;
}

/* ---- binds ---- */

static int prefixes_copy(struct generation *g, Model__Prefix *const *from, size_t n, struct ipprefix **ret, size_t *ret_n)
{
        *ret = arena_calloc(&g->arena, n + 1, sizeof **ret);
        if (!*ret)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                struct ipprefix *to = &(*ret)[*ret_n];
                if (ipaddr_from_bytes(from[i]->addr.data, from[i]->addr.len, &to->addr) < 0)
                        continue; /* refused by the model's check */
                to->len = (uint8_t)from[i]->len;
                ++*ret_n;
        }
        return 0;
}

/* What belongs to the connection.  Gateways that share an address agree in it: the model's check sees to that. */
static int bind_fill(struct generation *g, struct gen_bind *b)
{
        for (size_t i = 0; i < g->model->n_gateways; i++) {
                const Model__Gateway *gw = g->model->gateways[i];
                for (size_t k = 0; k < gw->n_binds; k++) {
                        const Model__Bind *m = gw->binds[k];
                        if (m->port != b->rt->port || m->addr.len != ipaddr_len(&b->rt->addr) ||
                            memcmp(m->addr.data, b->rt->addr.b, m->addr.len) != 0)
                                continue;
                        b->proxy = m->proxy_protocol;
                        int r = prefixes_copy(g, m->proxy_trusted, m->n_proxy_trusted, &b->proxy_trusted, &b->n_proxy_trusted);
                        return r < 0 ? r : prefixes_copy(g, m->forwarded_trusted, m->n_forwarded_trusted, &b->forwarded_trusted, &b->n_forwarded_trusted);
                }
        }
        return 0;
}

static const Model__Source *bind_source(const struct route_bind *rb)
{
        return rb->n_listeners ? rb->listeners[0]->model->source : NULL;
}

static int binds_build(struct generation *g, struct model_error *e)
{
        g->binds = arena_calloc(&g->arena, g->routes->n_binds + 1, sizeof *g->binds);
        if (!g->binds)
                return no_memory(e);
        for (size_t i = 0; i < g->routes->n_binds; i++) {
                struct gen_bind *b = &g->binds[i];
                struct err err;
                b->route = &g->routes->binds[i];
                int r = registry_bind(g->registry, &b->route->addr, b->route->port, &b->rt, &err);
                if (r < 0) {
                        model_error_set(e, CONTROL__NACK_STAGE__NACK_BIND, "", bind_source(b->route), "%s", err.msg);
                        return r;
                }
                g->n_binds++;
                if (map_put(&g->bind_by_key, SPAN(b->rt->key.b, sizeof b->rt->key.b), b) < 0)
                        return no_memory(e);
                if (bind_fill(g, b) < 0)
                        return no_memory(e);
        }
        return 0;
}

/* ---- listeners ---- */

static int listeners_build(struct generation *g, struct model_error *e)
{
        g->listeners = arena_calloc(&g->arena, g->routes->n_listeners + 1, sizeof *g->listeners);
        if (!g->listeners)
                return no_memory(e);
        g->n_listeners = g->routes->n_listeners;
        for (size_t i = 0; i < g->routes->n_binds; i++) {
                const struct route_bind *rb = &g->routes->binds[i];
                for (size_t k = 0; k < rb->n_listeners; k++) {
                        const struct route_listener *rl = rb->listeners[k];
                        struct gen_listener *l = &g->listeners[rl->index];
                        if (l->rt)
                                continue; /* an IPv4 and an IPv6 bind share it */
                        l->route = rl;
                        l->rt = registry_listener(g->registry, rl->model->id);
                        if (!l->rt)
                                return no_memory(e);
                        if (rb->protocol != MODEL__LISTENER__PROTOCOL__HTTPS ||
                            rl->model->protocol == MODEL__LISTENER__PROTOCOL__TLS_PASSTHROUGH)
                                continue;
                        int r = tls_listener_build(&g->registry->certs, g->model, rl->model, &l->tls, e);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

/* ---- clusters and endpoint sets (what clusters ask for and we cannot do is refused by route_table_build) ---- */

static int sets_build(struct generation *g, struct model_error *e)
{
        g->sets = arena_calloc(&g->arena, g->model->n_endpoint_sets + 1, sizeof *g->sets);
        if (!g->sets)
                return no_memory(e);
        for (size_t i = 0; i < g->model->n_endpoint_sets; i++) {
                struct gen_set *s = &g->sets[i];
                s->model = g->model->endpoint_sets[i];
                s->rt = registry_set(g->registry, s->model->id);
                if (!s->rt)
                        return no_memory(e);
                s->identity = endpoint_set_identity(s->model);
                s->rt->at = i;
                g->n_sets++;
        }
        return 0;
}

int cluster_plan(const struct gen_cluster *c, const Model__EndpointSet *set, uint64_t identity, struct balance_plan **ret)
{
        const Model__Cluster *m = c->model;
        uint64_t policy = (uint64_t)m->lb << 56 | (uint64_t)m->panic_pct << 48 | m->slow_start_ms;
        uint64_t id = balance_mix(identity ^ balance_mix(policy));
        if (c->rt->plan && c->rt->plan->identity == id && identity != 0) {
                *ret = balance_plan_get(c->rt->plan);
                return 0;
        }
        return balance_plan_new(m, set, id, ret);
}

static int cluster_set(struct generation *g, struct gen_cluster *c, struct model_error *e)
{
        c->set = registry_set_find(g->registry, c->model->endpoint_set); /* held by g->sets */
        if (!c->set)
                return 0;
        const struct gen_set *s = &g->sets[c->set->at];
        int r = cluster_plan(c, s->model, s->identity, &c->plan);
        if (r == -E2BIG) {
                model_error_set(e, CONTROL__NACK_STAGE__NACK_BUILD, "", c->model->source, "cluster %s: Maglev with more than 65535 endpoints", c->model->id);
                return r;
        }
        return r < 0 ? no_memory(e) : 0;
}

static int clusters_build(struct generation *g, struct model_error *e)
{
        g->clusters = arena_calloc(&g->arena, g->model->n_clusters + 1, sizeof *g->clusters);
        if (!g->clusters)
                return no_memory(e);
        for (size_t i = 0; i < g->model->n_clusters; i++) {
                struct gen_cluster *c = &g->clusters[i];
                c->model = g->model->clusters[i];
                c->rt = registry_cluster(g->registry, c->model->id);
                if (!c->rt)
                        return no_memory(e);
                g->n_clusters++;
                if (c->model->breaker && c->model->breaker->max_connections)
                        c->pool_id = siphash13(&identity_key, c->model->id, strlen(c->model->id)) | 1;
                int r = c->model->endpoint_set[0] ? cluster_set(g, c, e) : 0;
                if (r < 0)
                        return r;
                if (c->model->tls) {
                        r = tls_upstream_get(&g->registry->tls, g->model, c->model, &c->tls, e);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int generation_build(const struct model *m, struct registry *reg, struct generation **ret, struct model_error *e)
{
        struct generation *g = calloc(1, sizeof *g);
        if (!g)
                return no_memory(e);
        g->model = m;
        g->registry = reg;
        arena_init(&g->arena, 65536, SIZE_MAX);
        map_init(&g->bind_by_key);
        atomic_init(&g->workers, 0);
        int r = route_table_build(&g->arena, m, &g->routes, e);
        if (r == 0)
                r = sets_build(g, e);
        if (r == 0)
                r = clusters_build(g, e);
        if (r == 0)
                r = listeners_build(g, e);
        if (r == 0)
                r = binds_build(g, e); /* last: the only step that others can see */
        if (r < 0)
                generation_free(g);
        else
                *ret = g;
        return r;
}

void generation_free(struct generation *g)
{
        if (!g)
                return;
        BUG_ON(atomic_load_explicit(&g->workers, memory_order_acquire) != 0);
        for (size_t i = 0; i < g->n_binds; i++)
                registry_bind_put(g->registry, g->binds[i].rt);
        for (size_t i = 0; i < g->n_listeners; i++) {
                tls_listener_free(g->listeners[i].tls);
                registry_listener_put(g->registry, g->listeners[i].rt);
        }
        for (size_t i = 0; i < g->n_clusters; i++) {
                tls_upstream_put(&g->registry->tls, g->clusters[i].tls);
                balance_plan_put(g->clusters[i].plan);
                registry_cluster_put(g->registry, g->clusters[i].rt);
        }
        for (size_t i = 0; i < g->n_sets; i++)
                registry_set_put(g->registry, g->sets[i].rt);
        map_fini(&g->bind_by_key);
        route_table_close(g->routes);
        arena_fini(&g->arena);
        free(g);
}

const struct gen_bind *generation_bind(const struct generation *g, const struct bind_key *key)
{
        return map_get(&g->bind_by_key, SPAN(key->b, sizeof key->b));
}
