/* l7gw/core/h2_message.h - messages of HTTP/2 to and from the normal form.  Layer: l7gw/core, pure.  Thread rule: one worker.
 * What nghttp2 has checked (order and number of pseudo-header fields, characters, connection fields) is relied upon; the
 * rest is checked here.  (RFC 9113 8; RFC 8441 4; RFC 6585) */
#pragma once
#include "l7gw/core/stream.h"

#include <nghttp2/nghttp2.h>

/* A request, field by field, then as a whole: 0, or the status that refuses it. */
void h2_request_field(struct stream *s, struct span name, struct span value) NONNULL(1);
unsigned h2_request_finish(struct stream *s, bool tls, bool end_stream) NONNULL(1) MUST_USE;
/* A response into s->resp; NULL, or why it is none.  The answer to an extended CONNECT becomes a 101 and sets s->tunnel. */
void h2_response_field(struct stream *s, struct span name, struct span value) NONNULL(1);
const char *h2_response_finish(struct stream *s, bool end_stream) NONNULL(1) MUST_USE;
void h2_trailer(struct stream *s, struct msg *trailers, struct span name, struct span value) NONNULL(1, 2);
/* Fields in the stream's arena for nghttp2; status 0: trailers.  NULL: out of memory. */
nghttp2_nv *h2_fields(struct stream *s, const struct msg *m, unsigned status, size_t *ret_n) NONNULL(1, 2, 4) MUST_USE;
nghttp2_nv *h2_request_fields(struct stream *s, bool tls, size_t *ret_n) NONNULL(1, 3) MUST_USE;
