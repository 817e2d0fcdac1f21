/* agent/io/yaml.h - YAML and JSON bytes -> document trees (agent/core/node.h), by libyaml's events.
 * Layer: agent/io because it wraps a library; it does no I/O itself.  Thread rule: any, one arena per thread.
 *
 * Scalars stay text.  A plain scalar that is empty, ~, null, Null or NULL is NODE_NULL; one with the tag !!str counts
 * as quoted; !!int, !!bool, !!float, !!null, !!map and !!seq are accepted and change nothing (the schema types); any
 * other tag is refused.  Refused too: aliases (all of them: manifests do not need them and a few lines of them expand
 * to gigabytes; an anchor nobody refers to is harmless), merge keys without an alias are ordinary keys, keys that are
 * not scalars, a key given twice in one map, depth and node counts beyond source_limits.tbl.h. JSON is read as the YAML
 * flow it is; "\ud83d\ude00" pairs are the one thing libyaml does not take. */
#pragma once
#include "agent/core/node.h"

struct yaml_docs {
        struct node **v; /* empty documents are left out */
        size_t n;
};
/* The trees live in a.  Error place: "FILE:LINE:COLUMN".  -EINVAL (the text), -E2BIG (a limit), -ENOMEM. */
int yaml_read(struct span text, const char *file, struct arena *a, struct yaml_docs *ret, struct err *reterr)
        NONNULL(2, 3, 4) MUST_USE;
