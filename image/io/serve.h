/* image/io/serve.h - what `gatehouse-system serve` answers on /run/gatehouse/system.sock.  Layer: image/io.
 * Thread rule: the loop's thread; a query that takes long does its work elsewhere and is asked about by `status`.
 * A query is a line in serve.tbl.h and a function in a file of its noun; arg of each is the struct serve. */
#pragma once
#include "image/io/apply.h"
#include "image/io/serve.tbl.h"
#include "lib/io/admin.h"

struct serve {
        const struct host *h;
        struct loop *loop;
        struct apply *apply;
        uint64_t started_ms;
};

typedef int serve_fn(void *arg, char *const *argv, size_t argc, struct json *out, struct err *reterr);
#define Q(name, fn, help) serve_fn fn;
SERVE_QUERIES(Q)
#undef Q
/* Parts of `status`: each writes its keys into the open object. */
typedef void serve_part_fn(struct serve *s, struct json *out);
#define P(fn) serve_part_fn fn;
SERVE_STATUS(P)
#undef P
