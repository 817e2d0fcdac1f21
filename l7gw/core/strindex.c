/* l7gw/core/strindex.c - see strindex.h. */
#include "lib/base.h"
#include "l7gw/core/strindex.h"

int strindex_init(struct strindex *ix, struct arena *a, const struct siphash_key *k, size_t max)
{
        *ix = (struct strindex){ .hash_key = *k, .max = (uint32_t)max };
        if (max == 0)
                return 0;
        if (max > UINT32_MAX / 4)
                return -ENOMEM;
        size_t cap = 4;
        while (cap < max * 2)
                cap *= 2;
        ix->slots = arena_calloc(a, cap, sizeof *ix->slots);
        ix->mask = (uint32_t)(cap - 1);
        return ix->slots ? 0 : -ENOMEM;
}

static struct strindex_slot *slot_of(const struct strindex *ix, uint32_t scope, struct span key, uint32_t *ret_tag)
{
        struct siphash_key k = { ix->hash_key.k0 ^ scope, ix->hash_key.k1 };
        uint64_t h = siphash13(&k, key.p, key.n);
        *ret_tag = (uint32_t)(h >> 32);
        for (uint32_t i = (uint32_t)h & ix->mask;; i = (i + 1) & ix->mask) {
                struct strindex_slot *s = &ix->slots[i];
                if (!s->value || (s->tag == *ret_tag && s->scope == scope && span_eq(s->key, key)))
                        return s;
        }
}

void *strindex_put(struct strindex *ix, uint32_t scope, struct span key, void *value)
{
        uint32_t tag;
        BUG_ON(!ix->slots);
        struct strindex_slot *s = slot_of(ix, scope, key, &tag);
        if (s->value)
                return s->value;
        BUG_ON(ix->n == ix->max);
        *s = (struct strindex_slot){ key, value, scope, tag };
        ix->n++;
        return NULL;
}

void *strindex_get(const struct strindex *ix, uint32_t scope, struct span key)
{
        uint32_t tag;
        return ix->n ? slot_of(ix, scope, key, &tag)->value : NULL;
}
