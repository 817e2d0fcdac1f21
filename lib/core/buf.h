/* lib/core/buf.h - growable byte buffer with a cap, for building output.  Layer: lib/core, pure.
 * Thread rule: one thread at a time.  Errors are sticky: after a failed append `failed` is set, further appends do
 * nothing, so a writer checks once at the end.  Consuming is cheap: p moves forward inside the allocation (so p is not
 * the pointer to free), and the hole is reclaimed when growth would otherwise need memory. */
#pragma once
#include "lib/base.h"
#include <stdarg.h>

struct buf {
        uint8_t *p;
        size_t n, cap, max_bytes; /* cap: bytes usable from p; n <= max_bytes */
        size_t hole;              /* consumed bytes before p */
        bool failed;
};

void buf_init(struct buf *b, size_t max_bytes) NONNULL(1);
void buf_fini(struct buf *b) NONNULL(1);
void buf_reset(struct buf *b) NONNULL(1); /* keeps the memory */
void buf_add(struct buf *b, const void *p, size_t n) NONNULL(1);
void buf_str(struct buf *b, const char *s) NONNULL(1, 2);
void buf_printf(struct buf *b, const char *fmt, ...) NONNULL(1, 2) PRINTF(2, 3);
void buf_consume(struct buf *b, size_t n) NONNULL(1); /* drops n leading bytes */
uint8_t *buf_reserve(struct buf *b, size_t n) NONNULL(1); /* room for n more bytes, NULL on failure; then b->n += used */
const char *buf_cstr(struct buf *b) NONNULL(1); /* NUL-terminated view (NUL not counted), "" on failure */
static inline struct span buf_span(const struct buf *b) { return SPAN(b->p, b->n); }
