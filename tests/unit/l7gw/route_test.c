/* tests/unit/l7gw/route_test.c - routing: precedence, hosts, isolation, matches, weights, and scale.
 * Tables named "conformance:" follow the Gateway API conformance test of that name, sorted as the agent sorts. */
#include "lib/base.h"
#include "l7gw/core/route_table.h"
#include "tests/unit/l7gw/route_rows.h"

static struct world w; /* large: not on the stack */

#define RUN(rows, probes)                                    \
        do {                                                 \
                world_init(&w);                              \
                rows_add(&w, rows, ARRAY_SIZE(rows));        \
                world_must_build(&w);                        \
                probes_run(&w, probes, ARRAY_SIZE(probes));  \
                world_fini(&w);                              \
        } while (0)

static void test_paths(void **state)
{
        (void)state;
        static const struct row rows[] = {
                /* conformance: HTTPRouteExactPathMatching, HTTPRoutePathMatchOrder */
                { "", "", '=', "/match/exact/one", .rule = "exact-one" }, { "", "", '=', "/match/exact", .rule = "exact" },
                { "", "", '=', "/slash/", .rule = "exact-slash" }, { "", "", '=', "/", .rule = "exact-root" },
                { "", "", '^', "/match/prefix/one", .rule = "prefix-one" }, { "", "", '^', "/match/", .rule = "prefix-match" },
                { "", "", '^', "/v2", .rule = "v2" }, { "", "", '^', "/%7Euser", .rule = "tilde" },
                { "", "", '^', "/a%2fb", .rule = "opaque" },
        };
        static const struct probe probes[] = {
                { "h", "GET /match/exact/one", NULL, "exact-one" }, { "h", "GET /match/exact", NULL, "exact" },
                { "h", "GET /match", NULL, "prefix-match" }, { "h", "GET /match/", NULL, "prefix-match" },
                { "h", "GET /match/any", NULL, "prefix-match" }, { "h", "GET /match/exact/", NULL, "prefix-match" },
                { "h", "GET /match/prefix/one/any", NULL, "prefix-one" }, { "h", "GET /match/prefix/one", NULL, "prefix-one" },
                { "h", "GET /match/prefix/oneandmore", NULL, "prefix-match" }, { "h", "GET /matches", NULL, NULL },
                { "h", "GET /Match", NULL, NULL }, { "h", "GET /v2", NULL, "v2" }, { "h", "GET /v2/", NULL, "v2" },
                { "h", "GET /v2?x", NULL, "v2" }, { "h", "GET /v2example", NULL, NULL }, { "h", "GET /slash/", NULL, "exact-slash" },
                { "h", "GET /slash", NULL, NULL }, { "h", "GET /", NULL, "exact-root" }, { "h", "GET //", NULL, NULL },
                { "h", "GET /%6datch", NULL, "prefix-match" }, { "h", "GET /x/../v2/y", NULL, "v2" },
                { "h", "GET /~user/x", NULL, "tilde" }, { "h", "GET /%7euser", NULL, "tilde" },
                { "h", "GET /a%2Fb/c", NULL, "opaque" }, { "h", "GET /a/b/c", NULL, NULL }, { "h", "OPTIONS *", NULL, NULL },
        };
        RUN(rows, probes);
}

static void test_order_is_kept(void **state)
{
        (void)state;
        /* whatever the lists an entry sits in, the position decides: here a prefix stands before an exact path */
        static const struct row rows[] = {
                { "", "", '^', "/a", .header = "x=1", .rule = "first" }, { "", "", '=', "/a/b", .rule = "second" },
                { "", "", '*', .method = "POST", .rule = "third" }, { "", "", '^', "/a/b", .rule = "fourth" },
                { "", "", '^', "/", .rule = "last" },
        };
        static const struct probe probes[] = {
                { "h", "GET /a/b", "X: 1\r\n", "first" }, { "h", "GET /a/b", NULL, "second" }, { "h", "POST /a/b", NULL, "second" },
                { "h", "POST /a/b/c", NULL, "third" }, { "h", "GET /a/b/c", NULL, "fourth" }, { "h", "GET /a", NULL, "last" },
                { "h", "POST /zzz", NULL, "third" }, { "h", "OPTIONS *", NULL, NULL },
        };
        RUN(rows, probes);
}

