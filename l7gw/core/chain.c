/* l7gw/core/chain.c - see chain.h. */
#include "lib/base.h"
#include "l7gw/core/chain.h"

void chunk_pool_init(struct chunk_pool *p)
{
        *p = (struct chunk_pool){0};
}

void chunk_pool_fini(struct chunk_pool *p)
{
        BUG_ON(p->n_live != 0);
        while (p->free) {
                struct chunk *c = p->free;
                p->free = c->next;
                free(c);
        }
        p->n_free = 0;
}

static struct chunk *chunk_take(struct chunk_pool *p)
{
        struct chunk *c = p->free;
        if (c) {
                p->free = c->next;
                p->n_free--;
        } else {
                c = malloc(sizeof *c);
                if (!c)
                        return NULL;
        }
        c->next = NULL;
        c->start = c->end = 0;
        p->n_live++;
        return c;
}

static void chunk_give(struct chunk_pool *p, struct chunk *c)
{
        p->n_live--;
        if (p->n_free >= L7_CHUNKS_KEPT) {
                free(c);
                return;
        }
        c->next = p->free;
        p->free = c;
        p->n_free++;
}

void chain_init(struct chain *c, struct chunk_pool *pool)
{
        *c = (struct chain){.pool = pool};
}

void chain_clear(struct chain *c)
{
        while (c->head) {
                struct chunk *k = c->head;
                c->head = k->next;
                chunk_give(c->pool, k);
        }
        c->tail = NULL;
        c->n = 0;
        c->failed = false;
}

static bool chain_grow(struct chain *c)
{
        struct chunk *k = chunk_take(c->pool);
        if (!k) {
                c->failed = true;
                return false;
        }
        if (c->tail)
                c->tail->next = k;
        else
                c->head = k;
        c->tail = k;
        return true;
}

void chain_add(struct chain *c, const void *p, size_t n)
{
        const uint8_t *from = p;
        while (n > 0 && !c->failed) {
                if ((!c->tail || c->tail->end == L7_CHUNK_BYTES) && !chain_grow(c))
                        return;
                size_t take = MIN(n, (size_t)L7_CHUNK_BYTES - c->tail->end);
                memcpy(c->tail->data + c->tail->end, from, take);
                c->tail->end += (uint32_t)take;
                c->n += take;
                from += take;
                n -= take;
        }
}

struct span chain_front(const struct chain *c)
{
        return c->head ? SPAN(c->head->data + c->head->start, c->head->end - c->head->start) : SPAN_NULL;
}

void chain_consume(struct chain *c, size_t n)
{
        BUG_ON(n > c->n);
        c->n -= n;
        while (c->head) {
                struct chunk *k = c->head;
                size_t have = k->end - k->start;
                if (n < have) {
                        k->start += (uint32_t)n;
                        return;
                }
                n -= have;
                c->head = k->next;
                if (!c->head)
                        c->tail = NULL;
                chunk_give(c->pool, k);
        }
}

void chain_move(struct chain *dst, struct chain *src, size_t n)
{
        BUG_ON(n > src->n || dst->pool != src->pool);
        while (n > 0 && !dst->failed) {
                struct chunk *k = src->head;
                size_t have = k->end - k->start;
                if (have > n || have < L7_CHUNK_BYTES / 4) { /* copying a little beats a chain of nearly empty chunks */
                        size_t take = MIN(have, n);
                        chain_add(dst, k->data + k->start, take);
                        chain_consume(src, take);
                        n -= take;
                        continue;
                }
                src->head = k->next;
                if (!src->head)
                        src->tail = NULL;
                src->n -= have;
                k->next = NULL;
                if (dst->tail)
                        dst->tail->next = k;
                else
                        dst->head = k;
                dst->tail = k;
                dst->n += have;
                n -= have;
        }
}

size_t chain_spans(const struct chain *c, struct span *ret, size_t max)
{
        size_t i = 0;
        for (const struct chunk *k = c->head; k && i < max; k = k->next)
                ret[i++] = SPAN(k->data + k->start, k->end - k->start);
        return i;
}
