/* tests/unit/agent/httproute_test.c - HTTPRoute: every rule of its CRD has a row that breaks it and one that keeps it. */
#include "tests/unit/agent/decode_fixture.h"

#define HEAD "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec: "
#define RULE(text) "{rules: [" text "]}"
#define PATH(text) RULE("{matches: [{path: " text "}]}")
#define FILTER(text) RULE("{filters: [" text "]}")
#define BACKEND(text) RULE("{backendRefs: [" text "]}")
#define AUTH(text) FILTER("{type: ExternalAuth, externalAuth: {" text "}}")
#define R0 "spec.rules[0]"
#define P0 R0 ".matches[0].path.value: "
#define F0 R0 ".filters[0]"
#define B0 R0 ".backendRefs[0]"
#define X63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"
#define X61 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi"
#define X253 X63 "." X63 "." X63 "." X61
#define X254 X253 "j"
#define M8 "{method: GET},{method: PUT},{method: GET},{method: PUT},{method: GET},{method: PUT},{method: GET},{method: PUT}"
#define M64 M8 "," M8 "," M8 "," M8 "," M8 "," M8 "," M8 "," M8
#define H(n) "{name: x" #n ", value: v}"
#define H16 H(0) "," H(1) "," H(2) "," H(3) "," H(4) "," H(5) "," H(6) "," H(7) "," H(8) "," H(9) "," H(a) "," H(b) "," \
            H(c) "," H(d) "," H(e) "," H(f)
#define EMPTY16 "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}"
#define N16 "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p"

