/* image/core/plan.h - what follows from a configuration for each shard and CPU: names, links, addresses.  Layer: image/core,
 * pure; same configuration and machine, same plan.  Everything that renders a file or makes a link asks here.
 * Thread rule: any.  Ownership: values; group borrows from the configuration.
 *
 *   l4lb ── s1 ───────────────── eth0 ┌ netns default-1 ┐ eth1 ───────────────── b1 ── kernel ─▶ endpoints
 *        links4 + 4k+1   4k+2         │ VIPs on lo      │  512+4k+2   512+4k+1
 *        links6:k::1     :k::2        └─────────────────┘  :100+k::2  :100+k::1        (k = 1, 2 ... over all groups)
 *
 * Replies (source: a VIP) leave by eth0, connections to endpoints by eth1.  In a box of shards alone eth0 is a macvlan of the data
 * NIC, with the address that gatehouse.cfg gives it on the segment of an l4lb elsewhere. */
#pragma once
#include "image/core/config.h"

struct machine { /* what the box has */
        unsigned cpus, memory_mb;
};

struct shard_plan {
        char name[48];  /* POOL-N: of unit, network namespace, cgroup, data plane, state and socket */
        unsigned index; /* k */
        unsigned uid;   /* of its user, "shard<k>" (users.h) */
        char link[8], kernel_link[8];           /* s1, b1 */
        struct ipprefix l4[2], in[2];           /* l4lb's end of s1 and the shard's eth0: IPv4, IPv6; role shards: l4 is unset, and
                                                 * in where the file gives none */
        struct ipprefix kernel[2], out[2];      /* b1 and the shard's eth1 */
        const struct shard_group *group;
};

/* NAME-N of shard i of a group. */
void plan_shard_name(const struct shard_group *g, unsigned i, char ret[48]) NONNULL(1, 3);
/* i: 0 .. config_shards - 1. */
void plan_shard(const struct config *c, size_t i, struct shard_plan *ret) NONNULL(1, 3);
#define PLAN_CPU_TEXT 256
/* CPUs of l4lb's workers, as given or chosen: CPU 0 is left to kernel and management where there are more; one worker. */
void plan_l4_cores(const struct config *c, const struct machine *m, char ret[PLAN_CPU_TEXT]) NONNULL(1, 2, 3);
/* CPUs of a group: as given, or all that l4lb does not take (all of a box with one). */
void plan_group_cores(const struct config *c, const struct shard_group *g, const struct machine *m, char ret[PLAN_CPU_TEXT]) NONNULL(1, 2, 3, 4);
