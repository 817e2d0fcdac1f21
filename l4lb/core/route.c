/* l4lb/core/route.c - see route.h. */
#include "lib/base.h"
#include "l4lb/core/route.h"

uint64_t route_adjacency(struct worker *w, struct pkt *p, uint8_t version, const uint8_t *addr)
{
        uint16_t adjacency;
        uint8_t port;
        if (version == 4) {
                const struct net_hop4 *h = net_route4(w->net, addr);
                port = h ? h->port : PORT_NONE;
                adjacency = h ? h->adjacency : NEIGH_NONE;
        } else {
                const struct net_hop6 *h = net_route6(w->net, addr);
                port = h ? h->port : PORT_NONE;
                adjacency = h ? h->adjacency : NEIGH_NONE;
        }
        if (port == PORT_NONE) {
                pkt_done(p, DROP_NO_ROUTE);
                return 0;
        }
        bool on_link = adjacency == NEIGH_NONE;
        uint64_t word = on_link ? neigh_lookup(w->neigh, port, version, addr) : neigh_word(w->neigh, adjacency);
        if (!word) /* pinned: the control thread is resolving it already */
                pkt_done(p, !on_link ? DROP_NO_NEIGHBOUR : tokens_take(&w->punt, w->now_ms) ? PUNT_RESOLVE : DROP_RATE_LIMITED);
        return word;
}