static void test_matching_across_routes(void **state)
{
        (void)state;
        /* conformance: HTTPRouteMatching and HTTPRouteMatchingAcrossRoutes */
        static const struct row rows[] = {
                { "", "example.com", '^', "/v2", .rule = "infra-v2" }, { "", "example.com", '^', "/", .header = "version=one", .rule = "infra-v1h" },
                { "", "example.com", '^', "/", .header = "version=two", .rule = "infra-v2h" }, { "", "example.com", '^', "/", .rule = "infra-v1" },
                { "", "example.net", '^', "/", .header = "version=one", .rule = "net-v1h" }, { "", "example.net", '^', "/", .rule = "net-v1" },
        };
        static const struct probe probes[] = {
                { "example.com", "GET /", NULL, "infra-v1" }, { "example.com", "GET /example", NULL, "infra-v1" },
                { "example.com", "GET /", "Version: one\r\n", "infra-v1h" }, { "example.com", "GET /v2", NULL, "infra-v2" },
                { "example.com", "GET /v2example", NULL, "infra-v1" }, { "example.com", "GET /foo/v2/example", NULL, "infra-v1" },
                { "example.com", "GET /v2/example", "Version: one\r\n", "infra-v2" }, { "example.com", "GET /", "VERSION: two\r\n", "infra-v2h" },
                { "EXAMPLE.com.:8080", "GET /", NULL, "infra-v1" }, { "example.net", "GET /v2", NULL, "net-v1" },
                { "example.org", "GET /", NULL, NULL }, { "a.example.com", "GET /", NULL, NULL },
        };
        RUN(rows, probes);
}

static void test_headers(void **state)
{
        (void)state;
        /* conformance: HTTPRouteHeaderMatching, sorted: more headers first */
        static const struct row rows[] = {
                { "", "", '^', "/", .header = "version=two;color=orange", .rule = "two-orange" },
                { "", "", '^', "/", .header = "color=blue", .rule = "blue" }, { "", "", '^', "/", .header = "color=green", .rule = "green" },
                { "", "", '^', "/", .header = "version=one", .rule = "one" }, { "", "", '^', "/", .header = "version=two", .rule = "two" },
                { "", "", '^', "/", .header = "List=a,b", .rule = "list" }, { "", "", '^', "/", .header = "host=h:81", .rule = "host" },
                { "", "", '^', "/", .header = "upgrade=websocket", .rule = "upgrade" },
        };
        static const struct probe probes[] = {
                { "h", "GET /", "Version: one\r\n", "one" }, { "h", "GET /", "version: two\r\n", "two" },
                { "h", "GET /", "Version: two\r\nColor: orange\r\n", "two-orange" }, { "h", "GET /", "Color: blue\r\n", "blue" },
                { "h", "GET /", "Color: green\r\nVersion: one\r\n", "green" }, { "h", "GET /", "Version: One\r\n", NULL },
                { "h", "GET /", "Color: purple\r\n", NULL }, { "h", "GET /", NULL, NULL }, { "h", "GET /", "Version: one\r\nVersion: two\r\n", NULL },
                { "h", "GET /", "List: a\r\nLIST: b\r\n", "list" }, { "h", "GET /", "List: a,b\r\n", "list" }, { "h", "GET /", "List: a, b\r\n", NULL },
                { "h:81", "GET /", NULL, "host" }, { "h", "GET /", "Connection: upgrade\r\nUpgrade: WebSocket\r\n", "upgrade" },
        };
        RUN(rows, probes);
}

