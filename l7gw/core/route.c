/* l7gw/core/route.c - lookup in compiled routing tables. */
#include "lib/base.h"
#include "l7gw/core/route.h"
#include "l7gw/core/route_table.h"

const struct route_listener *route_listener_find(const struct route_bind *b, struct span host)
{
        size_t pos = 0;
        return host_index_next(&b->by_host->hosts, host, &pos);
}

/* The first of the list that matches and comes before *best.  false: a regular expression gave up. */
static bool list_try(const struct route_list *l, const struct msg *req, const struct route_item **best)
{
        for (const struct route_item *it = l->head; it; it = it->next) {
                if (*best && (*best)->order < it->order)
                        return true;
                switch (match_test(&it->match, req)) {
                case MATCH_NO:
                        continue;
                case MATCH_YES:
                        *best = it;
                        return true;
                case MATCH_LIMIT:
                        return false;
                }
        }
        return true;
}

/* Walks the trie along the path: every node passed offers its prefix entries, the node at the end its exact ones. */
static bool trie_try(const struct route_vhost *v, const struct msg *req, const struct route_item **best)
{
        struct span path = req->path;
        if (path.n == 0 || path.p[0] != '/') /* "*" and CONNECT have no path */
                return true;
        const struct route_node *node = v->root;
        bool ok = list_try(&node->prefix, req, best);
        for (size_t i = 1; ok && i <= path.n;) {
                const uint8_t *slash = i < path.n ? memchr(path.p + i, '/', path.n - i) : NULL;
                struct span seg = SPAN(path.p + i, slash ? (size_t)(slash - path.p) - i : path.n - i);
                node = strindex_get(&v->children, node->id, seg);
                if (!node)
                        break;
                ok = list_try(&node->prefix, req, best);
                if (!slash)
                        return ok && list_try(&node->exact, req, best);
                i += seg.n + 1;
        }
        return ok;
}

enum route_rc route_find(const struct route_listener *l, const struct msg *req, struct route_hit *ret)
{
        size_t pos = 0;
        if (!l->hosts)
                return ROUTE_NONE;
        for (const struct route_vhost *v; (v = host_index_next(&l->hosts->vhosts, req->host, &pos));) {
                const struct route_item *it = NULL;
                if (!trie_try(v, req, &it) || !list_try(&v->any, req, &it)) /* the dear ones last */
                        return ROUTE_LIMIT;
                if (it) {
                        *ret = (struct route_hit){ it->rule, &it->entry, l };
                        return ROUTE_FOUND;
                }
        }
        return ROUTE_NONE;
}

const struct route_rule *route_stream_find(const struct route_listener *l, struct span sni)
{
        size_t pos = 0;
        return l->streams ? host_index_next(&l->streams->by_sni, sni, &pos) : NULL;
}

const struct route_leg *route_pick_leg(const struct route_rule *r, uint64_t rnd)
{
        if (r->weight_total == 0)
                return NULL;
        uint64_t at = (uint64_t)((unsigned __int128)rnd * r->weight_total >> 64);
        for (size_t i = 0; i < r->n_legs; i++)
                if (at < r->legs[i].weight_end)
                        return &r->legs[i];
        BUG_ON(true); /* weight_end of the last leg is weight_total */
}
