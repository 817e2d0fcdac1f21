/* agent/core/store.c - sorted arrays of objects: one per kind by namespace and name, one of the slices by service.
 *
 *   all[HTTP_ROUTE]   -> a/x, a/y, b/x ...         (look-up and ranges by binary search)
 *   slices            -> a/svc1/s1, a/svc1/s2 ...  (borrows from all[ENDPOINT_SLICE]) */
#include "lib/base.h"

#include "agent/core/source_limits.tbl.h"
#include "agent/core/store.h"

typedef int cmp_fn(const struct object *a, const struct object *b);
struct sorted {
        struct object **v;
        size_t n, cap;
};
struct store {
        struct sorted all[OBJECT_KIND_N];
        struct sorted slices;
};

static int name_cmp(const struct object *a, const struct object *b)
{
        int r = strcmp(a->namespace, b->namespace);
        return r ? r : strcmp(a->name, b->name);
}
static int slice_cmp(const struct object *a, const struct object *b)
{
        const struct endpoint_slice *x = (const void *)a, *y = (const void *)b;
        int r = strcmp(a->namespace, b->namespace);
        r = r ? r : strcmp(x->service, y->service);
        return r ? r : strcmp(a->name, b->name);
}
static int kind_cmp(const struct object *a, const struct object *b)
{
        return a->kind != b->kind ? (a->kind < b->kind ? -1 : 1) : name_cmp(a, b);
}
static int kind_qsort(const void *a, const void *b)
{
        return kind_cmp(*(struct object *const *)a, *(struct object *const *)b);
}
static int slice_qsort(const void *a, const void *b)
{
        return slice_cmp(*(struct object *const *)a, *(struct object *const *)b);
}

