/* l7gw/core/balance_plan.h - the endpoints of a cluster, laid out for choosing among them.  Layer: l7gw/core, pure.
 * Built once per shard, by the control thread, whenever the endpoint set or the cluster's policy changes; immutable
 * afterwards and shared by all workers, each of which keeps what it knows of the endpoints in a struct balance.
 * Deterministic: the same set and policy give the same tables on every shard.
 *
 *   eps[] ──▶ order[]: tier 0 | tier 1 | ... | draining      a tier: the READY endpoints of one priority, the best
 * first ──▶ index: token -> endpoint, O(1) ──▶ ring or Maglev table over tier 0: hash -> endpoint
 *
 * Ownership: counted; get and put from any thread.  Borrows nothing. */
#pragma once
#include "lib/core/ipaddr.h"
#include "lib/core/maglev.h"
#include "lib/model.pb-c.h"
#include <stdatomic.h>

struct balance_endpoint {
        struct ipaddr addr;
        uint16_t port;
        uint32_t weight;
        uint64_t token; /* l7gw/core/session */
};
struct balance_tier {
        uint32_t start, n; /* in order[] */
};
struct ring_point {
        uint64_t at;
        uint32_t index;
};
struct balance_plan {
        atomic_uint refs;
        uint64_t identity; /* of all that went into it: equal means that it need not be adopted */
        Model__Cluster__LoadBalancer lb;
        uint32_t slow_start_ms, panic_pct;
        struct balance_endpoint *eps;
        uint32_t n;
        uint32_t *order;
        struct balance_tier *tiers;
        uint32_t n_tiers;
        bool draining; /* the last tier is of DRAINING endpoints */
        uint32_t *slots, mask; /* 1 + index, by token; 0 = empty */
        struct maglev *maglev; /* NULL unless MAGLEV, and tier 0 has somebody */
        struct ring_point *ring;
        uint32_t n_ring; /* 0 unless RING_HASH */
};
/* The plan has one reference, *ret.  0, -ENOMEM, or -E2BIG (more than 65535 endpoints under MAGLEV). */
int balance_plan_new(const Model__Cluster *c, const Model__EndpointSet *set, uint64_t identity,
                     struct balance_plan **ret) NONNULL(1, 2, 4) MUST_USE;
struct balance_plan *balance_plan_get(struct balance_plan *p) NONNULL(1);
void balance_plan_put(struct balance_plan *p); /* NULL is legal */
#define BALANCE_NONE UINT32_MAX
uint32_t balance_plan_find(const struct balance_plan *p, const struct ipaddr *addr, uint16_t port)
        NONNULL(1, 2); /* or BALANCE_NONE */
uint32_t balance_plan_by_token(const struct balance_plan *p, uint64_t token) NONNULL(1);
uint64_t balance_mix(uint64_t x); /* splitmix64: spreads bits, no secret */
