/* l4lb/core/net.h - ports, their own addresses, static routes.  Layer: l4lb/core, pure.
 * Thread rule: built once at boot by the control thread, immutable afterwards; any thread may read.
 * Invariants: kernel ports have no address and are paired one to one with uplinks; every route's next hop is on-link on exactly one port; own addresses are unique over all ports. */
#pragma once
#include "lib/core/ipaddr.h"
#include "l4lb/core/limits.tbl.h"

enum port_role { PORT_UPLINK, PORT_SHARD, PORT_KERNEL, PORT_ROLE_N };
#define PORT_NONE 0xff

struct net_port { /* as configured; io fills mac from the device */
        char name[32];
        enum port_role role;
        uint8_t mac[6];
        uint8_t uplink;                                    /* of a PORT_KERNEL: the uplink it is paired with */
        uint8_t kernel;                                    /* of an uplink: its kernel port or PORT_NONE; filled by net_init */
        uint16_t mtu;                                      /* IP bytes; 0 = 1500 */
        struct ipprefix addresses[L4_MAX_PORT_ADDRESSES];  /* addr keeps its host bits: it is our own address */
        size_t n_addresses;
        uint8_t own4[4], own6[16];                         /* source of ICMP errors; own6 may be link_local; 0 = none; by net_init */
        uint8_t link_local[16];                            /* fe80::/64 + EUI-64 of mac; filled by net_init */
};
struct net_route {
        struct ipprefix prefix;
        struct ipaddr via; /* af 0: on-link (made by net_init from port addresses) */
        uint8_t port;      /* filled by net_init */
        uint16_t adjacency; /* neighbour index of via; filled by net_init */
};
struct net_decap { /* tunnels that end here: core/decap.h */
        struct ipaddr to[L4_MAX_PORT_ADDRESSES]; /* of our own addresses */
        size_t n_to;
        struct ipprefix from[L4_MAX_TUNNEL_SOURCES];
        size_t n_from;
        uint16_t port; /* of GUE */
};
struct neigh;
struct net {
        struct net_port ports[L4_MAX_PORTS];
        size_t n_ports;
        uint32_t refusals_pps;  /* RST and ICMP errors per worker; 0 = none */
        uint32_t to_kernel_pps; /* 0 = L4_MAX_TO_KERNEL_PER_S */
        struct net_route routes[L4_MAX_ROUTES]; /* configured ones in; sorted longest prefix first by net_init */
        size_t n_routes;
        struct net_own { /* own addresses, v4 first */
                uint8_t addr[16];
                uint8_t port;
        } own4[L4_MAX_PORTS * L4_MAX_PORT_ADDRESSES], own6[L4_MAX_PORTS * L4_MAX_PORT_ADDRESSES];
        size_t n_own4, n_own6;
        struct net_hop4 {
                uint32_t net_be, mask_be;
                uint16_t adjacency; /* NEIGH_NONE: on-link */
                uint8_t port;
        } hops4[L4_MAX_ROUTES];
        struct net_hop6 {
                uint64_t net[2], mask[2]; /* wire order */
                uint16_t adjacency;
                uint8_t port;
        } hops6[L4_MAX_ROUTES];
        size_t n_hops4, n_hops6;
        struct net_decap decap;
};
/* Fill ports[] and routes[] (prefix, via), then call this: it checks, derives connected routes and pins every next hop
 * in n.  0, or -EINVAL / -ENOSPC with the port or route named. */
int net_init(struct net *net, struct neigh *n, struct err *reterr) NONNULL(1, 2) MUST_USE;
/* The port whose connected prefix holds a, or PORT_NONE; role < 0 = any. */
uint8_t net_port_for(const struct net *net, const struct ipaddr *a, int role) NONNULL(1, 2);
/* Our own address on the port in the family of peer, on the same prefix if there is one; NULL = none. */
const struct ipaddr *net_source_for(const struct net *net, uint8_t port, const struct ipaddr *peer) NONNULL(1, 3);
/* Longest prefix match; NULL = no route.  addr in wire order. */
const struct net_hop4 *net_route4(const struct net *net, const uint8_t addr[4]) NONNULL(1, 2);
const struct net_hop6 *net_route6(const struct net *net, const uint8_t addr[16]) NONNULL(1, 2);
/* The port that owns the address, or PORT_NONE.  Link-local addresses are per port: pass the port they arrived on. */
uint8_t net_owner4(const struct net *net, const uint8_t addr[4]) NONNULL(1, 2);
uint8_t net_owner6(const struct net *net, const uint8_t addr[16], uint8_t in_port) NONNULL(1, 2);
const char *port_role_str(enum port_role r);