/* Kinds the agent does not make from routes today, on one line and on several; and inverted ones. */
static void test_header_kinds(void **state)
{
        (void)state;
        static const struct {
                Model__StringMatch__Kind kind;
                bool present_only, invert;
                const char *value, *fields;
                bool want;
        } rows[] = {
                { MODEL__STRING_MATCH__KIND__PREFIX, false, false, "ab", "X: abc\r\n", true }, { MODEL__STRING_MATCH__KIND__PREFIX, false, false, "abcd", "X: abc\r\n", false },
                { MODEL__STRING_MATCH__KIND__PREFIX, false, false, "ab,c", "X: ab\r\nX: cd\r\n", true }, { MODEL__STRING_MATCH__KIND__PREFIX, false, false, "ab,d", "X: ab\r\nX: cd\r\n", false },
                { MODEL__STRING_MATCH__KIND__SUFFIX, false, false, "bc", "X: abc\r\n", true }, { MODEL__STRING_MATCH__KIND__SUFFIX, false, false, "b,cd", "X: ab\r\nX: cd\r\n", true },
                { MODEL__STRING_MATCH__KIND__SUFFIX, false, false, "a,cd", "X: ab\r\nX: cd\r\n", false }, { MODEL__STRING_MATCH__KIND__EXACT, false, false, ",,", "X:\r\nX:\r\nX:\r\n", true },
                { MODEL__STRING_MATCH__KIND__EXACT, false, false, "a,,b", "X: a\r\nX:\r\nX: b\r\n", true }, { MODEL__STRING_MATCH__KIND__EXACT, false, false, "a,b,", "X: a\r\nX:\r\nX: b\r\n", false },
                { MODEL__STRING_MATCH__KIND__EXACT, true, false, "", "X: a\r\nX: b\r\n", true }, { MODEL__STRING_MATCH__KIND__EXACT, true, false, "", "Y: a\r\n", false },
                { MODEL__STRING_MATCH__KIND__EXACT, false, true, "a", "X: a\r\n", false }, { MODEL__STRING_MATCH__KIND__EXACT, false, true, "a", "X: b\r\n", true },
                { MODEL__STRING_MATCH__KIND__EXACT, false, true, "a", "Y: a\r\n", true },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                static const struct row row[] = { { "", "", '^', "/", .header = "X=", .rule = "r" } };
                world_init(&w);
                rows_add(&w, row, 1);
                Model__NamedMatch *n = w.gw.listeners[0]->virtual_hosts[0]->routes[0]->match->headers[0];
                n->value->kind = rows[i].kind;
                n->value->value = arena_strdup(&w.arena, rows[i].value);
                n->present_only = rows[i].present_only;
                n->invert = rows[i].invert;
                world_must_build(&w);
                const struct probe p = { "h", "GET /", rows[i].fields, rows[i].want ? "r" : NULL };
                probes_run(&w, &p, 1);
                world_fini(&w);
        }
}

