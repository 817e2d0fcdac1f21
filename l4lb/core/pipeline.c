/* l4lb/core/pipeline.c - see pipeline.h.
 *
 *   parse      headers -> kind; prefetches the frames ahead
 *   classify   destination -> service, return path, or an answer made at once; hashes keys, prefetches flow buckets
 *   (tags)     prefetches flow entries whose tag matches
 *   pick       flow table or Maglev -> backend -> adjacency
 *   rewrite    MAC addresses, MTU, a tunnel's headers */
#include "lib/base.h"
#include "l4lb/core/decap.h"
#include "l4lb/core/icmp.h"
#include "l4lb/core/kernel.h"
#include "l4lb/core/nat.h"
#include "l4lb/core/parse.h"
#include "l4lb/core/pick.h"
#include "l4lb/core/probe.h"
#include "l4lb/core/refuse.h"
#include "l4lb/core/reply.h"
#include "l4lb/core/route.h"
#include "l4lb/core/wire.h"

#define PREFETCH_AHEAD 4
#define SWEEP_MS_MAX 256 /* what a rest or a stall may leave behind: some 1024 buckets at 1 Mi flows */

void worker_init(struct worker *w, void *mem, uint32_t n_entries, struct siphash_key key, const struct net *net,
                 const struct neigh *n, const struct backends *r, uint64_t now_ms)
{
        memset(w, 0, sizeof *w);
        flow_table_init(&w->flows, mem, n_entries);
        w->key = key;
        w->net = net;
        w->neigh = n;
        w->backends = r;
        w->swept_ms = w->now_ms = now_ms;
        tokens_init(&w->echo, L4_MAX_REPLIES_PER_S, now_ms);
        tokens_init(&w->link, L4_MAX_REPLIES_PER_S, now_ms);
        tokens_init(&w->punt, L4_MAX_PUNTS_PER_S, now_ms);
        tokens_init(&w->probe, L4_MAX_PROBES_PER_S, now_ms);
        tokens_init(&w->refuse, net->refusals_pps, now_ms);
        tokens_init(&w->kernel, net->to_kernel_pps ? net->to_kernel_pps : L4_MAX_TO_KERNEL_PER_S, now_ms);
}

void worker_sweep(struct worker *w, uint64_t now_ms)
{
        if (now_ms <= w->swept_ms)
                return;
        uint32_t ms = (uint32_t)MIN(now_ms - w->swept_ms, (uint64_t)SWEEP_MS_MAX);
        w->swept_ms = now_ms;
        flow_sweep(&w->flows, ms * ((w->flows.bucket_mask >> 16) + 1), (uint16_t)(now_ms / 1000));
}

/* ---------------------------------------------------------------- from uplinks */

/* key and hash of a TCP or UDP packet to a VIP; its bucket is on its way when pick comes. */
static inline __attribute__((always_inline)) void classify_service(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p)
{
        const uint8_t *ip = p->p + p->l3, *l4 = p->p + p->l4;
        p->service = tables_service(t, p->vip, p->kind == PKT_UDP, get_u16(l4 + 2));
        if ((p->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK)) { /* VIPs open no connections: reflected */
                pkt_done(p, DROP_BAD_TCP_FLAGS);
                return;
        }
        if (p->service == SERVICE_NONE) {
                refuse_closed(w, now_ms, p, DROP_NO_SERVICE);
                return;
        }
        if (p->version == 4)
                tuple_set4(&p->key, p->proto, ip + 12, ip + 16, raw_u32(l4));
        else
                tuple_set6(&p->key, p->proto, ip + 8, ip + 24, raw_u32(l4));
        p->hash = tuple_hash(&w->key, &p->key);
        flow_prefetch_buckets(&w->flows, p->hash);
}

static void classify_icmp(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p)
{
        uint16_t port;
        switch (icmp_look(p, &port)) {
        case ICMP_WHAT_DROP:
                return;
        case ICMP_WHAT_ECHO: /* whoever sent it into a tunnel answers it himself */
                if (p->rx_flags & PKT_DECAPSULATED)
                        pkt_done(p, DROP_TUNNEL_INNER);
                else
                        reply_echo(w, now_ms, p);
                return;
        case ICMP_WHAT_ERROR:
                break;
        }
        if (p->vip == VIP_NONE) {
                pkt_done(p, DROP_BAD_ICMP); /* about a packet of our own: nothing we sent wants an answer */
                return;
        }
        p->service = tables_service(t, p->vip, p->proto == PROTO_UDP, port);
        if (p->service == SERVICE_NONE)
                pkt_done(p, DROP_NO_SERVICE);
}

/* Inline in the hot path though a tunnel calls it too: a call costs 2 to 3 ns of 70. */
static inline __attribute__((always_inline)) void classify_vip(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p)
{
        if (p->kind == PKT_TCP || p->kind == PKT_UDP)
                classify_service(w, t, now_ms, p);
        else if (p->kind == PKT_ICMP)
                classify_icmp(w, t, now_ms, p);
        else if (p->kind == PKT_OTHER)
                pkt_done(p, DROP_PROTOCOL);
        else if (p->proto != PROTO_TCP && p->proto != PROTO_UDP)
                pkt_done(p, DROP_ICMP_FRAGMENT); /* a later fragment of anything else */
}

