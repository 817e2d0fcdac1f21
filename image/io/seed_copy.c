/* image/io/seed_copy.c - a configuration with what came beside it, read from a directory.  See store.h. */
#include "lib/base.h"
#include "image/io/store.h"
#include "image/io/path.h"

#include <dirent.h>
#include <limits.h>

const char *const source_names[FROM_N] = {
#define S(id, name) name,
        SOURCES(S)
#undef S
};

void seed_copy_init(struct seed_copy *s)
{
        *s = (struct seed_copy){.source = FROM_APPLY};
        arena_init(&s->arena, 64 * 1024, 8u * IMAGE_MAX_FILE_BYTES);
}

void seed_copy_fini(struct seed_copy *s)
{
        arena_wipe(&s->arena);
        arena_fini(&s->arena);
        *s = (struct seed_copy){.source = FROM_APPLY};
}

static void digest_part(struct buf *b, const char *name, struct span bytes)
{
        struct sha256 sum;
        char hex[65];
        sha256_of(bytes, &sum);
        sha256_hex(&sum, hex);
        buf_printf(b, "%s %zu %s\n", name, bytes.n, hex);
}

void seed_copy_digest(const struct seed_copy *s, char ret[65])
{
        CLEANUP(buf_fini) struct buf b;
        struct sha256 sum;
        buf_init(&b, 1024 * 1024);
        digest_part(&b, "gatehouse.cfg", s->cfg);
        digest_part(&b, "kubeconfig", s->seed.kubeconfig);
        for (size_t i = 0; i < s->seed.n_manifests; i++)
                digest_part(&b, s->seed.manifests[i].name, s->seed.manifests[i].bytes);
        BUG_ON(b.failed); /* 256 short lines */
        sha256_of(buf_span(&b), &sum);
        sha256_hex(&sum, ret);
}

bool seed_copy_is_manifest(const char *name)
{
        size_t n = strlen(name);
        return name[0] != '.' && n < 128 && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == n &&
               ((n > 5 && (strcmp(name + n - 5, ".yaml") == 0 || strcmp(name + n - 5, ".json") == 0)) ||
                (n > 4 && strcmp(name + n - 4, ".yml") == 0));
}

static int by_name(const void *a, const void *b)
{
        return strcmp(((const struct seed_file *)a)->name, ((const struct seed_file *)b)->name);
}

static int read_manifests(const char *dir, struct seed_copy *s, struct err *reterr)
{
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/manifests", dir);
        DIR *d = opendir(path);
        if (!d)
                return 0; /* none */
        struct seed_file *v = arena_calloc(&s->arena, IMAGE_MAX_MANIFESTS, sizeof *v);
        size_t n = 0;
        int r = v ? 0 : err_set(reterr, ENOMEM, path, "out of memory");
        for (const struct dirent *e; r == 0 && (e = readdir(d));) {
                if (!seed_copy_is_manifest(e->d_name))
                        continue;
                if (n == IMAGE_MAX_MANIFESTS) {
                        r = err_set(reterr, E2BIG, path, "more than %d files", IMAGE_MAX_MANIFESTS);
                        break;
                }
                snprintf(path, sizeof path, "%s/manifests/%s", dir, e->d_name);
                v[n].name = arena_strdup(&s->arena, e->d_name);
                r = v[n].name ? path_read(path, IMAGE_MAX_FILE_BYTES, &s->arena, &v[n].bytes, reterr)
                              : err_set(reterr, ENOMEM, path, "out of memory");
                n++;
        }
        closedir(d);
        if (r == 0 && n)
                qsort(v, n, sizeof *v, by_name);
        s->seed.manifests = v;
        s->seed.n_manifests = n;
        return r;
}

int seed_copy_beside(const char *dir, struct seed_copy *ret, struct err *reterr)
{
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/kubeconfig", dir);
        int r = path_read(path, IMAGE_MAX_FILE_BYTES, &ret->arena, &ret->seed.kubeconfig, reterr);
        return r < 0 && r != -ENOENT ? r : read_manifests(dir, ret, reterr);
}

int seed_copy_read(const char *dir, struct seed_copy *ret, struct err *reterr)
{
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/gatehouse.cfg", dir);
        int r = path_read(path, IMAGE_MAX_FILE_BYTES, &ret->arena, &ret->cfg, reterr);
        return r < 0 ? r : seed_copy_beside(dir, ret, reterr);
}
