/* l7gw/io/upstream_priv.h - between upstream.c (life of a connection, requests) and upstream_io.c (its bytes, over TLS or not).
 * Layer: l7gw/io; private to them.  Thread rule: the worker. */
#pragma once
#include "l7gw/io/tls.h"
#include "l7gw/io/upstream.h"

enum up_state { UP_CONNECTING, UP_ACTIVE, UP_IDLE, UP_DEAD };
struct upconn {
        struct loop_fd f;
        struct worker *w;
        struct upconn *next, **pprev;           /* all of the worker, then the dead */
        struct upconn *idle_next, **idle_pprev; /* its peer's pool */
        struct loop_defer defer;
        struct timer timer; /* connecting, one try, or idle in the pool */
        struct peer *peer;
        struct exchange *x; /* NULL unless ACTIVE */
        uint64_t start_ms;  /* when connecting began */
        struct tls *tls;    /* NULL: cleartext */
        struct h1_client h;
        struct chain out;
        struct buf in; /* part of a head, or what the client side had no room for */
        enum up_state state;
        bool readable, writable, hup;
        bool reused, send_failed;
        bool fin; /* the client's half of a tunnel has ended: so does ours, once all is sent */
        uint64_t sent, received; /* bytes of this exchange */
        uint64_t body_taken;     /* request body bytes that cannot be replayed any more */
        uint32_t n_requests;
};

/* As recv(), into a buffer of the worker's. */
ssize_t up_recv(struct upconn *u, size_t want, const uint8_t **ret_p) NONNULL(1, 3) MUST_USE;
bool up_has_input(const struct upconn *u) NONNULL(1); /* up_recv may have bytes */
ssize_t up_send(struct upconn *u) NONNULL(1) MUST_USE; /* as socket_send(), from u->out */
/* The socket was looked at just now: nothing to read, neither an end nor a response that nobody asked for.  (Over TLS it
 * may be a mere session ticket: then another connection is as good.) */
bool up_is_quiet(const struct upconn *u) NONNULL(1);
bool up_is_idle(struct upconn *u) NONNULL(1);          /* TLS has records of its own, session tickets mostly: that was all */
enum tls_rc up_handshake(struct upconn *u) NONNULL(1) MUST_USE; /* TCP is there: TLS, one step at a time */
void up_goodbye(struct upconn *u) NONNULL(1);          /* close_notify, if there is TLS */
