/* l7gw/core/host_index.h - host name -> value: exact, else the longest wildcard, else any.  Layer: l7gw/core, pure.
 * Patterns: "" any; "*.x" one or more labels before ".x"; else exact.  Compared in lower case.  Immutable once built. */
#pragma once
#include "l7gw/core/strindex.h"

struct host_index {
        struct strindex exact, wild; /* wild: keyed by ".x" */
        size_t wild_max;             /* longest key in wild */
        void *any;
};
int host_index_init(struct host_index *h, struct arena *a, const struct siphash_key *k, size_t max) NONNULL(1, 2, 3) MUST_USE;
/* 0; -EEXIST: the pattern is there already; -EINVAL: not a host pattern; -ENOMEM. */
int host_index_put(struct host_index *h, struct arena *a, const char *pattern, void *value) NONNULL(1, 2, 3, 4) MUST_USE;
/* Walks all values whose pattern matches host, most specific first: start with *pos = 0; NULL = no more. */
void *host_index_next(const struct host_index *h, struct span host, size_t *pos) NONNULL(1, 3);
