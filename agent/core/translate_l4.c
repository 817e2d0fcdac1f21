/* agent/core/translate_l4.c - the front tier's manifest: VIPs, one listener per VIP and port with a leg to the pool that
 * serves it, every configured pool with its health check, and the shards as endpoint sets; and for TCP and UDP listeners legs
 * straight to Services, each with the endpoint set of its port.  Layer: agent/core, pure.
 * Pools are there before anything refers to them, so that shards are probed and known when their first VIP comes. */
#include "lib/base.h"
#include "agent/core/translate_priv.h"

#define PROBE_INTERVAL_MS 200 /* a dead shard is out after two: new connections stop failing well within a second */
#define PROBE_TIMEOUT_MS 200
#define PROBE_RISE 1
#define PROBE_FALL 2

struct l4_entry { struct ipaddr addr; uint16_t port; const struct tx_gateway *g; const struct tx_listener *l; };

/* Of Gateways that share an address and port the oldest gives its name to the object. */
static int entry_cmp(const void *pa, const void *pb)
{
        const struct l4_entry *a = *(struct l4_entry *const *)pa, *b = *(struct l4_entry *const *)pb;
        int r = ipaddr_cmp(&a->addr, &b->addr);
        if (r)
                return r;
        if (a->port != b->port)
                return a->port < b->port ? -1 : 1;
        if (a->l->report->udp != b->l->report->udp)
                return a->l->report->udp ? 1 : -1;
        r = object_age_cmp(&a->g->gw->o, &b->g->gw->o);
        return r ? r : strcmp(a->l->l->name, b->l->l->name);
}

static struct vec entries_of(struct tx *tx)
{
        struct vec v = { 0 };
        for (size_t i = 0; i < tx->n_gateways; i++) {
                const struct tx_gateway *g = &tx->gateways[i];
                for (size_t k = 0; g->report->serves && k < g->n_listeners; k++)
                        for (size_t n = 0; g->listeners[k].report->serves && n < g->report->n_addresses; n++) {
                                struct l4_entry *e = TX_NEW(tx, struct l4_entry);
                                *e = (struct l4_entry){ g->report->addresses[n], g->listeners[k].l->port, g, &g->listeners[k] };
                                vec_add(tx, &v, e);
                        }
        }
        if (v.n)
                qsort(v.v, v.n, sizeof *v.v, entry_cmp);
        return v;
}

static ProtobufCBinaryData addr_bytes(struct tx *tx, const struct ipaddr *a)
{
        uint8_t *p = tx_alloc(tx, 16, 1);
        memcpy(p, a->b, ipaddr_len(a));
        return (ProtobufCBinaryData){ ipaddr_len(a), p };
}

static const char *pool_id(struct tx *tx, const struct pool_conf *p) { return tx_printf(tx, "shards/%s", p->name); }

/* ---- straight to endpoints */

/* Of several routes on one listener the oldest has it; the others are attached and wait (Gateway API: TCPRoute). */
static const struct tx_route *oldest_route(const struct tx_listener *l)
{
        const struct tx_route *best = NULL;
        for (size_t i = 0; i < l->attached.n; i++) {
                const struct tx_route *r = ((struct tx_attachment *)l->attached.v[i])->route;
                if (!best || object_age_cmp(&r->route->o, &best->route->o) < 0)
                        best = r;
        }
        return best;
}

/* The endpoint set of a Service port, made when a route first needs it; that route answers for it. */
static struct tx_cluster *direct_set(struct tx *tx, struct vec *order, const struct tx_l4_leg *leg, Model__Source *source)
{
        bool udp = strcmp(leg->p->protocol, "UDP") == 0;
        const char *id = tx_printf(tx, "%s/%s:%u%s", leg->s->o.namespace, leg->s->o.name, leg->p->port, udp ? "/udp" : "");
        struct tx_cluster *c = map_get(&tx->direct, span_str(id));
        if (c)
                return c;
        c = TX_NEW(tx, struct tx_cluster);
        c->set = endpoint_set_build(tx, leg->s->o.namespace, leg->s->o.name, leg->p);
        c->set->source = source_of(tx, &leg->s->o, "", 0, 0); /* as the fast path builds it: equal content, equal sha */
        c->namespace = leg->s->o.namespace;
        c->service = leg->s->o.name;
        c->port = leg->p->port;
        c->udp = udp;
        c->policy = leg->policy;
        endpoint_set_stamp(tx, c);
        c->set->source = source; /* refused (no way there), the route goes, not the Service with all that use it */
        map_set(tx, &tx->direct, id, c);
        vec_add(tx, order, c);
        return c;
}

