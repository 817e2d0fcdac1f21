/* image/io/gate_facts.h - what the gate judges by: asks every daemon's admin socket, has l4lb trace a packet of each
 * service through its workers, and sends a request to a listener of each shard inside that shard's network namespace.
 * Layer: image/io (jansson, OpenSSL). Thread rule: one thread; calls block, each bounded by a few seconds.  The process
 * changes its network namespace and comes back. */
#pragma once
#include "image/core/gate.h"
#include "image/io/host.h"

/* One round.  Fields that are not about this round (fault, expected) are left as they are. */
void gate_facts_gather(const struct host *h, struct gate_facts *f) NONNULL(1, 2);
