/* lib/core/buf.c - see buf.h.
 *
 *   allocation: | hole (consumed) | n bytes of data at p | free |      cap = everything from p on
 */
#include "lib/core/buf.h"

#define BUF_MIN 256u

void buf_init(struct buf *b, size_t max_bytes)
{
        *b = (struct buf){.max_bytes = max_bytes};
}

void buf_fini(struct buf *b)
{
        if (b->p)
                free(b->p - b->hole);
        *b = (struct buf){.max_bytes = b->max_bytes};
}

static void buf_close_hole(struct buf *b)
{
        uint8_t *base = b->p - b->hole;
        if (b->n)
                memmove(base, b->p, b->n);
        b->p = base;
        b->cap += b->hole;
        b->hole = 0;
}

void buf_reset(struct buf *b)
{
        b->n = 0;
        b->failed = false;
        if (b->hole)
                buf_close_hole(b);
}

static bool buf_grow(struct buf *b, size_t want) /* want <= max_bytes + 1 */
{
        if (b->hole >= b->n && b->hole + b->cap >= want &&
            b->hole) { /* moves at most what was consumed: amortised O(1) */
                buf_close_hole(b);
                return true;
        }
        size_t cap = MAX(b->n * 2, (size_t)BUF_MIN);
        if (cap < want)
                cap = want;
        if (cap > b->max_bytes && want <= b->max_bytes)
                cap = b->max_bytes;
        uint8_t *p = malloc(cap);
        if (!p)
                return false;
        if (b->n)
                memcpy(p, b->p, b->n);
        if (b->p)
                free(b->p - b->hole);
        b->p = p;
        b->cap = cap;
        b->hole = 0;
        return true;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
        if (b->failed)
                return NULL;
        if (b->n > b->max_bytes || n > b->max_bytes - b->n) {
                b->failed = true;
                return NULL;
        }
        if (!b->p || b->cap - b->n < n) {
                if (!buf_grow(b, b->n + n)) {
                        b->failed = true;
                        return NULL;
                }
        }
        return b->p + b->n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
        if (n == 0)
                return;
        uint8_t *to = buf_reserve(b, n);
        if (!to)
                return;
        memcpy(to, p, n);
        b->n += n;
}

void buf_str(struct buf *b, const char *s)
{
        buf_add(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(NULL, 0, fmt, ap);
        va_end(ap);
        if (n < 0)
                b->failed = true;
        if (n <= 0 || b->failed)
                return;
        char small[256]; /* the NUL that vsnprintf writes may not fit under the cap, so it goes elsewhere */
        char *text = (size_t)n < sizeof small ? small : malloc((size_t)n + 1);
        if (!text) {
                b->failed = true;
                return;
        }
        va_start(ap, fmt);
        vsnprintf(text, (size_t)n + 1, fmt, ap);
        va_end(ap);
        buf_add(b, text, (size_t)n);
        if (text != small)
                free(text);
}

void buf_consume(struct buf *b, size_t n)
{
        BUG_ON(n > b->n);
        if (n == 0)
                return;
        b->p += n;
        b->n -= n;
        b->cap -= n;
        b->hole += n;
        if (b->n == 0)
                buf_close_hole(b);
}

const char *buf_cstr(struct buf *b)
{
        if (b->failed)
                return "";
        if (!b->p || b->cap == b->n) {
                if (b->n == SIZE_MAX || !buf_grow(b, b->n + 1)) {
                        b->failed = true;
                        return "";
                }
        }
        b->p[b->n] = 0;
        return (const char *)b->p;
}
