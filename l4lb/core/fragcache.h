/* l4lb/core/fragcache.h - which backend got the first fragment of a datagram.  Layer: l4lb/core, pure.
 * Thread rule: one worker (NICs hash all fragments of a datagram to one queue: there are no ports to hash).
 * Bounded: FRAGCACHE_ENTRIES slots of 24 bytes, two choices, entries live FRAGCACHE_S seconds; no per-fragment state.
 * First fragments (UDP and TCP alike) are classified and picked by their ports like whole packets, so a datagram goes where
 * its flow goes; later fragments follow by (source, destination, protocol, id).  A later fragment that comes before its
 * first is dropped and counted: holding it would need buffers that a flood could fill. */
#pragma once
#include "lib/base.h"

#define FRAGCACHE_ENTRIES 2048
#define FRAGCACHE_S 2
#define FRAG_NO_ENTRY UINT32_MAX
#define FRAG_TO_WORKER UINT32_C(0xffffff00) /* + number: the first one was handed to that worker */
struct fragcache {
        struct frag_slot {
                uint64_t hash;      /* keyed, over addresses, protocol and id; 0 = empty */
                uint32_t expires_s; /* absolute */
                uint16_t backend, epoch;
                uint16_t first_len; /* payload bytes of the first fragment: what comes later must start after them */
                uint8_t pad[2];
                uint32_t entry;     /* of the flow table, under NAT; or FRAG_TO_WORKER + n, or FRAG_NO_ENTRY */
        } slots[FRAGCACHE_ENTRIES];
};
void fragcache_put(struct fragcache *c, uint64_t hash, uint16_t backend, uint16_t epoch, uint16_t first_len, uint32_t entry,
                   uint32_t now_s) NONNULL(1);
const struct frag_slot *fragcache_get(const struct fragcache *c, uint64_t hash, uint32_t now_s) NONNULL(1);
