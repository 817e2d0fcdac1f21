/* tests/unit/l4lb/world.h - a whole l4lb core without a NIC, for unit, packet and fuzz tests.
 *
 *            10.20.0.1, fd00:20::1   up (port 0)    +------+  s1 (port 1)  10.30.1.2, fd00:30:1::2   shard-1
 *   clients ---------- router ----------------------| l4lb |-----------------------------------------
 *                    02:aa::1     10.20.0.2/24      +------+  s2 (port 2)  10.30.2.2, fd00:30:2::2   shard-2
 *                                 fd00:20::2/64            \------------------------------------------
 *   mg (port 3) is a second uplink, 10.21.0.2/24 and fd00:21::2/64, paired with the kernel port k (port 4).
 *   Port MACs 02:00:00:00:00:01, :11, :12, :21, :31; the router 02:aa:00:00:00:01; shards 02:bb:00:00:00:01, :02.
 *   bk (port 5, MAC :51) is the link of endpoints under NAT: we are 10.40.0.3, fd00:40::3, they 10.40.0.101 (02:ee:00:00:00:01)
 *   and fd00:40::104 (02:ee:00:00:00:02), port 8080.
 *   Behind the router, for ports 95 (GUE over IPv4), 96 (IPIP over IPv6), 97 (GUE over IPv6) and 98 (IPIP over IPv4) of the VIPs: an l4lb at
 *   10.50.0.2 and fd00:50::2.  We open tunnels to 10.20.0.2 and fd00:20::2 from 10.60.0.0/24 and fd00:60::/64.
 *   VIPs 192.0.2.1, 192.0.2.2, 2001:db8:10::1.  Listeners: see world_model in world.c. */
#pragma once
#include "l4lb/core/pipeline.h"
#include "l4lb/core/probe.h"

#define WORLD_BACKENDS 5 /* port bk */
extern const uint8_t world_router_mac[6], world_shard_macs[2][6], world_app_macs[2][6];

struct world {
        struct net net;
        struct neigh neigh;
        struct backends backends;
        struct prober prober;
        struct worker worker;
        struct tables *tables;
        struct tables_conf conf;
        void *flow_mem;
        uint64_t now_ms;
        uint32_t head; /* writable bytes before the frames that world_run gets */
        size_t n_retired; /* Maglev tables handed over for deferred free, and freed */
};

struct world_spec { /* what a test changes of the model */
        void (*edit)(Model__L4 *l4, Model__EndpointSet *set); /* in place, before packing; NULL = nothing */
};
/* Encodes the model as a manifest and loads it, as the agent and dpclient would. */
int world_model(const struct world_spec *spec, uint64_t generation, struct model **ret, struct model_error *reterr);

struct world *world_new(uint32_t flow_entries); /* everything resolved, healthy and committed; asserts on failure */
void world_free(struct world *w);
void world_reset_worker(struct world *w, uint32_t flow_entries); /* empty flow table, full budgets */
void world_resolve(struct world *w); /* answers every neighbour request that is due */
void world_retire(void *arg, struct maglev *m); /* a maglev_retire_fn: arg is the world */
/* Runs one frame of cap bytes; ret is filled. */
void world_run(struct world *w, uint8_t in_port, uint8_t *frame, size_t len, size_t wire_len, size_t cap, struct pkt *ret);
