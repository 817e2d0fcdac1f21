/* image/io/disk.c - see disk.h. */
#include "lib/base.h"
#include "image/io/disk.h"

#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <openssl/evp.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES (1u << 20)
#define ALIGN 4096u

static int fail(const struct disk *d, struct err *e, const char *what)
{
        int code = errno;
        return err_set(e, code, d->path, "%s: %s", what, strerror(code));
}

int disk_open(const char *path, bool writable, struct disk *ret, struct err *reterr)
{
        struct disk d = {.fd = -1, .sector = 512};
        struct stat st;
        int sector = 0;
        snprintf(d.path, sizeof d.path, "%s", path);
        d.fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
        if (d.fd < 0)
                return fail(&d, reterr, "cannot open");
        int r = 0;
        if (fstat(d.fd, &st) < 0) {
                r = fail(&d, reterr, "cannot look at it");
        } else if (S_ISBLK(st.st_mode)) {
                if (ioctl(d.fd, BLKGETSIZE64, &d.bytes) < 0 || ioctl(d.fd, BLKSSZGET, &sector) < 0)
                        r = fail(&d, reterr, "cannot ask for its size");
                else
                        d.sector = (uint32_t)sector;
        } else {
                d.bytes = (uint64_t)st.st_size;
        }
        if (r == 0 && (d.bytes < 64 * GPT_SECTOR_MAX || (d.sector != 512 && d.sector != GPT_SECTOR_MAX)))
                r = err_set(reterr, ENODEV, path,
                            "no disk of ours: %u bytes per sector, too small or of an unknown kind",
                            (unsigned)d.sector);
        if (r < 0) {
                disk_close(&d);
                return r;
        }
        *ret = d;
        return 0;
}

void disk_close(struct disk *d)
{
        if (d->fd >= 0)
                close(d->fd);
        d->fd = -1;
}

int disk_write(const struct disk *d, uint64_t at, const void *p, size_t n, struct err *reterr)
{
        const uint8_t *b = p;
        if (at > d->bytes || n > d->bytes - at)
                return err_set(reterr, ENOSPC, d->path, "a write would reach beyond its end");
        while (n) {
                ssize_t w = pwrite(d->fd, b, n, (off_t)at);
                if (w < 0 && errno == EINTR)
                        continue;
                if (w <= 0) {
                        errno = w == 0 ? EIO : errno;
                        return fail(d, reterr, "cannot write");
                }
                b += w;
                at += (uint64_t)w;
                n -= (size_t)w;
        }
        return 0;
}

int disk_sync(const struct disk *d, struct err *reterr)
{
        return fdatasync(d->fd) < 0 ? fail(d, reterr, "cannot flush") : 0;
}

static int read_all(const struct disk *d, int fd, uint64_t at, uint8_t *p, size_t n, struct err *reterr)
{
        while (n) {
                ssize_t r = pread(fd, p, n, (off_t)at);
                if (r < 0 && errno == EINTR)
                        continue;
                if (r <= 0) {
                        errno = r == 0 ? EIO : errno;
                        return fail(d, reterr, "cannot read");
                }
                p += r;
                at += (uint64_t)r;
                n -= (size_t)r;
        }
        return 0;
}

int disk_hash(const struct disk *d, uint64_t at, uint64_t n, struct sha256 *ret, struct err *reterr)
{
        /* O_DIRECT wants whole sectors: the last read is rounded up (partitions are) and hashed as far as it counts. */
        int fd = open(d->path, O_RDONLY | O_CLOEXEC | O_DIRECT);
        if (fd < 0) {
                (void)posix_fadvise(d->fd, (off_t)at, (off_t)n,
                                    POSIX_FADV_DONTNEED); /* synced before: clean pages go */
                fd = d->fd;
        }
        uint8_t *p = aligned_alloc(ALIGN, READ_BYTES);
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        int r = p && md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1
                        ? 0
                        : err_set(reterr, ENOMEM, d->path, "out of memory");
        for (uint64_t done = 0; r == 0 && done < n;) {
                size_t count = (size_t)MIN(n - done, (uint64_t)READ_BYTES), whole = (count + ALIGN - 1) / ALIGN * ALIGN;
                whole = (size_t)MIN((uint64_t)whole, d->bytes - (at + done));
                r = read_all(d, fd, at + done, p, whole, reterr);
                if (r == 0 && EVP_DigestUpdate(md, p, count) != 1)
                        r = err_set(reterr, EIO, d->path, "cannot hash");
                done += count;
        }
        if (r == 0 && EVP_DigestFinal_ex(md, ret->b, NULL) != 1)
                r = err_set(reterr, EIO, d->path, "cannot hash");
        EVP_MD_CTX_free(md);
        free(p);
        if (fd != d->fd)
                close(fd);
        return r;
}

