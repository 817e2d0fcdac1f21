/* tests/unit/lib/hash_test.c - published vectors. */
#include "lib/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "lib/core/hash.h"

static void test_siphash(void **state)
{
        /* Reference vectors of SipHash-2-4: key 00..0f, message 00..(n-1). */
        static const uint64_t want[] = {0x726fdb47dd0e0e31ull, 0x74f839c593dc67fdull, 0x0d6c8009d9a94f5aull,
                                        0x85676696d7fb7e2dull, 0xcf2794e0277187b7ull, 0x18765564cd99a68dull,
                                        0xcbc9466e58fee3ceull, 0xab0200f58b01d137ull, 0x93f5f5799a932462ull};
        const struct siphash_key k = {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull};
        uint8_t in[64];
        (void)state;
        for (size_t i = 0; i < sizeof in; i++)
                in[i] = (uint8_t)i;
        for (size_t n = 0; n < ARRAY_SIZE(want); n++)
                assert_true(siphash24(&k, in, n) == want[n]);
        assert_true(siphash13(&k, in, 0) == 0xabac0158050fc4dcull); /* Rust's and OpenBSD's vector for 1-3 */
        assert_true(siphash13(&k, in, 8) != siphash24(&k, in, 8));
}

static void test_crc32c(void **state)
{
        uint8_t b[48];
        (void)state;
        memset(b, 0, 32); /* RFC 3720 B.4 */
        assert_int_equal(crc32c(0, b, 32), 0x8a9136aau);
        memset(b, 0xff, 32);
        assert_int_equal(crc32c(0, b, 32), 0x62a8ab43u);
        for (int i = 0; i < 32; i++)
                b[i] = (uint8_t)i;
        assert_int_equal(crc32c(0, b, 32), 0x46dd794eu);
        assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
        for (size_t cut = 0; cut <= 32; cut++) /* in two parts, at any alignment, it is the same */
                assert_int_equal(crc32c(crc32c(0, b, cut), b + cut, 32 - cut), 0x46dd794eu);
}

/* The instruction and a bitwise loop agree. */
static void test_crc32c_against_bitwise(void **state)
{
        uint8_t b[300];
        uint32_t seed = 9;
        (void)state;
        for (size_t i = 0; i < sizeof b; i++)
                b[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
        for (size_t n = 0; n < sizeof b; n++) {
                uint32_t crc = ~0u;
                for (size_t i = 0; i < n; i++) {
                        crc ^= b[i];
                        for (int k = 0; k < 8; k++)
                                crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
                }
                assert_int_equal(crc32c(0, b, n), ~crc);
        }
}

static void test_sha256(void **state)
{
        struct sha256 h;
        char hex[65];
        (void)state;
        sha256_of(SPAN_LIT("abc"), &h); /* FIPS 180-4 */
        sha256_hex(&h, hex);
        assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        sha256_of(SPAN_NULL, &h);
        sha256_hex(&h, hex);
        assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_siphash), cmocka_unit_test(test_crc32c),
                                           cmocka_unit_test(test_crc32c_against_bitwise),
                                           cmocka_unit_test(test_sha256)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
