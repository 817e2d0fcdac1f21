/* l4lb/core/probe.c - see probe.h.
 *
 *   OFF -> IDLE -start-> RESOLVING -neighbour known, SYN out-> SENT -SYN-ACK-> CLOSING -RST out-> IDLE
 *                            \--timeout--> IDLE (failed)         \--RST or timeout--> IDLE (failed) */
#include "lib/base.h"
#include "l4lb/core/probe.h"
#include "l4lb/core/net.h"
#include "l4lb/core/segment.h"
#include "l4lb/core/wire.h"

#include <assert.h>

#define PROBE_RESOLVE_MS 10 /* how often an unresolved neighbour is looked at again */
#define PROBE_WINDOW 1024

void prober_init(struct prober *p, struct backends *r, struct siphash_key seed)
{
        memset(p, 0, sizeof *p);
        p->backends = r;
        p->seed = seed;
}

static uint64_t draw(struct prober *p)
{
        p->counter++;
        return siphash13(&p->seed, &p->counter, sizeof p->counter);
}

static bool port_taken(const struct prober *p, uint16_t at)
{
        const struct probe *q = &p->p[p->by_port[at]];
        return (q->state == PROBE_SENT || q->state == PROBE_CLOSING) && q->sport == PROBE_PORT_LO + at;
}

/* A source port that no other probe waits on: an answer names its probe by it.  There are as many as backends. */
static uint16_t port_draw(struct prober *p, uint16_t i, uint16_t at)
{
        static_assert(PROBE_PORTS >= L4_MAX_BACKENDS, "one for every probe");
        at %= PROBE_PORTS;
        while (port_taken(p, at) && p->by_port[at] != i)
                at = (uint16_t)((at + 1) % PROBE_PORTS);
        p->by_port[at] = i;
        return (uint16_t)(PROBE_PORT_LO + at);
}

static bool wanted(const struct backend *b)
{
        return (b->state == BACKEND_ACTIVE || b->state == BACKEND_LINGER) && b->check.tcp && (!way_tunnel(b->way) || b->check.vip.af);
}

/* One probe is over: counts it; true when the health of the backend changed. */
static bool finish(struct prober *p, uint16_t i, bool success, uint64_t now_ms, struct probe_event *ret)
{
        struct probe *q = &p->p[i];
        const struct backend *b = &p->backends->b[i];
        q->good = success ? q->good + 1 : 0;
        q->bad = success ? 0 : q->bad + 1;
        q->state = success ? PROBE_CLOSING : PROBE_IDLE;
        q->start_ms = MAX(q->start_ms + b->check.interval_ms, now_ms); /* no catching up */
        q->due_ms = success ? now_ms : q->start_ms;
        bool known = b->health == HEALTH_UP || b->health == HEALTH_DOWN;
        if (success ? known && q->good < b->check.rise : q->bad < b->check.fall)
                return false;
        if (!backends_set_health(p->backends, i, success))
                return false;
        *ret = (struct probe_event){i, success};
        return true;
}

