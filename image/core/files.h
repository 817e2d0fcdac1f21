/* image/core/files.h - a list of files to be written: path, mode, bytes.  Layer: image/core, pure (image/io/files_write.h
 * writes it).  Thread rule: one thread.  Ownership: the list and everything in it live in the arena given to files_init.
 * Failures are sticky: check `failed` once, at the end (out of the arena's bytes, or a path longer than FILES_PATH_MAX). */
#pragma once
#include "lib/core/arena.h"
#include "lib/core/buf.h"

#define FILES_PATH_MAX 256
struct file {
        const char *path;    /* absolute, as on the running system */
        const char *group;   /* NULL = root */
        const char *link_to; /* a symbolic link; bytes are then unused */
        unsigned mode;
        struct span bytes;
};
struct files {
        struct arena *a;
        struct file *v;
        size_t n, cap;
        struct buf text; /* of the file being written */
        bool failed;
};

void files_init(struct files *f, struct arena *a) NONNULL(1, 2);
void files_fini(struct files *f) NONNULL(1); /* frees the work buffer; the list stays valid as long as the arena */
/* The text written to f->text since the last call becomes a file. */
void files_end(struct files *f, unsigned mode, const char *group, const char *path_fmt, ...) NONNULL(1, 4) PRINTF(4, 5);
void files_bytes(struct files *f, unsigned mode, const char *group, struct span bytes, const char *path_fmt, ...) NONNULL(1, 5) PRINTF(5, 6);
void files_link(struct files *f, const char *to, const char *path_fmt, ...) NONNULL(1, 2, 3) PRINTF(3, 4);
const struct file *files_find(const struct files *f, const char *path) NONNULL(1, 2); /* NULL = not there */
