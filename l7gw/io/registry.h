/* l7gw/io/registry.h - what outlives a configuration generation: counters of listeners and clusters, the balancers of
 * clusters, endpoint sets, listening sockets.  Found by id, shared by the generations that name it.  Layer: l7gw/io.
 * Thread rule: get and put in the control thread.  A worker uses an object only while it holds a generation that holds
 * it, and only its own slot ([worker]) of it. */
#pragma once
#include "l7gw/core/balance.h"
#include "l7gw/core/breaker.h"
#include "l7gw/io/counters.h"
#include "l7gw/io/tls_cert.h"
#include "l7gw/io/tls_upstream.h"
#include "lib/core/map.h"

struct watch;
struct rt { /* what objects with an id begin with */
        char *id;
        unsigned refs;
};
struct listener_rt {
        struct rt rt;
        struct listener_counters *counters; /* [n_workers] */
};
struct cluster_rt {
        struct rt rt;
        struct cluster_counters *counters; /* [n_workers] */
        struct balance *balance;           /* [n_workers] */
        struct breaker *breaker;           /* a reference; counts where the policy has limits */
        struct balance_plan *plan;         /* control thread: the newest; a reference */
        struct watch *watch;               /* control thread: io/watch; NULL: none */
};
struct set_rt {
        struct rt rt;
        size_t at;               /* control thread: its index in the generation being built */
        uint32_t total, ready;   /* control thread: of the newest version, for STATUS */
        uint64_t version;
};
struct bind_key {
        uint8_t b[19]; /* family, address, port */
};
struct bind_rt {
        struct bind_key key;
        struct ipaddr addr;
        uint16_t port;
        unsigned refs;
        bool listening; /* activated: the workers own the descriptors now */
        bool failed;    /* listen() refused at activation */
        int *fds;       /* [n_workers] */
};
struct registry {
        unsigned n_workers;
        struct map listeners, clusters, sets, binds;
        struct tls_upstreams tls;
        struct tls_certs certs;
};
void registry_init(struct registry *r, unsigned n_workers) NONNULL(1);
void registry_fini(struct registry *r) NONNULL(1); /* BUG if something is still referred to */
/* Find or make, and take a reference; NULL out of memory. */
struct listener_rt *registry_listener(struct registry *r, const char *id) NONNULL(1, 2) MUST_USE;
struct cluster_rt *registry_cluster(struct registry *r, const char *id) NONNULL(1, 2) MUST_USE;
struct set_rt *registry_set(struct registry *r, const char *id) NONNULL(1, 2) MUST_USE;
struct set_rt *registry_set_find(struct registry *r, const char *id) NONNULL(1, 2); /* no reference taken */
void registry_listener_put(struct registry *r, struct listener_rt *o) NONNULL(1);
void registry_cluster_put(struct registry *r, struct cluster_rt *o) NONNULL(1);
void registry_set_put(struct registry *r, struct set_rt *o) NONNULL(1);
struct bind_key bind_key_of(const struct ipaddr *addr, uint16_t port) NONNULL(1);
/* The bound sockets for an address, one per worker: those in use, or new ones (bound, not listening).  -errno. */
int registry_bind(struct registry *r, const struct ipaddr *addr, uint16_t port, struct bind_rt **ret,
                  struct err *reterr) NONNULL(1, 2, 4) MUST_USE;
void registry_bind_put(struct registry *r, struct bind_rt *b) NONNULL(1); /* closes sockets that no worker owns */
/* No later generation shall find b: its sockets are being closed by the workers. */
void registry_bind_retire(struct registry *r, struct bind_rt *b) NONNULL(1, 2);
