/* l7gw/core/match.h - the conditions of one match: method, headers, query, a path by regular expression (other
 * paths: route.c).  Layer: l7gw/core, pure.
 * Immutable once built; any thread may read.
 * Headers: names case-insensitive; a header on several lines is compared as one value joined with ","; "host" is the
 * authority as sent, "upgrade" the protocol asked for.
 * Query: names and values are percent-decoded before an exact, case-sensitive comparison; "+" is itself; a bad escape
 * stands for its own characters; of equal names the first counts.
 * Regular expressions are of the whole value: the path in normal form, a header joined, a query parameter decoded. */
#pragma once
#include "l7gw/core/msg.h"
#include "l7gw/core/regex.h"
#include "lib/core/model.h"

enum text_kind { TEXT_EXACT, TEXT_PREFIX, TEXT_SUFFIX, TEXT_PRESENT, TEXT_REGEX };
struct text_match {
        struct span name, value;
        enum text_kind kind;
        bool invert;
        enum field_id id; /* headers */
        const struct regex *regex; /* TEXT_REGEX */
};
struct match {
        struct span method; /* empty = any */
        const struct text_match *headers, *query;
        size_t n_headers, n_query;
        const struct regex *path; /* NULL = judged elsewhere */
        bool grpc;                /* only gRPC requests */
};
/* Refuses with src what it cannot do: -ENOTSUP, -EINVAL, -ENOMEM. */
int match_build(struct arena *a, struct regex_set *rs, const Model__Match *m, const Model__Source *src, const char *section, struct match *ret,
                struct model_error *reterr) NONNULL(1, 2, 3, 6, 7) MUST_USE;
enum match_rc { MATCH_NO, MATCH_YES, MATCH_LIMIT }; /* LIMIT: a regular expression gave up */
enum match_rc match_test(const struct match *m, const struct msg *req) NONNULL(1, 2);
enum match_why { WHY_MATCH, WHY_METHOD, WHY_NOT_GRPC, WHY_HEADER, WHY_QUERY, WHY_PATH, WHY_LIMIT, WHY_N };
/* The first condition that does not hold; *ret_name: which header or parameter. */
enum match_why match_explain(const struct match *m, const struct msg *req, struct span *ret_name) NONNULL(1, 2, 3);
