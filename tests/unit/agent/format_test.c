/* tests/unit/agent/format_test.c - the text formats, one row per accepted or refused text. */
#include "lib/base.h"

#include "agent/core/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define L63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

static const struct {
        enum format format;
        const char *text;
        bool want;
} formats[] = {
        { FORMAT_ANY, "", true },
        { FORMAT_SUBDOMAIN, "a", true },           { FORMAT_SUBDOMAIN, "a-b.c1.9", true },   { FORMAT_SUBDOMAIN, "", false },
        { FORMAT_SUBDOMAIN, "a.", false },         { FORMAT_SUBDOMAIN, ".a", false },        { FORMAT_SUBDOMAIN, "a..b", false },
        { FORMAT_SUBDOMAIN, "-a", false },         { FORMAT_SUBDOMAIN, "a-", false },        { FORMAT_SUBDOMAIN, "a_b", false },
        { FORMAT_SUBDOMAIN, "a-.b", false },       { FORMAT_SUBDOMAIN, "A", false },         { FORMAT_SUBDOMAIN, L63 "a", true },
        { FORMAT_LABEL, L63, true },               { FORMAT_LABEL, L63 "a", false },         { FORMAT_LABEL, "a.b", false },
        { FORMAT_LABEL, "1-2", true },             { FORMAT_SERVICE_NAME, "1a", false },     { FORMAT_SERVICE_NAME, "a1", true },
        { FORMAT_HOSTNAME, "*.a", true },          { FORMAT_HOSTNAME, "*", false },          { FORMAT_HOSTNAME, "*.", false },
        { FORMAT_HOSTNAME, "*a.b", false },        { FORMAT_HOSTNAME, "a.*", false },        { FORMAT_HOSTNAME, "*.*.a", false },
        { FORMAT_GROUP, "", true },                { FORMAT_GROUP, "a.b", true },            { FORMAT_GROUP, "/", false },
        { FORMAT_KIND, "HTTPRoute", true },        { FORMAT_KIND, "a-b", true },             { FORMAT_KIND, "1a", false },
        { FORMAT_KIND, "", false },                { FORMAT_KIND, "a-", false },             { FORMAT_KIND, L63 "a", false },
        { FORMAT_WELL_KNOWN_CA, "System", true },  { FORMAT_WELL_KNOWN_CA, "a.b/c", true },  { FORMAT_WELL_KNOWN_CA, "system", false },
        { FORMAT_ABSOLUTE_URI, "spiffe://a/b", true }, { FORMAT_ABSOLUTE_URI, "://a", false }, { FORMAT_ABSOLUTE_URI, "a/b://c", false },
        { FORMAT_ABSOLUTE_URI, "a:b", false },     { FORMAT_ABSOLUTE_URI, "a://b c", false },
        { FORMAT_CONTROLLER, "a.b/c", true },      { FORMAT_CONTROLLER, "a.b/c/d%20", true },{ FORMAT_CONTROLLER, "a.b/", false },
        { FORMAT_CONTROLLER, "/a", false },        { FORMAT_CONTROLLER, "a.b", false },      { FORMAT_CONTROLLER, "a.b/c d", false },
        { FORMAT_PROTOCOL, "HTTP", true },         { FORMAT_PROTOCOL, "a.b/Word", true },    { FORMAT_PROTOCOL, "a.b/W-d", false },
        { FORMAT_PROTOCOL, "", false },            { FORMAT_PROTOCOL, "A-", false },
        { FORMAT_ADDRESS_TYPE, "Hostname", true }, { FORMAT_ADDRESS_TYPE, "x", false },      { FORMAT_ADDRESS_TYPE, "x.y/z", true },
        { FORMAT_TOKEN, "X-Abc_1", true },         { FORMAT_TOKEN, "a:", false },            { FORMAT_TOKEN, "", false },
        { FORMAT_TOKEN, "a b", false },            { FORMAT_TOKEN, "!#$%&'*+-.^_`|~", true },{ FORMAT_TOKEN, "(", false },
        { FORMAT_HEADER_VALUE, "a b\tc", true },   { FORMAT_HEADER_VALUE, "a  b", false },   { FORMAT_HEADER_VALUE, " a", false },
        { FORMAT_HEADER_VALUE, "a\n", false },     { FORMAT_HEADER_VALUE, "", false },       { FORMAT_HEADER_VALUE, "\xc3\xa4", false },
        { FORMAT_ORIGIN, "*", true },              { FORMAT_ORIGIN, "http://a", true },      { FORMAT_ORIGIN, "https://A.b-c:443", true },
        { FORMAT_ORIGIN, "https://*", true },      { FORMAT_ORIGIN, "https://*:8080", true },{ FORMAT_ORIGIN, "https://*.a.b", true },
        { FORMAT_ORIGIN, "https://", false },      { FORMAT_ORIGIN, "ftp://a", false },      { FORMAT_ORIGIN, "https://a.*.b", false },
        { FORMAT_ORIGIN, "http://a:", false },     { FORMAT_ORIGIN, "http://a:123456", false }, { FORMAT_ORIGIN, "http://a.", false },
        { FORMAT_ORIGIN, "http://*a", false },     { FORMAT_ORIGIN, "http://a/b", false },   { FORMAT_ORIGIN, "http://*.", false },
        { FORMAT_ORIGIN, "http://:80", false },    { FORMAT_ORIGIN, "https:/a", false },     { FORMAT_ORIGIN, "http", false },
        { FORMAT_URI_PATH, "/a-._~!$&'()*+,;=:@%aF", true }, { FORMAT_URI_PATH, "/%", false }, { FORMAT_URI_PATH, "/%4", false },
        { FORMAT_URI_PATH, "/%4g", false },        { FORMAT_URI_PATH, "/a b", false },       { FORMAT_URI_PATH, "/[", false },
        { FORMAT_LABEL_KEY, "a.b/c_D", true },     { FORMAT_LABEL_KEY, "c", true },          { FORMAT_LABEL_KEY, "/c", false },
        { FORMAT_LABEL_KEY, "a/", false },         { FORMAT_LABEL_KEY, "A.b/c", false },     { FORMAT_LABEL_KEY, "a/b/c", false },
        { FORMAT_LABEL_VALUE, "", true },          { FORMAT_LABEL_VALUE, "A_b.c-1", true },  { FORMAT_LABEL_VALUE, "-a", false },
        { FORMAT_LABEL_VALUE, L63, true },         { FORMAT_LABEL_VALUE, L63 "a", false },
        { FORMAT_DATA_KEY, "tls.crt", true },      { FORMAT_DATA_KEY, "..x", false },        { FORMAT_DATA_KEY, ".", false },
        { FORMAT_DATA_KEY, "a/b", false },         { FORMAT_DATA_KEY, ".x", true },          { FORMAT_DATA_KEY, "", false },
        { FORMAT_PORT_NAME, "http", true },        { FORMAT_PORT_NAME, "80", false },        { FORMAT_PORT_NAME, "a--b", false },
        { FORMAT_NETWORK, "10.0.0.0/8", true },    { FORMAT_NETWORK, "2001:db8::/32", true }, { FORMAT_NETWORK, "10.0.0.1", false },
        { FORMAT_NETWORK, "10.0.0.0/33", false },  { FORMAT_NETWORK, "", false },           { FORMAT_NETWORK, "any", false },
        { FORMAT_STATUS_RANGE, "200", true },      { FORMAT_STATUS_RANGE, "200-399", true }, { FORMAT_STATUS_RANGE, "399-200", false },
        { FORMAT_STATUS_RANGE, "600", false },     { FORMAT_STATUS_RANGE, "200-", false },  { FORMAT_STATUS_RANGE, "2xx", false },
        { FORMAT_STATUS_RANGE, "", false },        { FORMAT_STATUS_RANGE, "200-700", false },
        { FORMAT_PORT_NAME, "abcdefghijklmno", true }, { FORMAT_PORT_NAME, "abcdefghijklmnop", false }, { FORMAT_PORT_NAME, "", false },
};

