/* agent/core/translate_traffic.c - Gatehouse's own policies: BackendPolicies (how a Service's endpoints are used) and
 * ClientPolicies (whom a port believes).  Layer: agent/core, pure.
 *
 * Which one decides: a policy of one section beats one of the whole target; of two for the same, the older one, then the
 * first by name, and the other is Conflicted (GEP-713).  A BackendPolicy acts on every cluster of its Service port, whoever
 * refers to it: clusters stay one per (Service, port, protocol, TLS).  A ClientPolicy acts before SNI or Host is known: on
 * the whole port of the listener it names. */
#include "lib/base.h"
#include "agent/core/translate_priv.h"

#define PANIC_PERCENT 50 /* the schema's default, for policies without a loadBalancer */

static void traffic_add(struct tx *tx, struct vec *v, enum object_kind kind)
{
        size_t n;
        const struct object *const *all = store_all(tx->s, kind, &n);
        for (size_t i = 0; i < n; i++) {
                struct tx_traffic *t = TX_NEW(tx, struct tx_traffic);
                t->o = all[i];
                vec_add(tx, v, t);
        }
}

static int traffic_cmp(const void *a, const void *b)
{
        return object_age_cmp((*(struct tx_traffic *const *)a)->o, (*(struct tx_traffic *const *)b)->o);
}

static void refuse(struct tx_traffic *t, const char *reason, const char *why)
{
        if (!t->reason) {
                t->reason = reason;
                t->why = why;
        }
}

/* ---- BackendPolicy */

static void service_target(struct tx *tx, struct tx_traffic *t, const struct policy_target *ref)
{
        const char *key = tx_printf(tx, "%s/%s", t->o->namespace, ref->name);
        struct tx_traffic_target *at = TX_NEW(tx, struct tx_traffic_target), *last = map_get(&tx->traffic_targets, span_str(key));
        *at = (struct tx_traffic_target){ .policy = t, .section = ref->section_name };
        if (!last)
                map_set(tx, &tx->traffic_targets, key, at);
        for (; last; last = last->next) {
                if (strcmp(last->section, at->section) == 0)
                        refuse(t, "Conflicted", tx_printf(tx, "BackendPolicy %s is older and has the same target Service %s", last->policy->o->name, ref->name));
                if (!last->next) {
                        last->next = at;
                        return;
                }
        }
}

void translate_backend_policies(struct tx *tx)
{
        traffic_add(tx, &tx->traffic, OBJECT_BACKEND_POLICY);
        if (tx->traffic.n)
                qsort(tx->traffic.v, tx->traffic.n, sizeof *tx->traffic.v, traffic_cmp);
        for (size_t i = 0; i < tx->traffic.n; i++) {
                struct tx_traffic *t = tx->traffic.v[i];
                const struct backend_policy *p = (const struct backend_policy *)t->o;
                for (size_t k = 0; k < p->n_targets; k++)
                        service_target(tx, t, &p->targets[k]);
        }
}

const struct backend_policy *backend_policy_of(struct tx *tx, const struct service *s, const struct service_port *port, struct tx_uses *uses)
{
        const struct object *of_port = NULL, *of_service = NULL;
        if (tx->traffic_targets.n == 0)
                return NULL;
        const char *key = tx_printf(tx, "%s/%s", s->o.namespace, s->o.name);
        for (struct tx_traffic_target *t = map_get(&tx->traffic_targets, span_str(key)); t; t = t->next) {
                bool whole = *t->section == '\0';
                if (!whole && strcmp(t->section, port->name) != 0)
                        continue;
                vec_add(tx, &uses->traffic, t->policy);
                if (whole && !of_service)
                        of_service = t->policy->o;
                if (!whole && !of_port)
                        of_port = t->policy->o;
        }
        return (const struct backend_policy *)(of_port ? of_port : of_service);
}

