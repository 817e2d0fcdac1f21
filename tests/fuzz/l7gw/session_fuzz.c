/* tests/fuzz/l7gw/session_fuzz.c (requirement 60) - a Cookie line from the bytes.  Invariants: never more tokens than asked for, none of them 0, and
 * the one written for a token is read back. */
#include "lib/base.h"
#include "l7gw/core/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct arena a;
        struct msg req, resp;
        Model__Persistence p = MODEL__PERSISTENCE__INIT;
        uint64_t got[2], back;
        p.name = (char *)"s";
        p.absolute_timeout_s = size & 1 ? 3600 : 0;
        arena_init(&a, 4096, 1u << 20);
        msg_init(&req, &a);
        msg_init(&resp, &a);
        if (msg_add(&req, SPAN_LIT("cookie"), SPAN(data, size)) == 0) {
                size_t n = session_read(&p, &req, 1763880000, got, 2);
                BUG_ON(n > 2);
                for (size_t i = 0; i < n; i++) {
                        BUG_ON(got[i] == 0 || session_write(&p, got[i], 1763880000, SPAN_LIT("/"), true, &resp) != 0);
                        struct span v = resp.fields[i].value;
                        const uint8_t *semi = memchr(v.p, ';', v.n);
                        msg_init(&req, &a);
                        BUG_ON(!semi || msg_add(&req, SPAN_LIT("cookie"), SPAN(v.p, (size_t)(semi - v.p))) != 0);
                        BUG_ON(session_read(&p, &req, 1763880000, &back, 1) != 1 || back != got[i]);
                }
        }
        arena_fini(&a);
        return 0;
}
