/* l7gw/core/route.h - the compiled routing tables of one configuration generation.  Layer: l7gw/core, pure.
 * Built in PREPARE from the model; immutable afterwards; any thread may read.  Lives in the arena given to build and
 * borrows the model's strings.
 * Precedence: listener (isolation: the most specific hostname of the bind owns the request), then virtual host (exact,
 * then longest wildcard, then any), then its entries in the order the agent sorted them: the first that matches wins.
 * When no entry of the most specific virtual host matches, the next less specific one of the same listener is asked:
 * HTTPRoute.hostnames gives the more specific host precedence, it does not hide the other routes.
 *
 *   bind -> host_index of listeners -> host_index of virtual hosts -> trie of path segments -> few entries per node
 *                                                                  \-> regular expressions, one by one
 *
 * Lookup costs one hash per path segment that the configuration knows, whatever the number of routes; regular expressions
 * of the virtual host are asked in order, and only those that stand before what the trie has found. */
#pragma once
#include "l7gw/core/filter.h"
#include "l7gw/core/match.h"
#include "l7gw/core/msg.h"
#include "lib/core/ipaddr.h"
#include "lib/core/model.h"

struct route_listener { /* one model listener, compiled */
        const Model__Listener *model;
        uint32_t index;               /* dense over the table: for counters */
        const struct route_hosts *hosts;     /* NULL on a TLS listener */
        const struct route_streams *streams; /* server names of a TLS listener; NULL on one of HTTP */
};
static inline bool route_protocol_tls(Model__Listener__Protocol p) /* the three that may share an address and port */
{
        return p == MODEL__LISTENER__PROTOCOL__HTTPS || p == MODEL__LISTENER__PROTOCOL__TLS_PASSTHROUGH ||
               p == MODEL__LISTENER__PROTOCOL__TLS_TERMINATE;
}
struct route_listener_index; /* hostname -> listener */
struct route_bind { /* one address:port, merged over Gateways */
        struct ipaddr addr;
        uint16_t port;
        Model__Listener__Protocol protocol; /* HTTP, or HTTPS where connections begin with TLS */
        bool passthrough;                   /* some of its server names are passed through */
        const struct route_listener **listeners; /* sorted by isolation: most specific hostname first */
        size_t n_listeners;
        const struct route_listener_index *by_host;
};
struct route_mirror {
        uint32_t cluster_index;
        uint32_t share, of; /* of `of` requests, `share` are copied */
};
struct route_mirrors {
        const struct route_mirror *v;
        size_t n;
};
struct route_leg {
        const Model__Leg *model;
        const Model__Cluster *cluster; /* NULL = invalid backend: answer fail_status */
        uint32_t cluster_index;        /* index into model.clusters, for runtime state; valid when cluster != NULL */
        uint64_t weight_end;           /* cumulative weight */
        const struct filter_chain *filters;
        struct route_mirrors mirrors;
};
static inline bool cluster_speaks_h2(const Model__Cluster *c) /* by prior knowledge, or as the first choice of ALPN */
{
        return c->protocol == MODEL__CLUSTER__PROTOCOL__H2C || c->protocol == MODEL__CLUSTER__PROTOCOL__H2_TLS ||
               c->protocol == MODEL__CLUSTER__PROTOCOL__GRPC;
}
struct route_rule {
        const Model__Rule *model;
        const struct filter_chain *filters;
        struct route_mirrors mirrors;
        const struct route_leg *legs;
        size_t n_legs;
        uint64_t weight_total;
        uint32_t index; /* dense: for counters */
};
struct regex_set;
struct route_table {
        const struct route_bind *binds;
        size_t n_binds;
        size_t n_listeners, n_rules;
        struct regex_set *regexes;
};

/* -errno with *reterr naming the object (NACK).  Refuses what this engine does not do yet (UNSUPPORTED). */
int route_table_build(struct arena *a, const struct model *m, const struct route_table **ret, struct model_error *reterr)
        NONNULL(1, 2, 3, 4) MUST_USE;
void route_table_close(const struct route_table *t); /* before its arena is freed; NULL is legal */
/* The listener that owns this host on the bind, or NULL (404).  `host` is msg.host. */
const struct route_listener *route_listener_find(const struct route_bind *b, struct span host) NONNULL(1);
struct route_hit {
        const struct route_rule *rule;
        const Model__RouteEntry *entry; /* what matched, its path in normal form: filters cut the prefix by it */
        const struct route_listener *listener;
};
/* Finds the rule for a request on a listener.  LIMIT: a regular expression that had to be asked gave up; nobody knows
 * which rule is right, so nobody gets the request. */
enum route_rc { ROUTE_NONE, ROUTE_FOUND, ROUTE_LIMIT };
enum route_rc route_find(const struct route_listener *l, const struct msg *req, struct route_hit *ret) NONNULL(1, 2, 3);
/* Why: the entries on the request's way in the order they are asked, at most max; the last is the one that takes it (WHY_MATCH),
 * if any does. */
struct route_candidate {
        const char *hostname; /* of its virtual host; "" = any */
        const Model__RouteEntry *entry;
        const struct route_rule *rule;
        enum match_why why;
        struct span name; /* of the header or parameter that does not match */
};
size_t route_explain(const struct route_listener *l, const struct msg *req, struct route_candidate *ret, size_t max) NONNULL(1, 2, 3);
/* Where the bytes of a connection with this server name go, on a TLS listener; NULL: nowhere. */
const struct route_rule *route_stream_find(const struct route_listener *l, struct span sni) NONNULL(1);
/* Weighted choice among the rule's legs; rnd is uniform 64 bits.  NULL when there is no leg or all weights are 0 (500). */
const struct route_leg *route_pick_leg(const struct route_rule *r, uint64_t rnd) NONNULL(1);
