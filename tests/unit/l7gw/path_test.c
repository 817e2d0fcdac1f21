/* tests/unit/l7gw/path_test.c - normal form of paths and authorities.  (RFC 3986 5.2.4, 6.2.2; requirements 21-27) */
#include "lib/base.h"
#include "l7gw/core/path.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct {
        const char *in, *out; /* NULL = -EINVAL */
} paths[] = {
        { "/", "/" }, { "/a", "/a" }, { "/a/", "/a/" }, { "/a/b", "/a/b" }, { "//", "//" }, { "//a//b", "//a//b" },
        { "/.", "/" }, { "/./", "/" }, { "/a/.", "/a/" }, { "/a/./b", "/a/b" }, { "/a/..", "/" }, { "/a/../", "/" },
        { "/a/../b", "/b" }, { "/a/b/..", "/a/" }, { "/a/b/../", "/a/" }, { "/a/b/../../c", "/c" }, { "//..", "/" },
        { "/a//..", "/a/" }, { "/a//../b", "/a/b" }, { "/...", "/..." }, { "/.a", "/.a" }, { "/..a", "/..a" }, { "/a/b../c", "/a/b../c" },
        { "/mid/content=5/../6", "/mid/6" }, { "/a/b/c/./../../g", "/a/g" },
        { "/%41", "/A" }, { "/%7e%2D%2e%5F", "/~-._" }, { "/%2e", "/" }, { "/a/%2E%2e", "/" }, { "/a/.%2e/b", "/b" },
        { "/%2f", "/%2F" }, { "/a%2f..%2fb", "/a%2F..%2Fb" }, { "/%5c", "/%5C" }, { "/%c3%a9", "/%C3%A9" }, { "/%25", "/%25" },
        { "/%2541", "/%2541" }, { "/%0d%0a", "/%0D%0A" }, { "/%20", "/%20" }, { "/%3f%23", "/%3F%23" },
        { "/a;b=c,d", "/a;b=c,d" }, { "/!$&'()*+,;=:@", "/!$&'()*+,;=:@" },
        { "/{a}|\"<b>^`", "/%7Ba%7D%7C%22%3Cb%3E%5E%60" },
        { "/..", NULL }, { "/../a", NULL }, { "/a/../..", NULL }, { "/a/../../b", NULL }, { "/%2e%2e", NULL }, { "/./..", NULL },
        { "", NULL }, { "a", NULL }, { "*", NULL }, { "/%", NULL }, { "/%4", NULL }, { "/%4g", NULL }, { "/%g4", NULL }, { "/%00", NULL },
        { "/a b", NULL }, { "/a\\b", NULL }, { "/a#b", NULL }, { "/a?b", NULL }, { "/\x7f", NULL }, { "/\x01", NULL }, { "/\xc3\xa9", NULL },
        { "/\t", NULL }, { "/\r\n", NULL },
};

static void test_paths(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                struct arena a;
                struct span out = SPAN_NULL, again;
                arena_init(&a, 1024, SIZE_MAX);
                int r = path_normalise(&a, span_str(paths[i].in), &out);
                bool ok = paths[i].out ? r == 0 && span_eq_str(out, paths[i].out) : r == -EINVAL;
                if (!ok)
                        print_error("path %s: %d \"%.*s\"\n", paths[i].in, r, SPAN_FMT(out));
                assert_true(ok);
                if (r == 0) { /* normal is normal */
                        assert_int_equal(path_normalise(&a, out, &again), 0);
                        assert_true(span_eq(out, again));
                }
                arena_fini(&a);
        }
}

