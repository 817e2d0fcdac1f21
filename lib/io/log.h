/* lib/io/log.h - one line = one event, key=value, to stderr (or a file).  Layer: lib/io.  Thread rule: any thread.
 *   log_info("model_active", "generation=%" PRIu64 " hash=%s", gen, hex)  is written as
 *   ts=2026-11-23T02:28:07.123Z level=info daemon=l7gw event=model_active generation=7 hash=ab12...
 * Values are escaped when they hold anything but safe characters (no log injection). */
#pragma once
#include "lib/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVEL_N };
void log_init(const char *daemon_name, enum log_level max_level);
void log_set_fd(int fd); /* borrows */
/* event and keys are literals; fmt formats the rest as `key=value key=value`: every untrusted value goes through
 * LOG_ESC.  A line is at most 1 KiB. */
void log_event(enum log_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);
#define log_error(event, ...) log_event(LOG_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...) log_event(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...) log_event(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_event(LOG_DEBUG, event, __VA_ARGS__)
/* Quotes and escapes into a thread-local ring of 8 buffers: usable up to eight times in one call. */
const char *log_esc(struct span s);
#define LOG_ESC(str) log_esc(span_str(str))

/* At most `burst` lines per interval per call site; the next permitted line carries suppressed=N. */
struct log_limit {
        uint64_t window_start_ms;
        uint32_t in_window, suppressed;
};
bool log_permit(struct log_limit *l, uint32_t burst, uint32_t interval_ms, uint32_t *ret_suppressed);