static const struct decode_case cases[] = {
        { "nothing but a spec", "{}", NULL },
        { "spec null", "", "spec: is required" },
        { "spec a list", "[]", "spec: must be a map" },
        { "unknown field", "{rulez: []}", "spec: unknown field \"rulez\"" },
        { "unknown field deep", PATH("{valeu: /}"), R0 ".matches[0].path: unknown field \"valeu\"" },

        { "parent", "{parentRefs: [{name: gw, namespace: infra, sectionName: http, port: 80}]}", NULL },
        { "parent without name", "{parentRefs: [{}]}", "spec.parentRefs[0].name: is required" },
        { "parent name null", "{parentRefs: [{name: null}]}", "spec.parentRefs[0].name: is required" },
        { "parent name empty", "{parentRefs: [{name: ''}]}", "spec.parentRefs[0].name: must not be empty" },
        { "parent name long", "{parentRefs: [{name: " X254 "}]}", "spec.parentRefs[0].name: at most 253" },
        { "parent group", "{parentRefs: [{name: a, group: Up.Per}]}", "spec.parentRefs[0].group: lower case DNS" },
        { "parent group core", "{parentRefs: [{name: a, group: '', kind: Service}]}", NULL },
        { "parent kind", "{parentRefs: [{name: a, kind: 9x}]}", "spec.parentRefs[0].kind: must be a kind" },
        { "parent namespace", "{parentRefs: [{name: a, namespace: a.b}]}", "spec.parentRefs[0].namespace: DNS label" },
        { "parent port zero", "{parentRefs: [{name: a, port: 0}]}", "spec.parentRefs[0].port: must be 1 to 65535" },
        { "parent port text", "{parentRefs: [{name: a, port: '80'}]}", "spec.parentRefs[0].port: is quoted text" },
        { "parent section", "{parentRefs: [{name: a, sectionName: -a}]}", "spec.parentRefs[0].sectionName: DNS name" },
        { "parents twice", "{parentRefs: [{name: a}, {name: a}]}", "spec.parentRefs[1]: is the same reference as item 0" },
        { "parents, one with section", "{parentRefs: [{name: a}, {name: a, sectionName: b}]}",
          "spec.parentRefs[1]: sectionName or port must be given in all" },
        { "parents, one with port", "{parentRefs: [{name: a, port: 1}, {name: a}]}",
          "spec.parentRefs[1]: sectionName or port must be given in all" },
        { "parents, section against port", "{parentRefs: [{name: a, port: 1}, {name: a, sectionName: b}]}",
          "spec.parentRefs[1]: sectionName or port must be given in all" },
        { "parents by section", "{parentRefs: [{name: a, sectionName: b}, {name: a, sectionName: c}]}", NULL },
        { "parents, same section", "{parentRefs: [{name: a, sectionName: b}, {name: a, sectionName: b}]}",
          "spec.parentRefs[1]: is the same reference" },
        { "parents by port", "{parentRefs: [{name: a, port: 1}, {name: a, port: 2}]}", NULL },
        { "parents, other namespace", "{parentRefs: [{name: a}, {name: a, namespace: b}]}", NULL },
        { "parents, other kind", "{parentRefs: [{name: a}, {name: a, kind: Other}]}", NULL },

        { "hostnames", "{hostnames: [a.example, '*.b.example', localhost]}", NULL },
        { "hostname upper", "{hostnames: [A.example]}", "spec.hostnames[0]: lower case DNS name" },
        { "hostname star inside", "{hostnames: [ok, 'a.*.b']}", "spec.hostnames[1]: \"*.\" in front" },
        { "hostname star alone", "{hostnames: ['*']}", "spec.hostnames[0]: \"*.\" in front" },
        { "hostname final dot", "{hostnames: [a.b.]}", "spec.hostnames[0]: DNS name" },
        { "hostname empty", "{hostnames: ['']}", "spec.hostnames[0]: must not be empty" },
        { "hostname null", "{hostnames: [~]}", "spec.hostnames[0]: is null" },
        { "hostname with port", "{hostnames: ['a:80']}", "spec.hostnames[0]: DNS name" },
        { "hostname 253", "{hostnames: [" X253 "]}", NULL },
        { "hostname 254", "{hostnames: [" X254 "]}", "spec.hostnames[0]: at most 253 characters, has 254" },
        { "hostnames 16", "{hostnames: [" N16 "]}", NULL },
        { "hostnames 17", "{hostnames: [" N16 ",q]}", "spec.hostnames: at most 16 items, has 17" },
        { "hostnames not a list", "{hostnames: a.example}", "spec.hostnames: must be a list" },

        { "rules empty", "{rules: []}", "spec.rules: at least 1 item" },
        { "rules 16", "{rules: [" EMPTY16 "]}", NULL },
        { "rules 17", "{rules: [" EMPTY16 ",{}]}", "spec.rules: at most 16 items" },
        { "rule name", RULE("{name: a}, {name: b}, {}"), NULL },
        { "rule name twice", RULE("{name: a}, {name: a}"), "spec.rules[1]: name \"a\" is already that of item 0" },
        { "rule name bad", RULE("{name: A}"), R0 ".name: DNS name" },
        { "64 matches", RULE("{matches: [" M64 "]}"), NULL },
        { "65 matches", RULE("{matches: [" M64 ",{}]}"), R0 ".matches: at most 64 items" },
        { "128 matches in all", RULE("{matches: [" M64 "]}, {matches: [" M64 "]}"), NULL },
        { "129 matches in all", RULE("{matches: [" M64 "]}, {matches: [" M64 "]}, {}"), "spec.rules[2]: at most 128 matches" },
        { "matches empty", RULE("{matches: []}"), NULL },

        { "path default type", PATH("{value: /a/b}"), NULL },
        { "path relative", PATH("{value: a}"), P0 "must start with \"/\"" },
        { "path empty", PATH("{value: ''}"), P0 "must start with \"/\"" },
        { "path double slash", PATH("{value: /a//b}"), P0 "must not contain \"//\"" },
        { "path dot", PATH("{value: /a/./b}"), P0 "must not contain \"/./\"" },
        { "path dot dot", PATH("{value: /a/../b}"), P0 "must not contain \"/../\"" },
        { "path %2f", PATH("{value: /a%2fb}"), P0 "must not contain \"%2f\"" },
        { "path %2F", PATH("{value: /a%2Fb, type: Exact}"), P0 "must not contain \"%2F\"" },
        { "path fragment", PATH("{value: '/a#b'}"), P0 "must not contain \"#\"" },
        { "path ends /..", PATH("{value: /a/..}"), P0 "must not end with" },
        { "path ends /.", PATH("{value: /a/.}"), P0 "must not end with" },
        { "path ends dots", PATH("{value: /a/...}"), NULL },
        { "path blank", PATH("{value: '/a b'}"), P0 "must write as %XX" },
        { "path query", PATH("{value: '/a?b'}"), P0 "must write as %XX" },
        { "path escape", PATH("{value: /a%20b}"), NULL },
        { "path bad escape", PATH("{value: /a%2}"), P0 "must write as %XX" },
        { "path UTF-8", PATH("{value: /\xc3\xa4}"), P0 "must write as %XX" },
        { "path regex may be anything", PATH("{type: RegularExpression, value: '^[a//]+$'}"), NULL },
        { "path type", PATH("{type: Prefix}"), R0 ".matches[0].path.type: must be one of Exact, PathPrefix, Regular" },
        { "path a scalar", PATH("/a"), R0 ".matches[0].path: must be a map" },

        { "header", RULE("{matches: [{headers: [{name: X-A, value: b}]}]}"), NULL },
        { "header name", RULE("{matches: [{headers: [{name: 'X A', value: b}]}]}"),
          R0 ".matches[0].headers[0].name: must be a header name" },
        { "header value missing", RULE("{matches: [{headers: [{name: a}]}]}"), R0 ".matches[0].headers[0].value: is required" },
        { "header value line end", RULE("{matches: [{headers: [{name: a, value: \"b\\r\\nc\"}]}]}"),
          R0 ".matches[0].headers[0].value: visible ASCII" },
        { "header value trailing blank", RULE("{matches: [{headers: [{name: a, value: 'b '}]}]}"),
          R0 ".matches[0].headers[0].value: visible ASCII" },
        { "header value blanks inside", RULE("{matches: [{headers: [{name: a, value: 'b c'}]}]}"), NULL },
        { "header twice", RULE("{matches: [{headers: [{name: a, value: b}, {name: a, value: c}]}]}"),
          R0 ".matches[0].headers[1]: name \"a\" is already that of item 0" },
        { "header twice but for case", RULE("{matches: [{headers: [{name: a, value: b}, {name: A, value: c}]}]}"), NULL },
        { "header type", RULE("{matches: [{headers: [{name: a, value: b, type: Prefix}]}]}"),
          R0 ".matches[0].headers[0].type: must be one of Exact, RegularExpression" },
        { "16 headers", RULE("{matches: [{headers: [" H16 "]}]}"), NULL },
        { "17 headers", RULE("{matches: [{headers: [" H16 "," H(g) "]}]}"), R0 ".matches[0].headers: at most 16" },
        { "query", RULE("{matches: [{queryParams: [{name: a, value: 'b c'}]}]}"), NULL },
        { "query twice", RULE("{matches: [{queryParams: [{name: a, value: b}, {name: a, value: b}]}]}"),
          R0 ".matches[0].queryParams[1]: name \"a\"" },
        { "query value empty", RULE("{matches: [{queryParams: [{name: a, value: ''}]}]}"),
          R0 ".matches[0].queryParams[0].value: must not be empty" },
        { "method", RULE("{matches: [{method: PATCH}]}"), NULL },
        { "method lower", RULE("{matches: [{method: get}]}"), R0 ".matches[0].method: must be one of GET, HEAD" },

        { "filter type missing", FILTER("{}"), F0 ".type: is required" },
        { "filter type unknown", FILTER("{type: Compress}"), F0 ".type: must be one of RequestHeaderModifier" },
        { "filter without its field", FILTER("{type: CORS}"), F0 ": cors must be set when type is CORS" },
        { "filter with another's field", FILTER("{type: CORS, cors: {}, urlRewrite: {}}"),
          F0 ": urlRewrite must not be set unless type is URLRewrite" },
        { "filter extension", FILTER("{type: ExtensionRef, extensionRef: {group: x.y, kind: Z, name: a}}"), NULL },
        { "filter extension without group", FILTER("{type: ExtensionRef, extensionRef: {kind: Z, name: a}}"),
          F0 ".extensionRef.group: is required" },
        { "filter extension, empty group", FILTER("{type: ExtensionRef, extensionRef: {group: '', kind: Z, name: a}}"), NULL },
        { "auth by HTTP", AUTH("protocol: HTTP, backendRef: {name: a, port: 1}, http: {path: /x, allowedHeaders: [a]}, "
                               "forwardBody: {maxSize: 9}"), NULL },
        { "auth by gRPC", AUTH("protocol: GRPC, backendRef: {name: a, port: 1}, grpc: {}"), NULL },
        { "auth without protocol", AUTH("backendRef: {name: a, port: 1}"), F0 ".externalAuth.protocol: is required" },
        { "auth without backend", AUTH("protocol: GRPC, grpc: {}"), F0 ".externalAuth.backendRef: is required" },
        { "auth without its part", AUTH("protocol: GRPC, backendRef: {name: a, port: 1}"),
          F0 ".externalAuth: grpc must be set for protocol GRPC" },
        { "auth with the other part", AUTH("protocol: HTTP, backendRef: {name: a, port: 1}, http: {}, grpc: {}"),
          F0 ".externalAuth: grpc must not be set for protocol HTTP" },
        { "auth path", AUTH("protocol: HTTP, backendRef: {name: a, port: 1}, http: {path: '/a b'}"),
          F0 ".externalAuth.http.path: as %XX" },
        { "header modifier", FILTER("{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}], add: "
                                    "[{name: c, value: d}], remove: [e]}}"), NULL },
        { "header modifier set twice", FILTER("{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: a, value: "
                                              "b}, {name: a, value: c}]}}"),
          F0 ".responseHeaderModifier.set[1]: name \"a\"" },
        { "header modifier remove", FILTER("{type: RequestHeaderModifier, requestHeaderModifier: {remove: ['a:']}}"),
          F0 ".requestHeaderModifier.remove[0]: must be a header name" },
        { "header modifier remove twice", FILTER("{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a, b, a]}}"),
          F0 ".requestHeaderModifier.remove[2]: is the same as item 0" },
        { "header modifier value", FILTER("{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: a, value: ''}]}}"),
          F0 ".requestHeaderModifier.add[0].value: must not be empty" },
        { "filter repeated", FILTER("{type: CORS, cors: {}}, {type: CORS, cors: {}}"), R0 ".filters[1]: must not be repeated" },
        { "mirror repeated", FILTER("{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}}}, {type: "
                                    "RequestMirror, requestMirror: {backendRef: {name: a, port: 1}}}"), NULL },
        { "redirect and rewrite", FILTER("{type: URLRewrite, urlRewrite: {}}, {type: RequestRedirect, requestRedirect: {}}"),
          R0 ".filters[1]: RequestRedirect and URLRewrite" },
        { "redirect", FILTER("{type: RequestRedirect, requestRedirect: {scheme: https, hostname: a.b, port: 8443, statusCode: "
                             "308, path: {type: ReplaceFullPath, replaceFullPath: /x}}}"), NULL },
        { "redirect 300", FILTER("{type: RequestRedirect, requestRedirect: {statusCode: 300}}"),
          F0 ".requestRedirect.statusCode: must be 301 to 308" },
        { "redirect 304", FILTER("{type: RequestRedirect, requestRedirect: {statusCode: 304}}"),
          F0 ".requestRedirect.statusCode: must be 301, 302, 303, 307 or 308" },
        { "redirect scheme", FILTER("{type: RequestRedirect, requestRedirect: {scheme: ftp}}"),
          F0 ".requestRedirect.scheme: must be one of http, https" },
        { "redirect to a wildcard", FILTER("{type: RequestRedirect, requestRedirect: {hostname: '*.a'}}"),
          F0 ".requestRedirect.hostname: DNS name" },
        { "redirect with backends", RULE("{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: a, "
                                         "port: 1}]}"), F0 ": RequestRedirect must not be used together with backendRefs" },
        { "modifier without its field", FILTER("{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}"),
          F0 ".urlRewrite.path: replaceFullPath must be set" },
        { "modifier with both", FILTER("{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: "
                                       "/, replaceFullPath: /}}}"), F0 ".urlRewrite.path: replaceFullPath must not be set" },
        { "modifier type", FILTER("{type: URLRewrite, urlRewrite: {path: {type: Replace}}}"),
          F0 ".urlRewrite.path.type: must be one of ReplaceFullPath, ReplacePrefixMatch" },
        { "prefix, one PathPrefix", RULE("{matches: [{path: {value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path: "
                                         "{type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]}"), NULL },
        { "prefix, default match", FILTER("{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, "
                                          "replacePrefixMatch: ''}}}"), NULL },
        { "prefix, Exact", RULE("{matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path: "
                                "{type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]}"), F0 ": exactly one match" },
        { "prefix, two matches", RULE("{matches: [{}, {}], filters: [{type: RequestRedirect, requestRedirect: {path: "
                                      "{type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]}"), F0 ": exactly one match" },
        { "prefix in a backend, two matches",
          RULE("{matches: [{}, {}], backendRefs: [{name: a, port: 1, filters: [{type: URLRewrite, urlRewrite: {path: {type: "
               "ReplacePrefixMatch, replacePrefixMatch: /b}}}]}]}"), B0 ".filters[0]: exactly one match" },
        { "mirror percent and fraction", FILTER("{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}, percent: "
                                                "1, fraction: {numerator: 1}}}"), F0 ".requestMirror: only one of percent" },
        { "mirror fraction above one", FILTER("{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}, fraction: "
                                              "{numerator: 3, denominator: 2}}}"), F0 ".requestMirror: numerator" },
        { "mirror 101 percent", FILTER("{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}, percent: 101}}"),
          F0 ".requestMirror.percent: must be 0 to 100" },
        { "mirror without backend", FILTER("{type: RequestMirror, requestMirror: {}}"),
          F0 ".requestMirror.backendRef: is required" },
        { "mirror backend without port", FILTER("{type: RequestMirror, requestMirror: {backendRef: {name: a}}}"),
          F0 ".requestMirror.backendRef: port is required" },
        { "cors", FILTER("{type: CORS, cors: {allowOrigins: ['https://*.a.b:8443', 'http://c'], allowMethods: [GET, PUT], "
                         "allowHeaders: [x], exposeHeaders: [y], allowCredentials: true, maxAge: 60}}"), NULL },
        { "cors origin", FILTER("{type: CORS, cors: {allowOrigins: [a.b]}}"), F0 ".cors.allowOrigins[0]: must be \"*\" or an" },
        { "cors origin path", FILTER("{type: CORS, cors: {allowOrigins: ['https://a/']}}"), F0 ".cors.allowOrigins[0]: origin" },
        { "cors star beside", FILTER("{type: CORS, cors: {allowOrigins: ['*', 'http://a']}}"), F0 ".cors: \"*\" beside" },
        { "cors method", FILTER("{type: CORS, cors: {allowMethods: [get]}}"), F0 ".cors.allowMethods[0]: must be one of GET" },
        { "cors method twice", FILTER("{type: CORS, cors: {allowMethods: [GET, GET]}}"), F0 ".cors.allowMethods[1]: is the same" },
        { "cors maxAge", FILTER("{type: CORS, cors: {maxAge: 0}}"), F0 ".cors.maxAge: must be 1 to" },
        { "cors credentials", FILTER("{type: CORS, cors: {allowCredentials: yes}}"),
          F0 ".cors.allowCredentials: must be true or false" },

        { "backend", BACKEND("{name: a, port: 80, weight: 0}"), NULL },
        { "backend without port", BACKEND("{name: a}"), B0 ": port is required for a Service" },
        { "backend of another kind", BACKEND("{name: a, group: x.y, kind: Z}"), NULL },
        { "backend weight above", BACKEND("{name: a, port: 80, weight: 1000001}"), B0 ".weight: must be 0 to 1000000" },
        { "backend weight below", BACKEND("{name: a, port: 80, weight: -1}"), B0 ".weight: must be 0 to 1000000" },
        { "backend weight 1e3", BACKEND("{name: a, port: 80, weight: 1e3}"), B0 ".weight: whole decimal number" },
        { "backend weight 010", BACKEND("{name: a, port: 80, weight: 010}"), B0 ".weight: whole decimal number" },
        { "backend weight 1.0", BACKEND("{name: a, port: 80, weight: 1.0}"), B0 ".weight: whole decimal number" },
        { "backend port", BACKEND("{name: a, port: 65536}"), B0 ".port: must be 1 to 65535" },
        { "backend filter repeated", BACKEND("{name: a, port: 1, filters: [{type: URLRewrite, urlRewrite: {}}, {type: "
                                             "URLRewrite, urlRewrite: {}}]}"), B0 ".filters[1]: must not be repeated" },
        { "backend filter place", BACKEND("{name: a, port: 1, filters: [{type: X}]}"), B0 ".filters[0].type: must be one of" },

        { "timeouts", RULE("{timeouts: {request: 1h2m3s4ms, backendRequest: 500ms}}"), NULL },
        { "timeout without unit", RULE("{timeouts: {request: 10}}"), R0 ".timeouts.request: GEP-2257" },
        { "timeout fraction", RULE("{timeouts: {request: 1.5s}}"), R0 ".timeouts.request: GEP-2257" },
        { "timeout five parts", RULE("{timeouts: {request: 1s1s1s1s1s}}"), R0 ".timeouts.request: GEP-2257" },
        { "timeout six digits", RULE("{timeouts: {request: 100000s}}"), R0 ".timeouts.request: GEP-2257" },
        { "timeout days", RULE("{timeouts: {request: 1d}}"), R0 ".timeouts.request: GEP-2257" },
        { "timeout backend longer", RULE("{timeouts: {request: 1s, backendRequest: 2s}}"),
          R0 ".timeouts: backendRequest must not be longer" },
        { "timeout backend longer than none", RULE("{timeouts: {request: 0s, backendRequest: 2s}}"), NULL },
        { "retry", RULE("{retry: {attempts: 3, backoff: 100ms, codes: [500, 503]}}"), NULL },
        { "retry code", RULE("{retry: {codes: [200]}}"), R0 ".retry.codes[0]: must be 400 to 599" },
        { "retry code twice", RULE("{retry: {codes: [500, 500]}}"), R0 ".retry.codes[1]: is the same as item 0" },
        { "hostname twice", "{hostnames: [a.b, a.b]}", NULL },
        { "retry attempts", RULE("{retry: {attempts: 0}}"), R0 ".retry.attempts: must be 1 to" },
        { "session persistence is known", RULE("{sessionPersistence: {type: Cookie}}"), NULL },
        { "session type", RULE("{sessionPersistence: {type: Token}}"), R0 ".sessionPersistence.type: " },
        { "session cookie without end", RULE("{sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}}"),
          R0 ".sessionPersistence: a Permanent cookie needs absoluteTimeout" },
        { "session cookie with an end", RULE("{sessionPersistence: {absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}}}"), NULL },
        { "session cookie of a header", RULE("{sessionPersistence: {type: Header, cookieConfig: {}}}"),
          R0 ".sessionPersistence: cookieConfig is only for type Cookie" },
};

