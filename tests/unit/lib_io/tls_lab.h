/* tests/unit/lib_io/tls_lab.h - a directory with a CA, another CA, and certificates of every kind a test wants. */
#pragma once
#include "ctl/pki_make.h"
#include "lib/io/credentials.h"

struct tls_lab {
        char dir[64];
        struct pki_pair ca, other_ca;
        unsigned n;
};
enum lab_kind {
        LAB_GOOD,
        LAB_LONG,     /* good, for longer */
        LAB_OTHER_CA, /* signed by the other CA */
        LAB_EXPIRED,
        LAB_EARLY,    /* not valid yet */
        LAB_NO_URI,
        LAB_NO_USE,   /* for servers and clients alike: no extended key usage */
        LAB_TWO_URIS, /* of agent and data plane at once */
};
void lab_init(struct tls_lab *lab);
void lab_fini(struct tls_lab *lab);
/* Writes certificate, key and ca.pem; uri is an identity. */
struct credentials_conf lab_issue(struct tls_lab *lab, const char *uri, enum lab_kind kind);
void lab_issue_into(struct tls_lab *lab, const struct credentials_conf *at, const char *uri, enum lab_kind kind); /* the same, over those */
void lab_ca_write(const char *path, const struct pki_pair *ca, const X509 *revoked); /* with a CRL when revoked */
struct identity lab_identity(const char *uri);
