/* l4lb/core/flow.c - see flow.h. */
#include "lib/base.h"
#include <assert.h>
#include "l4lb/core/flow.h"
#include "l4lb/core/wire.h"

static_assert(sizeof(struct flow_bucket) == 64, "a bucket is one cache line");
static_assert(sizeof(struct flow) == 64, "an entry is one cache line");
#define ENTRY_END UINT32_MAX

static uint32_t entries_for(uint32_t n_entries)
{
        uint32_t n = 64;
        while (n < n_entries && n < (UINT32_C(1) << 28))
                n <<= 1;
        return n;
}

/* Twice as many ways as entries: at most half of the ways are ever used, so two choices rarely fail. */
static uint32_t buckets_for(uint32_t entries) { return entries * 2 / FLOW_WAYS; }

size_t flow_table_bytes(uint32_t n_entries)
{
        uint32_t n = entries_for(n_entries);
        return (size_t)n * sizeof(struct flow) + (size_t)buckets_for(n) * sizeof(struct flow_bucket);
}

void flow_table_init(struct flow_table *t, void *mem, uint32_t n_entries)
{
        uint32_t n = entries_for(n_entries), n_buckets = buckets_for(n);
        BUG_ON((uintptr_t)mem % 64 != 0);
        *t = (struct flow_table){ .buckets = mem, .bucket_mask = n_buckets - 1, .n_entries = n };
        t->flows = (struct flow *)(void *)(t->buckets + n_buckets);
        memset(mem, 0, flow_table_bytes(n_entries));
        for (uint32_t i = 0; i < n; i++)
                t->flows[i].next = i + 1 < n ? i + 1 : ENTRY_END;
}

static void live_add(struct flow_table *t, int delta)
{
        t->n_live += (uint32_t)delta;
        metric_set(&t->live, t->n_live);
}

static void slot_free(struct flow_table *t, uint32_t slot)
{
        struct flow_bucket *b = &t->buckets[slot / FLOW_WAYS];
        uint32_t entry = b->entry[slot % FLOW_WAYS];
        BUG_ON(b->tag[slot % FLOW_WAYS] == 0);
        b->tag[slot % FLOW_WAYS] = 0;
        t->flows[entry].state = FLOW_FREE;
        t->flows[entry].next = t->free_head;
        t->free_head = entry;
        live_add(t, -1);
}

void flow_remove(struct flow_table *t, uint32_t slot)
{
        const struct flow *f = flow_at(t, slot);
        if (f->flags & FLOW_NAT)
                slot_free(t, t->flows[f->peer].slot);
        slot_free(t, slot);
}

/* Collects what has expired in the bucket; returns how many of its ways are used. */
static unsigned bucket_collect(struct flow_table *t, uint32_t bucket, uint16_t now_s)
{
        struct flow_bucket *b = &t->buckets[bucket];
        for (unsigned i = 0; i < FLOW_WAYS; i++)
                if (b->tag[i] != 0 && flow_expired(b->expires[i], now_s)) {
                        flow_remove(t, bucket * FLOW_WAYS + i);
                        flow_count(t, FLOW_COUNT_EXPIRED);
                }
        return FLOW_WAYS - (unsigned)__builtin_popcount(flow_match(b->tag, 0));
}

static void bucket_oldest(const struct flow_table *t, uint32_t bucket, uint16_t now_s, uint32_t *slot, uint16_t *left)
{
        const struct flow_bucket *b = &t->buckets[bucket];
        for (unsigned i = 0; i < FLOW_WAYS; i++) {
                uint16_t l = (uint16_t)(b->expires[i] - now_s);
                if (b->tag[i] != 0 && l < *left) {
                        *left = l;
                        *slot = bucket * FLOW_WAYS + i;
                }
        }
}

/* Frees the slot of the two buckets that would expire first, if it may go; false: both are full of flows in use. */
static bool make_room(struct flow_table *t, uint32_t b1, uint32_t b2, uint16_t now_s)
{
        uint32_t slot = FLOW_NONE;
        uint16_t left = UINT16_MAX;
        bucket_oldest(t, b1, now_s, &slot, &left);
        bucket_oldest(t, b2, now_s, &slot, &left);
        if (slot == FLOW_NONE)
                return false; /* no entry left anywhere and nothing here to take: the sweep will bring some */
        const struct flow *f = flow_at(t, slot);
        if (f->state == FLOW_ESTABLISHED && left + FLOW_EVICT_IDLE_S > f->idle_s)
                return false;
        flow_remove(t, slot);
        flow_count(t, FLOW_COUNT_EVICTED);
        return true;
}

static uint16_t embryonic_s(const struct tuple *key, uint16_t idle_s)
{
        uint16_t s = (uint8_t)(key->w[0] >> 8) == PROTO_UDP ? FLOW_EMBRYONIC_UDP_S : FLOW_EMBRYONIC_TCP_S;
        return s < idle_s ? s : idle_s;
}

