/* tests/unit/l7gw/pipe_test.c - io/pipe between two socket pairs: bytes, ends, limits. */
#include "lib/base.h"
#include "l7gw/io/pipe.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

struct bench {
        struct pipe_pool pool;
        int in[2], out[2]; /* the test's end, the other */
};

static void setup(struct bench *b)
{
        *b = (struct bench){0};
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b->in), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b->out), 0);
}

static void teardown(struct bench *b)
{
        for (int i = 0; i < 2; i++) {
                close(b->in[i]);
                close(b->out[i]);
        }
        pipe_pool_fini(&b->pool);
}

static void test_passes(void **state)
{
        struct bench b;
        struct pipe *p = NULL;
        char got[16];
        (void)state;
        setup(&b);
        assert_int_equal(pipe_fill(&b.pool, b.in[1], 100, &p), -EAGAIN);
        assert_null(p);
        assert_int_equal(b.pool.n_live, 0);
        assert_int_equal(write(b.in[0], "hello world", 11), 11);
        assert_int_equal(pipe_fill(&b.pool, b.in[1], 5, &p), 5); /* no more than asked for */
        assert_int_equal(p->n, 5);
        assert_int_equal(pipe_drain(&b.pool, &p, b.out[1]), 0);
        assert_null(p);
        assert_int_equal(pipe_fill(&b.pool, b.in[1], 100, &p), 6);
        assert_int_equal(pipe_drain(&b.pool, &p, b.out[1]), 0);
        assert_int_equal(read(b.out[0], got, sizeof got), 11);
        assert_memory_equal(got, "hello world", 11);
        assert_int_equal(b.pool.n_free, 1); /* the same one, twice */
        close(b.in[0]);
        b.in[0] = dup(b.in[1]);
        assert_int_equal(pipe_fill(&b.pool, b.in[1], 100, &p), 0);
        assert_null(p);
        teardown(&b);
}

static void test_full_and_gone(void **state)
{
        static uint8_t block[L7_PIPE_BYTES];
        struct bench b;
        struct pipe *p = NULL;
        (void)state;
        setup(&b);
        for (size_t i = 0; !p; i++) { /* until the other side takes no more */
                assert_true(i < 1000);
                assert_true(write(b.in[0], block, 32768) > 0);
                assert_true(pipe_fill(&b.pool, b.in[1], L7_PIPE_BYTES, &p) > 0);
                assert_int_equal(pipe_drain(&b.pool, &p, b.out[1]), 0);
        }
        assert_true(p->n > 0);
        while (read(b.out[0], block, sizeof block) > 0)
                ;
        assert_int_equal(pipe_drain(&b.pool, &p, b.out[1]), 0);
        assert_null(p);
        assert_int_equal(write(b.in[0], block, 100), 100);
        assert_int_equal(pipe_fill(&b.pool, b.in[1], 100, &p), 100);
        close(b.out[0]);
        b.out[0] = dup(b.out[1]);
        assert_int_equal(pipe_drain(&b.pool, &p, b.out[1]), -EPIPE);
        pipe_drop(&b.pool, &p); /* with what is in it: not kept */
        assert_null(p);
        assert_int_equal(b.pool.n_live, 0);
        pipe_drop(&b.pool, &p);
        teardown(&b);
}

static void test_limits(void **state)
{
        static struct pipe *p[L7_PIPES_KEPT + 2];
        struct bench b;
        struct pipe *one = NULL;
        (void)state;
        setup(&b);
        b.pool.n_live = L7_PIPES;
        assert_int_equal(write(b.in[0], "0123456789012345678901234567890", ARRAY_SIZE(p)), ARRAY_SIZE(p));
        assert_int_equal(pipe_fill(&b.pool, b.in[1], 1, &one), -ENOBUFS);
        b.pool.n_live = 0;
        for (size_t i = 0; i < ARRAY_SIZE(p); i++)
                assert_int_equal(pipe_fill(&b.pool, b.in[1], 1, &p[i]), 1);
        assert_int_equal(b.pool.n_live, ARRAY_SIZE(p));
        for (size_t i = 0; i < ARRAY_SIZE(p); i++)
                assert_int_equal(pipe_drain(&b.pool, &p[i], b.out[1]), 0);
        assert_int_equal(b.pool.n_live, 0);
        assert_int_equal(b.pool.n_free, L7_PIPES_KEPT);
        teardown(&b);
}

int main(void)
{
        signal(SIGPIPE, SIG_IGN); /* as the daemon does: splice has no MSG_NOSIGNAL */
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_passes),
                cmocka_unit_test(test_full_and_gone),
                cmocka_unit_test(test_limits),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
