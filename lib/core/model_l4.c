/* lib/core/model_l4.c - checks of the l4 section: every reference resolves, ports and addresses are real, and no two
 * listeners claim the same port of one VIP. */
#include "lib/base.h"
#include "lib/core/ipaddr.h"
#include "lib/core/model_check.h"

static int check_vip(struct model_check *c, const Model__Vip *v)
{
        int r = check_addr(c, v->source, "VIP address", v->addr);
        if (r < 0)
                return r;
        if (v->prefix_len > v->addr.len * 8)
                return check_fail(c, CHECK, v->source, "VIP %s: prefix of %u bits", v->id, v->prefix_len);
        return 0;
}

static int check_l4_listener(struct model_check *c, const Model__L4Listener *l)
{
        int r = check_unique(c, l->source, &c->listener_ids, "l4 listener", l->id);
        if (r == 0)
                r = check_ref(c, l->source, &c->m->vip_by_id, "VIP", l->vip, true);
        if (r == 0)
                r = check_ref(c, l->source, &c->m->distribution_by_id, "distribution", l->distribution, true);
        if (r == 0)
                r = check_ref(c, l->source, &c->m->acl_by_id, "ACL", l->acl, false);
        if (r < 0)
                return r;
        bool any = l->port_lo == 0 && l->port_hi == 0;
        if (!any && (l->port_lo == 0 || l->port_lo > l->port_hi || l->port_hi > UINT16_MAX))
                return check_fail(c, CHECK, l->source, "port range %u-%u is not valid", l->port_lo, l->port_hi);
        return 0;
}

static unsigned transport_of(const Model__L4Listener *l)
{
        return l->protocol == MODEL__L4_PROTOCOL__L4_TCP ? 6 : 17;
}

static int listener_cmp(const void *a, const void *b)
{
        const Model__L4Listener *x = *(Model__L4Listener *const *)a, *y = *(Model__L4Listener *const *)b;
        int r = strcmp(x->vip, y->vip);
        if (r)
                return r;
        if (transport_of(x) != transport_of(y))
                return transport_of(x) < transport_of(y) ? -1 : 1;
        if (x->port_lo != y->port_lo)
                return x->port_lo < y->port_lo ? -1 : 1;
        return strcmp(x->id, y->id);
}

/* Ranges of one (VIP, transport) must not overlap; "any port" (0) may stand behind specific ones, once. */
static int check_overlaps(struct model_check *c, const Model__L4 *l4)
{
        Model__L4Listener **s = arena_dup(c->scratch, l4->listeners, l4->n_listeners * sizeof *s);
        if (!s)
                return check_oom(c);
        if (l4->n_listeners)
                qsort(s, l4->n_listeners, sizeof(Model__L4Listener *), listener_cmp);
        for (size_t i = 1; i < l4->n_listeners; i++) {
                const Model__L4Listener *a = s[i - 1], *b = s[i];
                if (strcmp(a->vip, b->vip) != 0 || transport_of(a) != transport_of(b))
                        continue;
                if (b->port_lo <= a->port_hi || (a->port_lo == 0 && b->port_lo == 0))
                        return check_fail(c, CHECK, b->source, "listeners %s and %s claim the same ports of %s", a->id,
                                          b->id, a->vip);
        }
        return 0;
}

static int check_distribution(struct model_check *c, const Model__L4Distribution *d)
{
        int r = check_limit(c, d->source, "legs", d->n_legs, MODEL_MAX_L4_LEGS);
        uint64_t sum = 0;
        for (size_t i = 0; r == 0 && i < d->n_legs; i++) {
                const Model__L4Leg *leg = d->legs[i];
                bool forward = leg->verdict == MODEL__L4_LEG__VERDICT__FORWARD;
                sum += leg->weight;
                if (!forward && leg->pool[0])
                        return check_fail(c, CHECK, d->source, "%s: a leg that does not forward names a pool", d->id);
                r = check_ref(c, d->source, &c->m->pool_by_id, "pool", leg->pool, forward);
        }
        return r < 0 ? r : check_weights(c, d->source, sum);
}

static int check_pool(struct model_check *c, const Model__Pool *p)
{
        int r = check_ref(c, p->source, &c->m->endpoint_set_by_id, "endpoint set", p->endpoint_set, true);
        if (r == 0)
                r = check_health(c, p->source, p->health_check);
        if (r == 0)
                r = check_outlier(c, p->source, p->outlier);
        if (r < 0)
                return r;
        struct ipaddr a;
        if (p->tunnel_source[0] && ipaddr_parse(span_str(p->tunnel_source), &a) < 0)
                return check_fail(c, CHECK, p->source, "%s: tunnel_source is no address", p->id);
        if (p->panic_pct > 100)
                return check_fail(c, CHECK, p->source, "%s: panic_pct is over 100", p->id);
        return 0;
}

static int check_l4_routes(struct model_check *c, const Model__L4 *l4)
{
        int r = 0;
        for (size_t i = 0; r == 0 && i < l4->n_pod_routes; i++) {
                const Model__PodRoute *p = l4->pod_routes[i];
                if (!p->prefix)
                        return check_fail(c, CHECK, NULL, "a pod route has no prefix");
                r = check_prefixes(c, NULL, &p->prefix, 1);
                if (r == 0)
                        r = check_addr(c, NULL, "next hop", p->next_hop);
        }
        for (size_t i = 0; r == 0 && i < l4->n_acls; i++) {
                const Model__Acl *a = l4->acls[i];
                r = check_prefixes(c, a->source, a->allow, a->n_allow);
                if (r == 0)
                        r = check_prefixes(c, a->source, a->deny, a->n_deny);
        }
        return r;
}

int check_l4(struct model_check *c, const Model__L4 *l4)
{
        int r = check_limit(c, NULL, "VIPs", l4->n_vips, MODEL_MAX_VIPS);
        if (r == 0)
                r = check_limit(c, NULL, "l4 listeners", l4->n_listeners, MODEL_MAX_L4_LISTENERS);
        for (size_t i = 0; r == 0 && i < l4->n_vips; i++)
                r = check_vip(c, l4->vips[i]);
        for (size_t i = 0; r == 0 && i < l4->n_listeners; i++)
                r = check_l4_listener(c, l4->listeners[i]);
        for (size_t i = 0; r == 0 && i < l4->n_distributions; i++)
                r = check_distribution(c, l4->distributions[i]);
        for (size_t i = 0; r == 0 && i < l4->n_pools; i++)
                r = check_pool(c, l4->pools[i]);
        if (r == 0)
                r = check_l4_routes(c, l4);
        return r < 0 ? r : check_overlaps(c, l4);
}
