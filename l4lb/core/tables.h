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
#include "lib/core/maglev.h"
#include "l4lb/core/net.h"
#include "l4lb/core/pkt.h"
#include "l4lb/core/prefixmap.h"

struct tables_conf { /* defaults from the daemon's configuration */
        uint32_t tcp_idle_s, udp_idle_s;
        uint32_t drain_ms; /* of pools that do not say; also how long a previous Maglev is honoured.  0 = 300000 */
        unsigned n_workers; /* they share a service's rates; 0 = 1 */
        struct siphash_key cluster_key; /* L4_CLUSTER_KEY unless the operator has another */
};

struct pool_member { /* control thread only */
        uint16_t backend;
        uint32_t weight;
        Model__EndpointState state;
        char *name; /* owned */
};
struct pool {
        /* Read by workers: one line.  A replaced table is freed after a grace period. */
        _Atomic(struct maglev *) now;  /* NULL = no backend */
        _Atomic(struct maglev *) prev; /* the table before: connections whose flow was lost follow it; NULL = none */
        uint64_t pad[6];
        /* control thread only */
        const char *id, *endpoint_set; /* in the tables' arena */
        uint8_t way;                   /* enum way: how its members are reached */
        struct ipaddr source;          /* of its tunnels; af 0 = ours on the way */
        uint8_t af;                    /* of the VIPs it serves: endpoints of that family, or all when there are none */
        uint64_t set_version;
        struct health_check check;
        uint32_t drain_ms;
        uint64_t prev_until_ms;
        struct pool_member *members;   /* heap: tables_endpoints replaces them */
        size_t n_members;
        bool fail_open;                /* too few members are healthy: the table is over all that are not DOWN */
        uint8_t panic_pct;             /* too few: fewer than this share of the READY; 0 = none */
        uint32_t slow_start_ms;        /* a member that comes gets its weight over this time */
        uint64_t ramp_due_ms;          /* when somebody's share grows next; UINT64_MAX = nobody is coming */
};
#define POOL_NONE 0xffff
#define POOL_REJECT 0xfffe
struct leg {
        uint32_t upto; /* cumulative share of 2^32 - 1: the first leg with hash <= upto is taken */
        uint16_t pool; /* index; POOL_NONE: the leg drops, POOL_REJECT: it refuses */
};
#define ACL_DENY 0 /* of equal prefixes this one counts */
#define ACL_ALLOW 1
struct acl {
        const char *id; /* in the tables' arena */
        struct prefixmap map;
        bool open;      /* what no prefix names: allowed, because nothing is allowed by name */
        uint64_t hash;  /* of its content */
};
struct guard { /* core/guard.h; of services with `guarded` */
        const struct acl *acl;              /* NULL = everybody */
        uint64_t id;                        /* of the service: rates go on over generations */
        uint32_t connections, packets;      /* a second and worker; 0 = any number */
        uint32_t source_connections, source_packets;
};
struct service {
        uint32_t first_leg;
        uint16_t n_legs;
        uint16_t idle_s;
        uint8_t source_affinity;
        uint8_t udp; /* 0 or 1 */
        uint8_t way; /* enum way: a shard on our links, an endpoint under NAT, a shard behind a tunnel */
        uint8_t guarded; /* has something in guards */
        uint16_t vip;
        uint16_t port_lo, port_hi; /* 0, 0 = any */
};
struct tables {
        struct arena arena;
        uint64_t generation;
        struct tables_conf conf;
        /* addresses: open addressing, load <= 1/2, probes bounded at build; 0xffff = empty */
        struct addr_slot4 { uint32_t addr_be; uint16_t vip; } *vips4;
        struct addr_slot6 { uint64_t addr[2]; uint16_t vip; } *vips6;
        uint32_t mask4, mask6; /* slots - 1 */
        /* exact ports: key = vip << 17 | udp << 16 | port, value = service */
        struct port_slot { uint32_t key; uint16_t service; } *ports;
        uint32_t port_mask;
        /* the rest, per (vip, udp): disjoint ranges sorted by port, and the service of any port */
        struct range_list { uint32_t first; uint16_t n, any; } *range_lists; /* 2 * n_vips */
        struct range { uint16_t lo, hi, service; } *ranges;
        struct service *services;
        struct guard *guards; /* by service */
        struct acl *acls;
        uint32_t n_acls;
        bool acl_changed; /* an access list is not what it was when flows began: theirs are asked again */
        bool per_packet;  /* that, or a service limits packets */
        struct leg *legs;
        struct pool *pools;
        struct vip_info { const char *id; struct ipaddr addr; } *vips;
        const char **service_ids;
        uint32_t n_vips, n_services, n_legs, n_pools;
        struct backends *backends; /* borrowed */
        bool tunnels;              /* some service uses one */
        bool far_probes;           /* probes are answered on other ports than those of shards */
        bool committed;
};

