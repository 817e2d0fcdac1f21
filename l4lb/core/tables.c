/* l4lb/core/tables.c - see tables.h: builds a generation, swaps Maglev tables, follows endpoints and health. */
#include "lib/base.h"
#include <assert.h>
#include "lib/control.pb-c.h"
#include "l4lb/core/service.h"
#include "l4lb/core/tables_check.h"
#include "l4lb/core/tables_guard.h"

#define DRAIN_MS_DEFAULT 300000
#define RAMP_RETRY_MS 1000
#define LINGER_SPARE_MS 1000 /* a backend outlives every previous table that names it */
#define TABLES_MAX_BYTES ((size_t)256 << 20)

/* ---------------------------------------------------------------- members */

static void members_free(struct backends *r, struct pool_member *m, size_t n, uint64_t now_ms)
{
        for (size_t i = 0; i < n; i++) {
                backends_put(r, m[i].backend, now_ms);
                free(m[i].name);
        }
        free(m);
}

static int member_fail(struct model_error *e, const Model__EndpointSet *set, const struct ipaddr *a, int rc)
{
        char text[IPADDR_STR_MAX];
        ipaddr_str(a, text);
        if (rc == -ENETUNREACH)
                return L4_FAIL(e, set->source, ENETUNREACH,
                               "endpoint set %s: %s is on no shard port's network, or under NAT or by tunnel: no route to it", set->id,
                               text);
        if (rc == -ENOSPC)
                return L4_LIMIT(e, set->source, "endpoint set %s: more than %d backends or %d neighbours", set->id,
                                L4_MAX_BACKENDS, L4_MAX_NEIGHBOURS);
        return L4_FAIL(e, set->source, -rc, "endpoint set %s: %s: %s", set->id, text, strerror(-rc));
}

/* Is e a member for VIPs of this family?  Layer 2 works across families, so a set of one family serves both. */
static bool endpoint_wanted(const Model__EndpointSet *set, const Model__Endpoint *e, uint8_t af)
{
        size_t len = af == 4 ? 4 : 16;
        if (e->addr.len == len)
                return true;
        for (size_t i = 0; i < set->n_endpoints; i++)
                if (set->endpoints[i]->addr.len == len)
                        return false;
        return true;
}

static bool member_known(const struct pool_member *m, size_t n, uint16_t backend)
{
        for (size_t i = 0; i < n; i++)
                if (m[i].backend == backend)
                        return true;
        return false;
}

static int members_build(struct backends *r, const struct pool *p, const Model__EndpointSet *set, uint64_t now_ms,
                         struct pool_member **ret, size_t *ret_n, struct model_error *e)
{
        struct pool_member *m = calloc(MAX(set->n_endpoints, (size_t)1), sizeof *m);
        size_t n = 0;
        int rc = m ? 0 : L4_FAIL(e, set->source, ENOMEM, "out of memory");
        for (size_t i = 0; rc == 0 && i < set->n_endpoints; i++) {
                const Model__Endpoint *ep = set->endpoints[i];
                struct ipaddr a;
                rc = tables_check_endpoint(set, ep, p->way, e);
                if (rc < 0 || !endpoint_wanted(set, ep, p->af))
                        continue;
                if (ipaddr_from_bytes(ep->addr.data, ep->addr.len, &a) < 0) {
                        rc = L4_FAIL(e, set->source, EINVAL, "endpoint set %s: an address of %zu bytes", set->id,
                                     ep->addr.len);
                        continue;
                }
                if (p->source.af && p->source.af != a.af) {
                        rc = L4_FAIL(e, set->source, EINVAL, "endpoint set %s: %s is not of the family of its pool's tunnel_source",
                                     set->id, ep->name);
                        continue;
                }
                const struct backend_spec spec = { .pool = p->id,
                                                   .addr = a,
                                                   .way = p->way,
                                                   .inner = way_tunnel(p->way) ? p->af : 0,
                                                   .port = (uint16_t)ep->port,
                                                   .source = p->source };
                int b = backends_reserve(r, &spec, now_ms);
                if (b < 0) {
                        rc = member_fail(e, set, &a, b);
                        continue;
                }
                if (member_known(m, n, (uint16_t)b)) {
                        backends_put(r, (uint16_t)b, now_ms);
                        rc = L4_FAIL(e, set->source, EEXIST, "endpoint set %s: two endpoints with one address",
                                     set->id);
                        continue;
                }
                m[n] = (struct pool_member){ (uint16_t)b, ep->weight ? ep->weight : 1, ep->state, strdup(ep->name) };
                if (!m[n++].name)
                        rc = L4_FAIL(e, set->source, ENOMEM, "out of memory");
        }
        if (rc < 0) {
                if (m)
                        members_free(r, m, n, now_ms);
                return rc;
        }
        *ret = m;
        *ret_n = n;
        return 0;
}

