/* l4lb/core/segment.h - a TCP segment without payload or options as an Ethernet frame: probes, and traced packets.
 * Layer: l4lb/core, pure.  Thread rule: any. */
#pragma once
#include "l4lb/core/neigh.h"

struct segment {
        const uint8_t *src_mac, *dst_mac; /* 6 bytes each; not NULL */
        const struct ipaddr *src, *dst;   /* of one family */
        uint16_t sport, dport;
        uint32_t seq;
        uint8_t flags;
        uint16_t window;
};
/* Both checksums are right; padded to the least an Ethernet frame has.  ret->port is left to the caller. */
void segment_write(const struct segment *s, struct frame_out *ret) NONNULL(1, 2);
