/* l7gw/io/ring.h - many sends in one system call: io_uring, spoken to without a library.  Layer: l7gw/io.
 * Only sends that do not wait (MSG_DONTWAIT): the kernel finishes each before the call returns, so there is no state between calls, no
 * buffer it keeps, nothing to cancel.  Thread rule: the thread that made it.
 * Kernels may lack io_uring, and operators forbid it (sysctl kernel.io_uring_disabled, seccomp): ring_new tells, and plain sends do. */
#pragma once
#include "lib/base.h"
#include <sys/socket.h>

struct ring;
struct ring_op {
        int fd;
        const struct iovec *iov; /* borrowed for the call */
        unsigned n_iov;          /* 1..RING_SPANS */
        int result;              /* as send(): bytes, or -errno; RING_UNTRIED: not looked at by the kernel */
};
#define RING_SPANS 16
#define RING_UNTRIED INT32_MIN
int ring_new(unsigned ops, struct ring **ret) NONNULL(2) MUST_USE; /* at most `ops` per call; 0 or -errno */
void ring_free(struct ring *r);
/* 0, or -errno: the ring is broken, ops that are RING_UNTRIED remain to be sent some other way. */
int ring_send(struct ring *r, struct ring_op *ops, unsigned n) NONNULL(1, 2) MUST_USE;
