/* l4lb/core/pick.c - see pick.h.
 *
 *   flow found, backend alive          -> that backend; TCP but SYN: also while its health is down, unless it is silent
 *   flow found, backend gone           -> Maglev, and the flow moves
 *   flow found, closing, packet is SYN -> Maglev: a new connection on an old tuple
 *   no flow, SYN                       -> Maglev; an entry only while the previous table disagrees (flow.h says why)
 *   no flow, other TCP                 -> the previous table's backend if that differs and holds connections, else Maglev; an
 *                                         entry unless RST or FIN
 *   no flow, UDP                       -> Maglev and an entry */
#include "lib/base.h"
#include "l4lb/core/pick.h"
#include "l4lb/core/guard.h"
#include "l4lb/core/kernel.h"
#include "l4lb/core/nat.h"
#include "l4lb/core/refuse.h"
#include "l4lb/core/wire.h"

static bool word_alive(uint64_t w) { return (w & (BACKEND_USED | BACKEND_ALIVE)) == (BACKEND_USED | BACKEND_ALIVE); }

/* May established TCP go there?  A connection stays with its backend even while only the probes fail: a shard that drains
 * closes its health port and finishes what it has; a killed one's kernel answers RST; and a probe lost in a busy moment
 * must cost nobody a connection.  Any other shard could only reset it.  But where not even ARP or ND is answered there is
 * nobody to finish anything, and that reset is what frees the client.  What opens something, and UDP, goes to the healthy.
 * Behind a tunnel the neighbour is a router, which says nothing about the shard: there only the probes can tell. */
static bool word_holds(const struct worker *w, uint64_t word)
{
        return word_alive(word) || ((word & (BACKEND_USED | BACKEND_TUNNEL)) == BACKEND_USED &&
                                    neigh_word(w->neigh, backend_word_adjacency(word)) != 0);
}

static void send_to(struct worker *w, struct pkt *p, uint16_t backend, uint64_t word)
{
        p->backend = backend;
        p->epoch = backend_word_epoch(word);
        p->adjacency = neigh_word(w->neigh, backend_word_adjacency(word));
        p->verdict = FORWARD_SHARD;
        p->kind = PKT_SEND;
        if (unlikely(word & BACKEND_TUNNEL))
                p->verdict = FORWARD_TUNNEL;
        if (unlikely(!p->adjacency))
                pkt_done(p, DROP_NO_NEIGHBOUR);
}

struct choice {             /* of the hash alone */
        uint16_t now, prev; /* backends; prev is BACKEND_NONE unless it differs and is not gone */
};

/* False: the verdict is set (policy, or nobody there). */
static bool choose(struct worker *w, const struct tables *t, struct pkt *p, struct choice *ret)
{
        const struct service *s = &t->services[p->service];
        struct tuple k = p->key;
        if (s->source_affinity)
                k.w[0] &= UINT32_MAX; /* without ports: all connections of a client to this VIP */
        uint64_t hash = tuple_hash(&t->conf.cluster_key, &k);
        const struct leg *leg = tables_leg(t, s, hash);
        if (leg->pool >= POOL_REJECT) {
                if (leg->pool == POOL_NONE)
                        pkt_done(p, DROP_POLICY);
                else
                        refuse_closed(w, w->now_ms, p, DROP_POLICY);
                return false;
        }
        const struct pool *pool = &t->pools[leg->pool];
        const struct maglev *now = pool_now(pool), *prev = pool_prev(pool);
        if (!now) { /* what opens something is told at once; what is open may see the pool come back */
                if (p->kind == PKT_TCP && !(p->tcp_flags & TCP_SYN))
                        pkt_done(p, DROP_NO_BACKEND);
                else
                        refuse_closed(w, w->now_ms, p, DROP_NO_BACKEND);
                return false;
        }
        ret->now = maglev_pick(now, hash);
        ret->prev = prev ? maglev_pick(prev, hash) : BACKEND_NONE;
        if (ret->prev == ret->now ||
            (ret->prev != BACKEND_NONE && !(backend_word(w->backends, ret->prev) & BACKEND_USED)))
                ret->prev = BACKEND_NONE;
        return true;
}

/* Sources that may not open anything: our own addresses and VIPs.  Only asked on a miss: a flow proves it was asked. */
static bool source_ours(const struct worker *w, const struct tables *t, const struct pkt *p)
{
        const uint8_t *ip = p->p + p->l3;
        if (p->version == 4)
                return tables_vip4(t, ip + 12) != VIP_NONE || net_owner4(w->net, ip + 12) != PORT_NONE;
        return tables_vip6(t, ip + 8) != VIP_NONE || net_owner6(w->net, ip + 8, p->in_port) != PORT_NONE;
}