/* To an address that the uplink shares with its kernel: we only answer echo, so that it works without the kernel too. */
static void classify_shared(struct worker *w, uint64_t now_ms, struct pkt *p)
{
        if (p->kind == PKT_ICMP && p->frag == PKT_WHOLE && p->p[p->l4] == (p->version == 4 ? ICMP_ECHO : ICMPV6_ECHO))
                reply_echo(w, now_ms, p);
        else
                kernel_take(w, now_ms, p, DROP_NOT_OURS);
}

/* Answers of endpoints under NAT: the key is the packet's own tuple. */
static void classify_answer(const struct worker *w, struct pkt *p)
{
        const uint8_t *ip = p->p + p->l3, *l4 = p->p + p->l4;
        if (p->version == 4)
                tuple_set4(&p->key, p->proto, ip + 12, ip + 16, raw_u32(l4));
        else
                tuple_set6(&p->key, p->proto, ip + 8, ip + 24, raw_u32(l4));
        p->hash = tuple_hash(&w->key, &p->key);
        flow_prefetch_buckets(&w->flows, p->hash);
}

/* Of an endpoint under NAT?  Errors and later fragments may be; pick tells. */
static bool classify_nat(const struct worker *w, struct pkt *p)
{
        uint16_t port;
        if (w->nat.n == 0)
                return false;
        if (p->kind == PKT_TCP || p->kind == PKT_UDP) {
                if (!nat_port_ours(w, get_u16(p->p + p->l4 + 2)))
                        return false;
                classify_answer(w, p);
                return true;
        }
        if (p->kind == PKT_FRAGMENT)
                return p->proto == PROTO_TCP || p->proto == PROTO_UDP;
        if (p->kind != PKT_ICMP)
                return false;
        struct pkt look = *p;
        if (icmp_look(&look, &port) != ICMP_WHAT_ERROR || !nat_port_ours(w, port))
                return false;
        *p = look;
        return true;
}

static bool service_here(const struct tables *t, const struct pkt *p)
{
        return p->service == SERVICE_NONE || t->services[p->service].way == WAY_LINK;
}

static __attribute__((noinline)) void classify_tunnel(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p)
{
        decap_open(w, t, now_ms, p);
        if (p->kind == PKT_DONE)
                return;
        metric_add(&w->decapsulated, 1);
        classify_vip(w, t, now_ms, p);
        if (p->kind != PKT_DONE && !service_here(t, p))
                pkt_done(p, DROP_TUNNEL_INNER);
}

/* The answer to a probe of a shard behind a tunnel, as from a VIP, or of an endpoint wherever it is.  (The control thread knows whom it
 * has asked.) */
static bool classify_far_probe(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p)
{
        const uint8_t *ip = p->p + p->l3;
        if (!t || !(t->tunnels || t->far_probes) || p->kind != PKT_TCP || p->frag != PKT_WHOLE || get_u16(p->p + p->l4 + 2) < PROBE_PORT_LO)
                return false;
        if (!t->far_probes && (p->version == 4 ? tables_vip4(t, ip + 12) : tables_vip6(t, ip + 8)) == VIP_NONE)
                return false;
        pkt_done(p, tokens_take(&w->probe, now_ms) ? PUNT_PROBE : DROP_RATE_LIMITED);
        return true;
}

/* A router's word about the path of one of our tunnels? */
static bool classify_path_mtu(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p)
{
        struct tunnel quoted;
        uint16_t mtu;
        if (!t || !t->tunnels || p->kind != PKT_ICMP || p->frag != PKT_WHOLE || !tunnel_quoted(p->p, p->len, &quoted, &mtu))
                return false;
        pkt_done(p, tokens_take(&w->punt, now_ms) ? PUNT_PATH_MTU : DROP_RATE_LIMITED);
        return true;
}

/* To one of our own addresses: tunnels that end here, answers of endpoints under NAT, of health probes, and pings. */
static void classify_own(struct worker *w, const struct tables *t, uint64_t now_ms, uint8_t owner, struct pkt *p)
{
        if (w->net->decap.n_to && decap_wanted(w->net, p)) {
                classify_tunnel(w, t, now_ms, p);
                return;
        }
        if (owner == p->in_port && t && classify_nat(w, p))
                return;
        if (classify_far_probe(w, t, now_ms, p) || classify_path_mtu(w, t, now_ms, p))
                return;
        if (w->net->ports[p->in_port].kernel != PORT_NONE && owner == p->in_port)
                classify_shared(w, now_ms, p);
        else if (p->kind == PKT_ICMP)
                classify_icmp(w, t, now_ms, p);
        else if (p->kind != PKT_TCP || p->frag != PKT_WHOLE || w->net->ports[p->in_port].role != PORT_SHARD ||
                 get_u16(p->p + p->l4 + 2) < PROBE_PORT_LO)
                pkt_done(p, DROP_NOT_OURS);
        else
                pkt_done(p, tokens_take(&w->probe, now_ms) ? PUNT_PROBE : DROP_RATE_LIMITED);
}

