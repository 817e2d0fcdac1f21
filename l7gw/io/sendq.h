/* l7gw/io/sendq.h - what a worker sends, all at once when a round of the loop is over.  Layer: l7gw/io.  Thread rule: the worker.
 * The contract, whatever carries the bytes:
 *   - A handler that has something to send queues its sendop (once, in whatever order) and goes on.  It may not assume that anything has
 *     left before `sent` is called, later in the same turn or in the next.
 *   - When the time comes `ready` is asked for descriptor and bytes: the last moment to seal records, or to think better of it.  NULL: nothing
 *     is sent, and `sent` is not called.
 *   - `sent` gets what went, already taken from the chain, or -errno: the connection is gone.  `full`: the socket took less than was there, its
 *     next edge will tell.  A very long chain goes in several turns.
 *   - Both may close anything and queue anything; whoever goes away cancels his sendop.
 * Behind it is one io_uring_enter for all (io/ring), or a send for each where there is no io_uring, or where only one has something to say. */
#pragma once
#include "l7gw/core/chain.h"
#include "lib/io/loop.h"
#include <sys/types.h>

struct sendop;
struct sendop_kind {
        struct chain *(*ready)(struct sendop *op, int *ret_fd);
        void (*sent)(struct sendop *op, ssize_t n, bool full);
};
struct sendop { /* embedded in its owner, zeroed but for kind */
        const struct sendop_kind *kind;
        struct sendop *next, **pprev; /* pprev NULL: not queued */
        struct chain *out;
        ssize_t result;
        bool full;
};
struct ring;
struct send_batch;
struct sendq {
        struct loop *loop;
        struct loop_defer hook;
        struct sendop *queued, **queued_end;
        struct sendop *over; /* sent, not told yet */
        struct ring *ring;   /* NULL: plain sends */
        struct send_batch *batch;
};
int sendq_init(struct sendq *q, struct loop *l, bool io_uring, int *ret_why) NONNULL(1, 2, 4) MUST_USE; /* 0, -ENOMEM; why: 0, or -errno: no io_uring */
void sendq_fini(struct sendq *q) NONNULL(1);
void sendq_add(struct sendq *q, struct sendop *op) NONNULL(1, 2); /* no-op when queued */
void sendq_cancel(struct sendq *q, struct sendop *op) NONNULL(1, 2);
