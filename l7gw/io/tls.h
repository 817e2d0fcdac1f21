/* l7gw/io/tls.h - one TLS connection over our own buffers: OpenSSL never sees a socket.  Layer: l7gw/io.
 *   cipher text in (a span, for the length of one call) -> tls_read -> plain text
 *   plain text -> tls_write -> wire chain, sent by the connection, up to four records at a time
 * Thread rule: one worker. */
#pragma once
#include "l7gw/core/chain.h"
#include <openssl/ssl.h>

#define TLS_SNI_MAX 255
struct tls {
        SSL *ssl;
        struct span in;    /* cipher text of the call in progress */
        struct chain wire; /* cipher text to send */
        bool established;
        uint8_t sni_n;    /* lower case; 0 = none sent */
        bool no_listener; /* the client hello named nobody we serve: close without an alert */
        char sni[TLS_SNI_MAX + 1];
};
/* app_data comes back from SSL_get_app_data in the client hello callback. */
int tls_new(SSL_CTX *front, struct chunk_pool *pool, void *app_data, struct tls **ret)
        NONNULL(1, 2, 4) MUST_USE; /* 0, -ENOMEM */
void tls_free(struct tls *t);
enum tls_rc { TLS_OK, TLS_MORE /* wants more cipher text */, TLS_EOF /* close_notify */, TLS_BAD };
enum tls_rc tls_handshake(struct tls *t) NONNULL(1) MUST_USE; /* uses t->in */
enum tls_rc tls_read(struct tls *t, uint8_t *p, size_t max, size_t *ret_n)
        NONNULL(1, 2, 4) MUST_USE;                                           /* TLS_OK: *ret_n > 0 */
enum tls_rc tls_write(struct tls *t, struct span plain) NONNULL(1) MUST_USE; /* all of it, into t->wire */
void tls_close_notify(struct tls *t) NONNULL(1);                             /* queues it */
bool tls_is_h2(const struct tls *t) NONNULL(1);
const char *tls_version(const struct tls *t) NONNULL(1); /* "TLSv1.3" */
/* The server_name extension of a client hello, lower case, into t->sni. */
void tls_sni_take(struct tls *t) NONNULL(1);