int disk_zero(const struct disk *d, uint64_t at, uint64_t n, struct err *reterr)
{
        static const uint8_t zero[64 * 1024];
        uint64_t range[2] = {at, n};
        if (at > d->bytes || n > d->bytes - at)
                return err_set(reterr, ENOSPC, d->path, "the range reaches beyond its end");
        if (ioctl(d->fd, BLKZEROOUT, range) == 0)
                return 0;
        for (uint64_t done = 0; done < n; done += MIN(n - done, (uint64_t)sizeof zero)) {
                int r = disk_write(d, at + done, zero, (size_t)MIN(n - done, (uint64_t)sizeof zero), reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

int disk_forget_partition(const struct disk *d, unsigned number, struct err *reterr)
{
        struct blkpg_partition p = {.pno = (int)number};
        struct blkpg_ioctl_arg arg = {.op = BLKPG_DEL_PARTITION, .datalen = sizeof p, .data = &p};
        if (ioctl(d->fd, BLKPG, &arg) == 0 || errno == ENXIO || errno == ENOTTY)
                return 0; /* the kernel does not have it; or no block device at all */
        return fail(d, reterr, "cannot forget the partition");
}

/* ---------------------------------------------------------------- partition table */

static int table_read(const struct disk *d, uint64_t at, struct gpt *ret, struct err *reterr)
{
        uint8_t sector[GPT_SECTOR_MAX], array[GPT_ARRAY_MAX];
        int r = read_all(d, d->fd, at * d->sector, sector, d->sector, reterr);
        if (r == 0)
                r = gpt_header_parse(SPAN(sector, d->sector), at, d->bytes / d->sector, ret, reterr);
        if (r == 0)
                r = read_all(d, d->fd, ret->array_lba * d->sector, array, gpt_array_bytes(ret), reterr);
        return r < 0 ? r : gpt_array_parse(ret, SPAN(array, gpt_array_bytes(ret)), reterr);
}

int disk_gpt_read(const struct disk *d, struct gpt *ret, struct err *reterr)
{
        struct err first;
        int r = table_read(d, 1, ret, &first);
        if (r == 0)
                return 0;
        if (table_read(d, d->bytes / d->sector - 1, ret, NULL) < 0 || ret->other != 1) {
                if (reterr)
                        *reterr = first;
                return r;
        }
        gpt_flip(ret, 2);
        return 0;
}

/* The array, a barrier, then the one sector that makes it count. */
static int table_write(const struct disk *d, struct gpt *g, struct err *reterr)
{
        uint8_t sector[GPT_SECTOR_MAX];
        uint8_t array[GPT_ARRAY_MAX] = {0};
        memcpy(array, g->array, gpt_array_bytes(g));
        gpt_header_write(g, sector);
        int r = disk_write(d, g->array_lba * g->sector, array, (size_t)(gpt_array_sectors(g) * g->sector), reterr);
        if (r == 0)
                r = disk_sync(d, reterr);
        if (r == 0)
                r = disk_write(d, g->at * g->sector, sector, g->sector, reterr);
        return r == 0 ? disk_sync(d, reterr) : r;
}

int disk_gpt_commit(const struct disk *d, struct gpt *g, struct err *reterr)
{
        int r = gpt_array_move(g, reterr);
        if (r == 0)
                r = table_write(d, g, reterr);
        if (r < 0)
                return r;
        struct gpt backup = *g;
        gpt_flip(&backup, gpt_backup_array_lba(g));
        return table_write(d, &backup, reterr);
}
