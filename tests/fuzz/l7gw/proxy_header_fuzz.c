/* tests/fuzz/l7gw/proxy_header_fuzz.c - the first bytes of a connection as a PROXY header.  Invariants: a prefix never says
 * anything else than MORE or what the whole says; a header is as long as it says; what we write of the addresses is read back. */
#include "lib/base.h"
#include "l7gw/core/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct proxy_addrs a, part;
        size_t used, part_used;
        enum proxy_rc rc = proxy_header_parse(SPAN(data, size), &a, &used);
        BUG_ON(used > size || (used > 0) != (rc == PROXY_HEADER));
        for (size_t n = 0; n < MIN(size, (size_t)300); n++) {
                enum proxy_rc r = proxy_header_parse(SPAN(data, n), &part, &part_used);
                BUG_ON(r != PROXY_MORE && r != rc);
                BUG_ON(r == PROXY_HEADER && (n < used || part_used != used));
        }
        if (rc != PROXY_HEADER || !a.known || a.src.af != a.dst.af)
                return 0;
        for (unsigned version = 1; version <= 2; version++) {
                uint8_t out[PROXY_WRITE_MAX];
                size_t n = proxy_header_write(version, &a, out);
                BUG_ON(proxy_header_parse(SPAN(out, n), &part, &part_used) != PROXY_HEADER || part_used != n || !part.known);
                BUG_ON(!ipaddr_eq(&part.src, &a.src) || !ipaddr_eq(&part.dst, &a.dst) || part.src_port != a.src_port || part.dst_port != a.dst_port);
        }
        return 0;
}
