/* tests/fuzz/l7gw/h2_probe_fuzz.c - what an endpoint answers to a gRPC health check.  Invariants: no verdict is taken back, output
 * stays bounded. */
#include "lib/base.h"
#include "l7gw/core/h2_probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct h2_probe *p;
        struct buf out;
        char why[64];
        buf_init(&out, 1u << 20);
        BUG_ON(h2_probe_new("a.b.C", "a.example", false, &out, &p) != 0);
        size_t step = size ? data[0] % 32 + 1u : 1;
        for (size_t at = 0; at < size; at += step)
                if (h2_probe_input(p, SPAN(data + at, MIN(step, size - at)), &out, why) != HEALTH_MORE)
                        break;
        BUG_ON(out.n > 65536 + 64 * size);
        h2_probe_free(p);
        buf_fini(&out);
        return 0;
}
