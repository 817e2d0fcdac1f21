/* l7gw/core/match.h - the conditions of one match besides the path: method, headers, query.  Layer: l7gw/core, pure.
 * Immutable once built; any thread may read.
 * Headers: names case-insensitive; a header on several lines is compared as one value joined with ","; "host" is the
 * authority as sent, "upgrade" the protocol asked for.
 * Query: names and values are percent-decoded before an exact, case-sensitive comparison; "+" is itself; a bad escape
 * stands for its own characters; of equal names the first counts. */
#pragma once
#include "l7gw/core/msg.h"
#include "lib/core/model.h"

enum text_kind { TEXT_EXACT, TEXT_PREFIX, TEXT_SUFFIX, TEXT_PRESENT };
struct text_match {
        struct span name, value;
        enum text_kind kind;
        bool invert;
        enum field_id id; /* headers */
};
struct match {
        struct span method; /* empty = any */
        const struct text_match *headers, *query;
        size_t n_headers, n_query;
};
/* Refuses with src what it cannot do: -ENOTSUP, -EINVAL, -ENOMEM. */
int match_build(struct arena *a, const Model__Match *m, const Model__Source *src, const char *section, struct match *ret,
                struct model_error *reterr) NONNULL(1, 2, 5, 6) MUST_USE;
bool match_test(const struct match *m, const struct msg *req) NONNULL(1, 2);
