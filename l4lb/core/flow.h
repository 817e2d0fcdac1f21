/* l4lb/core/flow.h - the flow table of one worker: which backend has this connection.  Layer: l4lb/core, pure.
 * Thread rule: one worker.  No allocation after init; memory is the caller's (hugepages or not).
 *
 *   bucket, 64 bytes:  tag[8] u16 | entry[8] u32 | expires[8] u16 (seconds, wrapping)
 *   entry,  64 bytes:  key 40 | backend 2 | epoch 2 | state 1 | flags 1 | idle_s 2 | packets 4 | next 4 | bytes 8
 *
 * A flow under NAT is a pair of entries that live and die together: the client's tuple and the tuple of the endpoint's answers.
 * Each knows the other (peer) and where its own slot is; what one side's packets become is the other's key, turned around.
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
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define FLOW_WAYS 8
#define FLOW_EMBRYONIC_TCP_S 30 /* one packet seen */
#define FLOW_EMBRYONIC_UDP_S 10
#define FLOW_CLOSING_S 10       /* FIN or RST seen */
#define FLOW_EVICT_IDLE_S 60
#define FLOW_IDLE_MAX_S 30000   /* half of the wrapping clock */

enum flow_flag { FLOW_NAT = 1, FLOW_REVERSE = 2, /* of a pair; the half that endpoints' packets find */
                 FLOW_FIN_CLIENT = 4, FLOW_FIN_SERVER = 8, /* in the client's half */
                 FLOW_RST_CLIENT = 16, FLOW_RST_SERVER = 32 };
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
        uint8_t flags; /* enum flow_flag */
        uint16_t idle_s;
        union {
                uint32_t packets;
                uint32_t slot; /* of a pair: where it is itself */
        };
        union {
                uint32_t next; /* free list */
                uint32_t peer; /* of a pair: the other entry */
        };
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

/* A flow is named by its slot: bucket * FLOW_WAYS + way.  It stays valid until the next insert or sweep. */
#define FLOW_NONE UINT32_MAX

size_t flow_table_bytes(uint32_t n_entries); /* memory that init needs, 64-byte aligned */
/* n_entries: 64 .. 2^28, rounded up to a power of two by both.  mem: 64-byte aligned, any content. */
void flow_table_init(struct flow_table *t, void *mem, uint32_t n_entries) NONNULL(1, 2);
/* A new embryonic flow (the caller knows that there is none), or FLOW_NONE when no room could be made. */
uint32_t flow_insert(struct flow_table *t, uint64_t hash, const struct tuple *key, uint16_t backend, uint16_t epoch,
                     uint16_t idle_s, uint16_t now_s) NONNULL(1, 3);
/* A new embryonic pair: the client's slot, or FLOW_NONE when no room could be made for both.  Nobody has either key. */
uint32_t flow_pair_insert(struct flow_table *t, uint64_t hash, const struct tuple *key, uint64_t reverse_hash,
                          const struct tuple *reverse, uint16_t backend, uint16_t epoch, uint16_t idle_s, uint16_t now_s)
        NONNULL(1, 3, 5);
/* A new connection on the tuple of an old one: back to embryonic, with this backend. */
void flow_restart(struct flow_table *t, uint32_t slot, uint16_t backend, uint16_t epoch, uint16_t now_s) NONNULL(1);
void flow_repick(struct flow_table *t, uint32_t slot, uint16_t backend, uint16_t epoch) NONNULL(1);
void flow_remove(struct flow_table *t, uint32_t slot) NONNULL(1); /* of a pair: both */
/* Collects expired entries of the next n buckets; returns how many. */
uint32_t flow_sweep(struct flow_table *t, uint32_t n_buckets, uint16_t now_s) NONNULL(1);
bool flow_table_check(const struct flow_table *t) NONNULL(1) MUST_USE; /* invariants, for tests: walks everything */

static inline void flow_count(struct flow_table *t, enum flow_counter c) { metric_add(&t->counters[c], 1); }
static inline uint16_t flow_tag(uint64_t hash)
{
        uint16_t tag = (uint16_t)(hash >> 48);
        return tag ? tag : 1;
}
static inline uint32_t flow_bucket1(const struct flow_table *t, uint64_t hash) { return (uint32_t)hash & t->bucket_mask; }
static inline uint32_t flow_bucket2(const struct flow_table *t, uint32_t bucket1, uint16_t tag)
{
        return (bucket1 ^ (tag * UINT32_C(0x5bd1e995) | 1)) & t->bucket_mask; /* its own inverse; never bucket1 itself */
}
static inline bool flow_expired(uint16_t expires, uint16_t now_s) { return (int16_t)(expires - now_s) <= 0; }
static inline struct flow *flow_at(const struct flow_table *t, uint32_t slot)
{
        return &t->flows[t->buckets[slot / FLOW_WAYS].entry[slot % FLOW_WAYS]];
}
/* Bit i is set when tag[i] == want. */
static inline unsigned flow_match_scalar(const uint16_t tag[FLOW_WAYS], uint16_t want)
{
        unsigned m = 0;
        for (unsigned i = 0; i < FLOW_WAYS; i++)
                m |= (unsigned)(tag[i] == want) << i;
        return m;
}
#ifdef __SSE2__
static inline unsigned flow_match(const uint16_t tag[FLOW_WAYS], uint16_t want) /* equals flow_match_scalar: tested */
{
        __m128i eq = _mm_cmpeq_epi16(_mm_load_si128((const __m128i *)(const void *)tag), _mm_set1_epi16((short)want));
        return (unsigned)_mm_movemask_epi8(_mm_packs_epi16(eq, _mm_setzero_si128()));
}
#else
static inline unsigned flow_match(const uint16_t tag[FLOW_WAYS], uint16_t want) { return flow_match_scalar(tag, want); }
#endif

