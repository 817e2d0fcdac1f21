/* l4lb/core/announce.h - tells a link where an address lives now: gratuitous ARP and unsolicited neighbour
 * advertisement. Layer: l4lb/core, pure.  Thread rule: none, values in and out. */
#pragma once
#include "lib/core/ipaddr.h"
#include "l4lb/core/neigh.h"
#include "l4lb/core/net.h"

/* The frame that announces addr as ours by the port: an ARP announcement (RFC 5227 3: a request, sender = target) or an
 * NA to all nodes with Override (RFC 4861 7.2.6). */
void announce_frame(const struct net_port *port, uint8_t port_index, const struct ipaddr *addr, struct frame_out *ret)
        NONNULL(1, 3, 4);
