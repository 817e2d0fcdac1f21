/* l7gw/core/filter.h - filters compiled from the model: header edits, URL rewrite, redirect.  Layer: l7gw/core, pure.
 * Immutable once built; any thread may read.  What cannot be done is refused at build time with the object's source. */
#pragma once
#include "l7gw/core/msg.h"
#include "lib/core/model.h"

struct filter_chain; /* NULL = no filters */
int filter_chain_build(struct arena *a, Model__Filter *const *filters, size_t n, const Model__Source *owner,
                       const char *section, const struct filter_chain **ret, struct model_error *reterr)
        NONNULL(1, 6, 7) MUST_USE;
/* Applies request filters in order to m (its arena takes the new bytes).  `entry` gives the matched prefix. */
int filter_request(const struct filter_chain *fc, const Model__RouteEntry *entry, struct msg *m) NONNULL(3) MUST_USE;
int filter_response(const struct filter_chain *fc, struct msg *m) NONNULL(2) MUST_USE;
/* Builds the Location of a redirect (Gateway API port rules: listener_port is the port the request came to). */
int redirect_location(const Model__Redirect *r, const Model__RouteEntry *entry, const struct msg *req, uint16_t listener_port,
                      struct span *ret, struct arena *a) NONNULL(1, 3, 5, 6) MUST_USE;
