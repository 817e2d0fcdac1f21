/* image/io/source.h - where a gatehouse.cfg comes from.  Layer: image/io.  Thread rule: one thread.
 * Everything here was written by somebody else: sizes are bounded, disks are mounted read-only without devices, programs or
 * set-user-id, answers of a metadata service are bounded in bytes and time. */
#pragma once
#include "image/io/store.h"

/* SMBIOS credential, seed disk, ESP, in this order: the first that is there.  -ENOENT when none is; another error names
 * the source that is there and cannot be read.  *ret is initialised by the caller. */
int source_local(const struct host *h, struct seed_copy *ret, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
/* EC2 by IMDSv2, then GCE.  base: "http://169.254.169.254", another one in tests.  -ENOENT: there is a service, and it has
 * no gatehouse.cfg; -EHOSTUNREACH: no service answers. */
int source_metadata(const char *base, struct seed_copy *ret, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
/* Does user data begin like ours? */
bool source_is_ours(struct span text);
/* The block device under /dev with this volume label (of FAT or ISO 9660, any case): its path to ret, and its file system. */
int source_find_volume(const struct host *h, const char *label, char ret[HOST_PATH_MAX], const char **ret_fs) NONNULL(1, 2, 3, 4) MUST_USE;