static void test_regex(void **state)
{
        (void)state;
        /* sorted as the agent does: exact, then the longer text, a prefix before a regular expression of equal length */
        static const struct row rows[] = {
                { "", "", '=', "/a/exact", .rule = "exact" }, { "", "", '~', "/v[0-9]+/(?:users|teams)/[^/]+", .rule = "rest" },
                { "", "", '^', "/v1/users/longer/than/it", .rule = "long-prefix" }, { "", "", '~', "/a/.*|/b", .rule = "either" },
                { "", "", '^', "/a", .rule = "short-prefix" }, { "", "", '~', "/(?i)case", .rule = "case" },
                { "", "", '^', "/h", .header = "X-V~[a-c]+(,z)?", .rule = "header" },
                { "", "", '^', "/q", .query = "id~[0-9]{2,3}", .rule = "query" },
                { "", "", '~', "/dot.end", .header = "X~1", .query = "y~2", .rule = "all" },
        };
        static const struct probe probes[] = {
                { "h", "GET /a/exact", NULL, "exact" }, { "h", "GET /v1/users/7", NULL, "rest" }, { "h", "GET /v22/teams/x", NULL, "rest" },
                { "h", "GET /v22/teams/x/y", NULL, NULL }, { "h", "GET /xv1/users/7", NULL, NULL }, { "h", "GET /v1/users/7?a/b", NULL, "rest" },
                { "h", "GET /v1/users/longer/than/it", NULL, "long-prefix" }, { "h", "GET /a/x", NULL, "either" }, { "h", "GET /b", NULL, "either" },
                { "h", "GET /bb", NULL, NULL }, { "h", "GET /x/b", NULL, NULL }, { "h", "GET /a", NULL, "short-prefix" }, { "h", "GET /CASE", NULL, "case" },
                { "h", "GET /a/x%0Ay", NULL, "either" }, { "h", "GET /v1/users/%37", NULL, "rest" },
                { "h", "GET /h", "X-V: abc\r\n", "header" }, { "h", "GET /h", "X-V: abcd\r\n", NULL }, { "h", "GET /h", "X-V: ab\r\nx-v: z\r\n", "header" },
                { "h", "GET /h", NULL, NULL }, { "h", "GET /q?id=123", NULL, "query" }, { "h", "GET /q?id=1", NULL, NULL },
                { "h", "GET /q?id=%31%32", NULL, "query" }, { "h", "GET /q?id=1234", NULL, NULL }, { "h", "GET /q", NULL, NULL },
                { "h", "GET /dot-end?y=2", "X: 1\r\n", "all" }, { "h", "GET /dot-end?y=3", "X: 1\r\n", NULL }, { "h", "OPTIONS *", NULL, NULL },
        };
        RUN(rows, probes);
}

/* Backtracking without end is cut, and nobody takes the request: the rule behind might be the one without its checks. */
static void test_regex_limit(void **state)
{
        (void)state;
        static const struct row rows[] = {
                { "", "", '~', "/(?:a+)+", .rule = "path" }, { "", "", '^', "/", .header = "h~(?:(?:b|b)+)+[c-e]", .rule = "header" },
                { "", "", '^', "/", .query = "q~(?:(?:d|d)+)+[e-g]", .rule = "query" }, { "", "", '^', "/", .rule = "open" },
        };
        static const struct { const char *head; enum route_rc want; } asks[] = {
                { "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa! HTTP/1.1\r\nHost: h\r\n", ROUTE_LIMIT },
                { "GET /x HTTP/1.1\r\nHost: h\r\nH: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n", ROUTE_LIMIT },
                { "GET /x?q=ddddddddddddddddddddd%64ddddddddddddddddddddd HTTP/1.1\r\nHost: h\r\n", ROUTE_LIMIT },
                { "GET /aaaa HTTP/1.1\r\nHost: h\r\n", ROUTE_FOUND }, { "GET /x HTTP/1.1\r\nHost: h\r\nH: b\r\n", ROUTE_FOUND },
        };
        world_init(&w);
        rows_add(&w, rows, ARRAY_SIZE(rows));
        world_must_build(&w);
        for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
                struct msg m;
                struct route_hit hit;
                request_parse(&w.arena, asks[i].head, &m);
                if (route_find(w.table->binds[0].listeners[0], &m, &hit) != asks[i].want)
                        fail_msg("%s", asks[i].head);
        }
        world_fini(&w);
}

