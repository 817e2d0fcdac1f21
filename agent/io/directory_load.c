/* agent/io/directory_load.c - reads every manifest of a directory into typed objects, or says what is wrong with it. */
#include "lib/base.h"

#include "agent/core/store.h"
#include "agent/io/directory.h"
#include "agent/io/directory_names.h"
#include "agent/io/yaml.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

struct names {
        char **v; /* "web.yaml", "team-a/web.yaml" */
        size_t n;
};
struct loading {
        int dir;
        const char *default_namespace;
        struct object **objs;
        size_t n, cap, bytes;
        struct load_counts counts;
        struct load_errors *errs;
};

static void closep(const int *fd)
{
        if (*fd >= 0)
                close(*fd);
}
static void names_fini(struct names *l)
{
        for (size_t i = 0; i < l->n; i++)
                free(l->v[i]);
        free(l->v);
}
void objects_drop(struct object **objs, size_t n)
{
        for (size_t i = 0; i < n; i++)
                object_free(objs[i]);
        free(objs);
}

static void add_error(struct load_errors *e, const struct err *err)
{
        if (e->n < SOURCE_MAX_LOAD_ERRORS)
                e->v[e->n++] = *err;
        e->total++;
}
static void PRINTF(3, 4) add_errorf(struct load_errors *e, const char *place, const char *fmt, ...)
{
        struct err err = { 0 };
        va_list ap;
        snprintf(err.place, sizeof err.place, "%s", place);
        va_start(ap, fmt);
        vsnprintf(err.msg, sizeof err.msg, fmt, ap);
        va_end(ap);
        add_error(e, &err);
}

/* Which files */

bool directory_reads(const char *name)
{
        static const char *const ends[] = { ".yaml", ".yml", ".json" };
        size_t n = strlen(name);
        if (name[0] == '.' || n == 0 || name[n - 1] == '~')
                return false;
        for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
                if (n > strlen(ends[i]) && strcmp(name + n - strlen(ends[i]), ends[i]) == 0)
                        return true;
        return false;
}

static int add_name(struct names *l, const char *sub, const char *name)
{
        char **v = reallocarray(l->v, l->n + 1, sizeof(char *));
        if (!v)
                return -ENOMEM;
        l->v = v;
        if (asprintf(&v[l->n], "%s%s%s", sub, sub[0] ? "/" : "", name) < 0)
                return -ENOMEM;
        l->n++;
        return 0;
}

