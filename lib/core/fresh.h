/* lib/core/fresh.h - endpoint sets that came by the fast path (ENDPOINTS) and are newer than the manifest's.
 * Layer: lib/core, pure.  Thread rule: one thread.  Ownership: keeps copies.  Bounded in bytes.
 * A set belongs to the session (connection to an agent) it came in: versions of two agents do not compare, so a manifest of a
 * later session wins over everything older. */
#pragma once
#include "lib/core/model.h"

#define FRESH_MAX_BYTES (64u * 1024 * 1024) /* packed size of all sets together */

struct fresh;
struct fresh *fresh_new(void);
void fresh_free(struct fresh *f);
/* Keeps a copy in place of what is there for this id.  0, -ENOMEM, or -E2BIG at the limit. */
int fresh_put(struct fresh *f, const Model__EndpointSet *set, uint64_t session) NONNULL(1, 2) MUST_USE;
const Model__EndpointSet *fresh_get(const struct fresh *f, const char *id) NONNULL(1, 2); /* NULL = none */
bool fresh_empty(const struct fresh *f) NONNULL(1);
bool fresh_has_older(const struct fresh *f, uint64_t session) NONNULL(1); /* anything from before this session? */
/* A new model is in force: forgets what it does not know, what it has newer, and what came before `session`; calls keep
 * for the rest. */
void fresh_rebase(struct fresh *f, const struct model *m, uint64_t session, void (*keep)(void *arg, const Model__EndpointSet *set),
                  void *arg) NONNULL(1, 2, 4);
/* base (the manifest m was loaded from) with the fresh sets in their sections, sealed: what is served now. */
int fresh_merge(const struct fresh *f, const struct manifest *base, const struct model *m, struct manifest **ret) NONNULL(1, 2, 3, 4) MUST_USE;
