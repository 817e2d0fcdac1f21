/* tests/unit/l7gw/msg_test.c - fields of a message, names by id, character classes. */
#include "lib/base.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/msg.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Every row of FIELD_IDS is found by field_id_of, whose switch is written by hand. */
static void test_ids(void **state)
{
        (void)state;
#define F(id, name)                                                  \
        assert_int_equal(field_id_of(SPAN_LIT(name)), FIELD_##id);   \
        assert_int_equal(field_id_of(SPAN_LIT(name "x")), FIELD_OTHER); \
        assert_int_equal(field_id_of(SPAN(name, sizeof(name) - 2)), FIELD_OTHER);
        FIELD_IDS(F)
#undef F
        assert_int_equal(field_id_of(SPAN_NULL), FIELD_OTHER);
        assert_int_equal(field_id_of(SPAN_LIT("Host")), FIELD_OTHER); /* lower case is the caller's duty */
}

static void fields_are(const struct msg *m, const char *want)
{
        char text[512] = "";
        size_t n = 0;
        for (size_t i = 0; i < m->n_fields; i++)
                n += (size_t)snprintf(text + n, sizeof text - n, "%.*s=%.*s ", SPAN_FMT(m->fields[i].name),
                                      SPAN_FMT(m->fields[i].value));
        assert_string_equal(text, want);
}

static void test_edit(void **state)
{
        (void)state;
        struct arena a;
        struct msg m;
        arena_init(&a, 4096, SIZE_MAX);
        msg_init(&m, &a);
        assert_int_equal(msg_add(&m, SPAN_LIT("A"), SPAN_LIT("1")), 0);
        assert_int_equal(msg_add(&m, SPAN_LIT("server"), SPAN_LIT("s")), 0);
        assert_int_equal(msg_add(&m, SPAN_LIT("a"), SPAN_LIT("2")), 0);
        fields_are(&m, "a=1 server=s a=2 ");
        assert_ptr_equal(msg_find(&m, SPAN_LIT("a")), &m.fields[0]);
        assert_ptr_equal(msg_find(&m, SPAN_LIT("SERVER")), msg_find_id(&m, FIELD_SERVER));
        assert_null(msg_find(&m, SPAN_LIT("b")));
        assert_null(msg_find_id(&m, FIELD_DATE));
        assert_int_equal(msg_set(&m, SPAN_LIT("A"), SPAN_LIT("3")), 0);
        fields_are(&m, "a=3 server=s ");
        assert_int_equal(msg_set(&m, SPAN_LIT("B"), SPAN_NULL), 0);
        fields_are(&m, "a=3 server=s b= ");
        msg_remove(&m, SPAN_LIT("Server"));
        msg_remove(&m, SPAN_LIT("absent"));
        fields_are(&m, "a=3 b= ");
        arena_fini(&a);
}

/* Nothing that could end a line, or be another field, gets in. */
static void test_guard(void **state)
{
        (void)state;
        static const struct span bad_names[] = { { NULL, 0 }, SPAN_LIT("a b"), SPAN_LIT("a:"), SPAN_LIT("a\r\n"), SPAN_LIT("\0"), SPAN_LIT("\xc3") };
        static const struct span bad_values[] = { SPAN_LIT("a\rb"), SPAN_LIT("a\nb"), SPAN_LIT("\0"), SPAN_LIT(" a"), SPAN_LIT("a\t"), SPAN_LIT("\x7f") };
        struct arena a;
        struct msg m;
        arena_init(&a, 4096, SIZE_MAX);
        msg_init(&m, &a);
        for (size_t i = 0; i < ARRAY_SIZE(bad_names); i++) {
                assert_int_equal(msg_add(&m, bad_names[i], SPAN_LIT("v")), -EINVAL);
                assert_int_equal(msg_set(&m, bad_names[i], SPAN_LIT("v")), -EINVAL);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad_values); i++) {
                assert_int_equal(msg_add(&m, SPAN_LIT("n"), bad_values[i]), -EINVAL);
                assert_int_equal(msg_set(&m, SPAN_LIT("n"), bad_values[i]), -EINVAL);
        }
        assert_int_equal(m.n_fields, 0);
        arena_fini(&a);
}

