/* lib/io/loop.c - see loop.h.  One turn: wait, dispatch, timers, deferred hooks in rounds. */
#include "lib/base.h"
#include "lib/io/loop.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_PER_TURN 256 /* bounds the latency that deferred writes can pick up in one turn */
#define MAX_WAIT_MS 60000

struct loop {
        int epfd;
        int wakefd;
        int sigfd; /* -1 = none */
        struct timers *timers;
        struct loop_defer *deferred; /* LIFO: order between hooks is unspecified */
        uint64_t now_ms;
        struct epoll_event *events; /* of the turn in progress: loop_del clears entries of a removed fd */
        int n_events;
        struct loop_fd wake_fd, signal_fd;
        void (*on_wake)(void *arg);
        void *on_wake_arg;
        void (*on_signal)(void *arg, int signo);
        void *on_signal_arg;
        atomic_bool stop;
};

static uint64_t clock_ms(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void wake_event(struct loop_fd *f, unsigned events)
{
        struct loop *l = f->loop;
        uint64_t n;
        ssize_t r = read(f->fd, &n, sizeof n); /* EAGAIN is fine: someone else's wake was already taken */
        (void)r;
        (void)events;
        if (l->on_wake)
                l->on_wake(l->on_wake_arg);
}

static void signal_event(struct loop_fd *f, unsigned events)
{
        struct loop *l = f->loop;
        struct signalfd_siginfo si;
        (void)events;
        while (read(f->fd, &si, sizeof si) == (ssize_t)sizeof si)
                l->on_signal(l->on_signal_arg, (int)si.ssi_signo);
}

struct loop *loop_new(void)
{
        struct loop *l = calloc(1, sizeof *l);
        if (!l)
                return NULL;
        l->epfd = l->wakefd = l->sigfd = -1;
        l->wake_fd.fd = l->signal_fd.fd = -1;
        l->now_ms = clock_ms();
        l->timers = timers_new(l->now_ms);
        l->epfd = epoll_create1(EPOLL_CLOEXEC);
        l->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (!l->timers || l->epfd < 0 || l->wakefd < 0 || loop_add(l, &l->wake_fd, l->wakefd, wake_event) < 0) {
                int e = errno;
                loop_free(l);
                errno = e;
                return NULL;
        }
        return l;
}

void loop_free(struct loop *l)
{
        if (!l)
                return;
        if (l->sigfd >= 0)
                close(l->sigfd);
        if (l->wakefd >= 0)
                close(l->wakefd);
        if (l->epfd >= 0)
                close(l->epfd);
        timers_free(l->timers);
        free(l);
}

int loop_add(struct loop *l, struct loop_fd *f, int fd, loop_fd_fn *fn)
{
        *f = (struct loop_fd){ .fd = fd, .fn = fn, .loop = l };
        struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = f };
        if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
                f->fd = -1;
                return -errno;
        }
        return 0;
}

void loop_del(struct loop_fd *f)
{
        if (f->fd < 0)
                return;
        struct loop *l = f->loop;
        for (int i = 0; i < l->n_events; i++)
                if (l->events[i].data.ptr == f)
                        l->events[i].data.ptr = NULL;
        /* Fails only when fd is already closed, which would be our bug. */
        int r = epoll_ctl(l->epfd, EPOLL_CTL_DEL, f->fd, NULL);
        BUG_ON(r < 0);
        f->fd = -1;
}

void loop_defer(struct loop *l, struct loop_defer *d)
{
        if (d->pprev)
                return;
        d->next = l->deferred;
        if (d->next)
                d->next->pprev = &d->next;
        d->pprev = &l->deferred;
        l->deferred = d;
}

void loop_defer_cancel(struct loop_defer *d)
{
        if (!d->pprev)
                return;
        *d->pprev = d->next;
        if (d->next)
                d->next->pprev = d->pprev;
        d->pprev = NULL;
}

uint64_t loop_now_ms(const struct loop *l)
{
        return l->now_ms;
}

struct timers *loop_timers(struct loop *l)
{
        return l->timers;
}

void loop_on_wake(struct loop *l, void (*fn)(void *arg), void *arg)
{
        l->on_wake = fn;
        l->on_wake_arg = arg;
}

void loop_wake(struct loop *l)
{
        uint64_t one = 1;
        ssize_t r = write(l->wakefd, &one, sizeof one); /* EAGAIN: the counter is full, so a wake-up is due anyway */
        (void)r;
}

int loop_signals(struct loop *l, const int *signos, size_t n, void (*fn)(void *arg, int signo), void *arg)
{
        sigset_t set;
        sigemptyset(&set);
        for (size_t i = 0; i < n; i++)
                sigaddset(&set, signos[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        l->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (l->sigfd < 0)
                return -errno;
        l->on_signal = fn;
        l->on_signal_arg = arg;
        return loop_add(l, &l->signal_fd, l->sigfd, signal_event);
}

static void dispatch(struct loop *l)
{
        for (int i = 0; i < l->n_events; i++) {
                struct loop_fd *f = l->events[i].data.ptr;
                if (!f)
                        continue; /* removed by an earlier handler of this turn */
                uint32_t e = l->events[i].events;
                unsigned events = (e & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? LOOP_READ : 0u) |
                                  (e & (EPOLLOUT | EPOLLHUP | EPOLLERR) ? LOOP_WRITE : 0u) |
                                  (e & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? LOOP_HUP : 0u);
                f->fn(f, events);
        }
        l->n_events = 0;
}

static void run_deferred(struct loop *l)
{
        for (int i = 0; i < LOOP_ROUNDS && l->deferred; i++) {
                struct loop_defer *round = TAKE_PTR(l->deferred); /* hooks queued from here on are of the next round */
                round->pprev = &round;
                while (round) {
                        struct loop_defer *d = round;
                        loop_defer_cancel(d);
                        d->fn(d);
                }
        }
}

int loop_turn(struct loop *l, int max_wait_ms)
{
        struct epoll_event events[EVENTS_PER_TURN];
        int wait_ms = l->deferred ? 0 : (int)timers_next_ms(l->timers, clock_ms(), (uint64_t)MAX(max_wait_ms, 0));
        int n = epoll_wait(l->epfd, events, EVENTS_PER_TURN, wait_ms);
        if (n < 0 && errno != EINTR)
                return -errno;
        l->now_ms = clock_ms();
        l->events = events;
        l->n_events = MAX(n, 0);
        dispatch(l);
        timers_run(l->timers, l->now_ms);
        run_deferred(l);
        return 0;
}

int loop_run(struct loop *l)
{
        while (!atomic_load_explicit(&l->stop, memory_order_acquire)) {
                int r = loop_turn(l, MAX_WAIT_MS);
                if (r < 0)
                        return r;
        }
        return 0;
}

void loop_stop(struct loop *l)
{
        atomic_store_explicit(&l->stop, true, memory_order_release); /* whatever the caller wrote is seen after loop_run */
        loop_wake(l);
}
