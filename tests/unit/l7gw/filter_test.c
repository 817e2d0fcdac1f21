/* tests/unit/l7gw/filter_test.c - header edits, rewrites and redirects, as the Gateway API words them. */
#include "lib/base.h"
#include "l7gw/core/path_edit.h"
#include "tests/unit/l7gw/route_rows.h"

static struct world w;
#define STR(s) ((char *)(s))

static void fields_are(const struct msg *m, const char *want)
{
        char text[1024] = "";
        size_t n = 0;
        for (size_t i = 0; i < m->n_fields; i++)
                n += (size_t)snprintf(text + n, sizeof text - n, "%.*s=%.*s ", SPAN_FMT(m->fields[i].name),
                                      SPAN_FMT(m->fields[i].value));
        assert_string_equal(text, want);
}

static Model__Header **headers(size_t n, const char *const *v)
{
        Model__Header **h = take(&w, (n + 1) * sizeof *h);
        for (size_t i = 0; i < n; i++) {
                h[i] = NEW(&w, Model__Header, MODEL__HEADER__INIT);
                h[i]->name = STR(v[2 * i]);
                h[i]->value = STR(v[2 * i + 1]);
        }
        return h;
}

static const struct filter_chain *chain_of(Model__Filter **f, size_t n)
{
        const struct filter_chain *fc;
        assert_int_equal(filter_chain_build(&w.arena, f, n, NULL, "s", &fc, &w.err), 0);
        return fc;
}

/* conformance: HTTPRouteRequestHeaderModifier, HTTPRouteResponseHeaderModifier */
static void test_header_edits(void **state)
{
        (void)state;
        static const char *const set[] = { "X-Header-Set", "set-value", "X-New", " \tnew " };
        static const char *const add[] = { "X-Header-Add", "add-value", "x-header-add", "third" };
        static char *remove[] = { STR("X-Header-Remove"), STR("absent") };
        world_init(&w);
        Model__Filter *f = NEW(&w, Model__Filter, MODEL__FILTER__INIT);
        Model__HeaderEdit *e = NEW(&w, Model__HeaderEdit, MODEL__HEADER_EDIT__INIT);
        e->set = headers(2, set), e->n_set = 2;
        e->add = headers(2, add), e->n_add = 2;
        e->remove = remove, e->n_remove = 2;
        for (int response = 0; response < 2; response++) {
                f->kind_case = response ? MODEL__FILTER__KIND_RESPONSE_HEADERS : MODEL__FILTER__KIND_REQUEST_HEADERS;
                f->request_headers = e;
                const struct filter_chain *fc = chain_of(&f, 1);
                struct msg m;
                request_parse(&w.arena, "GET / HTTP/1.1\r\nHost: h\r\nx-header-add: first\r\nX-HEADER-SET: a\r\nOther: o\r\n"
                                        "x-header-set: b\r\nx-Header-Remove: gone\r\n", &m);
                static const char *const plain = "x-header-add=first x-header-set=a other=o x-header-set=b x-header-remove=gone ";
                static const char *const edited = "x-header-add=first x-header-set=set-value other=o x-new=new "
                                                  "x-header-add=add-value x-header-add=third ";
                assert_int_equal(filter_request(fc, NULL, &m), 0);
                fields_are(&m, response ? plain : edited);
                assert_int_equal(filter_response(fc, &m), 0);
                fields_are(&m, edited);
        }
        world_fini(&w);
}