/* ---------------------------------------------------------------- Maglev of a pool */

static bool member_healthy(const struct backends *r, const struct pool_member *m)
{
        enum health h = r->b[m->backend].health;
        return h == HEALTH_UP || h == HEALTH_UNKNOWN;
}

#define RAMP_STEPS 8

/* The share of its weight that a member gets now, in eighths; *due: when it grows next. */
static uint32_t ramp_of(const struct backends *r, const struct pool *p, uint16_t backend, uint64_t now_ms, uint64_t *due)
{
        uint64_t since = r->b[backend].since_ms, age = now_ms - since;
        if (since == 0 || age >= p->slow_start_ms)
                return RAMP_STEPS;
        uint64_t step = age * RAMP_STEPS / p->slow_start_ms;
        *due = MIN(*due, since + ((step + 1) * p->slow_start_ms + RAMP_STEPS - 1) / RAMP_STEPS);
        return (uint32_t)step + 1;
}

/* Slow start: weights in eighths while somebody is on his way, the plain ones when nobody is. */
static void ramp(const struct backends *r, struct pool *p, struct maglev_backend *be, size_t n, uint64_t now_ms)
{
        uint64_t due = UINT64_MAX;
        for (size_t i = 0; i < n && p->slow_start_ms; i++)
                (void)ramp_of(r, p, be[i].index, now_ms, &due);
        p->ramp_due_ms = due;
        for (size_t i = 0; i < n && due != UINT64_MAX; i++)
                be[i].weight *= ramp_of(r, p, be[i].index, now_ms, &due);
}

/* Fewer healthy than the pool may go on with: then sick ones get their part too, since the few would fall next. */
static bool panics(const struct backends *r, const struct pool *p)
{
        size_t ready = 0, healthy = 0;
        for (size_t i = 0; i < p->n_members; i++) {
                bool is = p->members[i].state == MODEL__ENDPOINT_STATE__ENDPOINT_READY;
                ready += is;
                healthy += is && member_healthy(r, &p->members[i]);
        }
        return healthy * 100 < ready * p->panic_pct;
}

/* Who gets new connections: healthy READY; else healthy DRAINING; else (fail open) all READY; else all DRAINING.  In panic all
 * READY at once. */
static size_t members_elect(const struct backends *r, const struct pool *p, struct maglev_backend *ret,
                            bool *ret_fail_open)
{
        static const struct {
                Model__EndpointState state;
                bool healthy;
        } tiers[] = { { MODEL__ENDPOINT_STATE__ENDPOINT_READY, true },
                      { MODEL__ENDPOINT_STATE__ENDPOINT_DRAINING, true },
                      { MODEL__ENDPOINT_STATE__ENDPOINT_READY, false },
                      { MODEL__ENDPOINT_STATE__ENDPOINT_DRAINING, false } };
        size_t n = 0;
        *ret_fail_open = false;
        for (size_t k = panics(r, p) ? 2 : 0; n == 0 && k < ARRAY_SIZE(tiers); k++) {
                for (size_t i = 0; i < p->n_members; i++) {
                        const struct pool_member *m = &p->members[i];
                        if (m->state == tiers[k].state && (!tiers[k].healthy || member_healthy(r, m)))
                                ret[n++] = (struct maglev_backend){ r->b[m->backend].id, m->weight, m->backend };
                }
                *ret_fail_open = n != 0 && !tiers[k].healthy;
        }
        return n;
}

