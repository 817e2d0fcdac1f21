/* l7gw/core/session.h - session persistence: a token in a cookie or a header that leads back to one endpoint.
 * Layer: l7gw/core, pure.  (Gateway API GEP-1619)
 * The token is a hash of address and port, equal on all shards, so nobody has to remember anything; it names an endpoint
 * without telling its address.  "TOKEN" or "TOKEN.BORN": with an absolute timeout the client carries the time the session
 * began (it may lie: that only keeps its own session). */
#pragma once
#include "l7gw/core/msg.h"
#include "lib/core/ipaddr.h"
#include "lib/core/model.h"

uint64_t session_token(const struct ipaddr *addr, uint16_t port) NONNULL(1); /* never 0 */
/* What a route with persistence must hold: -EINVAL with *reterr. */
int session_check(const Model__Persistence *p, const Model__Source *src, const char *section, struct model_error *reterr)
        NONNULL(1, 4) MUST_USE;
/* The tokens a request carries, at most max (browsers send those of several paths); expired ones are left out. */
size_t session_read(const Model__Persistence *p, const struct msg *req, uint64_t now_s, uint64_t *ret, size_t max) NONNULL(1, 2, 4);
/* Tells the client its token.  path: what the cookie is for.  -ENOMEM. */
int session_write(const Model__Persistence *p, uint64_t token, uint64_t now_s, struct span path, bool tls, struct msg *resp)
        NONNULL(1, 6) MUST_USE;