static void texts(void **state)
{
        bool seen[FORMAT_N] = { false };
        for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
                seen[formats[i].format] = true;
                if (format_ok(formats[i].format, span_str(formats[i].text)) != formats[i].want)
                        fail_msg("format %d (%s): \"%s\"", formats[i].format, format_str(formats[i].format), formats[i].text);
        }
        for (size_t f = 0; f < FORMAT_N; f++)
                if (!seen[f])
                        fail_msg("format %zu has no row", f);
}

static void integers(void **state)
{
        static const struct {
                const char *text;
                bool ok;
                int64_t want;
        } rows[] = {
                { "0", true, 0 }, { "7", true, 7 }, { "-7", true, -7 }, { "999999999999999999", true, 999999999999999999 },
                { "", false, 0 }, { "-", false, 0 }, { "-0", false, 0 }, { "01", false, 0 }, { "+1", false, 0 }, { "1.0", false, 0 },
                { "1e3", false, 0 }, { "0x1", false, 0 }, { "1_000", false, 0 }, { " 1", false, 0 }, { "9999999999999999999", false, 0 },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                int64_t n = 0;
                bool ok = text_int(span_str(rows[i].text), &n);
                if (ok != rows[i].ok || n != rows[i].want)
                        fail_msg("\"%s\": %d %lld", rows[i].text, ok, (long long)n);
        }
}

