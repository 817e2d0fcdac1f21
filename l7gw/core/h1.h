/* l7gw/core/h1.h - HTTP/1.1 parser and writer (RFC 9112), strict: one grammar, reject by default.  Layer: l7gw/core, pure.
 * Numbers in brackets are the protocol requirements of l7gw/README.md.  Thread rule: one thread.
 * Resumable: feed a longer buffer after H1_MORE; the scan position is kept in struct h1_scan, so byte-by-byte delivery
 * costs O(n).  Heads are parsed once complete; the spans of the result point into the arena (copied), never the buffer. */
#pragma once
#include "l7gw/core/msg.h"
#include "lib/core/buf.h"

#define H1_RESULTS(R) /* R(ID, HTTP status to answer a request with, RFC section, text) */ \
        R(OK, 0, "", "complete") \
        R(MORE, 0, "", "needs more bytes") \
        R(BAD_LINE, 400, "9112 3", "malformed request or status line") \
        R(BAD_VERSION, 505, "9112 2.3", "unsupported HTTP version") \
        R(BAD_METHOD, 400, "9112 3.1", "invalid method") \
        R(BAD_TARGET, 400, "9112 3.2", "invalid request target") \
        R(BAD_HOST, 400, "9112 3.2", "missing, repeated or invalid Host") \
        R(BAD_FIELD, 400, "9112 5", "malformed header field") \
        R(BAD_FOLD, 400, "9112 5.2", "obsolete line folding") \
        R(BAD_LF, 400, "9112 2.2", "bare CR or LF") \
        R(BAD_LENGTH, 400, "9112 6.3", "invalid Content-Length") \
        R(BAD_FRAMING, 400, "9112 6.1", "ambiguous framing") \
        R(BAD_CODING, 501, "9112 6.1", "unknown transfer coding") \
        R(BAD_CHUNK, 400, "9112 7.1", "malformed chunk") \
        R(BAD_TRAILER, 400, "9112 7.1.2", "malformed trailer") \
        R(BAD_EXPECT, 417, "9110 10.1.1", "unknown expectation") \
        R(LINE_TOO_LONG, 414, "9110 15.5.15", "request line over the limit") \
        R(HEAD_TOO_LARGE, 431, "6585 5", "header section over the limit") \
        R(NO_MEMORY, 503, "", "out of arena memory")
enum h1_rc {
#define R(id, status, rfc, text) H1_##id,
        H1_RESULTS(R)
#undef R
        H1_RC_N
};
unsigned h1_rc_status(enum h1_rc rc); /* for a request; a bad response is always 502 */
const char *h1_rc_str(enum h1_rc rc);
const char *h1_rc_rfc(enum h1_rc rc);

struct h1_limits {
        uint32_t max_line_bytes;  /* 8192 */
        uint32_t max_head_bytes;  /* 32768 */
        uint32_t max_fields;      /* MSG_MAX_FIELDS */
        uint32_t max_field_bytes; /* 16384 */
};
extern const struct h1_limits h1_default_limits;

struct h1_scan { /* zero-initialised per head */
        size_t seen;    /* bytes already searched for the end of the head */
        size_t start;   /* bytes of leading empty lines skipped (at most two lines) */
        size_t line;    /* where the line begins that seen is in */
        uint32_t lines; /* complete lines after start */
};
/* Parses one request head from the front of in.  H1_OK: m filled, *ret_used = length of the head.
 * m is from msg_init; the caller sets m->scheme before (an absolute-form target must agree with it).  CONNECT leaves
 * path empty and is the caller's to refuse; so is TRACE.  HTTP/1.0 without Host leaves authority and host empty.
 * expect_continue means the client waits: answer 100 and clear it, or leave it and h1_write_request forwards it. */
enum h1_rc h1_request(struct h1_scan *s, struct span in, const struct h1_limits *lim, struct msg *m, size_t *ret_used)
        NONNULL(1, 3, 4, 5) MUST_USE;
/* Parses one response head; `method` is the request's (HEAD and CONNECT change the framing).  1xx heads are returned too;
 * for 101 m->upgrade is the protocol switched to: the caller checks that it is the one asked for. */
enum h1_rc h1_response(struct h1_scan *s, struct span in, const struct h1_limits *lim, struct span method, struct msg *m,
                       size_t *ret_used) NONNULL(1, 3, 5, 6) MUST_USE;

/* Body decoder for every framing; chunk extensions and trailers are checked to the last byte. */
#define H1_MAX_EXT_BYTES 4096     /* chunk extensions per message (requirement 12) */
#define H1_MAX_TRAILER_BYTES 8192 /* trailer section (requirement 13) */
struct h1_body {
        enum body_framing framing;
        uint64_t left;          /* bytes left of the body (LENGTH) or of this chunk */
        uint8_t state;          /* chunk machine, l7gw/core/h1_body.c */
        uint8_t digits;
        uint32_t ext_bytes;
        uint32_t trailer_bytes;
        uint32_t trailer_lines;
        uint8_t *trailer;       /* the section so far, in the arena of `trailers` */
        uint32_t line, colon;   /* in the trailer line being read: offsets of its begin and of its colon */
        bool done;
};
void h1_body_init(struct h1_body *b, const struct msg *m) NONNULL(1, 2);
/* Body bytes that come next and need no look: UINT64_MAX up to the close, 0 inside chunks.  Whoever passes n of them on says so. */
uint64_t h1_body_plain(const struct h1_body *b) NONNULL(1);
void h1_body_passed(struct h1_body *b, uint64_t n) NONNULL(1);
/* Takes bytes from the front of in.  *ret_data = the body bytes among them (points into in, possibly empty), *ret_used =
 * how many bytes of in are consumed.  Call again with the rest until used == 0 or b->done.  Trailer fields are checked and
 * added to `trailers` (may be NULL: checked, dropped; else the same msg at each call); framing, routing, authentication
 * and hop-by-hop names are left out.  H1_OK (progress), H1_MORE (nothing to take), or BAD_*, NO_MEMORY. */
enum h1_rc h1_body_feed(struct h1_body *b, struct span in, struct msg *trailers, struct span *ret_data, size_t *ret_used)
        NONNULL(1, 4, 5) MUST_USE;

/* Writers: append to out; the caller checks out->failed.  Everything they emit is accepted by our own parser.
 * BUG_ON guards: no CR, LF, NUL can leave here whatever the fields hold, no space inside the start line (requirement 48).
 * Request: Host comes from m->authority (H1_NO_HOST when empty: an HTTP/1.0 client that named none), the target from path
 * and query (a path of "" is the authority-form of CONNECT); then the fields; then framing, upgrade and TE: trailers.
 * Always HTTP/1.1.  BODY_NONE writes no framing line: right for a request without body, and for a response that may have
 * none (HEAD, 1xx, 204, 304); any other empty response is BODY_LENGTH with 0.  BODY_CLOSE always says close.
 * A response with m->minor 0 and keep_alive says so ("connection: keep-alive"): set minor to the client's. */
#define H1_NO_HOST "host.invalid" /* RFC 2606 */
void h1_write_request(struct buf *out, const struct msg *m, bool keep_alive) NONNULL(1, 2);
void h1_write_response(struct buf *out, const struct msg *m, bool keep_alive) NONNULL(1, 2);
size_t h1_chunk_head(char out[20], size_t len); /* "1a2b\r\n"; len > 0 */
void h1_write_last_chunk(struct buf *out, const struct msg *trailers /* or NULL */) NONNULL(1);
const char *h1_reason(unsigned status); /* RFC 9110 15 phrase, "" when unknown */
