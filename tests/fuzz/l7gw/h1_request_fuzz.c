/* tests/fuzz/l7gw/h1_request_fuzz.c (requirement 60) - request heads.  Invariants: delivery does not change the result; an accepted message
 * keeps the promises of msg.h; what the writer makes of it is accepted by the parser and means the same. */
#include "lib/base.h"
#include "tests/fuzz/l7gw/h1_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const size_t steps[] = { 1, 3, 7 };
        struct parsed whole;
        parsed_init(&whole, SPAN(data, size), 0, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                struct parsed p;
                parsed_init(&p, SPAN(data, size), steps[i], NULL);
                BUG_ON(p.rc != whole.rc || p.used != whole.used);
                BUG_ON(p.rc == H1_OK && !meaning_same(&p.msg, &whole.msg));
                parsed_fini(&p);
        }
        if (whole.rc == H1_OK) {
                struct buf out;
                struct parsed again;
                promises_check(&whole.msg);
                buf_init(&out, 1u << 20);
                h1_write_request(&out, &whole.msg, whole.msg.keep_alive);
                BUG_ON(out.failed);
                parsed_init(&again, buf_span(&out), 0, NULL);
                BUG_ON(again.rc != H1_OK || again.used != out.n || again.msg.keep_alive != whole.msg.keep_alive);
                if (whole.msg.authority.n) /* an HTTP/1.0 request may have named no host */
                        BUG_ON(!meaning_same(&whole.msg, &again.msg));
                parsed_fini(&again);
                buf_fini(&out);
        }
        parsed_fini(&whole);
        return 0;
}
