/* l7gw/io/pipe.c - see pipe.h. */
#include "lib/base.h"
#include "l7gw/io/pipe.h"

#include <fcntl.h>
#include <unistd.h>

static void pipe_close(struct pipe *p)
{
        close(p->rd);
        close(p->wr);
        free(p);
}

void pipe_pool_fini(struct pipe_pool *pool)
{
        BUG_ON(pool->n_live != 0);
        while (pool->free) {
                struct pipe *p = pool->free;
                pool->free = p->next;
                pipe_close(p);
        }
        pool->n_free = 0;
}

static struct pipe *take(struct pipe_pool *pool)
{
        struct pipe *p = pool->free;
        int fd[2];
        if (p) {
                pool->free = p->next;
                pool->n_free--;
        } else {
                if (pool->n_live >= L7_PIPES)
                        return NULL;
                p = calloc(1, sizeof *p);
                if (!p)
                        return NULL;
                if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) < 0) { /* no descriptors, or the user's pages are used up */
                        free(p);
                        return NULL;
                }
                p->rd = fd[0];
                p->wr = fd[1];
                (void)fcntl(p->wr, F_SETPIPE_SZ, L7_PIPE_BYTES); /* refused: a smaller pipe works too */
        }
        pool->n_live++;
        return p;
}

static void give(struct pipe_pool *pool, struct pipe *p)
{
        pool->n_live--;
        if (p->n > 0 || pool->n_free >= L7_PIPES_KEPT) {
                pipe_close(p);
                return;
        }
        p->next = pool->free;
        pool->free = p;
        pool->n_free++;
}

void pipe_drop(struct pipe_pool *pool, struct pipe **pipe)
{
        struct pipe *p = TAKE_PTR(*pipe);
        if (p)
                give(pool, p);
}

static ssize_t move(int from, int to, size_t n)
{
        ssize_t r;
        do
                r = splice(from, NULL, to, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : r;
}

ssize_t pipe_fill(struct pipe_pool *pool, int fd, size_t max, struct pipe **ret_pipe)
{
        struct pipe *p = take(pool);
        if (!p)
                return -ENOBUFS;
        ssize_t n = move(fd, p->wr, MIN(max, (size_t)L7_PIPE_BYTES));
        if (n <= 0) {
                give(pool, p);
                return n;
        }
        p->n = (size_t)n;
        *ret_pipe = p;
        return n;
}

int pipe_drain(struct pipe_pool *pool, struct pipe **pipe, int fd)
{
        struct pipe *p = *pipe;
        while (p->n > 0) {
                ssize_t n = move(p->rd, fd, p->n);
                if (n == -EAGAIN)
                        return 0;
                if (n <= 0)
                        return n < 0 ? (int)n : -EPIPE;
                p->n -= (size_t)n;
        }
        pipe_drop(pool, pipe);
        return 0;
}
