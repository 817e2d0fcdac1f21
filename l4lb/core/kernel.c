/* l4lb/core/kernel.c - see kernel.h. */
#include "lib/base.h"
#include "l4lb/core/kernel.h"
#include "l4lb/core/wire.h"

void kernel_take(struct worker *w, uint64_t now_ms, struct pkt *p, enum l4_verdict otherwise)
{
        uint8_t port = w->net->ports[p->in_port].kernel;
        if (port == PORT_NONE) {
                pkt_done(p, otherwise);
                return;
        }
        p->out_port = port;
        pkt_done(p, tokens_take(&w->kernel, now_ms) ? FORWARD_KERNEL : DROP_KERNEL_LIMIT);
}

/* Another source MAC than the uplink's would be a station whose answers never come back: said by its own verdict. */
void kernel_sent(const struct net *net, struct pkt *p)
{
        uint8_t uplink = net->ports[p->in_port].uplink;
        if (memcmp(p->p + 6, net->ports[uplink].mac, 6) != 0) {
                pkt_done(p, DROP_KERNEL_MAC);
        } else if (p->wire_len > ETH_LEN + VLAN_LEN + (uint32_t)net->ports[uplink].mtu) {
                pkt_done(p, DROP_MTU);
        } else {
                p->out_port = uplink;
                pkt_done(p, FORWARD_WIRE);
        }
}