/* The frame, which ends with its segment, into the tunnel. */
static void wrap(const struct tunnel *t, struct frame_out *f, uint32_t entropy)
{
        const uint8_t *ip = f->b + ETH_LEN;
        uint32_t bytes = get_u16(f->b + 12) == ETHERTYPE_IPV4 ? get_u16(ip + 2) : IPV6_LEN + (uint32_t)get_u16(ip + 4), extra = tunnel_bytes(t);
        static_assert(ETH_LEN + TUNNEL_MAX_BYTES + IPV6_LEN + TCP_LEN <= sizeof f->b, "a probe in its tunnel");
        memmove(f->b + ETH_LEN + extra, ip, bytes);
        set_u16(f->b + 12, t->af == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
        tunnel_write(t, f->b + ETH_LEN, bytes, entropy);
        f->len = (uint16_t)(ETH_LEN + extra + bytes);
}

/* Of the check, or an endpoint's own. */
static uint16_t probe_port(const struct backend *b) { return b->check.port ? b->check.port : b->target_port; }

static void write_tcp(const struct prober *p, uint16_t i, uint32_t seq, uint8_t flags, uint64_t adjacency,
                      struct frame_out *ret)
{
        const struct backend *b = &p->backends->b[i];
        const struct net *net = p->backends->net;
        const struct net_port *port = &net->ports[b->port];
        bool far = way_tunnel(b->way);
        const struct ipaddr *to = far ? &b->check.vip : &b->addr, *own = net_source_for(net, b->port, to);
        BUG_ON(!own); /* the backend is on this port because an address of that family is; tables.c checks the VIP's */
        uint8_t dst_mac[6];
        memcpy(dst_mac, &adjacency, sizeof dst_mac); /* the word begins with it: neigh.h */
        const struct segment seg = {.src_mac = port->mac,
                                    .dst_mac = dst_mac,
                                    .src = own,
                                    .dst = to,
                                    .sport = p->p[i].sport,
                                    .dport = probe_port(b),
                                    .seq = seq,
                                    .flags = flags,
                                    .window = flags & TCP_RST ? 0 : PROBE_WINDOW};
        segment_write(&seg, ret);
        ret->port = b->port;
        if (far)
                wrap(&p->backends->targets[i].tunnel, ret, p->p[i].sport);
}

static enum prober_step step(struct prober *p, uint16_t i, uint64_t now_ms, struct frame_out *ret_frame,
                             struct probe_event *ret_event)
{
        struct probe *q = &p->p[i];
        const struct backend *b = &p->backends->b[i];
        uint64_t adjacency = neigh_word(p->backends->neigh, b->adjacency);
        switch (q->state) {
        case PROBE_IDLE:
                q->state = PROBE_RESOLVING;
                q->start_ms = now_ms;
                q->timeout_ms = now_ms + b->check.timeout_ms;
                __attribute__((fallthrough));
        case PROBE_RESOLVING:
                if (adjacency) {
                        uint64_t r = draw(p);
                        q->sport = port_draw(p, i, (uint16_t)r);
                        q->seq = (uint32_t)(r >> 32);
                        q->state = PROBE_SENT;
                        q->timeout_ms = q->due_ms = now_ms + b->check.timeout_ms;
                        p->n_sent++;
                        write_tcp(p, i, q->seq, TCP_SYN, adjacency, ret_frame);
                        return PROBER_FRAME;
                }
                q->due_ms = MIN(now_ms + PROBE_RESOLVE_MS, q->timeout_ms);
                if (now_ms < q->timeout_ms)
                        return PROBER_IDLE;
                break;
        case PROBE_SENT:
                break;
        case PROBE_CLOSING:
                q->state = PROBE_IDLE;
                q->due_ms = q->start_ms;
                if (!adjacency)
                        return PROBER_IDLE;
                write_tcp(p, i, q->seq + 1, TCP_RST, adjacency, ret_frame);
                return PROBER_FRAME;
        case PROBE_OFF:
        case PROBE_STATE_N:
                return PROBER_IDLE;
        }
        p->n_timeout++;
        neigh_doubt(p->backends->neigh, b->adjacency, now_ms); /* its MAC address may have changed */
        return finish(p, i, false, now_ms, ret_event) ? PROBER_EVENT : PROBER_IDLE;
}

enum prober_step prober_next(struct prober *p, uint64_t now_ms, struct frame_out *ret_frame,
                             struct probe_event *ret_event)
{
        for (size_t k = 0, n = p->backends->n; k < n; k++) {
                size_t i = p->scan + k < n ? p->scan + k : (p->scan + k) % n;
                const struct backend *b = &p->backends->b[i];
                struct probe *q = &p->p[i];
                if (!wanted(b) || (q->state != PROBE_OFF && q->epoch != b->epoch)) {
                        q->state = PROBE_OFF;
                        if (!wanted(b))
                                continue;
                }
                if (q->state == PROBE_OFF)
                        *q = (struct probe){.state = PROBE_IDLE, .epoch = b->epoch, .due_ms = now_ms};
                if (q->due_ms > now_ms)
                        continue;
                enum prober_step s = step(p, (uint16_t)i, now_ms, ret_frame, ret_event);
                if (s != PROBER_IDLE) {
                        p->scan = i + 1; /* a round over all that are due looks at each twice, not once per frame */
                        return s;
                }
        }
        return PROBER_IDLE;
}

uint64_t prober_due_ms(const struct prober *p, uint64_t now_ms, uint64_t max_ms)
{
        uint64_t due = max_ms;
        for (size_t i = 0; i < p->backends->n; i++) {
                const struct probe *q = &p->p[i];
                if (!wanted(&p->backends->b[i]))
                        continue;
                uint64_t at = q->state == PROBE_OFF || q->epoch != p->backends->b[i].epoch ? now_ms : q->due_ms;
                due = MIN(due, at > now_ms ? at - now_ms : 0);
        }
        return due;
}

/* ---------------------------------------------------------------- answers */

struct answer {
        struct ipaddr src;
        uint16_t sport, dport;
        uint32_t ack;
        uint8_t flags;
};

static bool read_answer(const uint8_t *f, size_t len, struct answer *ret)
{
        size_t l4;
        if (len < ETH_LEN + IPV4_LEN + TCP_LEN)
                return false;
        const uint8_t *ip = f + ETH_LEN;
        *ret = (struct answer){0};
        if (get_u16(f + 12) == ETHERTYPE_IPV4 && ip[9] == PROTO_TCP) {
                ret->src.af = 4;
                memcpy(ret->src.b, ip + 12, 4);
                l4 = ETH_LEN + (size_t)(ip[0] & 15) * 4;
        } else if (get_u16(f + 12) == ETHERTYPE_IPV6 && ip[6] == PROTO_TCP) {
                ret->src.af = 6;
                memcpy(ret->src.b, ip + 8, 16);
                l4 = ETH_LEN + IPV6_LEN;
        } else {
                return false;
        }
        if (len < l4 + TCP_LEN)
                return false;
        ret->sport = get_u16(f + l4);
        ret->dport = get_u16(f + l4 + 2);
        ret->ack = get_u32(f + l4 + 8);
        ret->flags = f[l4 + 13];
        return true;
}

bool prober_input(struct prober *p, uint8_t in_port, const uint8_t *frame, size_t len, uint64_t now_ms,
                  struct probe_event *ret)
{
        struct answer a;
        if (!read_answer(frame, len, &a)) {
                p->n_stray++;
                return false;
        }
        uint16_t i = a.dport >= PROBE_PORT_LO ? p->by_port[a.dport - PROBE_PORT_LO] : 0;
        const struct backend *b = &p->backends->b[i];
        const struct probe *q = &p->p[i];
        bool far = way_tunnel(b->way); /* answers as the VIP, by whatever way */
        bool ours = q->state == PROBE_SENT && wanted(b) && q->epoch == b->epoch && (far || b->port == in_port) &&
                    a.sport == probe_port(b) && a.dport == q->sport && a.ack == q->seq + 1 && a.flags & TCP_ACK &&
                    ipaddr_eq(&a.src, far ? &b->check.vip : &b->addr);
        if (ours && a.flags & TCP_RST) {
                p->n_refused++;
                return finish(p, i, false, now_ms, ret);
        }
        if (ours && a.flags & TCP_SYN) {
                p->n_ok++;
                return finish(p, i, true, now_ms, ret);
        }
        p->n_stray++;
        return false;
}
