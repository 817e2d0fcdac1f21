/* agent/core/translate_l7.c - one pool's manifest: a section per Gateway (binds, listeners, virtual hosts, rules), then
 * clusters, endpoint sets, certificates and keys of what those use, one section per namespace.  Layer: agent/core, pure.
 *
 * Precedence inside a virtual host (Gateway API, HTTPRouteRule.matches): exact path; then the longer path, a regular
 * expression counting by its length and a prefix before a regular expression of equal length (the API leaves the place of
 * regular expressions to us); then a method; then more headers; then more query parameters; then the older route, its
 * namespace and name, rule and match order. */
#include "lib/base.h"
#include "agent/core/translate_priv.h"

struct entry { Model__RouteEntry *pb; const struct tx_route *route; uint32_t rule, match; size_t length; };
struct hosted { const char *host; struct tx_route *route; };

static int path_class(const Model__Match *m) { return m->path_kind == MODEL__MATCH__PATH_KIND__EXACT ? 0 : 1; }

#define CMP(a, b) do { if ((a) != (b)) return (a) < (b) ? -1 : 1; } while (0)
static int entry_cmp(const void *pa, const void *pb)
{
        const struct entry *a = *(struct entry *const *)pa, *b = *(struct entry *const *)pb;
        const Model__Match *x = a->pb->match, *y = b->pb->match;
        CMP(path_class(x), path_class(y));
        CMP(b->length, a->length);
        CMP(x->path_kind, y->path_kind); /* EXACT < PREFIX < REGEX in the model */
        CMP(a->route->route->o.kind != OBJECT_GRPC_ROUTE, b->route->route->o.kind != OBJECT_GRPC_ROUTE); /* only gRPC: narrower */
        CMP(*x->method == '\0', *y->method == '\0');
        CMP(y->n_headers, x->n_headers);
        CMP(y->n_query, x->n_query);
        int r = object_age_cmp(&a->route->route->o, &b->route->route->o);
        if (r)
                return r;
        CMP(a->rule, b->rule);
        CMP(a->match, b->match);
        return 0;
}

/* What counts as longer: characters of the path; of a gRPC service, then of its method (GRPCRouteRule.matches). */
static size_t match_length(const Model__Match *m, const struct http_match *h)
{
        const size_t scale = 4096; /* more than a method has characters */
        if (!*h->grpc_service && !*h->grpc_method)
                return strlen(m->path) * scale;
        return (1 + strlen(h->grpc_service + (*h->grpc_service == '.'))) * scale + strlen(h->grpc_method);
}

static int hosted_cmp(const void *pa, const void *pb)
{
        const struct hosted *a = *(struct hosted *const *)pa, *b = *(struct hosted *const *)pb;
        int r = strcmp(a->host, b->host);
        return r ? r : object_age_cmp(&a->route->route->o, &b->route->route->o);
}

/* What one pool's manifest is gathered in. */
struct pool_build { struct tx *tx; struct pool_output *out; size_t stamp; struct vec clusters, certs, trusts; };

static void cert_needed(struct pool_build *b, struct tx_cert *c)
{
        if (c->in_pool == b->stamp)
                return;
        c->in_pool = b->stamp;
        vec_add(b->tx, &b->certs, c);
}

static void trust_needed(struct pool_build *b, struct tx_trust *t)
{
        if (t->in_pool == b->stamp)
                return;
        t->in_pool = b->stamp;
        vec_add(b->tx, &b->trusts, t);
}

static void cluster_needed(struct pool_build *b, struct tx_cluster *c)
{
        if (c->in_pool == b->stamp)
                return;
        c->in_pool = b->stamp;
        vec_add(b->tx, &b->clusters, c);
        if (c->trust)
                trust_needed(b, c->trust);
        if (c->cert)
                cert_needed(b, c->cert);
}

/* The id of the cluster that a rule of this Gateway means: the one that shows its client certificate, where there is TLS. */
static char *cluster_of(struct pool_build *b, const struct tx_gateway *g, char *id)
{
        struct tx_cluster *c = *id ? map_get(&b->tx->clusters, span_str(id)) : NULL;
        if (!c)
                return id;
        if (c->pb->tls && g->client_cert)
                c = cluster_with_certificate(b->tx, c, g->client_cert);
        cluster_needed(b, c);
        return c->pb->id;
}

