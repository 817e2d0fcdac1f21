/* l7gw/core/path.h - request-target normalisation: one normal form for routing AND forwarding.  Layer: l7gw/core, pure.
 * Requirements 26-28: percent-encoding validated and written in upper case, unreserved characters decoded, characters that
 * RFC 3986 allows nowhere raw in a path (" < > ^ ` { | }) encoded, dot segments resolved, %2F and %5C kept opaque, no slash
 * merging; ".." above the root, bad escapes, %00, CTLs, spaces, backslash, "#", raw non-ASCII: refused.  (RFC 3986 6.2.2)
 * The query is checked and never altered. */
#pragma once
#include "lib/core/arena.h"

/* in starts with "/" and has no query.  0 and *ret in a, or -EINVAL / -ENOMEM.  Idempotent. */
int path_normalise(struct arena *a, struct span in, struct span *ret) NONNULL(1, 3) MUST_USE;
/* Only CH_TARGET characters: printable ASCII but "#" and "\".  Percent-escapes are not judged: nobody routes by them raw. */
bool query_is_valid(struct span query);
/* "path[?query]" (origin-form, or the :path of HTTP/2) -> normal path and the query, which borrows from in. */
int target_split(struct arena *a, struct span in, struct span *ret_path, struct span *ret_query, bool *ret_has_query)
        NONNULL(1, 3, 4, 5) MUST_USE;
/* host[:port] -> routing form (see msg.host) and port.  -EINVAL on userinfo, bad characters or port.
 * Accepts host names and IPv4 (CH_HOST, no empty label, one trailing dot, 255 bytes) and bracketed IPv6 (RFC 5952 form
 * comes out).  A port is 1 to 65535; "host:" with nothing after it is refused. */
int authority_split(struct arena *a, struct span in, struct span *ret_host, uint16_t *ret_port) NONNULL(1, 3, 4) MUST_USE;
/* 80, 443, or 0 for another scheme. */
uint16_t scheme_port(struct span scheme);
