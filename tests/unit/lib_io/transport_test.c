/* tests/unit/lib_io/transport_test.c - Unix transport: data both ways in any split, close, limits, stale sockets, peers. */
#include "lib/base.h"
#include "lib/io/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 5000

struct end {
        struct transport *t;
        struct buf got;
        size_t take_at_once; /* input() takes at most this much; 0 = only whole lines */
        int fail_with;
        bool close_in_input;
        bool closed;
        int err;
};

static ptrdiff_t end_input(void *arg, struct span in)
{
        struct end *e = arg;
        if (e->fail_with)
                return -e->fail_with;
        size_t n = e->take_at_once ? MIN(in.n, e->take_at_once) : 0;
        if (!e->take_at_once) {
                const uint8_t *nl = memchr(in.p, '\n', in.n);
                n = nl ? (size_t)(nl - in.p) + 1 : 0;
        }
        buf_add(&e->got, in.p, n);
        if (e->close_in_input) {
                transport_close(e->t);
                e->t = NULL;
        }
        return (ptrdiff_t)n;
}

static void end_closed(void *arg, int err, const char *why)
{
        struct end *e = arg;
        assert_non_null(why);
        e->closed = true;
        e->err = err;
        e->t = NULL;
}

static const struct transport_ops end_ops = { end_input, end_closed };

struct bed {
        struct loop *l;
        struct transport_listener *tl;
        struct end client, server;
        char path[64];
};

static void bed_accepted(void *arg, const struct transport_conn *conn)
{
        struct bed *b = arg;
        assert_int_equal(conn->peer.uid, geteuid());
        assert_int_equal(conn->peer.pid, getpid());
        assert_int_equal(transport_accept(b->l, conn, &end_ops, &b->server, &b->server.t), 0);
}

static int setup(void **state)
{
        struct bed *b = calloc(1, sizeof *b);
        struct err e = { 0 };
        b->l = loop_new();
        snprintf(b->path, sizeof b->path, "/tmp/gh-transport-%d.sock", (int)getpid());
        assert_int_equal(transport_listen(b->l, b->path, NULL, 0, bed_accepted, b, &b->tl, &e), 0);
        b->client.take_at_once = b->server.take_at_once = SIZE_MAX;
        buf_init(&b->client.got, 64u << 20);
        buf_init(&b->server.got, 64u << 20);
        assert_int_equal(transport_connect(b->l, b->path, &end_ops, &b->client, &b->client.t), 0);
        for (int i = 0; i < 10 && !b->server.t; i++)
                assert_int_equal(loop_turn(b->l, WAIT_MS), 0);
        assert_non_null(b->server.t);
        *state = b;
        return 0;
}

static int teardown(void **state)
{
        struct bed *b = *state;
        transport_close(b->client.t);
        transport_close(b->server.t);
        transport_listener_free(b->tl);
        struct stat st;
        assert_int_equal(stat(b->path, &st), -1); /* the socket file is gone */
        buf_fini(&b->client.got);
        buf_fini(&b->server.got);
        loop_free(b->l);
        free(b);
        return 0;
}

static void say(struct end *e, const void *p, size_t n)
{
        buf_add(transport_out(e->t), p, n);
        transport_flush(e->t);
}

static void turn_until(struct bed *b, const bool *flag, const struct buf *buf, size_t n)
{
        for (int i = 0; i < 100000 && !(flag && *flag) && !(buf && buf->n >= n); i++)
                assert_int_equal(loop_turn(b->l, WAIT_MS), 0);
        assert_true((flag && *flag) || (buf && buf->n >= n));
}

static void test_large_both_ways(void **state)
{
        struct bed *b = *state;
        size_t n = 5u << 20; /* far over the socket buffer */
        uint8_t *p = malloc(n);
        for (size_t i = 0; i < n; i++)
                p[i] = (uint8_t)(i * 7 + i / 251);
        b->server.take_at_once = 1000;
        say(&b->client, p, n);
        say(&b->server, p, n);
        turn_until(b, NULL, &b->server.got, n);
        turn_until(b, NULL, &b->client.got, n);
        assert_true(span_eq(buf_span(&b->server.got), SPAN(p, n)));
        assert_true(span_eq(buf_span(&b->client.got), SPAN(p, n)));
        free(p);
}

static void test_partial_input_is_kept(void **state)
{
        struct bed *b = *state;
        b->server.take_at_once = 0; /* whole lines */
        const char *text = "one\ntwo\n";
        for (size_t i = 0; i < strlen(text); i++) {
                say(&b->client, text + i, 1);
                assert_int_equal(loop_turn(b->l, WAIT_MS), 0);
        }
        turn_until(b, NULL, &b->server.got, 8);
        assert_string_equal(buf_cstr(&b->server.got), text);
}

static void test_peer_closes(void **state)
{
        struct bed *b = *state;
        transport_close(b->client.t);
        b->client.t = NULL;
        turn_until(b, &b->server.closed, NULL, 0);
        assert_int_equal(b->server.err, 0);
        assert_false(b->client.closed); /* no callback for one's own close */
}

