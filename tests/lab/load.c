/* tests/lab/load.c - a small precise load generator that records every single request.  A test tool: no part of the appliance.
 *
 *   gh_load --to ADDR PORT --host NAME [--path P] [--flows N] [--flow-ms MS] [--conn-rate R] [--timeout-ms T]
 *           [--mark HEADER]... [--seconds S]
 *
 * Two kinds of traffic at once: N keep-alive flows, each sending one request every MS milliseconds on one connection for as
 * long as that lives ("keep"), and R new connections per second of one request each ("new").  Every request ends in one
 * line on stdout, written when it ends:
 *   KIND FLOW CONN T0_US T1_US PORT RESULT STATUS MARK1 MARK2...
 * KIND keep|new; CONN counts the connections of that flow; T0/T1 are CLOCK_MONOTONIC microseconds at start (connect, or first
 * byte of the request) and end; PORT is the local port; RESULT is ok | refused | reset | eof | timeout | bad; MARKs are
 * values of response headers, "-" when absent.  The clock is the host's, so the caller can lay its own events beside it.
 * A failed keep-alive flow is recorded and connects again at its next tick.  SIGTERM or end of --seconds stops starting
 * requests and lets those in flight end.  One thread, epoll. */
#include "lib/base.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define MARK_MAX 4
#define MARK_BYTES 96
#define HEAD_MAX 16384

enum phase { PH_IDLE, PH_CONNECT, PH_HEAD, PH_BODY, PH_CHUNK_SIZE, PH_CHUNK_DATA, PH_CHUNK_END };

struct flow {
        int fd; /* -1 = no connection */
        bool keep;
        enum phase phase;
        unsigned id, conn, port, status;
        int64_t t0_us, deadline_us, due_us;
        char in[HEAD_MAX];
        size_t in_n;
        uint64_t left;
        bool close_after;
        char mark[MARK_MAX][MARK_BYTES];
        struct flow *next;
};

static struct {
        struct sockaddr_storage to;
        socklen_t to_len;
        const char *host, *path, *marks[MARK_MAX];
        unsigned n_marks, flows, flow_ms, conn_rate, timeout_ms, seconds;
        char request[8192];
        size_t request_n;
} conf = { .path = "/", .flow_ms = 20, .timeout_ms = 1000 };
static int ep;
static struct flow *all;
static unsigned n_new, in_flight;
static bool stopping;

