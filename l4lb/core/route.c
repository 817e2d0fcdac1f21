/* l4lb/core/route.c - see route.h. */
#include "lib/base.h"
#include "l4lb/core/route.h"

struct way_out {
        uint16_t adjacency; /* NEIGH_NONE: on-link */
        uint8_t port;       /* PORT_NONE: no route */
};

static inline struct way_out way_out(const struct worker *w, uint8_t version, const uint8_t *addr)
{
        if (version == 4) {
                const struct net_hop4 *h = net_route4(w->net, addr);
                return (struct way_out){ h ? h->adjacency : NEIGH_NONE, h ? h->port : PORT_NONE };
        }
        const struct net_hop6 *h = net_route6(w->net, addr);
        return (struct way_out){ h ? h->adjacency : NEIGH_NONE, h ? h->port : PORT_NONE };
}

static inline uint64_t word_of(const struct worker *w, struct way_out o, uint8_t version, const uint8_t *addr)
{
        return o.adjacency == NEIGH_NONE ? neigh_lookup(w->neigh, o.port, version, addr) : neigh_word(w->neigh, o.adjacency);
}

uint64_t route_known(const struct worker *w, uint8_t version, const uint8_t *addr)
{
        struct way_out o = way_out(w, version, addr);
        return o.port == PORT_NONE ? 0 : word_of(w, o, version, addr);
}

uint64_t route_adjacency(struct worker *w, struct pkt *p, uint8_t version, const uint8_t *addr)
{
        struct way_out o = way_out(w, version, addr);
        if (o.port == PORT_NONE) {
                pkt_done(p, DROP_NO_ROUTE);
                return 0;
        }
        uint64_t word = word_of(w, o, version, addr);
        if (!word) /* pinned: the control thread is resolving it already */
                pkt_done(p, o.adjacency != NEIGH_NONE           ? DROP_NO_NEIGHBOUR
                            : tokens_take(&w->punt, w->now_ms) ? PUNT_RESOLVE
                                                               : DROP_RATE_LIMITED);
        return word;
}
