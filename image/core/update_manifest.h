/* image/core/update_manifest.h - what an update is made of, and whether this box takes it.  Layer: image/core, pure.
 * The format is in image/README.md.  update_manifest_parse reads bytes whose signature has been verified already, and is
 * strict all the same: every byte has one meaning.  Thread rule: values. */
#pragma once
#include "image/core/version.h"
#include "lib/core/hash.h"

#define UPDATE_MANIFEST_MAX 4096
#define UPDATE_SIGNATURE_BYTES 64
#define UPDATE_SIGNATURES_MAX 4
#define UPDATE_UKI_MAX (UINT64_C(128) << 20)
#define UPDATE_ARCHITECTURE "x86-64"

enum update_file { UPDATE_ROOT, UPDATE_VERITY, UPDATE_UKI, UPDATE_FILE_N }; /* also the order of their installation */
extern const char *const update_file_names[UPDATE_FILE_N];                 /* "root", "verity", "uki": keys of the manifest */

struct update_manifest {
        struct version version, minimum;
        struct sha256 roothash;
        struct {
                uint64_t bytes;
                struct sha256 sha;
        } file[UPDATE_FILE_N];
};
int update_manifest_parse(struct span text, struct update_manifest *ret, struct err *reterr) NONNULL(2) MUST_USE;
/* "gatehouse_VERSION.root": the file's name in a bundle. */
#define UPDATE_NAME_MAX 64
const char *update_file_name(const struct update_manifest *m, enum update_file f, char buf[UPDATE_NAME_MAX]) NONNULL(1, 3);

/* What the box brings to the decision. */
struct update_site {
        struct version running, floor; /* floor: nothing older may be installed (rollback protection); n = 0: none */
        bool downgrade;                /* the operator asked for an older version */
        uint64_t room[UPDATE_FILE_N];  /* bytes of the idle root and verity partitions, bytes the ESP can give */
};
/* 0, or -errno with the reason: -EALREADY same version, -EPERM below the floor, -ESTALE older than the running one and not
 * asked for, -ENOSPC too big. */
int update_admit(const struct update_manifest *m, const struct update_site *s, struct err *reterr) NONNULL(1, 2) MUST_USE;
