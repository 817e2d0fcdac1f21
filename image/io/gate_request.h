/* image/io/gate_request.h - one HTTP request to a listener of a shard, from inside its network namespace.  Layer:
 * image/io (OpenSSL). Thread rule: one thread; blocks, at most REQUEST_MS.  Any well-formed status is an answer: what
 * it says is the routes' business. */
#pragma once
#include "lib/core/ipaddr.h"

#define REQUEST_MS 3000
/* netns: path of the namespace; NULL = ours.  host: for SNI and Host, "" = none; a leading "*." is replaced.  The
 * status, or -errno. */
int gate_request(const char *netns, const struct ipaddr *addr, uint16_t port, const char *host, bool tls,
                 struct err *reterr) NONNULL(2, 4) MUST_USE;