static void rules_of_the_crd(void **state) { run_cases(HEAD, cases, ARRAY_SIZE(cases)); }

static const struct http_route *route_of(const char *spec, struct object **ret)
{
        char *text = NULL;
        assert_true(asprintf(&text, HEAD "%s\n", spec) > 0);
        *ret = decode_ok(text);
        free(text);
        return (const struct http_route *)*ret;
}

static void defaults(void **state)
{
        struct object *o;
        const struct http_route *r = route_of("{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: a, port: 80}]}, {filters: "
                                              "[{type: RequestRedirect, requestRedirect: {}}, {type: CORS, cors: {}}]}]}", &o);
        assert_string_equal(r->parents[0].group, "gateway.networking.k8s.io");
        assert_string_equal(r->parents[0].kind, "Gateway");
        assert_string_equal(r->parents[0].namespace, "");
        assert_string_equal(r->parents[0].section_name, "");
        assert_int_equal(r->n_rules, 2);
        assert_int_equal(r->rules[0].n_matches, 1);
        assert_int_equal(r->rules[0].matches[0].path_type, PATH_PREFIX);
        assert_string_equal(r->rules[0].matches[0].path, "/");
        assert_string_equal(r->rules[0].matches[0].method, "");
        assert_string_equal(r->rules[0].backends[0].ref.kind, "Service");
        assert_string_equal(r->rules[0].backends[0].ref.group, "");
        assert_int_equal(r->rules[0].backends[0].weight, 1);
        assert_string_equal(r->rules[0].backends[0].place, "t.yaml:4: spec.rules[0].backendRefs[0]");
        assert_int_equal(r->rules[1].filters[0].redirect.status, 302);
        assert_int_equal(r->rules[1].filters[0].redirect.path_type, PATH_KEEP);
        assert_string_equal(r->rules[1].filters[0].redirect.scheme, "");
        assert_int_equal(r->rules[1].filters[1].cors.max_age_s, 5);
        assert_string_equal(o->namespace, "default");
        object_free(o);

        r = route_of("{}", &o); /* rules has a default too */
        assert_int_equal(r->n_rules, 1);
        assert_int_equal(r->rules[0].n_matches, 1);
        object_free(o);
}

