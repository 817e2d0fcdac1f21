/* l7gw/io/ring.c - see ring.h.  The rings are io_uring(7)'s: the kernel reads submissions from sq_head to sq_tail, and writes
 * completions from cq_head to cq_tail; each index has one writer. */
#include "lib/base.h"
#include "l7gw/io/ring.h"

#include <linux/io_uring.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct ring {
        int fd;
        unsigned entries;
        void *rings;
        size_t rings_bytes, sqes_bytes;
        struct io_uring_sqe *sqes;
        struct io_uring_cqe *cqes;
        _Atomic uint32_t *sq_head, *sq_tail, *cq_head, *cq_tail;
        uint32_t sq_mask, cq_mask;
        struct msghdr *heads; /* of ops in several pieces */
};

static int enter(const struct ring *r, unsigned submit, unsigned wait)
{
        long n;
        do
                n = syscall(SYS_io_uring_enter, r->fd, submit, wait, wait ? IORING_ENTER_GETEVENTS : 0u, NULL, 0);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : (int)n;
}

static int map(struct ring *r, const struct io_uring_params *p)
{
        size_t sq = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
        size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
        r->entries = p->sq_entries;
        r->rings_bytes = MAX(sq, cq);
        r->sqes_bytes = p->sq_entries * sizeof(struct io_uring_sqe);
        uint8_t *at = mmap(NULL, r->rings_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQ_RING);
        if (at == MAP_FAILED)
                return -errno;
        r->rings = at;
        void *sqes = mmap(NULL, r->sqes_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQES);
        if (sqes == MAP_FAILED)
                return -errno;
        r->sqes = sqes;
        r->cqes = (void *)(at + p->cq_off.cqes);
        r->sq_head = (void *)(at + p->sq_off.head);
        r->sq_tail = (void *)(at + p->sq_off.tail);
        r->cq_head = (void *)(at + p->cq_off.head);
        r->cq_tail = (void *)(at + p->cq_off.tail);
        r->sq_mask = *(uint32_t *)(void *)(at + p->sq_off.ring_mask);
        r->cq_mask = *(uint32_t *)(void *)(at + p->cq_off.ring_mask);
        uint32_t *array = (void *)(at + p->sq_off.array);
        for (uint32_t i = 0; i < p->sq_entries; i++)
                array[i] = i; /* entry i is always sqes[i] */
        return 0;
}

int ring_new(unsigned ops, struct ring **ret)
{
        struct io_uring_params p = {.flags = IORING_SETUP_CLAMP};
        struct ring *r = calloc(1, sizeof *r);
        if (!r)
                return -ENOMEM;
        r->fd = (int)syscall(SYS_io_uring_setup, ops, &p);
        int e = r->fd < 0 ? -errno : 0;
        if (e == 0 && !(p.features & IORING_FEAT_SINGLE_MMAP && p.features & IORING_FEAT_NODROP && p.features & IORING_FEAT_FAST_POLL))
                e = -ENOSYS; /* before Linux 5.7 */
        if (e == 0)
                e = map(r, &p);
        if (e == 0 && r->entries < ops)
                e = -ENOBUFS;
        r->heads = e == 0 ? calloc(r->entries, sizeof *r->heads) : NULL;
        if (e == 0 && !r->heads)
                e = -ENOMEM;
        if (e < 0) {
                ring_free(r);
                return e;
        }
        *ret = r;
        return 0;
}

void ring_free(struct ring *r)
{
        if (!r)
                return;
        if (r->sqes)
                munmap(r->sqes, r->sqes_bytes);
        if (r->rings)
                munmap(r->rings, r->rings_bytes);
        if (r->fd >= 0)
                close(r->fd);
        free(r->heads);
        free(r);
}

static void sqe_fill(struct ring *r, uint32_t slot, const struct ring_op *op, uint32_t index)
{
        struct io_uring_sqe *s = &r->sqes[slot];
        *s = (struct io_uring_sqe){.fd = op->fd, .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL, .user_data = index};
        if (op->n_iov == 1) {
                s->opcode = IORING_OP_SEND;
                s->addr = (uintptr_t)op->iov->iov_base;
                s->len = (uint32_t)op->iov->iov_len;
                return;
        }
        r->heads[slot] = (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)op->iov, .msg_iovlen = op->n_iov};
        s->opcode = IORING_OP_SENDMSG;
        s->addr = (uintptr_t)&r->heads[slot];
        s->len = 1;
}

static unsigned reap(struct ring *r, struct ring_op *ops)
{
        uint32_t head = atomic_load_explicit(r->cq_head, memory_order_relaxed); /* ours */
        uint32_t tail = atomic_load_explicit(r->cq_tail, memory_order_acquire); /* the entries before it are written */
        unsigned n = tail - head;
        for (; head != tail; head++) {
                const struct io_uring_cqe *c = &r->cqes[head & r->cq_mask];
                ops[c->user_data].result = c->res;
        }
        atomic_store_explicit(r->cq_head, head, memory_order_release); /* read before the kernel writes them again */
        return n;
}

int ring_send(struct ring *r, struct ring_op *ops, unsigned n)
{
        BUG_ON(n > r->entries);
        uint32_t tail = atomic_load_explicit(r->sq_tail, memory_order_relaxed); /* ours */
        for (unsigned i = 0; i < n; i++) {
                ops[i].result = RING_UNTRIED;
                sqe_fill(r, (tail + i) & r->sq_mask, &ops[i], i);
        }
        atomic_store_explicit(r->sq_tail, tail + n, memory_order_release); /* the entries are written */
        unsigned submitted = 0, done = 0;
        while (done < n) {
                int k = enter(r, n - submitted, submitted == n ? n - done : 0);
                if (k < 0 || (k == 0 && submitted < n)) {
                        reap(r, ops);
                        return k < 0 ? k : -EIO;
                }
                submitted += submitted < n ? (unsigned)k : 0;
                done += reap(r, ops);
        }
        return 0;
}
