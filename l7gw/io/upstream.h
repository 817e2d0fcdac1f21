/* l7gw/io/upstream.h - connections to endpoints: connect with another try elsewhere, pools, HTTP/1.1 and HTTP/2.
 * Layer: l7gw/io.  Thread rule: the worker; each worker has its own pools, newest connection first (LIFO keeps the
 * working set small and lets the rest idle out).
 *
 *   CONNECTING (TCP, TLS) ──▶ ACTIVE (one exchange) ──▶ IDLE (in its peer's pool) ──▶ ACTIVE ...
 *                             └──▶ MUX (HTTP/2: exchanges come and go)
 *   any error, or not reusable ──▶ closed
 *
 * A connection being made belongs to no request: requests wait at the peer and get whichever connection is usable
 * first, a new one or one that another request has just finished with.  At most L7_CONNECTS_PER_PEER are made at once,
 * so a burst of requests does not become a burst of SYNs that overflows the endpoint's backlog. */
#pragma once
#include "l7gw/io/proxy.h"

struct peer { /* one endpoint address, spoken to in one way, as this worker knows it; lives while it has a connection or a waiter */
        struct peer_key {
                struct bind_key addr;
                uint8_t tls[TLS_UPSTREAM_KEY_BYTES]; /* zero: cleartext */
                uint8_t h2;
                /* Only where `own`, else these bytes are no part of the key.  A connection that began with a PROXY header belongs
                 * to one client; one that a limit counts, to its cluster. */
                uint8_t own;
                uint8_t proxy_version;                /* 0: no header */
                struct bind_key proxy_src, proxy_dst; /* zero: no addresses are told */
                uint8_t cluster[8];                   /* hash of its id; zero: shared by all clusters with this endpoint */
        } key;
        struct ipaddr addr;
        uint16_t port;
        struct upconn *idle;                     /* newest first */
        struct upconn *muxes;                    /* HTTP/2 */
        struct exchange *waiters, **waiters_end; /* oldest first */
        size_t n_idle, n_conns, n_connecting, n_waiters; /* n_conns: connections, and whoever holds the peer for a moment */
        size_t n_live;                                   /* connections alone */
        struct loop_defer kick;                          /* connections for those who wait, at the end of the turn */
        size_t n_header; /* the PROXY header its connections begin with */
        uint8_t header[];
};
void upstream_begin(struct exchange *x)
        NONNULL(1); /* state ROUTE, CONNECT or SEND; ends waiting, in SEND, or in a failure */
void upstream_detach(struct exchange *x) NONNULL(1); /* cancels what is attached, if anything */
size_t upstream_queued(const struct exchange *x) NONNULL(1); /* request bytes at its connection, framing included */
/* Of an exchange that is attached. */
void upstream_data(struct exchange *x, struct span d) NONNULL(1);
void upstream_request_end(struct exchange *x) NONNULL(1);
void upstream_resume(struct exchange *x) NONNULL(1); /* the client side has room again */
/* Limits of its cluster.  A request, or a retry, that is one too many: false. */
bool upstream_admit(struct exchange *x, enum breaker_gate g) NONNULL(1) MUST_USE;
void upstream_release(struct exchange *x) NONNULL(1); /* it is over: gives back what it has taken; its generation is still held */
/* For the judgement of endpoints: how one did. */
void upstream_result(struct worker *w, const struct gen_cluster *c, const struct ipaddr *addr, uint16_t port, enum balance_result r) NONNULL(1, 2, 3);
void upstream_answered(struct exchange *x, unsigned status) NONNULL(1); /* a final status came */
void upstream_overdue(struct exchange *x) NONNULL(1);                   /* the request's time is over */
void upstreams_close_all(struct worker *w) NONNULL(1);
void upstreams_reap(struct worker *w) NONNULL(1);
