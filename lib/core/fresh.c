/* lib/core/fresh.c - see fresh.h. */
#include "lib/core/fresh.h"

struct fresh_set {
        Model__EndpointSet *set; /* its id is the map's key */
        size_t n_bytes;
        uint64_t session;
};
struct fresh {
        struct map by_id;
        size_t n_bytes;
};

struct fresh *fresh_new(void)
{
        struct fresh *f = calloc(1, sizeof *f);
        if (f)
                map_init(&f->by_id);
        return f;
}

static void set_free(struct fresh_set *s)
{
        model__endpoint_set__free_unpacked(s->set, NULL);
        free(s);
}

void fresh_free(struct fresh *f)
{
        if (!f)
                return;
        void *v;
        for (size_t i = 0; map_next(&f->by_id, &i, NULL, &v);)
                set_free(v);
        map_fini(&f->by_id);
        free(f);
}

static Model__EndpointSet *set_copy(const Model__EndpointSet *set, size_t n)
{
        uint8_t *p = malloc(n + 1);
        if (!p)
                return NULL;
        model__endpoint_set__pack(set, p);
        Model__EndpointSet *copy = model__endpoint_set__unpack(NULL, n, p);
        free(p);
        return copy;
}

static void fresh_drop(struct fresh *f, const char *id)
{
        struct fresh_set *s = map_del(&f->by_id, span_str(id));
        if (!s)
                return;
        f->n_bytes -= s->n_bytes;
        set_free(s);
}

int fresh_put(struct fresh *f, const Model__EndpointSet *set, uint64_t session)
{
        size_t n = model__endpoint_set__get_packed_size(set);
        const struct fresh_set *old = map_get(&f->by_id, span_str(set->id));
        if (f->n_bytes - (old ? old->n_bytes : 0) + n > FRESH_MAX_BYTES)
                return -E2BIG;
        struct fresh_set *s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        *s = (struct fresh_set){.set = set_copy(set, n), .n_bytes = n, .session = session};
        if (!s->set) {
                free(s);
                return -ENOMEM;
        }
        fresh_drop(f, set->id);
        if (map_put(&f->by_id, span_str(s->set->id), s) < 0) {
                set_free(s);
                return -ENOMEM;
        }
        f->n_bytes += n;
        return 0;
}

const Model__EndpointSet *fresh_get(const struct fresh *f, const char *id)
{
        const struct fresh_set *s = map_get(&f->by_id, span_str(id));
        return s ? s->set : NULL;
}

bool fresh_empty(const struct fresh *f)
{
        return f->by_id.n == 0;
}

bool fresh_has_older(const struct fresh *f, uint64_t session)
{
        void *v;
        for (size_t i = 0; map_next(&f->by_id, &i, NULL, &v);)
                if (((const struct fresh_set *)v)->session < session)
                        return true;
        return false;
}

void fresh_rebase(struct fresh *f, const struct model *m, uint64_t session,
                  void (*keep)(void *arg, const Model__EndpointSet *set), void *arg)
{
        void *v;
        for (size_t i = 0; map_next(&f->by_id, &i, NULL, &v);) {
                struct fresh_set *s = v;
                const Model__EndpointSet *base = model_endpoint_set(m, s->set->id);
                if (base && s->session >= session && s->set->version > base->version)
                        keep(arg, s->set);
                else
                        fresh_drop(f, s->set->id); /* leaves a tomb, so the iteration goes on */
        }
}

/* The section with its fresh sets in place of the old ones, or the same blob when it has none. */
static struct blob *section_merge(const struct fresh *f, const struct manifest_entry *e)
{
        Model__Section *s = model__section__unpack(NULL, e->blob->n, e->blob->p);
        if (!s || s->body_case != MODEL__SECTION__BODY_ENDPOINT_SETS) {
                if (s)
                        model__section__free_unpacked(s, NULL);
                return NULL;
        }
        Model__EndpointSetList *l = s->endpoint_sets;
        struct blob *b = NULL;
        Model__EndpointSet **own = calloc(l->n_sets + 1, sizeof *own), **sets = l->sets;
        if (own) {
                for (size_t i = 0; i < l->n_sets; i++) {
                        const Model__EndpointSet *newer = fresh_get(f, sets[i]->id);
                        own[i] = newer ? (Model__EndpointSet *)newer : sets[i];
                }
                l->sets = own;
                b = blob_alloc(model__section__get_packed_size(s), e->secret);
                if (b) {
                        model__section__pack(s, b->p);
                        blob_seal(b);
                }
                l->sets = sets;
                free(own);
        }
        model__section__free_unpacked(s, NULL);
        return b;
}

/* Which sections hold a fresh set: keys, in a map used as a set. */
static int sections_touched(const struct fresh *f, const struct model *m, struct map *ret)
{
        void *v;
        for (size_t i = 0; map_next(&f->by_id, &i, NULL, &v);) {
                const struct fresh_set *s = v;
                char *key = map_get(&m->endpoint_set_section, span_str(s->set->id));
                if (key && map_put(ret, span_str(key), key) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int fresh_merge(const struct fresh *f, const struct manifest *base, const struct model *m, struct manifest **ret)
{
        struct map touched;
        map_init(&touched);
        struct manifest *out = manifest_new(base->generation);
        int r = out ? sections_touched(f, m, &touched) : -ENOMEM;
        for (size_t i = 0; r == 0 && i < base->n; i++) {
                const struct manifest_entry *e = &base->entries[i];
                bool merge = map_get(&touched, span_str(e->key)) != NULL;
                struct blob *b = merge ? section_merge(f, e) : blob_get(e->blob);
                r = b ? manifest_add_blob(out, e->key, b) : -ENOMEM;
                blob_put(b);
        }
        map_fini(&touched);
        if (r == 0)
                r = manifest_seal(out, NULL);
        if (r < 0) {
                manifest_put(out);
                return r;
        }
        *ret = out;
        return 0;
}