/* *ret is NULL when the pool has nobody. */
static int pool_maglev(const struct tables *t, struct pool *p, uint64_t now_ms, struct maglev **ret)
{
        *ret = NULL;
        CLEANUP(freep) struct maglev_backend *be = calloc(MAX(p->n_members, (size_t)1), sizeof *be);
        if (!be)
                return -ENOMEM;
        size_t n = members_elect(t->backends, p, be, &p->fail_open);
        ramp(t->backends, p, be, n, now_ms);
        return n ? maglev_new(be, n, t->conf.cluster_key.k0, ret) : 0;
}

static struct maglev *now_of(const struct pool *p)
{
        return atomic_load_explicit((_Atomic(struct maglev *) *)&p->now, memory_order_relaxed);
}
static struct maglev *prev_of(const struct pool *p)
{
        return atomic_load_explicit((_Atomic(struct maglev *) *)&p->prev, memory_order_relaxed);
}

/* Puts m (owned) in place of the current table, which becomes the previous one; release: cells before pointer. */
static void pool_swap(struct pool *p, struct maglev *m, uint64_t now_ms, maglev_retire_fn *retire, void *arg)
{
        struct maglev *old = now_of(p), *older = prev_of(p);
        if (maglev_equal(old, m)) {
                maglev_put(m);
                return;
        }
        atomic_store_explicit(&p->prev, old, memory_order_release);
        atomic_store_explicit(&p->now, m, memory_order_release);
        p->prev_until_ms = now_ms + p->drain_ms;
        if (older)
                retire(arg, older);
}

/* ---------------------------------------------------------------- building */

static struct health_check check_of(const Model__HealthCheck *h)
{
        struct health_check c = { 0 };
        if (!h || h->type == MODEL__HEALTH_CHECK_TYPE__HC_NONE)
                return c;
        c.tcp = true;
        c.interval_ms = h->interval_ms ? h->interval_ms : 1000;
        c.timeout_ms = h->timeout_ms ? h->timeout_ms : c.interval_ms;
        c.rise = h->rise ? h->rise : 1;
        c.fall = h->fall ? h->fall : 2;
        c.port = (uint16_t)h->port;
        return c;
}

static const struct pool *pool_like(const struct tables *t, const struct pool *p)
{
        for (uint32_t i = 0; t && i < t->n_pools; i++)
                if (t->pools[i].af == p->af && t->pools[i].way == p->way && strcmp(t->pools[i].id, p->id) == 0)
                        return &t->pools[i];
        return NULL;
}

/* A probe behind a tunnel is a client's SYN to a VIP: the first TCP service that uses the pool says which, and the port unless the
 * check does. */
static void check_through(struct pool *p, const struct service *s, const struct ipaddr *vip)
{
        if (!way_tunnel(p->way) || p->check.vip.af || s->udp || (p->check.port == 0 && s->port_lo == 0))
                return;
        p->check.vip = *vip;
        if (p->check.port == 0)
                p->check.port = s->port_lo;
}

/* The pool of this id for VIPs of this family reached this way, made when it is first asked for. */
static int pool_get(struct tables *t, const struct model *m, const char *id, const struct service *s, uint64_t now_ms, uint16_t *ret,
                    struct model_error *e)
{
        const struct ipaddr *vip = &t->vips[s->vip].addr;
        for (uint32_t i = 0; i < t->n_pools; i++)
                if (t->pools[i].af == vip->af && t->pools[i].way == s->way && strcmp(t->pools[i].id, id) == 0) {
                        check_through(&t->pools[i], s, vip);
                        *ret = (uint16_t)i;
                        return 0;
                }
        const Model__Pool *mp = model_pool(m, id);
        const Model__EndpointSet *set = mp ? model_endpoint_set(m, mp->endpoint_set) : NULL;
        BUG_ON(!set); /* model_load has resolved every reference */
        if (t->n_pools == L4_MAX_POOLS)
                return L4_LIMIT(e, mp->source, "more than %d pools", L4_MAX_POOLS);
        struct pool *p = &t->pools[t->n_pools];
        p->id = arena_strdup(&t->arena, id);
        p->endpoint_set = arena_strdup(&t->arena, set->id);
        if (!p->id || !p->endpoint_set)
                return L4_FAIL(e, mp->source, ENOMEM, "out of memory");
        p->af = vip->af;
        p->way = s->way;
        if (mp->tunnel_source[0] && !way_tunnel(p->way))
                return L4_FAIL(e, mp->source, EINVAL, "pool %s: tunnel_source, but a listener that uses no tunnel", id);
        if (mp->tunnel_source[0] && ipaddr_parse(span_str(mp->tunnel_source), &p->source) < 0)
                return L4_FAIL(e, mp->source, EINVAL, "pool %s: tunnel_source is no address", id);
        p->check = check_of(mp->health_check);
        check_through(p, s, vip);
        p->drain_ms = mp->drain_ms ? mp->drain_ms : t->conf.drain_ms;
        p->set_version = set->version;
        int rc = members_build(t->backends, p, set, now_ms, &p->members, &p->n_members, e);
        if (rc < 0)
                return rc;
        *ret = (uint16_t)t->n_pools++;
        struct maglev *mg;
        p->panic_pct = (uint8_t)mp->panic_pct;
        p->slow_start_ms = mp->slow_start_ms;
        if (pool_maglev(t, p, now_ms, &mg) < 0)
                return L4_FAIL(e, mp->source, ENOMEM, "pool %s: no memory for its Maglev table", id);
        atomic_store_explicit(&p->now, mg, memory_order_relaxed); /* relaxed: nobody else sees the tables yet */
        return 0;
}

