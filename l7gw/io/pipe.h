/* l7gw/io/pipe.h - bytes from socket to socket without a look at them: splice(2) through a pipe.  Layer: l7gw/io.
 * A pipe is taken while it holds bytes, and given back empty: a worker has as many as transfers wait for a slow reader, and keeps
 * a few, newest first.  Bytes in it are pages of the receiving socket, at most L7_PIPE_BYTES.
 * Rule: a pipe is filled only while it is empty; so EAGAIN on filling speaks of the socket.  Thread rule: the worker. */
#pragma once
#include "l7gw/core/engine_limits.tbl.h"
#include "lib/base.h"
#include <sys/types.h>

struct pipe {
        struct pipe *next;
        int rd, wr;
        size_t n; /* bytes in it */
};
struct pipe_pool { /* zeroed */
        struct pipe *free;
        size_t n_free, n_live;
};
void pipe_pool_fini(struct pipe_pool *p) NONNULL(1);
/* From fd into a pipe that is taken from the pool: bytes, and *ret_pipe has them; 0: fd has ended; -EAGAIN: it has nothing now;
 * -ENOBUFS: no pipe is to be had, copy; else -errno: fd has failed. */
ssize_t pipe_fill(struct pipe_pool *pool, int fd, size_t max, struct pipe **ret_pipe) NONNULL(1, 4) MUST_USE;
/* Into fd, what it takes: 0, and *pipe is NULL when it is empty, else fd is full; or -errno: fd has failed. */
int pipe_drain(struct pipe_pool *pool, struct pipe **pipe, int fd) NONNULL(1, 2) MUST_USE;
void pipe_drop(struct pipe_pool *pool, struct pipe **pipe) NONNULL(1, 2); /* with what is in it; NULL is fine */
