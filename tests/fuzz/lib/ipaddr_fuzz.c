/* tests/fuzz/lib/ipaddr_fuzz.c - any bytes as an address or a prefix: what is accepted, libc accepts as the same bytes,
 * and our own text of it reads back. */
#include "lib/base.h"
#include "lib/core/ipaddr.h"

#include <arpa/inet.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct ipaddr a, back;
        struct ipprefix p;
        char text[IPADDR_STR_MAX], in[IPADDR_STR_MAX];
        if (ipaddr_parse(SPAN(data, size), &a) == 0) {
                uint8_t libc[16];
                BUG_ON(size >= sizeof in);
                memcpy(in, data, size);
                in[size] = 0;
                BUG_ON(inet_pton(a.af == 4 ? AF_INET : AF_INET6, in, libc) != 1 ||
                       memcmp(libc, a.b, ipaddr_len(&a)) != 0);
                ipaddr_str(&a, text);
                BUG_ON(ipaddr_parse(span_str(text), &back) < 0 || !ipaddr_eq(&a, &back));
        } else if (size < sizeof in && size > 0 && !memchr(data, 0, size)) {
                /* And what libc takes we take, so that no operator is surprised. */
                uint8_t libc[16];
                memcpy(in, data, size);
                in[size] = 0;
                BUG_ON(inet_pton(AF_INET6, in, libc) == 1 || inet_pton(AF_INET, in, libc) == 1);
        }
        if (ipprefix_parse(SPAN(data, size), &p) == 0) {
                BUG_ON(p.len > 8 * ipaddr_len(&p.addr));
                BUG_ON(!ipprefix_contains(&p, &p.addr));
        }
        return 0;
}
