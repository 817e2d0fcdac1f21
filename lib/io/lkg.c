/* lib/io/lkg.c - see lkg.h.  Two manifest slots, written in turn; `current` is a symbolic link to the newer one, so the
 * switch is one rename.  Blobs are written before the manifest that names them and removed after no slot does. */
#include "lib/base.h"
#include "lib/io/lkg.h"

#include "lib/control.pb-c.h"
#include "lib/core/arena.h"
#include "lib/core/cursor.h"
#include "lib/core/frame.h"
#include "lib/core/map.h"
#include "lib/io/log.h"
#include "lib/io/random.h"
#include "lib/io/secretbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_BYTES SECRETBOX_KEY_BYTES
#define MANIFEST_FILE_MAX (64u * 1024 * 1024)
#define OWNER_MAX_BYTES 1024
#define NAME_MAX_BYTES 80 /* 64 hex digits and ".enc" */

static const char *const slot_file[2] = {"manifest.a", "manifest.b"};

struct lkg {
        char *dir;
        int dir_fd, blobs_fd;
        int good; /* the slot to keep: the one last loaded or written; the next save goes to the other */
        uint8_t key[KEY_BYTES];
        bool locked; /* whoever keeps the key has not got it: secrets cannot be read, nothing is written */
};

static void closep(int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

/* ---------------------------------------------------------------- files */

static int write_all(int fd, struct span s)
{
        while (s.n) {
                ssize_t n = write(fd, s.p, s.n);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                s = SPAN(s.p + n, s.n - (size_t)n);
        }
        return 0;
}

/* Temporary file, fsync, rename.  The caller syncs the directory once for all of them. */
static int file_write(int dir_fd, const char *name, struct span s)
{
        char tmp[NAME_MAX_BYTES + 8];
        snprintf(tmp, sizeof tmp, "%s.tmp", name);
        CLEANUP(closep) int fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        int r = write_all(fd, s);
        if (r == 0 && fsync(fd) < 0)
                r = -errno;
        if (r == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
                r = -errno;
        if (r < 0)
                (void)unlinkat(dir_fd, tmp, 0); /* best effort: the next write truncates it */
        return r;
}

static int file_read(int dir_fd, const char *name, size_t max, uint8_t **ret, size_t *ret_n)
{
        struct stat st;
        CLEANUP(closep) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size > max)
                return -EFBIG;
        size_t n = (size_t)st.st_size, at = 0;
        uint8_t *p = malloc(n + 1);
        if (!p)
                return -ENOMEM;
        while (at < n) {
                ssize_t r = read(fd, p + at, n - at);
                if (r < 0 && errno == EINTR)
                        continue;
                if (r <= 0) {
                        int e = r < 0 ? -errno : -EIO;
                        free(p);
                        return e;
                }
                at += (size_t)r;
        }
        *ret = p;
        *ret_n = n;
        return 0;
}

static int dir_sync(int fd)
{
        return fsync(fd) < 0 ? -errno : 0;
}

/* ---------------------------------------------------------------- the host key */

static int key_load(struct lkg *k)
{
        uint8_t *p = NULL;
        size_t n = 0;
        int r = file_read(k->dir_fd, "host.key", 4096, &p, &n);
        if (r == 0 && n == KEY_BYTES)
                memcpy(k->key, p, KEY_BYTES);
        else if (r == 0)
                r = -EBADMSG;
        if (p)
                explicit_bzero(p, n);
        free(p);
        return r;
}

/* The key that systemd hands over (LoadCredential=host.key), where it hands over any.  false: it does not. */
static bool key_given(struct lkg *k)
{
        const char *dir = getenv("CREDENTIALS_DIRECTORY");
        uint8_t *p = NULL;
        size_t n = 0;
        int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        int r = fd < 0 ? -ENOENT : file_read(fd, "host.key", 4096, &p, &n);
        closep(&fd);
        if (r == -ENOENT)
                return false;
        k->locked = r < 0 || n != KEY_BYTES;
        if (k->locked)
                log_error("lkg_locked", "dir=%s reason=%s action=%s", LOG_ESC(k->dir), "the box has no key for its secrets",
                          "serve_without_private_keys");
        else
                memcpy(k->key, p, KEY_BYTES);
        if (p)
                explicit_bzero(p, n);
        free(p);
        return true;
}

/* A missing key is made; a damaged one is replaced, for what it protected is lost either way. */
static int key_open(struct lkg *k)
{
        if (key_given(k))
                return 0;
        int r = key_load(k);
        if (r == 0 || (r != -ENOENT && r != -EBADMSG && r != -EFBIG))
                return r;
        if (r != -ENOENT)
                log_warn("lkg_host_key_damaged", "dir=%s action=%s", LOG_ESC(k->dir), "new_key");
        r = random_fill(k->key, KEY_BYTES);
        if (r == 0)
                r = file_write(k->dir_fd, "host.key", SPAN(k->key, KEY_BYTES));
        return r < 0 ? r : dir_sync(k->dir_fd);
}

/* ---------------------------------------------------------------- blobs */

static void blob_name(const struct sha256 *sha, bool secret, char ret[NAME_MAX_BYTES])
{
        char hex[65];
        sha256_hex(sha, hex);
        snprintf(ret, NAME_MAX_BYTES, "%s%s", hex, secret ? ".enc" : "");
}

static int secret_write(struct lkg *k, const char *name, const struct blob *b)
{
        size_t n = b->n + SECRETBOX_OVERHEAD_BYTES;
        uint8_t *p = malloc(n);
        if (!p)
                return -ENOMEM;
        int r = secretbox_seal(k->key, SPAN(b->sha.b, sizeof b->sha.b), SPAN(b->p, b->n), p);
        if (r == 0)
                r = file_write(k->blobs_fd, name, SPAN(p, n));
        explicit_bzero(p, n);
        free(p);
        return r;
}

static int blob_write(struct lkg *k, const struct blob *b)
{
        char name[NAME_MAX_BYTES];
        struct stat st;
        blob_name(&b->sha, b->secret, name);
        size_t size = b->n + (b->secret ? SECRETBOX_OVERHEAD_BYTES : 0);
        if (fstatat(k->blobs_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            (size_t)st.st_size == size)
                return 0; /* same name, same content; damage is found, and removed, by reading */
        return b->secret ? secret_write(k, name, b) : file_write(k->blobs_fd, name, SPAN(b->p, b->n));
}

static struct blob *blob_open(struct lkg *k, uint8_t *p, size_t n, const struct sha256 *sha, bool secret)
{
        struct span text = SPAN(p, n);
        if (secret && secretbox_open(k->key, SPAN(sha->b, sizeof sha->b), p, n, &text) < 0)
                return NULL;
        struct blob *b = blob_new(text, secret);
        if (b && memcmp(&b->sha, sha, sizeof *sha) != 0) {
                blob_put(b);
                return NULL;
        }
        return b;
}

struct blob *lkg_blob(struct lkg *k, const struct sha256 *sha, bool secret)
{
        char name[NAME_MAX_BYTES];
        uint8_t *p = NULL;
        size_t n = 0;
        blob_name(sha, secret, name);
        if (secret && k->locked)
                return NULL; /* whole as far as we know */
        int r = file_read(k->blobs_fd, name, SECTION_MAX_BYTES + SECRETBOX_OVERHEAD_BYTES, &p, &n);
        if (r == -ENOENT || r == -ENOMEM)
                return NULL;
        struct blob *b = r == 0 ? blob_open(k, p, n, sha, secret) : NULL;
        if (!b) {
                log_warn("lkg_blob_damaged", "dir=%s blob=%s action=removed", LOG_ESC(k->dir), name);
                (void)unlinkat(k->blobs_fd, name, 0); /* whatever it is, it is not this blob */
        }
        if (p && secret)
                explicit_bzero(p, n);
        free(p);
        return b;
}

/* ---------------------------------------------------------------- slots */

/* The slot `current` points to; a store without the link begins with a. */
static int slot_current(const struct lkg *k)
{
        char target[NAME_MAX_BYTES];
        ssize_t n = readlinkat(k->dir_fd, "current", target, sizeof target);
        return n > 0 && span_eq_str(SPAN(target, (size_t)n), slot_file[1]) ? 1 : 0;
}

/* Manifest of a slot, verified, without blobs. */
static int slot_read(struct lkg *k, int slot, struct manifest **ret, struct err *reterr)
{
        CLEANUP(freep) uint8_t *p = NULL;
        size_t n = 0;
        int r = file_read(k->dir_fd, slot_file[slot], MANIFEST_FILE_MAX, &p, &n);
        if (r < 0)
                return err_set(reterr, -r, slot_file[slot], "%s", strerror(-r));
        struct sha256 sha;
        if (n < SHA256_BYTES)
                return err_set(reterr, EBADMSG, slot_file[slot], "cut short");
        n -= SHA256_BYTES;
        sha256_of(SPAN(p, n), &sha);
        if (memcmp(sha.b, p + n, SHA256_BYTES) != 0)
                return err_set(reterr, EBADMSG, slot_file[slot], "its checksum does not match");
        Control__Manifest *w = control__manifest__unpack(NULL, n, p);
        if (!w)
                return err_set(reterr, EBADMSG, slot_file[slot], "malformed");
        r = manifest_from_wire(w, ret, reterr);
        control__manifest__free_unpacked(w, NULL);
        return r;
}

/* What can be served without the secrets: the same under a hash of its own, so that an agent, once there is one, sends all. */
static int without_secrets(struct manifest *all, struct manifest **ret, struct err *reterr)
{
        struct manifest *m = manifest_new(all->generation);
        int r = m ? 0 : err_set(reterr, ENOMEM, "", "out of memory");
        for (size_t i = 0; r == 0 && i < all->n; i++)
                if (!all->entries[i].secret)
                        r = manifest_add_blob(m, all->entries[i].key, all->entries[i].blob);
        if (r == 0)
                r = manifest_seal(m, reterr);
        if (r < 0) {
                manifest_put(m);
                return r;
        }
        m->locked = m->n < all->n;
        *ret = m;
        return 0;
}

static int slot_load(struct lkg *k, int slot, struct manifest **ret, struct err *reterr)
{
        struct manifest *m = NULL;
        int r = slot_read(k, slot, &m, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < m->n; i++) {
                struct manifest_entry *e = &m->entries[i];
                if (e->secret && k->locked)
                        continue;
                e->blob = lkg_blob(k, &e->sha, e->secret);
                if (!e->blob || e->blob->n != e->len_bytes)
                        r = err_set(reterr, EBADMSG, slot_file[slot], "section %s is missing or damaged", e->key);
        }
        if (r < 0) {
                manifest_put(m);
                return r;
        }
        if (k->locked) {
                struct manifest *all = m;
                r = without_secrets(all, &m, reterr);
                manifest_put(all);
                if (r < 0)
                        return r;
        }
        *ret = m;
        return 0;
}

int lkg_load(struct lkg *k, struct manifest **ret, struct err *reterr)
{
        int current = slot_current(k);
        for (int i = 0; i < 2; i++) {
                struct err e = {0};
                int slot = i == 0 ? current : 1 - current;
                int r = slot_load(k, slot, ret, &e);
                if (r == 0) {
                        k->good = slot;
                        return 0;
                }
                if (r != -ENOENT)
                        log_warn("lkg_damaged", "dir=%s slot=%s reason=%s action=%s", LOG_ESC(k->dir), slot_file[slot],
                                 LOG_ESC(e.msg), i == 0 ? "try_other_slot" : "start_empty");
        }
        return err_set(reterr, ENOENT, k->dir, "nothing stored that is intact");
}

int lkg_load_previous(struct lkg *k, struct manifest **ret, struct err *reterr)
{
        int slot = 1 - k->good;
        int r = slot_load(k, slot, ret, reterr);
        if (r == 0)
                k->good = slot;
        return r;
}

static int slot_prefer(const struct lkg *k, int slot)
{
        (void)unlinkat(k->dir_fd, "current.tmp", 0); /* left by a crash, or not there */
        if (symlinkat(slot_file[slot], k->dir_fd, "current.tmp") < 0 ||
            renameat(k->dir_fd, "current.tmp", k->dir_fd, "current") < 0)
                return -errno;
        return dir_sync(k->dir_fd);
}

static int slot_write(struct lkg *k, int slot, const struct manifest *m)
{
        CLEANUP(buf_fini) struct buf b;
        struct sha256 sha;
        buf_init(&b, MANIFEST_FILE_MAX);
        int r = manifest_pack(m, &b);
        if (r < 0)
                return r;
        sha256_of(buf_span(&b), &sha);
        buf_add(&b, sha.b, sizeof sha.b);
        if (b.failed)
                return -ENOMEM;
        r = file_write(k->dir_fd, slot_file[slot], buf_span(&b));
        if (r == 0)
                r = dir_sync(k->dir_fd);
        if (r < 0)
                return r;
        return slot_prefer(k, slot);
}

int lkg_prefer_loaded(struct lkg *k)
{
        return slot_prefer(k, k->good);
}

/* ---------------------------------------------------------------- garbage */

static int names_add(struct map *names, struct arena *a, const struct manifest *m)
{
        for (size_t i = 0; i < m->n; i++) {
                char name[NAME_MAX_BYTES];
                blob_name(&m->entries[i].sha, m->entries[i].secret, name);
                char *copy = arena_strdup(a, name);
                if (!copy || map_put(names, span_str(copy), copy) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static void blobs_sweep(struct lkg *k, const struct map *names)
{
        int fd = openat(k->dir_fd, "blobs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        if (!d) {
                closep(&fd);
                return;
        }
        for (struct dirent *e; (e = readdir(d));)
                if (e->d_name[0] != '.' && !map_get(names, span_str(e->d_name)))
                        (void)unlinkat(k->blobs_fd, e->d_name, 0); /* garbage that stays is only garbage */
        closedir(d);
}

/* Drops blobs neither slot names.  A slot that cannot be read protects nothing: it could not be loaded either. */
static void blobs_collect(struct lkg *k)
{
        struct map names;
        struct arena a;
        map_init(&names);
        arena_init(&a, 64 * 1024, MANIFEST_FILE_MAX);
        int r = 0;
        for (int slot = 0; r == 0 && slot < 2; slot++) {
                struct manifest *m = NULL;
                int rs = slot_read(k, slot, &m, NULL);
                if (rs == 0)
                        r = names_add(&names, &a, m);
                else if (rs != -ENOENT && rs != -EBADMSG && rs != -EINVAL)
                        r = rs; /* it may be intact: remove nothing */
                manifest_put(m);
        }
        if (r == 0)
                blobs_sweep(k, &names);
        map_fini(&names);
        arena_fini(&a);
}

int lkg_save(struct lkg *k, const struct manifest *m, struct err *reterr)
{
        BUG_ON(!manifest_complete(m));
        int slot = 1 - k->good;
        if (k->locked) /* two saves more, and what the key will open again would be gone */
                return err_set(reterr, ENOKEY, k->dir, "is locked: what it holds is kept until the key is back");
        for (size_t i = 0; i < m->n; i++) {
                int r = blob_write(k, m->entries[i].blob);
                if (r < 0)
                        return err_set(reterr, -r, k->dir, "cannot write section %s: %s", m->entries[i].key,
                                       strerror(-r));
        }
        int r = dir_sync(k->blobs_fd);
        if (r == 0)
                r = slot_write(k, slot, m);
        if (r < 0)
                return err_set(reterr, -r, k->dir, "cannot write the manifest: %s", strerror(-r));
        k->good = slot;
        blobs_collect(k);
        return 0;
}

/* ---------------------------------------------------------------- owner */

int lkg_own(struct lkg *k, const char *role, const char *pool, const char *name, struct err *reterr)
{
        CLEANUP(freep) uint8_t *p = NULL;
        CLEANUP(buf_fini) struct buf us;
        size_t n = 0;
        buf_init(&us, OWNER_MAX_BYTES);
        buf_printf(&us, "role=%s pool=%s name=%s", role, pool, name);
        if (us.failed)
                return err_set(reterr, EINVAL, k->dir, "name and pool are too long");
        int r = file_read(k->dir_fd, "owner", OWNER_MAX_BYTES, &p, &n);
        if (r == 0 && span_eq(SPAN(p, n), buf_span(&us)))
                return 0;
        if (r == 0)
                return err_set(reterr, EPERM, k->dir, "the store of another data plane: %.*s; this is %.*s", (int)MIN(n, (size_t)80),
                               (const char *)p, (int)us.n, (const char *)us.p);
        if (r == -ENOENT)
                r = file_write(k->dir_fd, "owner", buf_span(&us));
        if (r < 0) /* read-only or damaged: what it holds may still be all we have */
                log_warn("lkg_owner_unknown", "dir=%s reason=%s action=use_it", LOG_ESC(k->dir), LOG_ESC(strerror(-r)));
        return 0;
}

/* ---------------------------------------------------------------- trials */

struct trial { /* DIR/trying: hash, count (32), first start in seconds (64), CRC-32C of these */
        struct sha256 hash;
        uint32_t count;
        uint64_t first_s;
};
#define TRIAL_BYTES (SHA256_BYTES + 4 + 8 + 4)

/* One that is absent or damaged is all zero. */
static struct trial trial_read(const struct lkg *k)
{
        CLEANUP(freep) uint8_t *p = NULL;
        struct trial t = {.count = 0};
        size_t n = 0;
        if (file_read(k->dir_fd, "trying", TRIAL_BYTES, &p, &n) < 0 || n != TRIAL_BYTES)
                return t;
        struct cursor c = cur_of(SPAN(p, n));
        struct span hash;
        uint32_t count, high, low, crc;
        if (cur_span(&c, SHA256_BYTES, &hash) && cur_u32_be(&c, &count) && cur_u32_be(&c, &high) &&
            cur_u32_be(&c, &low) && cur_u32_be(&c, &crc) && crc == crc32c(0, p, TRIAL_BYTES - 4)) {
                memcpy(t.hash.b, hash.p, SHA256_BYTES);
                t.count = count;
                t.first_s = (uint64_t)high << 32 | low;
        }
        return t;
}

static int trial_write(struct lkg *k, const struct trial *t)
{
        uint8_t b[TRIAL_BYTES];
        memcpy(b, t->hash.b, SHA256_BYTES);
        put_u32_be(b + SHA256_BYTES, t->count);
        put_u32_be(b + SHA256_BYTES + 4, (uint32_t)(t->first_s >> 32));
        put_u32_be(b + SHA256_BYTES + 8, (uint32_t)t->first_s);
        put_u32_be(b + TRIAL_BYTES - 4, crc32c(0, b, TRIAL_BYTES - 4));
        int r = file_write(k->dir_fd, "trying", SPAN(b, sizeof b));
        return r < 0 ? r : dir_sync(k->dir_fd);
}

bool lkg_trial_begin(struct lkg *k, const struct sha256 *hash, int64_t now_s)
{
        struct trial t = trial_read(k);
        uint64_t now = (uint64_t)MAX(now_s, (int64_t)0);
        bool same = t.count && memcmp(&t.hash, hash, sizeof t.hash) == 0 && now >= t.first_s &&
                    now - t.first_s <= LKG_CRASH_WINDOW_S;
        if (same && t.count >= LKG_CRASHES)
                return true;
        if (!same)
                t = (struct trial){.hash = *hash, .first_s = now};
        t.count++;
        int r = trial_write(k, &t);
        if (r < 0)
                log_warn("lkg_trial_not_noted", "dir=%s reason=%s action=%s", LOG_ESC(k->dir), LOG_ESC(strerror(-r)),
                         "serve_on");
        return false;
}

void lkg_trial_end(struct lkg *k)
{
        if (unlinkat(k->dir_fd, "trying", 0) == 0)
                (void)dir_sync(k->dir_fd); /* if it comes back, one start more is counted */
}

/* ---------------------------------------------------------------- open, close */

/* mkdir -p: parents as the umask says, the store itself 0700. */
static int dir_make(const char *dir)
{
        char path[PATH_MAX];
        size_t n = strlen(dir);
        if (n == 0 || n >= sizeof path)
                return -ENAMETOOLONG;
        memcpy(path, dir, n + 1);
        for (size_t i = 1; i < n; i++) {
                if (path[i] != '/')
                        continue;
                path[i] = 0;
                if (mkdir(path, 0755) < 0 && errno != EEXIST)
                        return -errno;
                path[i] = '/';
        }
        return mkdir(dir, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int lkg_open_dirs(struct lkg *k)
{
        k->dir_fd = open(k->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (k->dir_fd < 0)
                return -errno;
        if (mkdirat(k->dir_fd, "blobs", 0700) < 0 && errno != EEXIST)
                return -errno;
        k->blobs_fd = openat(k->dir_fd, "blobs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (k->blobs_fd < 0)
                return -errno;
        k->good = slot_current(k);
        return key_open(k);
}

int lkg_open(const char *dir, struct lkg **ret, struct err *reterr)
{
        int r = dir_make(dir);
        if (r < 0)
                return err_set(reterr, -r, dir, "cannot create: %s", strerror(-r));
        struct lkg *k = calloc(1, sizeof *k);
        if (!k)
                return err_set(reterr, ENOMEM, dir, "out of memory");
        k->dir_fd = k->blobs_fd = -1;
        k->dir = strdup(dir);
        r = k->dir ? lkg_open_dirs(k) : -ENOMEM;
        if (r < 0) {
                lkg_close(k);
                return err_set(reterr, -r, dir, "cannot open: %s", strerror(-r));
        }
        *ret = k;
        return 0;
}

void lkg_close(struct lkg *k)
{
        if (!k)
                return;
        closep(&k->dir_fd);
        closep(&k->blobs_fd);
        explicit_bzero(k->key, sizeof k->key);
        free(k->dir);
        free(k);
}
