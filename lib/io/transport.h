/* lib/io/transport.h - a byte stream to a peer whose identity is known.  Layer: lib/io.
 * Unix stream sockets with SO_PEERCRED, or a wire put between: TLS 1.3 to another box (lib/io/tls_wire.h, tls_listen.h).
 * Nothing above knows what carries the bytes, and who has only Unix sockets links no TLS.  Thread rule: the thread of the
 * loop.  Writes are queued and flushed at the end of the loop's turn; the queue is bounded (TRANSPORT_MAX_QUEUE), over it the
 * peer is dropped. */
#pragma once
#include "lib/core/buf.h"
#include "lib/core/identity.h"
#include "lib/io/loop.h"
#include <sys/types.h>

#define TRANSPORT_MAX_QUEUE (96u * 1024 * 1024)
struct transport;
struct transport_peer { /* who is on the other side */
        uint32_t uid, gid; /* Unix; over TLS all ones */
        int32_t pid;
        bool has_id; /* TLS, and the handshake is over: */
        struct identity id;
        int64_t valid_s; /* how long its certificate was still good for then */
        char text[64 + IDENTITY_URI_MAX]; /* for logs */
};
/* What carries the bytes, when it is not the socket itself. */
struct transport_wire {
        const struct transport_wire_ops *ops;
};
struct transport_wire_ops {
        /* As recv and send that do not wait, but for errors: -errno, of which -EAGAIN means that an event will come.  Either
         * may be what gets the other going. */
        ssize_t (*recv)(struct transport_wire *w, int fd, void *p, size_t n);
        ssize_t (*send)(struct transport_wire *w, int fd, const void *p, size_t n);
        const char *(*why)(const struct transport_wire *w); /* of the last error, "" = errno says all; borrowed */
        void (*peer)(struct transport_wire *w, struct transport_peer *peer); /* adds who it is, once bytes have come */
        void (*close)(struct transport_wire *w);            /* says goodbye if it can at once; frees w, not fd */
};
struct transport_conn { /* accepted, not anybody's transport yet: transport_accept takes it, or transport_conn_drop */
        int fd;
        struct transport_wire *wire; /* NULL = none */
        struct transport_peer peer;
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
/* Takes fd and wire of conn, also when it fails. */
int transport_accept(struct loop *l, const struct transport_conn *conn, const struct transport_ops *ops, void *arg,
                     struct transport **ret) MUST_USE;
void transport_conn_drop(const struct transport_conn *conn); /* closes */
struct buf *transport_out(struct transport *t); /* append here, then transport_flush */
void transport_flush(struct transport *t);
const struct transport_peer *transport_peer(const struct transport *t);
void transport_close(struct transport *t);      /* no callback; flushes nothing; frees (deferred when inside a callback) */
/* Listening side: creates the socket with mode 0660 (unlinks a stale one), refuses peers whose uid is not listed (n = 0:
 * only our own uid and root). */
struct transport_listener;
int transport_listen(struct loop *l, const char *path, const uint32_t *uids, size_t n_uids,
                     void (*accepted)(void *arg, const struct transport_conn *conn), void *arg,
                     struct transport_listener **ret, struct err *reterr) MUST_USE;
void transport_listener_free(struct transport_listener *tl); /* closes and unlinks */
