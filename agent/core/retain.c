/* agent/core/retain.c - see retain.h.  Layer: agent/core, pure. */
#include "lib/base.h"
#include "agent/core/retain.h"
#include "lib/core/arena.h"
#include "lib/core/frame.h"
#include "lib/core/ipaddr.h"
#include "lib/model.pb-c.h"

struct retain { struct arena a; ProtobufCAllocator pb; struct manifest *out; struct err *err; bool failed; };
struct front { const Model__Section *before, *now, *after; }; /* l4 sections; NULL = sends nothing */

static Model__Section *section_of(struct retain *r, const struct manifest *m, const char *key)
{
        const struct manifest_entry *e = manifest_find(m, key);
        return e && e->blob ? model__section__unpack(&r->pb, e->blob->n, e->blob->p) : NULL;
}

static bool leads_to(const Model__L4 *l4, const char *distribution, const char *pool)
{
        for (size_t i = 0; i < l4->n_distributions; i++)
                for (size_t k = 0; strcmp(l4->distributions[i]->id, distribution) == 0 && k < l4->distributions[i]->n_legs; k++)
                        if (strncmp(l4->distributions[i]->legs[k]->pool, "shards/", 7) == 0 &&
                            strcmp(l4->distributions[i]->legs[k]->pool + 7, pool) == 0)
                                return true;
        return false;
}

static bool receives(const Model__Section *l4, const Model__Bind *b, const char *pool)
{
        if (!l4 || l4->body_case != MODEL__SECTION__BODY_L4)
                return false;
        for (size_t i = 0; i < l4->l4->n_listeners; i++) {
                const Model__L4Listener *l = l4->l4->listeners[i];
                struct ipaddr a;
                if (l->port_lo <= b->port && b->port <= l->port_hi && ipaddr_parse(span_str(l->vip), &a) == 0 &&
                    ipaddr_len(&a) == b->addr.len && memcmp(a.b, b->addr.data, b->addr.len) == 0 &&
                    leads_to(l4->l4, l->distribution, pool))
                        return true;
        }
        return false;
}

/* Lists of objects with an id: the ones of `from` that `to` lacks are appended.  All list messages of the model begin with
 * ProtobufCMessage, a count and an array of messages that begin with ProtobufCMessage and an id. */
struct list { ProtobufCMessage base; size_t n; struct item { ProtobufCMessage base; char *id; } **v; };
static_assert(offsetof(Model__ClusterList, clusters) == offsetof(struct list, v), "list layout");
static_assert(offsetof(Model__EndpointSetList, sets) == offsetof(struct list, v), "list layout");
static_assert(offsetof(Model__CertificateList, certificates) == offsetof(struct list, v), "list layout");
static_assert(offsetof(Model__KeyList, keys) == offsetof(struct list, v), "list layout");
static_assert(offsetof(Model__TrustList, trusts) == offsetof(struct list, v), "list layout");
static_assert(offsetof(Model__PolicyList, policies) == offsetof(struct list, v), "list layout");
static_assert(offsetof(Model__Cluster, id) == offsetof(struct item, id), "item layout");
static_assert(offsetof(Model__EndpointSet, id) == offsetof(struct item, id), "item layout");
static_assert(offsetof(Model__Certificate, id) == offsetof(struct item, id), "item layout");
static_assert(offsetof(Model__Key, id) == offsetof(struct item, id), "item layout");
static_assert(offsetof(Model__Trust, id) == offsetof(struct item, id), "item layout");
static_assert(offsetof(Model__Policy, id) == offsetof(struct item, id), "item layout");

static struct list *list_of(Model__Section *s)
{
        if (s->body_case == MODEL__SECTION__BODY__NOT_SET || s->body_case == MODEL__SECTION__BODY_GATEWAY ||
            s->body_case == MODEL__SECTION__BODY_L4)
                return NULL;
        return (struct list *)(void *)s->clusters; /* one union: the pointer is the same whichever it is */
}

static int item_cmp(const void *a, const void *b)
{
        return strcmp((*(struct item *const *)a)->id, (*(struct item *const *)b)->id);
}

static int list_merge(struct retain *r, struct list *to, const struct list *from)
{
        struct item **v = arena_calloc(&r->a, to->n + from->n + 1, sizeof *v);
        if (!v)
                return -ENOMEM;
        size_t n = to->n;
        if (n)
                memcpy(v, to->v, n * sizeof *v);
        for (size_t i = 0; i < from->n; i++)
                if (!to->n || !bsearch(&from->v[i], to->v, to->n, sizeof *to->v, item_cmp))
                        v[n++] = from->v[i];
        if (n)
                qsort(v, n, sizeof *v, item_cmp);
        to->v = v;
        to->n = n;
        return 0;
}

static int add_entry(struct retain *r, const struct manifest_entry *e)
{
        return manifest_add(r->out, e->key, SPAN(e->blob->p, e->blob->n), e->secret);
}

