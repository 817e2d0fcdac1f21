/* l7gw/core/h2_client.h - the client side of one HTTP/2 connection to an origin (nghttp2, which does no I/O): requests of many
 * streams out, their responses in.  Layer: l7gw/core, pure.  Thread rule: one worker.  (RFC 9113; RFC 8441)
 *
 *   stream.req_body ──▶ DATA, as the origin's windows allow: sent() says what has left
 *   DATA ──▶ down->data() at once; the window is given back when down->room() says that the client takes it.  So a stream
 *            parks at most one window here, and a slow client holds nobody back: the connection's window covers all streams.
 *
 * Ownership: a stream is listed from h2_client_request until over() or h2_client_cancel; the caller keeps it.
 * Calls from inside ops are legal, but for h2_client_free and h2_client_gone. */
#pragma once
#include "l7gw/core/stream.h"

enum h2_client_end {
        H2C_DONE,      /* the response is complete */
        H2C_REFUSED,   /* the origin has not looked at it: it may be sent again, whatever its method (RFC 9113 8.7) */
        H2C_RESET,     /* the origin, or its connection, gave up */
        H2C_BAD,       /* malformed; why says what */
        H2C_NO_MEMORY,
        H2C_AGAIN,     /* head() said -EAGAIN: thrown away */
};
struct h2_client_ops {
        void (*interim)(struct stream *s, const struct msg *m);
        int (*head)(struct stream *s);              /* s->resp is parsed, as h1_client_ops.head */
        void (*data)(struct stream *s, struct span d); /* borrows d: to down->data */
        void (*sending)(struct stream *s, size_t n); /* n bytes at the front of s->req_body are about to leave */
        void (*sent)(struct stream *s);             /* they have */
        void (*over)(struct stream *s, enum h2_client_end end, const char *why); /* s is no longer ours */
        void (*settings)(void *conn);               /* the origin's first SETTINGS are here */
        void (*output)(void *conn);                 /* call h2_client_output soon */
};
struct h2_client;
struct h2_client_conf {
        const struct h2_client_ops *ops;
        void *conn;
        struct chain *out; /* borrowed: the connection's */
        uint32_t buffer_bytes;
        bool tls; /* the scheme */
};
int h2_client_new(const struct h2_client_conf *conf, struct h2_client **ret) NONNULL(1, 2) MUST_USE; /* 0 or -ENOMEM */
void h2_client_free(struct h2_client *h); /* no stream is listed */
/* May this stream begin now?  WAIT: later, perhaps (streams at the limit, or settings that it needs are not here);
 * NEVER: not on this connection; UNABLE: no connection to this origin will do (no extended CONNECT). */
enum h2_client_may { H2C_NOW, H2C_WAIT, H2C_NEVER, H2C_UNABLE };
enum h2_client_may h2_client_may(const struct h2_client *h, const struct stream *s) NONNULL(1, 2);
int h2_client_request(struct h2_client *h, struct stream *s) NONNULL(1, 2) MUST_USE; /* 0; -ENOMEM; -EAGAIN: elsewhere */
void h2_client_data(struct h2_client *h, struct stream *s) NONNULL(1, 2);   /* req_body has grown, or req_done is set */
void h2_client_resume(struct h2_client *h, struct stream *s) NONNULL(1, 2); /* the client side has room */
void h2_client_cancel(struct h2_client *h, struct stream *s) NONNULL(1, 2); /* RST_STREAM; over() is not called */
int h2_client_input(struct h2_client *h, struct span in) NONNULL(1) MUST_USE; /* 0, or -EPROTO: flush, then close */
/* Frames into out until limit bytes wait there.  0, or -EPROTO: it is over, flush, then close. */
int h2_client_output(struct h2_client *h, size_t limit) NONNULL(1) MUST_USE;
void h2_client_goaway(struct h2_client *h) NONNULL(1);     /* ours: the connection is to end */
bool h2_client_leaving(const struct h2_client *h) NONNULL(1); /* no new stream: GOAWAY, or stream ids are used up */
size_t h2_client_streams(const struct h2_client *h) NONNULL(1);
void h2_client_gone(struct h2_client *h) NONNULL(1); /* the connection is dead: over(RESET) for each stream */