/* What route_explain passes by is what route_find passes by, and its last word is the same. */
static void test_explain(void **state)
{
        (void)state;
        static const struct row rows[] = {
                { "", "a.org", '=', "/x/y", .method = "PUT", .rule = "put" }, { "", "a.org", '^', "/x", .header = "h=1;i=2", .rule = "headers" },
                { "", "a.org", '^', "/x", .query = "q=1", .rule = "query" }, { "", "a.org", '~', "/z.*", .rule = "regex" },
                { "", "a.org", '^', "/other", .rule = "other" }, { "", "", '^', "/", .rule = "any" },
        };
        static const struct { const char *head, *want; } asks[] = {
                { "GET /x/y HTTP/1.1\r\nHost: a.org\r\nH: 1\r\n", "put:method headers:header i query:query q regex:path any:match" },
                { "PUT /x/y HTTP/1.1\r\nHost: a.org\r\n", "put:match" }, { "GET /x HTTP/1.1\r\nHost: b.org\r\n", "any:match" },
                { "GET /x?q=1 HTTP/1.1\r\nHost: a.org\r\n", "headers:header h query:match" },
                { "OPTIONS * HTTP/1.1\r\nHost: a.org\r\n", "regex:path" },
        };
        static const char *const words[WHY_N] = { "match", "method", "grpc", "header", "query", "path", "limit" };
        world_init(&w);
        rows_add(&w, rows, ARRAY_SIZE(rows));
        world_must_build(&w);
        for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
                struct msg m;
                struct route_candidate c[8];
                struct route_hit hit;
                char got[256] = "";
                size_t at = 0;
                request_parse(&w.arena, asks[i].head, &m);
                size_t n = route_explain(w.table->binds[0].listeners[0], &m, c, 8);
                for (size_t k = 0; k < n; k++)
                        at += (size_t)snprintf(got + at, sizeof got - at, "%s%s:%s%s%.*s", k ? " " : "", c[k].rule->model->name, words[c[k].why],
                                               c[k].name.n ? " " : "", SPAN_FMT(c[k].name));
                assert_string_equal(got, asks[i].want);
                bool found = route_find(w.table->binds[0].listeners[0], &m, &hit) == ROUTE_FOUND;
                assert_int_equal(found, n && c[n - 1].why == WHY_MATCH);
                assert_true(!found || hit.rule == c[n - 1].rule);
        }
        world_fini(&w);
}

static void test_methods(void **state)
{
        (void)state;
        /* conformance: HTTPRouteMethodMatching */
        static const struct row rows[] = {
                { "", "", '^', "/path5", .rule = "path5" }, { "", "", '^', "/path1", .method = "GET", .rule = "path1-get" },
                { "", "", '^', "/", .method = "PUT", .header = "version=one", .rule = "put-one" },
                { "", "", '^', "/", .method = "POST", .rule = "post" }, { "", "", '^', "/", .method = "GET", .rule = "get" },
                { "", "", '^', "/", .header = "version=four", .rule = "four" },
        };
        static const struct probe probes[] = {
                { "h", "POST /", NULL, "post" }, { "h", "GET /", NULL, "get" }, { "h", "HEAD /", NULL, NULL },
                { "h", "GET /path1", NULL, "path1-get" }, { "h", "PUT /", "version: one\r\n", "put-one" }, { "h", "PUT /", NULL, NULL },
                { "h", "DELETE /path5", NULL, "path5" }, { "h", "PATCH /", "version: four\r\n", "four" }, { "h", "get /", NULL, NULL },
        };
        RUN(rows, probes);
}

