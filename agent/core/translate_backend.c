/* agent/core/translate_backend.c - backend references -> clusters, and slices -> endpoint sets.  Layer: agent/core, pure.
 * One cluster per (Service, port, protocol), whoever refers to it; one endpoint set per (Service, port). */
#include "lib/base.h"
#include "agent/core/translate_priv.h"

/* appProtocol (KEP-3726 names and the IANA ones in use) -> how we speak to the endpoint. */
static const struct { const char *name; Model__Cluster__Protocol protocol; const char *id; bool needs_tls; } app_protocols[] = {
        { "", MODEL__CLUSTER__PROTOCOL__H1, "http" },
        { "http", MODEL__CLUSTER__PROTOCOL__H1, "http" },
        { "HTTP", MODEL__CLUSTER__PROTOCOL__H1, "http" },
        { "kubernetes.io/h2c", MODEL__CLUSTER__PROTOCOL__H2C, "h2c" },
        { "kubernetes.io/ws", MODEL__CLUSTER__PROTOCOL__WS, "ws" },
        { "grpc", MODEL__CLUSTER__PROTOCOL__GRPC, "grpc" },
        { "tcp", MODEL__CLUSTER__PROTOCOL__TCP, "tcp" }, /* TLSRoute: bytes, whatever the Service says of them */
        { "https", MODEL__CLUSTER__PROTOCOL__H1, "http", true },
        { "HTTPS", MODEL__CLUSTER__PROTOCOL__H1, "http", true },
};

static struct tx_backend invalid(const char *reason, const char *why)
{
        return (struct tx_backend){ .reason = reason, .why = why };
}

static const struct service_port *service_port_find(const struct service *s, uint16_t port, bool udp)
{
        for (size_t i = 0; i < s->n_ports; i++)
                if (s->ports[i].port == port && strcmp(s->ports[i].protocol, udp ? "UDP" : "TCP") == 0)
                        return &s->ports[i];
        for (size_t i = 0; i < s->n_ports; i++)
                if (s->ports[i].port == port)
                        return &s->ports[i];
        return NULL;
}

static int endpoint_cmp(const void *a, const void *b)
{
        const Model__Endpoint *x = *(Model__Endpoint *const *)a, *y = *(Model__Endpoint *const *)b;
        if (x->addr.len != y->addr.len)
                return x->addr.len < y->addr.len ? -1 : 1;
        int r = memcmp(x->addr.data, y->addr.data, x->addr.len);
        if (r)
                return r;
        if (x->port != y->port)
                return x->port < y->port ? -1 : 1;
        if (x->state != y->state)
                return x->state < y->state ? -1 : 1; /* READY first: it wins when two slices name one address */
        return strcmp(x->name, y->name);
}

static void slice_add(struct tx *tx, struct vec *v, const struct endpoint_slice *slice, uint16_t port)
{
        for (size_t i = 0; i < slice->n_endpoints; i++) {
                const struct slice_endpoint *e = &slice->endpoints[i];
                bool draining = !e->ready && e->serving && e->terminating;
                if (!e->ready && !draining)
                        continue;
                for (size_t k = 0; k < e->addresses.n; k++) {
                        struct ipaddr ip;
                        if (ipaddr_parse(span_str(e->addresses.v[k]), &ip) < 0)
                                continue; /* FQDN slices: names are not endpoints */
                        Model__Endpoint *ep = PB_NEW(tx, Model__Endpoint, model__endpoint);
                        ep->addr.len = ipaddr_len(&ip);
                        ep->addr.data = tx_alloc(tx, 16, 1);
                        memcpy(ep->addr.data, ip.b, ep->addr.len);
                        ep->port = port;
                        ep->state = draining ? MODEL__ENDPOINT_STATE__ENDPOINT_DRAINING : MODEL__ENDPOINT_STATE__ENDPOINT_READY;
                        ep->zone = pb_str(e->zone);
                        ep->node = pb_str(e->node);
                        ep->name = pb_str(e->target);
                        vec_add(tx, v, ep);
                }
        }
}

