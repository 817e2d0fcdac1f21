/* image/io/esp.h - boot entries on the EFI system partition, as files (vfat, mounted): list, write, rename, remove.
 * Layer: image/io.  Thread rule: one thread.
 * FAT has no journal.  What is relied on: a file that was written and flushed under a temporary name is whole, and a
 * rename changes one directory; after each change the directory and the file system are flushed, so steps reach the
 * disk in order. */
#pragma once
#include "image/core/boot_entry.h"
#include "lib/core/hash.h"

#define ESP_ENTRIES_MAX 16
struct esp {
        int dir;        /* EFI/Linux */
        char path[192]; /* of it */
};
struct esp_entries {
        struct boot_entry v[ESP_ENTRIES_MAX]; /* in systemd-boot's order */
        size_t n;
};
int esp_open(const char *mount, struct esp *ret, struct err *reterr) NONNULL(1, 2) MUST_USE;
void esp_close(struct esp *e) NONNULL(1);
int esp_list(const struct esp *e, struct esp_entries *ret, struct err *reterr) NONNULL(1, 2) MUST_USE;
const struct boot_entry *esp_find(const struct esp_entries *l, const struct version *v) NONNULL(1, 2); /* NULL: none */
/* Bytes that fit once every entry but that of `keep` is gone. */
int esp_room(const struct esp *e, const struct version *keep, uint64_t *ret, struct err *reterr)
        NONNULL(1, 2, 3) MUST_USE;
int esp_remove(const struct esp *e, const struct boot_entry *b, struct err *reterr) NONNULL(1, 2) MUST_USE;
int esp_rename(const struct esp *e, const struct boot_entry *from, const struct boot_entry *to, struct err *reterr)
        NONNULL(1, 2, 3) MUST_USE;

/* A new entry: esp_create, esp_append..., esp_commit reads it back, compares, and renames; until then it boots nobody.
 */
struct esp_file {
        int fd; /* -1 = closed */
        char name[BOOT_ENTRY_NAME_MAX + 8];
};
int esp_create(const struct esp *e, const struct boot_entry *b, struct esp_file *ret, struct err *reterr)
        NONNULL(1, 2, 3) MUST_USE;
int esp_append(const struct esp_file *f, const void *p, size_t n, struct err *reterr) NONNULL(1, 2) MUST_USE;
int esp_commit(const struct esp *e, struct esp_file *f, const struct boot_entry *b, uint64_t bytes,
               const struct sha256 *sha, struct err *reterr) NONNULL(1, 2, 3, 5) MUST_USE;
void esp_abandon(const struct esp *e, struct esp_file *f) NONNULL(1, 2); /* no-op when closed */
