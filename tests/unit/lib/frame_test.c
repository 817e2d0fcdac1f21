/* tests/unit/lib/frame_test.c - the frame decoder: whole, byte by byte, in random splits; each way to be refused. */
#include "lib/base.h"
#include "tests/unit/lib/fixture.h"

#include "lib/core/cursor.h"
#include "lib/core/frame.h"
#include "lib/core/hash.h"
#include "lib/control.pb-c.h"

static void seal(uint8_t *h, size_t body)
{
        put_u32_be(h + 16, crc32c(crc32c(0, h, 16), h + FRAME_HEADER_BYTES, body));
}

/* A frame around any bytes, as the picture in frame.h has it. */
static void raw_frame(struct buf *b, enum frame_type type, uint32_t seq, struct span body)
{
        uint8_t *h = buf_reserve(b, FRAME_HEADER_BYTES + body.n);
        assert_non_null(h);
        memcpy(h, "GHC1", 4);
        h[4] = (uint8_t)type;
        h[5] = 0;
        put_u16_be(h + 6, 0);
        put_u32_be(h + 8, (uint32_t)body.n);
        put_u32_be(h + 12, seq);
        if (body.n)
                memcpy(h + FRAME_HEADER_BYTES, body.p, body.n);
        seal(h, body.n);
        b->n += FRAME_HEADER_BYTES + body.n;
}

static struct buf stream_make(void)
{
        struct buf b;
        Control__Ping p = CONTROL__PING__INIT;
        buf_init(&b, 1 << 20);
        raw_frame(&b, FRAME_HELLO, 1, SPAN_LIT("hello"));
        raw_frame(&b, FRAME_PONG, 2, SPAN_NULL);
        p.seq = 99;
        assert_int_equal(frame_encode_msg(&b, FRAME_PING, 3, &p.base), 0);
        assert_false(b.failed);
        return b;
}

/* Feeds pieces of the given sizes and checks the three frames of stream_make. */
static void feed(const struct buf *all, size_t (*piece)(uint32_t *seed, size_t left), uint32_t seed)
{
        static const struct {
                enum frame_type type;
                const char *body;
        } want[] = {{FRAME_HELLO, "hello"}, {FRAME_PONG, ""}, {FRAME_PING, "\x08\x63"}};
        struct buf in;
        size_t frames = 0;
        buf_init(&in, 1 << 20);
        for (size_t at = 0; at < all->n;) {
                size_t n = piece(&seed, all->n - at);
                buf_add(&in, all->p + at, n);
                at += n;
                struct frame f;
                size_t used;
                enum frame_rc rc;
                while ((rc = frame_decode(buf_span(&in), &f, &used)) == FRAME_OK) {
                        assert_true(frames < ARRAY_SIZE(want));
                        assert_int_equal(f.type, want[frames].type);
                        assert_int_equal(f.seq, frames + 1);
                        assert_true(span_eq_str(f.body, want[frames].body));
                        frames++;
                        buf_consume(&in, used);
                }
                assert_int_equal(rc, FRAME_MORE);
        }
        assert_int_equal(frames, ARRAY_SIZE(want));
        assert_int_equal(in.n, 0);
        buf_fini(&in);
}

static size_t piece_all(uint32_t *seed, size_t left)
{
        return (void)seed, left;
}
static size_t piece_byte(uint32_t *seed, size_t left)
{
        return (void)seed, (void)left, 1;
}
static size_t piece_random(uint32_t *seed, size_t left)
{
        *seed = *seed * 1664525 + 1013904223;
        return 1 + (*seed >> 16) % MIN(left, (size_t)17);
}

static void test_splits(void **state)
{
        struct buf b = stream_make();
        (void)state;
        feed(&b, piece_all, 0);
        feed(&b, piece_byte, 0);
        for (uint32_t seed = 0; seed < 200; seed++)
                feed(&b, piece_random, seed);
        buf_fini(&b);
}

