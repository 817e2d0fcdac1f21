/* agent/io/directory.c - watches a directory of manifests with inotify and loads it when it has settled.
 *
 *   event -> [ which file, still being written? ] -> settle timer -> watches, then load -> fn
 *
 * Watches are set before the files are read, so that a change during a load is an event after it.  The parent directory
 * is watched for the directory itself: it may vanish and come back. */
#include "lib/base.h"

#include "agent/io/directory.h"
#include "agent/io/directory_names.h"
#include "lib/io/log.h"

#include <dirent.h>
#include <libgen.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETTLE_MAX_FACTOR                                                                                              \
        10 /* x settle_ms: the longest that changes without pause, or an open file, hold a load back */
#define WATCH_EVENTS (IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | \
                      IN_DELETE_SELF | IN_MOVE_SELF)
#define PARENT_EVENTS (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define WRITING_MAX 64 /* files seen half-written at a time; beyond, a load may come early and be refused, then again */

struct watch {
        int wd;
        char *sub;  /* "" = the directory */
        bool stale; /* not found again since watch_all began */
};
struct directory {
        struct loop *loop;
        char *path, *parent, *base, *default_namespace;
        unsigned settle_ms;
        directory_fn *fn;
        void *arg;
        struct loop_fd fd;
        struct timer settle;
        uint64_t first_ms;   /* when the oldest change that waits was seen; 0 = none waits */
        bool vanished;
        int parent_wd;
        struct watch *watches;
        size_t n_watches;
        char *writing[WRITING_MAX]; /* "WD/NAME" of files that were changed and not closed yet */
        size_t n_writing;
};

/* Files being written */

static size_t find_writing(const struct directory *d, const char *key)
{
        size_t i = 0;
        while (i < d->n_writing && strcmp(d->writing[i], key) != 0)
                i++;
        return i;
}
static void writing_add(struct directory *d, const char *key)
{
        if (d->n_writing == WRITING_MAX || find_writing(d, key) < d->n_writing)
                return;
        char *k = strdup(key);
        if (k)
                d->writing[d->n_writing++] = k;
}
static void writing_del(struct directory *d, const char *key)
{
        size_t i = find_writing(d, key);
        if (i == d->n_writing)
                return;
        free(d->writing[i]);
        d->writing[i] = d->writing[--d->n_writing];
}
static void writing_clear(struct directory *d)
{
        while (d->n_writing)
                free(d->writing[--d->n_writing]);
}

/* Watches */

static const char *watch_sub(const struct directory *d, int wd)
{
        for (size_t i = 0; i < d->n_watches; i++)
                if (d->watches[i].wd == wd)
                        return d->watches[i].sub;
        return NULL;
}
static void watch_forget(struct directory *d, int wd)
{
        for (size_t i = 0; i < d->n_watches; i++)
                if (d->watches[i].wd == wd) {
                        free(d->watches[i].sub);
                        d->watches[i--] = d->watches[--d->n_watches];
                }
}
static int watch_add(struct directory *d, const char *sub)
{
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s%s%s", d->path, sub[0] ? "/" : "", sub);
        int wd = inotify_add_watch(d->fd.fd, path, WATCH_EVENTS | IN_ONLYDIR);
        if (wd < 0)
                return -errno;
        watch_forget(d, wd); /* the same directory again, maybe under another name */
        struct watch *v = reallocarray(d->watches, d->n_watches + 1, sizeof *v);
        char *copy = strdup(sub);
        if (v)
                d->watches = v;
        if (!v || !copy) {
                free(copy);
                return -ENOMEM;
        }
        v[d->n_watches++] = (struct watch){ wd, copy, false };
        return 0;
}

/* One that cannot be watched is reported, and loaded all the same. */
static void watch_subdirectories(struct directory *d)
{
        DIR *dir = opendir(d->path);
        for (struct dirent *e; dir && (e = readdir(dir));) {
                struct stat st;
                if (e->d_name[0] == '.' || directory_reads(e->d_name) || fstatat(dirfd(dir), e->d_name, &st, 0) < 0 ||
                    !S_ISDIR(st.st_mode))
                        continue;
                int r = watch_add(d, e->d_name);
                if (r < 0 && r != -ENOENT)
                        log_warn("source_unwatched", "path=%s sub=%s error=%s", LOG_ESC(d->path), LOG_ESC(e->d_name),
                                 LOG_ESC(strerror(-r)));
        }
        if (dir)
                closedir(dir);
}