uint32_t flow_insert(struct flow_table *t, uint64_t hash, const struct tuple *key, uint16_t backend, uint16_t epoch,
                     uint16_t idle_s, uint16_t now_s)
{
        uint16_t tag = flow_tag(hash);
        uint32_t b1 = flow_bucket1(t, hash), b2 = flow_bucket2(t, b1, tag);
        unsigned used1 = bucket_collect(t, b1, now_s), used2 = bucket_collect(t, b2, now_s);
        DBG_ON(idle_s == 0 || idle_s > FLOW_IDLE_MAX_S);
        if ((used1 == FLOW_WAYS && used2 == FLOW_WAYS) || t->free_head == ENTRY_END) {
                if (!make_room(t, b1, b2, now_s)) {
                        flow_count(t, FLOW_COUNT_FULL);
                        return FLOW_NONE;
                }
                used1 = bucket_collect(t, b1, now_s);
                used2 = bucket_collect(t, b2, now_s);
        }
        uint32_t bucket = used2 < used1 ? b2 : b1, entry = t->free_head;
        struct flow_bucket *b = &t->buckets[bucket];
        unsigned way = (unsigned)__builtin_ctz(flow_match(b->tag, 0));
        struct flow *f = &t->flows[entry];
        t->free_head = f->next;
        *f = (struct flow){
                .key = *key, .backend = backend, .epoch = epoch, .state = FLOW_EMBRYONIC, .idle_s = idle_s
        };
        b->tag[way] = tag;
        b->entry[way] = entry;
        b->expires[way] = (uint16_t)(now_s + embryonic_s(key, idle_s));
        live_add(t, 1);
        flow_count(t, FLOW_COUNT_CREATED);
        return bucket * FLOW_WAYS + way;
}

uint32_t flow_pair_insert(struct flow_table *t, uint64_t hash, const struct tuple *key, uint64_t reverse_hash,
                          const struct tuple *reverse, uint16_t backend, uint16_t epoch, uint16_t idle_s, uint16_t now_s)
{
        uint32_t slot = flow_insert(t, hash, key, backend, epoch, idle_s, now_s);
        if (slot == FLOW_NONE)
                return FLOW_NONE;
        struct flow *f = flow_at(t, slot);
        uint16_t *expires = &t->buckets[slot / FLOW_WAYS].expires[slot % FLOW_WAYS], until = *expires;
        f->state = FLOW_ESTABLISHED; /* while room is made for the other half, this one is not the first to go */
        *expires = (uint16_t)(now_s + idle_s);
        uint32_t other = flow_insert(t, reverse_hash, reverse, backend, epoch, idle_s, now_s);
        if (other == FLOW_NONE || t->buckets[slot / FLOW_WAYS].tag[slot % FLOW_WAYS] == 0 || flow_at(t, slot) != f) {
                if (other != FLOW_NONE)
                        flow_remove(t, other);
                if (t->buckets[slot / FLOW_WAYS].tag[slot % FLOW_WAYS] != 0 && flow_at(t, slot) == f)
                        flow_remove(t, slot);
                return FLOW_NONE;
        }
        struct flow *r = flow_at(t, other);
        f->state = FLOW_EMBRYONIC;
        *expires = until;
        f->flags = FLOW_NAT;
        r->flags = FLOW_NAT | FLOW_REVERSE;
        f->slot = slot;
        r->slot = other;
        f->peer = (uint32_t)(r - t->flows);
        r->peer = (uint32_t)(f - t->flows);
        return slot;
}

void flow_restart(struct flow_table *t, uint32_t slot, uint16_t backend, uint16_t epoch, uint16_t now_s)
{
        struct flow *f = flow_at(t, slot);
        f->backend = backend;
        f->epoch = epoch;
        f->state = FLOW_EMBRYONIC;
        t->buckets[slot / FLOW_WAYS].expires[slot % FLOW_WAYS] = (uint16_t)(now_s + embryonic_s(&f->key, f->idle_s));
}

void flow_repick(struct flow_table *t, uint32_t slot, uint16_t backend, uint16_t epoch)
{
        struct flow *f = flow_at(t, slot);
        f->backend = backend;
        f->epoch = epoch;
        flow_count(t, FLOW_COUNT_REPICKED);
}

uint32_t flow_sweep(struct flow_table *t, uint32_t n_buckets, uint16_t now_s)
{
        uint32_t before = t->n_live;
        for (uint32_t i = 0; i < n_buckets; i++) {
                bucket_collect(t, t->sweep, now_s);
                t->sweep = (t->sweep + 1) & t->bucket_mask;
        }
        return before - t->n_live;
}

bool flow_table_check(const struct flow_table *t)
{
        uint32_t used = 0, unused = 0;
        for (uint32_t b = 0; b <= t->bucket_mask; b++)
                for (unsigned i = 0; i < FLOW_WAYS; i++) {
                        if (t->buckets[b].tag[i] == 0)
                                continue;
                        if (t->buckets[b].entry[i] >= t->n_entries ||
                            t->flows[t->buckets[b].entry[i]].state == FLOW_FREE)
                                return false;
                        const struct flow *f = &t->flows[t->buckets[b].entry[i]];
                        if (f->flags & FLOW_NAT && (f->slot != b * FLOW_WAYS + i || f->peer >= t->n_entries ||
                                                    &t->flows[t->flows[f->peer].peer] != f))
                                return false;
                        used++;
                }
        for (uint32_t e = t->free_head; e != ENTRY_END && unused <= t->n_entries; e = t->flows[e].next) {
                if (e >= t->n_entries || t->flows[e].state != FLOW_FREE)
                        return false;
                unused++;
        }
        return used == t->n_live && used + unused == t->n_entries;
}
