/* l7gw/io/generation.h - one activated configuration: routes, TLS contexts, and the runtime objects they name.
 * Layer: l7gw/io.  Built and freed by the control thread; immutable in between; read by all workers.
 * Life: build (everything that can fail) -> adopted by every worker (one count each, plus one per request in the
 * worker's own book) -> let go by all of them -> freed.  (style 28, 29) */
#pragma once
#include "l7gw/core/route.h"
#include "l7gw/io/mailbox.h"
#include "l7gw/io/registry.h"

struct tls_listener;
struct gen_listener {
        const struct route_listener *route;
        struct listener_rt *rt;
        struct tls_listener *tls; /* NULL on HTTP */
};
struct gen_bind {
        const struct route_bind *route;
        struct bind_rt *rt;
        struct ipprefix *forwarded_trusted;
        size_t n_forwarded_trusted;
        Model__ProxyProtocol proxy; /* OFF, OPTIONAL, REQUIRED */
        struct ipprefix *proxy_trusted;
        size_t n_proxy_trusted;
};
struct gen_set {
        const Model__EndpointSet *model;
        struct set_rt *rt;
        uint64_t identity; /* of its contents: equal means nothing to rebuild */
};
struct gen_cluster {
        const Model__Cluster *model;
        struct cluster_rt *rt;
        struct set_rt *set; /* NULL: the cluster names no set */
        struct balance_plan *plan; /* of that set as the model has it; NULL without a set */
        struct tls_upstream *tls; /* NULL: cleartext */
        uint64_t pool_id;         /* not 0: its connections are counted, and nobody else's */
};
struct generation {
        const struct model *model;
        struct registry *registry;
        struct arena arena;
        const struct route_table *routes;
        struct gen_bind *binds;
        size_t n_binds;
        struct map bind_by_key;
        struct gen_listener *listeners; /* by route_listener.index */
        size_t n_listeners;
        struct gen_cluster *clusters; /* by route_leg.cluster_index */
        size_t n_clusters;
        struct gen_set *sets;
        size_t n_sets;
        atomic_uint workers;  /* that have not let go of it */
        struct mail released; /* to the control thread, by the last worker */
};
/* 0, or -errno with *reterr naming the object: becomes the NACK. */
int generation_build(const struct model *m, struct registry *r, struct generation **ret, struct model_error *reterr)
        NONNULL(1, 2, 3, 4) MUST_USE;
void generation_free(struct generation *g); /* control thread; no worker holds it */
const struct gen_bind *generation_bind(const struct generation *g, const struct bind_key *key) NONNULL(1, 2);
uint64_t endpoint_set_identity(const Model__EndpointSet *set) NONNULL(1); /* 64-bit hash of the contents */
/* How this cluster chooses among that set's endpoints: a reference, the newest plan of c->rt if it is the same.  0 or -errno. */
int cluster_plan(const struct gen_cluster *c, const Model__EndpointSet *set, uint64_t identity, struct balance_plan **ret) NONNULL(1, 2, 4) MUST_USE;
