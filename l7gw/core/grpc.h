/* l7gw/core/grpc.h - what this gateway has to know of gRPC over HTTP: is it one, until when, how errors look.
 * Layer: l7gw/core, pure.  (gRPC's PROTOCOL-HTTP2.md and http-grpc-status-mapping.md; requirement 58) */
#pragma once
#include "l7gw/core/msg.h"

bool grpc_is(const struct msg *req) NONNULL(1); /* content-type application/grpc, application/grpc+x, application/grpc;x */
unsigned grpc_status_of(unsigned http_status);  /* of an error we make ourselves */
#define GRPC_DEADLINE_EXCEEDED 4
/* grpc-timeout in milliseconds, rounded up; 0 = none, or not one.  At most a day. */
uint32_t grpc_timeout_ms(const struct msg *req) NONNULL(1);
/* grpc-status and grpc-message into trailers, or a head that is all there is.  -ENOMEM. */
int grpc_trailers(struct msg *m, unsigned grpc_status, struct span message) NONNULL(1) MUST_USE;
#define GRPC_UNAVAILABLE 14
/* Makes m, an answer with an HTTP status, one that a gRPC client understands: 200 and trailers in the head. -ENOMEM. */
int grpc_error(struct msg *m, unsigned grpc_status, struct span message) NONNULL(1) MUST_USE;
