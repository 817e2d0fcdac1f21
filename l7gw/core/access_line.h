/* l7gw/core/access_line.h - one access log line: a JSON object of one request.  Layer: l7gw/core, pure.
 * Untrusted text is escaped by lib/core/json.  Thread rule: one worker. */
#pragma once
#include "l7gw/core/reasons.tbl.h"
#include "lib/core/buf.h"
#include "lib/core/ipaddr.h"

struct access_route { /* where the rule came from; kind NULL = no rule */
        const char *kind, *ns, *name;
        unsigned rule, match;
};
struct access_record {
        uint64_t time_us;                      /* Unix microseconds of the request's first byte or head */
        struct ipaddr client, local, upstream; /* upstream.af 0 = none */
        uint16_t client_port, local_port, upstream_port;
        const char *listener, *tls_version; /* NULL = null */
        struct access_route route;
        struct span sni, method, authority, path, query, request_id;
        bool has_query;
        unsigned http_minor; /* 0, 1, or 2 for HTTP/2 */
        unsigned status;     /* what the client was told; 0 = nothing */
        enum reason reason;
        bool complete;
        uint64_t bytes_in, bytes_out, duration_us, upstream_us;
        unsigned tries;
};
void access_line_write(struct buf *out, const struct access_record *r) NONNULL(1, 2); /* with the newline */
