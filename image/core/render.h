/* image/core/render.h - configuration -> every file that depends on it.  Layer: image/core, pure; same input, same bytes.
 * Thread rule: any.  Ownership: what is rendered lives in the arena of the file list.
 *   render_daemons.c   l4lb.cfg, l7gw/NAME.cfg, agent.cfg, kubeconfig, manifests
 *   render_network.c   networkd files, net/NAME.batch, nftables.conf
 *   render_services.c  chrony.conf, bird.conf, resolved, drop-ins and wants of units, links to admin sockets */
#pragma once
#include "image/core/files.h"
#include "image/core/plan.h"

#define RENDER_ETC "/run/gatehouse/etc" /* also called /etc/gatehouse */
#define RENDER_NETWORK "/run/systemd/network"
#define RENDER_UNITS "/run/systemd/system"
#define RENDER_WANTS RENDER_UNITS "/gatehouse.target.wants"

struct seed_file { /* a file of the seed's manifests/ */
        const char *name;
        struct span bytes;
};
struct seed { /* what came beside gatehouse.cfg; borrowed */
        struct span kubeconfig; /* .n == 0: none */
        const struct seed_file *manifests;
        size_t n_manifests;
};

struct render {
        const struct config *c;
        const struct seed *seed;
        struct machine machine;
        const char *root;  /* put before every path inside the files; "" on a running box */
        bool locked;       /* the secrets cannot be read: no agent, shards without private keys */
        bool placeholders; /* ports/ too, with devices that exist nowhere: for --check before a choice is made */
};

/* 0, -EINVAL (no kubeconfig: *reterr says so) or -ENOMEM. */
int render_all(const struct render *r, struct files *out, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
/* A box without a configuration: DHCP and router advertisements on every NIC, so that a metadata service can be asked and
 * the console can show addresses. */
void render_unconfigured(struct files *out) NONNULL(1);
/* Does data NIC i have a way to the kernel: management or backend shares it, or BGP speaks there? */
bool render_has_exception(const struct config *c, size_t i) NONNULL(1);
