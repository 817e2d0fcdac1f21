/* lib/io/lkg.h - the last-known-good store: a data plane boots and serves from it with no agent.  Layer: lib/io.
 *   DIR/blobs/<sha256>       section bytes
 *   DIR/blobs/<sha256>.enc   secret section, encrypted (lib/io/secretbox.h), about its hash
 *   DIR/host.key             the key for them: 32 random bytes, 0600, made once; not where systemd hands one over as the
 *                            credential host.key ($CREDENTIALS_DIRECTORY/host.key)
 *   DIR/owner                role, pool and name of the data plane whose store this is
 *   DIR/trying               hash, count and first time of starts from one manifest that did not live: lkg_trial_begin
 *   DIR/manifest.a, DIR/manifest.b   manifest (wire form) + trailer SHA-256; DIR/current -> a|b
 * Everything read is verified by hash; a damaged blob is removed, so that the next save writes it again.
 * A credential of any other length means: whoever keeps the key cannot get at it.  The store is locked then: lkg_load gives the
 * manifest without its secret sections (manifest->locked), and lkg_save refuses (-ENOKEY), so that nothing is lost.
 * Every write: temporary file, fsync, rename, fsync of the directory.  A damaged current falls back to the other one.
 * Thread rule: control thread.  Nothing here is fatal: a store that cannot be written is logged and serving goes on. */
#pragma once
#include "lib/core/manifest.h"

struct lkg;
int lkg_open(const char *dir, struct lkg **ret, struct err *reterr) MUST_USE; /* creates dir 0700 */
void lkg_close(struct lkg *k);
/* Stores m as current and drops blobs that neither a nor b names. */
int lkg_save(struct lkg *k, const struct manifest *m, struct err *reterr) NONNULL(1, 2) MUST_USE;
/* The newest intact manifest with all its blobs; -ENOENT when there is none. */
int lkg_load(struct lkg *k, struct manifest **ret, struct err *reterr) NONNULL(1, 2) MUST_USE;
/* The same for the slot that lkg_load did not take: when what it loaded turns out unusable. */
int lkg_load_previous(struct lkg *k, struct manifest **ret, struct err *reterr) NONNULL(1, 2) MUST_USE;
/* A single stored blob (to answer MANIFEST without NEEDing it); NULL when absent or damaged. */
struct blob *lkg_blob(struct lkg *k, const struct sha256 *sha, bool secret) NONNULL(1, 2);

/* Whose store it is: -EPERM with a message when another data plane's, which must then neither be loaded nor written.  A
 * store without an owner becomes ours. */
int lkg_own(struct lkg *k, const char *role, const char *pool, const char *name, struct err *reterr) NONNULL(1, 2, 3, 4) MUST_USE;
/* Crash loops.  A start from the store begins a trial of its manifest and ends it when the process has lived; a trial
 * that never ends is a crash.  true: LKG_CRASHES trials of this manifest began within LKG_CRASH_WINDOW_S and none ended,
 * so do not serve it again (no trial begins). */
#define LKG_CRASHES 3
#define LKG_CRASH_WINDOW_S 60
bool lkg_trial_begin(struct lkg *k, const struct sha256 *hash, int64_t now_s) NONNULL(1, 2) MUST_USE;
void lkg_trial_end(struct lkg *k) NONNULL(1);
/* Makes the slot that was loaded last the one that lkg_load tries first. */
int lkg_prefer_loaded(struct lkg *k) NONNULL(1) MUST_USE;
