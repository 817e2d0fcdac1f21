/* image/io/boot_site.h - what runs here: the image's release, the slot, its boot entry, the disk; and what the other
 * slot holds. Layer: image/io.  Thread rule: one thread. */
#pragma once
#include "image/io/host.h"
#include "image/io/update.h"
#include "lib/core/json.h"

struct boot_site {
        struct version version, minimum; /* release: VERSION=, MINIMUM_VERSION= */
        char commit[64], channel[32], profile[16];
        struct sha256 roothash; /* of the kernel's command line */
        char fault[32];         /* gatehouse.fault= of a test image, else "" */
        char disk[64];          /* "/dev/vda": where the root file system comes from */
        char esp[HOST_PATH_MAX];
};
/* Release and command line.  What has no root hash (a tree, a container) is no appliance: -ENOENT. */
int boot_site_read(const struct host *h, struct boot_site *ret, struct err *reterr) NONNULL(1, 2) MUST_USE;
/* The disk below the verity device, by sysfs: exact even where two disks hold the same image. */
int boot_site_disk(const struct host *h, struct boot_site *s, struct err *reterr) NONNULL(1, 2) MUST_USE;

/* The release only, for status pages: fields that are unknown stay empty. */
void boot_release_read(const struct host *h, struct boot_site *ret) NONNULL(1, 2);
/* Writes keys into an open object: version, minimum, commit, channel, profile, slot, entry, tries_left, other, update, automatic_update,
 * last_rollback, health.  What cannot be found out is null. */
void boot_site_status(const struct host *h, struct json *j) NONNULL(1, 2);
