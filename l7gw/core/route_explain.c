/* l7gw/core/route_explain.c - the same walk as route_find, which notes what it passes by instead of skipping it. */
#include "lib/base.h"
#include "l7gw/core/route.h"
#include "l7gw/core/route_table.h"

#define ITEMS_MAX 4096 /* entries of one virtual host on one path, regular expressions included */

struct gathered {
        const struct route_item *v[ITEMS_MAX];
        size_t n;
};

static void take(struct gathered *g, const struct route_list *l)
{
        for (const struct route_item *it = l->head; it && g->n < ITEMS_MAX; it = it->next)
                g->v[g->n++] = it;
}

static int order_cmp(const void *a, const void *b)
{
        const struct route_item *x = *(const struct route_item *const *)a, *y = *(const struct route_item *const *)b;
        return (x->order > y->order) - (x->order < y->order);
}

/* Entries whose literal path covers the request's, and those that have none; in the agent's order. */
static void gather(const struct route_vhost *v, struct span path, struct gathered *g)
{
        g->n = 0;
        take(g, &v->any);
        if (path.n && path.p[0] == '/') {
                const struct route_node *node = v->root;
                take(g, &node->prefix);
                for (size_t i = 1; i <= path.n;) {
                        const uint8_t *slash = i < path.n ? memchr(path.p + i, '/', path.n - i) : NULL;
                        struct span seg = SPAN(path.p + i, slash ? (size_t)(slash - path.p) - i : path.n - i);
                        node = strindex_get(&v->children, node->id, seg);
                        if (!node)
                                break;
                        take(g, &node->prefix);
                        if (!slash) {
                                take(g, &node->exact);
                                break;
                        }
                        i += seg.n + 1;
                }
        }
        if (g->n)
                qsort(g->v, g->n, sizeof g->v[0], order_cmp);
}

size_t route_explain(const struct route_listener *l, const struct msg *req, struct route_candidate *ret, size_t max)
{
        static _Thread_local struct gathered g; /* 32 KiB: not for stacks of unknown size */
        size_t pos = 0, n = 0;
        if (!l->hosts)
                return 0;
        for (const struct route_vhost *v; (v = host_index_next(&l->hosts->vhosts, req->host, &pos));) {
                gather(v, req->path, &g);
                for (size_t i = 0; i < g.n && n < max; i++) {
                        struct route_candidate *c = &ret[n++];
                        *c = (struct route_candidate){ .hostname = v->hostname, .entry = &g.v[i]->entry, .rule = g.v[i]->rule };
                        c->why = match_explain(&g.v[i]->match, req, &c->name);
                        if (c->why == WHY_MATCH || c->why == WHY_LIMIT)
                                return n;
                }
        }
        return n;
}