static int64_t now_us(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void flow_disconnect(struct flow *f)
{
        if (f->fd >= 0)
                close(f->fd);
        f->fd = -1;
        f->in_n = 0;
}

static void flow_end(struct flow *f, const char *result)
{
        int64_t t1 = now_us();
        printf("%s %u %u %lld %lld %u %s %u", f->keep ? "keep" : "new", f->id, f->conn, (long long)f->t0_us, (long long)t1, f->port,
               result, f->status);
        for (unsigned i = 0; i < conf.n_marks; i++)
                printf(" %s", f->mark[i][0] ? f->mark[i] : "-");
        putchar('\n');
        in_flight--;
        f->phase = PH_IDLE;
        f->deadline_us = 0;
        bool ok = !strcmp(result, "ok");
        if (!f->keep || !ok || f->close_after)
                flow_disconnect(f);
        if (f->keep) { /* the next tick of this flow's own clock: a slow answer does not shift the others */
                f->due_us += (int64_t)conf.flow_ms * 1000;
                if (f->due_us < t1)
                        f->due_us = t1;
        }
}

static const char *why(int err)
{
        return err == ECONNREFUSED ? "refused" : err == ECONNRESET || err == EPIPE ? "reset" : err == ETIMEDOUT ? "timeout" : "bad";
}

static void flow_send(struct flow *f)
{
        f->phase = PH_HEAD;
        ssize_t n = send(f->fd, conf.request, conf.request_n, MSG_NOSIGNAL);
        if (n < 0)
                flow_end(f, why(errno));
        else if ((size_t)n != conf.request_n)
                flow_end(f, "bad"); /* a request is far smaller than any socket buffer */
}

static void flow_start(struct flow *f)
{
        in_flight++;
        f->t0_us = now_us();
        f->deadline_us = f->t0_us + (int64_t)conf.timeout_ms * 1000;
        f->status = 0;
        f->close_after = false;
        memset(f->mark, 0, sizeof f->mark);
        if (f->fd >= 0) {
                flow_send(f);
                return;
        }
        f->conn++;
        f->port = 0;
        f->phase = PH_CONNECT;
        f->fd = socket(conf.to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        BUG_ON(f->fd < 0);
        int one = 1;
        setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        int r = connect(f->fd, (struct sockaddr *)&conf.to, conf.to_len);
        if (r < 0 && errno != EINPROGRESS) {
                flow_end(f, why(errno));
                return;
        }
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        if (!getsockname(f->fd, (struct sockaddr *)&ss, &len))
                f->port = ntohs(ss.ss_family == AF_INET ? ((struct sockaddr_in *)&ss)->sin_port : ((struct sockaddr_in6 *)&ss)->sin6_port);
        struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = f };
        epoll_ctl(ep, EPOLL_CTL_ADD, f->fd, &ev);
}

static void take_mark(struct flow *f, const char *line, size_t n)
{
        for (unsigned i = 0; i < conf.n_marks; i++) {
                size_t k = strlen(conf.marks[i]);
                if (n > k && line[k] == ':' && !strncasecmp(line, conf.marks[i], k)) {
                        const char *v = line + k + 1;
                        while (*v == ' ')
                                v++;
                        snprintf(f->mark[i], MARK_BYTES, "%.*s", (int)(line + n - v), v);
                        for (char *p = f->mark[i]; *p; p++) {
                                if (*p == ' ')
                                        *p = '_';
                        }
                }
        }
}

static bool take_head(struct flow *f)
{
        char *end = memmem(f->in, f->in_n, "\r\n\r\n", 4);
        if (!end)
                return false;
        bool chunked = false, length = false;
        f->left = 0;
        f->in[MIN(f->in_n, (size_t)HEAD_MAX - 1)] = 0;
        if (sscanf(f->in, "HTTP/1.1 %3u", &f->status) != 1) {
                flow_end(f, "bad");
                return false;
        }
        for (char *line = f->in; line < end + 2;) {
                char *next = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
                size_t n = (size_t)(next - line);
                take_mark(f, line, n);
                if (!strncasecmp(line, "content-length:", 15)) {
                        f->left = strtoull(line + 15, NULL, 10);
                        length = true;
                } else if (!strncasecmp(line, "transfer-encoding:", 18)) {
                        chunked = true;
                } else if (!strncasecmp(line, "connection: close", 17)) {
                        f->close_after = true;
                }
                line = next + 2;
        }
        size_t used = (size_t)(end + 4 - f->in);
        memmove(f->in, f->in + used, f->in_n - used);
        f->in_n -= used;
        if (!chunked && !length && f->status != 204 && f->status != 304) {
                flow_end(f, "bad"); /* our origins always frame their bodies */
                return false;
        }
        f->phase = chunked ? PH_CHUNK_SIZE : PH_BODY;
        return true;
}

static bool take_body(struct flow *f)
{
        size_t n = f->in_n < f->left ? f->in_n : (size_t)f->left;
        f->left -= n;
        memmove(f->in, f->in + n, f->in_n - n);
        f->in_n -= n;
        return !f->left;
}

static bool take_line(struct flow *f, uint64_t *ret_hex, bool *ret_empty)
{
        char *eol = memmem(f->in, f->in_n, "\r\n", 2);
        if (!eol)
                return false;
        size_t n = (size_t)(eol - f->in);
        *ret_empty = n == 0;
        *ret_hex = strtoull(f->in, NULL, 16);
        memmove(f->in, eol + 2, f->in_n - n - 2);
        f->in_n -= n + 2;
        return true;
}

/* Runs the response machine; true when it wants more bytes. */
static void flow_advance(struct flow *f)
{
        uint64_t size;
        bool empty;
        for (;;) {
                switch (f->phase) {
                case PH_HEAD:
                        if (!take_head(f))
                                return;
                        break;
                case PH_BODY:
                        if (!take_body(f))
                                return;
                        flow_end(f, "ok");
                        return;
                case PH_CHUNK_SIZE:
                        if (!take_line(f, &size, &empty))
                                return;
                        f->left = size;
                        f->phase = size ? PH_CHUNK_DATA : PH_CHUNK_END;
                        break;
                case PH_CHUNK_DATA:
                        if (!take_body(f))
                                return;
                        if (!take_line(f, &size, &empty)) {
                                return; /* left is 0: comes back here for the line end */
                        }
                        f->phase = PH_CHUNK_SIZE;
                        break;
                case PH_CHUNK_END:
                        if (!take_line(f, &size, &empty))
                                return;
                        if (empty) {
                                flow_end(f, "ok");
                                return;
                        }
                        break;
                case PH_IDLE:
                case PH_CONNECT:
                        return;
                }
        }
}

static void flow_idle_event(struct flow *f)
{
        char c;
        ssize_t n = recv(f->fd, &c, 1, 0);
        if (n < 0 && errno == EAGAIN)
                return;
        /* An idle keep-alive connection closed by the server between requests is legal (RFC 9112 9.5): the next request
         * opens a new one.  CONN in the record shows it.  Reset or stray bytes are failures of an established flow. */
        const char *result = n == 0 ? NULL : n > 0 ? "bad" : why(errno);
        if (result) {
                in_flight++;
                f->t0_us = now_us();
                f->status = 0;
                flow_end(f, result);
        }
        flow_disconnect(f);
}

static void flow_event(struct flow *f, uint32_t events)
{
        if (f->fd < 0)
                return;
        if (f->phase == PH_CONNECT) {
                int err = 0;
                socklen_t len = sizeof err;
                getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &err, &len);
                if (err) {
                        flow_end(f, why(err));
                        return;
                }
                if (!(events & EPOLLOUT))
                        return;
                flow_send(f);
        }
        if (f->phase == PH_IDLE) {
                flow_idle_event(f);
                return;
        }
        while (f->fd >= 0 && f->phase != PH_IDLE) {
                ssize_t n = recv(f->fd, f->in + f->in_n, HEAD_MAX - 1 - f->in_n, 0);
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n <= 0) {
                        flow_end(f, n == 0 ? "eof" : why(errno));
                        return;
                }
                f->in_n += (size_t)n;
                flow_advance(f);
        }
}

