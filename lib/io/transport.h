/* lib/io/transport.h - a byte stream to a peer whose identity is known.  Layer: lib/io.
 * Today: Unix stream sockets with SO_PEERCRED.  TLS 1.3 between boxes comes later behind this same interface, so nothing
 * above it knows what carries the bytes.  Thread rule: the thread of the loop.  Writes are queued and flushed at the end
 * of the loop's turn; the queue is bounded (TRANSPORT_MAX_QUEUE), over it the peer is dropped. */
#pragma once
#include "lib/core/buf.h"
#include "lib/io/loop.h"

#define TRANSPORT_MAX_QUEUE (96u * 1024 * 1024)
struct transport;
struct transport_peer { /* who is on the other side */
        uint32_t uid, gid;
        int32_t pid;
        char text[64]; /* for logs */
};
struct transport_ops { /* callbacks, in the loop's thread; transport_close is allowed inside them */
        /* New input: consume any prefix, return the number of bytes taken (the rest is shown again with more behind it),
         * or < 0 to close with that -errno. */
        ptrdiff_t (*input)(void *arg, struct span in);
        /* Last callback: when it returns the transport is gone, so forget the pointer here.  Not called after
         * transport_close. */
        void (*closed)(void *arg, int err /* 0 = orderly */, const char *why);
};
/* path: filesystem path of a Unix socket. */
int transport_connect(struct loop *l, const char *path, const struct transport_ops *ops, void *arg, struct transport **ret) MUST_USE;
int transport_accept(struct loop *l, int conn_fd, const struct transport_ops *ops, void *arg, struct transport **ret) MUST_USE; /* takes conn_fd */
struct buf *transport_out(struct transport *t); /* append here, then transport_flush */
void transport_flush(struct transport *t);
const struct transport_peer *transport_peer(const struct transport *t);
void transport_close(struct transport *t);      /* no callback; flushes nothing; frees (deferred when inside a callback) */
/* Listening side: creates the socket with mode 0660 (unlinks a stale one), refuses peers whose uid is not listed (n = 0:
 * only our own uid and root). */
struct transport_listener;
int transport_listen(struct loop *l, const char *path, const uint32_t *uids, size_t n_uids,
                     void (*accepted)(void *arg, int conn_fd, const struct transport_peer *peer), void *arg,
                     struct transport_listener **ret, struct err *reterr) MUST_USE;
void transport_listener_free(struct transport_listener *tl); /* closes and unlinks */
