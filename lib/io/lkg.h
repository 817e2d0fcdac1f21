/* lib/io/lkg.h - the last-known-good store: a data plane boots and serves from it with no agent.  Layer: lib/io.
 *   DIR/blobs/<sha256>   section bytes; secret ones are AES-256-GCM under the host key (DIR/host.key, 0600, made once)
 *   DIR/manifest.a, DIR/manifest.b   manifest (wire form) + trailer SHA-256; DIR/current -> a|b
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
/* A single stored blob (to answer MANIFEST without NEEDing it); NULL when absent or damaged. */
struct blob *lkg_blob(struct lkg *k, const struct sha256 *sha, bool secret) NONNULL(1, 2);
