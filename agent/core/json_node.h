/* agent/core/json_node.h - JSON (RFC 8259) bytes <-> document trees (agent/core/node.h), for what an API server sends and
 * wants.  Layer: agent/core, pure.  Thread rule: any, one arena per thread.
 *
 * Strict: UTF-8, no trailing commas, no lone surrogates, no key twice, depth and memory bounded (by SOURCE_MAX_DOC_DEPTH and the arena).
 * Numbers stay text.  Strings without escapes borrow from the input, so it must outlive the tree.  Nodes have no line (0). */
#pragma once
#include "agent/core/node.h"
#include "lib/core/json.h"

/* One value and nothing behind it but blanks.  what: names the text in the error's place, with the offset. */
int json_node_read(struct span text, const char *what, struct arena *a, struct node **ret, struct err *reterr)
        NONNULL(2, 3, 4) MUST_USE;
/* An object whose member "items" is a list too large to hold as a tree: each item is read into `scratch`, handed to fn
 * (borrowed for the call) and forgotten; the other members are *ret, in a.  fn < 0 ends the reading with that. */
typedef int json_item_fn(void *arg, const struct node *item);
int json_node_read_items(struct span text, const char *what, struct arena *a, struct arena *scratch, json_item_fn *fn,
                         void *arg, struct node **ret, struct err *reterr) NONNULL(2, 3, 4, 5, 7) MUST_USE;
/* Writes one value.  A plain scalar that is a JSON number, true or false is written as such, every other one as a string:
 * with trees read from YAML that is what YAML 1.2 says of them.  -E2BIG: deeper than lib/core/json.h goes, nothing is
 * written. */
int json_node_write(const struct node *n, struct json *j) NONNULL(1, 2) MUST_USE;
/* Same meaning: order of keys does not count, order of items does; a null member is an absent one. */
bool node_same(const struct node *a, const struct node *b) NONNULL(1, 2) MUST_USE;
