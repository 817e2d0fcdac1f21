/* lib/core/map.h - string-keyed hash table (open addressing, keyed SipHash).  Layer: lib/core, pure.
 * Thread rule: one writer, or many readers.  Ownership: copies neither keys nor values; a key's bytes must live as long
 * as the entry.  Grows by doubling; -ENOMEM leaves the map unchanged. */
#pragma once
#include "lib/core/hash.h"

struct map_slot {
        struct span key;
        void *value; /* NULL = empty, MAP_TOMB = removed */
};
struct map {
        struct map_slot *slots;
        size_t n, n_used, cap; /* live entries, live + tombs, power of two */
        struct siphash_key key; /* the process key at the time of map_init */
};
/* Sets the key of maps initialised from now on, so that whoever chooses names cannot choose collisions.  Randomness is an
 * effect, so it comes from io: map_seed_random (lib/io/random.h), called first thing in each daemon's main.  Tests run with
 * the fixed default. */
void map_seed(const struct siphash_key *k) NONNULL(1);

void map_init(struct map *m) NONNULL(1);
void map_fini(struct map *m) NONNULL(1);
void *map_get(const struct map *m, struct span key) NONNULL(1);           /* NULL = absent */
int map_put(struct map *m, struct span key, void *value) NONNULL(1, 3) MUST_USE; /* replaces; 0 or -ENOMEM */
void *map_del(struct map *m, struct span key) NONNULL(1);                 /* the removed value or NULL */
/* Iteration: for (size_t i = 0; map_next(&m, &i, &k, &v);) ...  Order is unspecified: sort before output. */
bool map_next(const struct map *m, size_t *i, struct span *ret_key, void **ret_value) NONNULL(1, 2);
