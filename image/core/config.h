/* image/core/config.h - one gatehouse.cfg as values: all that makes this box differ from the next.  Layer: image/core, pure.
 * Read and checked by image/io/config_load.h; after that immutable.  Thread rule: one thread writes, then any may read.
 * Ownership: everything, strings too, lives in the arena of struct config; config_free.
 * Invariants: strings are never NULL ("" = not given); names hold letters, digits, '-', '_' and '.' only; addresses in
 * `addresses` keep their host bits; every `via` is of its prefix's family and on the link of a data NIC. */
#pragma once
#include "image/core/auto_update.h"
#include "image/core/limits.tbl.h"
#include "lib/core/arena.h"
#include "lib/core/control_addr.h"

#define CONFIG_VERSION 1 /* of the file's format */

/* ALL_IN_ONE: l4lb, shards and agent.  L4: l4lb and the agent; its groups are shards on other boxes.  SHARDS: shards only, which
 * dial the agent of an L4 box; l4lb reaches them on a segment of the data NIC. */
enum config_role { ROLE_ALL_IN_ONE, ROLE_L4, ROLE_SHARDS, ROLE_N };

/* R(id, name): how l4lb drives a data NIC; AUTO = chosen at boot, vfio > af_xdp > uio > af_packet. */
#define PORT_DRIVERS(R) \
        R(AUTO, "auto") R(VFIO, "vfio") R(AF_XDP, "af_xdp") R(UIO, "uio") R(AF_PACKET, "af_packet")
enum port_driver {
#define R(id, name) DRIVER_##id,
        PORT_DRIVERS(R)
#undef R
                DRIVER_N
};
extern const char *const port_driver_names[DRIVER_N];
extern const char *const config_role_names[ROLE_N];

enum nic_by { NIC_ANY, NIC_MAC, NIC_PCI, NIC_NAME, NIC_SHARED };
struct nic_match {
        enum nic_by by;  /* ANY: management: every NIC nobody names, data: the one nobody names; SHARED: behind data[shared], by its exception port */
        char text[24];   /* canonical: "52:54:00:12:34:56", "0000:00:03.0", "ens3" or the data NIC's name */
        unsigned shared; /* SHARED: index into data */
};

/* An interface that stays with the kernel: management, and the way to the endpoints when that is another one. */
struct kernel_nic {
        bool present; /* false: not in the file */
        struct nic_match nic;
        bool dhcp4, dhcp6_ra; /* dhcp6_ra: router advertisements, DHCPv6 where they say so */
        struct ipprefix addresses[IMAGE_MAX_ADDRESSES];
        size_t n_addresses;
        struct ipaddr gateway4, gateway6; /* af 0 = none */
        unsigned vlan;                    /* 0 = untagged */
        unsigned mtu;                     /* 0 = as it is */
};

struct data_nic {
        char name[16]; /* of the l4lb port */
        struct nic_match nic;
        enum port_driver driver;
        struct ipprefix addresses[IMAGE_MAX_ADDRESSES];
        size_t n_addresses;
        unsigned mtu, queues; /* queues 0 = one per worker */
        bool to_shards;       /* L4: l4lb reaches the shards by it, not clients and routers */
};

struct static_route {
        struct ipprefix prefix;
        struct ipaddr via;
};

struct cpu_list {
        const char *text; /* "1-3,5" as given; "" = chosen from what the box has (image/core/plan.h) */
        uint16_t cpu[64];
        size_t n;
};

/* A pool of the agent and the shards that make it: NAME-first ... NAME-(first + count - 1); first is 1 in an all-in-one box. */
struct shard_group {
        const char *name;
        unsigned first, count, threads, memory_mb; /* threads of each; memory_mb = limit of each */
        struct ipprefix at[2][IMAGE_MAX_SHARDS]; /* L4, SHARDS: of each on the segment of l4lb, IPv4 and IPv6; af 0 = none */
        struct cpu_list cores;              /* shared by the group */
        const char *gateways[IMAGE_MAX_SELECTORS], *select[IMAGE_MAX_SELECTORS];
        size_t n_gateways, n_select;
        unsigned max_connections;
        bool access_log;
};