static void filters_for(struct pool_build *b, const struct tx_gateway *g, Model__Filter ***v, size_t n)
{
        Model__Filter **to = TX_ARRAY(b->tx, Model__Filter *, n);
        for (size_t i = 0; i < n; i++) {
                Model__Filter *f = (*v)[i];
                if (f->kind_case == MODEL__FILTER__KIND_MIRROR) {
                        char *id = cluster_of(b, g, f->mirror->cluster);
                        if (id != f->mirror->cluster) {
                                Model__Filter *own = PB_NEW(b->tx, Model__Filter, model__filter);
                                *own = *f;
                                own->mirror = PB_NEW(b->tx, Model__Mirror, model__mirror);
                                *own->mirror = *f->mirror;
                                own->mirror->cluster = id;
                                f = own;
                        }
                }
                to[i] = f;
        }
        *v = to;
}

/* The rule as this Gateway needs it: the same one, but for the certificate it shows to its backends. */
static Model__Rule *rule_for(struct pool_build *b, const struct tx_gateway *g, const struct tx_rule *rule)
{
        struct tx *tx = b->tx;
        if (!g->client_cert) {
                for (size_t i = 0; i < rule->uses.clusters.n; i++)
                        cluster_needed(b, rule->uses.clusters.v[i]);
                return rule->pb;
        }
        Model__Rule *m = PB_NEW(tx, Model__Rule, model__rule);
        *m = *rule->pb;
        filters_for(b, g, &m->filters, m->n_filters);
        if (m->action_case != MODEL__RULE__ACTION_FORWARD)
                return m;
        m->forward = PB_NEW(tx, Model__Forward, model__forward);
        m->forward->n_legs = rule->pb->forward->n_legs;
        m->forward->legs = TX_ARRAY(tx, Model__Leg *, m->forward->n_legs);
        for (size_t i = 0; i < m->forward->n_legs; i++) {
                Model__Leg *l = PB_NEW(tx, Model__Leg, model__leg);
                *l = *rule->pb->forward->legs[i];
                l->cluster = cluster_of(b, g, l->cluster);
                filters_for(b, g, &l->filters, l->n_filters);
                m->forward->legs[i] = l;
        }
        return m;
}

/* The rules of a route enter a Gateway once, whichever listeners it is attached to. */
static void route_rules(struct pool_build *b, Model__Gateway *gw, struct vec *rules, const struct tx_gateway *g, struct tx_route *r)
{
        if (r->in == g)
                return;
        r->in = g;
        r->rule_base = rules->n;
        for (size_t i = 0; i < r->n_rules; i++) {
                struct tx_rule *rule = &r->rules[i];
                if (rule->dropped)
                        continue;
                vec_add(b->tx, rules, rule_for(b, g, rule));
        }
}

static void route_entries(struct tx *tx, struct vec *v, struct tx_route *r)
{
        size_t index = r->rule_base;
        for (size_t i = 0; i < r->n_rules; i++) {
                const struct tx_rule *rule = &r->rules[i];
                if (rule->dropped)
                        continue;
                for (size_t k = 0; k < rule->r->n_matches; k++) {
                        struct entry *e = TX_NEW(tx, struct entry);
                        e->route = r;
                        e->rule = rule->index;
                        e->match = (uint32_t)k + 1;
                        e->pb = PB_NEW(tx, Model__RouteEntry, model__route_entry);
                        e->pb->match = rule->matches[k];
                        e->length = match_length(e->pb->match, &rule->r->matches[k]);
                        e->pb->rule = (uint32_t)index;
                        e->pb->source = source_of(tx, &r->route->o, rule->r->name, rule->index, e->match);
                        vec_add(tx, v, e);
                }
                index++;
        }
}

