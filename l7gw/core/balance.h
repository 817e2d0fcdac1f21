/* l7gw/core/balance.h - which endpoint of a cluster serves the next request, as one worker sees it.  Layer: l7gw/core,
 * pure.
 *
 *   ROUND_ROBIN, WEIGHTED  turns by stride scheduling: a heap keyed by each endpoint's next turn, O(log n), exact over
 * a cycle LEAST_REQUEST          two drawn by weight, the one with fewer requests of this worker per weight: O(log n)
 *   RANDOM                 drawn by weight: O(log n)
 *   RING_HASH, MAGLEV      by the request's hash: O(log n), O(1); a request without one goes where RANDOM says
 *
 * Candidates: of the first tier (priority) where at least panic_pct % of the endpoints are usable, those that are;
 * where no tier has so many, all of the first one, sick or not (panic); without a threshold the first tier that has
 * any.  DRAINING endpoints are the last tier.  An endpoint that is not to be had (tried, or refused lately) is passed
 * over: hashes go on to the next of the ring, or by rehashing, so that all shards agree again, and only its own clients
 * move. Slow start: who joins, or comes back, begins with a tenth of his weight (not under hashes). Thread rule: one
 * worker owns a balance; its plan is immutable and shared. */
#pragma once
#include "l7gw/core/balance_plan.h"

enum {                        /* why not, beside the set's own states: bits */
       BALANCE_UNHEALTHY = 1, /* by active checks */
       BALANCE_EJECTED = 2    /* by its answers */
};
enum balance_result {
        BALANCE_OK,
        BALANCE_ERROR /* 5xx */,
        BALANCE_GATEWAY /* 502, 503, 504 */,
        BALANCE_LOCAL /* no answer came */
};
struct balance_state {                                   /* of one endpoint, by its index in the plan */
        uint64_t avoid_until_ms;                         /* connecting failed lately: chosen last */
        uint64_t turn;                                   /* stride scheduling: smallest goes next, modulo 2^64 */
        uint64_t grows_since_ms;                         /* slow start; 0 = grown */
        uint32_t active;                                 /* requests of this worker */
        uint32_t errors, gateway_errors, local_failures; /* in a row */
        uint8_t bad;                                     /* BALANCE_UNHEALTHY | BALANCE_EJECTED */
};
struct balance {
        struct balance_plan *plan; /* NULL: no endpoint yet */
        struct balance_state *state;
        uint32_t *cand; /* indexes of the candidates; under turns a heap */
        uint64_t *cum;  /* their weights, summed up */
        uint32_t n_cand;
        uint32_t tier;
        bool panic;
        uint64_t vtime; /* the turn that was taken last */
};
/* Takes a reference of plan.  What is known of endpoints that stay is kept; `seed` spreads first turns, so that workers
 * do not all begin at the same endpoint.  0 or -ENOMEM (b unchanged). */
int balance_adopt(struct balance *b, struct balance_plan *plan, uint64_t now_ms, uint64_t seed) NONNULL(1, 2) MUST_USE;
void balance_fini(struct balance *b) NONNULL(1);
struct balance_tried {
        struct ipaddr addr;
        uint16_t port;
};
struct balance_ask {
        uint64_t now_ms, rnd;              /* rnd: 64 random bits */
        uint64_t hash;                     /* of what the policy names; 0 = the request has none */
        const struct balance_tried *tried; /* endpoints already refused for this request */
        size_t n_tried;
};
/* The endpoint for this request; one that refused lately when nothing else is left; NULL when there is none at all.
 * Borrowed until the next adoption. */
const struct balance_endpoint *balance_pick(struct balance *b, const struct balance_ask *ask) NONNULL(1, 2) MUST_USE;
const struct balance_endpoint *balance_by_token(const struct balance *b, uint64_t token)
        NONNULL(1); /* DRAINING ones too, bad ones not; NULL */
/* What is known of an address, NULL when the plan has none. */
struct balance_state *balance_state_of(struct balance *b, const struct ipaddr *addr, uint16_t port) NONNULL(1, 2);
/* Counts how a request went.  true: that was as many in a row as the policy allows; counting begins anew.  No answer at all counts
 * as a gateway's error too, and that as a 5xx. */
bool balance_streak(struct balance_state *s, enum balance_result r, const Model__Outlier *o) NONNULL(1, 3);
/* Sets and clears bits of `bad`; who comes back begins slowly. */
void balance_mark(struct balance *b, const struct ipaddr *addr, uint16_t port, uint8_t bad, uint64_t now_ms)
        NONNULL(1, 2);
