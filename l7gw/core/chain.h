/* l7gw/core/chain.h - a byte queue made of equal chunks from a free list: no malloc in steady state, no growth by copy.
 * Layer: l7gw/core, pure.  Thread rule: a pool and its chains belong to one worker.
 * Memory is held only while bytes wait.  Errors are sticky: after an allocation failure `failed` is set, later appends
 * do nothing, and the owner closes its connection. */
#pragma once
#include "l7gw/core/engine_limits.tbl.h"
#include "lib/base.h"

struct chunk {
        struct chunk *next;
        uint32_t start, end; /* data[start..end) waits; start < end for every chunk in a chain, unless it is the last */
        uint8_t data[L7_CHUNK_BYTES];
};
struct chunk_pool {
        struct chunk *free;
        size_t n_free, n_live; /* n_live: chunks in chains, for tests of bounded memory */
};
struct chain {
        struct chunk *head, *tail;
        size_t n; /* bytes waiting */
        struct chunk_pool *pool;
        bool failed;
};

void chunk_pool_init(struct chunk_pool *p) NONNULL(1);
void chunk_pool_fini(struct chunk_pool *p) NONNULL(1); /* BUG if a chunk is still in a chain */
void chain_init(struct chain *c, struct chunk_pool *pool) NONNULL(1, 2);
void chain_clear(struct chain *c) NONNULL(1); /* gives all chunks back; usable again */
void chain_add(struct chain *c, const void *p, size_t n) NONNULL(1);
static inline void chain_span(struct chain *c, struct span s)
{
        chain_add(c, s.p, s.n);
}
void chain_move(struct chain *dst, struct chain *src, size_t n)
        NONNULL(1, 2); /* n <= src->n; whole chunks are relinked */
/* Up to max spans of the front, for one gathered send. */
size_t chain_spans(const struct chain *c, struct span *ret, size_t max) NONNULL(1, 2);
struct span chain_front(const struct chain *c) NONNULL(1); /* first contiguous bytes */
void chain_consume(struct chain *c, size_t n) NONNULL(1);