static void values(void **state)
{
        struct object *o;
        const struct http_route *r = route_of(
                "{hostnames: ['*.a.b'], useDefaultGateways: All, rules: [{name: one, matches: [{path: {type: RegularExpression, value: '^/x'}, "
                "method: POST, headers: [{name: H, value: v, type: RegularExpression}, {name: h, value: dropped}], queryParams: [{name: "
                "q, value: w}]}], filters: [{type: RequestMirror, requestMirror: {backendRef: {name: m, namespace: n, port: 81}, "
                "fraction: {numerator: 1}}}, {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: s, value: t}], remove: "
                "[u]}}, {type: ExtensionRef, extensionRef: {group: g.h, kind: K, name: e}}], backendRefs: [{name: a, namespace: b, port: "
                "80, weight: 80, filters: [{type: URLRewrite, urlRewrite: {hostname: c.d, path: {type: ReplaceFullPath, replaceFullPath: "
                "/z}}}]}], timeouts: {request: 1m30s, backendRequest: 0s}, retry: {attempts: 2, backoff: 25ms, codes: [502]}, "
                "sessionPersistence: {}}]}", &o);
        const struct http_rule *u = &r->rules[0];
        assert_string_equal(r->hostnames.v[0], "*.a.b");
        assert_string_equal(r->use_default_gateways, "All");
        assert_string_equal(u->name, "one");
        assert_int_equal(u->matches[0].path_type, PATH_REGEX);
        assert_string_equal(u->matches[0].method, "POST");
        assert_int_equal(u->matches[0].n_headers, 1); /* an equivalent name later in the list does not count */
        assert_true(u->matches[0].headers[0].regex);
        assert_string_equal(u->matches[0].headers[0].value, "v");
        assert_false(u->matches[0].query[0].regex);
        assert_string_equal(u->matches[0].query[0].value, "w");
        assert_int_equal(u->filters[0].type, FILTER_MIRROR);
        assert_string_equal(u->filters[0].mirror.backend.ref.namespace, "n");
        assert_true(u->filters[0].mirror.backend.has_port);
        assert_true(u->filters[0].mirror.has_fraction);
        assert_false(u->filters[0].mirror.has_percent);
        assert_int_equal(u->filters[0].mirror.denominator, 100);
        assert_string_equal(u->filters[1].headers.set[0].value, "t");
        assert_string_equal(u->filters[1].headers.remove.v[0], "u");
        assert_string_equal(u->filters[2].extension.kind, "K");
        assert_string_equal(u->filters[2].extension.namespace, "");
        assert_int_equal(u->backends[0].weight, 80);
        assert_int_equal(u->backends[0].filters[0].rewrite.path_type, PATH_REPLACE_FULL);
        assert_string_equal(u->backends[0].filters[0].rewrite.path, "/z");
        assert_string_equal(u->backends[0].filters[0].redirect.path, "");
        assert_true(u->has_request_timeout && u->has_backend_timeout && u->has_retry && u->has_session_persistence);
        assert_int_equal(u->request_timeout_ms, 90000);
        assert_int_equal(u->backend_timeout_ms, 0);
        assert_int_equal(u->retry.attempts, 2);
        assert_int_equal(u->retry.backoff_ms, 25);
        assert_int_equal(u->retry.n_codes, 1);
        assert_int_equal(u->retry.codes[0], 502);
        object_free(o);
}

