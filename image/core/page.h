/* image/core/page.h - the status page of a console.  Layer: image/core, pure.  Thread rule: any.
 * Everything shown came from elsewhere: control characters become '?'. */
#pragma once
#include "lib/core/buf.h"

#define PAGE_MAX_LINES 40
struct page_line {
        const char *label, *text; /* borrowed */
        bool bad;                 /* shown in red */
};
struct page {
        struct page_line v[PAGE_MAX_LINES];
        size_t n;
};
void page_add(struct page *p, const char *label, const char *text, bool bad) NONNULL(1, 2, 3); /* beyond the limit: dropped */
/* ANSI: clears, writes at most rows lines of at most columns. */
void page_render(const struct page *p, const char *title, unsigned columns, unsigned rows, struct buf *out) NONNULL(1, 2, 5);
