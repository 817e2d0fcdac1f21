/* tests/unit/agent/fake_api.c - see fake_api.h.  Writes are small: they fit the socket's buffer. */
#include "lib/base.h"
#include "tests/unit/agent/fake_api.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static void send_all(struct fake_conn *c, const char *p, size_t n)
{
        while (n && c->f.fd >= 0) {
                ssize_t w = send(c->f.fd, p, n, MSG_NOSIGNAL);
                if (w < 0 && errno == EINTR)
                        continue;
                if (w < 0)
                        return; /* the client is gone: its close is an event */
                p += w;
                n -= (size_t)w;
        }
}

void fake_cut(struct fake_conn *c)
{
        int fd = c->f.fd;
        if (fd < 0)
                return;
        loop_del(&c->f);
        close(fd);
        c->f.fd = -1;
        c->streaming = c->waiting = false;
        buf_fini(&c->in);
}

static void header_value(const char *head, const char *name, char *ret, size_t n)
{
        ret[0] = '\0';
        for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
                if (strncasecmp(line + 2, name, strlen(name)) == 0) {
                        const char *v = line + 2 + strlen(name);
                        (void)snprintf(ret, n, "%.*s", (int)strcspn(v, "\r"), v);
                        return;
                }
}

/* One whole request at the start of c->in?  Then takes it. */
static bool take_request(struct fake_conn *c)
{
        char length[32], *head = (char *)(uintptr_t)buf_cstr(&c->in), *end = strstr(head, "\r\n\r\n");
        if (!end)
                return false;
        end[2] = '\0';
        header_value(head, "content-length: ", length, sizeof length);
        header_value(head, "authorization: ", c->authorization, sizeof c->authorization);
        header_value(head, "content-type: ", c->content_type, sizeof c->content_type);
        size_t head_n = (size_t)(end - head) + 4, body_n = (size_t)strtoul(length, NULL, 10);
        end[2] = '\r';
        if (c->in.n < head_n + body_n)
                return false;
        assert_true(body_n < sizeof c->body);
        assert_int_equal(sscanf(head, "%7s %511s", c->method, c->target), 2);
        memcpy(c->body, head + head_n, body_n);
        c->body[body_n] = '\0';
        buf_consume(&c->in, head_n + body_n);
        return true;
}

static void on_input(struct loop_fd *f, unsigned events)
{
        struct fake_conn *c = CONTAINER_OF(f, struct fake_conn, f);
        struct fake_api *a = c->api;
        for (;;) {
                uint8_t *p = buf_reserve(&c->in, 16384);
                assert_non_null(p);
                ssize_t n = recv(f->fd, p, 16384, MSG_DONTWAIT);
                if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
                        fake_cut(c);
                        return;
                }
                if (n < 0)
                        break;
                c->in.n += (size_t)n;
        }
        while (c->f.fd >= 0 && !c->streaming && !c->waiting && take_request(c)) {
                size_t used = strlen(a->trace);
                (void)snprintf(a->trace + used, sizeof a->trace - used, "%s %s\n", c->method, c->target);
                a->n_requests++;
                c->waiting = true;
                a->fn(a->arg, c);
        }
}

static void on_accept(struct loop_fd *f, unsigned events)
{
        struct fake_api *a = CONTAINER_OF(f, struct fake_api, listener);
        for (int fd; (fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
                size_t i = 0;
                while (i < FAKE_API_CONNS && a->conns[i].f.fd >= 0)
                        i++;
                assert_true(i < FAKE_API_CONNS);
                struct fake_conn *c = &a->conns[i];
                *c = (struct fake_conn){ .api = a, .f = { .fd = -1 } };
                buf_init(&c->in, 1u << 20);
                assert_int_equal(loop_add(a->loop, &c->f, fd, on_input), 0);
        }
}

void fake_api_init(struct fake_api *a, struct loop *l, fake_api_fn *fn, void *arg)
{
        struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t n = sizeof sin;
        *a = (struct fake_api){ .loop = l, .fn = fn, .arg = arg, .listener = { .fd = -1 } };
        for (size_t i = 0; i < FAKE_API_CONNS; i++)
                a->conns[i].f.fd = -1;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
        assert_int_equal(listen(fd, 64), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &n), 0);
        a->port = ntohs(sin.sin_port);
        assert_int_equal(loop_add(l, &a->listener, fd, on_accept), 0);
}

void fake_api_fini(struct fake_api *a)
{
        if (!a->loop)
                return;
        for (size_t i = 0; i < FAKE_API_CONNS; i++)
                fake_cut(&a->conns[i]);
        int fd = a->listener.fd;
        loop_del(&a->listener);
        close(fd);
}

struct fake_conn *fake_api_find(struct fake_api *a, const char *text)
{
        for (size_t i = 0; i < FAKE_API_CONNS; i++) {
                struct fake_conn *c = &a->conns[i];
                char line[sizeof c->method + sizeof c->target + 1];
                (void)snprintf(line, sizeof line, "%s %s", c->method, c->target);
                if (c->f.fd >= 0 && (c->streaming || c->waiting) && strstr(line, text))
                        return c;
        }
        return NULL;
}

unsigned fake_api_count(const struct fake_api *a, const char *text)
{
        unsigned n = 0;
        for (const char *line = a->trace; *line; line += strcspn(line, "\n") + 1) {
                n += memmem(line, strcspn(line, "\n"), text, strlen(text)) != NULL;
        }
        return n;
}

void fake_answer(struct fake_conn *c, int status, const char *headers, const char *body)
{
        CLEANUP(buf_fini) struct buf b;
        buf_init(&b, 1u << 20);
        c->waiting = false;
        buf_printf(&b, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers, strlen(body), body);
        send_all(c, buf_cstr(&b), b.n);
}

void fake_stream(struct fake_conn *c)
{
        static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        c->waiting = false;
        c->streaming = true;
        send_all(c, head, sizeof head - 1);
}

void fake_chunk(struct fake_conn *c, const char *text)
{
        CLEANUP(buf_fini) struct buf b;
        buf_init(&b, 1u << 20);
        buf_printf(&b, "%zx\r\n%s\r\n", strlen(text), text);
        send_all(c, buf_cstr(&b), b.n);
}

void fake_end(struct fake_conn *c)
{
        c->streaming = false;
        send_all(c, "0\r\n\r\n", 5);
}
