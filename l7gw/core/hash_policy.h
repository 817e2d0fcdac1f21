/* l7gw/core/hash_policy.h - what a client is known by, as a number: the same on every shard.  Layer: l7gw/core, pure.
 * Any thread. */
#pragma once
#include "l7gw/core/msg.h"
#include "lib/model.pb-c.h"

/* Of the request (NULL: of bytes, where only the source counts), its path before filters, its client's address as text.
 * 0: it has nothing of the kind. */
uint64_t hash_policy_of(const Model__HashPolicy *p, const struct msg *req, struct span path, struct span peer);
