/* lib/core/hash.c - see hash.h. */
#include "lib/core/hash.h"

#include <openssl/evp.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

static inline uint64_t rotl(uint64_t x, unsigned b)
{
        return x << b | x >> (64 - b);
}

static inline uint64_t load_le64(const uint8_t *p)
{
        uint64_t v;
        memcpy(&v, p, 8);
        return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap64(v);
}

#define SIP_ROUND(v)                                                                                                   \
        do {                                                                                                           \
                v[0] += v[1], v[1] = rotl(v[1], 13) ^ v[0];                                                            \
                v[0] = rotl(v[0], 32);                                                                                 \
                v[2] += v[3], v[3] = rotl(v[3], 16) ^ v[2];                                                            \
                v[0] += v[3], v[3] = rotl(v[3], 21) ^ v[0];                                                            \
                v[2] += v[1], v[1] = rotl(v[1], 17) ^ v[2];                                                            \
                v[2] = rotl(v[2], 32);                                                                                 \
        } while (0)

static inline uint64_t siphash(const struct siphash_key *k, const uint8_t *p, size_t n, int c_rounds, int d_rounds)
{
        uint64_t v[4] = {k->k0 ^ 0x736f6d6570736575ull, k->k1 ^ 0x646f72616e646f6dull, k->k0 ^ 0x6c7967656e657261ull,
                         k->k1 ^ 0x7465646279746573ull};
        size_t whole = n & ~(size_t)7;
        for (size_t i = 0; i < whole; i += 8) {
                uint64_t m = load_le64(p + i);
                v[3] ^= m;
                for (int r = 0; r < c_rounds; r++)
                        SIP_ROUND(v);
                v[0] ^= m;
        }
        uint64_t last = (uint64_t)n << 56;
        for (size_t i = whole; i < n; i++)
                last |= (uint64_t)p[i] << (8 * (i - whole));
        v[3] ^= last;
        for (int r = 0; r < c_rounds; r++)
                SIP_ROUND(v);
        v[0] ^= last;
        v[2] ^= 0xff;
        for (int r = 0; r < d_rounds; r++)
                SIP_ROUND(v);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t siphash13(const struct siphash_key *k, const void *p, size_t n)
{
        return siphash(k, p, n, 1, 3);
}
uint64_t siphash24(const struct siphash_key *k, const void *p, size_t n)
{
        return siphash(k, p, n, 2, 4);
}

static uint32_t crc32c_scalar(uint32_t crc, const uint8_t *p, size_t n)
{
        static const uint32_t nibble[16] = {/* reflected polynomial 0x82f63b78, four bits at a time */
                                            0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
                                            0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                            0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
        for (size_t i = 0; i < n; i++) {
                crc ^= p[i];
                crc = crc >> 4 ^ nibble[crc & 15];
                crc = crc >> 4 ^ nibble[crc & 15];
        }
        return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *p, size_t n)
{
        uint64_t c = crc;
        for (; n >= 8; p += 8, n -= 8)
                c = _mm_crc32_u64(c, load_le64(p));
        for (; n; p++, n--)
                c = _mm_crc32_u8((uint32_t)c, *p);
        return (uint32_t)c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
#if defined(__x86_64__)
        if (__builtin_cpu_supports("sse4.2"))
                return ~crc32c_sse42(~crc, p, n);
#endif
        return ~crc32c_scalar(~crc, p, n);
}

void sha256_of(struct span s, struct sha256 *ret)
{
        unsigned n = 0;
        int ok = EVP_Digest(s.n ? (const void *)s.p : (const void *)"", s.n, ret->b, &n, EVP_sha256(), NULL);
        BUG_ON(ok != 1 || n != SHA256_BYTES); /* fails only when libcrypto is unusable: nothing could be trusted then */
}

void sha256_hex(const struct sha256 *h, char ret[65])
{
        static const char digit[] = "0123456789abcdef";
        for (size_t i = 0; i < SHA256_BYTES; i++) {
                ret[2 * i] = digit[h->b[i] >> 4];
                ret[2 * i + 1] = digit[h->b[i] & 15];
        }
        ret[64] = 0;
}
