/* l4lb/core/tables.h - one generation of VIPs, services and pools, built from the model.  Layer: l4lb/core, pure.
 * Thread rule: built and changed by the control thread.  Workers read everything through a pointer they take once per
 * burst; the only things that change under them are the two Maglev pointers of a pool.
 *
 * Life: tables_build (PREPARE; reserves backends, touches nothing active) -> tables_commit (ACTIVATE; applies endpoint
 * states, lets removed backends linger; then io publishes the pointer) -> tables_free after a grace period.
 * An aborted PREPARE is tables_free alone.
 * What the core cannot do is refused here with stage UNSUPPORTED and the object's source: nothing is ignored. */
#pragma once
#include "lib/core/model.h"
#include "l4lb/core/backend.h"
#include "l4lb/core/maglev.h"
#include "l4lb/core/net.h"
#include "l4lb/core/pkt.h"

struct tables_conf { /* defaults from the daemon's configuration */
        uint32_t tcp_idle_s, udp_idle_s;
        uint32_t drain_ms; /* of pools that do not say; also how long a previous Maglev is honoured.  0 = 300000 */
        struct siphash_key cluster_key; /* L4_CLUSTER_KEY unless the operator has another */
};

struct pool_member { /* control thread only */
        uint16_t backend;
        uint32_t weight;
        Model__EndpointState state;
        const char *name;
};
struct pool {
        /* read by workers: one line.  acquire loads; a replaced table is freed after a grace period. */
        _Atomic(struct maglev *) now;  /* NULL = no backend */
        _Atomic(struct maglev *) prev; /* the table before: established flows whose entry was lost follow it; NULL = none */
        uint8_t pad[48];
        /* control thread only */
        const char *id, *endpoint_set; /* the tables' own copies */
        uint64_t set_version;
        struct health_check check;
        uint32_t drain_ms;
        uint64_t prev_until_ms;
        struct pool_member *members; /* heap: replaced by tables_endpoints */
        size_t n_members;
        char *names;
        bool fail_open; /* the current table has no healthy member */
};
struct leg {
        uint32_t upto; /* cumulative share of 2^32 - 1: the first leg with hash <= upto is taken */
        uint16_t pool; /* index, or POOL_NONE: the leg drops */
};
#define POOL_NONE 0xffff
struct service {
        uint16_t first_leg, n_legs;
        uint16_t idle_s;
        uint8_t source_affinity;
        uint8_t proto;
        uint16_t vip;
        uint16_t port_lo, port_hi;
};
struct tables {
        struct arena arena;
        uint64_t generation;
        struct tables_conf conf;
        /* addresses: open addressing, load <= 1/2, probes bounded at build; 0xffff = empty */
        struct addr_slot4 { uint32_t addr_be; uint16_t vip; } *vips4;
        struct addr_slot6 { uint64_t addr[2]; uint16_t vip; } *vips6;
        uint32_t mask4, mask6;
        /* exact ports: key = vip << 17 | udp << 16 | port, value = service */
        struct port_slot { uint32_t key; uint16_t service; } *ports;
        uint32_t port_mask;
        /* ranges: per (vip, udp), disjoint and sorted */
        struct range_list { uint32_t first; uint16_t n; } *range_lists; /* 2 * n_vips */
        struct range { uint16_t lo, hi, service; } *ranges;
        struct service *services;
        struct leg *legs;
        struct pool *pools;
        struct vip_info { const char *id; struct ipaddr addr; } *vips;
        const char **service_ids;
        uint32_t n_vips, n_services, n_legs, n_pools;
        struct backends *backends; /* borrowed */
        bool committed;
};

/* 0, or <0 with *reterr (stage UNSUPPORTED, BUILD or LIMIT; the object's source).  Borrows the model only for the call.
 * active (may be NULL) is the generation in use: pools of the same id inherit its Maglev as their previous one. */
int tables_build(const struct model *m, const struct net *net, struct backends *r, const struct tables_conf *conf,
                 const struct tables *active, uint64_t now_ms, struct tables **ret, struct model_error *reterr)
        NONNULL(1, 2, 3, 4, 7, 8) MUST_USE;
/* Applies t to the registry; old (may be NULL) is the generation it replaces.  Cannot fail. */
void tables_commit(struct tables *t, struct tables *old, uint64_t now_ms) NONNULL(1);
void tables_free(struct tables *t, uint64_t now_ms); /* NULL is legal; after a grace period when it was published */

/* Rebuilds the pools that hold this backend after its health changed.  Each replaced table that nobody will look at after
 * the next grace period is handed to retire(arg, m): call maglev_put(m) then. */
typedef void maglev_retire_fn(void *arg, struct maglev *m);
int tables_health_changed(struct tables *t, uint16_t backend, uint64_t now_ms, maglev_retire_fn *retire, void *arg)
        NONNULL(1, 4) MUST_USE;
/* The endpoint set of some pools was replaced (fast path).  0, or <0 and the old members stay. */
int tables_endpoints(struct tables *t, const Model__EndpointSet *set, uint64_t now_ms, maglev_retire_fn *retire, void *arg,
                     struct model_error *reterr) NONNULL(1, 2, 4, 6) MUST_USE;
/* Drops previous tables whose time is over; returns ms until the next one, or UINT64_MAX. */
uint64_t tables_expire(struct tables *t, uint64_t now_ms, maglev_retire_fn *retire, void *arg) NONNULL(1, 3);

/* Workers: VIP_NONE / SERVICE_NONE when absent. */
uint16_t tables_vip4(const struct tables *t, const uint8_t addr[4]) NONNULL(1, 2);
uint16_t tables_vip6(const struct tables *t, const uint8_t addr[16]) NONNULL(1, 2);
uint16_t tables_service(const struct tables *t, uint16_t vip, uint8_t proto, uint16_t port) NONNULL(1);
