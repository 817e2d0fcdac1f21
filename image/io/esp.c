/* image/io/esp.c - see esp.h. */
#include "lib/base.h"
#include "image/io/esp.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CHUNK_BYTES (256u * 1024)
#define SLACK_BYTES (UINT64_C(1) << 20) /* clusters, directory, what others write meanwhile */
static const char temporary[] = ".tmp"; /* no .efi at the end: systemd-boot does not see it */

static int fail(const struct esp *e, struct err *err, const char *what, const char *name)
{
        int code = errno;
        return err_set(err, code, e->path, "%s %s: %s", what, name, strerror(code));
}

int esp_open(const char *mount, struct esp *ret, struct err *reterr)
{
        struct esp e = {.dir = -1};
        if (snprintf(e.path, sizeof e.path, "%s/EFI/Linux", mount) >= (int)sizeof e.path)
                return err_set(reterr, ENAMETOOLONG, mount, "the path is too long");
        e.dir = open(e.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (e.dir < 0)
                return fail(&e, reterr, "cannot open", "it");
        *ret = e;
        return 0;
}

void esp_close(struct esp *e)
{
        if (e->dir >= 0)
                close(e->dir);
        e->dir = -1;
}

static DIR *entries_open(const struct esp *e, struct err *reterr)
{
        int fd = openat(e->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        if (!d) {
                (void)fail(e, reterr, "cannot read", "it");
                if (fd >= 0)
                        close(fd);
        }
        return d;
}

static int by_boot_order(const void *a, const void *b)
{
        return boot_entry_cmp(a, b);
}

int esp_list(const struct esp *e, struct esp_entries *ret, struct err *reterr)
{
        DIR *d = entries_open(e, reterr);
        if (!d)
                return -EIO;
        ret->n = 0;
        int r = 0;
        for (const struct dirent *f; r == 0 && (f = readdir(d));) {
                struct boot_entry b;
                if (!boot_entry_parse(span_str(f->d_name), &b))
                        continue; /* somebody else's: left alone */
                if (ret->n == ESP_ENTRIES_MAX)
                        r = err_set(reterr, E2BIG, e->path, "more than %d entries of ours", ESP_ENTRIES_MAX);
                else
                        ret->v[ret->n++] = b;
        }
        closedir(d);
        if (r == 0)
                qsort(ret->v, ret->n, sizeof ret->v[0], by_boot_order);
        return r;
}

const struct boot_entry *esp_find(const struct esp_entries *l, const struct version *v)
{
        for (size_t i = 0; i < l->n; i++)
                if (version_cmp(&l->v[i].version, v) == 0)
                        return &l->v[i];
        return NULL;
}

int esp_room(const struct esp *e, const struct version *keep, uint64_t *ret, struct err *reterr)
{
        struct esp_entries l;
        struct statvfs vfs;
        struct stat st;
        char name[BOOT_ENTRY_NAME_MAX];
        int r = esp_list(e, &l, reterr);
        if (r < 0)
                return r;
        if (fstatvfs(e->dir, &vfs) < 0)
                return fail(e, reterr, "cannot look at", "its file system");
        uint64_t room = (uint64_t)vfs.f_bavail * vfs.f_frsize;
        for (size_t i = 0; i < l.n; i++)
                if (version_cmp(&l.v[i].version, keep) != 0 &&
                    fstatat(e->dir, boot_entry_name(&l.v[i], name), &st, 0) == 0)
                        room += (uint64_t)st.st_size;
        *ret = room > SLACK_BYTES ? room - SLACK_BYTES : 0;
        return 0;
}

/* Directory first, then everything of that file system: vfat keeps its allocation table apart from both. */
static int flush(const struct esp *e, struct err *reterr)
{
        return fsync(e->dir) < 0 || syncfs(e->dir) < 0 ? fail(e, reterr, "cannot flush", "it") : 0;
}

int esp_remove(const struct esp *e, const struct boot_entry *b, struct err *reterr)
{
        char name[BOOT_ENTRY_NAME_MAX];
        boot_entry_name(b, name);
        if (unlinkat(e->dir, name, 0) < 0)
                return fail(e, reterr, "cannot remove", name);
        return flush(e, reterr);
}

int esp_rename(const struct esp *e, const struct boot_entry *from, const struct boot_entry *to, struct err *reterr)
{
        char a[BOOT_ENTRY_NAME_MAX], b[BOOT_ENTRY_NAME_MAX];
        if (renameat(e->dir, boot_entry_name(from, a), e->dir, boot_entry_name(to, b)) < 0)
                return fail(e, reterr, "cannot rename", a);
        return flush(e, reterr);
}

int esp_create(const struct esp *e, const struct boot_entry *b, struct esp_file *ret, struct err *reterr)
{
        struct esp_file f = {.fd = -1};
        char name[BOOT_ENTRY_NAME_MAX];
        snprintf(f.name, sizeof f.name, "%s%s", boot_entry_name(b, name), temporary);
        f.fd = openat(e->dir, f.name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (f.fd < 0)
                return fail(e, reterr, "cannot create", f.name);
        *ret = f;
        return 0;
}

int esp_append(const struct esp_file *f, const void *p, size_t n, struct err *reterr)
{
        const uint8_t *b = p;
        while (n) {
                ssize_t w = write(f->fd, b, n);
                if (w < 0 && errno == EINTR)
                        continue;
                if (w < 0)
                        return err_set(reterr, errno, f->name, "cannot write: %s", strerror(errno));
                b += w;
                n -= (size_t)w;
        }
        return 0;
}

static int hash_file(const struct esp_file *f, uint64_t *ret_bytes, struct sha256 *ret, struct err *reterr)
{
        CLEANUP(freep) uint8_t *p = malloc(CHUNK_BYTES);
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        uint64_t n = 0;
        ssize_t got = -1;
        if (!p || !md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
                goto out;
        while ((got = pread(f->fd, p, CHUNK_BYTES, (off_t)n)) > 0) {
                n += (uint64_t)got;
                if (EVP_DigestUpdate(md, p, (size_t)got) != 1) {
                        got = -1;
                        break;
                }
        }
        if (got == 0 && EVP_DigestFinal_ex(md, ret->b, NULL) != 1)
                got = -1;
out:
        EVP_MD_CTX_free(md);
        *ret_bytes = n;
        return got == 0 ? 0 : err_set(reterr, EIO, f->name, "cannot be read back");
}

int esp_commit(const struct esp *e, struct esp_file *f, const struct boot_entry *b, uint64_t bytes,
               const struct sha256 *sha, struct err *reterr)
{
        struct sha256 got;
        uint64_t n;
        char name[BOOT_ENTRY_NAME_MAX];
        if (fsync(f->fd) < 0)
                return fail(e, reterr, "cannot flush", f->name);
        (void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED); /* so that the medium is read, not the cache */
        int r = hash_file(f, &n, &got, reterr);
        if (r < 0)
                return r;
        if (n != bytes || memcmp(got.b, sha->b, sizeof got.b) != 0)
                return err_set(reterr, EIO, f->name, "reads back as something else than was written");
        r = flush(e, reterr);
        if (r < 0)
                return r;
        if (renameat(e->dir, f->name, e->dir, boot_entry_name(b, name)) < 0)
                return fail(e, reterr, "cannot rename", f->name);
        close(f->fd);
        f->fd = -1;
        return flush(e, reterr);
}

void esp_abandon(const struct esp *e, struct esp_file *f)
{
        if (f->fd < 0)
                return;
        close(f->fd);
        f->fd = -1;
        (void)unlinkat(e->dir, f->name, 0); /* best effort: it boots nobody, and the next update truncates it */
}
