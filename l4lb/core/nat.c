/* l4lb/core/nat.c - see nat.h. */
#include "lib/base.h"
#include "l4lb/core/guard.h"
#include "l4lb/core/kernel.h"
#include "l4lb/core/nat.h"
#include "l4lb/core/nat_rewrite.h"
#include "l4lb/core/pick.h"
#include "l4lb/core/refuse.h"
#include "l4lb/core/route.h"
#include "l4lb/core/wire.h"

#define PORT_TRIES 32 /* at half of the ports in use towards one endpoint, one in four thousand million fails */

void worker_nat_ports(struct worker *w, uint16_t lo, uint16_t hi, unsigned index, unsigned n_workers)
{
        BUG_ON(lo == 0 || hi < lo || n_workers == 0 || index >= n_workers || (unsigned)(hi - lo) + 1 < n_workers);
        struct nat_ports *n = &w->nat;
        *n = (struct nat_ports){ .lo = lo, .n = (uint16_t)(hi - lo + 1), .index = (uint8_t)index, .workers = (uint8_t)n_workers };
        n->mul = (n_workers << 16) / n->n;
        for (uint32_t i = 0; i < n->n; i++)
                if ((i * n->mul) >> 16 == index) {
                        n->own = n->n_own ? n->own : (uint16_t)(lo + i);
                        n->n_own++;
                }
}

static unsigned port_owner(const struct nat_ports *n, uint16_t port) { return ((uint32_t)(port - n->lo) * n->mul) >> 16; }

/* ---------------------------------------------------------------- sending */

/* Towards `to`'s side by this adjacency: MTU, headers.  The verdict is set when it cannot be. */
static bool send_rewritten(struct worker *w, struct pkt *p, const struct tuple *to, uint64_t adjacency, enum l4_verdict v)
{
        p->verdict = (uint8_t)v;
        if (!adjacency) {
                pkt_done(p, DROP_NO_NEIGHBOUR);
                return false;
        }
        uint16_t mtu = w->net->ports[adjacency_port(adjacency)].mtu;
        uint32_t len = nat_rewrite_len(p, to);
        if (len > mtu) { /* what the sender may send is less or more by what the other header takes */
                refuse_too_big(w, w->now_ms, p, (uint16_t)(mtu - (len - p->l3_len)));
                return false;
        }
        if (!nat_rewrite(p, to)) {
                pkt_done(p, DROP_NAT_FAMILY);
                return false;
        }
        p->adjacency = adjacency;
        p->kind = PKT_SEND;
        return true;
}

static uint64_t client_adjacency(struct worker *w, struct pkt *p, const struct tuple *client)
{
        uint8_t addr[16];
        memcpy(addr, &client->w[1], 16);
        return route_adjacency(w, p, (uint8_t)(tuple_is_v4(client) ? 4 : 6), addr);
}

/* ---------------------------------------------------------------- a new connection */

void nat_open(struct worker *w, const struct service *s, struct pkt *p, uint16_t backend)
{
        uint64_t word = backend_word(w->backends, backend);
        uint16_t now_s = (uint16_t)(w->now_ms / 1000);
        struct nat_ports *n = &w->nat;
        struct tuple reply = w->backends->targets[backend].reply;
        uint64_t hash = 0;
        unsigned tries = 0;
        reply.w[0] |= (uint64_t)p->proto << 8;
        const uint64_t head = reply.w[0];
        for (; tries < PORT_TRIES && n->n_own; tries++) {
                uint8_t port[4] = { 0 };
                set_u16(port + 2, (uint16_t)(n->own + n->next));
                n->next = (uint16_t)(n->next + 1 < n->n_own ? n->next + 1 : 0);
                reply.w[0] = head | (uint64_t)raw_u32(port) << 32;
                hash = tuple_hash(&w->key, &reply);
                bool tunnels = w->net->decap.n_to && get_u16(port + 2) == w->net->decap.port; /* GUE ends there */
                if (!tunnels && flow_find(&w->flows, hash, &reply, now_s) == FLOW_NONE)
                        break;
        }
        if (tries == PORT_TRIES || n->n_own == 0) {
                pkt_done(p, DROP_NAT_PORTS);
                return;
        }
        uint64_t adjacency = neigh_word(w->neigh, backend_word_adjacency(word));
        if (!adjacency) { /* no connection for what cannot be sent */
                pkt_done(p, DROP_NO_NEIGHBOUR);
                return;
        }
        if (flow_pair_insert(&w->flows, p->hash, &p->key, hash, &reply, backend, backend_word_epoch(word), s->idle_s,
                             now_s) == FLOW_NONE) {
                pkt_done(p, DROP_FLOWS_FULL);
                return;
        }
        p->backend = backend;
        p->epoch = backend_word_epoch(word);
        (void)send_rewritten(w, p, &reply, adjacency, FORWARD_NAT);
}

/* ---------------------------------------------------------------- a known one */

static void touch(struct worker *w, struct pkt *p, struct flow *f)
{
        flow_pair_touch(&w->flows, f, p->proto == PROTO_TCP, p->tcp_flags & TCP_FIN, p->tcp_flags & TCP_RST,
                        p->tcp_flags & TCP_SYN, p->rx_len, (uint16_t)(w->now_ms / 1000));
}

