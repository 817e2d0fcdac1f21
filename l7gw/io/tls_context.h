/* l7gw/io/tls_context.h - the certificates and settings of one TLS listener, ready for handshakes.  Layer: l7gw/io.
 * Built in PREPARE by the control thread (keys parsed and checked against their certificates); read by all workers;
 * OpenSSL counts references, so a connection outlives the generation it was opened under. Several certificates: those
 * with the same names (say ECDSA and RSA) share one SSL_CTX, where OpenSSL picks by signature algorithm; among groups
 * the server name picks: exact, then wildcard, then the first. */
#pragma once
#include "lib/core/model.h"
#include <openssl/ssl.h>

struct tls_listener;
int tls_listener_build(const struct model *m, const Model__Listener *l, struct tls_listener **ret,
                       struct model_error *reterr) NONNULL(1, 2, 3, 4) MUST_USE;
void tls_listener_free(struct tls_listener *l);
SSL_CTX *tls_listener_pick(const struct tls_listener *l, struct span server_name) NONNULL(1); /* borrowed */
/* What it asks of clients, as a hash (SHA256_BYTES): a connection that was let in by another one is not welcome any more. */
const uint8_t *tls_listener_clients(const struct tls_listener *l) NONNULL(1);
/* Applies what belongs to a connection and not to a context: versions, ciphers, curves, certificates of clients.  0 or
 * -EINVAL. */
int tls_listener_apply(const struct tls_listener *l, SSL *ssl) NONNULL(1, 2) MUST_USE;
/* A context without certificates: every connection begins with it and gets its listener's by the client hello.  Its
 * ticket keys live as long as the process, so sessions resume across reloads. */
#define TLS_TICKET_KEYS_BYTES 80 /* name, HMAC and AES keys, as OpenSSL 3.0 wants them */
SSL_CTX *tls_front_new(int (*client_hello)(SSL *ssl, int *alert, void *arg), const uint8_t keys[TLS_TICKET_KEYS_BYTES]);
