/* l7gw/core/health_check.h - what an active health check says and how its answer is read.  Layer: l7gw/core, pure.  Any thread. */
#pragma once
#include "lib/core/buf.h"
#include "lib/model.pb-c.h"

/* "200-399,401": one to many statuses or ranges, 100 to 599. */
bool health_expect_valid(const char *expect) NONNULL(1);
bool health_expected(const char *expect, unsigned status) NONNULL(1);
/* NULL, or why this engine cannot do it. */
const char *health_check_refused(const Model__HealthCheck *h, bool tls);
/* The request; authority is what Host says when the check names none. */
void health_request(struct buf *out, const Model__HealthCheck *h, const char *authority) NONNULL(1, 2, 3);
enum health_rc { HEALTH_MORE, HEALTH_OK, HEALTH_BAD };
/* The beginning of an answer: HTTP: is its status expected?  TCP: does it begin as it should?  BAD: *ret_why tells. */
enum health_rc health_answer(const Model__HealthCheck *h, struct span in, char ret_why[64]) NONNULL(1, 3) MUST_USE;
