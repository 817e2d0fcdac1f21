/* l7gw/core/h2_probe.h - one call of grpc.health.v1.Health/Check over HTTP/2, as bytes.  Layer: l7gw/core, pure (an nghttp2 session
 * does no I/O).  Thread rule: one thread.  (grpc/grpc, doc/health-checking.md) */
#pragma once
#include "l7gw/core/health_check.h"

struct h2_probe;
/* Its first bytes are in out.  service "" asks for the whole server.  0 or -ENOMEM. */
int h2_probe_new(const char *service, const char *authority, bool tls, struct buf *out, struct h2_probe **ret) NONNULL(1, 2, 4, 5) MUST_USE;
void h2_probe_free(struct h2_probe *p);
/* Bytes of the endpoint; what is to be sent is added to out.  OK: SERVING.  BAD: *ret_why tells. */
enum health_rc h2_probe_input(struct h2_probe *p, struct span in, struct buf *out, char ret_why[64]) NONNULL(1, 3, 4) MUST_USE;
