/* l7gw/io/proxy.h - the engine behind the sessions: takes a request, decides, finds an endpoint, relays, accounts.
 * Layer: l7gw/io; decisions are core/dispatch's and core/balance's, bytes are core/h1_client's.  Thread rule: one
 * worker.
 *
 *   request ─▶ dispatch ─▶ local answer                                              ─▶ close: log, count, free
 *                      └─▶ upstream_begin ─▶ connected ─▶ request ─▶ response ─▶ end ─┘ */
#pragma once
#include "l7gw/core/dispatch.h"
#include "l7gw/io/conn.h"

struct mirror;
struct peer;
struct replay { /* l7gw/io/replay */
        const Model__Retry *policy; /* NULL: the route has none */
        struct chain body;          /* what of the request body went out */
        struct timer timer;
        unsigned n; /* retries so far */
        uint32_t delay_ms;
        bool lost, fresh; /* no further try; not on a pooled connection */
};
struct exchange {
        struct stream s; /* first: a stream of ours is an exchange */
        struct worker *w;
        struct conn *conn;
        struct worker_gen *wg; /* NULL until the head is complete */
        struct dispatch d;
        const struct gen_cluster *cluster;
        struct upconn *up;      /* NULL: none attached */
        struct peer *wait_peer; /* waiting there for a connection; NULL: not waiting */
        struct exchange *wait_next, **wait_pprev;
        uint64_t wait_since_ms;
        struct balance_tried tried[L7_TRIES];
        unsigned n_tried;
        uint64_t body_taken;    /* request body bytes of this try that cannot be replayed any more */
        struct timer try_timer; /* one try on a connection that it shares */
        uint64_t try_since_ms;
        uint8_t gates; /* bit (1 << BREAKER_...): what it holds of its cluster's breaker */
        bool charged; /* counted as a request of the endpoint up_addr:up_port */
        bool expect, no_reuse, prefer_other; /* prefer_other: tried[0] is only not wanted */
        struct replay replay;
        struct mirror *mirrors; /* copies that still take its body */
        enum reason reason, up_reason; /* what the log says; why the last try failed */
        unsigned status;
        struct timer timer;
        uint64_t total_deadline_ms, progress_ms;
        struct { /* the body rate, measured window by window */
                uint64_t since_ms, bytes; /* when this window began, s.req_bytes then */
                bool off, blocked;        /* blocked: we held the client back in this window, no rate can be told */
        } rate;
        struct { /* an HTTP/2 client that opens no window for what waits */
                uint64_t since_ms, sent; /* s.resp_sent at that time */
        } reader;
        uint32_t idle_ms;
        uint64_t start_us, start_wall_us, up_start_us, up_us;
        unsigned tries;
        struct ipaddr up_addr;
        uint16_t up_port;
        struct exchange *next_free;
        char request_id[33];
        struct span authority, path, query; /* as asked, before filters */
        bool has_query;
};
extern const struct stream_engine proxy_engine;

/* For io/mirror: the parts of an exchange that do not depend on a client. */
void exchange_init(struct exchange *x, struct worker *w) NONNULL(1, 2); /* keeps the arena, resets the rest */
void exchange_deadlines(struct exchange *x, uint32_t idle_ms) NONNULL(1); /* 0: the rule's, else the daemon's */

/* Called by io/upstream. */
void proxy_fail(struct exchange *x, enum reason r) NONNULL(1); /* answers or cuts; x is the session's afterwards */
void proxy_response_end(struct exchange *x) NONNULL(1);        /* the upstream's response is complete; same */
int proxy_response_head(struct stream *s) NONNULL(1) MUST_USE; /* h1_client_ops.head */
void proxy_interim(struct stream *s, const struct msg *m) NONNULL(1, 2);
void proxy_progress(struct exchange *x) NONNULL(1);
void proxy_drained(struct exchange *x) NONNULL(1); /* the upstream queue has shrunk */
void proxy_free_pools(struct worker *w) NONNULL(1);