/* The legs of one service, cumulative over 2^32.  A distribution without any weight drops. */
static int legs_build(struct tables *t, const struct model *m, const Model__L4Distribution *d, uint64_t now_ms, struct service *s,
                      struct model_error *e)
{
        uint64_t total = 0, sum = 0;
        for (size_t i = 0; i < d->n_legs; i++)
                total += d->legs[i]->weight;
        s->first_leg = t->n_legs;
        for (size_t i = 0; i < d->n_legs; i++) {
                const Model__L4Leg *l = d->legs[i];
                uint16_t pool = l->verdict == MODEL__L4_LEG__VERDICT__REJECT ? POOL_REJECT : POOL_NONE;
                if (l->weight == 0)
                        continue;
                if (l->verdict == MODEL__L4_LEG__VERDICT__FORWARD) {
                        int rc = pool_get(t, m, l->pool, s, now_ms, &pool, e);
                        if (rc < 0)
                                return rc;
                }
                sum += l->weight;
                uint64_t upto = (uint64_t)(((unsigned __int128)sum << 32) / total);
                t->legs[t->n_legs++] = (struct leg){ (uint32_t)(MAX(upto, UINT64_C(1)) - 1), pool };
        }
        if (total == 0)
                t->legs[t->n_legs++] = (struct leg){ UINT32_MAX, POOL_NONE };
        s->n_legs = (uint16_t)(t->n_legs - s->first_leg);
        return 0;
}

static int service_build(struct tables *t, const struct model *m, const Model__L4Listener *l, const struct map *vips,
                         uint64_t now_ms, struct model_error *e)
{
        struct service *s = &t->services[t->n_services];
        const struct vip_info *vip = map_get(vips, span_str(l->vip));
        const Model__L4Distribution *d = model_distribution(m, l->distribution);
        BUG_ON(!vip || !d); /* model_load has resolved every reference */
        s->vip = (uint16_t)(vip - t->vips);
        s->udp = l->protocol == MODEL__L4_PROTOCOL__L4_UDP;
        s->port_lo = (uint16_t)l->port_lo;
        s->port_hi = (uint16_t)l->port_hi;
        s->way = l->target == MODEL__L4_LISTENER__TARGET__ENDPOINTS   ? WAY_NAT
                 : l->forward == MODEL__L4_LISTENER__FORWARD__IPIP ? WAY_IPIP
                 : l->forward == MODEL__L4_LISTENER__FORWARD__GUE  ? WAY_GUE
                                                                   : WAY_LINK;
        t->tunnels |= way_tunnel(s->way);
        guard_build(t, s, l);
        s->source_affinity = l->affinity == MODEL__AFFINITY__AFFINITY_SOURCE;
        s->idle_s = (uint16_t)(l->idle_s ? l->idle_s : s->udp ? t->conf.udp_idle_s : t->conf.tcp_idle_s);
        t->service_ids[t->n_services] = arena_strdup(&t->arena, l->id);
        if (!t->service_ids[t->n_services])
                return L4_FAIL(e, l->source, ENOMEM, "out of memory");
        t->n_services++;
        return legs_build(t, m, d, now_ms, s, e);
}