/* 0, or <0 with *reterr (stage UNSUPPORTED, BUILD or LIMIT; the object's source).  Borrows the model only for the call. */
int tables_build(const struct model *m, const struct net *net, struct backends *r, const struct tables_conf *conf,
                 uint64_t now_ms, struct tables **ret, struct model_error *reterr) NONNULL(1, 2, 3, 4, 6, 7) MUST_USE;
/* Applies t to the registry and takes over old's (may be NULL) Maglev tables as the previous ones.  Cannot fail.
 * Endpoints that are gone keep their flows for their pool's drain_ms. */
void tables_commit(struct tables *t, struct tables *old, uint64_t now_ms) NONNULL(1);
void tables_free(struct tables *t, uint64_t now_ms); /* NULL is legal; after a grace period when it was published */

/* Rebuilds the pools that hold this backend after its health changed.  Each table that workers may still look at, but not
 * after the next grace period, is handed to retire(arg, m): call maglev_put(m) after it.  -ENOMEM keeps the old tables. */
typedef void maglev_retire_fn(void *arg, struct maglev *m);
int tables_health_changed(struct tables *t, uint16_t backend, uint64_t now_ms, maglev_retire_fn *retire, void *arg)
        NONNULL(1, 4) MUST_USE;
/* The endpoint set of some pools was replaced (fast path).  0, or <0 and the old members stay. */
int tables_endpoints(struct tables *t, const Model__EndpointSet *set, uint64_t now_ms, maglev_retire_fn *retire, void *arg,
                     struct model_error *reterr) NONNULL(1, 2, 4, 6) MUST_USE;
/* Drops previous tables whose time is over; returns ms until the next one, or UINT64_MAX. */
uint64_t tables_expire(struct tables *t, uint64_t now_ms, maglev_retire_fn *retire, void *arg) NONNULL(1, 3);

/* Workers: VIP_NONE / SERVICE_NONE when absent.  addr and port as on the wire / as a number. */
static inline uint32_t tables_mix(uint64_t x) { return (uint32_t)(x * UINT64_C(0x9e3779b97f4a7c15) >> 32); }
static inline uint16_t tables_vip4(const struct tables *t, const uint8_t addr[4])
{
        uint32_t a;
        memcpy(&a, addr, 4);
        for (uint32_t i = tables_mix(a);; i++) {
                const struct addr_slot4 *s = &t->vips4[i & t->mask4];
                if (s->vip == VIP_NONE || s->addr_be == a)
                        return s->vip;
        }
}
static inline uint16_t tables_vip6(const struct tables *t, const uint8_t addr[16])
{
        uint64_t a[2];
        memcpy(a, addr, 16);
        for (uint32_t i = tables_mix(a[0] ^ (a[1] << 1));; i++) {
                const struct addr_slot6 *s = &t->vips6[i & t->mask6];
                if (s->vip == VIP_NONE || (s->addr[0] == a[0] && s->addr[1] == a[1]))
                        return s->vip;
        }
}
uint16_t tables_service_range(const struct tables *t, uint16_t vip, bool udp, uint16_t port) NONNULL(1);
static inline uint16_t tables_service(const struct tables *t, uint16_t vip, bool udp, uint16_t port)
{
        uint32_t key = (uint32_t)vip << 17 | (uint32_t)udp << 16 | port;
        for (uint32_t i = tables_mix(key);; i++) {
                const struct port_slot *s = &t->ports[i & t->port_mask];
                if (s->service != SERVICE_NONE && s->key == key)
                        return s->service;
                if (s->service == SERVICE_NONE)
                        return tables_service_range(t, vip, udp, port);
        }
}
/* The share of the distribution that this hash (cluster key) falls into. */
static inline const struct leg *tables_leg(const struct tables *t, const struct service *s, uint64_t hash)
{
        const struct leg *l = &t->legs[s->first_leg];
        while ((uint32_t)(hash >> 32) > l->upto) /* the last leg's share ends at UINT32_MAX */
                l++;
        return l;
}
static inline const struct maglev *pool_now(const struct pool *p)
{
        /* acquire: pairs with the release of the swap: the cells are seen with the pointer */
        return atomic_load_explicit((_Atomic(struct maglev *) *)&p->now, memory_order_acquire);
}
static inline const struct maglev *pool_prev(const struct pool *p)
{
        return atomic_load_explicit((_Atomic(struct maglev *) *)&p->prev, memory_order_acquire);
}