/* Lists dir (sub "" = the directory itself, whose subdirectories are listed too). */
static int list_dir(int at, const char *sub, struct names *ret)
{
        int fd = openat(at, sub[0] ? sub : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
        if (!d) {
                int e = errno;
                closep(&fd);
                return sub[0] && e == ENOENT ? 0 : -e; /* a subdirectory that went away meanwhile */
        }
        int r = 0;
        for (struct dirent *e; r == 0 && (e = readdir(d));) {
                struct stat st;
                if (directory_reads(e->d_name))
                        r = add_name(ret, sub, e->d_name);
                else if (!sub[0] && e->d_name[0] != '.' && fstatat(fd, e->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode))
                        r = list_dir(at, e->d_name, ret);
                if (r == 0 && ret->n > SOURCE_MAX_FILES)
                        r = -E2BIG;
        }
        closedir(d);
        return r;
}
static int name_qsort(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* One file */

struct bytes {
        uint8_t *p;
        size_t n;
};
static void bytes_fini(struct bytes *b)
{
        if (b->p)
                explicit_bzero(b->p, b->n); /* it may hold private keys */
        free(b->p);
}
/* 0; -ENOENT: gone or not a regular file, skip; other -errno: the caller says so. */
static int read_file(struct loading *l, const char *name, struct bytes *ret)
{
        CLEANUP(closep) int fd = openat(l->dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat st;
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -ENOENT;
        if (st.st_size > SOURCE_MAX_FILE_BYTES)
                return -EFBIG;
        ret->p = malloc(SOURCE_MAX_FILE_BYTES + 1u);
        if (!ret->p)
                return -ENOMEM;
        for (;;) { /* to the end, whatever the size said: it may grow meanwhile */
                ssize_t n = read(fd, ret->p + ret->n, SOURCE_MAX_FILE_BYTES + 1u - ret->n);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : 0;
                ret->n += (size_t)n;
                if (ret->n > SOURCE_MAX_FILE_BYTES)
                        return -EFBIG;
        }
}

static void add_object(struct loading *l, struct object *o, const char *file)
{
        if (l->n == l->cap) {
                size_t cap = l->cap ? l->cap * 2 : 64;
                struct object **v = reallocarray(l->objs, cap, sizeof(struct object *));
                if (!v || l->n >= SOURCE_MAX_OBJECTS) {
                        if (v)
                                l->objs = v;
                        add_errorf(l->errs, file, "more than %d objects, or out of memory", SOURCE_MAX_OBJECTS);
                        object_free(o);
                        return;
                }
                l->objs = v;
                l->cap = cap;
        }
        l->objs[l->n++] = o;
}

static void load_doc(struct loading *l, struct node *doc, const char *file)
{
        const struct node *api = node_get(doc, "apiVersion"), *kind = node_get(doc, "kind"),
                          *items = node_get(doc, "items");
        if (api && kind && items && items->type == NODE_SEQ && span_eq_str(api->text, "v1") &&
            span_eq_str(kind->text, "List")) {
                for (size_t i = 0; i < items->n; i++)
                        load_doc(l, items->items[i].value, file);
                return;
        }
        struct object *o = NULL;
        struct err err;
        if (object_decode(doc, file, l->default_namespace, &o, &err) < 0)
                add_error(l->errs, &err);
        else if (o)
                add_object(l, o, file);
        else
                l->counts.ignored++;
        if (kind && span_eq_str(kind->text, "Secret"))
                node_wipe(doc);
}

static void arena_finip(struct arena *a) { arena_fini(a); }
static void load_file(struct loading *l, const char *name)
{
        CLEANUP(bytes_fini) struct bytes b = { 0 };
        CLEANUP(arena_finip) struct arena a;
        struct yaml_docs docs = { 0 };
        struct err err;
        arena_init(&a, 64u << 10, SOURCE_MAX_TREE_BYTES);
        int r = read_file(l, name, &b);
        if (r == -ENOENT)
                return;
        l->bytes += b.n;
        if (r == -EFBIG) {
                add_errorf(l->errs, name, "file larger than %d MiB", SOURCE_MAX_FILE_BYTES >> 20);
        } else if (r < 0) {
                add_errorf(l->errs, name, "cannot be read: %s", strerror(-r));
        } else if (l->bytes > SOURCE_MAX_LOAD_BYTES) {
                add_errorf(l->errs, name, "all files together are larger than %d MiB", SOURCE_MAX_LOAD_BYTES >> 20);
        } else if (yaml_read(SPAN(b.p, b.n), name, &a, &docs, &err) < 0) {
                add_error(l->errs, &err);
        } else {
                l->counts.files++;
                for (size_t i = 0; i < docs.n; i++)
                        load_doc(l, docs.v[i], name);
        }
}

static int load_all(struct loading *l, const char *path)
{
        CLEANUP(names_fini) struct names names = { 0 };
        int r = list_dir(l->dir, "", &names);
        if (r < 0) {
                if (r == -E2BIG)
                        add_errorf(l->errs, path, "more than %d files", SOURCE_MAX_FILES);
                else
                        add_errorf(l->errs, path, "cannot be listed: %s", strerror(-r));
                return r;
        }
        if (names.n)
                qsort(names.v, names.n, sizeof(char *), name_qsort);
        for (size_t i = 0; i < names.n && l->bytes <= SOURCE_MAX_LOAD_BYTES; i++)
                load_file(l, names.v[i]);
        struct err err;
        if (l->errs->total == 0 && objects_check_unique(l->objs, l->n, &err) < 0)
                add_error(l->errs, &err);
        return l->errs->total ? -EINVAL : 0;
}

int directory_load(const char *path, const char *default_namespace, struct object ***ret, size_t *ret_n,
                   struct load_counts *ret_counts, struct load_errors *reterrs)
{
        CLEANUP(closep) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct loading l = { .dir = dir, .default_namespace = default_namespace, .errs = reterrs };
        *reterrs = (struct load_errors){ 0 };
        if (dir < 0) {
                int e = errno;
                add_errorf(reterrs, path, "cannot be opened: %s", strerror(e));
                return -e;
        }
        int r = load_all(&l, path);
        if (r < 0) {
                objects_drop(l.objs, l.n);
                return r;
        }
        l.counts.objects = l.n;
        *ret = l.objs;
        *ret_n = l.n;
        if (ret_counts)
                *ret_counts = l.counts;
        return 0;
}