static int vips_build(struct tables *t, const Model__L4 *l4, const struct net *net, struct map *by_id,
                      struct model_error *e)
{
        for (size_t i = 0; i < l4->n_vips; i++) {
                const Model__Vip *v = l4->vips[i];
                struct vip_info *info = &t->vips[t->n_vips];
                if (ipaddr_from_bytes(v->addr.data, v->addr.len, &info->addr) < 0)
                        return L4_FAIL(e, v->source, EINVAL, "VIP %s: an address of %zu bytes", v->id, v->addr.len);
                bool v4 = info->addr.af == 4;
                uint8_t owner = v4 ? net_owner4(net, info->addr.b) : net_owner6(net, info->addr.b, 0);
                if (owner != PORT_NONE)
                        return L4_FAIL(e, v->source, EADDRINUSE, "VIP %s is the address of port %s", v->id,
                                       net->ports[owner].name);
                for (uint32_t k = 0; k < t->n_vips; k++)
                        if (ipaddr_eq(&t->vips[k].addr, &info->addr))
                                return L4_FAIL(e, v->source, EEXIST, "VIP %s: its address is taken by VIP %s", v->id,
                                               t->vips[k].id);
                info->id = arena_strdup(&t->arena, v->id);
                if (!info->id || map_put(by_id, span_str(info->id), info) < 0)
                        return L4_FAIL(e, v->source, ENOMEM, "out of memory");
                t->n_vips++;
        }
        return 0;
}

static int tables_alloc(struct tables *t, const Model__L4 *l4)
{
        size_t n_listeners = l4 ? l4->n_listeners : 0, n_vips = l4 ? l4->n_vips : 0, n_pools = l4 ? 4 * l4->n_pools : 0,
               n_legs = 0;
        for (size_t i = 0; i < n_listeners; i++)
                n_legs += MODEL_MAX_L4_LEGS;
        t->vips = arena_calloc(&t->arena, MAX(n_vips, (size_t)1), sizeof *t->vips);
        t->services = arena_calloc(&t->arena, MAX(n_listeners, (size_t)1), sizeof *t->services);
        t->service_ids = arena_calloc(&t->arena, MAX(n_listeners, (size_t)1), sizeof *t->service_ids);
        t->legs = arena_calloc(&t->arena, MAX(n_legs, (size_t)1), sizeof *t->legs);
        t->pools = arena_calloc(&t->arena, MIN(n_pools, (size_t)L4_MAX_POOLS) + 1, sizeof *t->pools);
        return t->vips && t->services && t->service_ids && t->legs && t->pools ? 0 : -ENOMEM;
}

/* Can every pool be probed as it asks, now that its services are known? */
static int checks_check(struct tables *t, const struct model *m, const struct net *net, struct model_error *e)
{
        for (uint32_t i = 0; i < t->n_pools; i++) {
                const struct pool *p = &t->pools[i];
                const Model__Source *src = model_pool(m, p->id)->source;
                if (!p->check.tcp)
                        continue;
                t->far_probes |= p->way == WAY_NAT;
                if (p->check.port == 0 && p->way != WAY_NAT)
                        return L4_FAIL(e, src, EINVAL, "pool %s: the health check needs a port: %s", p->id,
                                       way_tunnel(p->way) ? "no TCP listener uses the pool" : "layer 2 endpoints have none");
                if (way_tunnel(p->way) && p->check.vip.af == 0)
                        return L4_FAIL(e, src, EINVAL, "pool %s: a health check through a tunnel needs a TCP listener", p->id);
                for (size_t k = 0; way_tunnel(p->way) && k < p->n_members; k++) {
                        uint8_t port = t->backends->b[p->members[k].backend].port;
                        if (!net_source_for(net, port, &p->check.vip))
                                return L4_FAIL(e, src, EADDRNOTAVAIL,
                                               "pool %s: port %s has no address of the VIPs' family to probe from", p->id,
                                               net->ports[port].name);
                }
        }
        return 0;
}