/* A slice's port belongs to the Service port of the same name (EndpointSlice API); address families are joined. */
Model__EndpointSet *endpoint_set_build(struct tx *tx, const char *ns, const char *service, const struct service_port *port)
{
        Model__EndpointSet *set = PB_NEW(tx, Model__EndpointSet, model__endpoint_set);
        bool udp = strcmp(port->protocol, "UDP") == 0;
        set->id = pb_str(tx_printf(tx, "%s/%s:%u%s", ns, service, port->port, udp ? "/udp" : ""));
        struct vec v = { 0 };
        size_t n;
        const struct endpoint_slice *const *slices = store_slices(tx->s, ns, service, &n);
        for (size_t i = 0; i < n; i++) {
                for (size_t k = 0; k < slices[i]->n_ports; k++) {
                        const struct slice_port *p = &slices[i]->ports[k];
                        if (p->port != 0 && strcmp(p->name, port->name) == 0 && strcmp(p->protocol, port->protocol) == 0)
                                slice_add(tx, &v, slices[i], p->port);
                }
        }
        if (v.n)
                qsort(v.v, v.n, sizeof *v.v, endpoint_cmp);
        set->endpoints = TX_ARRAY(tx, Model__Endpoint *, v.n);
        for (size_t i = 0; i < v.n; i++) {
                Model__Endpoint *e = v.v[i], *last = set->n_endpoints ? set->endpoints[set->n_endpoints - 1] : NULL;
                if (last && last->addr.len == e->addr.len && last->port == e->port &&
                    memcmp(last->addr.data, e->addr.data, e->addr.len) == 0)
                        continue; /* named by two slices */
                set->endpoints[set->n_endpoints++] = e;
        }
        return set;
}

static void set_digest(struct tx *tx, const Model__EndpointSet *set, struct sha256 *ret)
{
        size_t n = model__endpoint_set__get_packed_size(set);
        uint8_t *p = tx_alloc(tx, n, 1);
        (void)model__endpoint_set__pack(set, p); /* n bytes, as measured */
        sha256_of(SPAN(p, n), ret);
}

static int output_cmp(const void *key, const void *elem)
{
        return strcmp(key, ((const struct endpoint_output *)elem)->id);
}

/* Counts on from the translation before; the same content keeps its number.  A set that comes back after a pause starts
 * above all there were: who missed the pause (late, or two plans in one) must not take it for old news. */
static uint64_t set_version(const struct tx *tx, const char *id, const struct sha256 *sha)
{
        const struct endpoint_output *last = NULL;
        for (size_t i = 0; tx->prev && i <= tx->prev->n_pools; i++) {
                const struct pool_output *p = i < tx->prev->n_pools ? &tx->prev->pools[i] : &tx->prev->l4_sets;
                const struct endpoint_output *o = p->n_sets ? bsearch(id, p->sets, p->n_sets, sizeof *p->sets, output_cmp) : NULL;
                if (o && (!last || o->version > last->version))
                        last = o;
        }
        if (!last)
                return tx->t->set_versions + 1;
        return last->version + (memcmp(last->sha.b, sha->b, sizeof sha->b) != 0);
}

void endpoint_set_stamp(struct tx *tx, struct tx_cluster *c)
{
        set_digest(tx, c->set, &c->sha);
        c->set->version = set_version(tx, c->set->id, &c->sha);
}

