/* lib/core/maglev.h - hash -> backend (Maglev, NSDI '16, section 3.4, weighted).  Layer: lib/core, pure.
 * Thread rule: immutable once built, any thread may read; the reference count belongs to the control thread.
 * Invariants: n_slots is prime and >= 100 * backends (up to 65537); every cell is one of the given indexes.
 * Deterministic: the cells depend on ids, weights and the seed, not on the order or the indexes of the backends. */
#pragma once
#include "lib/base.h"

#define MAGLEV_SLOTS_MAX 65537
struct maglev_backend {
        uint64_t id;     /* cluster-wide identity: decides the permutation */
        uint32_t weight; /* relative, >= 1 */
        uint16_t index;  /* what the cells hold */
};
struct maglev {
        unsigned refs;
        uint32_t n_slots;
        uint32_t n_backends;
        uint16_t cells[];
};
/* 0 with one reference; -EINVAL (no backend, equal ids), -E2BIG (over 65535), -ENOMEM.  Borrows be. */
int maglev_new(const struct maglev_backend *be, size_t n, uint64_t seed, struct maglev **ret) NONNULL(1, 4) MUST_USE;
struct maglev *maglev_get(struct maglev *m);
void maglev_put(struct maglev *m);
uint32_t maglev_slots_for(size_t n_backends); /* the prime used for so many */
bool maglev_equal(const struct maglev *a, const struct maglev *b); /* same cells */
static inline uint16_t maglev_pick(const struct maglev *m, uint64_t hash)
{
        return m->cells[(uint64_t)(uint32_t)hash * m->n_slots >> 32]; /* multiply-shift: no division */
}
