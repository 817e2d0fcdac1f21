/* tests/fuzz/lib/identity_fuzz.c - a URI out of a peer's certificate, and an address out of the settings: what is taken writes
 * itself back byte for byte. */
#include "lib/base.h"
#include "lib/core/control_addr.h"
#include "lib/core/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
        struct identity id;
        struct control_addr a;
        const char *why;
        char uri[IDENTITY_URI_MAX], text[CONTROL_ADDR_STR_MAX];
        if (identity_parse(SPAN(p, n), &id) == 0)
                BUG_ON(!span_eq_str(SPAN(p, n), identity_uri(&id, uri)));
        if (control_addr_parse(SPAN(p, n), &a, &why) == 0) {
                struct control_addr again;
                BUG_ON(control_addr_parse(span_str(control_addr_str(&a, text)), &again, &why) < 0); /* IPv6 may be spelled otherwise */
                BUG_ON(a.kind != again.kind || a.port != again.port || !ipaddr_eq(&a.ip, &again.ip) || strcmp(a.path, again.path) != 0);
        }
        return 0;
}
