/* tests/unit/l7gw/proxy_header_test.c - headers of the PROXY protocol: each row whole, byte by byte and with bytes behind it. */
#include "lib/base.h"
#include "l7gw/core/proxy_header.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\x0a\x00\x00\x01" "\xc0\x00\x02\x07" "\x30\x39" "\x01\xbb"
#define V6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1" "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2" "\xff\xff" "\x00\x50"
#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff" "\x0a\0\0\1" "\0\0\0\0\0\0\0\0\0\0\xff\xff" "\x0a\0\0\2" "\0\1" "\0\2"
#define ROW(s) { (const uint8_t *)(s), sizeof(s) - 1 }
static const struct {
        const char *name;
        struct span in;
        enum proxy_rc want;
        const char *text; /* "SRC PORT DST PORT" when the addresses are known */
} rows[] = {
        {"v1 TCP4", ROW("PROXY TCP4 10.0.0.1 192.0.2.7 12345 443\r\n"), PROXY_HEADER, "10.0.0.1 12345 192.0.2.7 443"},
        {"v1 TCP6", ROW("PROXY TCP6 2001:db8::1 2001:db8::2 65535 80\r\n"), PROXY_HEADER, "2001:db8::1 65535 2001:db8::2 80"},
        {"v1, IPv4 in IPv6", ROW("PROXY TCP6 ::ffff:10.0.0.1 ::ffff:10.0.0.2 1 2\r\n"), PROXY_HEADER, "10.0.0.1 1 10.0.0.2 2"},
        {"v1, one of both mapped", ROW("PROXY TCP6 ::ffff:10.0.0.1 2001:db8::2 1 2\r\n"), PROXY_HEADER, "::ffff:10.0.0.1 1 2001:db8::2 2"},
        {"v1 UNKNOWN", ROW("PROXY UNKNOWN\r\n"), PROXY_HEADER, NULL},
        {"v1 UNKNOWN with more", ROW("PROXY UNKNOWN ffff::1 what ever\r\n"), PROXY_HEADER, NULL},
        {"v1 port 0", ROW("PROXY TCP4 10.0.0.1 192.0.2.7 0 0\r\n"), PROXY_HEADER, "10.0.0.1 0 192.0.2.7 0"},
        {"v1 family of the other", ROW("PROXY TCP6 10.0.0.1 192.0.2.7 1 2\r\n"), PROXY_BAD, NULL},
        {"v1 two families", ROW("PROXY TCP4 10.0.0.1 2001:db8::1 1 2\r\n"), PROXY_BAD, NULL},
        {"v1 two spaces", ROW("PROXY TCP4  10.0.0.1 192.0.2.7 1 2\r\n"), PROXY_BAD, NULL},
        {"v1 a space at the end", ROW("PROXY TCP4 10.0.0.1 192.0.2.7 1 2 \r\n"), PROXY_BAD, NULL},
        {"v1 a zero in front", ROW("PROXY TCP4 10.0.0.1 192.0.2.7 01 2\r\n"), PROXY_BAD, NULL},
        {"v1 65536", ROW("PROXY TCP4 10.0.0.1 192.0.2.7 65536 2\r\n"), PROXY_BAD, NULL},
        {"v1 a sign", ROW("PROXY TCP4 10.0.0.1 192.0.2.7 +1 2\r\n"), PROXY_BAD, NULL},
        {"v1 no port", ROW("PROXY TCP4 10.0.0.1 192.0.2.7 1\r\n"), PROXY_BAD, NULL},
        {"v1 octal", ROW("PROXY TCP4 10.0.0.01 192.0.2.7 1 2\r\n"), PROXY_BAD, NULL},
        {"v1 lower case", ROW("PROXY tcp4 10.0.0.1 192.0.2.7 1 2\r\n"), PROXY_BAD, NULL},
        {"v1 bare LF", ROW("PROXY TCP4 10.0.0.1 192.0.2.7 1 2\n"), PROXY_BAD, NULL},
        {"v1 nothing", ROW("PROXY \r\n"), PROXY_BAD, NULL},
        {"v1 UDP4", ROW("PROXY UDP4 10.0.0.1 192.0.2.7 1 2\r\n"), PROXY_BAD, NULL},
        {"v1 without an end",
         ROW("PROXY UNKNOWN xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
         PROXY_BAD, NULL},
        {"a request", ROW("GET / HTTP/1.1\r\n\r\n"), PROXY_NONE, NULL},
        {"almost", ROW("PROXX TCP4"), PROXY_NONE, NULL},
        {"an empty line and a request", ROW("\r\nGET / HTTP/1.1\r\n\r\n"), PROXY_NONE, NULL},
        {"a client hello", ROW("\x16\x03\x01\x02"), PROXY_NONE, NULL},
        {"v2 TCP4", ROW(SIG "\x21\x11\0\x0c" V4), PROXY_HEADER, "10.0.0.1 12345 192.0.2.7 443"},
        {"v2 TCP6", ROW(SIG "\x21\x21\0\x24" V6), PROXY_HEADER, "2001:db8::1 65535 2001:db8::2 80"},
        {"v2, IPv4 in IPv6", ROW(SIG "\x21\x21\0\x24" MAPPED), PROXY_HEADER, "10.0.0.1 1 10.0.0.2 2"},
        {"v2 with TLVs", ROW(SIG "\x21\x11\0\x15" V4 "\x04\0\0" "\xea\0\3abc"), PROXY_HEADER, "10.0.0.1 12345 192.0.2.7 443"},
        {"v2 LOCAL", ROW(SIG "\x20\0\0\0"), PROXY_HEADER, NULL},
        {"v2 LOCAL with an address", ROW(SIG "\x20\x11\0\x0c" V4), PROXY_HEADER, NULL},
        {"v2 LOCAL of an unknown family", ROW(SIG "\x20\xff\0\x02hi"), PROXY_HEADER, NULL},
        {"v2 UNSPEC", ROW(SIG "\x21\0\0\x03" "abc"), PROXY_HEADER, NULL},
        {"v2 UDP4", ROW(SIG "\x21\x12\0\x0c" V4), PROXY_HEADER, NULL},
        {"v2 a TLV beyond the end", ROW(SIG "\x21\x11\0\x10" V4 "\x04\0\2a"), PROXY_BAD, NULL},
        {"v2 half a TLV", ROW(SIG "\x21\x11\0\x0e" V4 "\x04\0"), PROXY_BAD, NULL},
        {"v2 too short for its family", ROW(SIG "\x21\x11\0\x0b" V4), PROXY_BAD, NULL},
        {"v2 too short for IPv6", ROW(SIG "\x21\x21\0\x0c" V4), PROXY_BAD, NULL},
        {"v2 an unknown family", ROW(SIG "\x21\x41\0\x0c" V4), PROXY_BAD, NULL},
        {"v2 an unknown transport", ROW(SIG "\x21\x13\0\x0c" V4), PROXY_BAD, NULL},
        {"v2 an unknown command", ROW(SIG "\x22\x11\0\x0c" V4), PROXY_BAD, NULL},
        {"version 3", ROW(SIG "\x31\x11\0\x0c" V4), PROXY_BAD, NULL},
        {"v2 longer than anybody needs", ROW(SIG "\x21\x11\xff\xff" V4), PROXY_BAD, NULL},
};

static const char *text(const struct proxy_addrs *a, char ret[128])
{
        char s[IPADDR_STR_MAX], d[IPADDR_STR_MAX];
        snprintf(ret, 128, "%s %u %s %u", ipaddr_str(&a->src, s), a->src_port, ipaddr_str(&a->dst, d), a->dst_port);
        return ret;
}

static void row_check(size_t i, const struct proxy_addrs *a, enum proxy_rc rc, size_t used)
{
        char got[128];
        if (rc != rows[i].want || (rc == PROXY_HEADER && (used != rows[i].in.n || a->known != (rows[i].text != NULL))) ||
            (rc == PROXY_HEADER && a->known && strcmp(text(a, got), rows[i].text) != 0))
                fail_msg("%s: rc=%d used=%zu known=%d", rows[i].name, (int)rc, used, a->known);
}

static void test_rows(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct proxy_addrs a;
                size_t used;
                enum proxy_rc rc = proxy_header_parse(rows[i].in, &a, &used);
                row_check(i, &a, rc, used);
                uint8_t *more = malloc(rows[i].in.n + 64); /* exactly as long as told: the sanitizer watches its end */
                assert_non_null(more);
                memcpy(more, rows[i].in.p, rows[i].in.n);
                memset(more + rows[i].in.n, '\n', 64);
                if (rc == PROXY_HEADER) {
                        rc = proxy_header_parse(SPAN(more, rows[i].in.n + 64), &a, &used);
                        row_check(i, &a, rc, used);
                }
                free(more);
                for (size_t n = 0; n < rows[i].in.n; n++) { /* byte by byte, each prefix in memory of its own */
                        uint8_t *part = malloc(n ? n : 1);
                        assert_non_null(part);
                        memcpy(part, rows[i].in.p, n);
                        rc = proxy_header_parse(SPAN(part, n), &a, &used);
                        if (rc != PROXY_MORE && rc != rows[i].want)
                                fail_msg("%s: %zu bytes: rc=%d", rows[i].name, n, (int)rc);
                        if (rc == PROXY_HEADER)
                                fail_msg("%s: whole after %zu bytes", rows[i].name, n);
                        free(part);
                }
        }
}

