/* tests/unit/lib_io/notify_test.c - what the service manager hears: ready, status, watchdog, stopping, silence. */
#include "lib/base.h"
#include "lib/io/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 5000

struct manager { /* stands for the service manager */
        struct loop *loop;
        struct loop_fd fd;
        char path[108], said[512];
        unsigned datagrams;
};

static void manager_event(struct loop_fd *f, unsigned events)
{
        struct manager *m = CONTAINER_OF(f, struct manager, fd);
        char text[512];
        ssize_t n;
        (void)events;
        while ((n = recv(f->fd, text, sizeof text - 1, MSG_DONTWAIT)) >= 0) {
                text[n] = 0;
                memcpy(m->said, text, (size_t)n + 1);
                m->datagrams++;
        }
}

static void manager_open(struct manager *m, char kind)
{
        *m = (struct manager){ .loop = loop_new() };
        assert_non_null(m->loop);
        struct sockaddr_un sun = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
        snprintf(m->path, sizeof m->path, "%cgatehouse-notify-%d", kind, (int)getpid());
        if (kind == '/')
                snprintf(m->path, sizeof m->path, "/tmp/gatehouse-notify-%d", (int)getpid());
        memcpy(sun.sun_path, m->path, strlen(m->path));
        if (kind == '@')
                sun.sun_path[0] = 0;
        assert_int_equal(bind(fd, (struct sockaddr *)&sun,
                              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(m->path))), 0);
        assert_int_equal(loop_add(m->loop, &m->fd, fd, manager_event), 0);
        setenv("NOTIFY_SOCKET", m->path, 1);
}

static void manager_close(struct manager *m)
{
        int fd = m->fd.fd;
        loop_del(&m->fd);
        close(fd);
        if (m->path[0] == '/')
                unlink(m->path);
        loop_free(m->loop);
        unsetenv("NOTIFY_SOCKET");
        unsetenv("WATCHDOG_USEC");
        unsetenv("WATCHDOG_PID");
}

/* The next datagram; fails the test when none comes. */
static const char *heard(struct manager *m)
{
        unsigned before = m->datagrams;
        for (int i = 0; i < 50 && m->datagrams == before; i++)
                assert_int_equal(loop_turn(m->loop, WAIT_MS / 50), 0);
        assert_int_equal(m->datagrams, before + 1);
        return m->said;
}

static void test_states(void **state)
{
        (void)state;
        static const char kinds[] = { '/', '@' };
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                struct manager m;
                struct notify n;
                char longest[400];
                manager_open(&m, kinds[i]);
                notify_init(&n, m.loop, NULL, NULL);
                notify_ready(&n, "%d ports", 3);
                assert_string_equal(heard(&m), "READY=1\nSTATUS=3 ports");
                notify_status(&n, "pool\nREADY=0");
                assert_string_equal(heard(&m), "STATUS=pool READY=0"); /* one field, whatever is in it */
                memset(longest, 'x', sizeof longest - 1);
                longest[sizeof longest - 1] = 0;
                notify_status(&n, "%s", longest);
                assert_int_equal(strlen(heard(&m)), strlen("STATUS=") + 255);
                notify_stopping(&n);
                assert_string_equal(heard(&m), "STOPPING=1");
                notify_fini(&n);
                manager_close(&m);
        }
}

/* A program without a loop of ours gives each sign itself. */
static void test_without_a_loop(void **state)
{
        (void)state;
        struct manager m;
        struct notify n;
        manager_open(&m, '/');
        setenv("WATCHDOG_USEC", "20000", 1);
        notify_init(&n, NULL, NULL, NULL);
        notify_ready(&n, "up");
        assert_string_equal(heard(&m), "READY=1\nSTATUS=up");
        notify_beat(&n);
        assert_string_equal(heard(&m), "WATCHDOG=1");
        notify_fini(&n);
        unsetenv("WATCHDOG_USEC");
        notify_init(&n, NULL, NULL, NULL);
        notify_beat(&n); /* nobody wants one */
        notify_status(&n, "x");
        assert_string_equal(heard(&m), "STATUS=x");
        notify_fini(&n);
        manager_close(&m);
}