static void balance_put(struct tx *tx, const struct backend_policy *p, Model__Cluster *c)
{
        static const Model__Cluster__LoadBalancer types[] = {
                [BALANCE_ROUND_ROBIN] = MODEL__CLUSTER__LOAD_BALANCER__ROUND_ROBIN,
                [BALANCE_LEAST_REQUEST] = MODEL__CLUSTER__LOAD_BALANCER__LEAST_REQUEST,
                [BALANCE_RANDOM] = MODEL__CLUSTER__LOAD_BALANCER__RANDOM,
                [BALANCE_RING_HASH] = MODEL__CLUSTER__LOAD_BALANCER__RING_HASH,
                [BALANCE_MAGLEV] = MODEL__CLUSTER__LOAD_BALANCER__MAGLEV,
        };
        static const Model__HashPolicy__Kind kinds[] = {
                [HASH_SOURCE] = MODEL__HASH_POLICY__KIND__SOURCE,
                [HASH_HEADER] = MODEL__HASH_POLICY__KIND__HEADER,
                [HASH_COOKIE] = MODEL__HASH_POLICY__KIND__COOKIE,
                [HASH_PATH] = MODEL__HASH_POLICY__KIND__PATH,
        };
        c->lb = types[p->balance.type];
        c->slow_start_ms = p->balance.slow_start_ms;
        if (!p->balance.has_hash)
                return;
        c->hash = PB_NEW(tx, Model__HashPolicy, model__hash_policy);
        c->hash->kind = kinds[p->balance.hash];
        c->hash->name = pb_str(p->balance.hash_name);
}

static const char *statuses_text(struct tx *tx, const struct strings *s)
{
        const char *text = s->n ? s->v[0] : "200-399";
        for (size_t i = 1; i < s->n; i++)
                text = tx_printf(tx, "%s,%s", text, s->v[i]);
        return text;
}

static Model__HealthCheck *check_build(struct tx *tx, const struct backend_policy *p, bool tls)
{
        Model__HealthCheck *h = PB_NEW(tx, Model__HealthCheck, model__health_check);
        h->interval_ms = p->check.interval_ms;
        h->timeout_ms = p->check.timeout_ms;
        h->rise = p->check.healthy;
        h->fall = p->check.unhealthy;
        h->port = p->check.port;
        h->host = pb_str(p->check.host);
        switch (p->check.type) {
        case CHECK_TCP:
                h->type = MODEL__HEALTH_CHECK_TYPE__HC_TCP;
                break;
        case CHECK_GRPC:
                h->type = MODEL__HEALTH_CHECK_TYPE__HC_GRPC;
                h->path = pb_str(p->check.service);
                break;
        case CHECK_HTTP: /* as the requests: over TLS where they go over TLS */
                h->type = tls ? MODEL__HEALTH_CHECK_TYPE__HC_HTTPS : MODEL__HEALTH_CHECK_TYPE__HC_HTTP;
                h->path = pb_str(*p->check.path ? p->check.path : "/");
                h->expect = pb_str(statuses_text(tx, &p->check.statuses));
                break;
        }
        return h;
}

void backend_policy_pool(struct tx *tx, const struct backend_policy *p, bool udp, Model__Pool *m)
{
        if (p->has_balance) {
                m->slow_start_ms = p->balance.slow_start_ms;
                m->panic_pct = p->balance.panic_percent;
        }
        if (p->has_check && p->check.type == CHECK_TCP && (!udp || p->check.port)) /* a UDP port answers no SYN */
                m->health_check = check_build(tx, p, false);
}

void backend_policy_put(struct tx *tx, const struct backend_policy *p, Model__Cluster *c)
{
        c->panic_pct = p->has_balance ? p->balance.panic_percent : PANIC_PERCENT;
        if (p->has_balance)
                balance_put(tx, p, c);
        if (p->has_check)
                c->health_check = check_build(tx, p, c->tls != NULL);
        if (p->has_outlier) {
                c->outlier = PB_NEW(tx, Model__Outlier, model__outlier);
                c->outlier->consecutive_5xx = p->outlier.errors;
                c->outlier->consecutive_gateway = p->outlier.gateway_errors;
                c->outlier->consecutive_local = p->outlier.local_failures;
                c->outlier->eject_ms = p->outlier.base_ejection_ms;
                c->outlier->max_eject_pct = p->outlier.max_ejection_percent;
        }
        if (p->has_breaker) {
                c->breaker = PB_NEW(tx, Model__Breaker, model__breaker);
                c->breaker->max_connections = p->breaker.connections;
                c->breaker->max_pending = p->breaker.pending;
                c->breaker->max_requests = p->breaker.requests;
                c->breaker->max_retries = p->breaker.retries;
                c->breaker->queue_timeout_ms = p->breaker.queue_timeout_ms;
        }
        if (*p->proxy_protocol)
                c->proxy_protocol = strcmp(p->proxy_protocol, "V1") == 0 ? MODEL__PROXY_PROTOCOL__PROXY_V1 : MODEL__PROXY_PROTOCOL__PROXY_V2;
        c->connect_timeout_ms = p->connect_timeout_ms;
        c->max_requests_per_connection = p->max_requests_per_connection;
}

