/* image/core/limits.tbl.h - every bound of a gatehouse.cfg.  L(NAME, value, reason) */
#pragma once
#define IMAGE_LIMITS(L)                                                                                                \
        L(DATA_NICS, 8, "uplinks of one box")                                                                          \
        L(ADDRESSES, 8, "of one interface, as many as l4lb takes")                                                     \
        L(ROUTES, 32, "static routes of l4lb")                                                                         \
        L(VIP_POOLS, 16, "prefixes of virtual addresses")                                                              \
        L(GROUPS, 16, "groups of shards, one agent pool each")                                                         \
        L(SHARDS, 32, "links of l4lb beside its uplinks; of an l4 box: shards on other boxes")                                                              \
        L(SELECTORS, 16, "labels or Gateways of a group")                                                              \
        L(AGENTS, 8, "agents that shards of their own box dial, and addresses an agent listens at")                    \
        L(SERVERS, 8, "NTP or DNS servers, search domains")                                                            \
        L(NEIGHBOURS, 8, "BGP neighbours")                                                                             \
        L(KEYS, 8, "update keys, SSH keys")                                                                            \
        L(PREFIXES, 16, "who may reach the management side")                                                           \
        L(CPUS, 1024, "CPU numbers in a list of cores")                                                                \
        L(FILE_BYTES, 4 * 1024 * 1024, "of gatehouse.cfg with everything inside it, and of one seed file")             \
        L(MANIFESTS, 256, "files of a seed's manifests/")
enum {
#define L(id, n, why) IMAGE_MAX_##id = n,
        IMAGE_LIMITS(L)
#undef L
};
