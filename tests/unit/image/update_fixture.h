/* tests/unit/image/update_fixture.h - a box to update: a disk file with the layout of README.md (small), an ESP
 * directory, keys, bundles of any version with contents made from the version.  Version 0.1.0 runs from slot a.  Layer:
 * tests. */
#pragma once
#include "lib/base.h"

#include "image/io/update.h"
#include "lib/core/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define BOX_VERITY_BYTES 20000u
#define BOX_UKI_BYTES 30000u

extern uint32_t box_root_bytes; /* small; BOX_ROOT_LARGE is one and a half chunks */
#define BOX_ROOT_SMALL 90000u
#define BOX_ROOT_LARGE (3u << 19)

struct box {
        char dir[64], disk[96], esp[96], keys[96], bundle[96], file[96]; /* file: the archive */
        struct update_job job;                                           /* ready but for progress */
};
void box_make(struct box *b);
void box_free(struct box *b);
/* The bundle of a version in b->bundle, signed with key 1 (installed) or 2 (not). */
void box_bundle(const struct box *b, const char *version, const char *minimum, int key);
void box_archive(const struct box *b, const char *version); /* b->bundle as b->file */
void box_entry(const struct box *b, const char *version,
               const char *name); /* a whole UKI of that version under a name */
/* What the firmware would do now: the version that systemd-boot takes first.  Fails the test unless its UKI is whole
 * and both partitions of its root hash are there, by a whole primary table, with their contents. */
const char *box_boots(const struct box *b, const char *when);
bool box_bootable(const struct box *b, const char *version);   /* its entry and slot are whole */
void box_entries_whole(const struct box *b, const char *when); /* every entry that systemd-boot might try could boot */
void box_write(const char *path, const void *p, size_t n);
void box_content(const char *version, enum update_file f, struct buf *ret); /* the caller's: buf_fini */
void gpt_entry_put(struct gpt *g, unsigned i, uint8_t seed, uint32_t first, uint32_t last, const char *label);
