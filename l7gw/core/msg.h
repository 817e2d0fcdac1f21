/* l7gw/core/msg.h - an HTTP message in normal form: what every later stage sees, whichever protocol it came by.
 * Layer: l7gw/core, pure.  Thread rule: one thread (the connection's).  Ownership: all spans live in the stream's arena.
 * Invariants after a successful parse: names are tokens in lower case; values have no CR, LF, NUL, no outer white space;
 * framing (content-length, chunked, connection handling) is decided by the parser and NOT repeated in the fields: fields
 * never hold connection, keep-alive, proxy-connection, te, transfer-encoding, upgrade, content-length, host, expect, nor any
 * field that Connection named: te_trailers, upgrade, content_length, authority, expect_continue carry their meaning, and
 * the writers make the lines from these.  (RFC 9110 7.6.1; RFC 9112 6) */
#pragma once
#include "lib/core/arena.h"

#define FIELD_IDS(F) /* F(ID, "name"): names the engine itself looks at; any other name has FIELD_OTHER */ \
        F(HOST, "host") F(CONTENT_LENGTH, "content-length") F(CONTENT_TYPE, "content-type") F(DATE, "date") \
        F(SERVER, "server") F(VIA, "via") F(COOKIE, "cookie") F(SET_COOKIE, "set-cookie") F(EXPECT, "expect") \
        F(TE, "te") F(TRAILER, "trailer") F(UPGRADE, "upgrade") F(CONNECTION, "connection") \
        F(TRANSFER_ENCODING, "transfer-encoding") F(KEEP_ALIVE, "keep-alive") F(PROXY_CONNECTION, "proxy-connection") \
        F(X_FORWARDED_FOR, "x-forwarded-for") F(X_FORWARDED_PROTO, "x-forwarded-proto") F(X_FORWARDED_HOST, "x-forwarded-host") \
        F(X_REQUEST_ID, "x-request-id") F(LOCATION, "location") F(AUTHORIZATION, "authorization") F(ORIGIN, "origin") \
        F(USER_AGENT, "user-agent") F(REFERER, "referer") F(ACCEPT_ENCODING, "accept-encoding") F(TRACEPARENT, "traceparent") \
        F(PROXY_AUTHORIZATION, "proxy-authorization") F(PROXY_AUTHENTICATE, "proxy-authenticate") F(FORWARDED, "forwarded") \
        F(X_REAL_IP, "x-real-ip")
enum field_id {
        FIELD_OTHER,
#define F(id, name) FIELD_##id,
        FIELD_IDS(F)
#undef F
        FIELD_ID_N
};
struct field {
        struct span name, value; /* name lower case */
        enum field_id id;
};
#define MSG_MAX_FIELDS 100 /* requirement 16: over it 431 */
#define MSG_MAX_STORED 512 /* received fields and what filters and the engine add */

enum body_framing {
        BODY_NONE,    /* no body */
        BODY_LENGTH,  /* exactly content_length bytes (may be 0) */
        BODY_CHUNKED, /* h1 chunked, or h2 without content-length: ends by its own mark */
        BODY_CLOSE,   /* response only: until the upstream closes */
};
struct msg {
        struct arena *arena; /* borrowed */
        /* request */
        struct span method;      /* as sent, e.g. "GET" */
        struct span scheme;      /* "http" or "https": of the connection it came by */
        struct span authority;   /* as sent: host[:port]; empty only for HTTP/1.0 without Host */
        struct span host;        /* normal form for routing: lower case, no port, no trailing dot, IPv6 in brackets */
        uint16_t port;           /* of the authority, 0 = none given */
        struct span path;        /* normal form (l7gw/core/path.h), starts with "/", or "*" (OPTIONS) */
        struct span query;       /* without "?"; has_query tells "" from none */
        bool has_query;
        /* response */
        uint16_t status;
        struct span reason; /* may be empty */
        /* both */
        uint8_t minor;        /* HTTP/1.minor; 2 for HTTP/2 */
        enum body_framing framing;
        uint64_t content_length; /* BODY_LENGTH */
        bool length_implied;     /* BODY_LENGTH 0 that the other version has by itself: HTTP/2 does not write it */
        bool has_length;         /* BODY_NONE response to HEAD, or 304: content_length is told although no body follows */
        bool keep_alive;         /* h1: the sender's side stays open after this message */
        bool expect_continue;
        bool te_trailers;
        struct span upgrade; /* request: the one protocol asked for (lower case, never h2c); 101, 426: the one named */
        struct field *fields;
        size_t n_fields, cap_fields;
};

void msg_init(struct msg *m, struct arena *a) NONNULL(1, 2);
int msg_reserve(struct msg *m, size_t n) NONNULL(1) MUST_USE; /* room for n fields in all; -ENOMEM */
enum field_id field_id_of(struct span lower_name);
/* First field with that name (any case in `name`), NULL when absent. */
const struct field *msg_find(const struct msg *m, struct span name) NONNULL(1);
const struct field *msg_find_id(const struct msg *m, enum field_id id) NONNULL(1);
/* Adds a field line.  Borrows both spans (they must live as long as the arena); lowers a copy of the name if needed.
 * 0, -EINVAL (name is no token, value invalid or with outer white space), -ENOMEM (arena, or over MSG_MAX_STORED). */
int msg_add(struct msg *m, struct span name, struct span value) NONNULL(1) MUST_USE;
int msg_set(struct msg *m, struct span name, struct span value) NONNULL(1) MUST_USE; /* replaces all of that name */
void msg_remove(struct msg *m, struct span name) NONNULL(1);
/* A copy that shares no byte with src, in dst's arena; dst is initialised.  -ENOMEM: dst is of no use. */
int msg_copy(struct msg *dst, const struct msg *src) NONNULL(1, 2) MUST_USE;
bool name_is_token(struct span s);     /* RFC 9110 5.6.2 */
bool value_is_valid(struct span s);    /* RFC 9110 5.5: no CR, LF, NUL or other CTL but HTAB */
static inline struct span value_trim(struct span s) /* without outer white space (OWS) */
{
        while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
                s = SPAN(s.p + 1, s.n - 1);
        while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
                s.n--;
        return s;
}
/* Next element of a comma list, trimmed; empty elements are skipped (RFC 9110 5.6.1.2).  false: there is none. */
static inline bool value_list_next(struct span *rest, struct span *ret)
{
        while (rest->n) {
                const uint8_t *comma = memchr(rest->p, ',', rest->n);
                struct span e = SPAN(rest->p, comma ? (size_t)(comma - rest->p) : rest->n);
                size_t skip = comma ? e.n + 1 : e.n;
                *rest = SPAN(rest->p + skip, rest->n - skip);
                *ret = value_trim(e);
                if (ret->n)
                        return true;
        }
        return false;
}
