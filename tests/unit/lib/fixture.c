/* tests/unit/lib/fixture.c - see fixture.h. */
#include "lib/base.h"
#include "tests/unit/lib/fixture.h"

#define NEW(w, type, init)                                                                                             \
        ({                                                                                                             \
                Model__##type *new_ = arena_alloc(&(w)->a, sizeof *new_);                                              \
                BUG_ON(!new_);                                                                                         \
                model__##init##__init(new_);                                                                           \
                new_;                                                                                                  \
        })

void **world_append(struct world *w, void *list, size_t n, void *item)
{
        void **out = arena_calloc(&w->a, n + 1, sizeof *out);
        BUG_ON(!out);
        if (n)
                memcpy(out, list, n * sizeof *out);
        out[n] = item;
        return out;
}
#define APPEND(w, list, n, item) ((list) = (void *)world_append((w), (list), (n), (item)), (n)++)

static char *text(const char *s)
{
        return (char *)s;
}

Model__Source *world_source(struct world *w, const char *kind, const char *name, uint32_t rule)
{
        Model__Source *s = NEW(w, Source, source);
        s->kind = text(kind);
        s->namespace_ = text("default");
        s->name = text(name);
        s->generation = 3;
        s->rule = rule;
        return s;
}

static ProtobufCBinaryData bytes(struct world *w, const void *p, size_t n)
{
        return (ProtobufCBinaryData){n, arena_dup(&w->a, p, n)};
}

static void world_gateway(struct world *w)
{
        Model__Gateway *g = w->gateway = NEW(w, Gateway, gateway);
        g->id = text("default/web");
        g->source = world_source(w, "Gateway", "web", 0);
        Model__Bind *tls = NEW(w, Bind, bind);
        w->bind = NEW(w, Bind, bind);
        w->bind->addr = bytes(w, (uint8_t[]){192, 0, 2, 1}, 4);
        w->bind->port = 80;
        tls->addr = w->bind->addr;
        tls->port = 443;
        APPEND(w, g->binds, g->n_binds, w->bind);
        APPEND(w, g->binds, g->n_binds, tls);

        w->http = NEW(w, Listener, listener);
        w->http->id = text("default/web/http");
        w->http->source = world_source(w, "Gateway", "web", 0);
        w->http->n_binds = 1;
        w->http->binds = arena_calloc(&w->a, 1, sizeof(uint32_t));
        w->https = NEW(w, Listener, listener);
        w->https->id = text("default/web/https");
        w->https->source = w->http->source;
        w->https->protocol = MODEL__LISTENER__PROTOCOL__HTTPS;
        w->https->n_binds = 1;
        w->https->binds = arena_calloc(&w->a, 1, sizeof(uint32_t));
        w->https->binds[0] = 1;
        w->https->tls = NEW(w, Tls, tls);
        APPEND(w, w->https->tls->certificates, w->https->tls->n_certificates, text("default/cert"));
        APPEND(w, g->listeners, g->n_listeners, w->http);
        APPEND(w, g->listeners, g->n_listeners, w->https);

        w->vhost = NEW(w, VirtualHost, virtual_host);
        w->vhost->hostname = text("a.example");
        w->entry = NEW(w, RouteEntry, route_entry);
        w->entry->source = world_source(w, "HTTPRoute", "echo", 1);
        w->entry->match = NEW(w, Match, match);
        w->entry->match->path_kind = MODEL__MATCH__PATH_KIND__PREFIX;
        w->entry->match->path = text("/api");
        APPEND(w, w->vhost->routes, w->vhost->n_routes, w->entry);
        APPEND(w, w->http->virtual_hosts, w->http->n_virtual_hosts, w->vhost);
        APPEND(w, w->https->virtual_hosts, w->https->n_virtual_hosts, w->vhost);
}

