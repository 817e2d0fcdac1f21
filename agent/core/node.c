/* agent/core/node.c - look-up in a document tree. */
#include "lib/base.h"

#include "agent/core/node.h"

const struct node *node_get(const struct node *map, const char *key)
{
        if (!map || map->type != NODE_MAP)
                return NULL;
        for (size_t i = 0; i < map->n; i++)
                if (span_eq_str(map->items[i].key, key))
                        return map->items[i].value;
        return NULL;
}

bool node_present(const struct node *map, const char *key)
{
        const struct node *v = node_get(map, key);
        return v && v->type != NODE_NULL;
}

void node_wipe(struct node *n)
{
        if (n->type == NODE_SCALAR && n->text.n)
                explicit_bzero((uint8_t *)(uintptr_t)n->text.p, n->text.n);
        for (size_t i = 0; i < n->n; i++)
                node_wipe(n->items[i].value);
}
