/* image/core/gpt.h - GUID partition table: read, find a partition, change its unique GUID, write.  UEFI 2.10,
 * section 5.3. Layer: image/core, pure: sectors in, sectors out; image/io/disk.h does the reading and writing.
 *
 *   LBA 0 protective MBR | 1 header | 2 array | 2+N spare array | ... partitions ... | backup array | last LBA: backup
 * header
 *
 * A change writes the array to the place that the header does not name (2, or the spare one behind it) and then the
 * header, one sector: at every moment the primary table on disk is whole, the old or the new.  Firmware would mend a
 * torn primary table from the backup; Linux would not boot from it without `gpt` on its command line. Invariants of a
 * struct gpt: entry_bytes is 128, at most 128 entries, their CRC is of the array as it was read; labels are shown as
 * ASCII, other characters as '?'.  Thread rule: one thread. */
#pragma once
#include "lib/base.h"

#define GPT_SECTOR_MAX 4096
#define GPT_ENTRY_BYTES 128
#define GPT_ENTRIES_MAX 128
#define GPT_ARRAY_MAX (GPT_ENTRY_BYTES * GPT_ENTRIES_MAX)
#define GPT_LABEL_MAX 37 /* 36 characters and NUL */
#define GPT_UUID_STR_MAX 37

struct gpt_uuid { /* in the order people write it, not the disk's mixed endian */
        uint8_t b[16];
};
struct gpt {
        uint32_t sector;    /* bytes: 512 or 4096 */
        uint64_t sectors;   /* of the disk */
        uint64_t at, other; /* LBA of this header and of the other one */
        uint64_t first_usable, last_usable;
        uint64_t array_lba;
        uint32_t n_entries;
        uint32_t array_crc; /* as the header says */
        struct gpt_uuid disk;
        uint8_t array[GPT_ARRAY_MAX];
};
struct gpt_partition {
        unsigned index;
        uint64_t first, last; /* LBA, both included */
        struct gpt_uuid type, uuid;
        char label[GPT_LABEL_MAX];
};

/* Reads and checks the header at LBA `at`; the array is to be read next: gpt_array_bytes at array_lba. */
int gpt_header_parse(struct span sector, uint64_t at, uint64_t disk_sectors, struct gpt *ret, struct err *reterr)
        NONNULL(4) MUST_USE;
size_t gpt_array_bytes(const struct gpt *g) NONNULL(1);
uint64_t gpt_array_sectors(const struct gpt *g) NONNULL(1);
/* Checks the array's CRC and that partitions lie inside the usable range and apart from each other; copies it. */
int gpt_array_parse(struct gpt *g, struct span array, struct err *reterr) NONNULL(1) MUST_USE;

bool gpt_next(const struct gpt *g, unsigned *index, struct gpt_partition *ret)
        NONNULL(1, 2, 3); /* from *index; used ones only */
/* The only partition with that label; -ENOENT, -ENOTUNIQ. */
int gpt_find(const struct gpt *g, const char *label, struct gpt_partition *ret, struct err *reterr)
        NONNULL(1, 2, 3) MUST_USE;
void gpt_set_uuid(struct gpt *g, unsigned index, const struct gpt_uuid *uuid) NONNULL(1, 3);
/* label: at most 36 ASCII characters. */
void gpt_set_label(struct gpt *g, unsigned index, const char *label) NONNULL(1, 3);
void gpt_delete(struct gpt *g, unsigned index) NONNULL(1);
/* Moves the array to the place not in use.  -ENOSPC when the first partition begins before the spare place ends. */
int gpt_array_move(struct gpt *g, struct err *reterr) NONNULL(1) MUST_USE;
/* The same table as the other header has it: at and other change places, the array goes to array_lba. */
void gpt_flip(struct gpt *g, uint64_t array_lba) NONNULL(1);
/* Where the array of the backup header lies by default: right before it. */
uint64_t gpt_backup_array_lba(const struct gpt *primary) NONNULL(1);
/* One sector (g->sector bytes) with the header of g as it is now, both CRCs computed. */
void gpt_header_write(struct gpt *g, uint8_t *sector) NONNULL(1, 2);

uint32_t gpt_crc32(const void *p, size_t n); /* ISO 3309, as zlib's */
const char *gpt_uuid_str(const struct gpt_uuid *u, char buf[GPT_UUID_STR_MAX]) NONNULL(1, 2);
/* Partition GUIDs of a verity slot: the two halves of the root hash (systemd-veritysetup-generator(8), roothash=). */
void gpt_uuids_of_roothash(const uint8_t roothash[32], struct gpt_uuid *root, struct gpt_uuid *verity) NONNULL(1, 2, 3);
