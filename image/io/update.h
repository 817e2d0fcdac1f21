/* image/io/update.h - installs an update into the idle slot.  Layer: image/io.  Thread rule: one thread, blocking; one
 * update at a time (a lock on the disk's descriptor).
 *
 *  1 manifest and signature: verified, then read, then admitted      nothing has been written so far
 *  2 boot entries of the idle slot removed                           from here the running slot is the only one
 *  3 root, verity: streamed, hashed, flushed, read back, compared
 *  4 partition GUIDs = halves of the root hash
 *  5 UKI: temporary name, flushed, read back, renamed to VERSION+2   from here the new slot boots next
 *
 * A cut between any two writes leaves a disk whose first boot entry is whole (tests/unit/image/update_cut_test.c). */
#pragma once
#include "image/core/update_manifest.h"
#include "image/io/disk.h"
#include "image/io/esp.h"

#define UPDATE_KEY_DIRS 2
/* S(ID, word): what an update is doing, for people and for /run/gatehouse/update. */
#define UPDATE_STEPS(S)                                                                                                \
        S(FETCH, "manifest")                                                                                           \
        S(ROOT, "root") S(VERITY, "verity") S(VERIFY, "read back") S(UKI, "boot entry") S(DONE, "done")
enum update_step {
#define S(id, word) UPDATE_STEP_##id,
        UPDATE_STEPS(S)
#undef S
                UPDATE_STEP_N
};
const char *update_step_str(enum update_step s);

struct update_job {
        const char *source;                    /* bundle.h */
        const char *disk, *esp;                /* device or file; where the ESP is mounted */
        const char *key_dirs[UPDATE_KEY_DIRS]; /* NULL = none */
        struct version running, floor;         /* update_site */
        struct sha256 roothash;                /* of what runs */
        bool downgrade;
        void (*progress)(void *arg, enum update_step s, uint64_t done, uint64_t total); /* may be NULL */
        void *arg;
};
/* What runs: the slot whose partitions carry the root hash.  ret[0] root, ret[1] verity; which: 'a' or 'b'. */
struct slot {
        char which;
        struct gpt_partition root, verity;
};
int slot_running(const struct gpt *g, const struct sha256 *roothash, struct slot *ret, struct err *reterr)
        NONNULL(1, 2, 3) MUST_USE;
int slot_of(const struct gpt *g, char which, struct slot *ret, struct err *reterr) NONNULL(1, 3) MUST_USE;

#define UPDATE_KEYS_OF_IMAGE "/usr/lib/gatehouse/update-keys"
#define UPDATE_KEYS_OF_CONFIG "/etc/gatehouse/update-keys" /* gatehouse.cfg may name more */
/* What a source offers, its signature verified; nothing is written. */
int update_look(const char *source, const char *const key_dirs[UPDATE_KEY_DIRS], struct update_manifest *ret, struct err *reterr) NONNULL(1, 2, 3, 4) MUST_USE;
int update_install(const struct update_job *j, struct update_manifest *ret, struct err *reterr) NONNULL(1, 2) MUST_USE;
/* The other slot boots next, twice at most, then this one again.  -ENOENT when there is no other that was proved good.
 */
int update_rollback(const char *esp, const struct version *running, struct version *ret_to, struct err *reterr)
        NONNULL(1, 2, 3) MUST_USE;
