/* l4lb/core/parse.h - frame -> struct pkt: headers checked, offsets and kind set, or a DROP verdict.  Layer: l4lb/core, pure.
 * Knows nothing of VIPs or services.  What cannot be legal anywhere is dropped here; what is only not for us, later. */
#pragma once
#include "l4lb/core/net.h"
#include "l4lb/core/pkt.h"

void pkt_parse(const struct net *net, struct pkt *p) NONNULL(1, 2);
