/* image/io/disk.h - the disk we run from as one range of bytes: its partition table, and what is written to a slot.
 * Layer: image/io.  Thread rule: one thread.  A disk is a block device or a file (tests, images).
 * Partitions are written through the whole disk, at their offsets, so the order of all writes is the order of one
 * descriptor and disk_sync is a barrier for all of them. */
#pragma once
#include "image/core/gpt.h"
#include "lib/core/hash.h"

struct disk {
        int fd;
        uint32_t sector;
        uint64_t bytes;
        char path[64];
};
int disk_open(const char *path, bool writable, struct disk *ret, struct err *reterr) NONNULL(1, 3) MUST_USE;
void disk_close(struct disk *d) NONNULL(1);
int disk_write(const struct disk *d, uint64_t at, const void *p, size_t n, struct err *reterr) NONNULL(1, 3) MUST_USE;
int disk_sync(const struct disk *d, struct err *reterr) NONNULL(1) MUST_USE;
/* SHA-256 of what the medium holds: the page cache is dropped first, or passed by where the device allows it. */
int disk_hash(const struct disk *d, uint64_t at, uint64_t n, struct sha256 *ret, struct err *reterr)
        NONNULL(1, 4) MUST_USE;

/* Zeroes a range, by the device's own command where it has one. */
int disk_zero(const struct disk *d, uint64_t at, uint64_t n, struct err *reterr) NONNULL(1) MUST_USE;
/* The kernel forgets a partition that the table no longer has (1 = the first); on a file: nothing. */
int disk_forget_partition(const struct disk *d, unsigned number, struct err *reterr) NONNULL(1) MUST_USE;

/* The primary table, or the backup where the primary is damaged (then as if it were the primary: the next commit mends
 * it). */
int disk_gpt_read(const struct disk *d, struct gpt *ret, struct err *reterr) NONNULL(1, 2) MUST_USE;
/* Writes g, as read and then changed, so that a whole primary table is on the disk at every moment; then the backup. */
int disk_gpt_commit(const struct disk *d, struct gpt *g, struct err *reterr) NONNULL(1, 2) MUST_USE;
static inline uint64_t disk_partition_at(const struct gpt *g, const struct gpt_partition *p)
{
        return p->first * g->sector;
}
static inline uint64_t disk_partition_bytes(const struct gpt *g, const struct gpt_partition *p)
{
        return (p->last - p->first + 1) * g->sector;
}
