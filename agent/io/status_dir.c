/* agent/io/status_dir.c - see status_dir.h. */
#include "lib/base.h"
#include "agent/io/status_dir.h"
#include "agent/core/status_read.h"
#include "agent/io/yaml.h"
#include "lib/core/buf.h"
#include "lib/core/hash.h"
#include "lib/core/map.h"
#include "lib/io/log.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATUS_FILE_MAX (8u * 1024 * 1024)
#define GENERATIONS_FILE_MAX (256u * 1024 * 1024) /* SOURCE_MAX_OBJECTS of the longest names */
#define TMP_NAME ".status.tmp"
#define GENERATIONS_NAME ".generations"

struct file { char *name; struct sha256 sha; bool wanted; };
struct status_dir {
        char *path;
        int fd;
        struct map files; /* name -> struct file: what we know to be on disk */
};

int status_dir_open(const char *path, struct status_dir **ret, struct err *reterr)
{
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
                return err_set(reterr, errno, path, "cannot make: %s", strerror(errno));
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return err_set(reterr, errno, path, "cannot open: %s", strerror(errno));
        struct status_dir *d = calloc(1, sizeof *d);
        BUG_ON(!d); /* boot */
        d->path = strdup(path);
        BUG_ON(!d->path);
        d->fd = fd;
        map_init(&d->files);
        *ret = d;
        return 0;
}

void status_dir_close(struct status_dir *d)
{
        if (!d)
                return;
        void *v;
        struct span k;
        for (size_t i = 0; map_next(&d->files, &i, &k, &v);) {
                free(((struct file *)v)->name);
                free(v);
        }
        map_fini(&d->files);
        close(d->fd);
        free(d->path);
        free(d);
}

static struct file *file_get(struct status_dir *d, const char *name)
{
        struct file *f = map_get(&d->files, span_str(name));
        if (f)
                return f;
        f = calloc(1, sizeof *f);
        if (f)
                f->name = strdup(name);
        if (f && f->name && map_put(&d->files, span_str(f->name), f) == 0)
                return f;
        if (f)
                free(f->name);
        free(f);
        return NULL;
}

/* ---- reading back */

static int read_whole(int dir, const char *name, struct buf *b)
{
        int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        for (;;) {
                uint8_t *p = buf_reserve(b, 16 * 1024);
                ssize_t n = p ? read(fd, p, 16 * 1024) : -1;
                if (n <= 0) {
                        int r = !p ? -E2BIG : n < 0 ? -errno : 0;
                        close(fd);
                        return r;
                }
                b->n += (size_t)n;
        }
}

static const char *text(struct arena *a, const struct node *map, const char *key)
{
        const struct node *n = map ? node_get(map, key) : NULL;
        if (!n || n->type != NODE_SCALAR)
                return "";
        const char *s = arena_printf(a, "%.*s", SPAN_FMT(n->text));
        return s ? s : "";
}

static int read_doc(const struct node *doc, struct status_memory *m, struct arena *a, struct vip_grants *g)
{
        const struct node *meta = node_get(doc, "metadata"), *status = node_get(doc, "status");
        const char *api = text(a, doc, "apiVersion"), *slash = strchr(api, '/');
        const char *group = slash ? arena_printf(a, "%.*s", (int)(slash - api), api) : "";
        int k = object_kind_find(group ? group : "", text(a, doc, "kind"));
        if (k < 0 || !status || !meta)
                return -EINVAL;
        return status_read((enum object_kind)k, text(a, meta, "namespace"), text(a, meta, "name"), NULL, status, m, a, g);
}

static bool is_status_name(const char *name)
{
        size_t n = strlen(name);
        return name[0] != '.' && n > 5 && strcmp(name + n - 5, ".yaml") == 0;
}

static int read_file(struct status_dir *d, const char *name, struct status_memory *m, struct arena *a, struct vip_grants *g)
{
        CLEANUP(buf_fini) struct buf b;
        struct err e = { 0 };
        struct yaml_docs docs = { 0 };
        buf_init(&b, STATUS_FILE_MAX);
        int r = read_whole(d->fd, name, &b);
        struct file *f = r == 0 ? file_get(d, name) : NULL;
        if (r == 0 && !f)
                return -ENOMEM;
        if (r == 0) {
                sha256_of(buf_span(&b), &f->sha);
                r = yaml_read(buf_span(&b), name, a, &docs, &e);
        }
        if (r == 0)
                r = docs.n == 1 ? read_doc(docs.v[0], m, a, g) : -EINVAL;
        if (r < 0 && r != -ENOMEM) {
                log_warn("status_unreadable", "file=%s errno=%d why=%s will=\"write it anew\"", LOG_ESC(name), -r, LOG_ESC(e.msg));
                return 0;
        }
        return r;
}

