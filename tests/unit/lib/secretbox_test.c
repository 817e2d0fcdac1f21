/* tests/unit/lib/secretbox_test.c - what was sealed opens as it was, and any other byte, name or key opens nothing. */
#include "lib/base.h"
#include "tests/unit/lib/fixture.h"

#include "lib/io/secretbox.h"

static const uint8_t key[SECRETBOX_KEY_BYTES] = {1, 2, 3};

static void test_round_trip(void **state)
{
        static const char text[] = "the text, and a NUL";
        (void)state;
        for (size_t n = 0; n <= sizeof text; n += sizeof text / 2) {
                uint8_t a[sizeof text + SECRETBOX_OVERHEAD_BYTES], b[sizeof a];
                struct span got;
                assert_int_equal(secretbox_seal(key, SPAN_LIT("name"), SPAN(text, n), a), 0);
                assert_int_equal(secretbox_seal(key, SPAN_LIT("name"), SPAN(text, n), b), 0);
                assert_memory_not_equal(a, b, n + SECRETBOX_OVERHEAD_BYTES); /* another nonce each time */
                assert_int_equal(secretbox_open(key, SPAN_LIT("name"), a, n + SECRETBOX_OVERHEAD_BYTES, &got), 0);
                assert_true(span_eq(got, SPAN(text, n)));
        }
}

static void test_nothing_else_opens(void **state)
{
        static const char text[] = "secret";
        uint8_t sealed[sizeof text + SECRETBOX_OVERHEAD_BYTES], copy[sizeof sealed], wrong[SECRETBOX_KEY_BYTES] = {1, 2, 4};
        struct span got = SPAN_NULL;
        (void)state;
        assert_int_equal(secretbox_seal(key, SPAN_LIT("a"), SPAN(text, sizeof text), sealed), 0);
        for (size_t i = 0; i < sizeof sealed; i++) {
                memcpy(copy, sealed, sizeof copy);
                copy[i] ^= 0x10;
                assert_int_equal(secretbox_open(key, SPAN_LIT("a"), copy, sizeof copy, &got), -EBADMSG);
                memcpy(copy, sealed, sizeof copy);
                assert_int_equal(secretbox_open(key, SPAN_LIT("a"), copy, i, &got), -EBADMSG); /* cut short */
        }
        memcpy(copy, sealed, sizeof copy);
        assert_int_equal(secretbox_open(key, SPAN_LIT("b"), copy, sizeof copy, &got), -EBADMSG);
        memcpy(copy, sealed, sizeof copy);
        assert_int_equal(secretbox_open(wrong, SPAN_LIT("a"), copy, sizeof copy, &got), -EBADMSG);
        assert_int_equal(got.n, 0);
        for (size_t i = 0; i + sizeof text <= sizeof copy; i++)
                assert_memory_not_equal(copy + i, text, sizeof text); /* no text is left behind */
}

/* RFC 5869 A.1, whose first 32 bytes of output are ours. */
static void test_derive(void **state)
{
        static const uint8_t want[32] = {0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a, 0x90, 0x43, 0x4f, 0x64, 0xd0, 0x36, 0x2f, 0x2a,
                                         0x2d, 0x2d, 0x0a, 0x90, 0xcf, 0x1a, 0x5a, 0x4c, 0x5d, 0xb0, 0x2d, 0x56, 0xec, 0xc4, 0xc5, 0xbf};
        static const char info[] = {(char)0xf0, (char)0xf1, (char)0xf2, (char)0xf3, (char)0xf4, (char)0xf5, (char)0xf6, (char)0xf7, (char)0xf8, (char)0xf9, 0};
        uint8_t ikm[22], salt[13], got[32], other[32];
        (void)state;
        memset(ikm, 0x0b, sizeof ikm);
        for (uint8_t i = 0; i < sizeof salt; i++)
                salt[i] = i;
        secretbox_derive(SPAN(ikm, sizeof ikm), SPAN(salt, sizeof salt), info, got);
        assert_memory_equal(got, want, sizeof want);
        secretbox_derive(SPAN(ikm, sizeof ikm), SPAN_NULL, "a", got);
        secretbox_derive(SPAN(ikm, sizeof ikm), SPAN_NULL, "b", other);
        assert_memory_not_equal(got, other, sizeof got);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_nothing_else_opens), cmocka_unit_test(test_derive)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
