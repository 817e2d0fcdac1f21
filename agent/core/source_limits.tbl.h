/* agent/core/source_limits.tbl.h - what one directory of manifests may hold.  L(NAME, limit, why).  Each bites as an
 * error with a place, never as a silent cut. */
#pragma once
#include "lib/base.h"

#define SOURCE_LIMITS(L) \
        L(FILES, 4096, "one file per team and kind is far below; more is a wrong path, such as /") \
        L(FILE_BYTES, 4u << 20, "thousands of manifests, or four objects of the API server's size") \
        L(LOAD_BYTES, 256u << 20, "all files together: bounds what one load may cost") \
        L(DOC_DEPTH, 64, "HTTPRoute, the deepest kind, nests 12 levels") \
        L(DOC_NODES, 200000, "scalars, maps and lists of one file; 4 MiB of manifests have about 150,000") \
        L(TREE_BYTES, 128u << 20, "arena of one file's document tree: 200,000 nodes take 40 MiB at most") \
        L(OBJECT_BYTES, 16u << 20, "arena of one object: an HTTPRoute with every list full takes 6 MiB") \
        L(SECRET_BYTES, 1u << 20, "the API server's limit for the values of a Secret or ConfigMap") \
        L(OBJECTS, 200000, "ten times the largest published Gateway API test") \
        L(LOAD_ERRORS, 10, "errors reported of one refused load; the rest are counted") \
        L(FIELD_PATH, 128, "characters of a field path in an error; the longest real one has 90")
enum {
#define L(name, limit, why) SOURCE_MAX_##name = limit,
        SOURCE_LIMITS(L)
#undef L
};
