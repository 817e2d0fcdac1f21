/* l7gw/core/balance_plan.c - see balance_plan.h. */
#include "lib/base.h"
#include "l7gw/core/balance_plan.h"
#include "l7gw/core/engine_limits.tbl.h"
#include "l7gw/core/session.h"
#include "lib/core/hash.h"

uint64_t balance_mix(uint64_t x) /* splitmix64, Steele 2014 */
{
        x += 0x9e3779b97f4a7c15u;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        return x ^ (x >> 31);
}

/* ---- the index ---- */

uint32_t balance_plan_by_token(const struct balance_plan *p, uint64_t token)
{
        for (uint32_t at = (uint32_t)token & p->mask; p->slots[at]; at = (at + 1) & p->mask)
                if (p->eps[p->slots[at] - 1].token == token)
                        return p->slots[at] - 1;
        return BALANCE_NONE;
}

uint32_t balance_plan_find(const struct balance_plan *p, const struct ipaddr *addr, uint16_t port)
{
        uint32_t i = balance_plan_by_token(p, session_token(addr, port));
        return i != BALANCE_NONE && p->eps[i].port == port && ipaddr_eq(&p->eps[i].addr, addr) ? i : BALANCE_NONE;
}

static void index_put(struct balance_plan *p, uint32_t i)
{
        uint32_t at = (uint32_t)p->eps[i].token & p->mask;
        while (p->slots[at])
                at = (at + 1) & p->mask;
        p->slots[at] = i + 1;
}

/* ---- tiers ---- */

struct ranked {
        uint32_t index, priority;
        bool draining;
        uint64_t token;
};

/* Within a tier by token, so that the order of the set does not matter. */
static int ranked_cmp(const void *a, const void *b)
{
        const struct ranked *x = a, *y = b;
        if (x->draining != y->draining)
                return x->draining ? 1 : -1;
        if (x->priority != y->priority)
                return x->priority < y->priority ? -1 : 1;
        return x->token < y->token ? -1 : x->token > y->token;
}

static void tiers_fill(struct balance_plan *p, struct ranked *r)
{
        if (p->n)
                qsort(r, p->n, sizeof *r, ranked_cmp);
        for (uint32_t i = 0; i < p->n; i++) {
                p->order[i] = r[i].index;
                if (i == 0 || r[i].draining != r[i - 1].draining || r[i].priority != r[i - 1].priority)
                        p->tiers[p->n_tiers++] = (struct balance_tier){.start = i};
                p->tiers[p->n_tiers - 1].n++;
                p->draining |= r[i].draining;
        }
}

/* ---- tables over the first tier ---- */

static int point_cmp(const void *a, const void *b)
{
        const struct ring_point *x = a, *y = b;
        return x->at < y->at ? -1 : x->at > y->at ? 1 : (int)(x->index > y->index) - (int)(x->index < y->index);
}

/* Points in proportion to weights, each endpoint's being a beginning of one endless row: whoever comes or goes moves
 * only what falls to him. */
static int ring_build(struct balance_plan *p)
{
        const struct balance_tier *t = &p->tiers[0];
        uint64_t total = 0, least = UINT32_MAX;
        for (uint32_t i = 0; i < t->n; i++) {
                total += p->eps[p->order[t->start + i]].weight;
                least = MIN(least, (uint64_t)p->eps[p->order[t->start + i]].weight);
        }
        uint64_t size = MIN(L7_RING_POINTS * (total / least + 1), (uint64_t)L7_RING_MAX);
        bool scaled = size == L7_RING_MAX;
        p->ring = calloc(size + t->n, sizeof *p->ring);
        if (!p->ring)
                return -ENOMEM;
        for (uint32_t i = 0; i < t->n; i++) {
                uint32_t index = p->order[t->start + i];
                const struct balance_endpoint *e = &p->eps[index];
                uint64_t points =
                        MAX(scaled ? size * e->weight / total : L7_RING_POINTS * e->weight / least, (uint64_t)1);
                for (uint64_t k = 0; k < points; k++)
                        p->ring[p->n_ring++] = (struct ring_point){balance_mix(e->token ^ balance_mix(k)), index};
        }
        qsort(p->ring, p->n_ring, sizeof *p->ring, point_cmp);
        return 0;
}