struct health {
        bool alive;
        unsigned asked;
};
static bool health_ask(void *arg)
{
        struct health *h = arg;
        h->asked++;
        return h->alive;
}

static void test_watchdog(void **state)
{
        (void)state;
        struct manager m;
        struct notify n;
        struct health h = { .alive = true };
        char pid[16];
        snprintf(pid, sizeof pid, "%d", (int)getpid());
        manager_open(&m, '@');
        setenv("WATCHDOG_USEC", "20000", 1);
        setenv("WATCHDOG_PID", pid, 1);
        notify_init(&n, m.loop, health_ask, &h);
        assert_int_equal(n.beat_ms, 10);
        notify_ready(&n, "up");
        assert_string_equal(heard(&m), "READY=1\nSTATUS=up");
        assert_string_equal(heard(&m), "WATCHDOG=1");
        assert_string_equal(heard(&m), "WATCHDOG=1");
        h.alive = false; /* asked again and again, silent; what was said before is heard first */
        for (unsigned asked = h.asked; h.asked < asked + 1;)
                assert_int_equal(loop_turn(m.loop, WAIT_MS), 0);
        unsigned datagrams = m.datagrams;
        for (unsigned asked = h.asked; h.asked < asked + 3;)
                assert_int_equal(loop_turn(m.loop, WAIT_MS), 0);
        assert_int_equal(m.datagrams, datagrams);
        h.alive = true; /* recovered before the period was over: nobody restarts us */
        assert_string_equal(heard(&m), "WATCHDOG=1");
        assert_int_equal(m.datagrams, datagrams + 1);
        notify_stopping(&n);
        assert_string_equal(heard(&m), "STOPPING=1");
        assert_false(timer_armed(&n.watchdog));
        notify_fini(&n);
        manager_close(&m);
}

static void test_not_asked(void **state)
{
        (void)state;
        static const struct {
                const char *name, *socket, *usec, *pid;
                bool talks;
        } rows[] = {
                { "no socket", NULL, "20000", NULL, false },
                { "empty socket", "", "20000", NULL, false },
                { "neither path nor abstract", "vsock:2:1", "20000", NULL, false },
                { "nobody listens there", "/tmp/gatehouse-notify-none", "20000", NULL, false },
                { "watchdog of another process", "", "20000", "1", true },
                { "no watchdog", "", NULL, NULL, true },
                { "no number", "", "20000x", NULL, true },
                { "negative", "", "-5", NULL, true },
                { "out of range", "", "99999999999999999999999", NULL, true },
                { "watchdog of nobody", "", "20000", "x1", true },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct manager m;
                struct notify n;
                manager_open(&m, '@');
                if (!rows[i].talks && !rows[i].socket)
                        unsetenv("NOTIFY_SOCKET");
                else if (!rows[i].talks)
                        setenv("NOTIFY_SOCKET", rows[i].socket, 1);
                if (rows[i].usec)
                        setenv("WATCHDOG_USEC", rows[i].usec, 1);
                if (rows[i].pid)
                        setenv("WATCHDOG_PID", rows[i].pid, 1);
                notify_init(&n, m.loop, NULL, NULL);
                if ((n.fd >= 0) != rows[i].talks || n.beat_ms)
                        fail_msg("%s", rows[i].name);
                notify_ready(&n, "up"); /* harmless */
                if (rows[i].talks)
                        assert_string_equal(heard(&m), "READY=1\nSTATUS=up");
                notify_fini(&n);
                manager_close(&m);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_states),
                cmocka_unit_test(test_without_a_loop), cmocka_unit_test(test_watchdog),
                cmocka_unit_test(test_not_asked),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