static void virtual_hosts(struct tx *tx, const struct tx_listener *l, Model__Listener *m)
{
        struct vec hosts = { 0 };
        for (size_t i = 0; i < l->attached.n; i++) {
                const struct tx_attachment *a = l->attached.v[i];
                for (size_t k = 0; k < a->n_hosts; k++) {
                        struct hosted *h = TX_NEW(tx, struct hosted);
                        *h = (struct hosted){ a->hosts[k], a->route };
                        vec_add(tx, &hosts, h);
                }
        }
        if (hosts.n == 0)
                return;
        qsort(hosts.v, hosts.n, sizeof *hosts.v, hosted_cmp);
        m->virtual_hosts = TX_ARRAY(tx, Model__VirtualHost *, hosts.n);
        for (size_t i = 0; i < hosts.n;) {
                Model__VirtualHost *vh = PB_NEW(tx, Model__VirtualHost, model__virtual_host);
                const char *host = ((struct hosted *)hosts.v[i])->host;
                struct vec entries = { 0 };
                for (; i < hosts.n && strcmp(((struct hosted *)hosts.v[i])->host, host) == 0; i++)
                        route_entries(tx, &entries, ((struct hosted *)hosts.v[i])->route);
                if (entries.n)
                        qsort(entries.v, entries.n, sizeof *entries.v, entry_cmp);
                vh->hostname = pb_str(host);
                vh->routes = TX_ARRAY(tx, Model__RouteEntry *, entries.n);
                for (size_t k = 0; k < entries.n; k++)
                        vh->routes[vh->n_routes++] = ((struct entry *)entries.v[k])->pb;
                m->virtual_hosts[m->n_virtual_hosts++] = vh;
        }
}

static void listener_binds(struct tx *tx, const struct tx_listener *l, Model__Gateway *gw, Model__Listener *m)
{
        const struct gateway_report *r = l->g->report;
        m->binds = TX_ARRAY(tx, uint32_t, r->n_addresses);
        for (size_t i = 0; i < r->n_addresses; i++) {
                const struct ipaddr *a = &r->addresses[i];
                size_t k = 0;
                while (k < gw->n_binds && (gw->binds[k]->port != l->l->port || gw->binds[k]->addr.len != ipaddr_len(a) ||
                                           memcmp(gw->binds[k]->addr.data, a->b, ipaddr_len(a)) != 0))
                        k++;
                if (k == gw->n_binds) {
                        Model__Bind *b = PB_NEW(tx, Model__Bind, model__bind);
                        b->addr.len = ipaddr_len(a);
                        b->addr.data = tx_alloc(tx, 16, 1);
                        memcpy(b->addr.data, a->b, b->addr.len);
                        b->port = l->l->port;
                        client_policy_put(tx, l->g, b);
                        gw->binds[gw->n_binds++] = b;
                }
                m->binds[m->n_binds++] = (uint32_t)k;
        }
}

static void listener_certs(struct pool_build *b, const struct tx_listener *l, Model__Listener *m)
{
        if (m->protocol == MODEL__LISTENER__PROTOCOL__HTTP || m->protocol == MODEL__LISTENER__PROTOCOL__TLS_PASSTHROUGH)
                return;
        m->tls = PB_NEW(b->tx, Model__Tls, model__tls);
        m->tls->certificates = TX_ARRAY(b->tx, char *, l->n_certs);
        for (size_t i = 0; i < l->n_certs; i++) {
                struct tx_cert *c = l->certs[i];
                m->tls->certificates[m->tls->n_certificates++] = pb_str(c->id);
                cert_needed(b, c);
        }
        const char *bad = tls_options_put(b->tx, &l->l->tls.options, m->tls);
        BUG_ON(bad); /* such a listener is not accepted */
        if (!l->trust)
                return;
        m->tls->client_trust = pb_str(l->trust->id);
        m->tls->client_mode = l->insecure ? MODEL__TLS__CLIENT_MODE__INSECURE_FALLBACK : MODEL__TLS__CLIENT_MODE__VALID_ONLY;
        trust_needed(b, l->trust);
}

static Model__Listener__Protocol listener_protocol(const struct tx_listener *l)
{
        if (l->protocol == TX_TLS)
                return strcmp(l->l->tls.mode, "Passthrough") == 0 ? MODEL__LISTENER__PROTOCOL__TLS_PASSTHROUGH
                                                                  : MODEL__LISTENER__PROTOCOL__TLS_TERMINATE;
        return l->protocol == TX_HTTPS ? MODEL__LISTENER__PROTOCOL__HTTPS : MODEL__LISTENER__PROTOCOL__HTTP;
}

