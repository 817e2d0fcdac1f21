/* l7gw/core/h1_server.h - the server side of one HTTP/1.x connection: bytes in, streams out, bytes back.
 * Layer: l7gw/core, pure (no socket, no clock: l7gw/io/conn feeds it and flushes its out chain).  One stream at a time:
 * pipelined requests wait unread, answers go in order (requirement 36).  Thread rule: one worker.
 *
 *   IDLE ──first byte──▶ HEAD ──head──▶ BODY ──body──▶ WAIT ──response──▶ IDLE
 *   WAIT ──101──▶ TUNNEL          any error, or "close" ──▶ CLOSING */
#pragma once
#include "l7gw/core/h1.h"
#include "l7gw/core/stream.h"

/* clang-format off */
#define H1_SERVER_STATES(S) /* S(STATE, may be followed by) */ \
        S(IDLE, H1S_BIT(HEAD) | H1S_BIT(CLOSING))                 /* between requests */ \
        S(HEAD, H1S_BIT(BODY) | H1S_BIT(WAIT) | H1S_BIT(CLOSING)) /* some bytes of a head have come */ \
        S(BODY, H1S_BIT(WAIT) | H1S_BIT(CLOSING))                 /* request body on its way */ \
        S(WAIT, H1S_BIT(IDLE) | H1S_BIT(TUNNEL) | H1S_BIT(CLOSING)) /* request complete, response not */ \
        S(TUNNEL, H1S_BIT(CLOSING))                               /* upgraded: bytes both ways */ \
        S(CLOSING, H1S_BIT(CLOSING))                              /* the last response is in out; input is thrown away */
/* clang-format on */
enum h1_server_state {
#define S(id, next) H1S_##id,
        H1_SERVER_STATES(S)
#undef S
        H1S_STATE_N
};
#define H1S_BIT(id) (1u << H1S_##id)
struct h1_server {
        const struct stream_engine *engine;
        void *conn;
        struct chain out;
        struct buf *scratch; /* worker's, for heads */
        const struct h1_limits *limits;
        struct stream *s; /* NULL in IDLE and CLOSING */
        struct h1_scan scan;
        struct h1_body body;
        uint32_t buffer_bytes; /* the response window */
        uint32_t n_requests;
        enum h1_server_state state;
        bool tls;
        bool draining;    /* say "close" with the next response */
        bool close_after; /* the response under way is the last */
        bool early;       /* it was answered before its request had ended: linger */
        bool reset;       /* close with RST: the response was cut and only that shows it */
        bool chunked;     /* the response under way is sent chunked */
};
struct h1_server_conf {
        const struct stream_engine *engine;
        void *conn;
        struct chunk_pool *pool;
        struct buf *scratch;
        const struct h1_limits *limits;
        uint32_t buffer_bytes;
        bool tls;
};
void h1_server_init(struct h1_server *h, const struct h1_server_conf *conf) NONNULL(1, 2);
void h1_server_fini(struct h1_server *h) NONNULL(1);
/* Takes a prefix of in and returns its length; the caller keeps the rest and shows it again with more behind it, or
 * when the session wants input again (h1_server_room() > 0). */
size_t h1_server_input(struct h1_server *h, struct span in) NONNULL(1) MUST_USE;
size_t h1_server_room(const struct h1_server *h) NONNULL(1); /* bytes it will take now; 0 = do not read */
void h1_server_flushed(struct h1_server *h) NONNULL(1);      /* out has shrunk */
void h1_server_eof(struct h1_server *h) NONNULL(1);          /* the client has closed its side (requirement 38) */
void h1_server_timeout(struct h1_server *h) NONNULL(1);      /* the client was too slow with its head or body: 408 */
void h1_server_gone(struct h1_server *h) NONNULL(1);         /* the connection is dead: cancel */
void h1_server_drain(struct h1_server *h) NONNULL(1);