/* GRPCRoute: what differs from HTTPRoute; the rest is the same tables. */
#define GRPC_HEAD "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: r}\nspec: "
#define METHOD(text) RULE("{matches: [{method: {" text "}}]}")
static const struct decode_case grpc_cases[] = {
        { "nothing but a spec", "{}", NULL },
        { "service and method", METHOD("service: a.b_2.C, method: Do_it2"), NULL },
        { "service alone", METHOD("service: .a.b"), NULL },
        { "method alone", METHOD("method: _x"), NULL },
        { "neither", METHOD("type: Exact"), R0 ".matches[0].method: one or both of service and method must be given" },
        { "service with a slash", METHOD("service: a/b"), R0 ".matches[0].method: service must only contain" },
        { "service with an empty part", METHOD("service: a..b"), R0 ".matches[0].method: service must only contain" },
        { "service that ends in a dot", METHOD("service: a."), R0 ".matches[0].method: service must only contain" },
        { "service of digits", METHOD("service: a.2b"), R0 ".matches[0].method: service must only contain" },
        { "method with a dot", METHOD("method: a.b"), R0 ".matches[0].method: method must only contain" },
        { "regular expressions are free", METHOD("type: RegularExpression, service: 'a/[b-c]+'"), NULL },
        { "another type", METHOD("type: Prefix, service: a"), R0 ".matches[0].method.type: " },
        { "a path", RULE("{matches: [{path: {value: /}}]}"), R0 ".matches[0]: unknown field \"path\"" },
        { "header by regular expression", RULE("{matches: [{headers: [{name: a, type: RegularExpression, value: b}]}]}"), NULL },
        { "filters of gRPC", FILTER("{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a]}}, "
                                    "{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}}}"), NULL },
        { "filters of HTTP", FILTER("{type: URLRewrite}"), F0 ".type: " },
        { "no timeouts", RULE("{timeouts: {request: 1s}}"), R0 ": unknown field \"timeouts\"" },
        { "no retries", RULE("{retry: {}}"), R0 ": unknown field \"retry\"" },
        { "a filter twice", FILTER("{type: RequestHeaderModifier, requestHeaderModifier: {}}, "
                                   "{type: RequestHeaderModifier, requestHeaderModifier: {}}"), "spec.rules[0].filters[1]: this type" },
        { "backend without port", BACKEND("{name: a}"), B0 ": port is required" },
};

static void grpc(void **state)
{
        (void)state;
        run_cases(GRPC_HEAD, grpc_cases, ARRAY_SIZE(grpc_cases));
        struct object *o = decode_ok(GRPC_HEAD "{rules: [{}, {matches: [{method: {service: a}, headers: [{name: H, value: v}, {name: h, value: w}]}]}]}");
        const struct http_route *r = (const struct http_route *)o;
        assert_int_equal(o->kind, OBJECT_GRPC_ROUTE);
        assert_int_equal(r->rules[0].n_matches, 1); /* absent: everything */
        assert_string_equal(r->rules[0].matches[0].grpc_service, "");
        assert_string_equal(r->rules[0].matches[0].path, "/");
        assert_string_equal(r->rules[1].matches[0].grpc_service, "a");
        assert_string_equal(r->rules[1].matches[0].grpc_method, "");
        assert_int_equal(r->rules[1].matches[0].n_headers, 1); /* equal but for case: the first */
        object_free(o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(rules_of_the_crd),
                cmocka_unit_test(defaults),
                cmocka_unit_test(values),
                cmocka_unit_test(grpc),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
