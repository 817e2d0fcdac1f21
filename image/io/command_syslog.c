/* image/io/command_syslog.c - `gatehouse-system syslog`: sends what journald forwards to a log server, RFC 5424 by UDP
 * (RFC 5426) or TCP (RFC 6587, octet counting).  Socket-activated: journald writes to descriptor 3, and never waits for us.
 * A server that is slow or away costs at most QUEUE_MAX bytes; what does not fit is counted and told when it is back. */
#include "lib/base.h"
#include "image/core/syslog_line.h"
#include "image/io/commands.h"
#include "lib/core/buf.h"
#include "lib/io/config.h"
#include "lib/io/log.h"
#include "lib/io/loop.h"
#include "lib/io/notify.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONFIG "/etc/gatehouse/syslog.cfg"
#define SYSTEMD_FD 3 /* sd_listen_fds(3) */
#define QUEUE_MAX (1024u * 1024)
#define BURST 256 /* datagrams per turn */
#define RETRY_MS 1000
#define RETRY_MAX_MS 30000

struct forward {
        struct loop *loop;
        char host[256];
        bool tcp;
        struct sockaddr_storage to;
        socklen_t to_len;
        struct loop_fd in, out;
        struct timer again, retry;
        struct buf queue; /* of TCP: framed lines, the first maybe sent in part */
        bool connected;
        uint64_t retry_ms, lost;
        struct notify notify;
};

/* ---- settings ---- */

static int settings_read(struct forward *f, const char *path, struct err *reterr)
{
        struct conf *c = NULL;
        int r = conf_open(path, &c, reterr);
        if (r < 0)
                return r;
        const struct conf_group *root = conf_root(c);
        struct ipaddr a = {0};
        bool have = conf_addr(root, "address", &a);
        uint16_t port = (uint16_t)conf_int_or(root, "port", 1, 65535, 514);
        const char *protocol = conf_str_or(root, "protocol", "udp");
        snprintf(f->host, sizeof f->host, "%s", conf_str_or(root, "name", "-"));
        f->tcp = strcmp(protocol, "tcp") == 0;
        if (!f->tcp && strcmp(protocol, "udp") != 0)
                conf_error(root, "protocol", "must be \"udp\" or \"tcp\", not \"%s\"", protocol);
        if (have && a.af == 4) {
                struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
                memcpy(&sin.sin_addr, a.b, 4);
                memcpy(&f->to, &sin, f->to_len = sizeof sin);
        } else if (have) {
                struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
                memcpy(&sin6.sin6_addr, a.b, 16);
                memcpy(&f->to, &sin6, f->to_len = sizeof sin6);
        }
        r = conf_done(c, reterr);
        conf_close(c);
        return r;
}

/* ---- out ---- */

static void out_event(struct loop_fd *lf, unsigned events);

static void out_close(struct forward *f)
{
        int fd = f->out.fd;
        if (fd < 0)
                return;
        loop_del(&f->out);
        close(fd);
        f->connected = false;
        buf_reset(&f->queue); /* a line sent in part must not go on in the middle of another connection */
}