/* Gateway API HTTPPathModifier, its table of ReplacePrefixMatch, and conformance HTTPRouteRewritePath */
static const struct {
        const char *prefix, *path, *value, *want;
} prefixes[] = {
        { "/foo", "/foo/bar", "/xyz", "/xyz/bar" }, { "/foo", "/foo/bar", "/xyz/", "/xyz/bar" }, { "/foo/", "/foo/bar", "/xyz", "/xyz/bar" },
        { "/foo/", "/foo/bar", "/xyz/", "/xyz/bar" }, { "/foo", "/foo", "/xyz", "/xyz" }, { "/foo", "/foo/", "/xyz", "/xyz/" },
        { "/foo", "/foo/bar", "", "/bar" }, { "/foo", "/foo/", "", "/" }, { "/foo", "/foo", "", "/" }, { "/foo", "/foo/", "/", "/" },
        { "/foo", "/foo", "/", "/" }, { "/foo", "/foo/bar", "/", "/bar" }, { "/prefix/one", "/prefix/one/two", "/one", "/one/two" },
        { "/strip-prefix", "/strip-prefix/three", "/", "/three" }, { "/strip-prefix", "/strip-prefix", "/", "/" },
        { "/", "/", "/new", "/new/" }, { "/", "/a", "/new", "/new/a" }, { "/a%7eb", "/a~b/c", "/n", "/n/c" },
        { "/foo", "/foo/bar", "/a b?c#d\xc3\xa9", "/a%20b%3Fc%23d%C3%A9/bar" }, { "/foo", "/foo/x", "/a/./b/../%7e", "/a/~/x" },
};

static void test_prefix_replacement(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
                const struct row row = { "", "", '^', prefixes[i].prefix, .rule = "r" };
                world_init(&w);
                rows_add(&w, &row, 1);
                Model__Filter *f = NEW(&w, Model__Filter, MODEL__FILTER__INIT);
                f->kind_case = MODEL__FILTER__KIND_REWRITE;
                f->rewrite = NEW(&w, Model__Rewrite, MODEL__REWRITE__INIT);
                f->rewrite->path = NEW(&w, Model__PathEdit, MODEL__PATH_EDIT__INIT);
                f->rewrite->path->kind = MODEL__PATH_EDIT__KIND__PREFIX;
                f->rewrite->path->value = STR(prefixes[i].value);
                f->rewrite->hostname = STR("new.example");
                w.gw.rules[0]->filters = &f;
                w.gw.rules[0]->n_filters = 1;
                world_must_build(&w);
                struct msg m;
                struct route_hit hit;
                char *head = arena_printf(&w.arena, "GET %s?q HTTP/1.1\r\nHost: h:81\r\n", prefixes[i].path);
                request_parse(&w.arena, head, &m);
                assert_int_equal(route_find(w.table->binds[0].listeners[0], &m, &hit), ROUTE_FOUND);
                assert_int_equal(filter_request(hit.rule->filters, hit.entry, &m), 0);
                if (!span_eq_str(m.path, prefixes[i].want))
                        print_error("%s of %s by \"%s\": got %.*s want %s\n", prefixes[i].prefix, prefixes[i].path, prefixes[i].value,
                                    SPAN_FMT(m.path), prefixes[i].want);
                assert_true(span_eq_str(m.path, prefixes[i].want));
                assert_true(span_eq_str(m.query, "q"));
                assert_true(span_eq_str(m.authority, "new.example") && m.port == 0); /* conformance: HTTPRouteRewriteHost */
                world_fini(&w);
        }
}

static void test_full_replacement(void **state)
{
        (void)state;
        static const struct {
                const char *value, *want;
        } rows[] = { { "/full", "/full" }, { "", "/" }, { "/a/../b c", "/b%20c" }, { "/x/", "/x/" } };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct path_edit e;
                struct span out;
                world_init(&w);
                Model__PathEdit m = MODEL__PATH_EDIT__INIT;
                m.kind = MODEL__PATH_EDIT__KIND__FULL;
                m.value = STR(rows[i].value);
                assert_int_equal(path_edit_build(&w.arena, &m, &e), 0);
                assert_int_equal(path_edit_apply(&w.arena, &e, NULL, SPAN_LIT("/one/two"), &out), 0);
                assert_true(span_eq_str(out, rows[i].want));
                assert_int_equal(path_edit_apply(&w.arena, &e, NULL, SPAN_LIT("*"), &out), 0);
                assert_true(span_eq_str(out, "*"));
                world_fini(&w);
        }
}