/* A leg of a TLSRoute on this listener: where TLS ends here, a policy of the Service begins it anew. */
static Model__Leg *stream_leg(struct pool_build *b, const struct tx_gateway *g, const Model__Leg *from, bool ends)
{
        Model__Leg *l = PB_NEW(b->tx, Model__Leg, model__leg);
        *l = *from;
        struct tx_cluster *c = *l->cluster ? map_get(&b->tx->clusters, span_str(l->cluster)) : NULL;
        if (!c)
                return l;
        if (ends && c->policy_broken) {
                l->cluster = pb_str("");
                l->fail_status = 500;
                return l;
        }
        l->cluster = cluster_of(b, g, ends && c->over_tls ? c->over_tls->pb->id : l->cluster);
        return l;
}

static int attachment_cmp(const void *pa, const void *pb)
{
        const struct tx_attachment *a = *(struct tx_attachment *const *)pa, *b = *(struct tx_attachment *const *)pb;
        return object_age_cmp(&a->route->route->o, &b->route->route->o);
}

/* One per TLSRoute, the older ones first: of two with one name the first is served. */
static void stream_routes(struct pool_build *b, const struct tx_gateway *g, struct tx_listener *l, Model__Listener *m)
{
        struct tx *tx = b->tx;
        m->stream_routes = TX_ARRAY(tx, Model__StreamRoute *, l->attached.n);
        if (l->attached.n)
                qsort(l->attached.v, l->attached.n, sizeof *l->attached.v, attachment_cmp);
        for (size_t i = 0; i < l->attached.n; i++) {
                const struct tx_attachment *a = l->attached.v[i];
                const struct tx_rule *rule = &a->route->rules[0];
                if (a->route->n_rules == 0 || rule->dropped)
                        continue;
                Model__StreamRoute *s = PB_NEW(tx, Model__StreamRoute, model__stream_route);
                const Model__Forward *f = rule->pb->forward;
                s->sni = (char **)(uintptr_t)a->hosts;
                s->n_sni = a->n_hosts;
                s->source = rule->pb->source;
                s->legs = TX_ARRAY(tx, Model__Leg *, f->n_legs);
                for (size_t k = 0; k < f->n_legs; k++)
                        s->legs[s->n_legs++] = stream_leg(b, g, f->legs[k], m->protocol == MODEL__LISTENER__PROTOCOL__TLS_TERMINATE);
                m->stream_routes[m->n_stream_routes++] = s;
        }
}

static void gateway_section(struct pool_build *b, struct tx_gateway *g)
{
        struct tx *tx = b->tx;
        const struct gateway *src = g->gw;
        Model__Section sec = MODEL__SECTION__INIT;
        Model__Gateway *gw = PB_NEW(tx, Model__Gateway, model__gateway);
        struct vec rules = { 0 };
        gw->id = pb_str(tx_printf(tx, "%s/%s", src->o.namespace, src->o.name));
        gw->source = source_of(tx, &src->o, "", 0, 0);
        gw->binds = TX_ARRAY(tx, Model__Bind *, g->n_listeners * g->report->n_addresses);
        gw->listeners = TX_ARRAY(tx, Model__Listener *, g->n_listeners);
        for (size_t i = 0; i < g->n_listeners; i++) {
                struct tx_listener *l = &g->listeners[i];
                if (!l->report->serves || l->report->direct)
                        continue;
                Model__Listener *m = PB_NEW(tx, Model__Listener, model__listener);
                m->id = pb_str(l->set ? tx_printf(tx, "%s/%s/%s/%s", gw->id, l->owner->namespace, l->owner->name, l->l->name)
                                      : tx_printf(tx, "%s/%s", gw->id, l->l->name));
                m->hostname = pb_str(l->l->hostname);
                m->isolation_rank = hostname_rank(l->l->hostname);
                m->protocol = listener_protocol(l);
                m->source = source_of(tx, l->owner, l->l->name, 0, 0);
                listener_binds(tx, l, gw, m);
                listener_certs(b, l, m);
                if (l->protocol == TX_TLS)
                        stream_routes(b, g, l, m);
                for (size_t k = 0; l->protocol != TX_TLS && k < l->attached.n; k++)
                        route_rules(b, gw, &rules, g, ((struct tx_attachment *)l->attached.v[k])->route);
                if (l->protocol != TX_TLS)
                        virtual_hosts(tx, l, m);
                gw->listeners[gw->n_listeners++] = m;
        }
        gw->rules = (Model__Rule **)rules.v;
        gw->n_rules = rules.n;
        sec.body_case = MODEL__SECTION__BODY_GATEWAY;
        sec.gateway = gw;
        section_add(tx, b->out->manifest, tx_printf(tx, "gateway/%s", gw->id), &sec, false);
        g->report->serves = true;
}

