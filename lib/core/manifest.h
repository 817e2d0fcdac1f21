/* lib/core/manifest.h - a manifest in memory: ordered, content-addressed sections under one hash.  Layer: lib/core, pure.
 * Thread rule: one thread.  Ownership: a manifest owns copies of keys; section bytes are refcounted blobs shared between
 * manifests (and with the model decoded from them).  Same sections, same hash, on every node. */
#pragma once
#include "lib/core/buf.h"
#include "lib/core/hash.h"

#define MANIFEST_MAX_KEY_BYTES 383               /* "gateway/" + 63 + "/" + 253, with room */
#define MANIFEST_MAX_BYTES ((size_t)512 << 20)   /* all sections together: bounds what one sender can make us hold */

struct blob { /* immutable bytes with a refcount (not atomic: control thread only) */
        unsigned refs;
        struct sha256 sha;
        size_t n;
        bool secret; /* wiped on free, stored encrypted */
        uint8_t p[];
};
struct blob *blob_new(struct span bytes, bool secret); /* copies; NULL out of memory */
/* For a receiver: zeroed bytes to fill through p, then blob_seal computes the hash. */
struct blob *blob_alloc(size_t n, bool secret);
void blob_seal(struct blob *b) NONNULL(1);
struct blob *blob_get(struct blob *b);
void blob_put(struct blob *b); /* NULL is legal */

struct manifest_entry {
        char *key; /* "gateway/ns/name", "clusters/ns", "endpoints/ns", "certs/ns", "keys/ns", "trust/ns", "policies", "l4" */
        struct sha256 sha;
        size_t len_bytes;
        bool secret;
        struct blob *blob; /* NULL until received */
};
struct manifest {
        unsigned refs;
        uint64_t generation;
        struct sha256 hash;
        struct manifest_entry *entries; /* sorted by key, keys unique */
        size_t n, cap;
        size_t total_bytes; /* sum of len_bytes */
        bool locked;        /* of a store whose key is not there: the secret sections are left out (lib/io/lkg.h) */
};
/* Building: start empty, add in any order, seal (sorts, hashes).  After seal it is immutable but for the blobs of a
 * manifest received by wire. */
struct manifest *manifest_new(uint64_t generation);
struct manifest *manifest_get(struct manifest *m);
void manifest_put(struct manifest *m);
int manifest_add(struct manifest *m, const char *key, struct span bytes, bool secret) NONNULL(1, 2) MUST_USE;
int manifest_add_blob(struct manifest *m, const char *key, struct blob *b) NONNULL(1, 2, 3) MUST_USE; /* takes a reference of its own */
int manifest_seal(struct manifest *m, struct err *reterr) NONNULL(1) MUST_USE; /* -EINVAL on a duplicate key */
/* From and to the wire form (control.proto Manifest).  From wire: entries without blobs; hash and order are verified.
 * -EINVAL: unsorted, bad key, duplicate, wrong hash; -E2BIG: over a limit. */
struct Control__Manifest;
int manifest_from_wire(const struct Control__Manifest *w, struct manifest **ret, struct err *reterr) NONNULL(1, 2) MUST_USE;
/* The packed control.Manifest: what a MANIFEST frame carries and what the last-known-good store keeps. */
int manifest_pack(const struct manifest *m, struct buf *out) NONNULL(1, 2) MUST_USE;
/* Appends one MANIFEST frame, or as many as it takes. */
int manifest_encode_frame(const struct manifest *m, uint32_t seq, struct buf *out) NONNULL(1, 3) MUST_USE;
/* One frame's part.  *io_partial is NULL before the first and afterwards what has come so far (the caller puts it when it
 * gives up).  1 = complete and verified, 0 = more is to come, < 0 = refused. */
int manifest_add_wire(struct manifest **io_partial, const struct Control__Manifest *w, struct err *reterr) NONNULL(1, 2) MUST_USE;
struct manifest_entry *manifest_find(const struct manifest *m, const char *key) NONNULL(1, 2);
bool manifest_complete(const struct manifest *m) NONNULL(1);
