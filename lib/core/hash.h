/* lib/core/hash.h - hashes: SipHash (keyed, attackers cannot aim), CRC-32C (frames only), SHA-256 (section identity).
 * Layer: lib/core, pure.  SHA-256 is OpenSSL's EVP (no I/O), listed as an exception in tests/check/layers.py. */
#pragma once
#include "lib/base.h"

struct siphash_key {
        uint64_t k0, k1;
};
uint64_t siphash13(const struct siphash_key *k, const void *p, size_t n) NONNULL(1); /* SipHash-1-3, Aumasson/Bernstein 2012 */
uint64_t siphash24(const struct siphash_key *k, const void *p, size_t n) NONNULL(1);
uint32_t crc32c(uint32_t crc, const void *p, size_t n); /* RFC 3720 appendix B.4; start with 0 */

#define SHA256_BYTES 32
struct sha256 {
        uint8_t b[SHA256_BYTES];
};
void sha256_of(struct span s, struct sha256 *ret) NONNULL(2);
void sha256_hex(const struct sha256 *h, char ret[65]) NONNULL(1, 2);