static int cluster_cmp(const void *pa, const void *pb)
{
        const struct tx_cluster *a = *(struct tx_cluster *const *)pa, *b = *(struct tx_cluster *const *)pb;
        int r = strcmp(a->namespace, b->namespace);
        return r ? r : strcmp(a->pb->id, b->pb->id);
}

static int set_cmp(const void *pa, const void *pb)
{
        const struct tx_cluster *a = *(struct tx_cluster *const *)pa, *b = *(struct tx_cluster *const *)pb;
        return strcmp(a->set->id, b->set->id);
}

/* clusters/NS and endpoints/NS.  Two clusters of different protocol on one Service port share one endpoint set. */
static void cluster_sections(struct pool_build *b)
{
        struct tx *tx = b->tx;
        struct vec *v = &b->clusters;
        if (v->n)
                qsort(v->v, v->n, sizeof *v->v, cluster_cmp);
        for (size_t i = 0; i < v->n;) {
                Model__ClusterList cl = MODEL__CLUSTER_LIST__INIT;
                Model__EndpointSetList el = MODEL__ENDPOINT_SET_LIST__INIT;
                const char *ns = ((struct tx_cluster *)v->v[i])->namespace;
                struct vec sets = { 0 };
                cl.clusters = TX_ARRAY(tx, Model__Cluster *, v->n - i);
                for (; i < v->n && strcmp(((struct tx_cluster *)v->v[i])->namespace, ns) == 0; i++) {
                        struct tx_cluster *c = v->v[i];
                        cl.clusters[cl.n_clusters++] = c->pb;
                        vec_add(tx, &sets, c);
                }
                qsort(sets.v, sets.n, sizeof *sets.v, set_cmp);
                el.sets = TX_ARRAY(tx, Model__EndpointSet *, sets.n);
                for (size_t k = 0; k < sets.n; k++) {
                        struct tx_cluster *c = sets.v[k];
                        if (el.n_sets && strcmp(el.sets[el.n_sets - 1]->id, c->set->id) == 0)
                                continue;
                        el.sets[el.n_sets++] = c->set;
                        endpoint_output_set(tx, &b->out->sets[b->out->n_sets++], c);
                }
                Model__Section s = MODEL__SECTION__INIT;
                s.body_case = MODEL__SECTION__BODY_CLUSTERS;
                s.clusters = &cl;
                section_add(tx, b->out->manifest, tx_printf(tx, "clusters/%s", ns), &s, false);
                s.body_case = MODEL__SECTION__BODY_ENDPOINT_SETS;
                s.endpoint_sets = &el;
                section_add(tx, b->out->manifest, tx_printf(tx, "endpoints/%s", ns), &s, false);
        }
}

static int cert_cmp(const void *pa, const void *pb)
{
        const struct tx_cert *a = *(struct tx_cert *const *)pa, *b = *(struct tx_cert *const *)pb;
        int r = strcmp(a->secret->o.namespace, b->secret->o.namespace);
        return r ? r : strcmp(a->secret->o.name, b->secret->o.name);
}

static Model__Certificate *certificate(struct tx *tx, const struct tx_cert *c)
{
        Model__Certificate *m = PB_NEW(tx, Model__Certificate, model__certificate);
        m->id = pb_str(c->id);
        m->key = pb_str(c->id);
        m->fingerprint = (ProtobufCBinaryData){ SHA256_BYTES, (uint8_t *)(uintptr_t)c->facts.fingerprint.b };
        m->chain_pem = (ProtobufCBinaryData){ c->chain.n, (uint8_t *)(uintptr_t)c->chain.p };
        m->ocsp_der = (ProtobufCBinaryData){ c->ocsp.n, (uint8_t *)(uintptr_t)c->ocsp.p };
        m->not_after = c->facts.not_after;
        m->names = (char **)(uintptr_t)c->facts.names;
        m->n_names = c->facts.n_names;
        m->source = source_of(tx, &c->secret->o, "", 0, 0);
        return m;
}