static void flow_hit(struct worker *w, const struct tables *t, uint16_t now_s, struct pkt *p, uint32_t slot)
{
        struct flow *f = flow_at(&w->flows, slot);
        uint16_t backend = f->backend;
        uint64_t word = backend_word(w->backends, backend);
        bool syn = p->tcp_flags & TCP_SYN, established = p->kind == PKT_TCP && !syn;
        bool known = word & BACKEND_USED && backend_word_epoch(word) == f->epoch;
        bool stays = known && (established ? word_holds(w, word) : word_alive(word));
        if (unlikely(t->per_packet) && !guard_known(w, t, p))
                return;
        if (unlikely(!stays || (syn && f->state == FLOW_CLOSING))) {
                struct choice c;
                if (syn && t->services[p->service].guarded && !guard_new(w, t, p, true))
                        return;
                if (!choose(w, t, p, &c))
                        return;
                uint64_t other = backend_word(w->backends, c.now);
                if (!known || !established || word_alive(other)) { /* else all are down: it may be the first to return */
                        backend = c.now;
                        word = other;
                }
                if (syn)
                        flow_restart(&w->flows, slot, backend, backend_word_epoch(word), now_s);
                else if (backend != f->backend || backend_word_epoch(word) != f->epoch)
                        flow_repick(&w->flows, slot, backend, backend_word_epoch(word));
        }
        if (!syn)
                flow_touch(&w->flows, slot, p->tcp_flags & (TCP_FIN | TCP_RST), p->rx_len, now_s);
        send_to(w, p, backend, word);
}

static __attribute__((noinline)) void flow_miss(struct worker *w, const struct tables *t, uint16_t now_s, struct pkt *p)
{
        struct choice c;
        if (source_ours(w, t, p)) {
                pkt_done(p, DROP_MARTIAN);
                return;
        }
        const struct service *s = &t->services[p->service];
        if (unlikely(s->guarded) && !guard_new(w, t, p, p->kind != PKT_TCP || p->tcp_flags & TCP_SYN))
                return;
        bool nat = s->way == WAY_NAT;
        if (nat && p->kind == PKT_TCP && !(p->tcp_flags & TCP_SYN)) { /* strict: only a SYN opens a connection under NAT */
                refuse_closed(w, w->now_ms, p, DROP_NO_FLOW);
                return;
        }
        if (!choose(w, t, p, &c))
                return;
        if (nat) {
                nat_open(w, s, p, c.now);
                return;
        }
        bool tcp = p->kind == PKT_TCP, syn = p->tcp_flags & TCP_SYN, closing = p->tcp_flags & (TCP_FIN | TCP_RST);
        uint16_t backend = c.now;
        if (tcp && !syn && c.prev != BACKEND_NONE && word_holds(w, backend_word(w->backends, c.prev))) {
                backend = c.prev;
                flow_count(&w->flows, FLOW_COUNT_FOLLOWED_PREVIOUS);
        }
        uint64_t word = backend_word(w->backends, backend);
        bool keep = !tcp || (syn ? c.prev != BACKEND_NONE : !closing);
        if (!keep)
                flow_count(&w->flows, FLOW_COUNT_STATELESS);
        else
                (void)flow_insert(&w->flows, p->hash, &p->key, backend, backend_word_epoch(word),
                                  s->idle_s,
                                  now_s); /* no room is counted there; the packet goes on without state */
        send_to(w, p, backend, word);
}

static uint64_t fragment_hash(const struct worker *w, const struct pkt *p)
{
        const uint8_t *ip = p->p + p->l3;
        struct tuple k;
        if (p->version == 4)
                tuple_set4(&k, p->proto, ip + 12, ip + 16, p->frag_id);
        else
                tuple_set6(&k, p->proto, ip + 8, ip + 24, p->frag_id);
        k.w[0] |= UINT64_C(1) << 16; /* never equal to a flow's key */
        return tuple_hash(&w->key, &k);
}

void pick_new(struct worker *w, const struct tables *t, struct pkt *p)
{
        flow_miss(w, t, (uint16_t)(w->now_ms / 1000), p);
}

static inline __attribute__((always_inline)) void pick_slot(struct worker *w, const struct tables *t, uint64_t now_s, struct pkt *p, uint32_t slot)
{
        if (unlikely(slot == FLOW_NONE)) {
                if (p->service == SERVICE_NONE)
                        nat_stray(w, p);
                else
                        flow_miss(w, t, (uint16_t)now_s, p);
        } else if (unlikely(flow_at(&w->flows, slot)->flags & FLOW_NAT)) {
                nat_hit(w, t, p, slot);
        } else {
                flow_hit(w, t, (uint16_t)now_s, p, slot);
        }
}