static Model__L4Leg *leg_add(struct tx *tx, Model__L4Distribution *d, Model__L4Leg__Verdict verdict, uint32_t weight)
{
        Model__L4Leg *leg = d->legs[d->n_legs++] = PB_NEW(tx, Model__L4Leg, model__l4_leg);
        leg->verdict = verdict;
        leg->weight = weight;
        return leg;
}

static void direct_legs(struct tx *tx, struct vec *direct, const struct l4_entry *e, Model__L4Distribution *d)
{
        const struct tx_route *r = oldest_route(e->l);
        const struct tx_rule *rule = r && r->n_rules && !r->rules[0].dropped ? &r->rules[0] : NULL;
        d->legs = TX_ARRAY(tx, Model__L4Leg *, (rule ? rule->n_legs : 0) + 1);
        if (rule)
                d->source = source_of(tx, &r->route->o, rule->r->name, rule->index, 0);
        for (size_t i = 0; rule && i < rule->n_legs; i++) {
                const struct tx_l4_leg *leg = &rule->legs[i];
                if (leg->weight == 0)
                        continue;
                if (leg->s)
                        leg_add(tx, d, MODEL__L4_LEG__VERDICT__FORWARD, leg->weight)->pool = direct_set(tx, direct, leg, d->source)->set->id;
                else
                        leg_add(tx, d, MODEL__L4_LEG__VERDICT__REJECT, leg->weight);
        }
        if (d->n_legs == 0) /* nobody is to be served, or nobody said whom: told, not ignored */
                leg_add(tx, d, MODEL__L4_LEG__VERDICT__REJECT, 1);
}

static Model__L4Listener__Forward forward_to(const struct pool_conf *p)
{
        static const Model__L4Listener__Forward by[] = { [POOL_ON_LINK] = MODEL__L4_LISTENER__FORWARD__L2,
                                                         [POOL_IPIP] = MODEL__L4_LISTENER__FORWARD__IPIP,
                                                         [POOL_GUE] = MODEL__L4_LISTENER__FORWARD__GUE };
        return by[p->tunnel];
}

static void listener_add(struct tx *tx, Model__L4 *l4, struct vec *direct, const struct l4_entry *e, const char *vip)
{
        const struct object *o = e->l->owner;
        const char *proto = e->l->report->udp ? "udp" : "tcp";
        Model__L4Listener *l = PB_NEW(tx, Model__L4Listener, model__l4_listener);
        Model__L4Distribution *d = PB_NEW(tx, Model__L4Distribution, model__l4_distribution);
        l->id = pb_str(tx_printf(tx, e->addr.af == 6 ? "[%s]:%u/%s" : "%s:%u/%s", vip, e->port, proto));
        l->vip = pb_str(vip);
        l->port_lo = l->port_hi = e->port;
        l->protocol = e->l->report->udp ? MODEL__L4_PROTOCOL__L4_UDP : MODEL__L4_PROTOCOL__L4_TCP;
        l->target = e->l->report->direct ? MODEL__L4_LISTENER__TARGET__ENDPOINTS : MODEL__L4_LISTENER__TARGET__SHARDS;
        l->forward = e->l->report->direct ? MODEL__L4_LISTENER__FORWARD__FULL_NAT : forward_to(&tx->conf->pools[e->g->pool]);
        l->distribution = l->id;
        client_policy_guard(tx, e->g, e->port, l4, l);
        l->source = source_of(tx, o, e->l->l->name, 0, 0);
        d->id = l->id;
        d->source = l->source;
        if (e->l->report->direct) {
                direct_legs(tx, direct, e, d);
        } else {
                d->legs = TX_ARRAY(tx, Model__L4Leg *, 1);
                leg_add(tx, d, MODEL__L4_LEG__VERDICT__FORWARD, 1)->pool = pb_str(pool_id(tx, &tx->conf->pools[e->g->pool]));
        }
        l4->listeners[l4->n_listeners++] = l;
        l4->distributions[l4->n_distributions++] = d;
}

