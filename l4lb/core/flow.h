/* l4lb/core/flow.h - the flow table of one worker: which backend has this connection.  Layer: l4lb/core, pure.
 * Thread rule: one worker.  No allocation after init; memory is the caller's (hugepages or not).
 *
 *   bucket, 64 bytes:  tag[8] u16 | entry[8] u32 | expires[8] u16 (seconds, wrapping)
 *   entry,  64 bytes:  key 40 | backend 2 | epoch 2 | state 1 | spare 1 | idle_s 2 | packets 4 | next 4 | bytes 8
 *
 * Two choices of bucket (b, b ^ f(tag)); an entry goes to the emptier and never moves.  Expiry is a deadline in the bucket
 * line: lazily honoured on touch and collected by a small sweep per loop.  When both buckets are full or no entry is left, the
 * slot that expires first makes room if it is embryonic, closing, or idle for FLOW_EVICT_IDLE_S; otherwise the packet is
 * forwarded without state and counted.
 * A SYN alone costs no entry, with one exception: while the pool's previous Maglev table is honoured and disagrees in this
 * flow's slot, only an entry can tell the new flow from an old one.  Such entries are embryonic, hence first to go. */
#pragma once
#include "lib/core/metrics.h"
#include "l4lb/core/pkt.h"

#define FLOW_WAYS 8
#define FLOW_EMBRYONIC_TCP_S 30 /* one packet seen */
#define FLOW_EMBRYONIC_UDP_S 10
#define FLOW_CLOSING_S 10       /* FIN or RST seen */
#define FLOW_EVICT_IDLE_S 60
#define FLOW_IDLE_MAX_S 30000   /* half of the wrapping clock */

enum flow_state { FLOW_FREE, FLOW_EMBRYONIC, FLOW_ESTABLISHED, FLOW_CLOSING, FLOW_STATE_N };

#define FLOW_COUNTERS(C) /* C(ID, name, help) */ \
        C(CREATED, "flows_created_total", "Flow entries created") \
        C(EXPIRED, "flows_expired_total", "Flow entries that expired") \
        C(EVICTED, "flows_evicted_total", "Flow entries evicted to make room") \
        C(FULL, "flows_full_total", "Packets forwarded without state because no room could be made") \
        C(REPICKED, "flows_repicked_total", "Flows moved because their backend was gone") \
        C(FOLLOWED_PREVIOUS, "flows_followed_previous_total", "Packets without entry that followed the previous Maglev table") \
        C(STATELESS, "flows_stateless_total", "Packets forwarded by hash alone: SYN, stray RST or FIN, ICMP errors")
enum flow_counter {
#define C(id, name, help) FLOW_COUNT_##id,
        FLOW_COUNTERS(C)
#undef C
        FLOW_COUNTER_N
};

struct flow_bucket {
        uint16_t tag[FLOW_WAYS]; /* 0 = empty */
        uint32_t entry[FLOW_WAYS];
        uint16_t expires[FLOW_WAYS];
} CACHE_ALIGNED;
struct flow {
        struct tuple key;
        uint16_t backend, epoch;
        uint8_t state; /* enum flow_state */
        uint8_t spare;
        uint16_t idle_s;
        uint32_t packets;
        uint32_t next; /* free list */
        uint64_t bytes;
} CACHE_ALIGNED;
struct flow_table {
        struct flow_bucket *buckets;
        struct flow *flows;
        uint32_t bucket_mask;
        uint32_t n_entries;
        uint32_t free_head, n_live;
        uint32_t sweep;
        metric_t live; /* n_live for readers */
        metric_t counters[FLOW_COUNTER_N];
};

size_t flow_table_bytes(uint32_t n_entries); /* memory that init needs, 64-byte aligned */
/* n_entries: 64 .. 2^30, rounded up to a power of two by both.  mem: 64-byte aligned, any content. */
void flow_table_init(struct flow_table *t, void *mem, uint32_t n_entries) NONNULL(1, 2);
/* Prefetches: a bucket pass, then an entry pass, then find. */
void flow_prefetch_buckets(const struct flow_table *t, uint64_t hash) NONNULL(1);
uint32_t flow_candidate(const struct flow_table *t, uint64_t hash) NONNULL(1); /* first entry whose tag matches, prefetched */
/* The live entry of key, or FLOW_NONE. */
uint32_t flow_find(const struct flow_table *t, uint64_t hash, const struct tuple *key, uint16_t now_s) NONNULL(1, 3);
/* A new embryonic entry (the caller knows there is none), or FLOW_NONE when no room could be made. */
uint32_t flow_insert(struct flow_table *t, uint64_t hash, const struct tuple *key, uint16_t backend, uint16_t epoch,
                     uint16_t idle_s, uint16_t now_s) NONNULL(1, 3);
/* A packet of the flow: moves its state and deadline. */
void flow_touch(struct flow_table *t, uint64_t hash, uint32_t entry, uint8_t proto, uint8_t tcp_flags, uint32_t bytes,
                uint16_t now_s) NONNULL(1);
void flow_repick(struct flow_table *t, uint32_t entry, uint16_t backend, uint16_t epoch) NONNULL(1);
void flow_remove(struct flow_table *t, uint64_t hash, uint32_t entry) NONNULL(1);
/* Collects expired entries of the next n buckets; returns how many. */
uint32_t flow_sweep(struct flow_table *t, uint32_t n_buckets, uint16_t now_s) NONNULL(1);
bool flow_table_check(const struct flow_table *t); /* invariants; for tests: walks everything */