static void test_query(void **state)
{
        (void)state;
        /* conformance: HTTPRouteQueryParamMatching */
        static const struct row rows[] = {
                { "", "", '^', "/path1", .query = "animal=whale", .rule = "path1-whale" },
                { "", "", '^', "/", .header = "version=one", .query = "animal=whale", .rule = "header-whale" },
                { "", "", '^', "/", .query = "animal=dolphin;color=blue", .rule = "dolphin-blue" },
                { "", "", '^', "/", .query = "animal=whale", .rule = "whale" }, { "", "", '^', "/", .query = "animal=dolphin", .rule = "dolphin" },
                { "", "", '^', "/", .query = "ANIMAL=Whale", .rule = "capitals" }, { "", "", '^', "/", .query = "q=a b&c", .rule = "decoded" },
                { "", "", '^', "/", .query = "empty=", .rule = "empty" }, { "", "", '^', "/", .query = "p=1+1", .rule = "plus" },
        };
        static const struct probe probes[] = {
                { "h", "GET /?animal=whale", NULL, "whale" }, { "h", "GET /?animal=dolphin", NULL, "dolphin" },
                { "h", "GET /?animal=dolphin&color=blue", NULL, "dolphin-blue" }, { "h", "GET /?color=blue&animal=dolphin", NULL, "dolphin-blue" },
                { "h", "GET /?animal=whale&animal=dolphin", NULL, "whale" }, { "h", "GET /?animal=dolphin&animal=whale", NULL, "dolphin" },
                { "h", "GET /?animal=shark", NULL, NULL }, { "h", "GET /?ANIMAL=Whale", NULL, "capitals" }, { "h", "GET /?animal=Whale", NULL, NULL },
                { "h", "GET /", NULL, NULL }, { "h", "GET /path1?animal=whale", NULL, "path1-whale" }, { "h", "GET /path1", NULL, NULL },
                { "h", "GET /?animal=whale", "version: one\r\n", "header-whale" }, { "h", "GET /?xanimal=whale", NULL, NULL },
                { "h", "GET /?animal=whales", NULL, NULL }, { "h", "GET /?q=a%20b%26c", NULL, "decoded" }, { "h", "GET /?%71=a%20b%26c", NULL, "decoded" },
                { "h", "GET /?empty=", NULL, "empty" }, { "h", "GET /?empty", NULL, "empty" }, { "h", "GET /?&&empty", NULL, "empty" },
                { "h", "GET /?p=1+1", NULL, "plus" }, { "h", "GET /?p=1%2b1", NULL, "plus" }, { "h", "GET /?p=1%201", NULL, NULL },
                { "h", "GET /?animal=whale%", NULL, NULL }, { "h", "GET /?animal=%77hale", NULL, "whale" },
        };
        RUN(rows, probes);
}

static void test_hosts(void **state)
{
        (void)state;
        /* conformance: HTTPRouteListenerHostnameMatching and HTTPRouteHostnameIntersection: virtual hosts as the agent makes them */
        static const struct row rows[] = {
                { "very.specific.com", "very.specific.com", '^', "/s1", .rule = "specific" },
                { "*.wildcard.io", "foo.wildcard.io", '^', "/s2", .rule = "foo" }, { "*.wildcard.io", "*.wildcard.io", '^', "/s4", .rule = "wild" },
                { "*.anotherwildcard.io", "*.anotherwildcard.io", '^', "/s4", .rule = "another" },
                { "*.bar.com", "*.bar.com", '^', "/", .rule = "bar" }, { "bar.com", "bar.com", '^', "/", .rule = "bar-exact" },
                { "*.foo.com", "*.foo.com", '^', "/", .rule = "foo-wild" }, { "", "any.org", '^', "/", .rule = "any-org" },
        };
        static const struct probe probes[] = {
                { "very.specific.com", "GET /s1", NULL, "specific" }, { "very.specific.com:1234", "GET /s1", NULL, "specific" },
                { "non.matching.com", "GET /s1", NULL, NULL }, { "foo.very.specific.com", "GET /s1", NULL, NULL },
                { "foo.wildcard.io", "GET /s2", NULL, "foo" }, { "foo.wildcard.io", "GET /s4", NULL, "wild" },
                { "bar.wildcard.io", "GET /s4", NULL, "wild" }, { "a.b.wildcard.io", "GET /s4", NULL, "wild" },
                { "bar.wildcard.io", "GET /s2", NULL, NULL }, { "wildcard.io", "GET /s4", NULL, NULL }, { "xwildcard.io", "GET /s4", NULL, NULL },
                { "one.anotherwildcard.io", "GET /s4", NULL, "another" }, { "baz.bar.com", "GET /", NULL, "bar" },
                { "multiple.prefixes.bar.com", "GET /", NULL, "bar" }, { "bar.com", "GET /", NULL, "bar-exact" },
                { "foo.com", "GET /", NULL, NULL }, { "no.matching.host", "GET /", NULL, NULL }, { "any.org", "GET /", NULL, "any-org" },
        };
        RUN(rows, probes);
}

