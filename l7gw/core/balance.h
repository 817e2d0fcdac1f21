/* l7gw/core/balance.h - which endpoint of a set serves the next request.  Layer: l7gw/core, pure.
 * Weighted round robin by stride scheduling: a heap keyed by each endpoint's next turn; O(log n) per choice, exact over
 * any whole cycle.  Candidates: the READY endpoints of the best priority that has one; DRAINING ones only when no READY
 * exists. Thread rule: one worker owns a balance; the set it was built from is immutable and shared. */
#pragma once
#include "lib/core/ipaddr.h"
#include "lib/model.pb-c.h"

struct balance_endpoint {
        struct ipaddr addr;
        uint16_t port;
        Model__EndpointState state;
        uint32_t weight, priority;
        uint64_t avoid_until_ms; /* connecting failed lately: chosen last */
        uint64_t turn;           /* stride scheduling: smallest goes next */
        uint64_t token;          /* l7gw/core/session */
};
struct balance {
        uint64_t version;
        struct balance_endpoint *eps;
        size_t n;
        uint32_t *heap; /* indexes of the candidates */
        size_t n_heap;
};
/* Replaces b's contents from a set; `seed` spreads the first turns so that workers do not all begin at the same
 * endpoint. Keeps avoid_until_ms of endpoints that stay.  0 or -ENOMEM (b unchanged). */
int balance_build(struct balance *b, const Model__EndpointSet *set, uint64_t seed) NONNULL(1, 2) MUST_USE;
void balance_fini(struct balance *b) NONNULL(1);
/* The next endpoint that is neither in tried[0..n_tried) (addresses of endpoints already refused for this request) nor
 * being avoided; an avoided one when nothing else is left; NULL when there is none at all.  Borrowed until the next
 * build. */
struct balance_tried {
        struct ipaddr addr;
        uint16_t port;
};
struct balance_endpoint *balance_pick(struct balance *b, uint64_t now_ms, const struct balance_tried *tried,
                                      size_t n_tried) NONNULL(1) MUST_USE;
struct balance_endpoint *balance_by_token(struct balance *b, uint64_t token) NONNULL(1); /* DRAINING ones too; NULL */
/* The endpoint with that address, NULL when the set has none. */
struct balance_endpoint *balance_find(struct balance *b, const struct ipaddr *addr, uint16_t port) NONNULL(1, 2);