enum agent_source { SOURCE_KUBERNETES, SOURCE_DIRECTORY };
struct agent_conf {
        enum agent_source source;
        const char *kubeconfig; /* its text; "" = the file `kubeconfig` beside gatehouse.cfg */
        const char *context;
        const char *manifests; /* YAML text; "" = the folder `manifests` beside gatehouse.cfg */
};

/* Control socket between boxes: an L4 box's agent listens, a SHARDS box's shards dial.  PEM texts. */
struct control_credential {
        const char *name, *certificate, *key; /* name: of the shard; the agent's is not looked at */
};
struct control_conf {
        struct control_addr at[IMAGE_MAX_AGENTS]; /* L4: where the agent listens; SHARDS: agents, in order */
        size_t n_at;
        const char *ca;
        struct control_credential credentials[IMAGE_MAX_SHARDS]; /* L4: one, the agent's; SHARDS: one for each shard */
        size_t n_credentials;
};

struct bgp_neighbour {
        struct ipaddr address;
        uint32_t as;
        const char *password;
        unsigned hold_s;
        bool multihop;
};

struct update_conf {
        const char *url, *channel; /* url "": updates come by `gatectl system update FILE` only; channel: a folder below it */
        bool automatic;            /* looked for, installed and booted without being asked, in the window */
        struct auto_window window;
        const char *keys[IMAGE_MAX_KEYS];                    /* PEM, Ed25519; accepted beside those of the image */
        size_t n_keys;
};

struct config {
        struct arena arena;
        const char *name;
        enum config_role role;

        struct kernel_nic management, backend; /* backend: towards the endpoints; absent = by management */
        struct ipprefix allow[IMAGE_MAX_PREFIXES]; /* who may reach services of the management side */
        size_t n_allow;

        struct data_nic data[IMAGE_MAX_DATA_NICS];
        size_t n_data;
        struct static_route routes[IMAGE_MAX_ROUTES];
        size_t n_routes;
        struct ipprefix vips[IMAGE_MAX_VIP_POOLS];
        size_t n_vips;

        struct cpu_list l4_cores;
        unsigned l4_memory_mb, l4_flows; /* l4_flows: table entries per worker */
        bool l4_hugepages;

        struct shard_group groups[IMAGE_MAX_GROUPS];
        size_t n_groups;
        struct ipprefix links4, links6; /* where links between l4lb, shards and kernel get their addresses from */
        uint16_t health_port;

        struct agent_conf agent; /* not SHARDS */
        struct control_conf control;

        const char *ntp[IMAGE_MAX_SERVERS];
        size_t n_ntp;
        bool nts;
        struct ipaddr dns[IMAGE_MAX_SERVERS];
        size_t n_dns;
        const char *search[IMAGE_MAX_SERVERS];
        size_t n_search;

        struct ipaddr syslog; /* af 0 = none */
        uint16_t syslog_port;
        bool syslog_tcp;

        uint32_t bgp_as; /* 0 = no BGP */
        struct ipaddr bgp_router_id;
        struct bgp_neighbour neighbours[IMAGE_MAX_NEIGHBOURS];
        size_t n_neighbours;

        struct update_conf update;
        const char *ssh_keys[IMAGE_MAX_KEYS]; /* of the debug profile */
        size_t n_ssh_keys;
};

void config_free(struct config *c);
size_t config_shards(const struct config *c) NONNULL(1); /* of this box, over all groups */
/* Credentials of a shard of this box, or NULL. */
const struct control_credential *config_credential(const struct config *c, const char *name) NONNULL(1, 2);
/* Texts of the file's small languages; -EINVAL when they are not that. */
int nic_match_parse(const char *text, struct nic_match *ret) NONNULL(1, 2) MUST_USE; /* never NIC_ANY or NIC_SHARED */
int cpu_list_parse(const char *text, struct cpu_list *ret) NONNULL(1, 2) MUST_USE;   /* borrows text */
