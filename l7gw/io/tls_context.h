/* l7gw/io/tls_context.h - the certificates and settings of one TLS listener, ready for handshakes.  Layer: l7gw/io.
 * Built in PREPARE by the control thread; read by all workers.  Nothing of it is kept by a connection: what a handshake needs is copied
 * to it, or counted by OpenSSL, so a connection outlives the generation it was opened under.  The server name picks the certificates:
 * those of exactly that name, then of its wildcard, then the listener's first; OpenSSL picks among them by signature algorithm
 * (an ECDSA and an RSA one, say), and of two with one type of key the listener's first serves. */
#pragma once
#include "l7gw/io/tls.h"
#include "l7gw/io/tls_cert.h"
#include "lib/core/model.h"

struct tls_listener;
int tls_listener_build(struct tls_certs *all, const struct model *m, const Model__Listener *l, struct tls_listener **ret,
                       struct model_error *reterr) NONNULL(1, 2, 3, 4, 5) MUST_USE;
void tls_listener_free(struct tls_listener *l);
/* What it asks of clients, as a hash (SHA256_BYTES): a connection that was let in by another one is not welcome any more. */
const uint8_t *tls_listener_clients(const struct tls_listener *l) NONNULL(1);
/* At the client hello: the certificates for the name it sent (to->sni), versions, ciphers, curves, ALPN, what is asked of clients.
 * 0 or -EINVAL. */
int tls_listener_apply(const struct tls_listener *l, struct tls *to) NONNULL(1, 2) MUST_USE;
/* A context without certificates: every connection is of it, and gets its listener's by the client hello.  Its ticket keys live
 * as long as the process, so sessions resume across reloads. */
#define TLS_TICKET_KEYS_BYTES 80 /* name, HMAC and AES keys, as OpenSSL 3.0 wants them */
SSL_CTX *tls_front_new(int (*client_hello)(SSL *ssl, int *alert, void *arg), const uint8_t keys[TLS_TICKET_KEYS_BYTES]);
