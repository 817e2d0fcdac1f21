/* l4lb/core/kernel.h - the exception path: what an uplink receives and l4lb does not want goes to this host's own stack by the
 * kernel port paired with the uplink, and what that stack sends leaves by the uplink.  Layer: l4lb/core, pure.
 * Thread rule: the packet's worker.
 *
 *   wire --uplink--> parse, classify --not ours--> kernel_take --kernel port--> interface of the host (SSH, BGP, DHCP, agent)
 *   wire <--uplink-- kernel_sent <---------------------------- kernel port <--- the same interface
 *
 * Who answers for which address: VIPs, the uplink's configured `addresses` and its link-local address: l4lb, always (ARP, ND,
 * echo).  Everything else: the kernel, because it gets the request.  An address may be in both: l4lb answers for it, and all
 * that is not ARP, ND or an echo request to it reaches the kernel.
 * The interface bears the uplink's MAC address: to the wire both are one station. */
#pragma once
#include "l4lb/core/pipeline.h"

/* The packet is not l4lb's: to the kernel when its port has one and the budget lasts, else the verdict `otherwise`. */
void kernel_take(struct worker *w, uint64_t now_ms, struct pkt *p, enum l4_verdict otherwise) NONNULL(1, 3);
/* A frame that the kernel sent: by its uplink, unchanged. */
void kernel_sent(const struct net *net, struct pkt *p) NONNULL(1, 2);