/* A first fragment: what it was decided is kept for the later ones, by the addresses it came with. */
static __attribute__((noinline, cold)) void pick_first(struct worker *w, const struct tables *t, uint64_t now_s, struct pkt *p, uint32_t slot)
{
        uint64_t hash = fragment_hash(w, p);
        pick_slot(w, t, now_s, p, slot);
        if (p->verdict == HAND_OVER)
                fragcache_put(&w->frags, hash, BACKEND_NONE, 0, p->l4_len, FRAG_TO_WORKER + p->out_port, (uint32_t)now_s);
        if (p->kind != PKT_SEND)
                return;
        slot = flow_find(&w->flows, p->hash, &p->key, (uint16_t)now_s);
        const struct flow *f = slot != FLOW_NONE ? flow_at(&w->flows, slot) : NULL;
        bool nat = f && f->flags & FLOW_NAT;
        fragcache_put(&w->frags, hash, nat ? f->backend : p->backend, nat ? f->epoch : p->epoch, p->l4_len,
                      nat ? (uint32_t)(f - w->flows.flows) : FRAG_NO_ENTRY, (uint32_t)now_s);
}

void pick_flow(struct worker *w, const struct tables *t, uint64_t now_s, struct pkt *p)
{
        uint32_t slot = flow_find(&w->flows, p->hash, &p->key, (uint16_t)now_s);
        if (likely(p->frag != PKT_FRAG_FIRST))
                pick_slot(w, t, now_s, p, slot);
        else
                pick_first(w, t, now_s, p, slot);
}

void pick_icmp(struct worker *w, const struct tables *t, uint64_t now_s, struct pkt *p)
{
        uint64_t hash = p->hash = tuple_hash(&w->key, &p->key);
        uint32_t slot = flow_find(&w->flows, hash, &p->key, (uint16_t)now_s);
        if (slot != FLOW_NONE) {
                const struct flow *f = flow_at(&w->flows, slot);
                if (f->flags & FLOW_NAT) {
                        nat_icmp(w, p, f);
                        return;
                }
                uint64_t word = backend_word(w->backends, f->backend);
                bool holds = p->proto == PROTO_TCP ? word_holds(w, word) : word_alive(word);
                if (holds && backend_word_epoch(word) == f->epoch) {
                        send_to(w, p, f->backend, word);
                        return;
                }
        }
        struct choice c;
        if (p->service == SERVICE_NONE) {
                nat_stray_icmp(w, p);
                return;
        }
        if (t->services[p->service].way == WAY_NAT) {
                nat_around(w, p);
                return;
        }
        if (!choose(w, t, p, &c))
                return;
        bool follow = p->proto == PROTO_TCP && c.prev != BACKEND_NONE && word_holds(w, backend_word(w->backends, c.prev));
        uint16_t backend = follow ? c.prev : c.now;
        flow_count(&w->flows, FLOW_COUNT_STATELESS);
        send_to(w, p, backend, backend_word(w->backends, backend));
}

void pick_fragment(struct worker *w, uint64_t now_s, struct pkt *p)
{
        p->hash = fragment_hash(w, p);
        const struct frag_slot *s = fragcache_get(&w->frags, p->hash, (uint32_t)now_s);
        uint64_t word = s && s->backend != BACKEND_NONE ? backend_word(w->backends, s->backend) : 0; /* none: handed over, or an answer under NAT */
        if (unlikely(p->rx_flags & PKT_DECAPSULATED) && s && s->entry != FRAG_NO_ENTRY) { /* NAT's */
                pkt_done(p, DROP_TUNNEL_INNER);
                return;
        }
        if (s && s->entry >= FRAG_TO_WORKER && s->entry != FRAG_NO_ENTRY) {
                p->out_port = (uint8_t)(s->entry - FRAG_TO_WORKER);
                pkt_done(p, HAND_OVER);
                return;
        }
        if (s && s->entry != FRAG_NO_ENTRY && p->frag_off >= s->first_len &&
            nat_fragment(w, p, &w->flows.flows[s->entry]))
                return;
        if (!s && p->vip == VIP_NONE)
                kernel_take(w, w->now_ms, p, DROP_NOT_OURS);
        else if (!s || (s->entry != FRAG_NO_ENTRY && p->frag_off >= s->first_len) || !(word & BACKEND_USED) || backend_word_epoch(word) != s->epoch)
                pkt_done(p, DROP_FRAGMENT_UNKNOWN);
        else if (p->frag_off < s->first_len)
                pkt_done(p, DROP_FRAGMENT_OVERLAP);
        else
                send_to(w, p, s->backend, word);
}
