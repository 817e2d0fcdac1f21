/* lib/core/map.c - see map.h.  Linear probing, load under 3/4 with tombs counted, so a probe always ends. */
#include "lib/core/map.h"

#define MAP_MIN_CAP 16u
static char tomb_byte;
#define MAP_TOMB ((void *)&tomb_byte)

static struct siphash_key process_key = {0x67617465686f7573ull, 0x6d61702e6b657931ull};

void map_seed(const struct siphash_key *k)
{
        process_key = *k;
}

void map_init(struct map *m)
{
        *m = (struct map){.key = process_key};
}

void map_fini(struct map *m)
{
        free(m->slots);
        *m = (struct map){.key = m->key};
}

static size_t map_home(const struct map *m, struct span key)
{
        return siphash13(&m->key, key.p, key.n) & (m->cap - 1);
}

static struct map_slot *map_find(const struct map *m, struct span key)
{
        if (m->cap == 0)
                return NULL;
        for (size_t i = map_home(m, key);; i = (i + 1) & (m->cap - 1)) {
                struct map_slot *s = &m->slots[i];
                if (!s->value)
                        return NULL;
                if (s->value != MAP_TOMB && span_eq(s->key, key))
                        return s;
        }
}

void *map_get(const struct map *m, struct span key)
{
        struct map_slot *s = map_find(m, key);
        return s ? s->value : NULL;
}

static int map_rehash(struct map *m, size_t cap)
{
        struct map next = {.cap = cap, .n = m->n, .n_used = m->n, .key = m->key};
        next.slots = calloc(cap, sizeof *next.slots);
        if (!next.slots)
                return -ENOMEM;
        for (size_t i = 0; i < m->cap; i++) {
                const struct map_slot *s = &m->slots[i];
                if (!s->value || s->value == MAP_TOMB)
                        continue;
                size_t j = map_home(&next, s->key);
                while (next.slots[j].value)
                        j = (j + 1) & (cap - 1);
                next.slots[j] = *s;
        }
        free(m->slots);
        *m = next;
        return 0;
}

int map_put(struct map *m, struct span key, void *value)
{
        struct map_slot *s = map_find(m, key);
        if (s) {
                s->key = key; /* the new value's owner owns the new key */
                s->value = value;
                return 0;
        }
        if ((m->n_used + 1) * 4 > m->cap * 3) {
                size_t cap = MAX(m->cap, (size_t)MAP_MIN_CAP);
                while ((m->n + 1) * 2 > cap)
                        cap *= 2;
                int r = map_rehash(m, cap);
                if (r < 0)
                        return r;
        }
        size_t i = map_home(m, key);
        while (m->slots[i].value && m->slots[i].value != MAP_TOMB)
                i = (i + 1) & (m->cap - 1);
        m->n_used += m->slots[i].value != MAP_TOMB;
        m->n++;
        m->slots[i] = (struct map_slot){key, value};
        return 0;
}

void *map_del(struct map *m, struct span key)
{
        struct map_slot *s = map_find(m, key);
        if (!s)
                return NULL;
        void *v = s->value;
        *s = (struct map_slot){SPAN_NULL, MAP_TOMB};
        m->n--;
        return v;
}

bool map_next(const struct map *m, size_t *i, struct span *ret_key, void **ret_value)
{
        for (; *i < m->cap; (*i)++) {
                const struct map_slot *s = &m->slots[*i];
                if (!s->value || s->value == MAP_TOMB)
                        continue;
                if (ret_key)
                        *ret_key = s->key;
                if (ret_value)
                        *ret_value = s->value;
                (*i)++;
                return true;
        }
        return false;
}
