/* tests/unit/l7gw/h1_smuggling_test.c - one row per ambiguity that makes two HTTP parsers disagree.  The number in a name
 * is the protocol requirement of l7gw/README.md.  Every row runs whole, byte by byte and in random pieces. */
#include "lib/base.h"
#include "tests/unit/l7gw/exchange.h"

#define H "Host: a.example\r\n"
#define END "\r\n"
#define CHUNKED "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n" END
#define OPTIONS_8 "a, a, a, a, a, a, a, a"
#define OPTIONS_32 OPTIONS_8 "," OPTIONS_8 "," OPTIONS_8 "," OPTIONS_8
#define NEXT "GET /admin HTTP/1.1\r\n" H END
#define NEXT_N (sizeof(NEXT) - 1)

static const struct exchange_case cases[] = {
        /* request line */
        { "1: HTTP/0.9", IN("GET /\r\n" H END), H1_BAD_LINE },
        { "1: two spaces before the target", IN("GET  / HTTP/1.1\r\n" H END), H1_BAD_LINE },
        { "1: two spaces before the version", IN("GET /  HTTP/1.1\r\n" H END), H1_BAD_LINE },
        { "1: space at the end of the line", IN("GET / HTTP/1.1 \r\n" H END), H1_BAD_LINE },
        { "1: tab as separator", IN("GET\t/\tHTTP/1.1\r\n" H END), H1_BAD_LINE },
        { "1: space in the target", IN("GET /a b HTTP/1.1\r\n" H END), H1_BAD_LINE },
        { "1: request in the target", IN("GET / HTTP/1.1 /x HTTP/1.1\r\n" H END), H1_BAD_LINE },
        { "1: lower-case version", IN("GET / http/1.1\r\n" H END), H1_BAD_LINE },
        { "1: two-digit minor", IN("GET / HTTP/1.10\r\n" H END), H1_BAD_LINE },
        { "1: minor 2", IN("GET / HTTP/1.2\r\n" H END), H1_BAD_LINE },
        { "1: major 2", IN("GET / HTTP/2.0\r\n" H END), H1_BAD_VERSION },
        { "1: major 0", IN("GET / HTTP/0.9\r\n" H END), H1_BAD_VERSION },
        { "1: method is no token", IN("G@T / HTTP/1.1\r\n" H END), H1_BAD_METHOD },
        { "1: method with a colon", IN("GET:x / HTTP/1.1\r\n" H END), H1_BAD_METHOD },
        { "1: method without end", IN("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n" H END), H1_BAD_METHOD },
        { "1: a TLS hello on a plain port", IN("\x16\x03\x01\x02\x00\x01"), H1_BAD_LINE },
        /* control characters */
        { "2: NUL in a value", IN("GET / HTTP/1.1\r\n" H "X: a\0b\r\n" END), H1_BAD_FIELD },
        { "2: CR in a value", IN("GET / HTTP/1.1\r\n" H "X: a\rb\r\n" END), H1_BAD_LF },
        { "2: CR CR LF", IN("GET / HTTP/1.1\r\n" H "X: a\r\r\n" END), H1_BAD_LF },
        { "2: CR in the request line", IN("GET /\rx HTTP/1.1\r\n" H END), H1_BAD_LF },
        { "2: DEL in a value", IN("GET / HTTP/1.1\r\n" H "X: \x7f\r\n" END), H1_BAD_FIELD },
        { "2: vertical tab in a value", IN("GET / HTTP/1.1\r\n" H "X: a\vb\r\n" END), H1_BAD_FIELD },
        { "2: NUL in the target", IN("GET /\0 HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "2: CTL in the query", IN("GET /?a\x01 HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        /* line ends */
        { "3: bare LF after the request line", IN("GET / HTTP/1.1\n" H END), H1_BAD_LF },
        { "3: bare LF after a field", IN("GET / HTTP/1.1\r\nHost: a.example\n" END), H1_BAD_LF },
        { "3: bare LF as the empty line", IN("GET / HTTP/1.1\r\n" H "\n"), H1_BAD_LF },
        { "3: bare LF hides a field", IN("GET / HTTP/1.1\r\n" H "X: y\nTransfer-Encoding: chunked\r\n" END), H1_BAD_LF },
        { "3: bare CR as the empty line", IN("GET / HTTP/1.1\r\n" H "\r\r\n" END), H1_BAD_LF },
        { "3: LF first of all", IN("\nGET / HTTP/1.1\r\n" H END), H1_BAD_LF },
        { "3: LF after a chunk size", IN(CHUNKED "3\nabc\r\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "3: LF after chunk data", IN(CHUNKED "3\r\nabc\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "3: LF ends the trailer section", IN(CHUNKED "0\r\n\n"), H1_BAD_TRAILER },
        { "3: LF ends a trailer", IN(CHUNKED "0\r\nX: y\n\r\n"), H1_BAD_TRAILER },
        /* field names */
        { "4: space before the colon", IN("POST / HTTP/1.1\r\n" H "Content-Length : 3\r\n" END "abc"), H1_BAD_FIELD },
        { "4: tab before the colon", IN("POST / HTTP/1.1\r\n" H "Content-Length\t: 3\r\n" END "abc"), H1_BAD_FIELD },
        { "4: no colon", IN("GET / HTTP/1.1\r\n" H "X\r\n" END), H1_BAD_FIELD },
        { "4: empty name", IN("GET / HTTP/1.1\r\n" H ": x\r\n" END), H1_BAD_FIELD },
        { "4: NUL in a name", IN("GET / HTTP/1.1\r\n" H "Content-\0Length: 3\r\n" END), H1_BAD_FIELD },
        { "4: non-ASCII name", IN("GET / HTTP/1.1\r\n" H "X\xc3\xa9: 3\r\n" END), H1_BAD_FIELD },
        { "4: name in brackets", IN("GET / HTTP/1.1\r\n" H "[Content-Length]: 3\r\n" END), H1_BAD_FIELD },
        { "4: CR in a name", IN("GET / HTTP/1.1\r\n" H "Transfer\rEncoding: chunked\r\n" END), H1_BAD_LF },
        /* folding */
        { "5: folded value", IN("GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n" END), H1_BAD_FOLD },
        { "5: folded with a tab", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\tchunked\r\n" END), H1_BAD_FOLD },
        { "5: space before the first field", IN("GET / HTTP/1.1\r\n " H END), H1_BAD_FOLD },
        { "5: line of spaces", IN("GET / HTTP/1.1\r\n" H "  \r\n" END), H1_BAD_FOLD },
        /* leading empty lines */
        { "6: two empty lines first", IN("\r\n\r\nGET / HTTP/1.1\r\n" H END), H1_OK, "GET a.example / 1.1 none keep" },
        { "6: three empty lines first", IN("\r\n\r\n\r\nGET / HTTP/1.1\r\n" H END), H1_BAD_LINE },
        { "6: space first", IN(" GET / HTTP/1.1\r\n" H END), H1_BAD_LINE },
        { "6: CR and something first", IN("\rGET / HTTP/1.1\r\n" H END), H1_BAD_LF },
        /* Content-Length */
        { "7: plus sign", IN("POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n" END "abc"), H1_BAD_LENGTH },
        { "7: minus sign", IN("POST / HTTP/1.1\r\n" H "Content-Length: -3\r\n" END "abc"), H1_BAD_LENGTH },
        { "7: inner space", IN("POST / HTTP/1.1\r\n" H "Content-Length: 3 0\r\n" END "abc"), H1_BAD_LENGTH },
        { "7: hexadecimal", IN("POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n" END "abc"), H1_BAD_LENGTH },
        { "7: underscore", IN("POST / HTTP/1.1\r\n" H "Content-Length: 1_0\r\n" END), H1_BAD_LENGTH },
        { "7: empty", IN("POST / HTTP/1.1\r\n" H "Content-Length:\r\n" END), H1_BAD_LENGTH },
        { "7: over int64", IN("POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775808\r\n" END), H1_BAD_LENGTH },
        { "7: wraps to 3", IN("POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551619\r\n" END "abc"), H1_BAD_LENGTH },
        { "7: two different", IN("POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n" END "abc"), H1_BAD_LENGTH },
        { "7: list of different", IN("POST / HTTP/1.1\r\n" H "Content-Length: 3, 4\r\n" END "abc"), H1_BAD_LENGTH },
        { "7: list with an empty element", IN("POST / HTTP/1.1\r\n" H "Content-Length: 3,\r\n" END "abc"), H1_BAD_LENGTH },
        { "7: 3 and 03", IN("POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 03\r\n" END "abc"), H1_BAD_LENGTH },
        { "7: equal ones are merged", IN("POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3, 3\r\n" END "abc"), H1_OK,
          "POST a.example / 1.1 len=3 keep # abc" },
        { "7: fractional", IN("POST / HTTP/1.1\r\n" H "Content-Length: 3.0\r\n" END "abc"), H1_BAD_LENGTH },
        /* Content-Length with Transfer-Encoding */
        { "8: CL then TE", IN("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END "0\r\n\r\n"),
          H1_BAD_FRAMING },
        { "8: TE then CL", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" END "0\r\n\r\n"),
          H1_BAD_FRAMING },
        { "8: CL hidden from Connection", IN("POST / HTTP/1.1\r\n" H "Connection: Content-Length\r\nContent-Length: 3\r\n" END "abc"),
          H1_OK, "POST a.example / 1.1 len=3 keep # abc" },
        { "8: TE hidden from Connection", IN("POST / HTTP/1.1\r\n" H "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n"
                                            END "3\r\nabc\r\n0\r\n\r\n"), H1_OK, "POST a.example / 1.1 chunked keep # abc" },
        /* Transfer-Encoding values */
        { "9: chunked twice", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n" END), H1_BAD_FRAMING },
        { "9: two lines", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END),
          H1_BAD_FRAMING },
        { "9: two lines, identity", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" END),
          H1_BAD_FRAMING },
        { "9: comma first", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: ,chunked\r\n" END), H1_BAD_FRAMING },
        { "9: comma last", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked,\r\n" END), H1_BAD_FRAMING },
        { "9: identity", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n" END), H1_BAD_FRAMING },
        { "9: xchunked", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n" END), H1_BAD_FRAMING },
        { "9: parameter", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n" END), H1_BAD_FRAMING },
        { "9: quoted", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n" END), H1_BAD_FRAMING },
        { "9: vertical tab", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b" "chunked\r\n" END), H1_BAD_FIELD },
        { "9: no-break space", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: \xa0" "chunked\r\n" END), H1_BAD_FRAMING },
        { "9: empty", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n" END), H1_BAD_FRAMING },
        { "9: gzip before chunked", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n" END), H1_BAD_CODING },
        { "9: chunked not last", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n" END), H1_BAD_FRAMING },
        { "9: no chunked", IN("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n" END), H1_BAD_FRAMING },
        { "9: case and white space", IN("POST / HTTP/1.1\r\n" H "TrAnSfEr-EnCoDiNg: \t ChunKED \t\r\n" END "0\r\n\r\n"), H1_OK,
          "POST a.example / 1.1 chunked keep" },
        { "10: TE in HTTP/1.0", IN("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n" END "0\r\n\r\n"), H1_BAD_FRAMING },
        /* chunks */
        { "11: size with 0x", IN(CHUNKED "0x3\r\nabc\r\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "11: size with a sign", IN(CHUNKED "+3\r\nabc\r\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "11: negative size", IN(CHUNKED "-1\r\n"), H1_BAD_CHUNK },
        { "11: empty size", IN(CHUNKED "\r\nabc\r\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "11: extension without size", IN(CHUNKED ";x\r\nabc\r\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "11: space after the size", IN(CHUNKED "3 \r\nabc\r\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "11: space before the size", IN(CHUNKED " 3\r\nabc\r\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "11: size of 17 digits", IN(CHUNKED "00000000000000003\r\nabc\r\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "11: size over int64", IN(CHUNKED "8000000000000000\r\n"), H1_BAD_CHUNK },
        { "11: data longer than its size", IN(CHUNKED "3\r\nabcd\r\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "11: data shorter than its size", IN(CHUNKED "4\r\nabc\r\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "11: CR only after data", IN(CHUNKED "3\r\nabc\r0\r\n\r\n"), H1_BAD_CHUNK },
        { "12: CR in an extension", IN(CHUNKED "3;a\rb\r\nabc\r\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "12: LF in an extension", IN(CHUNKED "3;a\nb\r\nabc\r\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "12: line end in a quoted extension", IN(CHUNKED "3;a=\"\r\n0\r\n\r\n" NEXT), H1_BAD_CHUNK },
        { "12: extension without a name", IN(CHUNKED "3;\r\nabc\r\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "12: extension without a value", IN(CHUNKED "3;a=\r\nabc\r\n0\r\n\r\n"), H1_BAD_CHUNK },
        { "12: extensions are dropped", IN(CHUNKED "3;a;b=c;d=\"e;\\\"\"\r\nabc\r\n0;last\r\n\r\n"), H1_OK,
          "POST a.example / 1.1 chunked keep # abc" },
        /* trailers */
        { "13: trailers that matter are dropped", IN(CHUNKED "0\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\nHost: b\r\n"
                                                     "Authorization: x\r\nX-Forwarded-For: ::1\r\nConnection: close\r\nX-Sum: 1\r\n\r\n"),
          H1_OK, "POST a.example / 1.1 chunked keep ^ x-sum: 1" },
        { "13: space before the colon", IN(CHUNKED "0\r\nX : y\r\n\r\n"), H1_BAD_TRAILER },
        { "13: folded trailer", IN(CHUNKED "0\r\nX: y\r\n z\r\n\r\n"), H1_BAD_TRAILER },
        { "13: NUL in a trailer", IN(CHUNKED "0\r\nX: \0\r\n\r\n"), H1_BAD_TRAILER },
        { "13: request in the trailers", IN(CHUNKED "0\r\n" NEXT), H1_BAD_TRAILER },
        /* bodies of methods that usually have none */
        { "14: GET with a body", IN("GET / HTTP/1.1\r\n" H "Content-Length: 3\r\n" END "abc" NEXT), H1_OK,
          "GET a.example / 1.1 len=3 keep # abc", NEXT_N },
        { "14: HEAD with a chunked body", IN("HEAD / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n" END "3\r\nabc\r\n0\r\n\r\n" NEXT),
          H1_OK, "HEAD a.example / 1.1 chunked keep # abc", NEXT_N },
        { "14: no framing, no body", IN("POST / HTTP/1.1\r\n" H END NEXT), H1_OK, "POST a.example / 1.1 none keep", NEXT_N },
        /* Host and target */
        { "21: no Host", IN("GET / HTTP/1.1\r\n" END), H1_BAD_HOST },
        { "21: two Hosts", IN("GET / HTTP/1.1\r\n" H H END), H1_BAD_HOST },
        { "21: empty Host", IN("GET / HTTP/1.1\r\nHost:\r\n" END), H1_BAD_HOST },
        { "21: Host with a path", IN("GET / HTTP/1.1\r\nHost: a.example/x\r\n" END), H1_BAD_HOST },
        { "21: Host with userinfo", IN("GET / HTTP/1.1\r\nHost: u@a.example\r\n" END), H1_BAD_HOST },
        { "21: list of Hosts", IN("GET / HTTP/1.1\r\nHost: a.example, b.example\r\n" END), H1_BAD_HOST },
        { "21: Host with a bad port", IN("GET / HTTP/1.1\r\nHost: a.example:80x\r\n" END), H1_BAD_HOST },
        { "21: Host with two ports", IN("GET / HTTP/1.1\r\nHost: a.example:80:81\r\n" END), H1_BAD_HOST },
        { "21: HTTP/1.0 needs none", IN("GET / HTTP/1.0\r\n" END), H1_OK, "GET  / 1.0 none" },
        { "22: target and Host differ", IN("GET http://b.example/ HTTP/1.1\r\n" H END), H1_BAD_HOST },
        { "22: ports differ", IN("GET http://a.example:81/ HTTP/1.1\r\n" H END), H1_BAD_HOST },
        { "22: absolute-form needs Host too", IN("GET http://a.example/ HTTP/1.1\r\n" END), H1_BAD_HOST },
        { "22: userinfo in the target", IN("GET http://u:p@a.example/ HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "22: other scheme", IN("GET ftp://a.example/ HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "22: scheme of another transport", IN("GET https://a.example/ HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "22: no authority", IN("GET http:///x HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "22: backslash in the authority", IN("GET http://a.example\\@b.example/ HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "23: authority-form with GET", IN("GET a.example:80 HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "23: origin-form with CONNECT", IN("CONNECT / HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "23: CONNECT without a port", IN("CONNECT a.example HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "23: asterisk with GET", IN("GET * HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "23: fragment", IN("GET /a#b HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "23: fragment in the query", IN("GET /a?b#c HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "26: bad escape", IN("GET /%zz HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "26: short escape", IN("GET /%2 HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "26: %00", IN("GET /a%00b HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "27: above the root", IN("GET /../x HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "27: above the root, encoded", IN("GET /a/%2e%2E/%2e./x HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "27: backslash", IN("GET /a\\b HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "27: raw non-ASCII", IN("GET /\xc3\xa9 HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        { "27: not a path", IN("GET admin HTTP/1.1\r\n" H END), H1_BAD_TARGET },
        /* hop-by-hop */
        { "29: Connection names what must stay", IN("GET / HTTP/1.1\r\n" H "Connection: Host, Authorization, Cookie, X-Forwarded-For, X-A\r\n"
                                                    "Authorization: b\r\nCookie: c\r\nX-Forwarded-For: d\r\nX-A: gone\r\n" END),
          H1_OK, "GET a.example / 1.1 none keep | authorization: b | cookie: c | x-forwarded-for: d" },
        { "29: all hop-by-hop fields go", IN("GET / HTTP/1.1\r\n" H "Connection: close, x-b\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n"
                                             "TE: trailers, deflate\r\nUpgrade: h2c\r\nX-B: 1\r\nProxy-Authorization: x\r\nX-C: 2\r\n" END),
          H1_OK, "GET a.example / 1.1 none te | x-c: 2" },
        { "29: a flood of Connection options", IN("GET / HTTP/1.1\r\n" H "Connection: " OPTIONS_32 ", close, close, Host\r\n" END), H1_OK,
          "GET a.example / 1.1 none" },
        { "29: one option more", IN("GET / HTTP/1.1\r\n" H "Connection: " OPTIONS_32 "\r\nConnection: x\r\n" END), H1_BAD_FIELD },
        { "29: no token in Connection", IN("GET / HTTP/1.1\r\n" H "Connection: a b\r\n" END), H1_BAD_FIELD },
        { "31: underscore twin of X-Forwarded-For", IN("GET / HTTP/1.1\r\n" H "X_Forwarded-For: 1\r\n" END), H1_BAD_FIELD },
        { "31: underscore twin of Content-Length", IN("GET / HTTP/1.1\r\n" H "Content_Length: 1\r\n" END), H1_BAD_FIELD },
        { "31: other underscores pass", IN("GET / HTTP/1.1\r\n" H "X_User: 1\r\n" END), H1_OK,
          "GET a.example / 1.1 none keep | x_user: 1" },
        { "33: two Content-Types", IN("GET / HTTP/1.1\r\n" H "Content-Type: a/b\r\nContent-Type: c/d\r\n" END), H1_BAD_FIELD },
        { "33: two Authorizations", IN("GET / HTTP/1.1\r\n" H "Authorization: a\r\nAuthorization: b\r\n" END), H1_BAD_FIELD },
        { "42: unknown expectation", IN("POST / HTTP/1.1\r\n" H "Expect: 100-continue, x\r\nContent-Length: 1\r\n" END), H1_BAD_EXPECT },
        { "54: h2c is never asked for", IN("GET / HTTP/1.1\r\n" H "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                                           "HTTP2-Settings: AAMAAABk\r\n" END), H1_OK, "GET a.example / 1.1 none keep" },
};

static void test_smuggling(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                case_run(&cases[i], &h1_default_limits, NULL);
}

static void test_starved(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                case_starve(&cases[i], &h1_default_limits, NULL);
}

/* Every error has an answer and a place in an RFC; a row that made none of the BAD_ results would prove nothing. */
static void test_results(void **state)
{
        (void)state;
        for (int rc = 0; rc < H1_RC_N; rc++) {
                unsigned status = h1_rc_status((enum h1_rc)rc);
                assert_true(rc == H1_OK || rc == H1_MORE ? status == 0 : status >= 400 && status < 600);
                assert_true(strlen(h1_rc_str((enum h1_rc)rc)) > 0);
        }
        assert_true(ARRAY_SIZE(cases) >= 60);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_smuggling), cmocka_unit_test(test_starved),
                                            cmocka_unit_test(test_results) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