/* First index whose object is not before key. */
static size_t sorted_find(const struct sorted *s, const struct object *key, cmp_fn *cmp)
{
        size_t lo = 0, hi = s->n;
        while (lo < hi) {
                size_t mid = lo + (hi - lo) / 2;
                if (cmp(s->v[mid], key) < 0)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo;
}
static int sorted_reserve(struct sorted *s, size_t cap)
{
        if (cap <= s->cap)
                return 0;
        cap = MAX(cap, s->cap * 2);
        struct object **v = reallocarray(s->v, cap, sizeof(struct object *));
        if (!v)
                return -ENOMEM;
        s->v = v;
        s->cap = cap;
        return 0;
}
static void sorted_insert(struct sorted *s, size_t at, struct object *o) /* there is room */
{
        memmove(s->v + at + 1, s->v + at, (s->n - at) * sizeof(struct object *));
        s->v[at] = o;
        s->n++;
}
static void sorted_remove(struct sorted *s, size_t at)
{
        memmove(s->v + at, s->v + at + 1, (s->n - at - 1) * sizeof(struct object *));
        s->n--;
}

struct store *store_new(void) { return calloc(1, sizeof(struct store)); }

void store_free(struct store *s)
{
        if (!s)
                return;
        for (int k = 0; k < OBJECT_KIND_N; k++) {
                for (size_t i = 0; i < s->all[k].n; i++)
                        object_free(s->all[k].v[i]);
                free(s->all[k].v);
        }
        free(s->slices.v);
        free(s);
}

static bool same_digest(const struct sha_of_object *a, const struct sha_of_object *b)
{
        return memcmp(a->b, b->b, sizeof a->b) == 0;
}
static void set_generation(struct object *o, const struct object *old)
{
        if (o->generation > 0) /* carried: an API server counts */
                return;
        o->generation = !old ? 1 : old->generation + !same_digest(&o->spec_digest, &old->spec_digest);
}

/* Whole loads */

static int find_duplicate(struct object *const *sorted, size_t n, struct err *reterr)
{
        for (size_t i = 1; i < n; i++) {
                const struct object *a = sorted[i - 1], *b = sorted[i];
                if (kind_cmp(a, b) == 0)
                        return err_set(reterr, EEXIST, b->origin, "%s %s%s%s: already declared at %s",
                                       object_kind_str(b->kind), b->namespace, b->namespace[0] ? "/" : "", b->name,
                                       a->origin);
        }
        return 0;
}
int objects_check_unique(struct object *const *objs, size_t n, struct err *reterr)
{
        struct object **v = n ? reallocarray(NULL, n, sizeof(struct object *)) : NULL;
        if (n == 0)
                return 0;
        if (!v)
                return err_set(reterr, ENOMEM, "objects", "out of memory");
        memcpy(v, objs, n * sizeof(struct object *));
        qsort(v, n, sizeof(struct object *), kind_qsort);
        int r = find_duplicate(v, n, reterr);
        free(v);
        return r;
}

struct load { /* a new content while it is prepared; owns its objects */
        struct sorted objs;    /* by kind, namespace, name */
        struct sorted slices;
};
static void load_fini(struct load *l)
{
        for (size_t i = 0; i < l->objs.n; i++)
                object_free(l->objs.v[i]);
        free(l->objs.v);
        free(l->slices.v);
}

static int text_qsort(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* A namespace that objects use and no Namespace declares is there all the same, as on a cluster it would have to be. */
static int imply_namespaces(struct load *l)
{
        size_t n = l->objs.n, declared = 0, used = 0;
        const char **v = reallocarray(NULL, n + 1, sizeof *v);
        if (!v)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (l->objs.v[i]->namespace[0])
                        v[used++] = l->objs.v[i]->namespace;
        qsort(v, used, sizeof *v, text_qsort);
        while (declared < n && l->objs.v[declared]->kind != OBJECT_NAMESPACE)
                declared++;
        int r = 0;
        for (size_t i = 0, k = declared; i < used && r == 0; i++) {
                if (i && strcmp(v[i], v[i - 1]) == 0)
                        continue;
                while (k < n && strcmp(l->objs.v[k]->name, v[i]) < 0)
                        k++;
                if (k < n && strcmp(l->objs.v[k]->name, v[i]) == 0)
                        continue;
                struct object *o = namespace_new(v[i]);
                r = o ? sorted_reserve(&l->objs, l->objs.n + 1) : -ENOMEM;
                if (r == 0)
                        l->objs.v[l->objs.n++] = o;
                else
                        object_free(o);
        }
        free(v);
        if (l->objs.n > n)
                qsort(l->objs.v, l->objs.n, sizeof(struct object *), kind_qsort);
        return r;
}

/* Everything that can fail: order, uniqueness, implied namespaces, memory. */
static int load_prepare(struct load *l, struct store *s, struct err *reterr)
{
        if (l->objs.n > SOURCE_MAX_OBJECTS)
                return err_set(reterr, E2BIG, "objects", "more than %d objects", SOURCE_MAX_OBJECTS);
        if (l->objs.n)
                qsort(l->objs.v, l->objs.n, sizeof(struct object *), kind_qsort);
        int r = find_duplicate(l->objs.v, l->objs.n, reterr);
        if (r < 0)
                return r;
        size_t count[OBJECT_KIND_N] = { 0 };
        r = imply_namespaces(l);
        for (size_t i = 0; i < l->objs.n; i++)
                count[l->objs.v[i]->kind]++;
        for (int k = 0; k < OBJECT_KIND_N && r == 0; k++)
                r = sorted_reserve(&s->all[k], count[k]);
        if (r == 0)
                r = sorted_reserve(&s->slices, count[OBJECT_ENDPOINT_SLICE]);
        return r < 0 ? err_set(reterr, -r, "objects", "out of memory") : 0;
}

/* Merges the new objects of a kind (sorted) with the stored ones: equal ones stay, with what they carry. */
static void merge_kind(struct sorted *all, struct object **fresh, size_t n, struct store_changes *c,
                       struct sorted *dead)
{
        size_t i = 0;
        for (size_t k = 0; k < n; k++) {
                while (i < all->n && name_cmp(all->v[i], fresh[k]) < 0) {
                        dead->v[dead->n++] = all->v[i++];
                        c->removed++;
                }
                struct object *old = i < all->n && name_cmp(all->v[i], fresh[k]) == 0 ? all->v[i++] : NULL;
                if (old && same_digest(&old->digest, &fresh[k]->digest)) {
                        dead->v[dead->n++] = fresh[k];
                        fresh[k] = old;
                        continue;
                }
                set_generation(fresh[k], old);
                if (old)
                        dead->v[dead->n++] = old;
                *(old ? &c->changed : &c->added) += 1;
        }
        for (; i < all->n; i++, c->removed++)
                dead->v[dead->n++] = all->v[i];
        if (n)
                memcpy(all->v, fresh, n * sizeof(struct object *));
        all->n = n;
}

static void rebuild_slices(struct store *s)
{
        const struct sorted *all = &s->all[OBJECT_ENDPOINT_SLICE];
        if (all->n)
                memcpy(s->slices.v, all->v, all->n * sizeof(struct object *));
        s->slices.n = all->n;
        if (all->n)
                qsort(s->slices.v, all->n, sizeof(struct object *), slice_qsort);
}

static bool any_change(const struct store_changes *c) { return c->added || c->changed || c->removed; }

int store_apply_all(struct store *s, struct object **objs, size_t n, struct store_changes *ret, struct err *reterr)
{
        CLEANUP(load_fini) struct load l = { 0 };
        struct sorted dead = { 0 };
        size_t old = 0;
        int r = sorted_reserve(&l.objs, n + 1);
        for (size_t i = 0; i < n; i++) { /* taken in any case */
                if (r == 0)
                        l.objs.v[l.objs.n++] = objs[i];
                else
                        object_free(objs[i]);
        }
        if (r < 0)
                return err_set(reterr, ENOMEM, "objects", "out of memory");
        r = load_prepare(&l, s, reterr);
        if (r < 0)
                return r;
        for (int k = 0; k < OBJECT_KIND_N; k++)
                old += s->all[k].n;
        r = sorted_reserve(&dead, old + l.objs.n + 1);
        if (r < 0)
                return err_set(reterr, ENOMEM, "objects", "out of memory");

        struct store_changes all = { 0 }, slices = { 0 };
        for (size_t i = 0, k = 0; k < OBJECT_KIND_N; k++) {
                size_t from = i;
                while (i < l.objs.n && l.objs.v[i]->kind == (enum object_kind)k)
                        i++;
                merge_kind(&s->all[k], l.objs.v + from, i - from, k == OBJECT_ENDPOINT_SLICE ? &slices : &all, &dead);
        }
        l.objs.n = 0; /* they are the store's now */
        rebuild_slices(s);
        for (size_t i = 0; i < dead.n; i++)
                object_free(dead.v[i]);
        free(dead.v);
        *ret = (struct store_changes){ .added = all.added + slices.added, .changed = all.changed + slices.changed,
                                       .removed = all.removed + slices.removed,
                                       .endpoints_only = any_change(&slices) && !any_change(&all) };
        return 0;
}

/* Single objects */

static void remove_slice(struct store *s, const struct object *o)
{
        size_t at = sorted_find(&s->slices, o, slice_cmp);
        BUG_ON(at == s->slices.n || s->slices.v[at] != o);
        sorted_remove(&s->slices, at);
}

int store_put(struct store *s, struct object *o)
{
        struct sorted *all = &s->all[o->kind];
        if (sorted_reserve(all, all->n + 1) < 0 || sorted_reserve(&s->slices, s->slices.n + 1) < 0) {
                object_free(o);
                return -ENOMEM;
        }
        size_t at = sorted_find(all, o, name_cmp);
        struct object *old = at < all->n && name_cmp(all->v[at], o) == 0 ? all->v[at] : NULL;
        if (old && same_digest(&old->digest, &o->digest)) {
                object_free(o);
                return 0;
        }
        set_generation(o, old);
        if (old && o->kind == OBJECT_ENDPOINT_SLICE)
                remove_slice(s, old);
        if (old)
                all->v[at] = o;
        else
                sorted_insert(all, at, o);
        if (o->kind == OBJECT_ENDPOINT_SLICE)
                sorted_insert(&s->slices, sorted_find(&s->slices, o, slice_cmp), o);
        object_free(old);
        return 0;
}

void store_del(struct store *s, enum object_kind k, const char *ns, const char *name)
{
        const struct object key = { .namespace = ns, .name = name };
        struct sorted *all = &s->all[k];
        size_t at = sorted_find(all, &key, name_cmp);
        if (at == all->n || name_cmp(all->v[at], &key) != 0)
                return;
        struct object *o = all->v[at];
        if (k == OBJECT_ENDPOINT_SLICE)
                remove_slice(s, o);
        sorted_remove(all, at);
        object_free(o);
}

/* Look-ups */

const struct object *store_get(const struct store *s, enum object_kind k, const char *ns, const char *name)
{
        const struct object key = { .namespace = ns, .name = name };
        size_t at = sorted_find(&s->all[k], &key, name_cmp);
        return at < s->all[k].n && name_cmp(s->all[k].v[at], &key) == 0 ? s->all[k].v[at] : NULL;
}

const struct object *const *store_all(const struct store *s, enum object_kind k, size_t *ret_n)
{
        *ret_n = s->all[k].n;
        return (const struct object *const *)s->all[k].v;
}

const struct endpoint_slice *const *store_slices(const struct store *s, const char *ns, const char *service,
                                                 size_t *ret_n)
{
        const struct endpoint_slice key = { .o = { .namespace = ns, .name = "" }, .service = service };
        size_t from = sorted_find(&s->slices, &key.o, slice_cmp), to = from;
        for (; to < s->slices.n; to++) {
                const struct endpoint_slice *e = (const void *)s->slices.v[to];
                if (strcmp(e->o.namespace, ns) != 0 || strcmp(e->service, service) != 0)
                        break;
        }
        *ret_n = to - from;
        return to > from ? (const struct endpoint_slice *const *)(s->slices.v + from) : NULL;
}

static bool grant_allows(const struct reference_grant *g, const char *from_group, const char *from_kind,
                         const char *from_ns, const char *to_group, const char *to_kind, const char *to_name)
{
        bool from = false, to = false;
        for (size_t i = 0; i < g->n_from && !from; i++)
                from = strcmp(g->from[i].group, from_group) == 0 && strcmp(g->from[i].kind, from_kind) == 0 &&
                       strcmp(g->from[i].namespace, from_ns) == 0;
        for (size_t i = 0; i < g->n_to && !to; i++)
                to = strcmp(g->to[i].group, to_group) == 0 && strcmp(g->to[i].kind, to_kind) == 0 &&
                     (!g->to[i].name[0] || strcmp(g->to[i].name, to_name) == 0);
        return from && to;
}

bool store_granted(const struct store *s, const char *from_group, const char *from_kind, const char *from_ns,
                   const char *to_group, const char *to_kind, const char *to_ns, const char *to_name)
{
        if (strcmp(from_ns, to_ns) == 0)
                return true;
        const struct sorted *all = &s->all[OBJECT_REFERENCE_GRANT];
        const struct object key = { .namespace = to_ns, .name = "" };
        for (size_t i = sorted_find(all, &key, name_cmp); i < all->n && strcmp(all->v[i]->namespace, to_ns) == 0; i++)
                if (grant_allows((const void *)all->v[i], from_group, from_kind, from_ns, to_group, to_kind, to_name))
                        return true;
        return false;
}
