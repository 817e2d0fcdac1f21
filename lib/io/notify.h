/* lib/io/notify.h - tells the service manager how we are: ready, stopping, what we do, and that we are alive.
 * Layer: lib/io.  Thread rule: the loop's thread.  Speaks sd_notify(3)'s protocol, datagrams of KEY=VALUE lines to
 * $NOTIFY_SOCKET (a path, or an abstract name after '@'), without libsystemd.  Not started by a service manager (no
 * $NOTIFY_SOCKET): every call does nothing.
 * Watchdog: with $WATCHDOG_USEC meant for us, WATCHDOG=1 goes out twice per period from a timer of the loop, but only
 * while `alive` says so: a stuck worker gets the process restarted, not only a stuck control thread.
 * Errors: none are passed on; the service manager sees the silence and acts on it. */
#pragma once
#include "lib/io/loop.h"

struct notify {
        int fd; /* -1 = nobody listens */
        struct loop *loop;
        struct timer watchdog;
        uint64_t beat_ms;        /* between two signs of life; 0 = none are wanted */
        bool (*alive)(void *arg); /* NULL = the loop turning is proof enough; called once per beat */
        void *arg;
};

/* Reads the environment; the watchdog starts with notify_ready.  n belongs to the caller, until notify_fini.  l NULL: a program
 * that waits in its own way; it gives each sign of life itself, by notify_beat, at least every beat_ms. */
void notify_init(struct notify *n, struct loop *l, bool (*alive)(void *arg), void *arg) NONNULL(1);
void notify_beat(struct notify *n) NONNULL(1);
void notify_fini(struct notify *n) NONNULL(1);
void notify_ready(struct notify *n, const char *status_fmt, ...) NONNULL(1, 2) PRINTF(2, 3);
void notify_status(struct notify *n, const char *fmt, ...) NONNULL(1, 2) PRINTF(2, 3); /* one line; longer is cut */
void notify_stopping(struct notify *n) NONNULL(1); /* from here the stop time-out counts, not the watchdog */