static struct tx_cluster *cluster_get(struct tx *tx, const struct service *s, const struct service_port *p, size_t protocol,
                                      const struct tx_policy *policy, struct tx_uses *uses)
{
        const struct backend_policy *traffic = backend_policy_of(tx, s, p, uses);
        const char *id = tx_printf(tx, "%s/%s:%u/%s%s", s->o.namespace, s->o.name, p->port, app_protocols[protocol].id, policy ? "+tls" : "");
        struct tx_cluster *c = map_get(&tx->clusters, span_str(id));
        if (c)
                return c;
        c = TX_NEW(tx, struct tx_cluster);
        c->set = endpoint_set_build(tx, s->o.namespace, s->o.name, p);
        c->set->source = source_of(tx, &s->o, "", 0, 0);
        c->namespace = s->o.namespace;
        c->service = s->o.name;
        c->port = p->port;
        c->pb = PB_NEW(tx, Model__Cluster, model__cluster);
        c->pb->id = pb_str(id);
        c->pb->endpoint_set = c->set->id;
        c->pb->protocol = app_protocols[protocol].protocol;
        c->pb->source = c->set->source;
        if (policy) {
                c->pb->tls = policy->tls;
                c->trust = policy->trust;
        }
        if (traffic)
                backend_policy_put(tx, traffic, c->pb);
        endpoint_set_stamp(tx, c);
        map_set(tx, &tx->clusters, id, c);
        return c;
}

/* What every reference to a Service port must satisfy; no reason in what is returned: it does. */
static struct tx_backend resolve(struct tx *tx, const struct http_route *route, const struct backend_ref *b, bool udp,
                                 const struct service **ret_s, const struct service_port **ret_p)
{
        const char *ns = *b->ref.namespace ? b->ref.namespace : route->o.namespace;
        if (*b->ref.group != '\0' || strcmp(b->ref.kind, "Service") != 0)
                return invalid("InvalidKind", tx_printf(tx, "Backend %s: kind %s%s%s is not supported", b->ref.name, b->ref.group,
                                                        *b->ref.group ? "/" : "", b->ref.kind));
        if (!store_granted(tx->s, GATEWAY_API_GROUP, object_kind_str(route->o.kind), route->o.namespace, "", "Service", ns, b->ref.name))
                return invalid("RefNotPermitted", tx_printf(tx, "Service %s/%s: no ReferenceGrant allows it", ns, b->ref.name));
        const struct service *s = (const struct service *)store_get(tx->s, OBJECT_SERVICE, ns, b->ref.name);
        if (!s)
                return invalid("BackendNotFound", tx_printf(tx, "Service %s/%s does not exist", ns, b->ref.name));
        if (!b->has_port)
                return invalid("BackendNotFound", tx_printf(tx, "Service %s/%s: a port is required", ns, b->ref.name));
        if (strcmp(s->type, "ExternalName") == 0)
                return invalid("UnsupportedProtocol", tx_printf(tx, "Service %s/%s: type ExternalName is not supported", ns, b->ref.name));
        const struct service_port *p = service_port_find(s, b->port, udp);
        if (!p)
                return invalid("BackendNotFound", tx_printf(tx, "Service %s/%s has no port %u", ns, b->ref.name, b->port));
        if (strcmp(p->protocol, udp ? "UDP" : "TCP") != 0)
                return invalid("UnsupportedProtocol", tx_printf(tx, "Service %s/%s port %u: protocol %s is not supported", ns,
                                                                b->ref.name, b->port, p->protocol));
        *ret_s = s;
        *ret_p = p;
        return (struct tx_backend){ 0 };
}

struct tx_backend translate_l4_backend(struct tx *tx, const struct http_route *route, const struct backend_ref *b, struct tx_l4_leg *ret)
{
        *ret = (struct tx_l4_leg){ .weight = b->weight };
        struct tx_backend r = resolve(tx, route, b, route->o.kind == OBJECT_UDP_ROUTE, &ret->s, &ret->p);
        if (r.reason)
                ret->s = NULL;
        return r;
}