static void test_listener_isolation(void **state)
{
        (void)state;
        /* conformance: GatewayHTTPListenerIsolation: only the most specific listener answers, no falling through */
        static const struct row rows[] = {
                { "", "", '^', "/empty-hostname", .rule = "empty" }, { "*.example.com", "*.example.com", '^', "/wildcard", .rule = "wild" },
                { "*.foo.example.com", "*.foo.example.com", '^', "/foo-wildcard", .rule = "foo" },
                { "abc.foo.example.com", "abc.foo.example.com", '^', "/abc", .rule = "abc" },
        };
        static const char *const hosts[] = { "bar.com", "bar.example.com", "bar.foo.example.com", "abc.foo.example.com" };
        static const char *const paths[] = { "GET /empty-hostname", "GET /wildcard", "GET /foo-wildcard", "GET /abc" };
        static const char *const rules[] = { "empty", "wild", "foo", "abc" };
        struct probe probes[16];
        for (size_t h = 0; h < 4; h++)
                for (size_t p = 0; p < 4; p++)
                        probes[h * 4 + p] = (struct probe){ hosts[h], paths[p], NULL, h == p ? rules[p] : NULL };
        RUN(rows, probes);
}

static void test_less_specific_host(void **state)
{
        (void)state;
        /* the more specific host has precedence, it does not hide the others (HTTPRoute.hostnames) */
        static const struct row rows[] = {
                { "", "", '^', "/any", .rule = "any" }, { "", "", '^', "/both", .rule = "any-both" },
                { "", "*.example.com", '^', "/wild", .rule = "wild" }, { "", "*.example.com", '^', "/both", .rule = "wild-both" },
                { "", "*.b.example.com", '^', "/wild2", .rule = "wild2" }, { "", "a.example.com", '^', "/both", .rule = "exact-both" },
                { "", "a.example.com", '^', "/exact", .rule = "exact" },
        };
        static const struct probe probes[] = {
                { "a.example.com", "GET /exact", NULL, "exact" }, { "a.example.com", "GET /both", NULL, "exact-both" },
                { "a.example.com", "GET /wild", NULL, "wild" }, { "a.example.com", "GET /any", NULL, "any" },
                { "x.b.example.com", "GET /wild2", NULL, "wild2" }, { "x.b.example.com", "GET /wild", NULL, "wild" },
                { "x.b.example.com", "GET /both", NULL, "wild-both" }, { "org", "GET /both", NULL, "any-both" }, { "org", "GET /wild", NULL, NULL },
        };
        RUN(rows, probes);
}

static void test_no_host(void **state)
{
        (void)state;
        static const struct row rows[] = { { "", "", '^', "/", .rule = "any" }, { "a.org", "a.org", '^', "/", .rule = "a" } };
        world_init(&w);
        rows_add(&w, rows, ARRAY_SIZE(rows));
        world_must_build(&w);
        struct arena a;
        struct route_hit hit;
        arena_init(&a, 4096, SIZE_MAX);
        assert_string_equal(world_ask(&w, &a, "GET / HTTP/1.0\r\n", &hit), "any"); /* requirement 21 */
        arena_fini(&a);
        world_fini(&w);
}

