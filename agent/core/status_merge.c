/* agent/core/status_merge.c - see status_merge.h. */
#include "lib/base.h"
#include "agent/core/status_merge.h"

const struct status_list *status_list_of(enum object_kind kind)
{
        static const struct status_list parents = { "parents", "parentRef", 32 }, ancestors = { "ancestors", "ancestorRef", 16 };
        return object_is_route(kind) ? &parents : object_is_policy(kind) ? &ancestors : NULL;
}

struct merge { /* failed: out of memory, checked once at the end */
        struct arena *a;
        const char *ns, *controller;
        const struct status_list *list;
        bool failed;
};

static struct node *new_node(struct merge *m, enum node_type type)
{
        struct node *n = arena_calloc(m->a, 1, sizeof *n);
        if (n)
                n->type = type;
        m->failed |= !n;
        return n;
}

/* Room for as many items as will be added. */
static struct node *new_container(struct merge *m, enum node_type type, size_t room)
{
        struct node *n = new_node(m, type);
        if (n)
                n->items = arena_calloc(m->a, room ? room : 1, sizeof *n->items);
        m->failed |= n && !n->items;
        return n && n->items ? n : NULL;
}

static void put(struct node *to, struct span key, const struct node *value)
{
        to->items[to->n++] = (struct node_item){ .key = key, .value = (struct node *)(uintptr_t)value }; /* only read from here on */
}

static const struct node *list(const struct node *map, const char *key)
{
        const struct node *n = node_get(map, key);
        return n && n->type == NODE_SEQ ? n : NULL;
}
static size_t n_items(const struct node *l) { return l ? l->n : 0; }

static struct span text(const struct node *map, const char *key, const char *def)
{
        const struct node *n = node_get(map, key);
        return n && n->type == NODE_SCALAR ? n->text : span_str(def);
}

static const struct node *find(const struct node *l, const char *key, struct span value)
{
        for (size_t i = 0; i < n_items(l); i++)
                if (span_eq(text(l->items[i].value, key, ""), value))
                        return l->items[i].value;
        return NULL;
}

static bool type_is_ours(struct span type)
{
        static const char *const types[] = {
#define T(name) name,
                STATUS_TYPES(T)
#undef T
        };
        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (span_eq_str(type, types[i]))
                        return true;
        return false;
}

static const struct node *merge_conditions(struct merge *m, const struct node *ours, const struct node *seen)
{
        struct node *to = new_container(m, NODE_SEQ, n_items(ours) + n_items(seen));
        for (size_t i = 0; to && i < n_items(seen); i++) {
                const struct node *c = seen->items[i].value;
                struct span type = text(c, "type", "");
                const struct node *mine = find(ours, "type", type);
                if (mine || !type_is_ours(type))
                        put(to, SPAN_NULL, mine ? mine : c);
        }
        for (size_t i = 0; to && i < n_items(ours); i++)
                if (!find(seen, "type", text(ours->items[i].value, "type", "")))
                        put(to, SPAN_NULL, ours->items[i].value);
        return to;
}

/* A copy of map with other conditions. */
static const struct node *with_conditions(struct merge *m, const struct node *map, const struct node *seen)
{
        struct node *to = new_container(m, NODE_MAP, map->n);
        for (size_t i = 0; to && i < map->n; i++) {
                const struct node_item *it = &map->items[i];
                put(to, it->key, span_eq_str(it->key, "conditions") ? merge_conditions(m, it->value, list(seen, "conditions")) : it->value);
        }
        return to;
}

static const struct node *merge_listeners(struct merge *m, const struct node *ours, const struct node *seen)
{
        struct node *to = new_container(m, NODE_SEQ, n_items(ours));
        for (size_t i = 0; to && i < n_items(ours); i++) {
                const struct node *l = ours->items[i].value;
                put(to, SPAN_NULL, with_conditions(m, l, find(seen, "name", text(l, "name", ""))));
        }
        return to;
}