struct tx_backend translate_backend(struct tx *tx, const struct http_route *route, const struct backend_ref *b, struct tx_uses *uses)
{
        const struct service *s;
        const struct service_port *p;
        struct tx_backend r = resolve(tx, route, b, false, &s, &p);
        if (r.reason)
                return r;
        const char *ns = s->o.namespace;
        size_t i = 0;
        /* without a word from the Service, the kind of route says what is spoken */
        const char *app = *p->app_protocol ? p->app_protocol : route->o.kind == OBJECT_GRPC_ROUTE ? "grpc" : "";
        if (route->o.kind == OBJECT_TLS_ROUTE)
                app = "tcp";
        while (i < ARRAY_SIZE(app_protocols) && strcmp(app_protocols[i].name, app) != 0)
                i++;
        if (i == ARRAY_SIZE(app_protocols))
                return invalid("UnsupportedProtocol", tx_printf(tx, "Service %s/%s port %u: appProtocol %s is not supported", ns,
                                                                b->ref.name, b->port, p->app_protocol));
        const struct quarantine *q = quarantine_find(tx, &s->o, "", 0);
        if (q)
                return invalid("UnsupportedProtocol", tx_printf(tx, "Service %s/%s: %s", ns, b->ref.name, q->reason));
        const struct tx_policy *policy = policy_of(tx, s, p, uses);
        if (route->o.kind == OBJECT_TLS_ROUTE) { /* where TLS is passed through there is none of ours: the listener decides */
                struct tx_cluster *plain = cluster_get(tx, s, p, i, NULL, uses);
                plain->policy_broken = policy && !policy->tls;
                plain->over_tls = policy && policy->tls ? cluster_get(tx, s, p, i, policy, uses) : NULL;
                vec_add(tx, &uses->clusters, plain);
                return (struct tx_backend){ .cluster = plain->pb->id };
        }
        if (policy && !policy->tls)
                return invalid(NULL, NULL);
        if (!policy && app_protocols[i].needs_tls)
                return invalid("UnsupportedProtocol", tx_printf(tx, "Service %s/%s port %u: appProtocol %s needs a BackendTLSPolicy", ns,
                                                                b->ref.name, b->port, p->app_protocol));
        struct tx_cluster *c = cluster_get(tx, s, p, i, policy, uses);
        vec_add(tx, &uses->clusters, c);
        return (struct tx_backend){ .cluster = c->pb->id };
}

void endpoint_output_set(struct tx *tx, struct endpoint_output *o, const struct tx_cluster *c)
{
        *o = (struct endpoint_output){ .id = tx_dup(tx, c->set->id), .namespace = tx_dup(tx, c->namespace),
                                       .service = tx_dup(tx, c->service), .port = c->port, .udp = c->udp,
                                       .version = c->set->version, .sha = c->sha };
}

static ptrdiff_t refresh_pass(struct tx *tx, struct pool_output *p, Model__EndpointSet ***ret)
{
        if (setjmp(tx->out) != 0)
                return tx->failure;
        struct vec changed = { 0 };
        for (size_t i = 0; i < p->n_sets; i++) {
                struct endpoint_output *o = &p->sets[i];
                const struct service *s = (const struct service *)store_get(tx->s, OBJECT_SERVICE, o->namespace, o->service);
                const struct service_port *port = s ? service_port_find(s, o->port, o->udp) : NULL;
                if (!port)
                        continue; /* the Service changed too: a new translation is on its way */
                Model__EndpointSet *set = endpoint_set_build(tx, o->namespace, o->service, port);
                set->source = source_of(tx, &s->o, "", 0, 0);
                struct sha256 sha;
                set_digest(tx, set, &sha);
                if (memcmp(sha.b, o->sha.b, sizeof sha.b) == 0)
                        continue;
                o->sha = sha;
                set->version = ++o->version;
                vec_add(tx, &changed, set);
        }
        *ret = (Model__EndpointSet **)changed.v;
        return (ptrdiff_t)changed.n;
}

ptrdiff_t translate_endpoints(const struct store *s, struct pool_output *p, struct arena *a, Model__EndpointSet ***ret)
{
        struct tx *tx = calloc(1, sizeof *tx);
        if (!tx)
                return -ENOMEM;
        tx->a = a;
        tx->s = s;
        ptrdiff_t n = refresh_pass(tx, p, ret);
        free(tx);
        return n;
}
