/* agent/core/generations.c - see generations.h.  One line each: "HTTPRoute default/app 3 HEX-OF-SPEC-DIGEST". */
#include "lib/base.h"
#include "agent/core/generations.h"
#include "lib/core/hash.h"
#include "lib/core/map.h"
#include <inttypes.h>

#define GENERATIONS_HEAD "gatehouse generations 1\n"

struct entry { char *key; int64_t generation; struct sha_of_object spec; bool used; };
struct generations { struct map by_key; /* "HTTPRoute default/app" -> struct entry */ };

struct generations *generations_new(void)
{
        struct generations *g = calloc(1, sizeof *g);
        if (g)
                map_init(&g->by_key);
        return g;
}

static void clear(struct generations *g)
{
        void *v;
        struct span k;
        for (size_t i = 0; map_next(&g->by_key, &i, &k, &v);) {
                free(((struct entry *)v)->key);
                free(v);
        }
        map_fini(&g->by_key);
        map_init(&g->by_key);
}

void generations_free(struct generations *g)
{
        if (!g)
                return;
        clear(g);
        map_fini(&g->by_key);
        free(g);
}

static struct entry *entry_add(struct generations *g, struct span key)
{
        struct entry *e = calloc(1, sizeof *e);
        if (e)
                e->key = strndup((const char *)key.p, key.n);
        if (e && e->key && map_put(&g->by_key, span_str(e->key), e) == 0)
                return e;
        if (e)
                free(e->key);
        free(e);
        return NULL;
}

/* ---- text */

static int hex_digit(uint8_t c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

static bool read_digest(struct span s, struct sha_of_object *ret)
{
        if (s.n != 2 * sizeof ret->b)
                return false;
        for (size_t i = 0; i < sizeof ret->b; i++) {
                int hi = hex_digit(s.p[2 * i]), lo = hex_digit(s.p[2 * i + 1]);
                if (hi < 0 || lo < 0)
                        return false;
                ret->b[i] = (uint8_t)(hi << 4 | lo);
        }
        return true;
}

static bool read_number(struct span s, int64_t *ret)
{
        int64_t v = 0;
        for (size_t i = 0; i < s.n; i++)
                if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, s.p[i] - '0', &v))
                        return false;
        *ret = v;
        return v > 0 && v < INT64_MAX; /* room for one more */
}

/* The last word of *line, cut off with the blank before it; empty when there is no blank. */
static struct span last_word(struct span *line)
{
        const uint8_t *blank = line->n ? memrchr(line->p, ' ', line->n) : NULL;
        if (!blank)
                return SPAN_NULL;
        struct span w = SPAN(blank + 1, line->n - (size_t)(blank + 1 - line->p));
        line->n = (size_t)(blank - line->p);
        return w;
}

static int read_line(struct generations *g, struct span line)
{
        struct entry e = { 0 };
        struct span digest = last_word(&line), number = last_word(&line);
        if (!read_digest(digest, &e.spec) || !read_number(number, &e.generation) || line.n == 0 || map_get(&g->by_key, line))
                return -EINVAL;
        struct entry *n = entry_add(g, line);
        if (!n)
                return -ENOMEM;
        n->generation = e.generation;
        n->spec = e.spec;
        return 0;
}

int generations_read(struct generations *g, struct span text)
{
        size_t head = strlen(GENERATIONS_HEAD);
        int r = text.n < head || memcmp(text.p, GENERATIONS_HEAD, head) != 0 ? -EINVAL : 0;
        clear(g);
        for (size_t at = head; r == 0 && at < text.n;) {
                const uint8_t *end = memchr(text.p + at, '\n', text.n - at);
                if (!end) {
                        r = -EINVAL; /* cut short */
                        break;
                }
                size_t n = (size_t)(end - text.p) - at;
                r = read_line(g, SPAN(text.p + at, n));
                at += n + 1;
        }
        if (r < 0)
                clear(g);
        return r;
}

static int entry_qsort(const void *a, const void *b)
{
        return strcmp((*(struct entry *const *)a)->key, (*(struct entry *const *)b)->key);
}

void generations_print(const struct generations *g, struct buf *b)
{
        void *v;
        struct span k;
        size_t n = 0;
        struct entry **all = calloc(g->by_key.n + 1, sizeof *all);
        b->failed |= !all;
        for (size_t i = 0; all && map_next(&g->by_key, &i, &k, &v);)
                all[n++] = v;
        if (n)
                qsort(all, n, sizeof *all, entry_qsort); /* same content, same bytes */
        buf_str(b, GENERATIONS_HEAD);
        for (size_t i = 0; i < n; i++) {
                struct sha256 sha;
                char hex[65];
                _Static_assert(sizeof sha.b == sizeof all[i]->spec.b, "one kind of digest");
                memcpy(sha.b, all[i]->spec.b, sizeof sha.b);
                sha256_hex(&sha, hex);
                buf_printf(b, "%s %" PRId64 " %s\n", all[i]->key, all[i]->generation, hex);
        }
        free(all);
}

/* ---- loads */

static bool counted(const struct object *o) { return o->kind != OBJECT_ENDPOINT_SLICE && o->kind != OBJECT_NAMESPACE; }

static int assign(struct generations *g, struct object *o, bool *changed)
{
        char key[600];
        (void)snprintf(key, sizeof key, "%s %s/%s", object_kind_str(o->kind), o->namespace, o->name); /* names are limited to 253 each */
        struct entry *e = map_get(&g->by_key, span_str(key));
        bool known = e, same = e && memcmp(e->spec.b, o->spec_digest.b, sizeof e->spec.b) == 0;
        if (!e)
                e = entry_add(g, span_str(key));
        if (!e)
                return -ENOMEM;
        if (o->generation <= 0)
                o->generation = !known ? 1 : e->generation + !same;
        *changed |= !known || !same || e->generation != o->generation;
        e->generation = o->generation;
        e->spec = o->spec_digest;
        e->used = true;
        return 0;
}

static int sweep(struct generations *g, bool *changed)
{
        void *v;
        struct span k;
        size_t n = 0;
        struct entry **gone = calloc(g->by_key.n + 1, sizeof *gone);
        if (!gone)
                return -ENOMEM;
        for (size_t i = 0; map_next(&g->by_key, &i, &k, &v);) {
                struct entry *e = v;
                if (!e->used)
                        gone[n++] = e;
                e->used = false;
        }
        for (size_t i = 0; i < n; i++) {
                (void)map_del(&g->by_key, span_str(gone[i]->key)); /* the value is gone[i] */
                free(gone[i]->key);
                free(gone[i]);
        }
        *changed |= n > 0;
        free(gone);
        return 0;
}

int generations_assign(struct generations *g, struct object *const *objs, size_t n)
{
        bool changed = false;
        int r = 0;
        for (size_t i = 0; i < n && r == 0; i++)
                r = counted(objs[i]) ? assign(g, objs[i], &changed) : 0;
        if (r == 0)
                r = sweep(g, &changed);
        return r < 0 ? r : changed;
}
