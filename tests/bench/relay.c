/* tests/bench/relay.c - the floor of the layer-7 bench: copies bytes between a client and the origin, parses nothing.
 * One thread, edge-triggered epoll, one upstream connection per client connection, reads until a short read, sends at once.
 * No proxy that terminates TCP in user space can cost less per request.  Usage: relay LISTEN_PORT ORIGIN_ADDRESS ORIGIN_PORT */
#include "lib/base.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK_BYTES (64 * 1024)
#define EVENTS 256

struct side {
        int fd;
        struct side *other;
        char *pending; /* bytes the other side sent that this side could not take yet */
        size_t n_pending;
        bool closed; /* freed at the end of the turn */
        struct side *next_dead;
};

static int epfd;
static struct side *dead;
static char scratch[CHUNK_BYTES];
static struct sockaddr_in origin;

static void watch(struct side *s)
{
        int one = 1;
        setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s };
        BUG_ON(epoll_ctl(epfd, EPOLL_CTL_ADD, s->fd, &ev) < 0);
}

static void close_pair(struct side *s)
{
        for (int i = 0; i < 2; i++, s = s->other) {
                if (s->closed)
                        continue;
                s->closed = true;
                close(s->fd);
                s->next_dead = dead;
                dead = s;
        }
}

static void flush(struct side *s)
{
        while (s->n_pending) {
                ssize_t n = send(s->fd, s->pending, s->n_pending, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0) {
                        if (errno != EAGAIN && errno != ENOTCONN)
                                close_pair(s);
                        return;
                }
                s->n_pending -= (size_t)n;
                memmove(s->pending, s->pending + n, s->n_pending);
        }
}

static void pump(struct side *s)
{
        struct side *to = s->other;
        while (!s->closed && to->n_pending == 0) {
                ssize_t n = recv(s->fd, scratch, sizeof scratch, MSG_DONTWAIT);
                if (n == 0 || (n < 0 && errno != EAGAIN && errno != ENOTCONN)) {
                        close_pair(s);
                        return;
                }
                if (n < 0)
                        return;
                ssize_t sent = send(to->fd, scratch, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (sent < 0)
                        sent = 0;
                if (sent < n) {
                        memcpy(to->pending, scratch + sent, (size_t)(n - sent));
                        to->n_pending = (size_t)(n - sent);
                }
                if ((size_t)n < sizeof scratch)
                        return; /* a short read: the socket is empty */
        }
}

static void accept_all(int lfd)
{
        for (int fd; (fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
                struct side *c = calloc(1, sizeof *c), *u = calloc(1, sizeof *u);
                BUG_ON(!c || !u);
                c->pending = malloc(CHUNK_BYTES);
                u->pending = malloc(CHUNK_BYTES);
                BUG_ON(!c->pending || !u->pending);
                c->fd = fd;
                u->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
                c->other = u;
                u->other = c;
                if (connect(u->fd, (const struct sockaddr *)&origin, sizeof origin) < 0)
                        BUG_ON(errno != EINPROGRESS);
                watch(c);
                watch(u);
        }
}

static void bury(void)
{
        while (dead) {
                struct side *s = dead;
                dead = s->next_dead;
                free(s->pending);
                free(s);
        }
}

int main(int argc, char **argv)
{
        if (argc != 4) {
                fprintf(stderr, "usage: relay LISTEN_PORT ORIGIN_ADDRESS ORIGIN_PORT\n");
                return 2;
        }
        signal(SIGPIPE, SIG_IGN);
        origin = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10)) };
        if (inet_pton(AF_INET, argv[2], &origin.sin_addr) != 1) {
                fprintf(stderr, "relay: %s is not an IPv4 address\n", argv[2]);
                return 2;
        }
        struct sockaddr_in me = { .sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int one = 1, lfd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        setsockopt(lfd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(lfd, (const struct sockaddr *)&me, sizeof me) < 0 || listen(lfd, 4096) < 0) {
                perror("relay: listen");
                return 1;
        }
        epfd = epoll_create1(0);
        struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL }, evs[EVENTS];
        BUG_ON(epoll_ctl(epfd, EPOLL_CTL_ADD, lfd, &ev) < 0);
        for (;;) {
                int n = epoll_wait(epfd, evs, EVENTS, -1);
                for (int i = 0; i < n; i++) {
                        struct side *s = evs[i].data.ptr;
                        if (!s) {
                                accept_all(lfd);
                        } else if (!s->closed) {
                                flush(s);
                                if (!s->closed && s->n_pending == 0)
                                        pump(s->other);
                                if (!s->closed)
                                        pump(s);
                        }
                }
                bury();
        }
}
