/* image/core/files.c - see files.h. */
#include "lib/base.h"
#include "image/core/files.h"

#include <stdarg.h>

#define TEXT_MAX (8u * 1024 * 1024)

void files_init(struct files *f, struct arena *a)
{
        *f = (struct files){.a = a};
        buf_init(&f->text, TEXT_MAX);
}

void files_fini(struct files *f)
{
        buf_fini(&f->text);
}

static PRINTF(3, 0) void add(struct files *f, struct file file, const char *path_fmt, va_list ap)
{
        char path[FILES_PATH_MAX];
        int n = vsnprintf(path, sizeof path, path_fmt, ap);
        if (f->n == f->cap) {
                size_t cap = f->cap ? 2 * f->cap : 32;
                struct file *v = arena_calloc(f->a, cap, sizeof *v);
                if (!v) {
                        f->failed = true;
                        return;
                }
                if (f->n)
                        memcpy(v, f->v, f->n * sizeof *v);
                f->v = v;
                f->cap = cap;
        }
        file.path = arena_strdup(f->a, path);
        if (n < 0 || (size_t)n >= sizeof path || !file.path || (file.bytes.n && !file.bytes.p))
                f->failed = true;
        else
                f->v[f->n++] = file;
}

void files_end(struct files *f, unsigned mode, const char *group, const char *path_fmt, ...)
{
        va_list ap;
        if (f->text.failed)
                f->failed = true;
        va_start(ap, path_fmt);
        add(f, (struct file){.mode = mode, .group = group, .bytes = arena_span(f->a, buf_span(&f->text))}, path_fmt, ap);
        va_end(ap);
        buf_reset(&f->text);
}

void files_bytes(struct files *f, unsigned mode, const char *group, struct span bytes, const char *path_fmt, ...)
{
        va_list ap;
        va_start(ap, path_fmt);
        add(f, (struct file){.mode = mode, .group = group, .bytes = arena_span(f->a, bytes)}, path_fmt, ap);
        va_end(ap);
}

void files_link(struct files *f, const char *to, const char *path_fmt, ...)
{
        va_list ap;
        const char *copy = arena_strdup(f->a, to);
        if (!copy) {
                f->failed = true;
                return;
        }
        va_start(ap, path_fmt);
        add(f, (struct file){.link_to = copy}, path_fmt, ap);
        va_end(ap);
}

const struct file *files_find(const struct files *f, const char *path)
{
        for (size_t i = 0; i < f->n; i++)
                if (strcmp(f->v[i].path, path) == 0)
                        return &f->v[i];
        return NULL;
}
