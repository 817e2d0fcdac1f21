/* tests/fuzz/l7gw/regex_fuzz.c (requirement 60) - an expression (up to the first newline) over a value (the rest).  Invariants: a refusal has a
 * reason; a test ends, whatever it backtracks, and says the same again; the literal form of a value matches that value. */
#include "lib/base.h"
#include "l7gw/core/regex.h"

static bool is_plain(struct span s)
{
        for (size_t i = 0; i < s.n; i++)
                if (!((s.p[i] | 0x20) >= 'a' && (s.p[i] | 0x20) <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '/')
                        return false;
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const uint8_t *nl = size ? memchr(data, '\n', size) : NULL;
        struct span pattern = SPAN(data, nl ? (size_t)(nl - data) : size);
        struct span subject = nl ? SPAN(nl + 1, size - pattern.n - 1) : SPAN_NULL;
        struct arena a;
        struct regex_set *set;
        const struct regex *r;
        char why[192] = "";
        arena_init(&a, 4096, 1u << 22);
        BUG_ON(regex_set_new(&a, &set) != 0);
        int rc = regex_compile(set, pattern, &r, why, sizeof why);
        BUG_ON(rc != 0 && rc != -EINVAL && rc != -ENOMEM);
        BUG_ON((rc == -EINVAL) != (why[0] != '\0'));
        if (rc == 0) {
                enum regex_rc first = regex_test(r, subject);
                BUG_ON(regex_test(r, subject) != first);
                BUG_ON(is_plain(pattern) && (regex_test(r, pattern) != REGEX_YES || (first == REGEX_YES) != span_eq(pattern, subject)));
        }
        regex_set_close(set);
        arena_fini(&a);
        return 0;
}