static void vip_add(struct tx *tx, Model__L4 *l4, const struct l4_entry *e, const char *id)
{
        Model__Vip *v = PB_NEW(tx, Model__Vip, model__vip);
        v->id = pb_str(id);
        v->addr = addr_bytes(tx, &e->addr);
        v->origin = MODEL__VIP__ORIGIN__GATEWAY;
        v->source = source_of(tx, &e->g->gw->o, "", 0, 0);
        l4->vips[l4->n_vips++] = v;
}

static int endpoint_cmp(const void *pa, const void *pb)
{
        const Model__Endpoint *a = *(Model__Endpoint *const *)pa, *b = *(Model__Endpoint *const *)pb;
        int r = strcmp(a->name, b->name);
        return r ? r : (int)a->addr.len - (int)b->addr.len;
}

static Model__Endpoint *endpoint_at(const Model__EndpointSet *set, const struct ipaddr *a)
{
        for (size_t i = 0; i < set->n_endpoints; i++)
                if (set->endpoints[i]->addr.len == ipaddr_len(a) && memcmp(set->endpoints[i]->addr.data, a->b, ipaddr_len(a)) == 0)
                        return set->endpoints[i];
        return NULL;
}

static void shard_endpoints(struct tx *tx, const struct pool_conf *p, Model__EndpointSet *set)
{
        set->endpoints = TX_ARRAY(tx, Model__Endpoint *, p->n_shards * 2);
        for (size_t i = 0; i < p->n_shards; i++)
                for (size_t f = 0; f < 2; f++) {
                        const struct ipaddr *a = f ? &p->shards[i].addr6 : &p->shards[i].addr4;
                        Model__Endpoint *known = a->af && p->tunnel != POOL_ON_LINK ? endpoint_at(set, a) : NULL;
                        if (known) { /* shards beside one l4lb are one endpoint with their weight */
                                known->weight++;
                                continue;
                        }
                        if (a->af == 0)
                                continue;
                        Model__Endpoint *e = PB_NEW(tx, Model__Endpoint, model__endpoint);
                        e->addr = addr_bytes(tx, a);
                        e->name = pb_str(p->shards[i].name);
                        e->weight = p->tunnel != POOL_ON_LINK;
                        set->endpoints[set->n_endpoints++] = e;
                }
        if (set->n_endpoints)
                qsort(set->endpoints, set->n_endpoints, sizeof(Model__Endpoint *), endpoint_cmp);
}

static int pool_cmp(const void *pa, const void *pb)
{
        return strcmp((*(Model__Pool *const *)pa)->id, (*(Model__Pool *const *)pb)->id);
}

static int output_cmp(const void *pa, const void *pb)
{
        return strcmp(((const struct endpoint_output *)pa)->id, ((const struct endpoint_output *)pb)->id);
}

static int set_cmp(const void *pa, const void *pb)
{
        return strcmp((*(Model__EndpointSet *const *)pa)->id, (*(Model__EndpointSet *const *)pb)->id);
}

static int direct_cmp(const void *pa, const void *pb)
{
        const struct tx_cluster *a = *(struct tx_cluster *const *)pa, *b = *(struct tx_cluster *const *)pb;
        int r = strcmp(a->namespace, b->namespace);
        return r ? r : strcmp(a->set->id, b->set->id);
}

/* Pools of Services, one endpoints section per namespace, and what the fast path follows. */
static void direct_add(struct tx *tx, Model__L4 *l4, struct vec *v)
{
        struct translation *t = tx->t;
        if (v->n)
                qsort(v->v, v->n, sizeof *v->v, direct_cmp);
        t->l4_sets.pool = "";
        t->l4_sets.sets = TX_ARRAY(tx, struct endpoint_output, v->n);
        for (size_t i = 0; i < v->n;) {
                Model__EndpointSetList sets = MODEL__ENDPOINT_SET_LIST__INIT;
                const char *ns = ((struct tx_cluster *)v->v[i])->namespace;
                sets.sets = TX_ARRAY(tx, Model__EndpointSet *, v->n - i);
                for (; i < v->n && strcmp(((struct tx_cluster *)v->v[i])->namespace, ns) == 0; i++) {
                        struct tx_cluster *c = v->v[i];
                        Model__Pool *m = PB_NEW(tx, Model__Pool, model__pool);
                        m->id = m->endpoint_set = c->set->id;
                        m->algorithm = MODEL__POOL__ALGORITHM__MAGLEV;
                        m->source = c->set->source;
                        if (c->policy)
                                backend_policy_pool(tx, c->policy, c->udp, m);
                        l4->pools[l4->n_pools++] = m;
                        sets.sets[sets.n_sets++] = c->set;
                        endpoint_output_set(tx, &t->l4_sets.sets[t->l4_sets.n_sets++], c);
                }
                Model__Section s = MODEL__SECTION__INIT;
                s.body_case = MODEL__SECTION__BODY_ENDPOINT_SETS;
                s.endpoint_sets = &sets;
                section_add(tx, t->l4, tx_printf(tx, "endpoints/service/%s", ns), &s, false);
        }
        qsort(l4->pools, l4->n_pools, sizeof(Model__Pool *), pool_cmp);
        qsort(t->l4_sets.sets, t->l4_sets.n_sets, sizeof *t->l4_sets.sets, output_cmp);
}

