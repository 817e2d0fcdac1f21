/* lib/io/tls_wire.h - TLS 1.3 with certificates on both sides, as a wire of lib/io/transport.h.  Layer: lib/io.
 * Thread rule: the thread of the loop.
 *
 * Who is let in is decided inside the handshake, so the other side gets an alert: the chain leads to our CA, the certificate is
 * valid now and for its use (client, server), and its URI (lib/core/identity.h) is an agent's for a data plane, a data plane's
 * for an agent.  Which data plane it may be is the agent's push side to ask: it compares with HELLO. */
#pragma once
#include "lib/core/control_addr.h"
#include "lib/io/credentials.h"
#include "lib/io/transport.h"

/* Dials; connecting and the handshake go on behind the transport, which queues what is written meanwhile.  What fails later
 * is told by ops->closed. */
int tls_connect(struct loop *l, const struct control_addr *to, struct credentials *own, const struct transport_ops *ops, void *arg,
                struct transport **ret, struct err *reterr) MUST_USE;

struct sockaddr_storage;
uint32_t tls_sockaddr(const struct control_addr *a, struct sockaddr_storage *ret); /* the length that counts */

/* A connection before anybody knows it.  fd does not block; fd and wire are the caller's until transport_accept. */
struct transport_wire;
int tls_wire_new(int fd, struct credentials *own, struct transport_wire **ret, struct err *reterr) MUST_USE;
int tls_wire_handshake(struct transport_wire *w) MUST_USE; /* 0 done, -EAGAIN an event will come, else -errno */
