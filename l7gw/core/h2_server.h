/* l7gw/core/h2_server.h - the server side of one HTTP/2 connection (nghttp2, which does no I/O): bytes in, streams out.
 * Layer: l7gw/core, pure.  Thread rule: one worker.  (RFC 9113)
 * Windows: the receive windows are opened only when body bytes have left for the origin (engine drained()), so a stream
 * parks at most buffer_bytes here and the connection at most L7_H2_CONN_WINDOW; responses wait in stream.resp_body, at
 * most buffer_bytes, until the client's window takes them. Abuse (requirement 50): nghttp2 bounds client resets,
 * CONTINUATION and unsent acknowledgements; we bound useless frames and the resets a client makes us send. */
#pragma once
#include "l7gw/core/stream.h"

struct h2_server;
struct h2_server_conf {
        const struct stream_engine *engine;
        void *conn;
        struct chunk_pool *pool;
        uint32_t buffer_bytes;
        bool tls;
};
int h2_server_new(const struct h2_server_conf *conf, struct h2_server **ret) NONNULL(1, 2) MUST_USE; /* 0 or -ENOMEM */
void h2_server_free(struct h2_server *h); /* after h2_server_gone */
struct chain *h2_server_out(struct h2_server *h) NONNULL(1);
/* 0, or -EPROTO: flush what is in out, then close. */
int h2_server_input(struct h2_server *h, struct span in) NONNULL(1) MUST_USE;
/* Moves frames into out until limit bytes wait there or nothing is left to send. */
int h2_server_output(struct h2_server *h, size_t limit) NONNULL(1) MUST_USE;
bool h2_server_finished(const struct h2_server *h) NONNULL(1); /* nothing to read or write any more: close */
bool h2_server_acknowledged(const struct h2_server *h) NONNULL(1); /* our SETTINGS */
void h2_server_unacknowledged(struct h2_server *h) NONNULL(1);     /* and they are overdue: GOAWAY (RFC 9113 6.5.3) */
size_t h2_server_streams(const struct h2_server *h) NONNULL(1);
size_t h2_server_heads(const struct h2_server *h) NONNULL(1);      /* streams whose request head is not complete */
uint32_t h2_server_requests(const struct h2_server *h) NONNULL(1); /* heads completed so far */
void h2_server_drain(struct h2_server *h, bool final) NONNULL(1);  /* GOAWAY: first the notice, then the real last id */
void h2_server_gone(struct h2_server *h) NONNULL(1);               /* the connection is dead: cancels every stream */