static void test_limit(void **state)
{
        uint8_t in[PROXY_V2_MAX + 1] = SIG "\x21\x11\x0f\xf0" V4;
        struct proxy_addrs a;
        size_t used;
        (void)state;
        in[28] = 0x04; /* one TLV to the end */
        in[29] = (uint8_t)((PROXY_V2_MAX - 31) >> 8);
        in[30] = (uint8_t)(PROXY_V2_MAX - 31);
        assert_int_equal(proxy_header_parse(SPAN(in, PROXY_V2_MAX - 1), &a, &used), PROXY_MORE);
        assert_int_equal(proxy_header_parse(SPAN(in, sizeof in), &a, &used), PROXY_HEADER);
        assert_int_equal(used, PROXY_V2_MAX);
        in[15]++; /* one byte more than we take */
        assert_int_equal(proxy_header_parse(SPAN(in, sizeof in), &a, &used), PROXY_BAD);
}

static void test_write(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct proxy_addrs a, back;
                size_t used;
                if (proxy_header_parse(rows[i].in, &a, &used) != PROXY_HEADER || (a.known && a.src.af != a.dst.af))
                        continue;
                for (unsigned version = 1; version <= 2; version++) {
                        uint8_t out[PROXY_WRITE_MAX];
                        char x[128], y[128];
                        size_t n = proxy_header_write(version, &a, out);
                        assert_int_equal(proxy_header_parse(SPAN(out, n), &back, &used), PROXY_HEADER);
                        assert_int_equal(used, n);
                        assert_int_equal(back.known, a.known);
                        if (a.known)
                                assert_string_equal(text(&back, x), text(&a, y));
                }
        }
        struct proxy_addrs longest = {.known = true, .src_port = 65535, .dst_port = 65535};
        assert_int_equal(ipaddr_parse(SPAN_LIT("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), &longest.src), 0);
        longest.dst = longest.src;
        uint8_t out[PROXY_WRITE_MAX];
        assert_in_range(proxy_header_write(1, &longest, out), 100, PROXY_V1_MAX);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_limit), cmocka_unit_test(test_write)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