static const struct {
        const char *in, *host; /* NULL = -EINVAL */
        uint16_t port;
} authorities[] = {
        { "a", "a", 0 }, { "A.Example", "a.example", 0 }, { "a.example.", "a.example", 0 }, { "a.example:8080", "a.example", 8080 },
        { "a.example.:1", "a.example", 1 }, { "a:65535", "a", 65535 }, { "a:00080", "a", 80 }, { "a_b-c.d", "a_b-c.d", 0 },
        { "10.0.0.1:80", "10.0.0.1", 80 }, { "[::1]", "[::1]", 0 }, { "[2001:DB8:0:0::1]:443", "[2001:db8::1]", 443 },
        { "xn--bcher-kva.example", "xn--bcher-kva.example", 0 },
        { "", NULL, 0 }, { ".", NULL, 0 }, { "..", NULL, 0 }, { ".a", NULL, 0 }, { "a..b", NULL, 0 }, { "a..", NULL, 0 }, { ":80", NULL, 0 },
        { "a:", NULL, 0 }, { "a:0", NULL, 0 }, { "a:65536", NULL, 0 }, { "a:123456", NULL, 0 }, { "a:+1", NULL, 0 }, { "a:8o", NULL, 0 },
        { "a:1:2", NULL, 0 }, { "u@a", NULL, 0 }, { "u:p@a", NULL, 0 }, { "a/b", NULL, 0 }, { "a?b", NULL, 0 }, { "a#b", NULL, 0 }, { "a\\b", NULL, 0 },
        { "a b", NULL, 0 }, { "a,b", NULL, 0 }, { "a%41", NULL, 0 }, { "*.a", NULL, 0 }, { "::1", NULL, 0 }, { "[::1", NULL, 0 }, { "[]", NULL, 0 },
        { "[::1]x", NULL, 0 }, { "[::1]:", NULL, 0 }, { "[::g]", NULL, 0 }, { "[10.0.0.1]", NULL, 0 }, { "[fe80::1%25eth0]", NULL, 0 }, { "[v1.a]", NULL, 0 },
        { "\xc3\xa9", NULL, 0 }, { "a\x01", NULL, 0 }, { "a\r\n", NULL, 0 },
};

static void test_authorities(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(authorities); i++) {
                struct arena a;
                struct span host = SPAN_NULL;
                uint16_t port = 0;
                arena_init(&a, 1024, SIZE_MAX);
                int r = authority_split(&a, span_str(authorities[i].in), &host, &port);
                bool ok = authorities[i].host ? r == 0 && span_eq_str(host, authorities[i].host) && port == authorities[i].port
                                              : r == -EINVAL;
                if (!ok)
                        print_error("authority %s: %d \"%.*s\" %u\n", authorities[i].in, r, SPAN_FMT(host), port);
                assert_true(ok);
                arena_fini(&a);
        }
        char name[257]; /* 255 bytes pass, 256 do not */
        memset(name, 'a', sizeof name);
        struct arena a;
        struct span host;
        uint16_t port;
        arena_init(&a, 1024, SIZE_MAX);
        assert_int_equal(authority_split(&a, SPAN(name, 255), &host, &port), 0);
        assert_int_equal(authority_split(&a, SPAN(name, 256), &host, &port), -EINVAL);
        arena_fini(&a);
}

static void test_targets(void **state)
{
        (void)state;
        struct arena a;
        struct span path, query;
        bool has;
        arena_init(&a, 1024, SIZE_MAX);
        assert_int_equal(target_split(&a, SPAN_LIT("/a/../b?c?d=%&/.."), &path, &query, &has), 0);
        assert_true(span_eq_str(path, "/b") && span_eq_str(query, "c?d=%&/..") && has);
        assert_int_equal(target_split(&a, SPAN_LIT("/a?"), &path, &query, &has), 0);
        assert_true(query.n == 0 && has);
        assert_int_equal(target_split(&a, SPAN_LIT("/a"), &path, &query, &has), 0);
        assert_false(has);
        assert_int_equal(target_split(&a, SPAN_LIT("?a"), &path, &query, &has), -EINVAL);
        assert_int_equal(target_split(&a, SPAN_LIT("/?a b"), &path, &query, &has), -EINVAL);
        assert_int_equal(target_split(&a, SPAN_LIT(""), &path, &query, &has), -EINVAL);
        arena_fini(&a);
}

static void test_no_memory(void **state)
{
        (void)state;
        struct arena a;
        struct span s;
        uint16_t port;
        arena_init(&a, 1024, 0);
        assert_int_equal(path_normalise(&a, SPAN_LIT("/a"), &s), -ENOMEM);
        assert_int_equal(path_normalise(&a, SPAN_LIT("/a/../b"), &s), -ENOMEM);
        assert_int_equal(authority_split(&a, SPAN_LIT("a"), &s, &port), -ENOMEM);
        assert_int_equal(authority_split(&a, SPAN_LIT("[::1]"), &s, &port), -ENOMEM);
        arena_fini(&a);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_paths), cmocka_unit_test(test_authorities),
                                            cmocka_unit_test(test_targets), cmocka_unit_test(test_no_memory) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
