/* l7gw/core/h2_request.h - between HTTP/2 field blocks and struct msg.  Layer: l7gw/core, pure.  Thread rule: one
 * worker. nghttp2 has checked pseudo-header order, duplicates, connection-specific fields and content-length against
 * DATA (RFC 9113 8); here the values get the same grammar and the same normal form as those of HTTP/1.1 (requirements
 * 24, 33, 46, 48). */
#pragma once
#include "l7gw/core/stream.h"

#include <nghttp2/nghttp2.h>

/* One field of the request head; problems are remembered and answered by h2_request_finish. */
void h2_request_field(struct stream *s, struct span name, struct span value) NONNULL(1);
void h2_request_trailer(struct stream *s, struct span name, struct span value) NONNULL(1);
/* The head is complete: 0 and s->req in normal form, or the status to refuse it with. */
unsigned h2_request_finish(struct stream *s, bool tls, bool end_stream) NONNULL(1) MUST_USE;
/* The fields of m as nghttp2 wants them, in the stream's arena; status 0 = trailers.  NULL out of memory. */
nghttp2_nv *h2_fields(struct stream *s, const struct msg *m, unsigned status, size_t *ret_n) NONNULL(1, 2, 4);
