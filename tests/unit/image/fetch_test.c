/* tests/unit/image/fetch_test.c - updates over HTTP: a whole installation from a server of ours, and servers that
 * misbehave.  The server is a child process that answers one request per connection: a file below its directory, or one
 * of the answers in `canned`. */
#include "lib/base.h"
#include "tests/unit/image/update_fixture.h"

#include "image/io/bundle.h"
#include "image/io/fetch.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct box box;
static pid_t server = -1;
static char base[64]; /* "http://127.0.0.1:PORT" */

static const struct canned {
        const char *path, *answer;
} canned[] = {
        {"/cut", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"},
        {"/gone", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"},
        {"/moved", "HTTP/1.1 302 Found\r\nLocation: /hello\r\nContent-Length: 0\r\n\r\n"},
        {"/hello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
        {"/loop", "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n"},
        {"/file", "HTTP/1.1 302 Found\r\nLocation: file:///etc/hostname\r\nContent-Length: 0\r\n\r\n"},
        {"/garbage", "\x01\x02 nothing of the kind\r\n\r\n"},
        {"/silent", ""},
        {"/noarchive", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno a tar!"},
        {"/endless/manifest", NULL}, /* a body that does not end */
};

static void say(int fd, const void *p, size_t n)
{
        const char *b = p;
        while (n) {
                ssize_t w = send(fd, b, n, MSG_NOSIGNAL);
                if (w <= 0)
                        return;
                b += w;
                n -= (size_t)w;
        }
}

static void answer_file(int fd, const char *dir, const char *path)
{
        static char block[65536];
        char name[512];
        struct stat st;
        snprintf(name, sizeof name, "%s%s", dir, path);
        int f = open(name, O_RDONLY);
        if (f < 0 || fstat(f, &st) < 0) {
                say(fd, canned[1].answer, strlen(canned[1].answer));
                return;
        }
        int n = snprintf(block, sizeof block, "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\nConnection: close\r\n\r\n",
                         (long long)st.st_size);
        say(fd, block, (size_t)n);
        for (ssize_t r; (r = read(f, block, sizeof block)) > 0;)
                say(fd, block, (size_t)r);
        close(f);
}

static void answer(int fd, const char *dir)
{
        char request[4096] = "", path[256] = "";
        ssize_t n = recv(fd, request, sizeof request - 1, 0);
        if (n <= 0 || sscanf(request, "GET %255s ", path) != 1)
                return;
        for (size_t i = 0; i < ARRAY_SIZE(canned); i++) {
                if (strcmp(path, canned[i].path) != 0)
                        continue;
                if (canned[i].answer) {
                        say(fd, canned[i].answer, strlen(canned[i].answer));
                        return;
                }
                static const char head[] = "HTTP/1.1 200 OK\r\n\r\n";
                say(fd, head, sizeof head - 1);
                while (send(fd, request, sizeof request, MSG_NOSIGNAL) > 0)
                        ;
                return;
        }
        answer_file(fd, dir, path);
}

static void serve(int listener, const char *dir)
{
        for (;;) {
                int fd = accept(listener, NULL, NULL);
                if (fd < 0)
                        _exit(1);
                answer(fd, dir);
                close(fd);
        }
}

static int setup(void **state)
{
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof sa;
        (void)state;
        box_root_bytes = BOX_ROOT_LARGE; /* more than the buffer of fetch.c: the transfer pauses and goes on */
        box_make(&box);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0 && listen(fd, 16) == 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
        snprintf(base, sizeof base, "http://127.0.0.1:%u", ntohs(sa.sin_port));
        server = fork();
        assert_true(server >= 0);
        if (server == 0)
                serve(fd, box.dir);
        close(fd);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
        box_free(&box);
        return 0;
}

static void installs(const char *path, const char *version)
{
        char url[256];
        struct update_manifest m;
        struct err e = {0};
        snprintf(url, sizeof url, "%s%s", base, path);
        box_bundle(&box, version, "0.1.0", 1);
        box_archive(&box, version);
        box.job.source = url;
        if (update_install(&box.job, &m, &e) < 0)
                fail_msg("%s: %s: %s", url, e.place, e.msg);
        assert_string_equal(box_boots(&box, url), version);
}

static void a_directory(void **state)
{
        (void)state;
        installs("/bundle/", "0.2.0");
}

static void an_archive(void **state)
{
        (void)state;
        installs("/bundle.tar", "0.3.0");
}

/* Reads the URL to its end; the bytes read, or -errno. */
static int64_t fetched(const char *path, char *text, size_t max)
{
        char url[256];
        struct fetch *f;
        struct err e = {0};
        int64_t n = 0;
        ssize_t r;
        snprintf(url, sizeof url, "%s%s", base, path);
        assert_int_equal(fetch_new(&f, &e), 0);
        assert_int_equal(fetch_start(f, url, &e), 0);
        while ((r = fetch_read(f, text, max, &e)) > 0)
                n += r;
        fetch_free(f);
        if (r < 0)
                assert_true(*e.msg && *e.place);
        return r < 0 ? r : n;
}

static void servers_that_misbehave(void **state)
{
        static const struct {
                const char *path;
                int64_t want;
        } rows[] = {{"/hello", 5},   {"/moved", 5},   {"/gone", -EIO},    {"/cut", -EIO},
                    {"/loop", -EIO}, {"/file", -EIO}, {"/garbage", -EIO}, {"/silent", -EIO}};
        char text[64];
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                int64_t n = fetched(rows[i].path, text, sizeof text);
                if (n != rows[i].want)
                        fail_msg("%s: %lld", rows[i].path, (long long)n);
        }
}

static void refusals(void **state)
{
        static const struct {
                const char *path;
                int want;
        } rows[] = {{"/nothing/", -EIO}, {"/gone", -EIO}, {"/noarchive", -EBADMSG}, {"/endless/", -EFBIG}};
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                char url[256];
                struct update_manifest m;
                struct err e = {0};
                snprintf(url, sizeof url, "%s%s", base, rows[i].path);
                box.job.source = url;
                int r = update_install(&box.job, &m, &e);
                if (r != rows[i].want)
                        fail_msg("%s: %d: %s: %s", rows[i].path, r, e.place, e.msg);
                assert_string_equal(box_boots(&box, rows[i].path), "0.1.0");
        }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {T(a_directory), T(an_archive), T(servers_that_misbehave), T(refusals)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
