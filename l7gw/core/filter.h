/* l7gw/core/filter.h - filters compiled from the model: header edits, URL rewrite, redirect, CORS.  Layer: l7gw/core, pure.
 * Immutable once built; any thread may read.  What cannot be done is refused at build time with the object's source.
 * Ownership: a chain lives in the arena given to build and borrows the model's strings (keep the model as long). */
#pragma once
#include "l7gw/core/cors.h"
#include "l7gw/core/msg.h"
#include "lib/core/model.h"

struct filter_chain; /* NULL = no filters */
/* Refusals name the filter's own source, else owner. */
int filter_chain_build(struct arena *a, Model__Filter *const *filters, size_t n, const Model__Source *owner,
                       const char *section, const struct filter_chain **ret, struct model_error *reterr)
        NONNULL(1, 6, 7) MUST_USE;
/* True when a rewrite or redirect of the chain replaces the matched prefix: then every match of the rule must be a prefix match. */
bool filter_chain_needs_prefix(const struct filter_chain *fc);
/* The redirect of a single backend, or NULL: then nobody is asked. */
const Model__Redirect *filter_chain_redirect(const struct filter_chain *fc);
const struct cors *filter_chain_cors(const struct filter_chain *fc); /* NULL = none */
/* True when the chain changes the path: a prefix of it can not be replaced after that, and whoever asks is refused. */
bool filter_chain_edits_path(const struct filter_chain *fc);
/* Applies request filters in order to m (its arena takes the new bytes).  `entry` (of struct route_hit) gives the matched
 * prefix.  0 or -ENOMEM: answer 503.  Within one HeaderEdit: set, then add (a line of its own after those present), then
 * remove.  A rewrite changes authority and host, path; the query stays. */
int filter_request(const struct filter_chain *fc, const Model__RouteEntry *entry, struct msg *m) NONNULL(3) MUST_USE;
int filter_response(const struct filter_chain *fc, struct msg *m) NONNULL(2) MUST_USE;

/* What a redirect of the model must hold: -errno with *reterr, called by the route builder. */
int redirect_check(const Model__Redirect *r, const Model__Source *owner, const char *section, struct model_error *reterr)
        NONNULL(1, 4) MUST_USE;
/* Builds the Location of a redirect (Gateway API port rules: listener_port is the port the request came to).  Absolute URI;
 * query kept; every byte that may not stand in a URI percent-encoded.  -EINVAL when neither the redirect nor the request
 * names a host (HTTP/1.0): answer 400.  -ENOMEM: 503. */
int redirect_location(const Model__Redirect *r, const Model__RouteEntry *entry, const struct msg *req, uint16_t listener_port,
                      struct span *ret, struct arena *a) NONNULL(1, 3, 5, 6) MUST_USE;