static void test_owner_refuses_input(void **state)
{
        struct bed *b = *state;
        b->server.fail_with = EPROTO;
        say(&b->client, "x", 1);
        turn_until(b, &b->server.closed, NULL, 0);
        assert_int_equal(b->server.err, EPROTO);
        turn_until(b, &b->client.closed, NULL, 0);
}

static void test_close_inside_input(void **state)
{
        struct bed *b = *state;
        b->server.close_in_input = true;
        say(&b->client, "x", 1);
        turn_until(b, &b->client.closed, NULL, 0);
        assert_false(b->server.closed);
        assert_null(b->server.t);
}

static void test_input_that_is_never_taken(void **state)
{
        struct bed *b = *state;
        b->server.take_at_once = 0; /* waits for a newline that never comes */
        uint8_t *p = calloc(1, 2u << 20);
        say(&b->client, p, 2u << 20);
        free(p);
        turn_until(b, &b->server.closed, NULL, 0);
        assert_int_equal(b->server.err, EMSGSIZE);
}

/* A peer that is never short of bytes: each input is followed by the next write. */
struct hose {
        struct transport *t;
        int fd; /* the peer's end */
        size_t left, got;
        bool closed;
};

static void hose_fill(struct hose *h)
{
        static const uint8_t bytes[64 * 1024];
        while (h->left) {
                ssize_t n = write(h->fd, bytes, MIN(h->left, sizeof bytes));
                if (n <= 0)
                        return;
                h->left -= (size_t)n;
        }
}

static ptrdiff_t hose_input(void *arg, struct span in)
{
        struct hose *h = arg;
        h->got += in.n;
        hose_fill(h);
        return (ptrdiff_t)in.n;
}

static void hose_closed(void *arg, int err, const char *why)
{
        struct hose *h = arg;
        (void)why;
        assert_int_equal(err, 0);
        h->closed = true;
}

static void hose_open(struct hose *h, struct loop *l, size_t bytes)
{
        static const struct transport_ops ops = { hose_input, hose_closed };
        int sv[2];
        *h = (struct hose){ .left = bytes };
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv), 0);
        h->fd = sv[1];
        assert_int_equal(transport_accept(l, &(struct transport_conn){ .fd = sv[0] }, &ops, h, &h->t), 0);
        hose_fill(h);
}

/* One peer gets its share of a turn and no more; what is left is read without another event. */
static void test_busy_peer(void **state)
{
        enum { TOTAL = 32 << 20, SHARE = (1 << 20) + 64 * 1024 };
        struct bed *b = *state;
        struct hose h;
        int turns = 0;
        hose_open(&h, b->l, TOTAL);
        for (size_t before = 0; h.got < TOTAL; before = h.got, turns++) {
                assert_int_equal(loop_turn(b->l, WAIT_MS), 0);
                assert_true(h.got - before <= SHARE);
        }
        assert_true(turns >= TOTAL / SHARE);
        close(h.fd);
        for (int i = 0; i < 5 && !h.closed; i++)
                assert_int_equal(loop_turn(b->l, WAIT_MS), 0);
        assert_true(h.closed);

        hose_open(&h, b->l, TOTAL); /* closed by us while there is more to read */
        assert_int_equal(loop_turn(b->l, WAIT_MS), 0);
        transport_close(h.t);
        for (int i = 0; i < 5; i++)
                assert_int_equal(loop_turn(b->l, 1), 0);
        assert_true(h.got > 0 && h.got <= SHARE);
        assert_false(h.closed);
        close(h.fd);
}

static void test_socket_file(void **state)
{
        struct bed *b = *state;
        struct stat st;
        struct err e = { 0 };
        struct transport_listener *second = NULL;
        assert_int_equal(stat(b->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0660);
        /* A live socket is not taken over; a plain file is not removed. */
        assert_int_equal(transport_listen(b->l, b->path, NULL, 0, bed_accepted, b, &second, &e), -EADDRINUSE);
        char file[] = "/tmp/gh-transport-file-XXXXXX";
        int fd = mkstemp(file);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(transport_listen(b->l, file, NULL, 0, bed_accepted, b, &second, &e), -EEXIST);
        assert_int_equal(unlink(file), 0);
        struct transport *none = NULL;
        assert_int_equal(transport_connect(b->l, "/tmp/gh-transport-nobody.sock", &end_ops, b, &none), -ENOENT);
        char lng[200];
        memset(lng, 'a', sizeof lng - 1);
        lng[sizeof lng - 1] = 0;
        assert_int_equal(transport_connect(b->l, lng, &end_ops, b, &none), -ENAMETOOLONG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_large_both_ways, setup, teardown),
                cmocka_unit_test_setup_teardown(test_partial_input_is_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(test_peer_closes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_owner_refuses_input, setup, teardown),
                cmocka_unit_test_setup_teardown(test_close_inside_input, setup, teardown),
                cmocka_unit_test_setup_teardown(test_input_that_is_never_taken, setup, teardown),
                cmocka_unit_test_setup_teardown(test_busy_peer, setup, teardown),
                cmocka_unit_test_setup_teardown(test_socket_file, setup, teardown),
        };
        return cmocka_run_group_tests_name("lib-io-transport", tests, NULL, NULL);
}
