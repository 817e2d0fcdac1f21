/* agent/core/retain.h - make before break when a Gateway leaves a pool (deleted, or moved to another pool): the pool keeps
 * serving it until the front tier no longer sends anything there.  Layer: agent/core, pure. */
#pragma once
#include "lib/core/manifest.h"

struct retain_front {             /* manifests of the front tier */
        const struct manifest *before; /* what it did until lately: flows of that time drain still; NULL = nothing */
        const struct manifest *now, *after;
};
/* Does any Gateway of `old` that `new` lacks receive traffic by front->now or ->before (a leg to "shards/POOL" for one of
 * its addresses and ports) that it will not receive by ->after?
 * 0 with *ret = `new` plus those Gateways, on those addresses and ports, and what they refer to (sealed, generation of
 * `new`), or *ret = NULL: nothing to retain.  -EINVAL: a section does not decode; -ENOMEM.  Objects of `new` win over those
 * of `old` with the same id. */
int retain_build(const struct manifest *old, const struct manifest *new, const struct retain_front *front, const char *pool,
                 struct manifest **ret, struct err *reterr) NONNULL(1, 2, 3, 4, 5, 6) MUST_USE;