/* Prefetch in three passes over a burst: buckets, then entries of matching tags, then find.
 * always_inline is needed, not a wish: gcc takes a function that only prefetches for a pure one and drops the calls. */
#define FLOW_PREFETCH static inline __attribute__((always_inline)) void
FLOW_PREFETCH flow_prefetch_buckets(const struct flow_table *t, uint64_t hash)
{
        uint32_t b = flow_bucket1(t, hash);
        __builtin_prefetch(&t->buckets[b]);
        __builtin_prefetch(&t->buckets[flow_bucket2(t, b, flow_tag(hash))]);
}
FLOW_PREFETCH flow_prefetch_entry(const struct flow_table *t, uint64_t hash)
{
        uint16_t tag = flow_tag(hash);
        uint32_t b = flow_bucket1(t, hash);
        unsigned m = flow_match(t->buckets[b].tag, tag);
        if (!m) {
                b = flow_bucket2(t, b, tag);
                m = flow_match(t->buckets[b].tag, tag);
        }
        if (m)
                __builtin_prefetch(&t->flows[t->buckets[b].entry[__builtin_ctz(m)]], 1);
}
static inline uint32_t flow_find_in(const struct flow_table *t, uint32_t bucket, uint16_t tag, const struct tuple *key,
                                    uint16_t now_s)
{
        const struct flow_bucket *b = &t->buckets[bucket];
        for (unsigned m = flow_match(b->tag, tag); m; m &= m - 1) {
                unsigned way = (unsigned)__builtin_ctz(m);
                if (!flow_expired(b->expires[way], now_s) && tuple_eq(&t->flows[b->entry[way]].key, key))
                        return bucket * FLOW_WAYS + way;
        }
        return FLOW_NONE;
}
/* The live flow of key, or FLOW_NONE. */
static inline uint32_t flow_find(const struct flow_table *t, uint64_t hash, const struct tuple *key, uint16_t now_s)
{
        uint16_t tag = flow_tag(hash);
        uint32_t b = flow_bucket1(t, hash), slot = flow_find_in(t, b, tag, key, now_s);
        return slot != FLOW_NONE ? slot : flow_find_in(t, flow_bucket2(t, b, tag), tag, key, now_s);
}
/* A packet of the flow: moves its state and deadline.  closing: it carried FIN or RST. */
static inline void flow_touch(struct flow_table *t, uint32_t slot, bool closing, uint32_t bytes, uint16_t now_s)
{
        struct flow *f = flow_at(t, slot);
        f->packets++;
        f->bytes += bytes;
        if (closing)
                f->state = FLOW_CLOSING;
        else if (f->state == FLOW_EMBRYONIC)
                f->state = FLOW_ESTABLISHED;
        uint16_t left = f->state == FLOW_CLOSING ? (uint16_t)FLOW_CLOSING_S : f->idle_s;
        uint16_t *expires = &t->buckets[slot / FLOW_WAYS].expires[slot % FLOW_WAYS];
        uint16_t until = (uint16_t)(now_s + left);
        if (*expires != until) /* once a second: do not dirty the line for every packet */
                *expires = until;
}
/* A packet of a pair, in either direction; f is the half it found.  A half-closed connection lives on: it is closing when both
 * sides have sent FIN, or one RST; data of the side that a RST claimed to come from makes it live again (RFC 5961: a forged
 * one must not cut).  TCP is established by the client's second packet, never by the endpoint's: a SYN flood is answered. */
static inline void flow_pair_touch(struct flow_table *t, struct flow *f, bool tcp, uint8_t tcp_fin, uint8_t tcp_rst, bool syn,
                                   uint32_t bytes, uint16_t now_s)
{
        struct flow *peer = &t->flows[f->peer];
        bool reverse = f->flags & FLOW_REVERSE;
        struct flow *client = reverse ? peer : f;
        f->bytes += bytes;
        const uint8_t rst = reverse ? FLOW_RST_SERVER : FLOW_RST_CLIENT;
        if (tcp_rst)
                client->flags |= rst;
        else if (!syn)
                client->flags &= (uint8_t)~rst;
        if (tcp_fin)
                client->flags |= reverse ? FLOW_FIN_SERVER : FLOW_FIN_CLIENT;
        const uint8_t both = FLOW_FIN_CLIENT | FLOW_FIN_SERVER;
        uint8_t state = client->state;
        if (client->flags & (FLOW_RST_CLIENT | FLOW_RST_SERVER) || (client->flags & both) == both)
                state = FLOW_CLOSING;
        else if (state == FLOW_CLOSING || (state == FLOW_EMBRYONIC && !syn && !(tcp && reverse)))
                state = FLOW_ESTABLISHED;
        else if (state == FLOW_EMBRYONIC)
                return; /* its deadline stays: half-open connections go first */
        if (f->state != state || peer->state != state) /* both: make_room looks at whichever it finds */
                f->state = peer->state = state;
        uint16_t until = (uint16_t)(now_s + (state == FLOW_CLOSING ? (uint16_t)FLOW_CLOSING_S : f->idle_s));
        uint16_t *expires = &t->buckets[f->slot / FLOW_WAYS].expires[f->slot % FLOW_WAYS];
        if (*expires != until) {
                *expires = until;
                t->buckets[peer->slot / FLOW_WAYS].expires[peer->slot % FLOW_WAYS] = until;
        }
}