static int add_section(struct retain *r, const char *key, const Model__Section *s, bool secret)
{
        size_t n = model__section__get_packed_size(s);
        uint8_t *p = arena_alloc(&r->a, n ? n : 1);
        if (!p)
                return -ENOMEM;
        (void)model__section__pack(s, p); /* n bytes, as measured */
        return manifest_add(r->out, key, SPAN(p, n), secret);
}

static int add_merged(struct retain *r, const struct manifest *old, const struct manifest *new, const struct manifest_entry *e)
{
        Model__Section *a = section_of(r, new, e->key), *b = section_of(r, old, e->key);
        struct list *to = a ? list_of(a) : NULL, *from = b ? list_of(b) : NULL;
        if (!to || !from || a->body_case != b->body_case)
                return err_set(r->err, EINVAL, e->key, "section does not decode");
        int rc = list_merge(r, to, from);
        if (rc < 0)
                return rc;
        return add_section(r, e->key, a, e->secret);
}

/* What of a Gateway of `old` is sent here and will not be any more: those binds, the listeners on them, and all its rules.
 * NULL = nothing.  The other binds are left out: in `new` they may be another Gateway's. */
static Model__Section *departing(struct retain *r, const struct manifest *old, const char *key, const struct front *f, const char *pool)
{
        Model__Section *s = section_of(r, old, key);
        if (!s || s->body_case != MODEL__SECTION__BODY_GATEWAY)
                return NULL;
        Model__Gateway *g = s->gateway;
        size_t n_old = g->n_binds, n_listeners = g->n_listeners;
        uint32_t *to = arena_calloc(&r->a, n_old + 1, sizeof *to); /* 1 + new index; 0 = stays behind */
        if (!to) {
                r->failed = true;
                return NULL;
        }
        g->n_binds = g->n_listeners = 0;
        for (size_t i = 0; i < n_old; i++) {
                Model__Bind *b = g->binds[i];
                if ((!receives(f->now, b, pool) && !receives(f->before, b, pool)) || receives(f->after, b, pool))
                        continue;
                g->binds[g->n_binds++] = b;
                to[i] = (uint32_t)g->n_binds;
        }
        for (size_t i = 0; i < n_listeners; i++) {
                Model__Listener *l = g->listeners[i];
                size_t n = l->n_binds;
                l->n_binds = 0;
                for (size_t k = 0; k < n; k++)
                        if (l->binds[k] < n_old && to[l->binds[k]])
                                l->binds[l->n_binds++] = to[l->binds[k]] - 1;
                if (l->n_binds)
                        g->listeners[g->n_listeners++] = l;
        }
        return g->n_listeners ? s : NULL;
}

static int merge(struct retain *r, const struct manifest *old, const struct manifest *new, Model__Section *const *keep)
{
        int rc = 0;
        for (size_t i = 0; rc == 0 && i < new->n; i++) {
                const struct manifest_entry *e = &new->entries[i];
                if (!e->blob)
                        return err_set(r->err, EINVAL, e->key, "section without bytes");
                bool gateway = strncmp(e->key, "gateway/", 8) == 0;
                rc = !gateway && manifest_find(old, e->key) ? add_merged(r, old, new, e) : add_entry(r, e);
        }
        for (size_t i = 0; rc == 0 && i < old->n; i++) {
                const struct manifest_entry *e = &old->entries[i];
                bool gateway = strncmp(e->key, "gateway/", 8) == 0;
                if (keep[i])
                        rc = add_section(r, e->key, keep[i], e->secret);
                else if (e->blob && !manifest_find(new, e->key) && !gateway)
                        rc = add_entry(r, e);
        }
        return rc == 0 ? manifest_seal(r->out, r->err) : rc;
}

int retain_build(const struct manifest *old, const struct manifest *new, const struct retain_front *front, const char *pool,
                 struct manifest **ret, struct err *reterr)
{
        struct retain r = { .err = reterr };
        arena_init(&r.a, 64 * 1024, SIZE_MAX); /* bounded by the two manifests */
        arena_protobuf_allocator(&r.a, &r.pb);
        Model__Section **keep = arena_calloc(&r.a, old->n + 1, sizeof *keep);
        const struct front f = { front->before ? section_of(&r, front->before, "l4") : NULL, section_of(&r, front->now, "l4"),
                                 section_of(&r, front->after, "l4") };
        bool any = false;
        int rc = keep ? 0 : -ENOMEM;
        for (size_t i = 0; rc == 0 && i < old->n; i++) {
                const char *key = old->entries[i].key;
                if (strncmp(key, "gateway/", 8) == 0 && !manifest_find(new, key))
                        keep[i] = departing(&r, old, key, &f, pool);
                any |= keep[i] != NULL;
                rc = r.failed ? -ENOMEM : 0;
        }
        *ret = NULL;
        if (rc == 0 && any) {
                r.out = manifest_new(new->generation);
                rc = r.out ? merge(&r, old, new, keep) : -ENOMEM;
                if (rc == 0)
                        *ret = TAKE_PTR(r.out);
                manifest_put(r.out);
        }
        arena_wipe(&r.a); /* private keys went through it */
        arena_fini(&r.a);
        return rc;
}
