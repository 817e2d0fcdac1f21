/* tests/fuzz/l7gw/h1_response_fuzz.c (requirement 60) - response heads; the first byte chooses the request's method.  Invariants as for
 * requests; only the body framing "until close" may be read back as it was, with the connection closing. */
#include "lib/base.h"
#include "tests/fuzz/l7gw/h1_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const size_t steps[] = { 1, 3, 7 };
        if (size == 0)
                return 0;
        struct span method = data[0] == 'H' ? SPAN_LIT("HEAD") : data[0] == 'C' ? SPAN_LIT("CONNECT") : SPAN_LIT("GET");
        struct span in = SPAN(data + 1, size - 1);
        struct parsed whole;
        parsed_init(&whole, in, 0, &method);
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                struct parsed p;
                parsed_init(&p, in, steps[i], &method);
                BUG_ON(p.rc != whole.rc || p.used != whole.used);
                BUG_ON(p.rc == H1_OK && !meaning_same(&p.msg, &whole.msg));
                parsed_fini(&p);
        }
        if (whole.rc == H1_OK) {
                struct buf out;
                struct parsed again;
                promises_check(&whole.msg);
                buf_init(&out, 1u << 20);
                h1_write_response(&out, &whole.msg, whole.msg.keep_alive);
                BUG_ON(out.failed);
                parsed_init(&again, buf_span(&out), 0, &method);
                BUG_ON(again.rc != H1_OK || again.used != out.n || !meaning_same(&whole.msg, &again.msg));
                BUG_ON(whole.msg.status >= 200 && again.msg.keep_alive != whole.msg.keep_alive);
                parsed_fini(&again);
                buf_fini(&out);
        }
        parsed_fini(&whole);
        return 0;
}
