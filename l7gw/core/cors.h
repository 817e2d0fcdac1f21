/* l7gw/core/cors.h - cross-origin requests, answered here: which origins a route admits, preflights, response fields.
 * Layer: l7gw/core, pure.  Immutable once built; any thread.  (Fetch 3.2; Gateway API HTTPCORSFilter)
 * A route with this filter speaks for its backend: whatever Access-Control-* the backend sends is replaced. */
#pragma once
#include "l7gw/core/msg.h"
#include "lib/core/model.h"

struct cors;
/* -EINVAL with *reterr, -ENOMEM. */
int cors_build(struct arena *a, const Model__Cors *c, const Model__Source *src, const char *section, const struct cors **ret,
               struct model_error *reterr) NONNULL(1, 2, 5, 6) MUST_USE;
/* The request is a preflight: it is answered here and never forwarded. */
bool cors_is_preflight(const struct msg *req) NONNULL(1);
/* The one Origin of a request, empty when there is none or more than one. */
struct span cors_origin(const struct msg *req) NONNULL(1);
bool cors_admits(const struct cors *c, struct span origin) NONNULL(1);
/* What the answer to an admitted preflight says beside what every response says.  -ENOMEM. */
int cors_preflight_fields(const struct cors *c, const struct msg *req, struct msg *resp) NONNULL(1, 2, 3) MUST_USE;
int cors_response_fields(const struct cors *c, struct span origin, struct msg *resp) NONNULL(1, 3) MUST_USE;
