/* l7gw/io/socket.h - the few socket calls, with our options set once.  Layer: l7gw/io.  Any thread. */
#pragma once
#include "l7gw/core/chain.h"
#include "lib/core/ipaddr.h"
#include <sys/socket.h>
#include <netinet/in.h>

union socket_addr {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
};
socklen_t socket_addr_of(union socket_addr *ret, const struct ipaddr *a, uint16_t port) NONNULL(1, 2);
void socket_addr_get(const union socket_addr *a, struct ipaddr *ret, uint16_t *ret_port) NONNULL(1, 2, 3);
/* A non-blocking TCP socket bound with SO_REUSEPORT and IP_FREEBIND (the VIP need not be local yet); fd or -errno. */
int socket_bind(const struct ipaddr *a, uint16_t port) NONNULL(1) MUST_USE;
/* A non-blocking socket connecting to a:port; fd (connection in progress) or -errno. */
int socket_connect(const struct ipaddr *a, uint16_t port) NONNULL(1) MUST_USE;
/* Sends from the front of a chain until it is empty or the socket is full (*writable becomes false).  Bytes sent, or
 * -errno: the connection is gone; bytes may have been sent before. */
ssize_t socket_send(int fd, struct chain *out, bool *writable) NONNULL(2, 3) MUST_USE;
int socket_error(int fd);           /* SO_ERROR, cleared */
void socket_reset_on_close(int fd); /* close() will send RST */
