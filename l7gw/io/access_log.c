/* l7gw/io/access_log.c - see access_log.h. */
#include "lib/base.h"
#include "l7gw/io/access_log.h"
#include "l7gw/core/engine_limits.tbl.h"
#include "lib/io/log.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

static_assert((L7_LOG_RING_BYTES & (L7_LOG_RING_BYTES - 1)) == 0, "positions are masked");

struct ring {
        _Atomic size_t head CACHE_ALIGNED; /* written by the worker: everything before it is complete lines */
        _Atomic size_t tail CACHE_ALIGNED; /* written by the log thread */
        uint8_t *p;
};
struct access_log {
        char *path;
        int fd, wakefd;
        unsigned n;
        struct ring *rings;
        pthread_t thread;
        atomic_bool pending; /* the thread has been told and has not looked yet */
        atomic_bool stop, reopen;
        struct log_limit complaint;
};

static int log_open(const char *path)
{
        return strcmp(path, "-") == 0 ? STDOUT_FILENO : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

static void wake(struct access_log *l)
{
        uint64_t one = 1;
        ssize_t r = write(l->wakefd, &one, sizeof one); /* a full counter wakes as well */
        (void)r;
}

bool access_log_put(struct access_log *l, unsigned worker, struct span line)
{
        if (!l)
                return true;
        struct ring *r = &l->rings[worker];
        size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
        /* acquire: the reader's copy out of the space we are about to overwrite happened before */
        size_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
        if (line.n > L7_LOG_RING_BYTES - (head - tail))
                return false;
        size_t at = head & (L7_LOG_RING_BYTES - 1), first = MIN(line.n, (size_t)L7_LOG_RING_BYTES - at);
        memcpy(r->p + at, line.p, first);
        memcpy(r->p, line.p + first, line.n - first);
        atomic_store_explicit(&r->head, head + line.n,
                              memory_order_release); /* the bytes are there before the position says so */
        /* seq_cst: our load of pending must not pass our store of head, or both sides see the old and nobody wakes */
        atomic_thread_fence(memory_order_seq_cst);
        if (!atomic_load_explicit(&l->pending, memory_order_relaxed) &&
            !atomic_exchange_explicit(&l->pending, true, memory_order_acq_rel))
                wake(l);
        return true;
}

static void write_all(struct access_log *l, const uint8_t *p, size_t n)
{
        while (n > 0) {
                ssize_t w = write(l->fd, p, n);
                if (w < 0 && errno == EINTR)
                        continue;
                if (w < 0) {
                        uint32_t suppressed;
                        if (log_permit(&l->complaint, 1, 60000, &suppressed))
                                log_error("access_log_write", "path=%s error=%s action=lines_lost", LOG_ESC(l->path),
                                          LOG_ESC(strerror(errno)));
                        return;
                }
                p += w;
                n -= (size_t)w;
        }
}

static void drain(struct access_log *l)
{
        for (unsigned i = 0; i < l->n; i++) {
                struct ring *r = &l->rings[i];
                size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
                size_t head =
                        atomic_load_explicit(&r->head, memory_order_acquire); /* pairs with the worker's release */
                while (tail != head) {
                        size_t at = tail & (L7_LOG_RING_BYTES - 1),
                               n = MIN(head - tail, (size_t)L7_LOG_RING_BYTES - at);
                        write_all(l, r->p + at, n);
                        tail += n;
                        atomic_store_explicit(&r->tail, tail,
                                              memory_order_release); /* read before it may be overwritten */
                }
        }
}

static void reopen(struct access_log *l)
{
        if (strcmp(l->path, "-") == 0)
                return;
        int fd = log_open(l->path);
        if (fd < 0) {
                log_error("access_log_reopen", "path=%s error=%s action=keeping_old_file", LOG_ESC(l->path),
                          LOG_ESC(strerror(errno)));
                return;
        }
        close(l->fd);
        l->fd = fd;
}

static void *log_main(void *arg)
{
        struct access_log *l = arg;
        pthread_setname_np(pthread_self(), "access-log");
        const struct timespec gather = {.tv_nsec = L7_LOG_FLUSH_MS * 1000000l};
        for (;;) {
                uint64_t n;
                ssize_t r = read(l->wakefd, &n, sizeof n); /* blocks; EINTR only makes us look once more */
                (void)r;
                bool stop = atomic_load_explicit(&l->stop, memory_order_acquire);
                if (!stop)
                        nanosleep(&gather, NULL);
                if (atomic_exchange_explicit(&l->reopen, false, memory_order_acq_rel))
                        reopen(l);
                atomic_store_explicit(&l->pending, false, memory_order_relaxed);
                atomic_thread_fence(memory_order_seq_cst); /* before looking: a later line wakes us again */
                drain(l);
                if (stop)
                        return NULL;
        }
}

int access_log_new(const char *path, unsigned n_workers, struct access_log **ret, struct err *reterr)
{
        *ret = NULL;
        if (path[0] == '\0')
                return 0;
        struct access_log *l = calloc(1, sizeof *l);
        if (!l)
                return err_set(reterr, ENOMEM, path, "out of memory");
        l->path = strdup(path);
        l->n = n_workers;
        l->fd = log_open(path);
        int open_errno = errno;
        l->wakefd = eventfd(0, EFD_CLOEXEC);
        l->rings = aligned_alloc(64, n_workers * sizeof *l->rings);
        bool ok = l->path && l->fd >= 0 && l->wakefd >= 0 && l->rings;
        for (unsigned i = 0; l->rings && i < n_workers; i++) {
                l->rings[i] = (struct ring){.p = malloc(L7_LOG_RING_BYTES)};
                ok = ok && l->rings[i].p;
        }
        int e = ok ? pthread_create(&l->thread, NULL, log_main, l) : l->fd < 0 ? open_errno : ENOMEM;
        if (e == 0) {
                *ret = l;
                return 0;
        }
        for (unsigned i = 0; l->rings && i < n_workers; i++)
                free(l->rings[i].p);
        free(l->rings);
        free(l->path);
        if (l->fd > STDERR_FILENO)
                close(l->fd);
        if (l->wakefd >= 0)
                close(l->wakefd);
        free(l);
        return err_set(reterr, e, path, "cannot open the access log: %s", strerror(e));
}

void access_log_reopen(struct access_log *l)
{
        if (!l)
                return;
        atomic_store_explicit(&l->reopen, true, memory_order_release);
        wake(l);
}

void access_log_free(struct access_log *l)
{
        if (!l)
                return;
        atomic_store_explicit(&l->stop, true, memory_order_release);
        wake(l);
        pthread_join(l->thread, NULL);
        for (unsigned i = 0; i < l->n; i++)
                free(l->rings[i].p);
        free(l->rings);
        free(l->path);
        if (l->fd > STDERR_FILENO)
                close(l->fd);
        close(l->wakefd);
        free(l);
}
