/* l7gw/io/tls_material.h - what the model carries as PEM, parsed: certificates with keys, CA bundles, revocation lists.
 * Layer: l7gw/io.  Control thread, in PREPARE; what it makes is counted by OpenSSL and read by all workers. */
#pragma once
#include "lib/core/model.h"
#include <openssl/ssl.h>

/* A chain and the key of its first certificate, checked against each other; the caller owns all three.  -EINVAL: tls_error says why. */
int tls_pair_read(struct span chain_pem, struct span key_pem, X509 **ret_leaf, STACK_OF(X509) **ret_chain, EVP_PKEY **ret_key)
        NONNULL(3, 4, 5) MUST_USE;
/* Chain and key into a context, checked against each other; -errno with *reterr naming the object. */
int tls_certificate_load(const struct model *m, SSL_CTX *ctx, const Model__Certificate *c, struct model_error *reterr)
        NONNULL(1, 2, 3, 4) MUST_USE;
/* The certificates (and revocation lists) of a trust; the caller owns the reference. */
int tls_trust_store(const Model__Trust *t, X509_STORE **ret, struct model_error *reterr) NONNULL(1, 2, 3) MUST_USE;
/* Those of the operating system (OpenSSL's default paths; SSL_CERT_FILE in the environment wins). */
int tls_system_store(X509_STORE **ret, struct model_error *reterr) NONNULL(1, 2) MUST_USE;
const char *tls_error(char buf[256]); /* the last error of OpenSSL in this thread, cleared */
