/* lib/core/arena.c - see arena.h.
 *
 *   head -> [ next | cap | n | data ...... ] -> [ ... ] -> NULL     only head is filled further
 *
 * An allocation bigger than a quarter of a chunk gets a chunk of its own, linked behind head: the tail that is lost
 * when a chunk is full is therefore under a quarter of it. */
#include "lib/core/arena.h"

#include <stdarg.h>

#include <protobuf-c/protobuf-c.h>

#define ARENA_ALIGN 16u
#define CHUNK_MIN 256u

struct arena_chunk {
        struct arena_chunk *next;
        size_t cap, n;
        _Alignas(ARENA_ALIGN) uint8_t data[];
};

void arena_init(struct arena *a, size_t chunk_bytes, size_t max_bytes)
{
        *a = (struct arena){.chunk_bytes = MAX(chunk_bytes, (size_t)CHUNK_MIN), .max_bytes = max_bytes};
}

static void chunks_free(struct arena_chunk *c)
{
        while (c) {
                struct arena_chunk *next = c->next;
                free(c);
                c = next;
        }
}

void arena_fini(struct arena *a)
{
        chunks_free(a->head);
        a->head = NULL;
        a->used_bytes = 0;
}

void arena_wipe(struct arena *a)
{
        for (struct arena_chunk *c = a->head; c; c = c->next)
                explicit_bzero(c->data, c->n);
}

void arena_reset(struct arena *a)
{
        struct arena_chunk *keep = a->head;
        a->used_bytes = 0;
        a->failed = false;
        if (!keep)
                return;
        chunks_free(keep->next);
        keep->next = NULL;
        keep->n = 0;
        if (keep->cap > a->chunk_bytes) { /* one outsized request must not pin its memory for ever */
                free(keep);
                a->head = NULL;
        }
}

static struct arena_chunk *chunk_new(size_t cap)
{
        struct arena_chunk *c = malloc(sizeof *c + cap); /* cap <= max_bytes, checked by the caller */
        if (c) {
                c->next = NULL;
                c->cap = cap;
                c->n = 0;
        }
        return c;
}

static void *chunk_take(struct arena *a, struct arena_chunk *c, size_t n)
{
        void *p = c->data + c->n;
        c->n += n;
        a->used_bytes += n;
        return memset(p, 0, n);
}

static void *arena_refuse(struct arena *a)
{
        a->failed = true;
        return NULL;
}

void *arena_alloc(struct arena *a, size_t n)
{
        if (n > SIZE_MAX / 2)
                return arena_refuse(a);
        n = MAX((n + (ARENA_ALIGN - 1)) & ~(size_t)(ARENA_ALIGN - 1), (size_t)ARENA_ALIGN);
        if (n > a->max_bytes || a->used_bytes > a->max_bytes - n)
                return arena_refuse(a);
        struct arena_chunk *h = a->head;
        if (h && h->cap - h->n >= n)
                return chunk_take(a, h, n);
        bool own = n > a->chunk_bytes / 4;
        struct arena_chunk *c = chunk_new(own ? n : a->chunk_bytes);
        if (!c)
                return arena_refuse(a);
        if (own && h) {
                c->next = h->next;
                h->next = c;
        } else {
                c->next = h;
                a->head = c;
        }
        return chunk_take(a, c, n);
}

void *arena_calloc(struct arena *a, size_t n, size_t size)
{
        size_t total;
        if (__builtin_mul_overflow(n, size, &total))
                return arena_refuse(a);
        return arena_alloc(a, total);
}

void *arena_dup(struct arena *a, const void *p, size_t n)
{
        void *q = arena_alloc(a, n);
        if (q && n)
                memcpy(q, p, n);
        return q;
}

char *arena_strdup(struct arena *a, const char *s)
{
        return arena_dup(a, s, strlen(s) + 1);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(NULL, 0, fmt, ap);
        va_end(ap);
        char *s = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
        if (!s)
                return NULL;
        va_start(ap, fmt);
        vsnprintf(s, (size_t)n + 1, fmt, ap);
        va_end(ap);
        return s;
}

struct span arena_span(struct arena *a, struct span s)
{
        if (s.n == 0)
                return SPAN_NULL;
        return SPAN(arena_dup(a, s.p, s.n), s.n);
}

static void *pb_alloc(void *data, size_t n)
{
        return arena_alloc(data, n);
}
static void pb_free(void *data, void *p)
{
        (void)data; /* the arena frees everything at once */
        (void)p;
}

void arena_protobuf_allocator(struct arena *a, struct ProtobufCAllocator *ret)
{
        *ret = (ProtobufCAllocator){.alloc = pb_alloc, .free = pb_free, .allocator_data = a};
}