static void out_open(struct forward *f)
{
        int fd = socket(f->to.ss_family, (f->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        bool bad = fd < 0 || (connect(fd, (struct sockaddr *)&f->to, f->to_len) < 0 && errno != EINPROGRESS) ||
                   loop_add(f->loop, &f->out, fd, out_event) < 0;
        if (!bad) {
                f->connected = !f->tcp;
                return;
        }
        if (fd >= 0)
                close(fd);
        timer_set(loop_timers(f->loop), &f->retry, loop_now_ms(f->loop) + f->retry_ms);
        f->retry_ms = MIN(f->retry_ms * 2, (uint64_t)RETRY_MAX_MS);
}

static void out_lost(struct forward *f, int error)
{
        log_warn("syslog_server", "reason=%s again_ms=%" PRIu64, LOG_ESC(strerror(error)), f->retry_ms);
        out_close(f);
        timer_set(loop_timers(f->loop), &f->retry, loop_now_ms(f->loop) + f->retry_ms);
        f->retry_ms = MIN(f->retry_ms * 2, (uint64_t)RETRY_MAX_MS);
}

static void retry_due(struct timer *t, uint64_t now_ms)
{
        (void)now_ms;
        out_open(CONTAINER_OF(t, struct forward, retry));
}

static void queue_flush(struct forward *f)
{
        while (f->connected && f->queue.n > 0) {
                ssize_t n = send(f->out.fd, f->queue.p, f->queue.n, MSG_NOSIGNAL);
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n < 0) {
                        out_lost(f, errno);
                        return;
                }
                f->retry_ms = RETRY_MS;
                buf_consume(&f->queue, (size_t)n);
        }
}

static void line_out(struct forward *f, const char *line, size_t n)
{
        if (!f->tcp) {
                if (f->out.fd < 0 || send(f->out.fd, line, n, MSG_NOSIGNAL) < 0)
                        f->lost++; /* a refused datagram tells of an earlier one: UDP promises no more */
                return;
        }
        if (f->queue.n + n + 8 > QUEUE_MAX) {
                f->lost++;
                return;
        }
        buf_printf(&f->queue, "%zu ", n);
        buf_add(&f->queue, line, n);
}

static void stamp(char ret[40])
{
        struct timespec now;
        struct tm tm;
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &tm);
        size_t n = strftime(ret, 40, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(ret + n, 40 - n, ".%06ldZ", now.tv_nsec / 1000 % 1000000);
}

static void lost_told(struct forward *f)
{
        char line[SYSLOG_LINE_MAX + 1], text[96], when[40];
        if (!f->lost || !f->connected)
                return;
        stamp(when);
        int n = snprintf(text, sizeof text, "<44>gatehouse-syslog: %" PRIu64 " messages were lost before this one", f->lost);
        f->lost = 0;
        line_out(f, line, syslog_line(SPAN(text, (size_t)n), f->host, when, line));
}

static void out_event(struct loop_fd *lf, unsigned events)
{
        struct forward *f = CONTAINER_OF(lf, struct forward, out);
        int error = 0;
        socklen_t len = sizeof error;
        char drain[512];
        if (events & (LOOP_HUP | LOOP_WRITE) && getsockopt(lf->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error && f->tcp) {
                out_lost(f, error);
                return;
        }
        ssize_t n = f->tcp ? 1 : 0;
        while (events & LOOP_READ && n > 0) /* servers say nothing; its end is what we look for */
                n = recv(lf->fd, drain, sizeof drain, MSG_DONTWAIT);
        if (f->tcp && ((events & LOOP_READ && n == 0) || events & LOOP_HUP)) {
                out_lost(f, ECONNRESET);
                return;
        }
        if (f->tcp && events & LOOP_WRITE)
                f->connected = true;
        queue_flush(f);
}

/* ---- in ---- */

static void in_take(struct forward *f)
{
        char in[8192], line[SYSLOG_LINE_MAX + 1], when[40];
        stamp(when);
        lost_told(f);
        for (int i = 0; i < BURST; i++) {
                ssize_t n = recv(f->in.fd, in, sizeof in, MSG_DONTWAIT);
                if (n < 0)
                        break;
                line_out(f, line, syslog_line(SPAN(in, (size_t)n), f->host, when, line));
                if (i == BURST - 1)
                        timer_set(loop_timers(f->loop), &f->again, loop_now_ms(f->loop) + 1);
        }
        queue_flush(f);
}

static void in_event(struct loop_fd *lf, unsigned events)
{
        (void)events;
        in_take(CONTAINER_OF(lf, struct forward, in));
}

static void in_again(struct timer *t, uint64_t now_ms)
{
        (void)now_ms;
        in_take(CONTAINER_OF(t, struct forward, again));
}

/* ---- life ---- */

static void on_signal(void *arg, int signo)
{
        struct forward *f = arg;
        log_info("stopping", "signal=%d", signo);
        notify_stopping(&f->notify);
        loop_stop(f->loop);
}

static int run(struct forward *f, struct err *reterr)
{
        static const int signals[] = {SIGTERM, SIGINT};
        int domain = 0;
        socklen_t len = sizeof domain;
        f->loop = loop_new();
        if (!f->loop)
                return err_set(reterr, errno, "loop", "%s", strerror(errno));
        int r = loop_signals(f->loop, signals, ARRAY_SIZE(signals), on_signal, f);
        if (r == 0 && (getsockopt(SYSTEMD_FD, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX))
                r = err_set(reterr, EINVAL, "descriptor 3", "is no socket: start gatehouse-syslog.socket");
        if (r == 0) {
                buf_init(&f->queue, QUEUE_MAX);
                timer_init(&f->again, in_again);
                timer_init(&f->retry, retry_due);
                notify_init(&f->notify, f->loop, NULL, NULL);
                r = loop_add(f->loop, &f->in, SYSTEMD_FD, in_event);
        }
        if (r == 0) {
                out_open(f);
                in_take(f); /* edges: what waited is taken now */
                notify_ready(&f->notify, "forwarding by %s", f->tcp ? "tcp" : "udp");
                r = loop_run(f->loop);
                loop_del(&f->in);
                out_close(f);
                timer_stop(&f->again);
                timer_stop(&f->retry);
                notify_fini(&f->notify);
                buf_fini(&f->queue);
        }
        loop_free(f->loop);
        return r < 0 && !*reterr->msg ? err_set(reterr, -r, "syslog", "%s", strerror(-r)) : r;
}

int command_syslog(const struct host *h, int argc, char **argv)
{
        static const char help[] = "usage: gatehouse-system syslog\n"
                                   "Sends what journald forwards to the log server of " CONFIG ", RFC 5424 by UDP or TCP.\n"
                                   "Started by gatehouse-syslog.socket.  SIGTERM ends it.\n";
        static struct forward f = {.in.fd = -1, .out.fd = -1, .retry_ms = RETRY_MS};
        char path[HOST_PATH_MAX];
        struct err e = {0};
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        if (argc != 1) {
                fputs(help, stderr);
                return COMMAND_USAGE;
        }
        int r = settings_read(&f, host_path(h, path, CONFIG), &e);
        if (r == 0)
                r = run(&f, &e);
        return r < 0 ? command_fail(&e) : COMMAND_OK;
}
