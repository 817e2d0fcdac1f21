/* l7gw/io/upstream_priv.h - between the upstream files.  Layer: l7gw/io; private to them.  Thread rule: the worker.
 *   upstream.c     peers, pools, waiting, connecting, which try is next
 *   upstream_h1.c  one exchange on a connection, HTTP/1.1          upstream_h2.c  many, HTTP/2
 *   upstream_pick.c  which endpoint           upstream_breaker.c  limits of a cluster
 *   upstream_io.c  the bytes of a connection, over TLS or not */
#pragma once
#include "l7gw/core/h1_client.h"
#include "l7gw/core/h2_client.h"
#include "l7gw/io/tls.h"
#include "l7gw/io/upstream.h"

enum up_state { UP_CONNECTING, UP_ACTIVE, UP_IDLE, UP_MUX, UP_DEAD };
struct upconn {
        struct loop_fd f;
        struct worker *w;
        struct upconn *next, **pprev;           /* all of the worker, then the dead */
        struct upconn *idle_next, **idle_pprev; /* its peer's pool; MUX: its peer's connections of HTTP/2 */
        struct loop_defer defer;
        struct sendop send;
        struct timer timer; /* connecting, one try, or idle in the pool */
        struct peer *peer;
        uint64_t start_ms; /* when connecting began */
        struct breaker *breaker; /* a reference, if its cluster has limits: it counts as a connection there */
        struct tls *tls;   /* NULL: cleartext */
        struct chain out;
        enum up_state state;
        bool readable, writable, hup, send_failed;
        uint32_t n_requests;
        /* HTTP/2 */
        struct h2_client *h2; /* NULL: HTTP/1.1 */
        bool settled;         /* the endpoint's SETTINGS are here */
        uint64_t received_ms; /* when anything came last */
        /* HTTP/1.1 */
        struct exchange *x; /* NULL unless ACTIVE */
        struct h1_client h;
        struct buf in; /* part of a head, or what the client side had no room for */
        bool reused;
        bool held;               /* the request waits for the end of the turn: its head is in out, its body in s.req_body */
        bool fin;                /* the client's half of a tunnel has ended: so does ours, once all is sent */
        uint64_t sent, received; /* bytes of this exchange */
};

/* upstream.c */
void up_attach(struct exchange *x, struct upconn *u) NONNULL(1, 2);
void up_detach(struct exchange *x) NONNULL(1);
void up_close(struct upconn *u) NONNULL(1);
void up_queue(struct upconn *u) NONNULL(1); /* what waits in out goes at the end of the round */
void up_to_pool(struct upconn *u, uint32_t keep_ms) NONNULL(1); /* a connection without a request: to a waiter, or kept */
void up_continue(struct exchange *x) NONNULL(1);                /* 100, if the client waits for it */
void up_connect_failed(struct upconn *u, enum reason r) NONNULL(1);
void up_wait_remove(struct exchange *x) NONNULL(1);
void up_waiters_move(struct peer *p, uint64_t until_ms, enum reason r) NONNULL(1);
uint32_t up_keep_ms(const struct upconn *u) NONNULL(1); /* an idle connection of this peer is worth keeping for so long */
void up_peer_put(struct worker *w, struct peer *p) NONNULL(1, 2);
void up_abandon(struct exchange *x) NONNULL(1); /* of a used connection, nothing is sent: on a fresh one */
struct up_try { /* what is known of a try that failed */
        bool reused; /* its connection had served before */
        bool silent; /* nothing of a response came */
        bool unsent; /* the endpoint has not looked at it */
};
void up_try_failed(struct exchange *x, enum reason r, struct up_try t) NONNULL(1); /* detached: again, or the end */

/* upstream_breaker.c */
void up_leave(struct exchange *x, enum breaker_gate g) NONNULL(1); /* gives back this one, if it has it */
/* One more connection to p, for x.  Where it has none it always may have one, lest nobody ever serve who waits.  true: counted. */
bool up_connection_take(const struct exchange *x, const struct peer *p) NONNULL(1, 2) MUST_USE;
struct breaker *up_connection_taken(const struct exchange *x) NONNULL(1) MUST_USE; /* what the connection keeps of it; NULL: no limits */
void up_connection_gone(struct breaker *b);                                        /* and gives back */
void up_queue_begin(struct exchange *x) NONNULL(1); /* how long it may wait for a connection */
void up_queue_end(struct exchange *x) NONNULL(1);

/* upstream_pick.c */
const struct balance_endpoint *up_pick(struct exchange *x) NONNULL(1) MUST_USE; /* x is charged to it; NULL: there is none */
void up_avoid(struct exchange *x, enum reason r) NONNULL(1); /* it cannot be connected: x may go on elsewhere */
void up_result(struct exchange *x, enum balance_result r) NONNULL(1); /* how its endpoint did */
void up_discharge(struct exchange *x) NONNULL(1);            /* x is no request of its endpoint any more, if it was one */

/* upstream_h1.c */
void up1_send(struct upconn *u) NONNULL(1); /* the request of u->x */
void up1_data(struct upconn *u, struct span d) NONNULL(1);
void up1_end(struct upconn *u) NONNULL(1);
void up1_read(struct upconn *u) NONNULL(1);
void up1_run(struct upconn *u) NONNULL(1);
bool up1_let_go(struct upconn *u) NONNULL(1) MUST_USE; /* the last look before its request goes; false: it went another way */
void up1_timer(struct upconn *u) NONNULL(1);

/* upstream_h2.c */
bool mux_begin(struct peer *p, struct exchange *x) NONNULL(1, 2) MUST_USE; /* true: taken, or failed for good */
void mux_data(struct exchange *x, struct span d) NONNULL(1);               /* also the end: s.req_done */
void mux_cancel(struct exchange *x) NONNULL(1);
int mux_open(struct upconn *u) NONNULL(1) MUST_USE; /* 0 or -ENOMEM */
void mux_unlink(struct upconn *u) NONNULL(1);
void mux_run(struct upconn *u) NONNULL(1);
void mux_timer(struct upconn *u) NONNULL(1);

/* upstream_io.c */
/* As recv(), into a buffer of the worker's. */
ssize_t up_recv(struct upconn *u, size_t want, const uint8_t **ret_p) NONNULL(1, 3) MUST_USE;
bool up_has_input(const struct upconn *u) NONNULL(1); /* up_recv may have bytes */
size_t up_unsent(const struct upconn *u) NONNULL(1);
void up_last_words(struct upconn *u) NONNULL(1); /* sends what it can, at once: the connection is about to be closed */
/* Looks now: nothing to read, neither an end nor a response that nobody asked for.  (Over TLS it may be a mere session
 * ticket: then another connection is as good.) */
bool up_is_quiet(const struct upconn *u) NONNULL(1);
bool up_is_idle(struct upconn *u) NONNULL(1);          /* TLS has records of its own, session tickets mostly: that was all */
enum tls_rc up_handshake(struct upconn *u) NONNULL(1) MUST_USE; /* TCP is there: TLS, one step at a time */
void up_goodbye(struct upconn *u) NONNULL(1);          /* close_notify, if there is TLS */