static int tables_fill(struct tables *t, const struct model *m, const struct net *net, uint64_t now_ms,
                       struct model_error *e)
{
        const Model__L4 *l4 = m->l4;
        CLEANUP(map_fini) struct map vips;
        map_init(&vips);
        int rc = l4 ? vips_build(t, l4, net, &vips, e) : 0;
        if (rc == 0 && l4)
                rc = acls_build(t, l4, e);
        for (size_t i = 0; rc == 0 && l4 && i < l4->n_listeners; i++)
                rc = service_build(t, m, l4->listeners[i], &vips, now_ms, e);
        if (rc == 0)
                rc = checks_check(t, m, net, e);
        if (rc < 0)
                return rc;
        rc = service_index_vips(t);
        if (rc == 0)
                rc = service_index_ports(t);
        return rc < 0 ? L4_FAIL(e, NULL, -rc, "service tables: %s", strerror(-rc)) : 0;
}

int tables_build(const struct model *m, const struct net *net, struct backends *r, const struct tables_conf *conf,
                 uint64_t now_ms, struct tables **ret, struct model_error *reterr)
{
        int rc = tables_check(m, reterr);
        if (rc < 0)
                return rc;
        BUG_ON(conf->tcp_idle_s == 0 || conf->udp_idle_s == 0);
        struct tables *t = calloc(1, sizeof *t);
        if (!t)
                return L4_FAIL(reterr, NULL, ENOMEM, "out of memory");
        arena_init(&t->arena, 64 * 1024, TABLES_MAX_BYTES);
        t->generation = m->generation;
        t->conf = *conf;
        if (t->conf.drain_ms == 0)
                t->conf.drain_ms = DRAIN_MS_DEFAULT;
        t->backends = r;
        rc = tables_alloc(t, m->l4);
        rc = rc < 0 ? L4_FAIL(reterr, NULL, ENOMEM, "out of memory") : tables_fill(t, m, net, now_ms, reterr);
        if (rc < 0) {
                tables_free(t, now_ms);
                return rc;
        }
        *ret = t;
        return 0;
}

void tables_free(struct tables *t, uint64_t now_ms)
{
        if (!t)
                return;
        for (uint32_t i = 0; i < t->n_pools; i++) {
                struct pool *p = &t->pools[i];
                maglev_put(now_of(p));
                maglev_put(prev_of(p));
                members_free(t->backends, p->members, p->n_members, now_ms);
        }
        arena_fini(&t->arena);
        free(t);
}

/* ---------------------------------------------------------------- activation, endpoints, health */

static uint32_t drain_of(const struct tables *t, const char *pool)
{
        for (uint32_t i = 0; t && i < t->n_pools; i++)
                if (strcmp(t->pools[i].id, pool) == 0)
                        return t->pools[i].drain_ms;
        return 0;
}

static void begins(struct backend *b, uint64_t now_ms)
{
        if (b->fresh)
                b->since_ms = now_ms;
        b->fresh = false;
}

/* The registry follows the members of t: who is in gets name, check and state; who is gone lingers. */
static void members_apply(struct tables *t, const struct tables *old, uint64_t now_ms)
{
        struct backends *r = t->backends;
        static_assert(L4_MAX_BACKENDS % 64 == 0, "bitmap");
        uint64_t in[L4_MAX_BACKENDS / 64] = { 0 };
        for (uint32_t i = 0; i < t->n_pools; i++)
                for (size_t k = 0; k < t->pools[i].n_members; k++) {
                        const struct pool_member *m = &t->pools[i].members[k];
                        in[m->backend / 64] |= UINT64_C(1) << m->backend % 64;
                        begins(&r->b[m->backend], now_ms);
                        backends_commit(r, m->backend, m->name, &t->pools[i].check,
                                        m->state == MODEL__ENDPOINT_STATE__ENDPOINT_DOWN);
                }
        for (size_t b = 0; b < r->n; b++) {
                if (r->b[b].state != BACKEND_ACTIVE || (in[b / 64] >> b % 64 & 1))
                        continue;
                uint32_t drain_ms = MAX(drain_of(old, r->b[b].pool), drain_of(t, r->b[b].pool));
                backends_linger(r, (uint16_t)b, drain_ms + LINGER_SPARE_MS, now_ms);
        }
}