/* conformance: HTTPRouteRedirectPort, Scheme, Path, HostAndStatus, PortAndScheme */
static const struct {
        const char *name, *request_scheme, *host;
        uint16_t listener_port;
        const char *scheme, *hostname;
        uint32_t port;
        char kind; /* '=' full, '^' prefix /a, 0 keep */
        const char *value, *target, *want;
} redirects[] = {
        { "nothing changes, port 80", "http", "a", 80, "", "", 0, 0, "", "/x?y", "http://a/x?y" },
        { "the port of Host does not count", "http", "a:1234", 80, "", "", 0, 0, "", "/", "http://a/" },
        { "listener on 8080", "http", "a:8080", 8080, "", "", 0, 0, "", "/", "http://a:8080/" },
        { "listener on 8080, port 80", "http", "a", 8080, "", "", 80, 0, "", "/", "http://a/" },
        { "listener on 8080, scheme http", "http", "a", 8080, "http", "", 0, 0, "", "/", "http://a/" },
        { "listener on 8080, scheme https", "http", "a", 8080, "https", "", 0, 0, "", "/", "https://a/" },
        { "port 8083", "http", "a", 80, "", "", 8083, 0, "", "/", "http://a:8083/" },
        { "scheme https", "http", "a", 80, "https", "", 0, 0, "", "/", "https://a/" },
        { "scheme https, port 443", "http", "a", 80, "https", "", 443, 0, "", "/", "https://a/" },
        { "scheme https, port 80", "http", "a", 80, "https", "", 80, 0, "", "/", "https://a:80/" },
        { "https listener, nothing", "https", "a", 443, "", "", 0, 0, "", "/", "https://a/" },
        { "https listener, scheme http", "https", "a", 443, "http", "", 0, 0, "", "/", "http://a/" },
        { "https listener, port 443", "https", "a", 443, "", "", 443, 0, "", "/", "https://a/" },
        { "https listener, port 8443", "https", "a", 443, "", "", 8443, 0, "", "/", "https://a:8443/" },
        { "https listener on 8443", "https", "a", 8443, "", "", 0, 0, "", "/", "https://a:8443/" },
        { "https listener, port 80", "https", "a", 443, "", "", 80, 0, "", "/", "https://a:80/" },
        { "hostname", "http", "a", 80, "", "example.org", 0, 0, "", "/p", "http://example.org/p" },
        { "hostname in lower case as asked", "http", "A.Example.", 80, "", "", 0, 0, "", "/p", "http://a.example/p" },
        { "full path, query kept", "http", "a", 80, "", "", 0, '=', "/full", "/a/b?q=1&r", "http://a/full?q=1&r" },
        { "prefix", "http", "a", 80, "", "", 0, '^', "/new", "/a/b", "http://a/new/b" },
        { "prefix to root", "http", "a", 80, "", "", 0, '^', "/", "/a", "http://a/" },
        { "prefix, host, port", "http", "a", 80, "", "o", 81, '^', "/n/", "/a/b/", "http://o:81/n/b/" },
        { "28: no line end from the configuration (RFC 9112 11.1)", "http", "a", 80, "", "", 0, '=', "/x\r\nSet-Cookie: y", "/", "http://a/x%0D%0ASet-Cookie:%20y" },
        { "two slashes stay a path", "http", "a", 80, "", "", 0, 0, "", "//evil.example/x", "http://a//evil.example/x" },
        { "IPv6 host", "http", "[::1]:8080", 8080, "", "", 0, 0, "", "/", "http://[::1]:8080/" },
        { "28: an empty query stays in a redirect", "http", "a", 80, "", "", 0, 0, "", "/?", "http://a/?" },
};

