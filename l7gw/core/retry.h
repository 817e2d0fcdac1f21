/* l7gw/core/retry.h - whether and when a request that failed upstream is sent again by its route's policy.
 * Layer: l7gw/core, pure.  Thread rule: one worker; a budget belongs to one cluster of one worker.
 *   codes:                 any method: the route's author has named them
 *   reset, timeout of a try, refused connection: idempotent methods (RFC 9110 9.2.2), or nothing was sent
 *   never:                 after the response head went to the client, or when the body can not be shown again
 * Budget: in a window of interval_ms the retries stay under a share of the requests, plus a floor; so a backend that fails
 * altogether gets little more than its ordinary load.  The two halves of the window slide. */
#pragma once
#include "l7gw/core/reasons.tbl.h"
#include "lib/base.h"
#include "lib/model.pb-c.h"

struct retry_budget {
        uint64_t half;          /* number of the half window that counts now; its length changes with the policy */
        uint32_t requests[2], retries[2]; /* before, now */
};
void retry_budget_request(struct retry_budget *b, const Model__Retry *r, uint64_t now_ms) NONNULL(1, 2);
bool retry_budget_take(struct retry_budget *b, const Model__Retry *r, uint64_t now_ms) NONNULL(1, 2) MUST_USE;

bool method_is_idempotent(struct span method); /* RFC 9110 9.2.2 */
bool retry_on_status(const Model__Retry *r, unsigned status) NONNULL(1);
/* resendable: idempotent, or nothing of it was sent. */
bool retry_on_failure(const Model__Retry *r, enum reason why, bool resendable) NONNULL(1);
/* Before retry number n (from 0): at least the policy's backoff, doubled each time up to 32 times, plus up to half as much. */
uint32_t retry_delay_ms(const Model__Retry *r, unsigned n, uint64_t rnd) NONNULL(1);