int status_dir_read(struct status_dir *d, struct status_memory *m, struct arena *a, struct vip_grant **ret, size_t *ret_n)
{
        int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        struct vip_grants g = { 0 };
        int r = 0;
        if (!dir) {
                if (fd >= 0)
                        close(fd);
                return -errno;
        }
        for (const struct dirent *de; r == 0 && (de = readdir(dir));)
                if (is_status_name(de->d_name))
                        r = read_file(d, de->d_name, m, a, &g);
        closedir(dir);
        *ret = g.v;
        *ret_n = g.n;
        return r;
}

int status_dir_read_generations(struct status_dir *d, struct generations *g)
{
        CLEANUP(buf_fini) struct buf b;
        buf_init(&b, GENERATIONS_FILE_MAX);
        int r = read_whole(d->fd, GENERATIONS_NAME, &b);
        if (r == 0)
                r = generations_read(g, buf_span(&b));
        if (r < 0 && r != -ENOENT && r != -ENOMEM) {
                log_warn("generations_unreadable", "file=%s errno=%d will=\"count from 1\"", GENERATIONS_NAME, -r);
                return 0;
        }
        return r == -ENOENT ? 0 : r;
}

/* ---- writing */

static int write_file(struct status_dir *d, const char *name, struct span s, mode_t mode)
{
        int fd = openat(d->fd, TMP_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
        int r = fd < 0 ? -errno : 0;
        while (r == 0 && s.n) {
                ssize_t n = write(fd, s.p, s.n);
                if (n < 0)
                        r = errno == EINTR ? 0 : -errno;
                else
                        s = SPAN(s.p + n, s.n - (size_t)n);
        }
        if (fd >= 0)
                close(fd);
        if (r == 0 && renameat(d->fd, TMP_NAME, d->fd, name) < 0)
                r = -errno;
        return r;
}

int status_dir_write_generations(struct status_dir *d, const struct generations *g)
{
        CLEANUP(buf_fini) struct buf b;
        buf_init(&b, GENERATIONS_FILE_MAX);
        generations_print(g, &b);
        return b.failed ? -ENOMEM : write_file(d, GENERATIONS_NAME, buf_span(&b), 0600); /* digests of Secrets are in it */
}

static void name_of(const struct status_doc *doc, char *ret, size_t n)
{
        char kind[64];
        (void)snprintf(kind, sizeof kind, "%s", object_kind_str(doc->kind)); /* kinds are short */
        for (char *c = kind; *c; c++)
                if (*c >= 'A' && *c <= 'Z')
                        *c = (char)(*c + ('a' - 'A'));
        (void)snprintf(ret, n, "%s.%s.%s.yaml", *doc->namespace ? doc->namespace : "_", kind, doc->name); /* both are DNS names: no "/" */
}

static void remove_others(struct status_dir *d, int *n_changed, int *rc)
{
        void *v;
        struct span k;
        size_t n = 0;
        struct file **gone = calloc(d->files.n + 1, sizeof *gone);
        for (size_t i = 0; gone && map_next(&d->files, &i, &k, &v);)
                if (!((struct file *)v)->wanted)
                        gone[n++] = v;
        for (size_t i = 0; i < n; i++) {
                if (unlinkat(d->fd, gone[i]->name, 0) < 0 && errno != ENOENT) {
                        *rc = *rc ? *rc : -errno;
                        continue;
                }
                (*n_changed)++;
                (void)map_del(&d->files, span_str(gone[i]->name)); /* the value is gone[i] */
                free(gone[i]->name);
                free(gone[i]);
        }
        free(gone);
}

int status_dir_write(struct status_dir *d, const struct status_doc *docs, size_t n)
{
        int changed = 0, rc = 0;
        void *v;
        struct span k;
        for (size_t i = 0; map_next(&d->files, &i, &k, &v);)
                ((struct file *)v)->wanted = false;
        for (size_t i = 0; i < n; i++) {
                char name[600];
                struct sha256 sha;
                name_of(&docs[i], name, sizeof name);
                sha256_of(docs[i].text, &sha);
                bool known = map_get(&d->files, span_str(name)) != NULL;
                struct file *f = file_get(d, name);
                if (!f)
                        return -ENOMEM;
                f->wanted = true;
                if (known && memcmp(f->sha.b, sha.b, sizeof sha.b) == 0)
                        continue;
                int r = write_file(d, name, docs[i].text, 0644);
                if (r < 0) {
                        log_error("status_not_written", "file=%s errno=%d", LOG_ESC(name), -r);
                        rc = rc ? rc : r;
                        f->sha = (struct sha256){ 0 }; /* try again next time */
                        continue;
                }
                f->sha = sha;
                changed++;
        }
        remove_others(d, &changed, &rc);
        return rc ? rc : changed;
}