/* The directory and its direct subdirectories as they are now; what was renamed away or replaced is let go. */
static void watch_all(struct directory *d)
{
        for (size_t i = 0; i < d->n_watches; i++)
                d->watches[i].stale = true;
        if (watch_add(d, "") == 0) /* else gone: the parent's watch tells when it is back */
                watch_subdirectories(d);
        for (size_t i = d->n_watches; i-- > 0;)
                if (d->watches[i].stale) {
                        int wd = d->watches[i].wd;
                        watch_forget(d, wd);
                        (void)inotify_rm_watch(d->fd.fd, wd); /* fails when the kernel dropped it first: as wanted */
                }
}

/* Loading */

static void log_refusal(const struct directory *d, const struct load_errors *e)
{
        for (size_t i = 0; i < e->n; i++)
                log_error("source_error", "place=%s error=%s", LOG_ESC(e->v[i].place), LOG_ESC(e->v[i].msg));
        log_warn("source_refused", "path=%s errors=%zu action=%s", LOG_ESC(d->path), e->total,
                 LOG_ESC("keeping the previous set"));
}

static void load(struct directory *d)
{
        struct object **objs = NULL;
        struct load_counts counts = { 0 };
        struct load_errors errs;
        size_t n = 0;
        d->first_ms = 0;
        writing_clear(d);
        watch_all(d);
        int r = directory_load(d->path, d->default_namespace, &objs, &n, &counts, &errs);
        bool was = d->vanished;
        d->vanished = r == -ENOENT || r == -ENOTDIR;
        if (r < 0) {
                if (d->vanished && !was)
                        log_warn("source_vanished", "path=%s action=%s", LOG_ESC(d->path),
                                 LOG_ESC("keeping the previous set until it is back"));
                else if (!d->vanished)
                        log_refusal(d, &errs);
                if (!d->vanished || !was)
                        d->fn(d->arg, NULL, 0, &errs);
                return;
        }
        log_info("source_loaded", "path=%s files=%zu objects=%zu ignored=%zu", LOG_ESC(d->path), counts.files,
                 counts.objects, counts.ignored);
        d->fn(d->arg, objs, n, NULL);
        free(objs);
}

static uint64_t latest_ms(const struct directory *d)
{
        return d->first_ms + (uint64_t)d->settle_ms * SETTLE_MAX_FACTOR;
}
static void on_settled(struct timer *t, uint64_t now_ms)
{
        struct directory *d = CONTAINER_OF(t, struct directory, settle);
        if (d->n_writing && now_ms < latest_ms(d)) { /* its close is an event; this is only for a writer that hangs */
                timer_set(loop_timers(d->loop), t, latest_ms(d));
                return;
        }
        load(d);
}
static void changed(struct directory *d)
{
        uint64_t now = loop_now_ms(d->loop);
        if (!d->first_ms)
                d->first_ms = now ? now : 1;
        uint64_t due = now + d->settle_ms;
        timer_set(loop_timers(d->loop), &d->settle, MIN(due, MAX(latest_ms(d), now)));
}

/* Events */

/* A new regular file will be closed after writing; a link or a directory never is. */
static bool will_be_closed(const struct directory *d, const char *sub, const char *name)
{
        char path[PATH_MAX];
        struct stat st;
        snprintf(path, sizeof path, "%s%s%s/%s", d->path, sub[0] ? "/" : "", sub, name);
        return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1;
}

