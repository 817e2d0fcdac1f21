/* tests/fuzz/l7gw/h2_server_fuzz.c (requirement 60) - a client's bytes after the HTTP/2 preface: no crash, no lost stream, bounded output. */
#include "lib/base.h"
#include "l7gw/core/h2_server.h"
#include "tests/fuzz/l7gw/sessions.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
        struct fuzz_engine e;
        struct h2_server *h;
        fuzz_engine_init(&e);
        const struct h2_server_conf conf = { .engine = &fuzz_engine_ops, .conn = &e, .pool = &e.pool, .buffer_bytes = 65536 };
        if (h2_server_new(&conf, &h) < 0)
                return 0;
        int r = h2_server_input(h, SPAN_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        size_t step = n ? 1 + p[0] % 64u : 1;
        for (size_t at = 0; at < n && r == 0; at += step) {
                r = h2_server_input(h, SPAN(p + at, MIN(step, n - at)));
                if (r == 0)
                        r = h2_server_output(h, 65536);
                BUG_ON(h2_server_out(h)->n > 65536 + 16384 + 65536);
                BUG_ON(h2_server_streams(h) > L7_H2_STREAMS);
                chain_clear(h2_server_out(h));
        }
        h2_server_gone(h);
        h2_server_free(h);
        fuzz_engine_fini(&e);
        return 0;
}
