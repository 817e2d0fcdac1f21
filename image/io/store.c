/* image/io/store.c - see store.h. */
#include "lib/base.h"
#include "image/io/store.h"
#include "image/core/config_blank.h"
#include "image/io/keys.h"
#include "image/io/path.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_DIR "/var/lib/gatehouse/config"

static const char *const slots[STORE_N] = {"current", "previous", "candidate"};

/* The number a slot points at; 0 = empty. */
static unsigned slot_number(const struct host *h, enum store_slot slot)
{
        char path[HOST_PATH_MAX], to[32];
        ssize_t n = readlink(host_path(h, path, STORE_DIR "/%s", slots[slot]), to, sizeof to - 1);
        if (n <= 0)
                return 0;
        to[n] = '\0';
        char *end;
        unsigned long v = strtoul(to, &end, 10);
        return *end || v > UINT32_MAX ? 0 : (unsigned)v;
}

bool store_has(const struct host *h, enum store_slot slot)
{
        return slot_number(h, slot) != 0;
}

/* origin: `source NAME`, then `seen NAME DIGEST` for each source that ever gave something. */
static void origin_read(struct span text, struct seed_copy *ret)
{
        char line[128], what[16], name[24], digest[65];
        while (text.n) {
                const uint8_t *nl = memchr(text.p, '\n', text.n);
                size_t n = nl ? (size_t)(nl - text.p) : text.n;
                snprintf(line, sizeof line, "%.*s", (int)MIN(n, sizeof line - 1), (const char *)text.p);
                text = SPAN(text.p + n + (nl != NULL), text.n - n - (nl != NULL));
                digest[0] = '\0';
                if (sscanf(line, "%15s %23s %64s", what, name, digest) < 2)
                        continue;
                for (int i = 0; i < FROM_N; i++) {
                        if (strcmp(name, source_names[i]) != 0)
                                continue;
                        if (strcmp(what, "source") == 0)
                                ret->source = (enum source)i;
                        else if (strcmp(what, "seen") == 0)
                                memcpy(ret->seen[i], digest, sizeof digest);
                }
        }
}

int store_load(const struct host *h, enum store_slot slot, struct seed_copy *ret, struct err *reterr)
{
        char dir[HOST_PATH_MAX], path[HOST_PATH_MAX + 16];
        uint8_t key[SECRETBOX_KEY_BYTES];
        struct span origin;
        struct err locked; /* said when the key was looked for */
        unsigned number = slot_number(h, slot);
        if (!number)
                return err_set(reterr, ENOENT, slots[slot], "there is no such configuration");
        host_path(h, dir, STORE_DIR "/%u", number);
        snprintf(path, sizeof path, "%s/gatehouse.cfg", dir);
        int r = path_read(path, IMAGE_MAX_FILE_BYTES, &ret->arena, &ret->cfg, reterr);
        ret->locked = keys_store(h, key, &locked) < 0;
        if (r == 0 && !ret->locked) {
                snprintf(path, sizeof path, "%s/sealed", dir);
                r = seed_copy_sealed(path, key, ret, reterr);
        }
        explicit_bzero(key, sizeof key);
        if (r < 0)
                return r;
        snprintf(path, sizeof path, "%s/origin", dir);
        r = path_read(path, 4096, &ret->arena, &origin, reterr);
        if (r < 0)
                return r;
        origin_read(origin, ret);
        return 0;
}

/* Every number there is: fn for each. */
static unsigned highest(const struct host *h)
{
        char path[HOST_PATH_MAX];
        unsigned max = 0;
        DIR *d = opendir(host_path(h, path, STORE_DIR));
        for (const struct dirent *e; d && (e = readdir(d));) {
                char *end;
                unsigned long v = strtoul(e->d_name, &end, 10);
                if (*e->d_name >= '0' && *e->d_name <= '9' && !*end && v < UINT32_MAX)
                        max = MAX(max, (unsigned)v);
        }
        if (d)
                closedir(d);
        return max;
}

/* key: encrypted, as `name`. */
static int write_part(const char *dir, const char *name, struct span bytes, const uint8_t *key, struct err *reterr)
{
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%.3000s/%.200s", dir, name);
        if (!key)
                return path_write(path, bytes, 0600, UINT32_MAX, true, reterr);
        uint8_t *p = malloc(bytes.n + SECRETBOX_OVERHEAD_BYTES);
        int r = p ? secretbox_seal(key, span_str(name), bytes, p) : -ENOMEM;
        r = r < 0 ? err_set(reterr, -r, path, "cannot be encrypted: %s", strerror(-r))
                  : path_write(path, SPAN(p, bytes.n + SECRETBOX_OVERHEAD_BYTES), 0600, UINT32_MAX, true, reterr);
        free(p);
        return r;
}

/* The file without what is secret in it; and as it is, when that is not the same. */
static int write_file(const char *dir, const char *sealed, struct span cfg, const uint8_t *key, struct err *reterr)
{
        CLEANUP(buf_fini) struct buf plain;
        buf_init(&plain, 2u * IMAGE_MAX_FILE_BYTES);
        size_t n = config_blank(cfg, &plain);
        int r = plain.failed ? err_set(reterr, ENOMEM, dir, "out of memory") : 0;
        if (r == 0 && n)
                r = write_part(sealed, "gatehouse.cfg", cfg, key, reterr);
        return r < 0 ? r : write_part(dir, "gatehouse.cfg", buf_span(&plain), NULL, reterr);
}

