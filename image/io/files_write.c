/* image/io/files_write.c - see files_write.h.  What was written last is listed in RENDERED, one path per line. */
#include "lib/base.h"
#include "image/io/files_write.h"
#include "image/core/render.h"
#include "image/io/path.h"

#include <grp.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define RENDERED RENDER_ETC "/.rendered"
#define RENDERED_MAX (1024u * 1024)

static unsigned gid_of(const struct file *f)
{
        const struct group *g = f->group && geteuid() == 0 ? getgrnam(f->group) : NULL;
        return g ? g->gr_gid : UINT32_MAX;
}

static bool is_same(const struct host *h, const struct file *f, struct arena *scratch)
{
        char path[HOST_PATH_MAX], to[PATH_MAX];
        struct stat st;
        struct span old;
        struct err ignored; /* unreadable: write it anew */
        host_path(h, path, "%s", f->path);
        if (lstat(path, &st) < 0)
                return false;
        if (f->link_to) {
                ssize_t n = S_ISLNK(st.st_mode) ? readlink(path, to, sizeof to) : -1;
                return n >= 0 && span_eq_str(SPAN(to, n), f->link_to);
        }
        unsigned gid = gid_of(f);
        return S_ISREG(st.st_mode) && (st.st_mode & 07777) == f->mode && (gid == UINT32_MAX || st.st_gid == gid) &&
               (size_t)st.st_size == f->bytes.n && path_read(path, f->bytes.n, scratch, &old, &ignored) == 0 && span_eq(old, f->bytes);
}

static int write_one(const struct host *h, const struct file *f, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        host_path(h, path, "%s", f->path);
        int r = path_mkparent(path, reterr);
        if (r < 0)
                return r;
        return f->link_to ? path_link(f->link_to, path, false, reterr)
                          : path_write(path, f->bytes, f->mode, gid_of(f), false, reterr);
}

static bool add_path(struct path_list *l, size_t cap, const char *path)
{
        if (!path || l->n == cap)
                return false;
        l->v[l->n++] = path;
        return true;
}

static size_t count_lines(struct span s)
{
        size_t n = 0;
        for (size_t i = 0; i < s.n; i++)
                n += s.p[i] == '\n';
        return n;
}

/* Paths of the last time that are not among f: removed. */
static int remove_stale(const struct host *h, const struct files *f, struct span list, struct path_list *l, size_t cap, struct err *reterr)
{
        while (list.n) {
                const uint8_t *nl = memchr(list.p, '\n', list.n);
                size_t n = nl ? (size_t)(nl - list.p) : list.n;
                char *path = arena_printf(f->a, "%.*s", (int)n, (const char *)list.p);
                list = SPAN(list.p + n + (nl != NULL), list.n - n - (nl != NULL));
                if (path && path[0] == '/' && !files_find(f, path)) {
                        char full[HOST_PATH_MAX];
                        if (strlen(path) >= FILES_PATH_MAX)
                                continue;
                        if (unlink(host_path(h, full, "%s", path)) < 0 && errno != ENOENT)
                                return err_set(reterr, errno, full, "cannot remove: %s", strerror(errno));
                        if (!add_path(l, cap, path))
                                return err_set(reterr, ENOMEM, full, "out of memory");
                }
        }
        return 0;
}

static int write_list(const struct host *h, struct files *f, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        for (size_t i = 0; i < f->n; i++)
                buf_printf(&f->text, "%s\n", f->v[i].path);
        host_path(h, path, RENDERED);
        int r = f->text.failed ? err_set(reterr, ENOMEM, path, "out of memory") : path_mkparent(path, reterr);
        if (r == 0)
                r = path_write(path, buf_span(&f->text), 0600, UINT32_MAX, false, reterr);
        buf_reset(&f->text);
        return r;
}

int files_write(const struct host *h, struct files *f, struct path_list *ret_changed, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        struct span list = SPAN_NULL;
        struct err none; /* no list: nothing was written before */
        struct arena scratch;
        if (path_read(host_path(h, path, RENDERED), RENDERED_MAX, f->a, &list, &none) < 0)
                list = SPAN_NULL;
        size_t cap = f->n + count_lines(list) + 1;
        struct path_list l = {.v = arena_calloc(f->a, cap, sizeof *l.v)};
        if (!l.v)
                return err_set(reterr, ENOMEM, "", "out of memory");
        int r = 0;
        arena_init(&scratch, 64 * 1024, SIZE_MAX);
        for (size_t i = 0; r == 0 && i < f->n; i++) {
                if (!is_same(h, &f->v[i], &scratch)) {
                        r = write_one(h, &f->v[i], reterr);
                        if (r == 0 && !add_path(&l, cap, f->v[i].path))
                                r = err_set(reterr, ENOMEM, f->v[i].path, "out of memory");
                }
                arena_reset(&scratch);
        }
        arena_fini(&scratch);
        if (r == 0)
                r = remove_stale(h, f, list, &l, cap, reterr);
        if (r == 0)
                r = write_list(h, f, reterr);
        if (r == 0)
                *ret_changed = l;
        return r;
}
