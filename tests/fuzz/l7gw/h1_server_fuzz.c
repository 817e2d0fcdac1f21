/* tests/fuzz/l7gw/h1_server_fuzz.c (requirement 60) - a client's bytes through the HTTP/1 session, whole and in two pieces: the same output,
 * and our own parser accepts every head of it. */
#include "lib/base.h"
#include "l7gw/core/h1_server.h"
#include "tests/fuzz/l7gw/sessions.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void run(struct span in, size_t cut, struct buf *out)
{
        struct fuzz_engine e;
        struct h1_server h;
        struct buf held;
        fuzz_engine_init(&e);
        const struct h1_server_conf conf = { .engine = &fuzz_engine_ops, .conn = &e, .pool = &e.pool, .scratch = &e.scratch,
                                             .limits = &h1_default_limits, .buffer_bytes = 65536 };
        h1_server_init(&h, &conf);
        buf_init(&held, 1u << 22);
        for (size_t at = 0; at < in.n;) {
                size_t end = at < cut ? MIN(cut, in.n) : in.n;
                buf_add(&held, in.p + at, end - at);
                at = end;
                for (size_t used = 1; used > 0 && held.n > 0;) {
                        used = h1_server_input(&h, buf_span(&held));
                        BUG_ON(used > held.n);
                        buf_consume(&held, used);
                        while (h.out.n > 0) {
                                struct span v = chain_front(&h.out);
                                buf_add(out, v.p, v.n);
                                chain_consume(&h.out, v.n);
                        }
                        h1_server_flushed(&h);
                }
        }
        h1_server_eof(&h);
        h1_server_gone(&h);
        h1_server_fini(&h);
        buf_fini(&held);
        fuzz_engine_fini(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
        struct buf whole, parts;
        buf_init(&whole, 1u << 24);
        buf_init(&parts, 1u << 24);
        run(SPAN(p, n), n, &whole);
        run(SPAN(p, n), n ? p[0] % n : 0, &parts);
        BUG_ON(!span_eq(buf_span(&whole), buf_span(&parts)));
        if (whole.n > 0) {
                struct arena a;
                struct msg m;
                struct h1_scan scan = { 0 };
                size_t used;
                arena_init(&a, 4096, 1u << 20);
                msg_init(&m, &a);
                BUG_ON(h1_response(&scan, buf_span(&whole), &h1_default_limits, SPAN_LIT("HEAD"), &m, &used) != H1_OK);
                arena_fini(&a);
        }
        buf_fini(&whole);
        buf_fini(&parts);
        return 0;
}
