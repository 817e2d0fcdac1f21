/* image/io/store.h - configurations on the data partition.  Layer: image/io.  Thread rule: one process writes at a time.
 *
 *   /var/lib/gatehouse/config/17/gatehouse.cfg      without the secrets in it (image/core/config_blank.h)
 *                                sealed/             kubeconfig, manifests/X.yaml; gatehouse.cfg as it was given, when it has
 *                                                    secrets: each encrypted (lib/io/secretbox.h, image/io/keys.h)
 *                                origin                                             written whole, synced, never changed
 *                             current -> 17   previous -> 12   candidate -> 18    switched by rename, directory synced
 *
 * A configuration is put in force in steps, and a power cut after any of them leaves a good `current`:
 * the numbered directory; `previous` -> the old current; `current` -> the new one; `candidate` removed; the rest removed.
 * `candidate` is what runs unconfirmed: it does not survive a restart. */
#pragma once
#include "image/core/render.h"
#include "image/io/host.h"
#include "lib/core/hash.h"

/* S(id, name): where a configuration may come from, first that is there wins; APPLY is the operator. */
#define SOURCES(S) \
        S(SMBIOS, "smbios") S(SEED_DISK, "seed-disk") S(EC2, "ec2") S(GCE, "gce") S(ESP, "esp") S(CONSOLE, "console") S(APPLY, "apply")
enum source {
#define S(id, name) FROM_##id,
        SOURCES(S)
#undef S
                FROM_N
};
extern const char *const source_names[FROM_N];

enum store_slot { STORE_CURRENT, STORE_PREVIOUS, STORE_CANDIDATE, STORE_N };

/* One configuration in memory: what a source gives, and what the store keeps.  Everything lives in the arena. */
struct seed_copy {
        struct arena arena;
        struct span cfg; /* .n == 0: nothing there */
        struct seed seed;
        enum source source;
        bool locked; /* of the store, and its secrets cannot be read: no kubeconfig, no manifests, CONFIG_SEALED for secret settings */
        char seen[FROM_N][65]; /* digest of what each source gave last, "" = nothing: only what changed is taken again */
};
void seed_copy_init(struct seed_copy *s) NONNULL(1);
void seed_copy_fini(struct seed_copy *s) NONNULL(1); /* wipes */
/* SHA-256 over names, lengths and bytes of everything in it. */
void seed_copy_digest(const struct seed_copy *s, char ret[65]) NONNULL(1, 2);
bool seed_copy_is_manifest(const char *name) NONNULL(1); /* of a file in manifests/ */
/* Reads gatehouse.cfg, kubeconfig and manifests/ of a directory.  -ENOENT when it has no gatehouse.cfg. */
int seed_copy_read(const char *dir, struct seed_copy *ret, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
/* The same of a configuration's sealed/, under its key; the file too, when it is there. */
int seed_copy_sealed(const char *dir, const uint8_t *key, struct seed_copy *ret, struct err *reterr) NONNULL(1, 2, 3, 4) MUST_USE;
int seed_copy_beside(const char *dir, struct seed_copy *ret, struct err *reterr) NONNULL(1, 2, 3) MUST_USE; /* without the file */

/* -ENOENT: the slot is empty.  While the secrets are locked it gives what is not secret, and nothing can be stored (-ENOKEY). */
int store_load(const struct host *h, enum store_slot slot, struct seed_copy *ret, struct err *reterr) NONNULL(1, 3, 4) MUST_USE;
/* Writes a new numbered directory and points candidate at it. */
int store_propose(const struct host *h, const struct seed_copy *s, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
int store_commit(const struct host *h, struct err *reterr) NONNULL(1, 2) MUST_USE; /* candidate becomes current */
int store_withdraw(const struct host *h, struct err *reterr) NONNULL(1, 2) MUST_USE; /* no candidate: 0 */
bool store_has(const struct host *h, enum store_slot slot) NONNULL(1);
