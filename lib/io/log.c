/* lib/io/log.c - see log.h.  One write(2) per line, so lines of several threads never mix. */
#include "lib/base.h"
#include "lib/io/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024
#define ESC_SLOTS 8
#define ESC_MAX_BYTES 256

static const char *const level_names[LOG_LEVEL_N] = { "error", "warn", "info", "debug" };
static const char *daemon_name = "gatehouse"; /* set once before threads start */
static enum log_level max_level = LOG_INFO;
static _Atomic int log_fd = STDERR_FILENO;

void log_init(const char *name, enum log_level level)
{
        daemon_name = name;
        max_level = level;
}

void log_set_fd(int fd)
{
        atomic_store_explicit(&log_fd, fd, memory_order_relaxed); /* a late reader writes to the old one: harmless */
}

/* snprintf's result as the number of bytes that really stand in the buffer. */
static size_t written(int r, size_t room)
{
        if (r < 0)
                return 0;
        return (size_t)r < room ? (size_t)r : room - 1;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
        if (level > max_level)
                return;
        char line[LINE_MAX_BYTES];
        struct timespec ts;
        struct tm tm;
        clock_gettime(CLOCK_REALTIME, &ts);
        gmtime_r(&ts.tv_sec, &tm);
        size_t room = sizeof line - 1; /* keeps a byte for the newline */
        size_t n = written(snprintf(line, room, "ts=%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ level=%s daemon=%s event=%s ",
                                    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                                    ts.tv_nsec / 1000000, level_names[level], daemon_name, event),
                           room);
        va_list ap;
        va_start(ap, fmt);
        n += written(vsnprintf(line + n, room - n, fmt, ap), room - n);
        va_end(ap);
        while (n && line[n - 1] == ' ')
                n--;
        line[n++] = '\n';
        /* A log that cannot be written must not stop the daemon: the result is of no use to anybody. */
        ssize_t r = write(atomic_load_explicit(&log_fd, memory_order_relaxed), line, n);
        (void)r;
}

static bool is_plain(uint8_t c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-_.:/+@%,[]*()", c);
}

const char *log_esc(struct span s)
{
        static _Thread_local char slots[ESC_SLOTS][ESC_MAX_BYTES];
        static _Thread_local unsigned next;
        char *out = slots[next++ % ESC_SLOTS];
        bool plain = s.n > 0 && s.n < ESC_MAX_BYTES;
        for (size_t i = 0; plain && i < s.n; i++)
                plain = s.p[i] != 0 && is_plain(s.p[i]);
        if (plain) {
                memcpy(out, s.p, s.n);
                out[s.n] = 0;
                return out;
        }
        size_t o = 0;
        out[o++] = '"';
        for (size_t i = 0; i < s.n; i++) {
                if (o + 9 > ESC_MAX_BYTES) { /* room for one escape, "..." and the closing quote */
                        memcpy(out + o, "...", 3);
                        o += 3;
                        break;
                }
                uint8_t c = s.p[i];
                if (c == '"' || c == '\\') {
                        out[o++] = '\\';
                        out[o++] = (char)c;
                } else if (c >= 0x20 && c < 0x7f) {
                        out[o++] = (char)c;
                } else {
                        static const char hex[] = "0123456789abcdef";
                        out[o++] = '\\';
                        out[o++] = 'x';
                        out[o++] = hex[c >> 4];
                        out[o++] = hex[c & 15];
                }
        }
        out[o++] = '"';
        out[o] = 0;
        return out;
}

bool log_permit(struct log_limit *l, uint32_t burst, uint32_t interval_ms, uint32_t *ret_suppressed)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        uint64_t now_ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
        if (l->window_start_ms == 0 || now_ms - l->window_start_ms >= interval_ms) {
                l->window_start_ms = now_ms;
                l->in_window = 0;
        }
        if (l->in_window >= burst) {
                l->suppressed++;
                return false;
        }
        l->in_window++;
        *ret_suppressed = l->suppressed;
        l->suppressed = 0;
        return true;
}
