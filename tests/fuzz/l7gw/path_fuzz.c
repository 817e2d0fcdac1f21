/* tests/fuzz/l7gw/path_fuzz.c (requirement 60) - paths and authorities from the same bytes.  Invariants: a normal path is its own normal
 * form, has no dot segment, only legal bytes, and no unreserved character encoded; a host splits into itself. */
#include "lib/base.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/path.h"

static void path_promises(struct span p)
{
        BUG_ON(p.n == 0 || p.p[0] != '/');
        size_t seg = 1;
        for (size_t i = 1; i <= p.n; i++) {
                if (i == p.n || p.p[i] == '/') {
                        struct span s = SPAN(p.p + seg, i - seg);
                        BUG_ON(span_eq_str(s, ".") || span_eq_str(s, ".."));
                        seg = i + 1;
                } else if (p.p[i] == '%') {
                        BUG_ON(p.n - i < 3 || !char_is(p.p[i + 1], CH_HEX) || !char_is(p.p[i + 2], CH_HEX));
                        BUG_ON((p.p[i + 1] >= 'a') || (p.p[i + 2] >= 'a')); /* upper case */
                        uint8_t v = (uint8_t)(hex_value(p.p[i + 1]) << 4 | hex_value(p.p[i + 2]));
                        BUG_ON(v == 0 || char_is(v, CH_UNRESERVED));
                } else {
                        BUG_ON(!char_is(p.p[i], CH_PCHAR));
                }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct arena a;
        struct span in = SPAN(data, size), path, query, again, host;
        uint16_t port;
        bool has_query;
        arena_init(&a, 4096, 1u << 22);
        if (target_split(&a, in, &path, &query, &has_query) == 0) {
                path_promises(path);
                BUG_ON(!query_is_valid(query) || (query.n && !has_query));
                BUG_ON(path_normalise(&a, path, &again) != 0 || !span_eq(path, again));
        }
        if (authority_split(&a, in, &host, &port) == 0) {
                uint16_t port2;
                BUG_ON(authority_split(&a, host, &again, &port2) != 0 || !span_eq(host, again) || port2 != 0);
                for (size_t i = 0; i < host.n; i++)
                        BUG_ON(char_lower[host.p[i]] != host.p[i] || (!char_is(host.p[i], CH_HOST) && !strchr("[]:", host.p[i])));
        }
        arena_fini(&a);
        return 0;
}