static void world_rules(struct world *w)
{
        Model__Gateway *g = w->gateway;
        w->forward = NEW(w, Rule, rule);
        w->forward->source = world_source(w, "HTTPRoute", "echo", 1);
        w->forward->action_case = MODEL__RULE__ACTION_FORWARD;
        w->forward->forward = NEW(w, Forward, forward);
        w->leg = NEW(w, Leg, leg);
        w->leg->cluster = text("default/echo:8080/http");
        w->leg->weight = 1;
        APPEND(w, w->forward->forward->legs, w->forward->forward->n_legs, w->leg);
        w->filter = NEW(w, Filter, filter);
        w->filter->kind_case = MODEL__FILTER__KIND_REQUEST_HEADERS;
        w->filter->request_headers = NEW(w, HeaderEdit, header_edit);
        Model__Header *h = NEW(w, Header, header);
        h->name = text("x-tier");
        h->value = text("edge");
        APPEND(w, w->filter->request_headers->set, w->filter->request_headers->n_set, h);
        w->mirror = NEW(w, Filter, filter);
        w->mirror->kind_case = MODEL__FILTER__KIND_MIRROR;
        w->mirror->mirror = NEW(w, Mirror, mirror);
        w->mirror->mirror->cluster = text("default/audit:80/http");
        APPEND(w, w->forward->filters, w->forward->n_filters, w->filter);
        APPEND(w, w->forward->filters, w->forward->n_filters, w->mirror);
        w->policies = w->forward->policies = NEW(w, Policies, policies);
        w->policies->rate_limit = text("p1");

        w->redirect = NEW(w, Rule, rule);
        w->redirect->source = world_source(w, "HTTPRoute", "old", 1);
        w->redirect->action_case = MODEL__RULE__ACTION_REDIRECT;
        w->redirect->redirect = NEW(w, Redirect, redirect);
        w->redirect->redirect->status = 301;
        w->redirect->redirect->scheme = text("https");
        APPEND(w, g->rules, g->n_rules, w->forward);
        APPEND(w, g->rules, g->n_rules, w->redirect);
}

static Model__EndpointSet *world_set(struct world *w, const char *id, uint8_t last)
{
        Model__EndpointSet *s = NEW(w, EndpointSet, endpoint_set);
        s->id = text(id);
        s->version = 5;
        s->source = world_source(w, "Service", "echo", 0);
        Model__Endpoint *e = NEW(w, Endpoint, endpoint);
        e->addr = bytes(w, (uint8_t[]){10, 0, 0, last}, 4);
        e->port = 8080;
        e->weight = 1;
        APPEND(w, s->endpoints, s->n_endpoints, e);
        return s;
}

static Model__Cluster *world_cluster(struct world *w, const char *id, const char *set)
{
        Model__Cluster *c = NEW(w, Cluster, cluster);
        c->id = text(id);
        c->endpoint_set = text(set);
        c->source = world_source(w, "Service", "echo", 0);
        return c;
}

static void world_l4(struct world *w)
{
        Model__L4 *l4 = w->l4 = NEW(w, L4, l4);
        w->vip = NEW(w, Vip, vip);
        w->vip->id = text("192.0.2.1");
        w->vip->addr = bytes(w, (uint8_t[]){192, 0, 2, 1}, 4);
        w->vip->source = world_source(w, "Gateway", "web", 0);
        w->l4_listener = NEW(w, L4Listener, l4_listener);
        w->l4_listener->id = text("192.0.2.1:80/tcp");
        w->l4_listener->vip = text("192.0.2.1");
        w->l4_listener->port_lo = w->l4_listener->port_hi = 80;
        w->l4_listener->distribution = text("192.0.2.1:80/tcp");
        w->l4_listener->source = world_source(w, "Gateway", "web", 0);
        w->distribution = NEW(w, L4Distribution, l4_distribution);
        w->distribution->id = text("192.0.2.1:80/tcp");
        w->distribution->source = world_source(w, "Gateway", "web", 0);
        w->l4_leg = NEW(w, L4Leg, l4_leg);
        w->l4_leg->pool = text("shards/default");
        w->l4_leg->weight = 1;
        APPEND(w, w->distribution->legs, w->distribution->n_legs, w->l4_leg);
        w->pool = NEW(w, Pool, pool);
        w->pool->id = text("shards/default");
        w->pool->endpoint_set = text("default/audit:80");
        w->pool->source = world_source(w, "Gateway", "web", 0);
        APPEND(w, l4->vips, l4->n_vips, w->vip);
        APPEND(w, l4->listeners, l4->n_listeners, w->l4_listener);
        APPEND(w, l4->distributions, l4->n_distributions, w->distribution);
        APPEND(w, l4->pools, l4->n_pools, w->pool);
}

static Model__Section *section(struct world *w, const char *key, Model__Section__BodyCase body, bool secret)
{
        Model__Section *s = NEW(w, Section, section);
        s->body_case = body;
        w->keys[w->n_sections] = key;
        w->secret[w->n_sections] = secret;
        w->sections[w->n_sections++] = s;
        return s;
}