static void durations(void **state)
{
        static const struct {
                const char *text;
                bool ok;
                uint32_t want;
        } rows[] = {
                { "0s", true, 0 }, { "1ms", true, 1 }, { "1m", true, 60000 }, { "1h1m1s1ms", true, 3661001 }, { "1s1s", true, 2000 },
                { "99999ms", true, 99999 }, { "99999h", true, UINT32_MAX }, { "", false, 0 }, { "1", false, 0 }, { "s", false, 0 },
                { "1.5s", false, 0 }, { "-1s", false, 0 }, { "1 s", false, 0 }, { "1us", false, 0 }, { "100000ms", false, 0 },
                { "1h1h1h1h1h", false, 0 }, { "1s1", false, 0 }, { "1S", false, 0 },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                uint32_t ms = 0;
                bool ok = text_duration_ms(span_str(rows[i].text), &ms);
                if (ok != rows[i].ok || ms != rows[i].want)
                        fail_msg("\"%s\": %d %u", rows[i].text, ok, ms);
        }
}

static void times(void **state)
{
        static const struct {
                const char *text;
                bool ok;
                int64_t want;
        } rows[] = {
                { "1970-01-01T00:00:00Z", true, 0 }, { "2000-02-29T12:00:00Z", true, 951825600 },
                { "2026-11-23T03:00:00.123456Z", true, 1795402800 }, { "2026-11-23T04:00:00+01:00", true, 1795402800 },
                { "2026-11-22T21:30:00-05:30", true, 1795402800 }, { "1969-12-31T23:59:59Z", true, -1 },
                { "2026-11-23", false, 0 }, { "2026-13-01T00:00:00Z", false, 0 }, { "2026-11-23T24:00:00Z", false, 0 },
                { "2026-11-23T03:00:00", false, 0 }, { "2026-11-23 03:00:00Z", false, 0 }, { "2026-11-23T03:00:00Zx", false, 0 },
                { "2026-11-23T03:00:00+1:00", false, 0 }, { "2026-11-23T03:00:00.", false, 0 }, { "", false, 0 },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                int64_t t = 0;
                bool ok = text_time(span_str(rows[i].text), &t);
                if (ok != rows[i].ok || (ok && t != rows[i].want))
                        fail_msg("\"%s\": %d %lld", rows[i].text, ok, (long long)t);
        }
}

static void base64(void **state)
{
        static const struct {
                const char *text, *want; /* want NULL = refused */
        } rows[] = {
                { "", "" }, { "YQ==", "a" }, { "YWI=", "ab" }, { "YWJj", "abc" }, { "YWJjZA==", "abcd" }, { "YW\nJj\r\n", "abc" },
                { "+/+/", "\xfb\xff\xbf" }, { "YQ=\n=", "a" }, { "YQ", NULL }, { "YQ=", NULL }, { "Y===", NULL }, { "=", NULL },
                { "YR==", NULL }, { "YWJ=", NULL }, { "YQ==YQ==", NULL }, { "YQ==\nx", NULL }, { "-_-_", NULL }, { "YW Jj", NULL },
                { "YQ=a", NULL },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct span in = span_str(rows[i].text);
                uint8_t *out = malloc(base64_room(in.n)); /* exact: a write too far is seen by ASan */
                size_t n = 0;
                assert_non_null(out);
                bool ok = text_base64(in, out, &n);
                if (ok != (rows[i].want != NULL) || (ok && !span_eq_str(SPAN(out, n), rows[i].want)))
                        fail_msg("\"%s\"", rows[i].text);
                free(out);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(texts), cmocka_unit_test(integers), cmocka_unit_test(durations), cmocka_unit_test(times),
                cmocka_unit_test(base64),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
