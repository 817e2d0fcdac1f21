/* l7gw/io/sendq.c - see sendq.h. */
#include "lib/base.h"
#include "l7gw/io/ring.h"
#include "l7gw/io/sendq.h"
#include "lib/io/log.h"

#include <sys/socket.h>
#include <sys/uio.h>

struct send_batch {
        struct ring_op ops[L7_SEND_BATCH];
        struct sendop *who[L7_SEND_BATCH];
        struct iovec iov[L7_SEND_BATCH][RING_SPANS];
        size_t want[L7_SEND_BATCH];
};

/* ---- one batch ---- */

static int send_plain(const struct ring_op *op)
{
        const struct msghdr mh = {.msg_iov = (struct iovec *)(uintptr_t)op->iov, .msg_iovlen = op->n_iov};
        ssize_t n;
        do
                n = op->n_iov == 1 ? send(op->fd, op->iov->iov_base, op->iov->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL)
                                   : sendmsg(op->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : (int)n;
}

static void send_all(struct sendq *q, unsigned n)
{
        struct ring_op *ops = q->batch->ops;
        bool by_ring = q->ring && n > 1; /* alone, the plain call is the shorter way */
        int r = by_ring ? ring_send(q->ring, ops, n) : 0;
        if (r < 0) {
                log_warn("io_uring", "state=off why=%s next=plain_sends", LOG_ESC(strerror(-r)));
                ring_free(TAKE_PTR(q->ring));
        }
        for (unsigned i = 0; i < n; i++)
                if (!by_ring || ops[i].result == RING_UNTRIED || ops[i].result == -EINTR)
                        ops[i].result = send_plain(&ops[i]);
}

static void unlink_op(struct sendop *op)
{
        *op->pprev = op->next;
        if (op->next)
                op->next->pprev = op->pprev;
        op->pprev = NULL;
}

static void push_over(struct sendq *q, struct sendop *op)
{
        op->next = q->over;
        if (op->next)
                op->next->pprev = &op->next;
        op->pprev = &q->over;
        q->over = op;
}

/* Asks until the batch is full or nobody is left; how many send. */
static unsigned gather(struct sendq *q, struct sendop **todo)
{
        struct send_batch *b = q->batch;
        unsigned n = 0;
        while (*todo && n < L7_SEND_BATCH) {
                struct sendop *op = *todo;
                unlink_op(op);
                int fd = -1;
                struct chain *out = op->kind->ready(op, &fd);
                if (!out)
                        continue;
                op->out = out;
                op->result = 0;
                op->full = false;
                push_over(q, op); /* from here on it can be cancelled */
                if (out->n == 0)
                        continue;
                struct span spans[RING_SPANS];
                size_t k = chain_spans(out, spans, RING_SPANS);
                b->want[n] = 0;
                for (size_t i = 0; i < k; i++) {
                        b->iov[n][i] = (struct iovec){(void *)(uintptr_t)spans[i].p, spans[i].n};
                        b->want[n] += spans[i].n;
                }
                b->ops[n] = (struct ring_op){.fd = fd, .iov = b->iov[n], .n_iov = (unsigned)k};
                b->who[n++] = op;
        }
        return n;
}

static void run(struct loop_defer *d)
{
        struct sendq *q = CONTAINER_OF(d, struct sendq, hook);
        struct send_batch *b = q->batch;
        struct sendop *todo = TAKE_PTR(q->queued); /* those who are told may queue again: for the next round */
        q->queued_end = &q->queued;
        if (todo)
                todo->pprev = &todo;
        while (todo) {
                unsigned n = gather(q, &todo);
                /* An op that was cancelled meanwhile (by the ready of another) has left `over`: its descriptor is closed. */
                unsigned kept = 0;
                for (unsigned i = 0; i < n; i++)
                        if (b->who[i]->pprev) {
                                b->who[kept] = b->who[i];
                                b->want[kept] = b->want[i];
                                b->ops[kept++] = b->ops[i];
                        }
                send_all(q, kept);
                for (unsigned i = 0; i < kept; i++) {
                        struct sendop *op = b->who[i];
                        op->result = b->ops[i].result == -EAGAIN ? 0 : b->ops[i].result;
                        op->full = op->result >= 0 && (size_t)op->result < b->want[i];
                        if (op->result > 0)
                                chain_consume(op->out, (size_t)op->result);
                }
                while (q->over) {
                        struct sendop *op = q->over;
                        unlink_op(op);
                        op->kind->sent(op, op->result, op->full);
                }
        }
}

/* ---- the queue ---- */

void sendq_add(struct sendq *q, struct sendop *op)
{
        if (op->pprev)
                return;
        op->next = NULL;
        op->pprev = q->queued_end;
        *q->queued_end = op;
        q->queued_end = &op->next;
        loop_defer(q->loop, &q->hook);
}

void sendq_cancel(struct sendq *q, struct sendop *op)
{
        if (!op->pprev)
                return;
        if (q->queued_end == &op->next)
                q->queued_end = op->pprev;
        unlink_op(op);
}

int sendq_init(struct sendq *q, struct loop *l, bool io_uring, int *ret_why)
{
        *q = (struct sendq){.loop = l, .hook.fn = run};
        q->queued_end = &q->queued;
        q->batch = malloc(sizeof *q->batch);
        if (!q->batch)
                return -ENOMEM;
        *ret_why = io_uring ? ring_new(L7_SEND_BATCH, &q->ring) : 0;
        return 0;
}

void sendq_fini(struct sendq *q)
{
        ring_free(TAKE_PTR(q->ring));
        free(TAKE_PTR(q->batch));
}