static int write_dir(const char *dir, const struct seed_copy *s, const uint8_t *key, struct err *reterr)
{
        char origin[1024], sealed[PATH_MAX], manifests[PATH_MAX], name[256];
        int w = snprintf(origin, sizeof origin, "source %s\n", source_names[s->source]);
        for (int i = 0; i < FROM_N; i++)
                if (s->seen[i][0])
                        w += snprintf(origin + w, sizeof origin - (size_t)w, "seen %s %s\n", source_names[i], s->seen[i]);
        snprintf(sealed, sizeof sealed, "%.3000s/sealed", dir);
        snprintf(manifests, sizeof manifests, "%.3000s/sealed/manifests", dir);
        int r = path_mkdirs(dir, 0700, reterr);
        if (r == 0)
                r = path_mkdirs(sealed, 0700, reterr);
        if (r == 0)
                r = path_mkdirs(manifests, 0700, reterr);
        for (size_t i = 0; r == 0 && i < s->seed.n_manifests; i++) {
                snprintf(name, sizeof name, "manifests/%.128s", s->seed.manifests[i].name);
                r = write_part(sealed, name, s->seed.manifests[i].bytes, key, reterr);
        }
        if (r == 0 && s->seed.kubeconfig.n)
                r = write_part(sealed, "kubeconfig", s->seed.kubeconfig, key, reterr);
        if (r == 0)
                r = write_part(dir, "origin", span_str(origin), NULL, reterr);
        if (r == 0)
                r = write_file(dir, sealed, s->cfg, key, reterr);
        if (r == 0)
                r = path_sync_dir(manifests, reterr);
        return r == 0 ? path_sync_dir(sealed, reterr) : r;
}

static int point(const struct host *h, enum store_slot slot, unsigned number, struct err *reterr)
{
        char path[HOST_PATH_MAX], to[16];
        snprintf(to, sizeof to, "%u", number);
        return path_link(to, host_path(h, path, STORE_DIR "/%s", slots[slot]), true, reterr);
}

int store_propose(const struct host *h, const struct seed_copy *s, struct err *reterr)
{
        char base[HOST_PATH_MAX], dir[HOST_PATH_MAX];
        uint8_t key[SECRETBOX_KEY_BYTES];
        host_path(h, base, STORE_DIR);
        int r = keys_store(h, key, reterr);
        if (r == 0)
                r = path_mkdirs(base, 0750, reterr);
        if (r < 0)
                return r;
        unsigned number = highest(h) + 1;
        host_path(h, dir, STORE_DIR "/%u", number);
        r = write_dir(dir, s, key, reterr);
        explicit_bzero(key, sizeof key);
        if (r == 0)
                r = path_sync_dir(base, reterr);
        if (r == 0)
                r = point(h, STORE_CANDIDATE, number, reterr);
        if (r < 0) {
                struct err also; /* the first error is the one to tell */
                if (path_remove_tree(dir, &also) < 0)
                        r = -EIO;
        }
        return r;
}

/* Numbered directories that no slot names. */
static void sweep(const struct host *h)
{
        char path[HOST_PATH_MAX];
        unsigned keep[STORE_N];
        struct err ignored; /* what stays is removed the next time */
        for (int i = 0; i < STORE_N; i++)
                keep[i] = slot_number(h, (enum store_slot)i);
        DIR *d = opendir(host_path(h, path, STORE_DIR));
        for (const struct dirent *e; d && (e = readdir(d));) {
                char *end;
                unsigned long v = strtoul(e->d_name, &end, 10);
                if (*e->d_name < '0' || *e->d_name > '9' || *end || v == keep[0] || v == keep[1] || v == keep[2])
                        continue;
                if (path_remove_tree(host_path(h, path, STORE_DIR "/%s", e->d_name), &ignored) < 0)
                        continue;
        }
        if (d)
                closedir(d);
}

static int drop_candidate(const struct host *h, struct err *reterr)
{
        char path[HOST_PATH_MAX], base[HOST_PATH_MAX];
        if (unlink(host_path(h, path, STORE_DIR "/candidate")) < 0)
                return errno == ENOENT ? 0 : err_set(reterr, errno, path, "cannot remove: %s", strerror(errno));
        return path_sync_dir(host_path(h, base, STORE_DIR), reterr);
}

int store_commit(const struct host *h, struct err *reterr)
{
        unsigned candidate = slot_number(h, STORE_CANDIDATE), current = slot_number(h, STORE_CURRENT);
        int r = candidate ? 0 : err_set(reterr, ENOENT, "candidate", "nothing waits to be confirmed");
        if (r == 0 && current && current != candidate)
                r = point(h, STORE_PREVIOUS, current, reterr);
        if (r == 0)
                r = point(h, STORE_CURRENT, candidate, reterr);
        if (r == 0)
                r = drop_candidate(h, reterr);
        if (r == 0)
                sweep(h);
        return r;
}

int store_withdraw(const struct host *h, struct err *reterr)
{
        int r = drop_candidate(h, reterr);
        if (r == 0)
                sweep(h);
        return r;
}
