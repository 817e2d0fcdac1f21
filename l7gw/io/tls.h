/* l7gw/io/tls.h - one TLS connection over our own buffers: OpenSSL never sees a socket.  Layer: l7gw/io.
 *   cipher text in (a span, for the length of one call) -> tls_read -> plain text
 *   plain text -> tls_write -> wire chain, sent by the connection, up to four records at a time
 * Thread rule: one worker. */
#pragma once
#include "l7gw/core/chain.h"
#include "lib/core/buf.h"
#include "lib/core/hash.h"
#include <openssl/ssl.h>
#include <sys/types.h>

#define TLS_SNI_MAX 255
#define TLS_ALPN_MAX 12 /* "h2" and "http/1.1", with their lengths */
struct tls {
        SSL *ssl;
        struct span in;    /* cipher text of the call in progress */
        struct chain wire; /* cipher text to send */
        struct buf sealed; /* tls_recv: cipher text received, not opened yet */
        bool established;
        uint8_t sni_n;    /* lower case; 0 = none sent */
        uint8_t clients[SHA256_BYTES]; /* what its listener asked of clients when it was opened */
        char *client_cert; /* what the client has proved to be, as X-Forwarded-Client-Cert tells it; NULL: nothing */
        uint8_t alpn[TLS_ALPN_MAX]; /* what its listener speaks, wire form */
        uint8_t alpn_n;
        uint32_t key_updates; /* that the peer has made */
        bool hello;        /* the client hello was seen, and is answered here */
        bool bytes;        /* its listener hands the plain text on as TCP */
        bool passthrough;  /* its listener hands on what the client has sent, unopened */
        bool no_listener; /* the client hello named nobody we serve: close without an alert */
        char sni[TLS_SNI_MAX + 1];
};
/* app_data comes back from SSL_get_app_data in the client hello callback. */
int tls_new(SSL_CTX *front, struct chunk_pool *pool, void *app_data, struct tls **ret)
        NONNULL(1, 2, 4) MUST_USE; /* 0, -ENOMEM */
struct tls *tls_of(const SSL *ssl) NONNULL(1); /* of a connection of ours */
void tls_free(struct tls *t);
enum tls_rc { TLS_OK, TLS_MORE /* wants more cipher text */, TLS_EOF /* close_notify */, TLS_BAD };
enum tls_rc tls_handshake(struct tls *t) NONNULL(1) MUST_USE; /* uses t->in */
enum tls_rc tls_read(struct tls *t, uint8_t *p, size_t max, size_t *ret_n)
        NONNULL(1, 2, 4) MUST_USE;                                           /* TLS_OK: *ret_n > 0 */
enum tls_rc tls_write(struct tls *t, struct span plain) NONNULL(1) MUST_USE; /* all of it, into t->wire */
void tls_close_notify(struct tls *t) NONNULL(1);                             /* queues it */
bool tls_is_h2(const struct tls *t) NONNULL(1);
const char *tls_version(const struct tls *t) NONNULL(1); /* "TLSv1.3" */
/* After the handshake: notes who the client is, if its certificate was asked for and verified.  0 or -ENOMEM. */
int tls_client_cert_take(struct tls *t) NONNULL(1) MUST_USE;
/* The server_name extension of a client hello, lower case, into t->sni. */
void tls_sni_take(struct tls *t) NONNULL(1);

/* A connection of ours to an endpoint: TLS by the context (io/tls_upstream.h).  0 or -ENOMEM. */
int tls_client_new(SSL_CTX *ctx, struct chunk_pool *pool, struct tls **ret) NONNULL(1, 2, 3) MUST_USE;
/* The same three steps over a socket, for whoever keeps no cipher text himself.  scratch holds L7_SCRATCH_BYTES. */
struct tls_socket {
        int fd;
        bool *readable, *writable; /* as the last event and call left them */
        bool hup;                  /* a short read says nothing: read to the end */
        uint8_t *scratch;
};
enum tls_rc tls_handshake_socket(struct tls *t, const struct tls_socket *s) NONNULL(1, 2) MUST_USE;
/* As recv(): plain bytes; 0 after close_notify; -1 with errno (EAGAIN; ECONNRESET also for an end without close_notify). */
ssize_t tls_recv(struct tls *t, const struct tls_socket *s, uint8_t *p, size_t max) NONNULL(1, 2, 3) MUST_USE;
bool tls_pending(const struct tls *t) NONNULL(1); /* tls_recv may have bytes though the socket has none */
/* Plain bytes from the front of out become records in t->wire, up to a bound.  0, or -EPIPE: the end. */
int tls_seal(struct tls *t, struct chain *out) NONNULL(1, 2) MUST_USE;
/* As socket_send(): takes plain bytes from out; what the socket has no room for waits in t->wire, bounded. */
ssize_t tls_send(struct tls *t, const struct tls_socket *s, struct chain *out) NONNULL(1, 2, 3) MUST_USE;