void tables_commit(struct tables *t, struct tables *old, uint64_t now_ms)
{
        BUG_ON(t->committed);
        t->committed = true;
        members_apply(t, old, now_ms);
        guards_compare(t, old);
        for (uint32_t i = 0; i < t->n_pools; i++) {
                struct pool *p = &t->pools[i];
                const struct pool *like = pool_like(old, p);
                struct maglev *m;
                if (pool_maglev(t, p, now_ms, &m) ==
                    0) { /* health may have changed since the build; without memory the built one serves */
                        maglev_put(now_of(p));
                        atomic_store_explicit(&p->now, m, memory_order_relaxed); /* relaxed: published with t later */
                }
                if (!like)
                        continue;
                bool same = maglev_equal(now_of(like), now_of(p));
                atomic_store_explicit(&p->prev, maglev_get(same ? prev_of(like) : now_of(like)), memory_order_relaxed);
                p->prev_until_ms = same ? like->prev_until_ms : now_ms + p->drain_ms;
        }
}

int tables_health_changed(struct tables *t, uint16_t backend, uint64_t now_ms, maglev_retire_fn *retire, void *arg)
{
        int rc = 0;
        begins(&t->backends->b[backend], now_ms);
        for (uint32_t i = 0; i < t->n_pools; i++) {
                struct pool *p = &t->pools[i];
                if (!member_known(p->members, p->n_members, backend))
                        continue;
                struct maglev *m;
                int r = pool_maglev(t, p, now_ms, &m);
                if (r < 0)
                        rc = r;
                else
                        pool_swap(p, m, now_ms, retire, arg);
        }
        return rc;
}

int tables_endpoints(struct tables *t, const Model__EndpointSet *set, uint64_t now_ms, maglev_retire_fn *retire,
                     void *arg, struct model_error *reterr)
{
        int rc = 0;
        for (uint32_t i = 0; rc == 0 && i < t->n_pools; i++) {
                struct pool *p = &t->pools[i], next = *p;
                struct maglev *m;
                if (strcmp(p->endpoint_set, set->id) != 0 || set->version <= p->set_version)
                        continue;
                rc = members_build(t->backends, p, set, now_ms, &next.members, &next.n_members, reterr);
                if (rc < 0)
                        break;
                if (pool_maglev(t, &next, now_ms, &m) < 0) {
                        members_free(t->backends, next.members, next.n_members, now_ms);
                        rc = L4_FAIL(reterr, set->source, ENOMEM, "pool %s: no memory for its Maglev table", p->id);
                        break;
                }
                struct pool_member *gone = p->members;
                size_t n_gone = p->n_members;
                p->members = next.members;
                p->n_members = next.n_members;
                p->fail_open = next.fail_open;
                p->ramp_due_ms = next.ramp_due_ms;
                p->set_version = set->version;
                members_apply(t, t, now_ms);
                pool_swap(p, m, now_ms, retire, arg);
                if (p->slow_start_ms) /* newcomers began only now */
                        p->ramp_due_ms = now_ms;
                members_free(t->backends, gone, n_gone, now_ms);
        }
        return rc;
}

uint64_t tables_expire(struct tables *t, uint64_t now_ms, maglev_retire_fn *retire, void *arg)
{
        uint64_t next = UINT64_MAX;
        for (uint32_t i = 0; i < t->n_pools; i++) {
                struct pool *p = &t->pools[i];
                struct maglev *m, *prev;
                if (now_ms >= p->ramp_due_ms) {
                        if (pool_maglev(t, p, now_ms, &m) == 0)
                                pool_swap(p, m, now_ms, retire, arg);
                        else
                                p->ramp_due_ms = now_ms + RAMP_RETRY_MS; /* no memory now: later */
                }
                if (p->ramp_due_ms != UINT64_MAX)
                        next = MIN(next, p->ramp_due_ms - now_ms);
                if (!(prev = prev_of(p)))
                        continue;
                if (now_ms < p->prev_until_ms) {
                        next = MIN(next, p->prev_until_ms - now_ms);
                        continue;
                }
                atomic_store_explicit(&p->prev, NULL, memory_order_release);
                retire(arg, prev);
        }
        return next;
}