static struct flow *flow_new(bool keep, unsigned id)
{
        struct flow *f = calloc(1, sizeof *f);
        BUG_ON(!f);
        f->fd = -1;
        f->keep = keep;
        f->id = id;
        f->next = all;
        all = f;
        return f;
}

/* Starts what is due, ends what is late, frees finished one-shot flows; returns microseconds until the next event. */
static int64_t tick(int64_t start_us)
{
        int64_t now = now_us(), wait = 100000;
        if (!stopping && conf.conn_rate) {
                int64_t due = (now - start_us) * conf.conn_rate / 1000000;
                for (; n_new < due; n_new++)
                        flow_start(flow_new(false, n_new));
                wait = MIN(wait, (int64_t)(1000000 / conf.conn_rate));
        }
        for (struct flow **p = &all; *p;) {
                struct flow *f = *p;
                if (f->phase != PH_IDLE && now >= f->deadline_us)
                        flow_end(f, "timeout");
                if (f->phase == PH_IDLE && f->keep && !stopping) {
                        if (now >= f->due_us)
                                flow_start(f);
                        else
                                wait = MIN(wait, f->due_us - now);
                }
                if (f->phase == PH_IDLE && !f->keep) {
                        *p = f->next;
                        free(f);
                        continue;
                }
                if (f->phase != PH_IDLE)
                        wait = MIN(wait, f->deadline_us - now);
                p = &f->next;
        }
        return MAX(wait, (int64_t)0);
}

