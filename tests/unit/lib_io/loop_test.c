/* tests/unit/lib_io/loop_test.c - events, removal inside a handler, deferred hooks, timers, wake-up by a thread, signals. */
#include "lib/base.h"
#include "lib/io/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 5000 /* upper bound of one turn: reached only when the event does not come, and then the test fails */

struct peer {
        struct loop_fd fd;
        int other;
        unsigned seen, calls;
        struct loop_fd *remove; /* what the handler removes */
};

static void peer_event(struct loop_fd *f, unsigned events)
{
        struct peer *p = CONTAINER_OF(f, struct peer, fd);
        p->seen |= events;
        p->calls++;
        if (p->remove)
                loop_del(p->remove);
}

static void peer_open(struct loop *l, struct peer *p)
{
        int sv[2];
        *p = (struct peer){ 0 };
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
        p->other = sv[1];
        assert_int_equal(loop_add(l, &p->fd, sv[0], peer_event), 0);
}

static void test_events(void **state)
{
        (void)state;
        struct loop *l = loop_new();
        struct peer p;
        peer_open(l, &p);
        assert_int_equal(loop_turn(l, WAIT_MS), 0); /* a new socket is writable at once */
        assert_int_equal(p.seen, LOOP_WRITE);
        p.seen = 0;
        assert_int_equal(write(p.other, "x", 1), 1);
        assert_int_equal(loop_turn(l, WAIT_MS), 0);
        assert_true(p.seen & LOOP_READ);
        assert_false(p.seen & LOOP_HUP);
        p.seen = 0;
        close(p.other);
        assert_int_equal(loop_turn(l, WAIT_MS), 0);
        assert_true(p.seen & LOOP_HUP);
        int fd = p.fd.fd;
        loop_del(&p.fd);
        assert_int_equal(p.fd.fd, -1);
        loop_del(&p.fd); /* twice is legal */
        close(fd);
        loop_free(l);
}

/* Both are ready in the same turn; whichever runs first removes the other, which must then not be called. */
static void test_removal_in_handler(void **state)
{
        (void)state;
        struct loop *l = loop_new();
        struct peer a, b;
        peer_open(l, &a);
        peer_open(l, &b);
        int fa = a.fd.fd, fb = b.fd.fd;
        a.remove = &b.fd;
        b.remove = &a.fd;
        assert_int_equal(loop_turn(l, WAIT_MS), 0);
        assert_int_equal(a.calls + b.calls, 1);
        loop_del(&a.fd);
        loop_del(&b.fd);
        close(fa);
        close(fb);
        close(a.other);
        close(b.other);
        loop_free(l);
}

struct hook {
        struct loop_defer d;
        struct loop *l;
        struct hook *then;
        unsigned runs;
};

static void hook_run(struct loop_defer *d)
{
        struct hook *h = CONTAINER_OF(d, struct hook, d);
        h->runs++;
        if (h->then)
                loop_defer(h->l, &h->then->d);
}

static void test_deferred(void **state)
{
        (void)state;
        struct loop *l = loop_new();
        struct hook second = { .d.fn = hook_run, .l = l }, first = { .d.fn = hook_run, .l = l, .then = &second };
        struct hook never = { .d.fn = hook_run, .l = l };
        loop_defer(l, &first.d);
        loop_defer(l, &first.d);
        loop_defer(l, &never.d);
        loop_defer_cancel(&never.d);
        assert_int_equal(loop_turn(l, WAIT_MS), 0); /* does not wait: something is queued */
        assert_int_equal(first.runs, 1);
        assert_int_equal(second.runs, 1); /* queued by a hook: same turn */
        assert_int_equal(never.runs, 0);
        loop_free(l);
}

/* Two hooks that wake each other for ever cost a turn LOOP_ROUNDS runs, and what waits is served in between. */
static void test_fairness(void **state)
{
        (void)state;
        struct loop *l = loop_new();
        struct hook a = { .d.fn = hook_run, .l = l }, b = { .d.fn = hook_run, .l = l, .then = &a };
        a.then = &b;
        loop_defer(l, &a.d);
        for (unsigned turn = 1; turn <= 3; turn++) {
                assert_int_equal(loop_turn(l, WAIT_MS), 0);
                assert_int_equal(a.runs + b.runs, turn * LOOP_ROUNDS);
        }
        loop_defer_cancel(&a.d);
        loop_defer_cancel(&b.d);
        a.then = &a; /* one that queues itself */
        a.runs = 0;
        loop_defer(l, &a.d);
        assert_int_equal(loop_turn(l, WAIT_MS), 0);
        assert_int_equal(a.runs, LOOP_ROUNDS);
        loop_defer_cancel(&a.d);
        loop_free(l);
}

struct alarm {
        struct timer t;
        bool fired;
};

static void alarm_fire(struct timer *t, uint64_t now_ms)
{
        struct alarm *a = CONTAINER_OF(t, struct alarm, t);
        assert_true(now_ms >= t->deadline_ms);
        a->fired = true;
}

static void test_timer(void **state)
{
        (void)state;
        struct loop *l = loop_new();
        struct alarm a = { 0 };
        timer_init(&a.t, alarm_fire);
        timer_set(loop_timers(l), &a.t, loop_now_ms(l) + 20);
        for (int i = 0; i < 1000 && !a.fired; i++)
                assert_int_equal(loop_turn(l, WAIT_MS), 0);
        assert_true(a.fired);
        loop_free(l);
}

static void woken(void *arg)
{
        (*(unsigned *)arg)++;
}

static void *waker(void *arg)
{
        loop_wake(arg);
        return NULL;
}

static void test_wake_and_stop(void **state)
{
        (void)state;
        struct loop *l = loop_new();
        unsigned wakes = 0;
        pthread_t th;
        loop_on_wake(l, woken, &wakes);
        assert_int_equal(pthread_create(&th, NULL, waker, l), 0);
        for (int i = 0; i < 10 && wakes == 0; i++)
                assert_int_equal(loop_turn(l, WAIT_MS), 0);
        pthread_join(th, NULL);
        assert_int_equal(wakes, 1);
        loop_stop(l);
        assert_int_equal(loop_run(l), 0); /* returns at once */
        loop_free(l);
}

static void got_signal(void *arg, int signo)
{
        *(int *)arg = signo;
}

static void test_signal(void **state)
{
        (void)state;
        struct loop *l = loop_new();
        int got = 0;
        assert_int_equal(loop_signals(l, (const int[]){ SIGUSR1, SIGTERM }, 2, got_signal, &got), 0);
        assert_int_equal(raise(SIGUSR1), 0);
        for (int i = 0; i < 10 && !got; i++)
                assert_int_equal(loop_turn(l, WAIT_MS), 0);
        assert_int_equal(got, SIGUSR1);
        loop_free(l);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_events),   cmocka_unit_test(test_removal_in_handler),
                cmocka_unit_test(test_deferred), cmocka_unit_test(test_fairness), cmocka_unit_test(test_timer),
                cmocka_unit_test(test_wake_and_stop), cmocka_unit_test(test_signal),
        };
        return cmocka_run_group_tests_name("lib-io-loop", tests, NULL, NULL);
}
