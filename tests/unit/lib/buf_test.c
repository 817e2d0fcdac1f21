/* tests/unit/lib/buf_test.c - growth, the cap, sticky failure, and consuming without moving. */
#include "lib/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "lib/core/buf.h"
#include "lib/core/cursor.h"

static void test_append_and_cap(void **state)
{
        struct buf b;
        (void)state;
        buf_init(&b, 10);
        buf_str(&b, "12345");
        buf_printf(&b, "%d", 67890);
        assert_false(b.failed);
        assert_string_equal(buf_cstr(&b), "1234567890"); /* the NUL is not counted */
        buf_str(&b, "x");
        assert_true(b.failed);
        buf_reset(&b);
        buf_printf(&b, "%s", "01234567890");
        assert_true(b.failed);
        assert_int_equal(b.n, 0);
        buf_str(&b, "a"); /* sticky */
        assert_int_equal(b.n, 0);
        assert_string_equal(buf_cstr(&b), "");
        buf_fini(&b);
}

/* A queue that never empties: what is appended comes out, and memory stays near what is queued. */
static void test_queue(void **state)
{
        struct buf b;
        uint8_t in = 0, out = 0;
        (void)state;
        buf_init(&b, 1 << 20);
        for (int round = 0; round < 20000; round++) {
                uint8_t chunk[37];
                for (size_t i = 0; i < sizeof chunk; i++)
                        chunk[i] = in++;
                buf_add(&b, chunk, sizeof chunk);
                size_t take = round < 10 ? 5 : b.n > 300 ? 40 : 35;
                for (size_t i = 0; i < take; i++)
                        assert_int_equal(b.p[i], out++);
                buf_consume(&b, take);
                assert_true(b.hole + b.cap < 8192);
        }
        while (b.n) {
                assert_int_equal(b.p[0], out++);
                buf_consume(&b, 1);
        }
        assert_int_equal(in, out);
        assert_int_equal(b.hole, 0);
        buf_fini(&b);
}

static void test_reserve(void **state)
{
        struct buf b;
        (void)state;
        buf_init(&b, 4096);
        uint8_t *p = buf_reserve(&b, 4096);
        assert_non_null(p);
        memset(p, 'x', 4096);
        b.n = 4096;
        assert_int_equal(strlen(buf_cstr(&b)), 4096);
        assert_null(buf_reserve(&b, 1));
        buf_fini(&b);
}

static void test_cursor(void **state)
{
        uint8_t u8;
        uint16_t u16;
        uint32_t u32 = 77;
        struct span s;
        struct cursor c = cur_of(SPAN_LIT("\x01\x02\x03\x04\x05\x06\x07zz"));
        (void)state;
        assert_true(cur_u8(&c, &u8) && u8 == 1);
        assert_true(cur_u16_be(&c, &u16) && u16 == 0x0203);
        assert_true(cur_u32_be(&c, &u32) && u32 == 0x04050607);
        assert_true(cur_span(&c, 1, &s) && s.p[0] == 'z');
        assert_false(cur_u16_be(&c, &u16));
        assert_int_equal(u16, 0x0203); /* untouched */
        assert_false(cur_u8(&c, &u8)); /* bad stays bad */
        assert_true(c.bad);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_append_and_cap), cmocka_unit_test(test_queue),
                                           cmocka_unit_test(test_reserve), cmocka_unit_test(test_cursor)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