/* Two parentRefs that mean the same: the API's defaults for what is absent. */
static bool same_parent(const struct merge *m, const struct node *a, const struct node *b)
{
        const struct { const char *key, *def; } fields[] = {
                { "group", "gateway.networking.k8s.io" }, { "kind", "Gateway" }, { "namespace", m->ns },
                { "name", "" }, { "sectionName", "" }, { "port", "" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                if (!span_eq(text(a, fields[i].key, fields[i].def), text(b, fields[i].key, fields[i].def)))
                        return false;
        return true;
}
static bool is_ours(const struct merge *m, const struct node *entry)
{
        return span_eq_str(text(entry, "controllerName", ""), m->controller);
}
static const struct node *find_parent(const struct merge *m, const struct node *l, const struct node *entry)
{
        for (size_t i = 0; i < n_items(l); i++)
                if (is_ours(m, l->items[i].value) &&
                    same_parent(m, node_get(l->items[i].value, m->list->ref), node_get(entry, m->list->ref)))
                        return l->items[i].value;
        return NULL;
}

static const struct node *merge_parents(struct merge *m, const struct node *ours, const struct node *seen)
{
        size_t foreign = 0, mine = 0;
        struct node *to = new_container(m, NODE_SEQ, n_items(ours) + n_items(seen));
        for (size_t i = 0; i < n_items(seen); i++)
                foreign += !is_ours(m, seen->items[i].value);
        size_t room = foreign < m->list->max ? m->list->max - foreign : 0;
        for (size_t i = 0; to && i < n_items(seen); i++) {
                const struct node *entry = seen->items[i].value;
                const struct node *want = is_ours(m, entry) ? find_parent(m, ours, entry) : entry;
                bool twice = is_ours(m, entry) && want && find_parent(m, seen, entry) != entry; /* somebody doubled it */
                if (!want || twice || (want != entry && mine == room))
                        continue;
                mine += want != entry;
                put(to, SPAN_NULL, want == entry ? entry : with_conditions(m, want, entry));
        }
        for (size_t i = 0; to && i < n_items(ours) && mine < room; i++)
                if (!find_parent(m, seen, ours->items[i].value)) {
                        put(to, SPAN_NULL, ours->items[i].value);
                        mine++;
                }
        return to;
}

static const struct node *merge_member(struct merge *m, const struct node_item *it, const struct node *seen)
{
        if (span_eq_str(it->key, "conditions"))
                return merge_conditions(m, it->value, list(seen, "conditions"));
        if (span_eq_str(it->key, "listeners"))
                return merge_listeners(m, it->value, list(seen, "listeners"));
        if (m->list && span_eq_str(it->key, m->list->name))
                return merge_parents(m, it->value, list(seen, m->list->name));
        return it->value;
}

/* Is every member of patch the same in seen?  An empty list is as good as none. */
static bool nothing_new(const struct node *patch, const struct node *seen)
{
        for (size_t i = 0; i < patch->n; i++) {
                const struct node *v = patch->items[i].value, *have = NULL;
                for (size_t k = 0; seen && seen->type == NODE_MAP && k < seen->n; k++)
                        if (span_eq(seen->items[k].key, patch->items[i].key))
                                have = seen->items[k].value;
                bool empty = v->type == NODE_SEQ && v->n == 0 && (!have || have->type == NODE_NULL);
                if (!empty && (!have || !node_same(v, have)))
                        return false;
        }
        return true;
}

static int merge(struct merge *m, const struct node *ours, const struct node *seen, struct json *out)
{
        struct node *patch = new_container(m, NODE_MAP, ours->n);
        for (size_t i = 0; patch && !m->failed && i < ours->n; i++)
                put(patch, ours->items[i].key, merge_member(m, &ours->items[i], seen));
        if (m->failed)
                return -ENOMEM;
        if (nothing_new(patch, seen))
                return 0;
        int r = json_node_write(patch, out);
        return r < 0 ? r : 1;
}

int status_merge(enum object_kind kind, const char *ns, const char *controller, const struct node *ours,
                 const struct node *seen, struct json *out)
{
        struct arena a;
        struct node none = { .type = NODE_SEQ };
        const struct status_list *several = status_list_of(kind);
        struct node_item nothing = { .key = span_str(several ? several->name : ""), .value = &none };
        const struct node gone = { .type = NODE_MAP, .items = &nothing, .n = 1 };
        if (!ours && !several)
                return 0;
        arena_init(&a, 8192, SIZE_MAX); /* bounded by its two inputs */
        struct merge m = { .a = &a, .ns = ns, .controller = controller, .list = several };
        int r = merge(&m, ours ? ours : &gone, seen, out);
        arena_fini(&a);
        return r;
}