/* ---------------------------------------------------------------- from shards */

static void classify_return(struct worker *w, struct pkt *p)
{
        const uint8_t *ip = p->p + p->l3;
        p->adjacency = route_adjacency(w, p, p->version, p->version == 4 ? ip + 16 : ip + 24);
        if (p->adjacency) {
                p->verdict = FORWARD_RETURN;
                p->kind = PKT_SEND;
                if (adjacency_port(p->adjacency) == p->in_port)
                        pkt_done(p, DROP_NO_ROUTE);
        }
}

/* ---------------------------------------------------------------- passes */

static void classify(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p)
{
        if (p->kind >= PKT_ARP) {
                if (p->kind == PKT_ARP)
                        reply_arp(w, t, now_ms, p);
                else if (p->kind == PKT_ND)
                        reply_nd(w, t, now_ms, p);
                else if (p->kind != PKT_UNSUMMED)
                        kernel_take(w, now_ms, p, (enum l4_verdict)p->verdict);
                else if (decap_wanted(w->net, p))
                        classify_tunnel(w, t, now_ms, p);
                else
                        pkt_done(p, (enum l4_verdict)p->verdict);
                return;
        }
        const uint8_t *ip = p->p + p->l3;
        bool v4 = p->version == 4, shard = w->net->ports[p->in_port].role == PORT_SHARD;
        if (t && !shard) {
                p->vip = v4 ? tables_vip4(t, ip + 16) : tables_vip6(t, ip + 24);
                if (likely(p->vip != VIP_NONE)) {
                        classify_vip(w, t, now_ms, p);
                        return;
                }
        }
        uint8_t owner = v4 ? net_owner4(w->net, ip + 16) : net_owner6(w->net, ip + 24, p->in_port);
        if (owner != PORT_NONE)
                classify_own(w, t, now_ms, owner, p);
        else if (!t)
                kernel_take(w, now_ms, p, DROP_NO_TABLES);
        else if (shard && (v4 ? tables_vip4(t, ip + 12) : tables_vip6(t, ip + 8)) != VIP_NONE)
                classify_return(w, p);
        else
                kernel_take(w, now_ms, p, DROP_NOT_OURS);
}

static void pick(struct worker *w, const struct tables *t, uint64_t now_s, struct pkt *p)
{
        if (p->kind == PKT_TCP || p->kind == PKT_UDP)
                pick_flow(w, t, now_s, p);
        else if (p->kind == PKT_ICMP)
                pick_icmp(w, t, now_s, p);
        else if (p->kind == PKT_FRAGMENT)
                pick_fragment(w, now_s, p);
}

static void rewrite(struct worker *w, uint64_t now_ms, struct pkt *p)
{
        uint8_t out = adjacency_port(p->adjacency);
        const struct net_port *port = &w->net->ports[out];
        p->kind = PKT_DONE;
        if (unlikely(p->verdict == FORWARD_TUNNEL)) {
                if (!tunnel_wrap(w, now_ms, p))
                        return;
        } else if (p->l3_len > port->mtu) {
                refuse_too_big(w, now_ms, p, port->mtu);
                return;
        }
        memcpy(p->p, &p->adjacency, 6);
        memcpy(p->p + 6, port->mac, 6);
        p->out_port = out;
}

void pipeline_run(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p, size_t n)
{
        BUG_ON(n > L4_MAX_BURST);
        uint64_t now_s = now_ms / 1000; /* once per burst */
        w->now_ms = now_ms;
        for (size_t i = 0; i < n && i < PREFETCH_AHEAD; i++)
                __builtin_prefetch(p[i].p);
        for (size_t i = 0; i < n; i++) {
                if (i + PREFETCH_AHEAD < n)
                        __builtin_prefetch(p[i + PREFETCH_AHEAD].p);
                pkt_parse(w->net, &p[i]);
        }
        for (size_t i = 0; i < n; i++)
                if (p[i].kind != PKT_DONE)
                        classify(w, t, now_ms, &p[i]);
        for (size_t i = 0; i < n; i++)
                if (p[i].kind == PKT_TCP || p[i].kind == PKT_UDP)
                        flow_prefetch_entry(&w->flows, p[i].hash);
        for (size_t i = 0; i < n; i++)
                if (p[i].kind != PKT_DONE && p[i].kind != PKT_SEND)
                        pick(w, t, now_s, &p[i]);
        for (size_t i = 0; i < n; i++)
                if (p[i].kind == PKT_SEND)
                        rewrite(w, now_ms, &p[i]);
        for (size_t i = 0; i < n; i++)
                DBG_ON(p[i].verdict == VERDICT_NONE || p[i].kind != PKT_DONE);
}