static void test_redirects(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(redirects); i++) {
                world_init(&w);
                Model__Redirect r = MODEL__REDIRECT__INIT;
                Model__PathEdit p = MODEL__PATH_EDIT__INIT;
                Model__RouteEntry entry = MODEL__ROUTE_ENTRY__INIT;
                Model__Match match = MODEL__MATCH__INIT;
                match.path_kind = MODEL__MATCH__PATH_KIND__PREFIX;
                match.path = STR("/a");
                entry.match = &match;
                r.scheme = STR(redirects[i].scheme);
                r.hostname = STR(redirects[i].hostname);
                r.port = redirects[i].port;
                r.status = 302;
                if (redirects[i].kind) {
                        r.path = &p;
                        p.kind = redirects[i].kind == '=' ? MODEL__PATH_EDIT__KIND__FULL : MODEL__PATH_EDIT__KIND__PREFIX;
                        p.value = STR(redirects[i].value);
                }
                assert_int_equal(redirect_check(&r, NULL, "s", &w.err), 0);
                struct msg m;
                struct span got = SPAN_NULL;
                request_parse(&w.arena, arena_printf(&w.arena, "GET %s HTTP/1.1\r\nHost: %s\r\n", redirects[i].target, redirects[i].host), &m);
                m.scheme = span_str(redirects[i].request_scheme);
                assert_int_equal(redirect_location(&r, &entry, &m, redirects[i].listener_port, &got, &w.arena), 0);
                if (!span_eq_str(got, redirects[i].want))
                        print_error("%s: got %.*s want %s\n", redirects[i].name, SPAN_FMT(got), redirects[i].want);
                assert_true(span_eq_str(got, redirects[i].want));
                world_fini(&w);
        }
}

static void test_redirect_without_host(void **state)
{
        (void)state;
        world_init(&w);
        Model__Redirect r = MODEL__REDIRECT__INIT;
        struct msg m;
        struct span got;
        request_parse(&w.arena, "GET //evil/ HTTP/1.0\r\n", &m);
        assert_int_equal(redirect_location(&r, NULL, &m, 80, &got, &w.arena), -EINVAL);
        struct arena none;
        arena_init(&none, 1024, 0);
        r.hostname = STR("a");
        assert_int_equal(redirect_location(&r, NULL, &m, 80, &got, &none), -ENOMEM);
        arena_fini(&none);
        world_fini(&w);
}

/* Filters run in the order given, and a message without memory is refused, not cut. */
static void test_order_and_memory(void **state)
{
        (void)state;
        static const char *const first[] = { "x", "1" }, *const second[] = { "x", "2" };
        world_init(&w);
        Model__Filter *f[2];
        for (int i = 0; i < 2; i++) {
                f[i] = NEW(&w, Model__Filter, MODEL__FILTER__INIT);
                f[i]->kind_case = MODEL__FILTER__KIND_REQUEST_HEADERS;
                f[i]->request_headers = NEW(&w, Model__HeaderEdit, MODEL__HEADER_EDIT__INIT);
        }
        f[0]->request_headers->set = headers(1, first), f[0]->request_headers->n_set = 1;
        f[1]->request_headers->add = headers(1, second), f[1]->request_headers->n_add = 1;
        const struct filter_chain *fc = chain_of(f, 2);
        struct arena a;
        struct msg m;
        arena_init(&a, 1024, SIZE_MAX);
        msg_init(&m, &a);
        assert_int_equal(filter_request(fc, NULL, &m), 0);
        fields_are(&m, "x=1 x=2 ");
        arena_fini(&a);
        arena_init(&a, 1024, 0);
        msg_init(&m, &a);
        assert_int_equal(filter_request(fc, NULL, &m), -ENOMEM);
        arena_fini(&a);
        assert_int_equal(filter_request(NULL, NULL, &m), 0);
        assert_null(chain_of(f, 0));
        world_fini(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_header_edits), cmocka_unit_test(test_prefix_replacement), cmocka_unit_test(test_full_replacement),
                cmocka_unit_test(test_redirects), cmocka_unit_test(test_redirect_without_host), cmocka_unit_test(test_order_and_memory),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
