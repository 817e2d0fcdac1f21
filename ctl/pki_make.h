/* ctl/pki_make.h - a private CA and what it signs, in memory: EC P-256 keys, certificates with a gatehouse: URI.
 * Layer: effects (randomness); single-threaded program.  Files are ctl/pki.c's. */
#pragma once
#include "lib/core/identity.h"
#include <openssl/x509.h>

struct pki_pair {
        X509 *cert;
        EVP_PKEY *key;
};
struct pki_request {
        const struct identity *id;     /* NULL = a CA that signs itself */
        const struct pki_pair *issuer; /* NULL with a CA */
        int64_t from_s, until_s;       /* Unix time */
};
int pki_make(const struct pki_request *rq, struct pki_pair *ret, struct err *reterr) NONNULL(1, 2) MUST_USE;
void pki_pair_fini(struct pki_pair *p) NONNULL(1);