static void test_refusals(void **state)
{
        static const struct {
                const char *name;
                size_t at;
                uint8_t value;
                bool reseal; /* a correct checksum over the change */
                enum frame_rc want;
        } cases[] = {
                {"unchanged", 4, FRAME_HELLO, true, FRAME_OK},
                {"magic", 0, 'X', true, FRAME_BAD_MAGIC},
                {"version in the magic", 3, '2', true, FRAME_BAD_MAGIC},
                {"length over the limit", 8, 1, true, FRAME_BAD_LENGTH},
                {"length just over", 9, 4, true, FRAME_BAD_LENGTH}, /* 256 KiB + 5 */
                {"length longer than what is here", 10, 1, true, FRAME_MORE},
                {"type without checksum", 4, FRAME_PING, false, FRAME_BAD_CRC},
                {"flag without checksum", 5, 0x80, false, FRAME_BAD_CRC},
                {"sequence without checksum", 15, 9, false, FRAME_BAD_CRC},
                {"body without checksum", 22, 'X', false, FRAME_BAD_CRC},
                {"unknown type", 4, 200, true, FRAME_OK},
                {"type 0", 4, 0, true, FRAME_OK},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct buf b;
                struct frame f = {.type = FRAME_PING};
                size_t used = 0;
                buf_init(&b, 4096);
                raw_frame(&b, FRAME_HELLO, 1, SPAN_LIT("hello"));
                b.p[cases[i].at] = cases[i].value;
                if (cases[i].reseal)
                        seal(b.p, 5);
                enum frame_rc rc = frame_decode(buf_span(&b), &f, &used);
                if (rc != cases[i].want)
                        fail_msg("%s: %s", cases[i].name, frame_rc_str(rc));
                if (rc == FRAME_OK)
                        assert_int_equal(used, 25);
                if (rc == FRAME_OK && i > 0)
                        assert_int_equal(f.type, FRAME_TYPE_N); /* skipped */
                buf_fini(&b);
        }
}

static void test_critical_unknown(void **state)
{
        struct buf b;
        struct frame f;
        size_t used;
        (void)state;
        buf_init(&b, 4096);
        raw_frame(&b, FRAME_HELLO, 1, SPAN_LIT("hello"));
        b.p[5] = FRAME_CRITICAL;
        seal(b.p, 5);
        assert_int_equal(frame_decode(buf_span(&b), &f, &used), FRAME_OK); /* critical and known */
        b.p[4] = 77;
        seal(b.p, 5);
        assert_int_equal(frame_decode(buf_span(&b), &f, &used), FRAME_BAD_TYPE);
        buf_fini(&b);
}

static void test_biggest(void **state)
{
        struct buf b;
        struct frame f;
        size_t used;
        Control__SectionChunk s = CONTROL__SECTION_CHUNK__INIT;
        uint8_t *big = calloc(1, FRAME_MAX_BODY);
        (void)state;
        buf_init(&b, 1 << 20);
        raw_frame(&b, FRAME_SECTION, 1, SPAN(big, FRAME_MAX_BODY));
        assert_int_equal(frame_decode(buf_span(&b), &f, &used), FRAME_OK);
        assert_int_equal(f.body.n, FRAME_MAX_BODY);
        buf_reset(&b);
        s.data = (ProtobufCBinaryData){FRAME_MAX_BODY, big};
        assert_int_equal(frame_encode_msg(&b, FRAME_SECTION, 1, &s.base), -E2BIG);
        assert_int_equal(b.n, 0);
        s.data.len = SECTION_CHUNK_BYTES;
        assert_int_equal(frame_encode_msg(&b, FRAME_SECTION, 1, &s.base), 0);
        buf_fini(&b);
        buf_init(&b, 100);
        assert_int_equal(frame_encode_msg(&b, FRAME_SECTION, 1, &s.base), -ENOMEM);
        buf_fini(&b);
        free(big);
}

static void test_names(void **state)
{
        (void)state;
        assert_string_equal(frame_type_str(FRAME_ACTIVATE), "ACTIVATE");
        assert_string_equal(frame_type_str(FRAME_TYPE_N), "unknown");
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_splits), cmocka_unit_test(test_refusals),
                                           cmocka_unit_test(test_critical_unknown), cmocka_unit_test(test_biggest),
                                           cmocka_unit_test(test_names)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