static void from_client(struct worker *w, const struct tables *t, struct pkt *p, struct flow *f, uint32_t slot)
{
        uint64_t word = backend_word(w->backends, f->backend);
        bool known = word & BACKEND_USED && backend_word_epoch(word) == f->epoch, alive = known && word & BACKEND_ALIVE;
        bool tcp = p->proto == PROTO_TCP, syn = p->tcp_flags & TCP_SYN;
        bool opening = syn && f->state != FLOW_ESTABLISHED; /* a new connection on an old tuple, or one that nobody answers */
        if (unlikely(t->per_packet) && !guard_known(w, t, p))
                return;
        if (!known || (opening && (f->state == FLOW_CLOSING || !alive)) || (!tcp && !alive)) {
                flow_remove(&w->flows, slot);
                if (tcp && !syn)
                        refuse_closed(w, w->now_ms, p, DROP_NO_FLOW);
                else
                        pick_new(w, t, p);
                return;
        }
        p->backend = f->backend;
        p->epoch = f->epoch;
        const struct tuple *to = &w->flows.flows[f->peer].key;
        touch(w, p, f);
        (void)send_rewritten(w, p, to, neigh_word(w->neigh, backend_word_adjacency(word)), FORWARD_NAT);
}

void nat_hit(struct worker *w, const struct tables *t, struct pkt *p, uint32_t slot)
{
        struct flow *f = flow_at(&w->flows, slot);
        if (!(f->flags & FLOW_REVERSE)) {
                from_client(w, t, p, f, slot);
                return;
        }
        const struct tuple *to = &w->flows.flows[f->peer].key;
        uint64_t adjacency = client_adjacency(w, p, to);
        touch(w, p, f);
        if (adjacency)
                (void)send_rewritten(w, p, to, adjacency, FORWARD_NAT_RETURN);
}

static bool handed(const struct worker *w, struct pkt *p, uint16_t port)
{
        unsigned owner = port_owner(&w->nat, port);
        if (owner == w->nat.index)
                return false;
        p->out_port = (uint8_t)owner;
        pkt_done(p, HAND_OVER);
        return true;
}

void nat_around(struct worker *w, struct pkt *p)
{
        if (p->handed + 1 >= w->nat.workers) {
                pkt_done(p, DROP_NO_FLOW);
                return;
        }
        p->out_port = (uint8_t)(w->nat.index + 1 == w->nat.workers ? 0 : w->nat.index + 1);
        pkt_done(p, tokens_take(&w->punt, w->now_ms) ? HAND_OVER : DROP_RATE_LIMITED);
}

void nat_stray_icmp(struct worker *w, struct pkt *p)
{
        uint8_t ports[8];
        memcpy(ports, &p->key.w[0], 8);
        if (!handed(w, p, get_u16(ports + 6)))
                kernel_take(w, w->now_ms, p, DROP_BAD_ICMP); /* about a packet of this host, or of nobody */
}

void nat_stray(struct worker *w, struct pkt *p)
{
        if (handed(w, p, get_u16(p->p + p->l4 + 2)))
                return;
        if (w->net->ports[p->in_port].kernel != PORT_NONE) {
                kernel_take(w, w->now_ms, p, DROP_NO_FLOW);
        } else {
                refuse_closed(w, w->now_ms, p, DROP_NO_FLOW);
        }
}

/* ---------------------------------------------------------------- ICMP errors and later fragments */

void nat_icmp(struct worker *w, struct pkt *p, const struct flow *f)
{
        const struct tuple *to = &w->flows.flows[f->peer].key;
        bool reverse = f->flags & FLOW_REVERSE;
        uint64_t word = backend_word(w->backends, f->backend);
        uint64_t adjacency = reverse ? client_adjacency(w, p, to) : neigh_word(w->neigh, backend_word_adjacency(word));
        if (!adjacency) {
                if (!reverse)
                        pkt_done(p, DROP_NO_NEIGHBOUR);
        } else if (!nat_rewrite_error(p, to)) {
                pkt_done(p, DROP_NAT_FAMILY);
        } else {
                p->verdict = reverse ? FORWARD_NAT_RETURN : FORWARD_NAT;
                p->backend = reverse ? BACKEND_NONE : f->backend;
                p->adjacency = adjacency;
                p->kind = PKT_SEND;
        }
}

/* Is f's tuple that of the packet, but for the ports, which a later fragment does not have? */
static bool same_ends(const struct pkt *p, const struct flow *f)
{
        const uint8_t *ip = p->p + p->l3;
        struct tuple k;
        if (p->version == 4)
                tuple_set4(&k, p->proto, ip + 12, ip + 16, 0);
        else
                tuple_set6(&k, p->proto, ip + 8, ip + 24, 0);
        k.w[0] |= f->key.w[0] & ~(uint64_t)UINT32_MAX;
        return tuple_eq(&k, &f->key);
}

bool nat_fragment(struct worker *w, struct pkt *p, const struct flow *f)
{
        if (f->state == FLOW_FREE || !(f->flags & FLOW_NAT) || !same_ends(p, f))
                return false;
        const struct tuple *to = &w->flows.flows[f->peer].key;
        bool reverse = f->flags & FLOW_REVERSE;
        uint64_t word = backend_word(w->backends, f->backend);
        uint64_t adjacency = reverse ? client_adjacency(w, p, to) : neigh_word(w->neigh, backend_word_adjacency(word));
        if (adjacency || !reverse)
                (void)send_rewritten(w, p, to, adjacency, reverse ? FORWARD_NAT_RETURN : FORWARD_NAT);
        return true;
}