static void world_tls(struct world *w)
{
        w->certificate = NEW(w, Certificate, certificate);
        w->certificate->id = text("default/cert");
        w->certificate->key = text("default/cert");
        w->certificate->chain_pem = bytes(w, "CHAIN", 5);
        w->certificate->source = world_source(w, "Secret", "cert", 0);
        w->key = NEW(w, Key, key);
        w->key->id = text("default/cert");
        w->key->pem = bytes(w, "PRIVATE KEY BYTES", 17);
        w->trust = NEW(w, Trust, trust);
        w->trust->id = text("default/ca");
        w->trust->ca_pem = bytes(w, "CA", 2);
}

static void world_sections(struct world *w)
{
        section(w, "gateway/default/web", MODEL__SECTION__BODY_GATEWAY, false)->gateway = w->gateway;
        Model__ClusterList *clusters = section(w, "clusters/default", MODEL__SECTION__BODY_CLUSTERS, false)->clusters =
                NEW(w, ClusterList, cluster_list);
        APPEND(w, clusters->clusters, clusters->n_clusters, w->cluster2);
        APPEND(w, clusters->clusters, clusters->n_clusters, w->cluster);
        Model__EndpointSetList *sets =
                section(w, "endpoints/default", MODEL__SECTION__BODY_ENDPOINT_SETS, false)->endpoint_sets =
                        NEW(w, EndpointSetList, endpoint_set_list);
        APPEND(w, sets->sets, sets->n_sets, w->set2);
        APPEND(w, sets->sets, sets->n_sets, w->set);
        Model__CertificateList *certs =
                section(w, "certs/default", MODEL__SECTION__BODY_CERTIFICATES, false)->certificates =
                        NEW(w, CertificateList, certificate_list);
        APPEND(w, certs->certificates, certs->n_certificates, w->certificate);
        Model__KeyList *keys = section(w, "keys/default", MODEL__SECTION__BODY_KEYS, true)->keys =
                NEW(w, KeyList, key_list);
        APPEND(w, keys->keys, keys->n_keys, w->key);
        Model__TrustList *trusts = section(w, "trust/default", MODEL__SECTION__BODY_TRUSTS, false)->trusts =
                NEW(w, TrustList, trust_list);
        APPEND(w, trusts->trusts, trusts->n_trusts, w->trust);
        Model__PolicyList *policies = section(w, "policies", MODEL__SECTION__BODY_POLICIES, false)->policies =
                NEW(w, PolicyList, policy_list);
        APPEND(w, policies->policies, policies->n_policies, w->policy);
        section(w, "l4", MODEL__SECTION__BODY_L4, false)->l4 = w->l4;
}

void world_init(struct world *w)
{
        *w = (struct world){.generation = 7};
        arena_init(&w->a, 64 * 1024, SIZE_MAX);
        world_gateway(w);
        world_rules(w);
        w->set = world_set(w, "default/echo:8080", 1);
        w->set2 = world_set(w, "default/audit:80", 2);
        w->endpoint = w->set->endpoints[0];
        w->cluster = world_cluster(w, "default/echo:8080/http", "default/echo:8080");
        w->cluster2 = world_cluster(w, "default/audit:80/http", "default/audit:80");
        w->policy = NEW(w, Policy, policy);
        w->policy->id = text("p1");
        w->policy->kind_case = MODEL__POLICY__KIND_RATE_LIMIT;
        w->policy->rate_limit = NEW(w, RateLimit, rate_limit);
        Model__RateLimitRule *limit = NEW(w, RateLimitRule, rate_limit_rule);
        limit->requests = 10;
        limit->per_ms = 1000;
        APPEND(w, w->policy->rate_limit->rules, w->policy->rate_limit->n_rules, limit);
        world_tls(w);
        world_l4(w);
        world_sections(w);
}

void world_fini(struct world *w)
{
        arena_fini(&w->a);
}

struct manifest *world_manifest(struct world *w)
{
        struct manifest *m = manifest_new(w->generation);
        struct buf b;
        BUG_ON(!m);
        buf_init(&b, SIZE_MAX);
        for (size_t i = 0; i < w->n_sections; i++) {
                if (!w->sections[i])
                        continue;
                size_t n = model__section__get_packed_size(w->sections[i]);
                buf_reset(&b);
                uint8_t *p = buf_reserve(&b, n + 1);
                BUG_ON(!p);
                model__section__pack(w->sections[i], p);
                int r = manifest_add(m, w->keys[i], SPAN(p, n), w->secret[i]);
                BUG_ON(r < 0);
        }
        buf_fini(&b);
        struct err e;
        int r = manifest_seal(m, &e);
        BUG_ON(r < 0);
        return m;
}