static void pools_add(struct tx *tx, Model__L4 *l4, Model__EndpointSetList *sets, size_t n_direct)
{
        l4->pools = TX_ARRAY(tx, Model__Pool *, tx->conf->n_pools + n_direct);
        sets->sets = TX_ARRAY(tx, Model__EndpointSet *, tx->conf->n_pools);
        for (size_t i = 0; i < tx->conf->n_pools; i++) {
                const struct pool_conf *p = &tx->conf->pools[i];
                Model__Pool *m = PB_NEW(tx, Model__Pool, model__pool);
                m->id = pb_str(pool_id(tx, p));
                m->endpoint_set = m->id;
                m->algorithm = MODEL__POOL__ALGORITHM__MAGLEV;
                m->health_check = PB_NEW(tx, Model__HealthCheck, model__health_check);
                m->health_check->type = MODEL__HEALTH_CHECK_TYPE__HC_TCP;
                m->health_check->interval_ms = PROBE_INTERVAL_MS;
                m->health_check->timeout_ms = PROBE_TIMEOUT_MS;
                m->health_check->rise = PROBE_RISE;
                m->health_check->fall = PROBE_FALL;
                m->health_check->port = p->n_shards ? p->shards[0].health_port : 0; /* one per pool: agent/io/settings.c checks; through
                                                                                       a tunnel 0: the listener's */
                m->tunnel_source = pb_str(p->tunnel_source ? p->tunnel_source : "");
                l4->pools[l4->n_pools++] = m;
                Model__EndpointSet *set = PB_NEW(tx, Model__EndpointSet, model__endpoint_set);
                set->id = m->id;
                set->version = 1; /* shards come from the configuration: a change is a restart */
                shard_endpoints(tx, p, set);
                sets->sets[sets->n_sets++] = set;
        }
        qsort(sets->sets, sets->n_sets, sizeof(Model__EndpointSet *), set_cmp);
}

void translate_l4(struct tx *tx)
{
        Model__L4 l4 = MODEL__L4__INIT;
        Model__EndpointSetList sets = MODEL__ENDPOINT_SET_LIST__INIT;
        struct vec v = entries_of(tx);
        l4.vips = TX_ARRAY(tx, Model__Vip *, v.n);
        l4.listeners = TX_ARRAY(tx, Model__L4Listener *, v.n);
        l4.distributions = TX_ARRAY(tx, Model__L4Distribution *, v.n);
        l4.acls = TX_ARRAY(tx, Model__Acl *, v.n);
        const struct l4_entry *last = NULL;
        struct vec direct = { 0 };
        const char *vip = "";
        for (size_t i = 0; i < v.n; i++) {
                const struct l4_entry *e = v.v[i];
                if (!last || !ipaddr_eq(&last->addr, &e->addr)) {
                        char text[IPADDR_STR_MAX];
                        vip = tx_dup(tx, ipaddr_str(&e->addr, text));
                        vip_add(tx, &l4, e, vip);
                } else if (last->port == e->port && last->l->report->udp == e->l->report->udp) {
                        continue;
                }
                listener_add(tx, &l4, &direct, e, vip);
                last = e;
        }
        pools_add(tx, &l4, &sets, direct.n);
        direct_add(tx, &l4, &direct);
        Model__Section s = MODEL__SECTION__INIT;
        s.body_case = MODEL__SECTION__BODY_L4;
        s.l4 = &l4;
        section_add(tx, tx->t->l4, "l4", &s, false);
        s.body_case = MODEL__SECTION__BODY_ENDPOINT_SETS;
        s.endpoint_sets = &sets;
        section_add(tx, tx->t->l4, "endpoints/shards", &s, false);
}
