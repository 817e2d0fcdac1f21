/* lib/core/arena.h - bump allocator: many allocations, one free.  Layer: lib/core, pure.
 * Thread rule: one thread at a time.  Invariants: memory is zeroed, 16-byte aligned, valid until arena_fini/arena_reset;
 * used bytes never exceed max_bytes, so input-sized growth ends in NULL (caller answers -ENOMEM, 413 or 431). */
#pragma once
#include "lib/base.h"

struct arena_chunk;
struct arena {
        struct arena_chunk *head; /* newest chunk, NULL when empty */
        size_t used_bytes;        /* bytes handed out, padding included */
        size_t max_bytes;         /* cap; SIZE_MAX = none */
        size_t chunk_bytes;       /* size of a normal chunk */
        bool failed;              /* an allocation was refused since arena_init or arena_reset */
};

void arena_init(struct arena *a, size_t chunk_bytes, size_t max_bytes) NONNULL(1);
void arena_fini(struct arena *a) NONNULL(1); /* frees all; the arena may be initialised again */
void arena_wipe(struct arena *a) NONNULL(1); /* overwrites everything handed out: before arena_fini of secrets */
void arena_reset(struct arena *a) NONNULL(1); /* drops all allocations, keeps one chunk for reuse */
void *arena_alloc(struct arena *a, size_t n) NONNULL(1) MUST_USE; /* NULL at the cap or out of memory */
void *arena_calloc(struct arena *a, size_t n, size_t size) NONNULL(1) MUST_USE; /* overflow-checked */
void *arena_dup(struct arena *a, const void *p, size_t n) NONNULL(1) MUST_USE;
char *arena_strdup(struct arena *a, const char *s) NONNULL(1, 2) MUST_USE;
char *arena_printf(struct arena *a, const char *fmt, ...) NONNULL(1, 2) PRINTF(2, 3) MUST_USE;
struct span arena_span(struct arena *a, struct span s) NONNULL(1) MUST_USE; /* copy; .p NULL on failure when s.n > 0 */

/* For protobuf-c: an allocator whose memory lives in `a` (free is a no-op). */
struct ProtobufCAllocator;
void arena_protobuf_allocator(struct arena *a, struct ProtobufCAllocator *ret) NONNULL(1, 2);
