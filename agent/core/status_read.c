/* agent/core/status_read.c - see status_read.h. */
#include "lib/base.h"
#include "agent/core/status_read.h"
#include "agent/core/status_merge.h"

struct reading {
        struct status_memory *m;
        struct arena *a;
        enum object_kind kind;
        const char *ns, *name;
        int rc;
};

static const char *text(struct arena *a, const struct node *map, const char *key)
{
        const struct node *n = map ? node_get(map, key) : NULL;
        if (!n || n->type != NODE_SCALAR)
                return "";
        const char *s = arena_printf(a, "%.*s", SPAN_FMT(n->text));
        return s ? s : "";
}

static const struct node *list(const struct node *map, const char *key)
{
        const struct node *n = map ? node_get(map, key) : NULL;
        return n && n->type == NODE_SEQ ? n : NULL;
}

static void read_conditions(struct reading *r, const struct node *of, const char *part)
{
        const struct node *v = list(of, "conditions");
        for (size_t i = 0; v && i < v->n; i++) {
                const struct node *c = v->items[i].value;
                int64_t since, generation = strtoll(text(r->a, c, "observedGeneration"), NULL, 10);
                const char *status = text(r->a, c, "status");
                bool yes = strcmp(status, "True") == 0;
                const char *key = status_key(r->a, r->kind, r->ns, r->name, part, text(r->a, c, "type"));
                if (!key || (!yes && strcmp(status, "False") != 0) || time_parse(text(r->a, c, "lastTransitionTime"), &since) < 0)
                        continue;
                int rc = status_memory_put(r->m, key, yes, generation, since);
                r->rc = rc < 0 ? rc : r->rc;
        }
}

static void read_entries(struct reading *r, const struct node *status, const struct status_list *l, const char *controller)
{
        const struct node *v = list(status, l->name);
        for (size_t i = 0; v && i < v->n; i++) {
                const struct node *entry = v->items[i].value, *ref = node_get(entry, l->ref);
                if (controller && strcmp(text(r->a, entry, "controllerName"), controller) != 0)
                        continue;
                struct parent_ref p = { .group = "", .kind = "", .namespace = text(r->a, ref, "namespace"), .name = text(r->a, ref, "name"),
                                        .section_name = text(r->a, ref, "sectionName"),
                                        .port = (uint16_t)strtoul(text(r->a, ref, "port"), NULL, 10) };
                const char *part = status_parent_part(r->a, r->ns, &p);
                if (part)
                        read_conditions(r, entry, part);
        }
}

static int grant_add(struct arena *a, struct vip_grants *g, const char *gateway, const struct ipaddr *ip)
{
        if (g->n == g->cap) {
                size_t cap = g->cap ? g->cap * 2 : 32;
                struct vip_grant *v = arena_calloc(a, cap, sizeof *v);
                if (!v)
                        return -ENOMEM;
                if (g->n)
                        memcpy(v, g->v, g->n * sizeof *v);
                g->v = v;
                g->cap = cap;
        }
        g->v[g->n++] = (struct vip_grant){ gateway, *ip };
        return 0;
}

static void read_listeners(struct reading *r, const struct node *status)
{
        const struct node *v = list(status, "listeners");
        for (size_t i = 0; v && i < v->n; i++) {
                const char *part = arena_printf(r->a, "listener %s", text(r->a, v->items[i].value, "name"));
                if (part)
                        read_conditions(r, v->items[i].value, part);
        }
}

static void read_addresses(struct reading *r, const struct node *status, struct vip_grants *g)
{
        const struct node *addrs = list(status, "addresses");
        const char *id = arena_printf(r->a, "%s/%s", r->ns, r->name);
        for (size_t i = 0; id && addrs && i < addrs->n; i++) {
                struct ipaddr ip;
                if (ipaddr_parse(span_str(text(r->a, addrs->items[i].value, "value")), &ip) < 0)
                        continue;
                int rc = grant_add(r->a, g, id, &ip);
                r->rc = rc < 0 ? rc : r->rc;
        }
}

int status_read(enum object_kind kind, const char *ns, const char *name, const char *controller, const struct node *status,
                struct status_memory *m, struct arena *a, struct vip_grants *g)
{
        struct reading r = { .m = m, .a = a, .kind = kind, .ns = ns, .name = name };
        read_conditions(&r, status, "");
        const struct status_list *l = status_list_of(kind);
        if (l)
                read_entries(&r, status, l, controller);
        if (kind == OBJECT_GATEWAY || kind == OBJECT_LISTENER_SET)
                read_listeners(&r, status);
        if (kind == OBJECT_GATEWAY)
                read_addresses(&r, status, g);
        return r.rc;
}
