/* tests/fuzz/l7gw/health_check_fuzz.c - the beginning of an answer to a health check, and a list of expected statuses.  Invariants:
 * a prefix says MORE or what the whole says; only a valid list takes anything. */
#include "lib/base.h"
#include "l7gw/core/health_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Model__HealthCheck h = MODEL__HEALTH_CHECK__INIT;
        char why[64], list[128];
        h.type = MODEL__HEALTH_CHECK_TYPE__HC_HTTP;
        h.expect = (char *)"200-399";
        enum health_rc rc = health_answer(&h, SPAN(data, size), why);
        for (size_t n = 0; n < MIN(size, (size_t)64); n++) {
                enum health_rc r = health_answer(&h, SPAN(data, n), why);
                BUG_ON(r != HEALTH_MORE && r != rc);
        }
        snprintf(list, sizeof list, "%.*s", (int)MIN(size, sizeof list - 1), size ? (const char *)data : "");
        bool taken = false, valid = health_expect_valid(list);
        for (unsigned s = 100; s < 600; s++)
                taken |= health_expected(list, s);
        BUG_ON(valid && !taken);
        return 0;
}