/* ---- ClientPolicy */

static bool same_policy(const struct tx_client_use *a, const struct tx_client_use *b)
{
        return a->port == b->port && a->section == b->section;
}

/* One more port (0: all of them) of g; an older policy may have it already. */
static void port_add(struct tx *tx, struct tx_gateway *g, struct tx_client_use *u)
{
        for (size_t i = 0; i < g->clients.n; i++) {
                const struct tx_client_use *old = g->clients.v[i];
                if (!same_policy(old, u) || old->policy == u->policy)
                        continue;
                refuse(u->policy, "Conflicted", u->port ? tx_printf(tx, "ClientPolicy %s/%s is older and acts on port %u of Gateway %s", old->policy->o->namespace,
                                                                    old->policy->o->name, u->port, g->gw->o.name)
                                                        : tx_printf(tx, "ClientPolicy %s/%s is older and has the same target Gateway %s", old->policy->o->namespace,
                                                                    old->policy->o->name, g->gw->o.name));
                return;
        }
        vec_add(tx, &g->clients, u);
}

static void gateway_target(struct tx *tx, struct tx_traffic *t, const struct policy_target *ref)
{
        struct tx_gateway *g = gateway_find(tx, t->o->namespace, ref->name);
        if (!g)
                return; /* another controller's, or nobody's */
        struct tx_traffic_target *at = TX_NEW(tx, struct tx_traffic_target);
        *at = (struct tx_traffic_target){ .policy = t, .section = ref->section_name, .gateway = g };
        vec_add(tx, &t->targets, at);
        uint16_t port = 0;
        for (size_t i = 0; *ref->section_name && i < g->n_listeners; i++)
                if (!g->listeners[i].set && strcmp(g->listeners[i].l->name, ref->section_name) == 0)
                        port = g->listeners[i].l->port;
        if (*ref->section_name && !port) {
                refuse(t, "TargetNotFound", tx_printf(tx, "Gateway %s has no listener %s", ref->name, ref->section_name));
                return;
        }
        struct tx_client_use *u = TX_NEW(tx, struct tx_client_use);
        *u = (struct tx_client_use){ .policy = t, .port = port, .section = *ref->section_name != '\0' };
        port_add(tx, g, u);
}

void translate_client_policies(struct tx *tx)
{
        struct vec all = { 0 };
        traffic_add(tx, &all, OBJECT_CLIENT_POLICY);
        if (all.n)
                qsort(all.v, all.n, sizeof *all.v, traffic_cmp);
        for (size_t i = 0; i < all.n; i++) {
                struct tx_traffic *t = all.v[i];
                const struct client_policy *p = (const struct client_policy *)t->o;
                for (size_t k = 0; k < p->n_targets; k++)
                        gateway_target(tx, t, &p->targets[k]);
                vec_add(tx, &tx->traffic, t);
        }
}

static Model__Prefix **prefixes(struct tx *tx, const struct strings *s)
{
        Model__Prefix **v = TX_ARRAY(tx, Model__Prefix *, s->n);
        for (size_t i = 0; i < s->n; i++) {
                struct ipprefix p;
                if (ipprefix_parse(span_str(s->v[i]), &p) < 0)
                        BUG_ON(true); /* the schema has looked */
                v[i] = PB_NEW(tx, Model__Prefix, model__prefix);
                v[i]->addr.len = ipaddr_len(&p.addr);
                v[i]->addr.data = tx_alloc(tx, 16, 1);
                memcpy(v[i]->addr.data, p.addr.b, v[i]->addr.len);
                v[i]->len = p.len;
        }
        return v;
}

/* The one that decides for this port of g: a listener's before the Gateway's; NULL = none. */
static const struct client_policy *client_policy_of(const struct tx_gateway *g, uint16_t port)
{
        const struct client_policy *p = NULL;
        for (size_t i = 0; i < g->clients.n; i++) {
                const struct tx_client_use *u = g->clients.v[i];
                if (u->section && u->port == port)
                        return (const struct client_policy *)u->policy->o;
                if (!u->section)
                        p = (const struct client_policy *)u->policy->o;
        }
        return p;
}

