/* l4lb/core/tables_check.c - see tables_check.h.  Each knob of the l4 section is named here or honoured in tables.c. */
#include "lib/base.h"
#include "lib/control.pb-c.h"
#include "l4lb/core/flow.h"
#include "l4lb/core/rates.h"
#include "l4lb/core/tables_check.h"

#define SLOW_START_MAX_MS 3600000

static int check_vip(const Model__Vip *v, struct model_error *e)
{
        if (v->prefix_len != 0 && v->prefix_len != 8 * v->addr.len)
                return L4_REFUSE(e, v->source, "VIP %s: a prefix of addresses is not supported", v->id);
        if (v->advertise_profile[0])
                return L4_REFUSE(e, v->source, "VIP %s: advertisement (profile %s) is not supported", v->id,
                                 v->advertise_profile);
        if (v->withdraw_when_empty)
                return L4_REFUSE(e, v->source, "VIP %s: withdraw_when_empty is not supported", v->id);
        return 0;
}

static int check_listener(const Model__L4Listener *l, struct model_error *e)
{
        if (l->protocol != MODEL__L4_PROTOCOL__L4_TCP && l->protocol != MODEL__L4_PROTOCOL__L4_UDP)
                return L4_REFUSE(e, l->source, "listener %s: QUIC connection ids are not supported", l->id);
        bool shards = l->target == MODEL__L4_LISTENER__TARGET__SHARDS;
        if (shards && l->forward != MODEL__L4_LISTENER__FORWARD__L2 && l->forward != MODEL__L4_LISTENER__FORWARD__IPIP &&
            l->forward != MODEL__L4_LISTENER__FORWARD__GUE)
                return L4_REFUSE(e, l->source, "listener %s: shards are reached by layer 2, IPIP or GUE", l->id);
        if (!shards && l->forward != MODEL__L4_LISTENER__FORWARD__FULL_NAT)
                return L4_REFUSE(e, l->source, "listener %s: endpoints are reached by full NAT only", l->id);
        if (l->proxy_protocol != MODEL__PROXY_PROTOCOL__PROXY_OFF)
                return L4_REFUSE(e, l->source, "listener %s: PROXY protocol is not supported", l->id);
        if (l->affinity != MODEL__AFFINITY__AFFINITY_TUPLE && l->affinity != MODEL__AFFINITY__AFFINITY_SOURCE)
                return L4_REFUSE(e, l->source, "listener %s: this affinity is not supported", l->id);
        if (l->affinity_s)
                return L4_REFUSE(e, l->source,
                                 "listener %s: a limit on affinity is not supported: it is by hash and lasts", l->id);
        if (l->idle_s > FLOW_IDLE_MAX_S)
                return L4_LIMIT(e, l->source, "listener %s: idle_s %u is over %d", l->id, l->idle_s, FLOW_IDLE_MAX_S);
        if (l->max_connections)
                return L4_REFUSE(e, l->source, "listener %s: a limit on connections at a time is not supported", l->id);
        const uint32_t rates[] = { l->max_connections_per_s, l->packets_per_s, l->source_connections_per_s, l->source_packets_per_s };
        for (size_t i = 0; i < ARRAY_SIZE(rates); i++)
                if (rates[i] > RATE_MAX)
                        return L4_LIMIT(e, l->source, "listener %s: a rate of %u is over %d a second", l->id, rates[i], RATE_MAX);
        return 0;
}

static int check_distribution(const Model__L4Distribution *d, struct model_error *e)
{
        for (size_t i = 0; i < d->n_legs; i++)
                if (d->legs[i]->verdict > MODEL__L4_LEG__VERDICT__DROP)
                        return L4_REFUSE(e, d->source, "distribution %s: this verdict is not supported", d->id);
        return 0;
}

static int check_health(const Model__Pool *p, const Model__HealthCheck *h, struct model_error *e)
{
        if (h->type == MODEL__HEALTH_CHECK_TYPE__HC_NONE)
                return 0;
        if (h->type != MODEL__HEALTH_CHECK_TYPE__HC_TCP)
                return L4_REFUSE(e, p->source, "pool %s: only TCP health checks are supported", p->id);
        if (h->path[0] || h->host[0] || h->expect[0] || h->send.len || h->receive.len)
                return L4_REFUSE(e, p->source, "pool %s: a TCP health check has no path, host or payload", p->id);
        if (h->port > UINT16_MAX)
                return L4_FAIL(e, p->source, EINVAL, "pool %s: the health check's port is %u", p->id, h->port);
        return 0;
}

static int check_pool(const Model__Pool *p, struct model_error *e)
{
        if (p->outlier)
                return L4_REFUSE(e, p->source, "pool %s: outlier detection is not supported", p->id);
        if (p->algorithm != MODEL__POOL__ALGORITHM__MAGLEV)
                return L4_REFUSE(e, p->source, "pool %s: only the Maglev algorithm is supported", p->id);
        if (p->slow_start_ms > SLOW_START_MAX_MS)
                return L4_LIMIT(e, p->source, "pool %s: a slow start of %u ms is over %d", p->id, p->slow_start_ms, SLOW_START_MAX_MS);
        return p->health_check ? check_health(p, p->health_check, e) : 0;
}

int tables_check_endpoint(const Model__EndpointSet *set, const Model__Endpoint *e, uint8_t way,
                          struct model_error *reterr)
{
        if (way == WAY_NAT && (e->port == 0 || e->port > UINT16_MAX))
                return L4_FAIL(reterr, set->source, EINVAL, "endpoint set %s: %s has port %u: NAT needs one", set->id,
                               e->name, e->port);
        if (way == WAY_GUE && e->port > UINT16_MAX)
                return L4_FAIL(reterr, set->source, EINVAL, "endpoint set %s: %s has port %u", set->id, e->name, e->port);
        if ((way == WAY_LINK || way == WAY_IPIP) && e->port)
                return L4_REFUSE(reterr, set->source,
                                 "endpoint set %s: layer 2 forwarding and IPIP keep the port, but %s has port %u", set->id,
                                 e->name, e->port);
        if (e->priority)
                return L4_REFUSE(reterr, set->source, "endpoint set %s: priorities are not supported", set->id);
        return 0;
}

int tables_check(const struct model *m, struct model_error *e)
{
        const Model__L4 *l4 = m->l4;
        int r = 0;
        if (!l4)
                return 0;
        for (size_t i = 0; r == 0 && i < l4->n_vips; i++)
                r = check_vip(l4->vips[i], e);
        for (size_t i = 0; r == 0 && i < l4->n_listeners; i++)
                r = check_listener(l4->listeners[i], e);
        for (size_t i = 0; r == 0 && i < l4->n_distributions; i++)
                r = check_distribution(l4->distributions[i], e);
        for (size_t i = 0; r == 0 && i < l4->n_pools; i++)
                r = check_pool(l4->pools[i], e);
        for (size_t i = 0; r == 0 && i < l4->n_acls; i++)
                if (l4->acls[i]->n_allow + l4->acls[i]->n_deny > L4_MAX_ACL_PREFIXES)
                        r = L4_LIMIT(e, l4->acls[i]->source, "access list %s: more than %d prefixes", l4->acls[i]->id, L4_MAX_ACL_PREFIXES);
        if (r == 0 && l4->n_pod_routes)
                return L4_REFUSE(e, NULL, "pod routes are not supported");
        return r;
}
