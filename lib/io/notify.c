/* lib/io/notify.c - see notify.h. */
#include "lib/base.h"
#include "lib/io/notify.h"
#include "lib/io/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define STATUS_MAX 256
#define BEATS_PER_PERIOD 2 /* sd_watchdog_enabled(3): half of the time every second one may come late */

/* Our own number, or 0: absent, and anything that is no number, mean that nobody asked. */
static uint64_t env_u64(const char *key)
{
        const char *text = getenv(key);
        char *end;
        if (!text || *text < '0' || *text > '9')
                return 0;
        errno = 0;
        unsigned long long v = strtoull(text, &end, 10);
        return *end || errno ? 0 : v;
}

static int socket_open(void)
{
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un sun = { .sun_family = AF_UNIX };
        size_t len = path ? strlen(path) : 0;
        if (len < 2 || (path[0] != '/' && path[0] != '@'))
                return -1;
        if (len >= sizeof sun.sun_path) {
                log_warn("notify_unusable", "socket=%s reason=too_long", LOG_ESC(path));
                return -1;
        }
        memcpy(sun.sun_path, path, len);
        if (path[0] == '@')
                sun.sun_path[0] = 0;
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) == 0)
                return fd;
        log_warn("notify_unusable", "socket=%s reason=%s", LOG_ESC(path), LOG_ESC(strerror(errno)));
        if (fd >= 0)
                close(fd);
        return -1;
}

static void say(struct notify *n, const char *text)
{
        if (n->fd < 0)
                return;
        ssize_t r = send(n->fd, text, strlen(text), MSG_NOSIGNAL);
        if (r < 0) /* the manager restarts, or is too busy to read; the next beat tries again */
                log_debug("notify_lost", "reason=%s", LOG_ESC(strerror(errno)));
}

static PRINTF(3, 0) void say_status(struct notify *n, const char *before, const char *fmt, va_list ap)
{
        char status[STATUS_MAX], text[STATUS_MAX + 64];
        vsnprintf(status, sizeof status, fmt, ap); /* cut on purpose: it is for people */
        for (char *p = status; *p; p++)
                if ((unsigned char)*p < ' ')
                        *p = ' '; /* a line end would begin a field of its own */
        snprintf(text, sizeof text, "%sSTATUS=%s", before, status);
        say(n, text);
}

void notify_beat(struct notify *n)
{
        if (!n->beat_ms)
                return;
        if (!n->alive || n->alive(n->arg))
                say(n, "WATCHDOG=1");
        else
                log_error("watchdog", "reason=%s", LOG_ESC("a worker does not turn; no sign of life is given"));
}

static void beat(struct timer *t, uint64_t now_ms)
{
        struct notify *n = CONTAINER_OF(t, struct notify, watchdog);
        notify_beat(n);
        timer_set(loop_timers(n->loop), t, now_ms + n->beat_ms);
}

void notify_init(struct notify *n, struct loop *l, bool (*alive)(void *arg), void *arg)
{
        *n = (struct notify){ .fd = socket_open(), .loop = l, .alive = alive, .arg = arg };
        timer_init(&n->watchdog, beat);
        if (n->fd >= 0 && (!getenv("WATCHDOG_PID") || env_u64("WATCHDOG_PID") == (uint64_t)getpid()))
                n->beat_ms = env_u64("WATCHDOG_USEC") / 1000 / BEATS_PER_PERIOD;
}

void notify_fini(struct notify *n)
{
        timer_stop(&n->watchdog);
        if (n->fd >= 0)
                close(n->fd);
        n->fd = -1;
}

void notify_ready(struct notify *n, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        say_status(n, "READY=1\n", fmt, ap);
        va_end(ap);
        if (n->beat_ms && n->loop)
                timer_set(loop_timers(n->loop), &n->watchdog, loop_now_ms(n->loop));
}

void notify_status(struct notify *n, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        say_status(n, "", fmt, ap);
        va_end(ap);
}

void notify_stopping(struct notify *n)
{
        timer_stop(&n->watchdog);
        say(n, "STOPPING=1");
}
