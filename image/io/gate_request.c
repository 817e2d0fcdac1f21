/* image/io/gate_request.c - see gate_request.h. */
#include "lib/base.h"
#include "image/io/gate_request.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define STATUS_LINE_MIN 12 /* "HTTP/1.1 200" */

static void closep(int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

/* A socket of the namespace: made there, it stays there, and we are back at once. */
static int socket_in(const char *netns, int family, struct err *reterr)
{
        if (!netns)
                return socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CLEANUP(closep) int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        CLEANUP(closep) int there = open(netns, O_RDONLY | O_CLOEXEC);
        if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0)
                return err_set(reterr, errno, netns, "cannot enter: %s", strerror(errno));
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), e = errno;
        BUG_ON(setns(home, CLONE_NEWNET) < 0); /* staying would ask everything else in the wrong place */
        errno = e;
        return fd;
}

static int dial(const char *netns, const struct ipaddr *addr, uint16_t port, struct err *reterr)
{
        union {
                struct sockaddr sa;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        } to = {.v4 = {.sin_family = AF_INET, .sin_port = htons(port)}};
        const struct timeval limit = {.tv_sec = REQUEST_MS / 1000, .tv_usec = REQUEST_MS % 1000 * 1000};
        char text[IPADDR_STR_MAX];
        if (addr->af == 4) {
                memcpy(&to.v4.sin_addr, addr->b, 4);
        } else {
                to.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
                memcpy(&to.v6.sin6_addr, addr->b, 16);
        }
        ipaddr_str(addr, text);
        int fd = socket_in(netns, to.sa.sa_family, reterr);
        if (fd < -1)
                return fd;
        if (fd < 0)
                return err_set(reterr, errno, text, "no socket: %s", strerror(errno));
        /* SO_SNDTIMEO bounds connect too (socket(7)) */
        if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0 ||
            connect(fd, &to.sa, addr->af == 4 ? sizeof to.v4 : sizeof to.v6) < 0) {
                int e = errno == EINPROGRESS ? ETIMEDOUT : errno;
                close(fd);
                return err_set(reterr, e, text, "port %u does not take a connection: %s", (unsigned)port, strerror(e));
        }
        return fd;
}

static int status_of(const char *line, size_t n, struct err *reterr)
{
        if (n < STATUS_LINE_MIN || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ')
                return err_set(reterr, EBADMSG, "answer", "no HTTP/1 status line");
        int status = 0;
        for (size_t i = 9; i < STATUS_LINE_MIN; i++) {
                if (line[i] < '0' || line[i] > '9')
                        return err_set(reterr, EBADMSG, "answer", "no HTTP/1 status line");
                status = status * 10 + (line[i] - '0');
        }
        return status;
}

/* The first bytes of the answer decide. */
static int exchange(int fd, SSL *tls, const char *request, struct err *reterr)
{
        char answer[STATUS_LINE_MIN];
        size_t len = strlen(request), n = 0;
        ssize_t w = tls ? SSL_write(tls, request, (int)len) : send(fd, request, len, MSG_NOSIGNAL);
        if (w != (ssize_t)len)
                return err_set(reterr, EIO, "request", "cannot be sent");
        while (n < sizeof answer) {
                ssize_t r = tls ? SSL_read(tls, answer + n, (int)(sizeof answer - n))
                                : recv(fd, answer + n, sizeof answer - n, 0);
                if (r <= 0)
                        return err_set(reterr, EIO, "answer", n ? "ends inside its first line" : "does not come");
                n += (size_t)r;
        }
        return status_of(answer, n, reterr);
}

static int exchange_tls(int fd, const char *host, const char *request, struct err *reterr)
{
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        SSL *s = ctx ? SSL_new(ctx) : NULL;
        int r;
        /* Not verified: it is the shard next door, and whose certificate it shows is the clients' business. */
        if (!s || SSL_set_fd(s, fd) != 1 || (*host && SSL_set_tlsext_host_name(s, host) != 1))
                r = err_set(reterr, ENOMEM, "TLS", "out of memory");
        else if (SSL_connect(s) != 1)
                r = err_set(reterr, EPROTO, "TLS", "the handshake fails");
        else
                r = exchange(fd, s, request, reterr);
        SSL_free(s);
        SSL_CTX_free(ctx);
        return r;
}

int gate_request(const char *netns, const struct ipaddr *addr, uint16_t port, const char *host, bool tls,
                 struct err *reterr)
{
        char request[512], name[256];
        snprintf(name, sizeof name, "%s%s", strncmp(host, "*.", 2) == 0 ? "gatehouse-health" : "",
                 strncmp(host, "*.", 2) == 0 ? host + 1 : host);
        snprintf(request, sizeof request,
                 "GET /.well-known/gatehouse-health HTTP/1.1\r\nHost: %s\r\nUser-Agent: "
                 "gatehouse-health\r\nConnection: close\r\n\r\n",
                 *name ? name : "gatehouse-health.invalid");
        CLEANUP(closep) int fd = dial(netns, addr, port, reterr);
        if (fd < 0)
                return fd;
        return tls ? exchange_tls(fd, name, request, reterr) : exchange(fd, NULL, request, reterr);
}