static void on_file(struct directory *d, const struct inotify_event *e, const char *sub)
{
        char key[NAME_MAX + 32];
        bool link_swap =
                strcmp(e->name, "..data") == 0; /* a mounted ConfigMap changes all its files by this one rename */
        bool subdir = (e->mask & IN_ISDIR) && !sub[0] && e->name[0] != '.';
        if (!directory_reads(e->name) && !link_swap && !subdir)
                return;
        snprintf(key, sizeof key, "%d/%s", e->wd, e->name);
        if ((e->mask & IN_CREATE) && !subdir && !link_swap && will_be_closed(d, sub, e->name))
                writing_add(d, key);
        else if (e->mask & IN_MODIFY)
                writing_add(d, key);
        else if (!(e->mask & IN_ATTRIB))
                writing_del(d, key);
        changed(d);
}

static void on_event(struct directory *d, const struct inotify_event *e)
{
        if (e->mask & IN_Q_OVERFLOW) { /* events were lost: only a look at the files tells */
                writing_clear(d);
                changed(d);
                return;
        }
        if (e->wd == d->parent_wd) {
                if (e->len && strcmp(e->name, d->base) == 0)
                        changed(d);
                return;
        }
        const char *sub = watch_sub(d, e->wd);
        if (!sub)
                return;
        if (e->mask & IN_IGNORED)
                watch_forget(d, e->wd);
        else if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF))
                changed(d);
        else if (e->len)
                on_file(d, e, sub);
}

static void on_readable(struct loop_fd *f, unsigned events)
{
        struct directory *d = CONTAINER_OF(f, struct directory, fd);
        _Alignas(struct inotify_event) char buf[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
        for (;;) {
                ssize_t n = read(f->fd, buf, sizeof buf);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return; /* EAGAIN: all read */
                for (ssize_t i = 0; i < n;) {
                        const struct inotify_event *e = (const void *)(buf + i);
                        on_event(d, e);
                        i += (ssize_t)(sizeof *e + e->len);
                }
        }
}

/* Life */

static int split_path(struct directory *d, const char *path)
{
        char *a = strdup(path), *b = strdup(path);
        d->path = strdup(path);
        d->parent = a ? strdup(dirname(a)) : NULL;
        d->base = b ? strdup(basename(b)) : NULL;
        free(a);
        free(b);
        return d->path && d->parent && d->base ? 0 : -ENOMEM;
}

static int start_watching(struct directory *d, struct err *reterr)
{
        int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (fd < 0)
                return err_set(reterr, errno, d->path, "inotify cannot be had: %s", strerror(errno));
        int r = loop_add(d->loop, &d->fd, fd, on_readable);
        if (r < 0) {
                close(fd);
                return err_set(reterr, -r, d->path, "cannot be added to the event loop: %s", strerror(-r));
        }
        d->parent_wd = inotify_add_watch(fd, d->parent, PARENT_EVENTS | IN_ONLYDIR);
        if (d->parent_wd < 0)
                log_warn("source_unwatched", "path=%s error=%s", LOG_ESC(d->parent), LOG_ESC(strerror(errno)));
        return 0;
}

struct directory *directory_new(struct loop *loop, const char *path, unsigned settle_ms, const char *default_namespace,
                                directory_fn *fn, void *arg, struct err *reterr)
{
        struct directory *d = calloc(1, sizeof *d);
        if (!d) {
                (void)err_set(reterr, ENOMEM, path, "out of memory"); /* NULL says it already */
                return NULL;
        }
        *d = (struct directory){ .loop = loop, .settle_ms = settle_ms, .fn = fn, .arg = arg, .fd = { .fd = -1 } };
        timer_init(&d->settle, on_settled);
        d->default_namespace = strdup(default_namespace);
        int r = split_path(d, path);
        if (r < 0 || !d->default_namespace)
                r = err_set(reterr, ENOMEM, path, "out of memory");
        else
                r = start_watching(d, reterr);
        if (r < 0) {
                directory_free(d);
                return NULL;
        }
        load(d);
        return d;
}

void directory_free(struct directory *d)
{
        if (!d)
                return;
        timer_stop(&d->settle);
        if (d->fd.fd >= 0) {
                int fd = d->fd.fd;
                loop_del(&d->fd);
                close(fd);
        }
        writing_clear(d);
        for (size_t i = 0; i < d->n_watches; i++)
                free(d->watches[i].sub);
        free(d->watches);
        free(d->path);
        free(d->parent);
        free(d->base);
        free(d->default_namespace);
        free(d);
}
