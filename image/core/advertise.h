/* image/core/advertise.h - which prefixes the routers should hear of, and the words of BIRD's control socket.
 * Layer: image/core, pure.  Thread rule: values.
 * A prefix is advertised while l4lb has somewhere to send its packets to: one service with a VIP inside it, of which one pool
 * has a backend that passes its health check.  Before the first check nothing is: a router that hears of us sends at once. */
#pragma once
#include "image/core/limits.tbl.h"
#include "lib/core/ipaddr.h"

#define ADVERTISE_NAME_MAX 32
struct advertise_pool {                /* one `protocol static NAME` of BIRD, which holds the prefix */
        char protocol[ADVERTISE_NAME_MAX];
        struct ipprefix prefix;
        bool wanted;
};
struct advertise_service { /* of l4lb; one row for each pool that it has */
        struct ipaddr vip;
        const char *pool; /* borrowed */
};
struct advertise_backend {
        const char *pool, *state; /* borrowed; state as l4lb says it: up, down, unknown, draining ... */
        bool checked;             /* it has a health check: "unknown" is then not yet good */
};
/* Sets wanted of every pool. */
void advertise_judge(const struct advertise_service *s, size_t n_services, const struct advertise_backend *b, size_t n_backends,
                     struct advertise_pool *pools, size_t n_pools);

/* A protocol's name: letters, digits and '_', as BIRD's own symbols; nothing that could be a second command. */
bool advertise_is_name(const char *s) NONNULL(1);
enum bird_rc { BIRD_OK, BIRD_MORE, BIRD_ERROR, BIRD_BAD };
/* One answer of BIRD: lines "1234-text" and " text", ended by "1234 text".  OK and ERROR (8xxx: failed, 9xxx: not understood)
 * set *ret_used to its length; MORE: not all of it is here; BAD: BIRD does not speak like this. */
enum bird_rc bird_answer(struct span in, size_t *ret_used) NONNULL(2) MUST_USE;
