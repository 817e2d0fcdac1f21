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
/* The address and the station that claims it, of a PUNT_CONFLICT frame; false when it says neither. */
bool claim_read(const uint8_t *frame, size_t len, struct ipaddr *ret, uint8_t ret_mac[6]) NONNULL(1, 3, 4) MUST_USE;

/* When to defend: once per address and interval (RFC 5227 2.4 (b)), a bounded number of addresses at a time. */
#define DEFEND_INTERVAL_MS 10000
#define DEFEND_MAX 64
struct defender {
        struct ipaddr addr[DEFEND_MAX];
        uint64_t last_ms[DEFEND_MAX]; /* 0 = free */
};
bool defender_take(struct defender *d, const struct ipaddr *addr, uint64_t now_ms) NONNULL(1, 2) MUST_USE;
