/* l7gw/core/retry.c - see retry.h. */
#include "lib/base.h"
#include "l7gw/core/retry.h"
#include "l7gw/core/engine_limits.tbl.h"

static void roll(struct retry_budget *b, const Model__Retry *r, uint64_t now_ms)
{
        uint64_t half = now_ms / (MAX(r->budget_interval_ms ? r->budget_interval_ms : (uint32_t)L7_RETRY_WINDOW_MS, 2u) / 2);
        if (half == b->half)
                return;
        bool next = half == b->half + 1;
        b->requests[0] = next ? b->requests[1] : 0;
        b->retries[0] = next ? b->retries[1] : 0;
        b->requests[1] = b->retries[1] = 0;
        b->half = half;
}

void retry_budget_request(struct retry_budget *b, const Model__Retry *r, uint64_t now_ms)
{
        roll(b, r, now_ms);
        b->requests[1]++;
}

bool retry_budget_take(struct retry_budget *b, const Model__Retry *r, uint64_t now_ms)
{
        uint64_t num = L7_RETRY_PERCENT, den = 100;
        uint64_t interval = r->budget_interval_ms ? r->budget_interval_ms : (uint64_t)L7_RETRY_WINDOW_MS;
        uint64_t floor = r->min_retries_per_s ? r->min_retries_per_s : (uint64_t)L7_RETRY_FLOOR_PER_S;
        roll(b, r, now_ms);
        if (r->budget && r->budget->denominator) {
                num = r->budget->numerator;
                den = r->budget->denominator;
        }
        uint64_t requests = (uint64_t)b->requests[0] + b->requests[1], retries = (uint64_t)b->retries[0] + b->retries[1];
        if (retries >= MAX(floor * interval / 1000, (uint64_t)1) + requests * num / den)
                return false;
        b->retries[1]++;
        return true;
}

bool method_is_idempotent(struct span method)
{
        static const char *const names[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (span_eq_str(method, names[i]))
                        return true;
        return false;
}

bool retry_on_status(const Model__Retry *r, unsigned status)
{
        for (size_t i = 0; i < r->n_codes; i++)
                if (r->codes[i] == status)
                        return true;
        return false;
}

bool retry_on_failure(const Model__Retry *r, enum reason why, bool resendable)
{
        switch ((int)why) {
        case REASON_CONNECT_FAILED:
        case REASON_CONNECT_TIMEOUT:
                return r->on_connect_failure;
        case REASON_UPSTREAM_RESET:
        case REASON_UPSTREAM_TIMEOUT:
                return r->on_reset && resendable;
        default:
                return false; /* an answer that is no HTTP will not be better the next time */
        }
}

uint32_t retry_delay_ms(const Model__Retry *r, unsigned n, uint64_t rnd)
{
        uint64_t base = (uint64_t)MAX(r->backoff_ms, (uint32_t)L7_RETRY_BACKOFF_MS) << MIN(n, 5u);
        return (uint32_t)MIN(base + rnd % (base / 2 + 1), (uint64_t)UINT32_MAX);
}
