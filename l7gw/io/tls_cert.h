/* l7gw/io/tls_cert.h - certificates with keys for listeners, parsed when a client first needs one.  Layer: l7gw/io.
 * PREPARE (control thread) looks at each new pair once: core/pem_pair proves most of them by their bytes, OpenSSL parses the rest, and
 * an OCSP response, right away.  What is refused there never serves.  The same bytes are one object over listeners and generations
 * (io/registry), so a reload neither checks nor parses again; ten thousand certificates that nobody asks for cost their PEM.
 * Thread rule: get and put in the control thread, use in any worker (the first use of a certificate takes its lock). */
#pragma once
#include "lib/core/map.h"
#include "lib/core/model.h"
#include <openssl/ssl.h>

struct tls_cert;
struct tls_certs { /* in the registry */
        struct map by_hash;
        size_t n, n_checked; /* in use; how many pairs OpenSSL had to look at in PREPARE, ever */
};
void tls_certs_init(struct tls_certs *all) NONNULL(1);
void tls_certs_fini(struct tls_certs *all) NONNULL(1); /* BUG if something is still referred to */
/* Finds or makes, and takes a reference.  -errno with *reterr naming the object. */
int tls_cert_get(struct tls_certs *all, const struct model *m, const Model__Certificate *c, struct tls_cert **ret,
                 struct model_error *reterr) NONNULL(1, 2, 3, 4, 5) MUST_USE;
void tls_cert_put(struct tls_certs *all, struct tls_cert *c) NONNULL(1);
/* Gives ssl this certificate, beside others of another key type.  -EINVAL: it turned out not to parse (logged once), -ENOMEM. */
int tls_cert_use(struct tls_cert *c, SSL *ssl) NONNULL(1, 2) MUST_USE;
/* For SSL_CTX_set_tlsext_status_cb: the OCSP response of the certificate that was chosen, as long as it is good (RFC 6066 8). */
int tls_cert_status(SSL *ssl, void *arg);
