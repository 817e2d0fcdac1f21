/* tests/fuzz/image/form_fuzz.c - bytes typed at the console form.  Holds: what it finishes with is a gatehouse.cfg that the
 * strict reader takes, or refuses by name; a refusal starts over; what is shown stays within bounds. */
#include "lib/base.h"

#include "image/core/form.h"
#include "image/io/config_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct form_nic nics[] = {{"a", "52:54:00:00:00:01", "up"}, {"b", "52:54:00:00:00:02", "up"}};
        struct form *f = form_new(nics, ARRAY_SIZE(nics));
        struct buf out;
        buf_init(&out, 16u << 20);
        form_begin(f, &out);
        if (form_input(f, SPAN(data, size), &out) == FORM_DONE) {
                struct config *c = NULL;
                struct err e = {.place = "", .msg = ""};
                int r = config_load_text(form_result(f), "form", &c, &e);
                BUG_ON(r < 0 && (!e.place[0] || !e.msg[0]));
                BUG_ON(strstr(e.msg, "syntax error")); /* what is typed ends no string */
                config_free(c);
                form_refused(f, e.msg, &out);
        }
        BUG_ON(out.failed);
        buf_fini(&out);
        form_free(f);
        return 0;
}
