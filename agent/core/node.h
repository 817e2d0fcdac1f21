/* agent/core/node.h - an untyped document tree with places: what YAML and JSON readers both produce, before the schema
 * gives it types.  Layer: agent/core, pure.  Scalars stay text: "yes", 0755 and 1e3 are typed by the schema, never
 * guessed. Ownership: everything lives in the arena given to the reader. */
#pragma once
#include "lib/core/arena.h"

enum node_type { NODE_NULL, NODE_SCALAR, NODE_MAP, NODE_SEQ };
struct node_item;
struct node {
        enum node_type type;
        bool quoted;            /* SCALAR: quoted in YAML or a JSON string: never null, number or bool */
        uint32_t line, column;  /* 1-based */
        struct span text;       /* SCALAR */
        struct node_item *items; size_t n; /* MAP: key+value, SEQ: value */
};
struct node_item { struct span key; struct node *value; uint32_t line; };
const struct node *node_get(const struct node *map, const char *key); /* NULL when absent or not a map */
bool node_present(const struct node *map, const char *key); /* there and not null */
void node_wipe(struct node *n); /* overwrites all scalars: for trees that held private keys */
