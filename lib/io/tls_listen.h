/* lib/io/tls_listen.h - the agent's side of the control socket for other boxes: TCP, TLS 1.3, a certificate asked of everybody.
 * Layer: lib/io.  Thread rule: the thread of the loop.
 *
 * Nobody is accepted before the handshake is over and the certificate good, so strangers never take the place of a data plane
 * further up.  Strangers cost at most TLS_PENDING_MAX handshakes at a time, each TLS_HANDSHAKE_MS long; over it the one that
 * began first gives way, which hurts who is slow on purpose and not who answers at once. */
#pragma once
#include "lib/io/tls_wire.h"

#define TLS_PENDING_MAX 64
#define TLS_HANDSHAKE_MS 5000
struct tls_listener;
struct tls_listen_ops {
        void (*accepted)(void *arg, const struct transport_conn *conn); /* takes conn; conn->peer.has_id */
        void (*refused)(void *arg);                                      /* a handshake failed, and the log says why; may be NULL */
};
/* Borrows own for its life.  handshake_ms: 0 = TLS_HANDSHAKE_MS. */
int tls_listen(struct loop *l, const struct control_addr *at, struct credentials *own, const struct tls_listen_ops *ops, void *arg,
               uint32_t handshake_ms, struct tls_listener **ret, struct err *reterr) MUST_USE;
void tls_listener_free(struct tls_listener *tl);
