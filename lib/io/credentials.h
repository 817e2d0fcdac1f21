/* lib/io/credentials.h - our certificate, its key, and the CA we know peers by, from PEM files, as a TLS 1.3 context.
 * Layer: lib/io.  Thread rule: the thread of the loop.
 *
 * Rotation needs no restart: every new connection asks whether the files are those that were read, and reads them again when
 * not.  What cannot be used then (half of a pair written, a wrong key) is logged once, and what was read before goes on.
 * `certificate` holds the chain, leaf first; `ca` one or more CAs, and their CRLs if there are any: then a certificate without
 * a current CRL is refused.  No session is ever resumed, so a CA that was taken out lets nobody in. */
#pragma once
#include "lib/core/identity.h"
#include "lib/io/config.h"

#define CREDENTIALS_PATH_MAX 256
struct credentials_conf {
        char certificate[CREDENTIALS_PATH_MAX], key[CREDENTIALS_PATH_MAX], ca[CREDENTIALS_PATH_MAX];
};
/* A group { certificate; key; ca; } of a daemon's settings; errors are conf_done's. */
void credentials_conf_read(const struct conf_group *g, struct credentials_conf *ret) NONNULL(1, 2);

struct credentials;
struct ssl_st;
/* Who we are: an agent is a server, the others are clients.  Our certificate has to say so, a data plane's word for word, of
 * an agent only that it is one.  Reads nothing yet.  Borrows nothing; NULL without memory. */
struct credentials *credentials_new(const struct credentials_conf *conf, const struct identity *self) NONNULL(1, 2);
void credentials_free(struct credentials *c);
/* 0 when what is on disk is in use, or what was read before is; else -errno and why, with the file as place. */
int credentials_refresh(struct credentials *c, struct err *reterr) NONNULL(1) MUST_USE;
/* A connection by the newest files; the caller's.  After an error nothing was made. */
int credentials_ssl(struct credentials *c, struct ssl_st **ret, struct err *reterr) NONNULL(1, 2) MUST_USE;
bool credentials_is_server(const struct credentials *c) NONNULL(1);