static int parse_to(const char *addr, const char *port)
{
        struct sockaddr_in *a4 = (struct sockaddr_in *)&conf.to;
        struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)&conf.to;
        uint16_t p = htons((uint16_t)strtoul(port, NULL, 10));
        if (inet_pton(AF_INET, addr, &a4->sin_addr) == 1) {
                a4->sin_family = AF_INET;
                a4->sin_port = p;
                conf.to_len = sizeof *a4;
        } else if (inet_pton(AF_INET6, addr, &a6->sin6_addr) == 1) {
                a6->sin6_family = AF_INET6;
                a6->sin6_port = p;
                conf.to_len = sizeof *a6;
        } else {
                return -EINVAL;
        }
        return 0;
}

static unsigned num(const char *s) { return (unsigned)strtoul(s, NULL, 10); }

static int options(int argc, char **argv)
{
        static const struct option opts[] = {
                { "to", 1, NULL, 't' },       { "host", 1, NULL, 'h' },       { "path", 1, NULL, 'p' },
                { "flows", 1, NULL, 'f' },    { "flow-ms", 1, NULL, 'm' },    { "conn-rate", 1, NULL, 'r' },
                { "timeout-ms", 1, NULL, 'o' }, { "mark", 1, NULL, 'k' },     { "seconds", 1, NULL, 's' },
                { NULL, 0, NULL, 0 },
        };
        for (int c; (c = getopt_long(argc, argv, "", opts, NULL)) != -1;) {
                if (c == 't' && (optind >= argc || parse_to(optarg, argv[optind++]) < 0))
                        return -EINVAL;
                else if (c == 'h')
                        conf.host = optarg;
                else if (c == 'p')
                        conf.path = optarg;
                else if (c == 'f')
                        conf.flows = num(optarg);
                else if (c == 'm')
                        conf.flow_ms = num(optarg);
                else if (c == 'r')
                        conf.conn_rate = num(optarg);
                else if (c == 'o')
                        conf.timeout_ms = num(optarg);
                else if (c == 's')
                        conf.seconds = num(optarg);
                else if (c == 'k' && conf.n_marks < MARK_MAX)
                        conf.marks[conf.n_marks++] = optarg;
                else if (c == '?' || c == 'k')
                        return -EINVAL;
        }
        if (!conf.host || !conf.to_len || (!conf.flows && !conf.conn_rate))
                return -EINVAL;
        conf.request_n = (size_t)snprintf(conf.request, sizeof conf.request,
                                          "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: gh_load\r\nAccept: */*\r\n\r\n", conf.path, conf.host);
        return conf.request_n < sizeof conf.request ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
        if (options(argc, argv) < 0) {
                fprintf(stderr, "usage: gh_load --to ADDR PORT --host NAME [--path P] [--flows N] [--flow-ms MS] [--conn-rate R]"
                                " [--timeout-ms T] [--mark HEADER]... [--seconds S]\n");
                return 2;
        }
        struct rlimit rl = { 65536, 65536 };
        (void)setrlimit(RLIMIT_NOFILE, &rl); /* fewer flows when refused: socket() failing is a BUG_ON, never silent */
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigprocmask(SIG_BLOCK, &set, NULL);
        int sfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        ep = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
        epoll_ctl(ep, EPOLL_CTL_ADD, sfd, &ev);
        setvbuf(stdout, NULL, _IOLBF, 0);
        int64_t start = now_us();
        for (unsigned i = 0; i < conf.flows; i++) /* spread over one period */
                flow_new(true, i)->due_us = start + (int64_t)conf.flow_ms * 1000 * i / conf.flows;
        for (;;) {
                if (conf.seconds && now_us() - start >= (int64_t)conf.seconds * 1000000)
                        stopping = true;
                int64_t wait = tick(start);
                if (stopping && !in_flight)
                        break;
                struct epoll_event evs[256];
                int n = epoll_wait(ep, evs, ARRAY_SIZE(evs), (int)((wait + 999) / 1000));
                for (int i = 0; i < n; i++) {
                        if (evs[i].data.ptr)
                                flow_event(evs[i].data.ptr, evs[i].events);
                        else {
                                stopping = true;
                                epoll_ctl(ep, EPOLL_CTL_DEL, sfd, NULL);
                        }
                }
        }
        return 0;
}
