/* l7gw/core/path.h - request-target normalisation: one normal form for routing AND forwarding.  Layer: l7gw/core, pure.
 * Requirements 26-28: percent-encoding validated, unreserved characters decoded, dot segments resolved, %2F and %5C kept
 * opaque (in upper case), no slash merging; ".." above the root, bad escapes, %00, CTLs, spaces, backslash, raw non-ASCII:
 * refused.  (RFC 3986 6.2.2) */
#pragma once
#include "lib/core/arena.h"

/* in starts with "/" and has no query.  0 and *ret in a, or -EINVAL / -ENOMEM. */
int path_normalise(struct arena *a, struct span in, struct span *ret) NONNULL(1, 3) MUST_USE;
/* host[:port] -> routing form (see msg.host) and port.  -EINVAL on userinfo, bad characters or port. */
int authority_split(struct arena *a, struct span in, struct span *ret_host, uint16_t *ret_port) NONNULL(1, 3, 4) MUST_USE;