static void test_bounds(void **state)
{
        (void)state;
        struct arena a;
        struct msg m;
        arena_init(&a, 4096, SIZE_MAX);
        msg_init(&m, &a);
        size_t n = 0;
        while (msg_add(&m, SPAN_LIT("a"), SPAN_LIT("v")) == 0)
                n++;
        assert_int_equal(n, MSG_MAX_STORED);
        arena_fini(&a);
        arena_init(&a, 4096, 0);
        msg_init(&m, &a);
        assert_int_equal(msg_add(&m, SPAN_LIT("a"), SPAN_LIT("v")), -ENOMEM);
        assert_int_equal(msg_add(&m, SPAN_LIT("A"), SPAN_LIT("v")), -ENOMEM);
        arena_fini(&a);
}

static void test_classes(void **state)
{
        (void)state;
        size_t tokens = 0;
        for (unsigned c = 0; c < 256; c++) {
                uint8_t b = (uint8_t)c;
                tokens += char_is(b, CH_TOKEN);
                assert_int_equal(char_is(b, CH_VALUE), c == '\t' || (c >= 0x20 && c != 0x7f));
                assert_int_equal(char_is(b, CH_TARGET), c > 0x20 && c < 0x7f && c != '#' && c != '\\');
                assert_false(char_is(b, CH_TOKEN) && !char_is(b, CH_VALUE));
                assert_false(char_is(b, CH_UNRESERVED) && !char_is(b, CH_PCHAR));
                assert_int_equal(char_lower[b], c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        assert_int_equal(tokens, 77); /* RFC 9110 5.6.2: 15 marks, 10 digits, 52 letters */
        assert_false(char_is('%', CH_PCHAR));
        assert_int_equal(hex_value('0'), 0);
        assert_int_equal(hex_value('f'), 15);
        assert_int_equal(hex_value('A'), 10);
}

/* chars_value equals the table: every byte at every place of every length up to three vectors. */
static void test_value_vector(void **state)
{
        (void)state;
        uint8_t text[48];
        for (size_t n = 0; n <= sizeof text; n++)
                for (size_t at = 0; at < MAX(n, (size_t)1); at++)
                        for (unsigned c = 0; c < 256; c++) {
                                memset(text, 'a', sizeof text);
                                text[at % sizeof text] = (uint8_t)c;
                                assert_int_equal(chars_value(SPAN(text, n)), chars_all(SPAN(text, n), CH_VALUE));
                        }
}

/* A copy stands when its original is gone, and a full arena is told, at whichever allocation. */
static void test_copy(void **state)
{
        (void)state;
        struct arena from;
        struct msg m, copy;
        for (size_t cap = 0;; cap += 16) {
                struct arena to;
                arena_init(&from, 4096, SIZE_MAX);
                arena_init(&to, 64, cap);
                msg_init(&m, &from);
                m.method = arena_span(&from, SPAN_LIT("POST"));
                m.path = arena_span(&from, SPAN_LIT("/a/b"));
                m.query = arena_span(&from, SPAN_LIT("c=d"));
                m.has_query = true;
                m.authority = m.host = arena_span(&from, SPAN_LIT("h.example"));
                m.framing = BODY_LENGTH;
                m.content_length = 7;
                for (int i = 0; i < 3; i++)
                        assert_int_equal(msg_add(&m, arena_span(&from, SPAN_LIT("x-request-id")), arena_span(&from, SPAN_LIT("17"))), 0);
                msg_init(&copy, &to);
                int r = msg_copy(&copy, &m);
                arena_wipe(&from);
                arena_fini(&from);
                if (r == 0) {
                        assert_true(span_eq_str(copy.method, "POST") && span_eq_str(copy.path, "/a/b") && span_eq_str(copy.query, "c=d") &&
                                    span_eq_str(copy.host, "h.example") && copy.has_query && copy.content_length == 7 && copy.arena == &to);
                        assert_int_equal(copy.n_fields, 3);
                        assert_true(copy.fields[2].id == FIELD_X_REQUEST_ID && span_eq_str(copy.fields[2].value, "17"));
                        arena_fini(&to);
                        return;
                }
                assert_int_equal(r, -ENOMEM);
                arena_fini(&to);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_ids), cmocka_unit_test(test_edit), cmocka_unit_test(test_guard),
                                            cmocka_unit_test(test_bounds), cmocka_unit_test(test_classes),
                                            cmocka_unit_test(test_value_vector), cmocka_unit_test(test_copy) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
