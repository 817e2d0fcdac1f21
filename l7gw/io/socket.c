/* l7gw/io/socket.c - see socket.h. */
#include "lib/base.h"
#include "l7gw/io/socket.h"

#include <netinet/tcp.h>
#include <sys/uio.h>
#include <unistd.h>

socklen_t socket_addr_of(union socket_addr *ret, const struct ipaddr *a, uint16_t port)
{
        *ret = (union socket_addr){0};
        if (a->af == 6) {
                ret->v6.sin6_family = AF_INET6;
                ret->v6.sin6_port = htons(port);
                memcpy(&ret->v6.sin6_addr, a->b, 16);
                return sizeof ret->v6;
        }
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(port);
        memcpy(&ret->v4.sin_addr, a->b, 4);
        return sizeof ret->v4;
}

void socket_addr_get(const union socket_addr *a, struct ipaddr *ret, uint16_t *ret_port)
{
        *ret = (struct ipaddr){0};
        if (a->sa.sa_family == AF_INET6) {
                ret->af = 6;
                memcpy(ret->b, &a->v6.sin6_addr, 16);
                *ret_port = ntohs(a->v6.sin6_port);
        } else {
                ret->af = 4;
                memcpy(ret->b, &a->v4.sin_addr, 4);
                *ret_port = ntohs(a->v4.sin_port);
        }
}

static int on(int fd, int level, int opt)
{
        int one = 1;
        return setsockopt(fd, level, opt, &one, sizeof one) < 0 ? -errno : 0;
}

int socket_bind(const struct ipaddr *a, uint16_t port)
{
        union socket_addr sa;
        socklen_t n = socket_addr_of(&sa, a, port);
        int fd = socket(sa.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        int r = on(fd, SOL_SOCKET, SO_REUSEADDR);
        if (r == 0)
                r = on(fd, SOL_SOCKET, SO_REUSEPORT);
        if (r == 0) /* accepted sockets inherit it: no call per connection */
                r = on(fd, IPPROTO_TCP, TCP_NODELAY);
        if (r == 0 && a->af == 6)
                r = on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
        if (r == 0)
                r = a->af == 6 ? on(fd, IPPROTO_IPV6, IPV6_FREEBIND) : on(fd, IPPROTO_IP, IP_FREEBIND);
        if (r == 0 && bind(fd, &sa.sa, n) < 0)
                r = -errno;
        if (r < 0) {
                close(fd);
                return r;
        }
        return fd;
}

int socket_connect(const struct ipaddr *a, uint16_t port)
{
        union socket_addr sa;
        socklen_t n = socket_addr_of(&sa, a, port);
        int fd = socket(sa.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        int r = on(fd, IPPROTO_TCP, TCP_NODELAY);
        if (r == 0 && connect(fd, &sa.sa, n) < 0 && errno != EINPROGRESS)
                r = -errno;
        if (r < 0) {
                close(fd);
                return r;
        }
        return fd;
}

#define SEND_SPANS 16

ssize_t socket_send(int fd, struct chain *out, bool *writable)
{
        size_t total = 0;
        while (out->n > 0 && *writable) {
                struct span spans[SEND_SPANS];
                struct iovec iov[SEND_SPANS];
                size_t k = chain_spans(out, spans, SEND_SPANS), want = 0;
                for (size_t i = 0; i < k; i++) {
                        iov[i] = (struct iovec){(void *)(uintptr_t)spans[i].p, spans[i].n};
                        want += spans[i].n;
                }
                struct msghdr mh = {.msg_iov = iov, .msg_iovlen = k};
                ssize_t n = sendmsg(fd, &mh, MSG_NOSIGNAL);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno != EAGAIN)
                        return -errno;
                if (n < (ssize_t)want)
                        *writable = false;
                if (n > 0) {
                        chain_consume(out, (size_t)n);
                        total += (size_t)n;
                }
        }
        return (ssize_t)total;
}

int socket_error(int fd)
{
        int e = 0;
        socklen_t n = sizeof e;
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0 ? errno : e;
}

void socket_reset_on_close(int fd)
{
        struct linger l = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &l,
                         sizeof l); /* fails: an orderly close, the body is still short */
}
