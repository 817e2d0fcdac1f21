/* l4lb/core/icmp.h - ICMP errors that quote a packet of one of our flows.  Layer: l4lb/core, pure.
 * An error to a VIP quotes what the VIP sent: its tuple reversed is the flow's key.  8 quoted transport bytes suffice. */
#pragma once
#include "l4lb/core/pkt.h"

enum icmp_what { ICMP_WHAT_ECHO, ICMP_WHAT_ERROR, ICMP_WHAT_DROP };
/* p is PKT_ICMP to a VIP or our own address.  ERROR: p->key is the flow's key, p->proto its protocol, *ret_port the VIP's
 * port.  DROP: the verdict is set. */
enum icmp_what icmp_look(struct pkt *p, uint16_t *ret_port) NONNULL(1, 2) MUST_USE;