/* certs/NS and keys/NS; keys are secret: stored encrypted by the data planes, wiped on free. */
static void cert_sections(struct pool_build *b)
{
        struct tx *tx = b->tx;
        struct vec *v = &b->certs;
        if (v->n)
                qsort(v->v, v->n, sizeof *v->v, cert_cmp);
        for (size_t i = 0; i < v->n;) {
                Model__CertificateList cl = MODEL__CERTIFICATE_LIST__INIT;
                Model__KeyList kl = MODEL__KEY_LIST__INIT;
                const char *ns = ((struct tx_cert *)v->v[i])->secret->o.namespace;
                cl.certificates = TX_ARRAY(tx, Model__Certificate *, v->n - i);
                kl.keys = TX_ARRAY(tx, Model__Key *, v->n - i);
                for (; i < v->n && strcmp(((struct tx_cert *)v->v[i])->secret->o.namespace, ns) == 0; i++) {
                        const struct tx_cert *c = v->v[i];
                        Model__Key *k = PB_NEW(tx, Model__Key, model__key);
                        k->id = pb_str(c->id);
                        k->pem = (ProtobufCBinaryData){ c->key.n, (uint8_t *)(uintptr_t)c->key.p };
                        kl.keys[kl.n_keys++] = k;
                        cl.certificates[cl.n_certificates++] = certificate(tx, c);
                }
                Model__Section s = MODEL__SECTION__INIT;
                s.body_case = MODEL__SECTION__BODY_CERTIFICATES;
                s.certificates = &cl;
                section_add(tx, b->out->manifest, tx_printf(tx, "certs/%s", ns), &s, false);
                s.body_case = MODEL__SECTION__BODY_KEYS;
                s.keys = &kl;
                section_add(tx, b->out->manifest, tx_printf(tx, "keys/%s", ns), &s, true);
        }
}

static int trust_cmp(const void *pa, const void *pb)
{
        const struct tx_trust *a = *(struct tx_trust *const *)pa, *b = *(struct tx_trust *const *)pb;
        int r = strcmp(a->of->namespace, b->of->namespace);
        return r ? r : strcmp(a->id, b->id);
}

/* trust/NS: the CA bundles that clusters and listeners verify by. */
static void trust_sections(struct pool_build *b)
{
        struct tx *tx = b->tx;
        struct vec *v = &b->trusts;
        if (v->n)
                qsort(v->v, v->n, sizeof *v->v, trust_cmp);
        for (size_t i = 0; i < v->n;) {
                Model__TrustList tl = MODEL__TRUST_LIST__INIT;
                const char *ns = ((struct tx_trust *)v->v[i])->of->namespace;
                tl.trusts = TX_ARRAY(tx, Model__Trust *, v->n - i);
                for (; i < v->n && strcmp(((struct tx_trust *)v->v[i])->of->namespace, ns) == 0; i++) {
                        const struct tx_trust *t = v->v[i];
                        Model__Trust *m = PB_NEW(tx, Model__Trust, model__trust);
                        m->id = pb_str(t->id);
                        m->ca_pem = (ProtobufCBinaryData){ t->ca.n, (uint8_t *)(uintptr_t)t->ca.p };
                        m->crl_pem = (ProtobufCBinaryData){ t->crl.n, (uint8_t *)(uintptr_t)t->crl.p };
                        m->source = source_of(tx, t->of, "", 0, 0);
                        tl.trusts[tl.n_trusts++] = m;
                }
                Model__Section s = MODEL__SECTION__INIT;
                s.body_case = MODEL__SECTION__BODY_TRUSTS;
                s.trusts = &tl;
                section_add(tx, b->out->manifest, tx_printf(tx, "trust/%s", ns), &s, false);
        }
}

void translate_l7(struct tx *tx, struct pool_output *out, size_t pool)
{
        struct pool_build b = { .tx = tx, .out = out, .stamp = pool + 1 };
        out->sets = TX_ARRAY(tx, struct endpoint_output, tx->clusters.n);
        for (size_t i = 0; i < tx->n_gateways; i++) {
                struct tx_gateway *g = &tx->gateways[i];
                bool serves = false;
                for (size_t k = 0; k < g->n_listeners; k++)
                        serves |= g->listeners[k].report->serves;
                if (g->pool == pool && g->accepted && !g->quarantined && serves && g->report->n_addresses)
                        gateway_section(&b, g);
        }
        cluster_sections(&b);
        cert_sections(&b);
        trust_sections(&b);
}
