/* agent/core/objects.c - the kinds by name, and the end of an object. */
#include "lib/base.h"

#include "agent/core/objects.h"

static const struct {
        const char *kind, *group;
        bool namespaced;
} kinds[OBJECT_KIND_N] = {
#define K(id, name, group, namespaced) { name, group, namespaced },
        OBJECT_KINDS(K)
#undef K
};

const char *object_kind_str(enum object_kind k)
{
        BUG_ON((unsigned)k >= OBJECT_KIND_N);
        return kinds[k].kind;
}
const char *object_group_str(enum object_kind k)
{
        BUG_ON((unsigned)k >= OBJECT_KIND_N);
        return kinds[k].group;
}
bool object_namespaced(enum object_kind k)
{
        BUG_ON((unsigned)k >= OBJECT_KIND_N);
        return kinds[k].namespaced;
}
bool object_is_l4_route(enum object_kind k) { return k == OBJECT_TCP_ROUTE || k == OBJECT_UDP_ROUTE; }
bool object_is_route(enum object_kind k) { return k == OBJECT_HTTP_ROUTE || k == OBJECT_GRPC_ROUTE || k == OBJECT_TLS_ROUTE || object_is_l4_route(k); }
bool object_is_ours(enum object_kind k) { return strcmp(object_group_str(k), GATEHOUSE_GROUP) == 0; }
bool object_is_policy(enum object_kind k) { return k == OBJECT_BACKEND_TLS_POLICY || k == OBJECT_BACKEND_POLICY || k == OBJECT_CLIENT_POLICY; }
const char *object_version_str(enum object_kind k) { return object_is_ours(k) ? "v1alpha1" : "v1"; }
int object_kind_find(const char *group, const char *kind)
{
        for (int k = 0; k < OBJECT_KIND_N; k++)
                if (strcmp(kinds[k].group, group) == 0 && strcmp(kinds[k].kind, kind) == 0)
                        return k;
        return -1;
}

const char *labels_get(const struct labels *l, const char *key)
{
        size_t lo = 0, hi = l->n;
        while (lo < hi) {
                size_t mid = lo + (hi - lo) / 2;
                int r = strcmp(l->v[mid].key, key);
                if (r == 0)
                        return l->v[mid].value;
                if (r < 0)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return NULL;
}

void object_free(struct object *o)
{
        if (!o)
                return;
        if (o->kind == OBJECT_SECRET) {
                const struct secret *s = (const struct secret *)o;
                for (size_t i = 0; i < s->n_data; i++)
                        if (s->data[i].value.n)
                                explicit_bzero((uint8_t *)(uintptr_t)s->data[i].value.p, s->data[i].value.n);
        }
        struct arena a = o->arena; /* o lives in it */
        arena_fini(&a);
}
