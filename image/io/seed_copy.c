/* image/io/seed_copy.c - a configuration with what came beside it, read from a directory.  See store.h. */
#include "lib/base.h"
#include "image/io/store.h"
#include "image/io/path.h"
#include "lib/io/secretbox.h"

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

/* A file, or what was encrypted under key as `name`. */
static int read_part(const char *dir, const char *name, const uint8_t *key, struct arena *a, struct span *ret, struct err *reterr)
{
        char path[PATH_MAX];
        struct span s = SPAN_NULL;
        snprintf(path, sizeof path, "%.3000s/%.200s", dir, name);
        int r = path_read(path, IMAGE_MAX_FILE_BYTES + (key ? SECRETBOX_OVERHEAD_BYTES : 0), a, &s, reterr);
        if (r == 0 && key && secretbox_open(key, span_str(name), (uint8_t *)(uintptr_t)s.p, s.n, &s) < 0)
                r = err_set(reterr, EBADMSG, path, "is damaged, or not of this box: its key does not open it");
        if (r == 0)
                *ret = s;
        return r;
}

static int read_manifests(const char *dir, const uint8_t *key, struct seed_copy *s, struct err *reterr)
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
                char name[160];
                snprintf(name, sizeof name, "manifests/%.128s", e->d_name);
                v[n].name = arena_strdup(&s->arena, e->d_name);
                r = v[n].name ? read_part(dir, name, key, &s->arena, &v[n].bytes, reterr)
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

static int read_beside(const char *dir, const uint8_t *key, struct seed_copy *ret, struct err *reterr)
{
        int r = read_part(dir, "kubeconfig", key, &ret->arena, &ret->seed.kubeconfig, reterr);
        return r < 0 && r != -ENOENT ? r : read_manifests(dir, key, ret, reterr);
}

int seed_copy_beside(const char *dir, struct seed_copy *ret, struct err *reterr)
{
        return read_beside(dir, NULL, ret, reterr);
}

int seed_copy_read(const char *dir, struct seed_copy *ret, struct err *reterr)
{
        int r = read_part(dir, "gatehouse.cfg", NULL, &ret->arena, &ret->cfg, reterr);
        return r < 0 ? r : read_beside(dir, NULL, ret, reterr);
}

int seed_copy_sealed(const char *dir, const uint8_t *key, struct seed_copy *ret, struct err *reterr)
{
        int r = read_part(dir, "gatehouse.cfg", key, &ret->arena, &ret->cfg, reterr);
        return r < 0 && r != -ENOENT ? r : read_beside(dir, key, ret, reterr);
}
