/* l7gw/io/upstream.h - connections to endpoints: connect with another try elsewhere, pools, one exchange at a time.
 * Layer: l7gw/io.  Thread rule: the worker; each worker has its own pools, newest connection first (LIFO keeps the working
 * set small and lets the rest idle out).
 *
 *   CONNECTING ──▶ ACTIVE (one exchange) ──▶ IDLE (in its peer's pool) ──▶ ACTIVE ... ; any error, or not reusable ──▶ closed */
#pragma once
#include "l7gw/core/h1_client.h"
#include "l7gw/io/proxy.h"

struct peer { /* one endpoint address as this worker knows it */
        struct bind_key key;
        struct upconn *idle; /* newest first */
        size_t n_idle, n_conns;
};
void upstream_begin(struct exchange *x) NONNULL(1);  /* state ROUTE or SEND; ends in CONNECT, SEND, or a failure */
void upstream_detach(struct exchange *x) NONNULL(1); /* cancels what is attached, if anything */
size_t upstream_queued(const struct upconn *u) NONNULL(1);
void upstream_data(struct upconn *u, struct span d) NONNULL(1);
void upstream_request_end(struct upconn *u) NONNULL(1);
void upstream_resume(struct upconn *u) NONNULL(1);   /* the client side has room again */
void upstreams_close_all(struct worker *w) NONNULL(1);
void upstreams_reap(struct worker *w) NONNULL(1);
