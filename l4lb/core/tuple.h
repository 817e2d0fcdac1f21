/* l4lb/core/tuple.h - the key of a flow and its keyed hash.  Layer: l4lb/core, pure, header only.
 *
 *   w[0]  version (8) | proto (8) | fragment/affinity mark (16) | source port (16) | destination port (16)
 *   w[1]  IPv4: source (32) | destination (32)          IPv6: w[1..2] source, w[3..4] destination
 *
 * Addresses and ports sit in w[] as they are on the wire (memcpy), so nothing is swapped per packet.  An IPv4 key is the
 * first 16 bytes, an IPv6 key all 40.  w[2..4] of an IPv4 key are not read.  The hash is SipHash-1-3 over those bytes. */
#pragma once
#include "lib/core/hash.h"

struct tuple {
        uint64_t w[5];
};
#define TUPLE_V4_BYTES 16
#define TUPLE_V6_BYTES 40

static inline uint64_t tuple_head(uint8_t version, uint8_t proto, uint32_t ports_be)
{
        return (uint64_t)version | (uint64_t)proto << 8 | (uint64_t)ports_be << 32;
}
static inline bool tuple_is_v4(const struct tuple *t) { return (uint8_t)t->w[0] == 4; }
static inline void tuple_set4(struct tuple *t, uint8_t proto, const uint8_t src[4], const uint8_t dst[4], uint32_t ports_be)
{
        uint32_t s, d;
        memcpy(&s, src, 4);
        memcpy(&d, dst, 4);
        t->w[0] = tuple_head(4, proto, ports_be);
        t->w[1] = (uint64_t)s | (uint64_t)d << 32;
}
static inline void tuple_set6(struct tuple *t, uint8_t proto, const uint8_t src[16], const uint8_t dst[16], uint32_t ports_be)
{
        t->w[0] = tuple_head(6, proto, ports_be);
        memcpy(&t->w[1], src, 16);
        memcpy(&t->w[3], dst, 16);
}
static inline bool tuple_eq(const struct tuple *a, const struct tuple *b)
{
        if (((a->w[0] ^ b->w[0]) | (a->w[1] ^ b->w[1])) != 0)
                return false;
        return tuple_is_v4(a) || ((a->w[2] ^ b->w[2]) | (a->w[3] ^ b->w[3]) | (a->w[4] ^ b->w[4])) == 0;
}

static inline uint64_t tuple_rotl_(uint64_t x, int b) { return x << b | x >> (64 - b); }
#define TUPLE_SIPROUND_              \
        do {                         \
                v0 += v1;            \
                v1 = tuple_rotl_(v1, 13) ^ v0; \
                v0 = tuple_rotl_(v0, 32);      \
                v2 += v3;            \
                v3 = tuple_rotl_(v3, 16) ^ v2; \
                v0 += v3;            \
                v3 = tuple_rotl_(v3, 21) ^ v0; \
                v2 += v1;            \
                v1 = tuple_rotl_(v1, 17) ^ v2; \
                v2 = tuple_rotl_(v2, 32);      \
        } while (0)
/* SipHash-1-3 of the first n_words words: equal to siphash13(k, t->w, 8 * n_words) on little endian machines. */
static inline uint64_t tuple_hash_words(const struct siphash_key *k, const uint64_t *w, unsigned n_words)
{
        uint64_t v0 = k->k0 ^ UINT64_C(0x736f6d6570736575), v1 = k->k1 ^ UINT64_C(0x646f72616e646f6d);
        uint64_t v2 = k->k0 ^ UINT64_C(0x6c7967656e657261), v3 = k->k1 ^ UINT64_C(0x7465646279746573);
        for (unsigned i = 0; i < n_words; i++) {
                v3 ^= w[i];
                TUPLE_SIPROUND_;
                v0 ^= w[i];
        }
        uint64_t last = (uint64_t)n_words << 59;
        v3 ^= last;
        TUPLE_SIPROUND_;
        v0 ^= last;
        v2 ^= 0xff;
        TUPLE_SIPROUND_;
        TUPLE_SIPROUND_;
        TUPLE_SIPROUND_;
        return v0 ^ v1 ^ v2 ^ v3;
}
static inline uint64_t tuple_hash(const struct siphash_key *k, const struct tuple *t)
{
        return tuple_is_v4(t) ? tuple_hash_words(k, t->w, 2) : tuple_hash_words(k, t->w, 5);
}

/* The key of the hash that chooses backends.  It must be the same on every l4lb of a cluster, so that all of them choose
 * the same backend; knowing it lets a client aim at a backend, never at a slot of the flow table (that key is secret). */
#define L4_CLUSTER_KEY ((struct siphash_key){ UINT64_C(0x6761746568617573), UINT64_C(0x652d6d61676c6576) })
