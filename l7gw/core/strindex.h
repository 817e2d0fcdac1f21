/* l7gw/core/strindex.h - an immutable string index in an arena: (scope, bytes) -> value.  Layer: l7gw/core, pure.
 * Open addressing, at most half full, SipHash with a key from the configuration's hash: the same table on every node, and
 * a tenant cannot aim collisions at a neighbour.  Built by one thread, then read by any. */
#pragma once
#include "lib/core/arena.h"
#include "lib/core/hash.h"

struct strindex_slot {
        struct span key;
        void *value; /* NULL = empty */
        uint32_t scope, tag; /* tag: upper hash bits, spares the key compare */
};
struct strindex {
        struct strindex_slot *slots; /* NULL when made for 0 keys */
        uint32_t mask, n, max;
        struct siphash_key hash_key;
};
int strindex_init(struct strindex *ix, struct arena *a, const struct siphash_key *k, size_t max) NONNULL(1, 2, 3) MUST_USE;
/* Borrows key.  BUG beyond max.  Returns the value already there, else NULL and value is stored. */
void *strindex_put(struct strindex *ix, uint32_t scope, struct span key, void *value) NONNULL(1, 4);
void *strindex_get(const struct strindex *ix, uint32_t scope, struct span key) NONNULL(1); /* NULL = absent */