static void acl_add(struct tx *tx, Model__L4 *l4, const char *id, const struct client_policy *p)
{
        for (size_t i = 0; i < l4->n_acls; i++)
                if (strcmp(l4->acls[i]->id, id) == 0)
                        return;
        Model__Acl *m = l4->acls[l4->n_acls++] = PB_NEW(tx, Model__Acl, model__acl);
        m->id = pb_str(id);
        m->source = source_of(tx, &p->o, "", 0, 0);
        m->allow = prefixes(tx, &p->sources.allow);
        m->n_allow = p->sources.allow.n;
        m->deny = prefixes(tx, &p->sources.deny);
        m->n_deny = p->sources.deny.n;
}

void client_policy_guard(struct tx *tx, const struct tx_gateway *g, uint16_t port, Model__L4 *l4, Model__L4Listener *l)
{
        const struct client_policy *p = client_policy_of(g, port);
        if (!p)
                return;
        l->max_connections_per_s = p->rates.connections;
        l->packets_per_s = p->rates.packets;
        l->source_connections_per_s = p->rates.source_connections;
        l->source_packets_per_s = p->rates.source_packets;
        if (p->sources.allow.n == 0 && p->sources.deny.n == 0)
                return;
        const char *id = tx_printf(tx, "%s/%s", p->o.namespace, p->o.name);
        l->acl = pb_str(id);
        acl_add(tx, l4, id, p);
}

void client_policy_put(struct tx *tx, const struct tx_gateway *g, Model__Bind *b)
{
        const struct client_policy *p = client_policy_of(g, (uint16_t)b->port);
        if (!p)
                return;
        if (p->has_proxy) {
                b->proxy_protocol = p->proxy.optional ? MODEL__PROXY_PROTOCOL__PROXY_OPTIONAL : MODEL__PROXY_PROTOCOL__PROXY_REQUIRED;
                b->proxy_trusted = prefixes(tx, &p->proxy.trusted);
                b->n_proxy_trusted = p->proxy.trusted.n;
        }
        b->forwarded_trusted = prefixes(tx, &p->forwarded_trusted);
        b->n_forwarded_trusted = p->forwarded_trusted.n;
}

/* ---- statuses */

static void acts_on(struct tx *tx, struct tx_traffic *t, struct tx_gateway *g)
{
        for (size_t i = 0; i < t->targets.n; i++)
                if (((struct tx_traffic_target *)t->targets.v[i])->gateway == g)
                        return;
        struct tx_traffic_target *at = TX_NEW(tx, struct tx_traffic_target);
        *at = (struct tx_traffic_target){ .policy = t, .section = "", .gateway = g };
        vec_add(tx, &t->targets, at);
}

static void gateway_uses(struct tx *tx, struct tx_gateway *g)
{
        for (size_t i = 0; i < g->n_listeners; i++)
                for (size_t k = 0; k < g->listeners[i].attached.n; k++) {
                        const struct tx_route *r = ((struct tx_attachment *)g->listeners[i].attached.v[k])->route;
                        for (size_t n = 0; n < r->n_rules; n++)
                                for (size_t u = 0; u < r->rules[n].uses.traffic.n; u++)
                                        acts_on(tx, r->rules[n].uses.traffic.v[u], g);
                }
}

void report_traffic(struct tx *tx, struct vec *reports)
{
        for (size_t i = 0; i < tx->n_gateways && tx->traffic.n; i++)
                gateway_uses(tx, &tx->gateways[i]);
        for (size_t i = 0; i < tx->traffic.n; i++) {
                const struct tx_traffic *t = tx->traffic.v[i];
                if (t->targets.n == 0)
                        continue; /* acts on nothing of ours */
                struct route_report *r = TX_NEW(tx, struct route_report);
                r->id = report_id_of(tx, t->o);
                r->parents = TX_ARRAY(tx, struct route_parent_report, t->targets.n);
                for (size_t k = 0; k < t->targets.n; k++) {
                        const struct tx_traffic_target *at = t->targets.v[k];
                        struct route_parent_report *p = &r->parents[r->n_parents++];
                        p->parent = (struct parent_ref){ .group = GATEWAY_API_GROUP, .kind = "Gateway", .namespace = tx_dup(tx, at->gateway->gw->o.namespace),
                                                         .name = tx_dup(tx, at->gateway->gw->o.name), .section_name = tx_dup(tx, at->section) };
                        condition_set(p->conditions, &p->n_conditions, "Accepted", !t->reason, t->reason ? t->reason : "Accepted", t->reason ? t->why : "");
                }
                vec_add(tx, reports, r);
        }
}
