/* l7gw/io/tls_upstream.h - how this gateway speaks TLS to the endpoints of a cluster: what it sends as server name, whom it
 * trusts, which names the endpoint's certificate must carry, and what it shows itself.  Layer: l7gw/io.
 * Built in PREPARE by the control thread; equal settings share one context, over generations and clusters (io/registry), so
 * that an unchanged cluster keeps its connections.  The context is counted by OpenSSL: a connection outlives the generation
 * it was opened under, with all that its verification needs. */
#pragma once
#include "l7gw/io/tls.h"
#include "lib/core/map.h"
#include "lib/core/model.h"

#define TLS_UPSTREAM_KEY_BYTES 32
struct tls_upstream {
        uint8_t key[TLS_UPSTREAM_KEY_BYTES]; /* SHA-256 of all that decides: equal means that connections are interchangeable */
        unsigned refs;                       /* generations; control thread */
        SSL_CTX *ctx;
};
struct tls_upstreams { /* in the registry */
        struct map by_key;
        X509_STORE *system; /* read when first needed */
};
void tls_upstreams_init(struct tls_upstreams *all) NONNULL(1);
void tls_upstreams_fini(struct tls_upstreams *all) NONNULL(1); /* BUG if something is still referred to */
/* cluster->tls is there.  -errno with *reterr naming the object. */
int tls_upstream_get(struct tls_upstreams *all, const struct model *m, const Model__Cluster *cluster, struct tls_upstream **ret,
                     struct model_error *reterr) NONNULL(1, 2, 3, 4, 5) MUST_USE;
void tls_upstream_put(struct tls_upstreams *all, struct tls_upstream *t) NONNULL(1);
/* A connection to an endpoint: before its handshake, its server name set.  Worker.  0 or -ENOMEM. */
int tls_upstream_open(const struct tls_upstream *t, struct chunk_pool *pool, struct tls **ret) NONNULL(1, 2, 3) MUST_USE;
const char *tls_upstream_why(const struct tls *t, char buf[256]) NONNULL(1, 2); /* of a failed handshake, for the log */