static void test_weights(void **state)
{
        (void)state;
        static const struct row rows[] = { { "", "", '^', "/", .rule = "r" } };
        static const uint32_t weights[] = { 0, 70, 0, 30, 0 };
        world_init(&w);
        rows_add(&w, rows, 1);
        Model__Forward *f = w.gw.rules[0]->forward;
        for (f->n_legs = 0; f->n_legs < ARRAY_SIZE(weights); f->n_legs++) {
                f->legs[f->n_legs] = NEW(&w, Model__Leg, MODEL__LEG__INIT);
                f->legs[f->n_legs]->weight = weights[f->n_legs];
                f->legs[f->n_legs]->fail_status = 500;
        }
        world_must_build(&w);
        const struct route_listener *l = route_listener_find(&w.table->binds[0], SPAN_NULL);
        struct msg m;
        struct route_hit hit;
        request_parse(&w.arena, "GET / HTTP/1.0\r\n", &m);
        assert_int_equal(route_find(l, &m, &hit), ROUTE_FOUND);
        size_t got[ARRAY_SIZE(weights)] = { 0 };
        const uint64_t steps = 100000; /* evenly over all 64-bit values: the shares are exact */
        for (uint64_t i = 0; i < steps; i++) {
                const struct route_leg *leg = route_pick_leg(hit.rule, i * (UINT64_MAX / steps) + UINT64_MAX / steps / 2);
                assert_non_null(leg);
                assert_null(leg->cluster);
                got[leg - hit.rule->legs]++;
        }
        for (size_t i = 0; i < ARRAY_SIZE(weights); i++)
                assert_int_equal(got[i], weights[i] * steps / 100);
        assert_ptr_equal(route_pick_leg(hit.rule, 0), &hit.rule->legs[1]);
        assert_ptr_equal(route_pick_leg(hit.rule, UINT64_MAX), &hit.rule->legs[3]);
        struct route_rule none = *hit.rule;
        none.weight_total = 0;
        assert_null(route_pick_leg(&none, 1));
        world_fini(&w);
}

static size_t list_length(const struct route_list *l)
{
        size_t n = 0;
        for (const struct route_item *it = l->head; it; it = it->next)
                n++;
        return n;
}

/* 10,000 routes: each is found, and a lookup does not scan them: no node of the trie has more than its own entry. */
static void test_many(void **state)
{
        (void)state;
        enum { N = 10000 };
        static struct row rows[N + 1];
        static char text[N][40];
        world_init(&w);
        for (size_t i = 0; i < N; i++) {
                snprintf(text[i], sizeof text[i], "/team-%zu/service-%zu/v1", i % 97, i);
                rows[i] = (struct row){ "", "", i % 2 ? '^' : '=', text[i], .rule = text[i] };
        }
        rows[N] = (struct row){ "", "", '^', "/", .rule = "default" };
        rows_add(&w, rows, N + 1);
        world_must_build(&w);
        assert_int_equal(w.table->n_rules, N + 1);
        size_t pos = 0;
        const struct route_vhost *v = host_index_next(&w.table->binds[0].listeners[0]->hosts->vhosts, SPAN_LIT("h"), &pos);
        for (size_t i = 0; i <= v->children.mask; i++) {
                const struct route_node *n = v->children.slots[i].value;
                assert_true(!n || list_length(&n->exact) + list_length(&n->prefix) <= 1);
        }
        for (size_t i = 0; i < N; i++) {
                struct arena a;
                struct route_hit hit;
                arena_init(&a, 4096, SIZE_MAX);
                char *head = arena_printf(&a, "GET %s%s HTTP/1.1\r\nHost: h\r\n", text[i], i % 2 ? "/x" : "");
                assert_string_equal(world_ask(&w, &a, head, &hit), text[i]);
                head = arena_printf(&a, "GET %s%s HTTP/1.1\r\nHost: h\r\n", text[i], i % 2 ? "x" : "/x");
                assert_string_equal(world_ask(&w, &a, head, &hit), "default");
                arena_fini(&a);
        }
        world_fini(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_paths), cmocka_unit_test(test_order_is_kept), cmocka_unit_test(test_matching_across_routes),
                cmocka_unit_test(test_headers), cmocka_unit_test(test_header_kinds), cmocka_unit_test(test_regex), cmocka_unit_test(test_regex_limit), cmocka_unit_test(test_explain), cmocka_unit_test(test_methods), cmocka_unit_test(test_query),
                cmocka_unit_test(test_hosts), cmocka_unit_test(test_listener_isolation), cmocka_unit_test(test_less_specific_host),
                cmocka_unit_test(test_no_host), cmocka_unit_test(test_weights), cmocka_unit_test(test_many),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
