/* l4lb/io/settings.h - configs/l4lb.cfg as values.  Layer: l4lb/io.  Thread rule: written once before threads start,
 * then read-only.  Ownership: self-contained (fixed arrays), so it may be copied and outlives the file. */
#pragma once
#include "lib/io/agents.h"
#include "l4lb/core/net.h"
#include "lib/io/log.h"

/* S(name, limit, why) */
#define SETTINGS_LIMITS(S)                                                                                             \
        S(WORKERS, 32, "one per core")                                                                                 \
        S(QUEUES, 32, "one per worker")                                                                                \
        S(EAL_ARGS, 32, "extra EAL arguments")                                                                         \
        S(UIDS, 16, "users allowed on the admin socket")
enum {
#define S(id, n, why) SETTINGS_MAX_##id = n,
        SETTINGS_LIMITS(S)
#undef S
};

struct settings_port {
        char name[32];
        char device[256]; /* DPDK device string: "net_af_xdp0,iface=up0" or a PCI address */
        enum port_role role;
        char kernel[32]; /* of an uplink: the name of its kernel port; "" = none */
        struct ipprefix addrs[L4_MAX_PORT_ADDRESSES]; /* ours on that link, with the link's prefix length */
        size_t n_addrs;
        unsigned queues; /* wanted; 0 = one per worker */
        unsigned mtu;
        unsigned rx_desc, tx_desc;
};
struct settings_route {
        struct ipprefix prefix;
        struct ipaddr via;
};
struct settings {
        char name[64];
        struct agents_conf agents;
        char admin[108], state_dir[512];
        uint32_t uids[SETTINGS_MAX_UIDS];
        size_t n_uids;
        enum log_level log_level;

        unsigned cores[SETTINGS_MAX_WORKERS]; /* CPU of each worker */
        size_t n_cores;
        int nice; /* of all our threads: matters where cores are shared */
        bool hugepages;
        unsigned memory_mb;
        char eal[SETTINGS_MAX_EAL_ARGS][128];
        size_t n_eal;

        struct settings_port ports[L4_MAX_PORTS];
        size_t n_ports;
        struct settings_route routes[L4_MAX_ROUTES];
        size_t n_routes;

        unsigned flow_entries, tcp_idle_s, udp_idle_s;
        unsigned nat_lo, nat_hi; /* local ports towards endpoints */
        struct net_decap decap;
        unsigned to_kernel_pps, refusals_pps; /* per worker */
        unsigned spin_polls, pause_polls, sleep_us_max;
};

/* Reads and checks the file; -EINVAL with file:line and what is wrong. */
int settings_load(const char *path, struct settings *ret, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
/* Ports, addresses and routes as the core wants them, MAC addresses still zero: net_init comes next. */
void settings_net(const struct settings *s, struct net *ret) NONNULL(1, 2);
