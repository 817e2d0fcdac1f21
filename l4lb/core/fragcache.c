/* l4lb/core/fragcache.c - see fragcache.h. */
#include "lib/base.h"
#include <assert.h>
#include "l4lb/core/fragcache.h"

static_assert((FRAGCACHE_ENTRIES & (FRAGCACHE_ENTRIES - 1)) == 0, "masked");

static uint32_t frag_home(uint64_t hash, unsigned choice)
{
        return (uint32_t)(hash >> (choice ? 32 : 0)) & (FRAGCACHE_ENTRIES - 1);
}

void fragcache_put(struct fragcache *c, uint64_t hash, uint16_t backend, uint16_t epoch, uint16_t first_len,
                   uint32_t entry, uint32_t now_s)
{
        hash |= 1; /* 0 = empty */
        struct frag_slot *a = &c->slots[frag_home(hash, 0)], *b = &c->slots[frag_home(hash, 1)];
        struct frag_slot *s = a->hash == hash ? a : b->hash == hash ? b : a->expires_s <= b->expires_s ? a : b;
        *s = (struct frag_slot){ .hash = hash,
                                 .expires_s = now_s + FRAGCACHE_S,
                                 .backend = backend,
                                 .epoch = epoch,
                                 .first_len = first_len,
                                 .entry = entry };
}

const struct frag_slot *fragcache_get(const struct fragcache *c, uint64_t hash, uint32_t now_s)
{
        hash |= 1;
        for (unsigned i = 0; i < 2; i++) {
                const struct frag_slot *s = &c->slots[frag_home(hash, i)];
                if (s->hash == hash && now_s < s->expires_s)
                        return s;
        }
        return NULL;
}
