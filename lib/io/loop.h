/* lib/io/loop.h - event loop: edge-triggered epoll, timers, end-of-turn hooks, wake-up from other threads.
 * Layer: lib/io.  Thread rule: a loop belongs to the thread that runs it; only loop_wake and loop_stop may be called from
 * others.  Contract: every descriptor is registered ONCE for both directions (EPOLLIN |
 * EPOLLOUT | EPOLLRDHUP | EPOLLET); a handler reads until a short read or EAGAIN, or up to a budget and then defers itself;
 * handlers queue their writes and a deferred hook flushes them at the end of the turn; time is read once per turn.
 * Fairness: hooks run in rounds, those that hooks queue in the next one, and a turn has LOOP_ROUNDS of them.  What is left
 * then runs at the end of the next turn, which does not wait: with everybody else's events and timers between.  So two hooks
 * that keep waking each other (the two sides of a large transfer) cost the others a few rounds, never the transfer. */
#pragma once
#include "lib/core/timer.h"

#define LOOP_ROUNDS 4 /* event, its answer, what the answer's flush made room for, and that flushed */
enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HUP = 4 }; /* HUP: peer closed or error */
struct loop;
struct loop_fd;
typedef void loop_fd_fn(struct loop_fd *f, unsigned events);
struct loop_fd { /* embedded in its owner */
        int fd; /* -1 = not registered */
        loop_fd_fn *fn;
        struct loop *loop;
};
struct loop_defer;
typedef void loop_defer_fn(struct loop_defer *d);
struct loop_defer { /* runs once at the end of this turn, or of the next; embedded in its owner */
        struct loop_defer *next, **pprev; /* pprev NULL = not queued */
        loop_defer_fn *fn;
};

struct loop *loop_new(void);      /* NULL and errno on failure */
void loop_free(struct loop *l);
int loop_add(struct loop *l, struct loop_fd *f, int fd, loop_fd_fn *fn) NONNULL(1, 2, 4) MUST_USE; /* borrows fd; -errno */
void loop_del(struct loop_fd *f) NONNULL(1); /* safe inside any handler: pending events of f are dropped; does not close */
void loop_defer(struct loop *l, struct loop_defer *d) NONNULL(1, 2); /* no-op when queued */
void loop_defer_cancel(struct loop_defer *d) NONNULL(1);
uint64_t loop_now_ms(const struct loop *l) NONNULL(1);  /* CLOCK_MONOTONIC at the start of this turn */
struct timers *loop_timers(struct loop *l) NONNULL(1);
/* Called in the loop's thread after loop_wake() by anyone (coalesced). */
void loop_on_wake(struct loop *l, void (*fn)(void *arg), void *arg) NONNULL(1, 2);
void loop_wake(struct loop *l) NONNULL(1); /* any thread, async-signal-safe */
/* Blocks the signals in this thread and delivers them in the loop (signalfd).  Call before starting threads. */
int loop_signals(struct loop *l, const int *signos, size_t n, void (*fn)(void *arg, int signo), void *arg) MUST_USE;
int loop_run(struct loop *l) NONNULL(1); /* until loop_stop, 0 or -errno; at once when it was called before */
int loop_turn(struct loop *l, int max_wait_ms) NONNULL(1) MUST_USE; /* one turn, for tests and for l4lb's control thread */
/* Any thread, async-signal-safe.  For good: a stop that comes before the thread has reached loop_run is not lost, and a
 * stopped loop is not run again.  loop_turn goes on working, so the owner can drain. */
void loop_stop(struct loop *l) NONNULL(1);
