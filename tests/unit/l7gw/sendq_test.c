/* tests/unit/l7gw/sendq_test.c - io/sendq over io_uring and over plain sends: the same bytes, the same answers. */
#include "lib/base.h"
#include "l7gw/io/sendq.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS (2 * L7_SEND_BATCH + 3) /* more than go in one call */

struct bench;
struct peer {
        struct sendop op;
        struct bench *b;
        int fd, other;
        struct chain out;
        bool refuses;        /* ready says no */
        struct peer *cancels; /* ready cancels that one */
        int told;
        ssize_t n;
        bool full;
};
struct bench {
        struct loop *loop;
        struct sendq q;
        struct chunk_pool pool;
        struct peer p[PEERS];
};

static struct chain *ready(struct sendop *op, int *ret_fd)
{
        struct peer *p = CONTAINER_OF(op, struct peer, op);
        if (p->cancels)
                sendq_cancel(&p->b->q, &p->cancels->op);
        *ret_fd = p->fd;
        return p->refuses ? NULL : &p->out;
}

static void sent(struct sendop *op, ssize_t n, bool full)
{
        struct peer *p = CONTAINER_OF(op, struct peer, op);
        p->told++;
        p->n = n;
        p->full = full;
}

static const struct sendop_kind kind = {ready, sent};

static bool setup(struct bench *b, bool io_uring)
{
        int why;
        memset(b, 0, sizeof *b);
        b->loop = loop_new();
        assert_non_null(b->loop);
        assert_int_equal(sendq_init(&b->q, b->loop, io_uring, &why), 0);
        assert_true(io_uring == (b->q.ring != NULL) || why < 0);
        chunk_pool_init(&b->pool);
        for (size_t i = 0; i < PEERS; i++) {
                int s[2];
                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s), 0);
                b->p[i] = (struct peer){.op.kind = &kind, .b = b, .fd = s[0], .other = s[1]};
                chain_init(&b->p[i].out, &b->pool);
        }
        return b->q.ring || !io_uring;
}

static void teardown(struct bench *b)
{
        for (size_t i = 0; i < PEERS; i++) {
                chain_clear(&b->p[i].out);
                close(b->p[i].fd);
                if (b->p[i].other >= 0)
                        close(b->p[i].other);
        }
        chunk_pool_fini(&b->pool);
        sendq_fini(&b->q);
        loop_free(b->loop);
}

static void turn(struct bench *b)
{
        assert_int_equal(loop_turn(b->loop, 0), 0);
}

static void expect(struct peer *p, const char *want)
{
        char got[64] = "";
        ssize_t n = recv(p->other, got, sizeof got - 1, 0);
        assert_int_equal(n < 0 ? 0 : n, strlen(want));
        assert_string_equal(got, want);
}

static void everybody(struct bench *b)
{
        for (size_t i = 0; i < PEERS; i++) {
                char text[16];
                chain_add(&b->p[i].out, text, (size_t)snprintf(text, sizeof text, "peer %zu", i));
                sendq_add(&b->q, &b->p[i].op);
                sendq_add(&b->q, &b->p[i].op); /* once is enough */
        }
        turn(b);
        for (size_t i = 0; i < PEERS; i++) {
                char text[16];
                snprintf(text, sizeof text, "peer %zu", i);
                assert_int_equal(b->p[i].told, 1);
                assert_int_equal(b->p[i].n, strlen(text));
                assert_false(b->p[i].full);
                assert_int_equal(b->p[i].out.n, 0);
                expect(&b->p[i], text);
        }
        turn(b);
        assert_int_equal(b->p[0].told, 1); /* nothing is left in the queue */
}

static void answers(struct bench *b)
{
        static uint8_t big[L7_CHUNK_BYTES * 40];
        struct peer *gone = &b->p[0], *slow = &b->p[1], *no = &b->p[2], *killer = &b->p[3], *victim = &b->p[4], *pieces = &b->p[5], *empty = &b->p[6];
        struct peer *early = &b->p[7], *late = &b->p[8];
        close(gone->other);
        gone->other = -1;
        no->refuses = true;
        killer->cancels = victim;
        late->cancels = early; /* which has been asked already */
        chain_add(&early->out, "e", 1);
        chain_add(&late->out, "l", 1);
        chain_add(&gone->out, "x", 1);
        chain_add(&slow->out, big, sizeof big);
        chain_add(&no->out, "x", 1);
        chain_add(&killer->out, "k", 1);
        chain_add(&victim->out, "v", 1);
        chain_add(&pieces->out, big, L7_CHUNK_BYTES + 5);
        for (size_t i = 0; i < 9; i++)
                sendq_add(&b->q, &b->p[i].op);
        turn(b);
        assert_int_equal(gone->n, -EPIPE);
        assert_int_equal(gone->told, 1);
        assert_true(slow->full && slow->n > 0 && (size_t)slow->n + slow->out.n == sizeof big);
        assert_int_equal(no->told, 0);
        assert_int_equal(killer->n, 1);
        assert_int_equal(victim->told, 0);
        assert_int_equal(victim->out.n, 1);
        assert_int_equal(early->told, 0);
        expect(early, "");
        assert_int_equal(late->n, 1);
        expect(late, "l");
        assert_int_equal(pieces->n, L7_CHUNK_BYTES + 5);
        assert_int_equal(pieces->out.n, 0);
        assert_int_equal(empty->told, 1);
        assert_int_equal(empty->n, 0);
        chain_add(&slow->out, "y", 1); /* a full socket: nothing goes, and that is no error */
        sendq_add(&b->q, &slow->op);
        sendq_add(&b->q, &killer->op);
        turn(b);
        assert_int_equal(slow->n, 0);
        assert_true(slow->full);
}

static void both(void (*test)(struct bench *))
{
        static struct bench b;
        for (int io_uring = 0; io_uring < 2; io_uring++) {
                if (setup(&b, io_uring))
                        test(&b);
                else
                        print_message("no io_uring here: plain sends only\n");
                teardown(&b);
        }
}

static void test_everybody(void **state)
{
        (void)state;
        both(everybody);
}

static void test_answers(void **state)
{
        (void)state;
        both(answers);
}

/* A cancelled op is queued anew, first and last in the queue, and by others around it. */
static void test_cancel(void **state)
{
        static struct bench b;
        (void)state;
        setup(&b, false);
        for (size_t i = 0; i < 3; i++) {
                chain_add(&b.p[i].out, "abc", 3);
                sendq_add(&b.q, &b.p[i].op);
        }
        sendq_cancel(&b.q, &b.p[2].op);
        sendq_cancel(&b.q, &b.p[0].op);
        sendq_cancel(&b.q, &b.p[0].op);
        sendq_add(&b.q, &b.p[2].op);
        turn(&b);
        assert_int_equal(b.p[0].told, 0);
        assert_int_equal(b.p[1].told, 1);
        assert_int_equal(b.p[2].told, 1);
        expect(&b.p[0], "");
        expect(&b.p[2], "abc");
        teardown(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_everybody),
                cmocka_unit_test(test_answers),
                cmocka_unit_test(test_cancel),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