static int maglev_build(struct balance_plan *p)
{
        const struct balance_tier *t = &p->tiers[0];
        struct maglev_backend *be = calloc(t->n, sizeof *be);
        if (!be)
                return -ENOMEM;
        if (p->n > UINT16_MAX) {
                free(be);
                return -E2BIG;
        }
        for (uint32_t i = 0; i < t->n; i++) {
                uint32_t index = p->order[t->start + i];
                be[i] = (struct maglev_backend){
                        .id = p->eps[index].token, .weight = p->eps[index].weight, .index = (uint16_t)index};
        }
        int r = maglev_new(be, t->n, 0, &p->maglev);
        free(be);
        return r;
}

/* ---- life ---- */

static bool endpoint_take(struct balance_plan *p, const Model__Endpoint *m, struct ranked *ret)
{
        struct balance_endpoint *e = &p->eps[p->n];
        if (m->state == MODEL__ENDPOINT_STATE__ENDPOINT_DOWN || m->port == 0 || m->port > UINT16_MAX ||
            ipaddr_from_bytes(m->addr.data, m->addr.len, &e->addr) < 0)
                return false; /* the model's check refuses bad addresses and ports; DOWN is never chosen */
        e->port = (uint16_t)m->port;
        e->weight = m->weight ? m->weight : 1;
        e->token = session_token(&e->addr, e->port);
        if (balance_plan_by_token(p, e->token) != BALANCE_NONE)
                return false; /* named twice */
        index_put(p, p->n);
        bool draining = m->state == MODEL__ENDPOINT_STATE__ENDPOINT_DRAINING;
        *ret = (struct ranked){.index = p->n++, .priority = m->priority, .draining = draining, .token = e->token};
        return true;
}

static int plan_fill(struct balance_plan *p, const Model__EndpointSet *set)
{
        size_t slots = 4;
        while (slots < 2 * set->n_endpoints)
                slots *= 2;
        struct ranked *ranked = calloc(set->n_endpoints + 1, sizeof *ranked);
        p->eps = calloc(set->n_endpoints + 1, sizeof *p->eps);
        p->order = calloc(set->n_endpoints + 1, sizeof *p->order);
        p->tiers = calloc(set->n_endpoints + 1, sizeof *p->tiers);
        p->slots = calloc(slots, sizeof *p->slots);
        p->mask = (uint32_t)slots - 1;
        if (!ranked || !p->eps || !p->order || !p->tiers || !p->slots) {
                free(ranked);
                return -ENOMEM;
        }
        for (size_t i = 0; i < set->n_endpoints; i++)
                if (!endpoint_take(p, set->endpoints[i], &ranked[p->n]))
                        continue;
        tiers_fill(p, ranked);
        free(ranked);
        if (p->n == 0)
                return 0;
        return p->lb == MODEL__CLUSTER__LOAD_BALANCER__RING_HASH ? ring_build(p)
               : p->lb == MODEL__CLUSTER__LOAD_BALANCER__MAGLEV  ? maglev_build(p)
                                                                 : 0;
}

int balance_plan_new(const Model__Cluster *c, const Model__EndpointSet *set, uint64_t identity,
                     struct balance_plan **ret)
{
        struct balance_plan *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        atomic_init(&p->refs, 1);
        p->identity = identity;
        p->lb = c->lb;
        p->slow_start_ms = c->slow_start_ms;
        p->panic_pct = c->panic_pct;
        int r = plan_fill(p, set);
        if (r < 0)
                balance_plan_put(p);
        else
                *ret = p;
        return r;
}

struct balance_plan *balance_plan_get(struct balance_plan *p)
{
        atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed); /* whoever gets one has one */
        return p;
}

void balance_plan_put(struct balance_plan *p)
{
        /* acq_rel: what others read in it happened before it is freed */
        if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
                return;
        free(p->eps);
        free(p->order);
        free(p->tiers);
        free(p->slots);
        maglev_put(p->maglev);
        free(p->ring);
        free(p);
}
