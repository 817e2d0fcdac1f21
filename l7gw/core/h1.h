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
        size_t seen;  /* bytes already searched for the end of the head */
        size_t start; /* leading empty lines skipped (at most two) */
};
/* Parses one request head from the front of in.  H1_OK: m filled, *ret_used = length of the head. */
enum h1_rc h1_request(struct h1_scan *s, struct span in, const struct h1_limits *lim, struct msg *m, size_t *ret_used)
        NONNULL(1, 3, 4, 5) MUST_USE;
/* Parses one response head; `method` is the request's (HEAD and CONNECT change the framing).  1xx heads are returned too. */
enum h1_rc h1_response(struct h1_scan *s, struct span in, const struct h1_limits *lim, struct span method, struct msg *m,
                       size_t *ret_used) NONNULL(1, 3, 5, 6) MUST_USE;

/* Body decoder for BODY_LENGTH, BODY_CHUNKED, BODY_CLOSE. */
struct h1_body {
        enum body_framing framing;
        uint64_t left;       /* bytes left of the body (LENGTH) or of this chunk */
        uint8_t state;       /* chunk machine */
        uint8_t digits;
        uint32_t ext_bytes;  /* chunk extensions seen, limit 4 KiB per message */
        uint32_t trailer_bytes;
        bool done;
};
void h1_body_init(struct h1_body *b, const struct msg *m) NONNULL(1, 2);
/* Takes bytes from the front of in.  *ret_data = the body bytes among them (points into in, possibly empty), *ret_used =
 * how many bytes of in are consumed.  Call again with the rest until used == 0 or b->done.  Trailer fields are checked and
 * added to `trailers` (may be NULL: checked, dropped).  H1_OK, H1_MORE (in exhausted), or BAD_*. */
enum h1_rc h1_body_feed(struct h1_body *b, struct span in, struct msg *trailers, struct span *ret_data, size_t *ret_used)
        NONNULL(1, 4, 5) MUST_USE;

/* Writers: append to out; the caller checks out->failed.  Everything they emit is accepted by our own parser.
 * BUG_ON guards: no CR, LF, NUL can leave here whatever the fields hold (requirement 48). */
void h1_write_request(struct buf *out, const struct msg *m, bool keep_alive) NONNULL(1, 2);
void h1_write_response(struct buf *out, const struct msg *m, bool keep_alive) NONNULL(1, 2);
size_t h1_chunk_head(char out[20], size_t len); /* "1a2b\r\n" */
void h1_write_last_chunk(struct buf *out, const struct msg *trailers /* or NULL */) NONNULL(1);
