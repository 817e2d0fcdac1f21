/* tests/fuzz/l4lb/pipeline_fuzz.c - frames into the packet core, with time, health and control machines moving along.
 *
 * Input: records.  control (1) | length (2, big endian) | frame
 *   control: bits 0-1 and 7 port (6 and more count from 0) | bit 2: put the port's MAC in front and repair the IPv4 header checksum, so that
 *   mutations reach deep | bit 3: the clock moves by 700 ms | bit 4: shard-1's health flips | bit 5: frame is the first
 *   segment of one 200 bytes longer | bit 6: no tail room
 * Invariants: see check_one.  Corpus: l4_core_test --seeds writes one record per packet fixture. */
#include "lib/base.h"
#include "l4lb/core/wire.h"
#include "tests/unit/l4lb/frame.h"
#include "tests/unit/l4lb/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM 64
#define LEN_MAX 2048

static struct world *world; /* kept between inputs: making one costs more than a run */

static void repair(uint8_t *f, size_t n, uint8_t port)
{
        if (n >= 6 && !(f[0] & 1))
                memcpy(f, world->net.ports[port].mac, 6);
        if (n < ETH_LEN + IPV4_LEN || get_u16(f + 12) != ETHERTYPE_IPV4)
                return;
        size_t header = (f[ETH_LEN] & 15u) * 4u;
        if (header < IPV4_LEN || ETH_LEN + header > n)
                return;
        set_u16(f + ETH_LEN + 10, 0);
        set_u16(f + ETH_LEN + 10, cksum_fold(cksum_add(0, f + ETH_LEN, header)));
}

/* One packet: a verdict; frames that are not sent are untouched; forwarded ones differ in their MACs alone; replies keep
 * their length (but for the neighbour advertisement, which fits its room), leave by their port, and carry checksums that are
 * valid exactly when the request's were. */
/* Into a tunnel: the frame's IP packet, whole and unchanged, behind headers whose lengths are right. */
static void check_tunnel(const struct pkt *p, const uint8_t *in, size_t n)
{
        const struct tunnel *t = &world->backends.targets[p->backend].tunnel;
        const uint8_t *ip = p->p + ETH_LEN;
        uint32_t head = tunnel_bytes(t), kept = MIN(p->len - ETH_LEN - head, (uint32_t)n - ETH_LEN);
        BUG_ON(world->net.ports[p->out_port].role != PORT_UPLINK || p->wire_len - p->len > p->rx_len - n);
        BUG_ON(get_u16(p->p + 12) != (t->af == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6));
        BUG_ON((t->af == 4 ? get_u16(ip + 2) : get_u16(ip + 4) + (uint32_t)IPV6_LEN) != head + p->l3_len);
        BUG_ON(t->gue && get_u16(ip + (t->af == 4 ? IPV4_LEN : IPV6_LEN) + 4) != UDP_LEN + GUE_LEN + p->l3_len);
        BUG_ON(memcmp(ip + head, in + ETH_LEN, kept) != 0);
        BUG_ON(p->rx_flags & PKT_DECAPSULATED);
}

/* Out of a tunnel: the packet ends as the frame in did, but for its hop, its ECN and the IPv4 checksum. */
static void check_opened(const struct pkt *p, const uint8_t *in, size_t n)
{
        BUG_ON(p->len > n);
        uint32_t from = ETH_LEN + (p->version == 4 ? 12u : 8u);
        if (p->len < from)
                return;
        for (size_t off = 0; off + p->len <= n; off++) /* somewhere in the frame it lies, whole */
                if (memcmp(p->p + from, in + off + from, p->len - from) == 0)
                        return;
        BUG_ON(true);
}

static void check_one(const struct pkt *p, const uint8_t *in, size_t n)
{
        BUG_ON(p->verdict == VERDICT_NONE || p->verdict >= VERDICT_N);
        BUG_ON(p->len > p->cap);
        bool opened = p->rx_flags & PKT_DECAPSULATED;
        if (verdict_kind(p->verdict) != VERDICT_KIND_TX) {
                BUG_ON(opened && verdict_kind(p->verdict) != VERDICT_KIND_DROP); /* io has the outer frame: nobody may get it now */
                BUG_ON(!opened && (p->len != n || memcmp(p->p, in, n) != 0));
                return;
        }
        BUG_ON(p->out_port >= world->net.n_ports);
        if (p->verdict == FORWARD_KERNEL || p->verdict == FORWARD_WIRE) { /* as they are, between the two of a pair */
                const struct net_port *from = &world->net.ports[p->in_port];
                BUG_ON(p->len != n || memcmp(p->p, in, n) != 0);
                BUG_ON(p->out_port != (p->verdict == FORWARD_KERNEL ? from->kernel : from->uplink));
                return;
        }
        BUG_ON(memcmp(p->p + 6, world->net.ports[p->out_port].mac, 6) != 0);
        bool v4 = get_u16(p->p + 12) == ETHERTYPE_IPV4;
        if (p->verdict == FORWARD_NAT || p->verdict == FORWARD_NAT_RETURN) { /* the transport's bytes but its first 20 */
                BUG_ON(p->verdict == FORWARD_NAT ? p->out_port != WORLD_BACKENDS : p->out_port == WORLD_BACKENDS);
                BUG_ON((int64_t)p->wire_len - (int64_t)p->len != (int64_t)p->rx_len - (int64_t)n);
                uint32_t from = p->l4 + 8u + 60u + 20u, left = p->len > from ? p->len - from : 0; /* an error: behind its quotation */
                BUG_ON(memcmp(p->p + p->len - left, in + n - left, left) != 0);
        } else if (p->verdict == FORWARD_TUNNEL) {
                check_tunnel(p, in, n);
        } else if (p->verdict == FORWARD_SHARD && opened) {
                check_opened(p, in, n);
        } else if (opened) { /* an answer of ours, to the client by the routes */
                BUG_ON(p->verdict != REPLY_RST && p->verdict != REPLY_UNREACHABLE && p->verdict != REPLY_TOO_BIG && p->verdict != REPLY_EXPIRED);
                BUG_ON(p->len != p->wire_len || (p->verdict != REPLY_RST && !frame_icmp_sum_ok(p->p, p->len)));
        } else if (p->verdict == FORWARD_SHARD || p->verdict == FORWARD_RETURN) {
                BUG_ON(p->len != n || memcmp(p->p + 12, in + 12, n - 12) != 0);
                BUG_ON(p->out_port == p->in_port);
                BUG_ON(p->verdict == FORWARD_SHARD && world->net.ports[p->out_port].role != PORT_SHARD);
        } else if (p->verdict == REPLY_RST || p->verdict == REPLY_UNREACHABLE || p->verdict == REPLY_TOO_BIG) {
                BUG_ON(p->out_port != p->in_port || p->len != p->wire_len);
                BUG_ON(p->len > n + 14 + 48 || memcmp(p->p, in + 6, 6) != 0);
                BUG_ON(p->verdict != REPLY_RST && !frame_icmp_sum_ok(p->p, p->len));
        } else {
                BUG_ON(p->out_port != p->in_port);
                BUG_ON(p->verdict != REPLY_ND && p->len != n);
                BUG_ON(p->verdict == REPLY_ND && !frame_icmp_sum_ok(p->p, p->len));
                if (p->verdict == REPLY_ECHO && p->wire_len == p->len)
                        BUG_ON(frame_icmp_sum_ok(p->p, p->len) != frame_icmp_sum_ok(in, n));
        }
        if (v4)
                BUG_ON(!frame_ip4_sum_ok(p->p, p->len));
}

/* Nobody gets through whom the list denies; the world's lists are looked at by hand here. */
static void check_allowed(const struct guard *g, const struct pkt *p)
{
        uint8_t transport = (uint8_t)(p->key.w[0] >> 8);
        if (!g->acl || p->verdict != FORWARD_SHARD || (transport != PROTO_TCP && transport != PROTO_UDP) || p->proto != p->p[ETH_LEN + (p->version == 4 ? 9 : 6)])
                return; /* NAT has another source by now; an error is about the flow of another */
        const uint8_t *src = p->p + ETH_LEN + (p->version == 4 ? 12 : 8);
        if (p->version == 4) {
                bool net = get_u32(src) >> 8 == 0xc63364, denied = net && src[3] >= 64 && src[3] < 128;
                BUG_ON(g->acl->open ? denied : !net || (denied && src[3] != 66));
        } else if (!g->acl->open) {
                BUG_ON(get_u32(src) != 0x20010db8 || get_u16(src + 4) != 0x99 || src[6] == 0x66);
        }
}

/* What io does with punted frames. */
static void punt(const struct pkt *p)
{
        struct probe_event e;
        if (p->verdict == PUNT_PROBE && prober_input(&world->prober, p->in_port, p->p, p->len, world->now_ms, &e))
                BUG_ON(tables_health_changed(world->tables, e.backend, world->now_ms, world_retire, world) < 0);
        if (p->verdict == PUNT_PATH_MTU)
                (void)backends_path_mtu(&world->backends, p->p, p->len, world->now_ms);
        if (p->verdict == PUNT_NEIGH || p->verdict == PUNT_RESOLVE)
                (void)neigh_input(&world->neigh, p->in_port, p->p, p->len, world->now_ms);
}

static void control(uint8_t bits)
{
        struct frame_out f;
        struct probe_event e;
        if (bits & 8)
                world->now_ms += 700;
        if (bits & 16) {
                backends_set_health(&world->backends, 0, world->backends.b[0].health != HEALTH_UP);
                BUG_ON(tables_health_changed(world->tables, 0, world->now_ms, world_retire, world) < 0);
        }
        for (int i = 0; i < 8 && neigh_next(&world->neigh, world->now_ms, &f); i++)
                BUG_ON(f.len > sizeof f.b || f.port >= world->net.n_ports);
        for (int i = 0; i < 8 && prober_next(&world->prober, world->now_ms, &f, &e) == PROBER_FRAME; i++)
                BUG_ON(f.len > sizeof f.b || f.port >= world->net.n_ports);
        neigh_reclaim(&world->neigh, neigh_retired(&world->neigh));
        (void)backends_mtu_expire(&world->backends, world->now_ms);
        worker_sweep(&world->worker, world->now_ms);
}

/* The same packet again, at once: the same way, unless a budget is used up. */
static void check_same_way(const struct pkt *first, const uint8_t *in, uint8_t *f, size_t n, size_t wire, size_t cap)
{
        struct pkt again;
        memcpy(f, in, n);
        world_run(world, first->in_port, f, n, wire, cap, &again);
        check_one(&again, in, n);
        BUG_ON(again.verdict != first->verdict || again.out_port != first->out_port);
}

static void record(uint8_t bits, const uint8_t *bytes, size_t n)
{
        uint8_t port = (uint8_t)(((bits & 3) | (bits >> 5 & 4)) % 6);
        size_t cap = bits & 64 ? n : n + ROOM, wire = bits & 32 ? n + 200 : n;
        uint8_t *room = malloc(ROOM + cap), *f = room + ROOM, *in = malloc(n ? n : 1);
        struct pkt p;
        BUG_ON(!room || !in);
        world->head = ROOM;
        if (n)
                memcpy(in, bytes, n);
        if (bits & 4)
                repair(in, n, port);
        if (n)
                memcpy(f, in, n);
        control(bits);
        world_run(world, port, f, n, wire, cap, &p);
        check_one(&p, in, n);
        punt(&p);
        bool fin = p.tcp_flags & (TCP_FIN | TCP_RST | TCP_SYN); /* may restart a flow: a new choice is allowed */
        const struct guard *g = p.service != SERVICE_NONE ? &world->tables->guards[p.service] : NULL;
        if (g && (p.verdict == FORWARD_SHARD || p.verdict == FORWARD_NAT) && p.kind == PKT_DONE && p.frag != PKT_FRAG_LATER)
                check_allowed(g, &p);
        bool limited = g && (g->connections || g->packets || g->source_connections || g->source_packets);
        if ((p.verdict == FORWARD_SHARD || p.verdict == FORWARD_NAT || p.verdict == FORWARD_TUNNEL) && !fin && !limited)
                check_same_way(&p, in, f, n, wire, cap);
        free(room);
        free(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (!world)
                world = world_new(64);
        world_reset_worker(world, 64);
        for (uint16_t i = 0; i < world->backends.n; i++) /* every input starts with everybody up */
                if (backends_set_health(&world->backends, i, true))
                        BUG_ON(tables_health_changed(world->tables, i, world->now_ms, world_retire, world) < 0);
        while (size >= 3) {
                size_t n = get_u16(data + 1);
                uint8_t bits = data[0];
                data += 3;
                size -= 3;
                n = MIN(n, size);
                n = MIN(n, (size_t)LEN_MAX);
                record(bits, data, n);
                data += n;
                size -= n;
        }
        BUG_ON(verdicts_sum(&world->worker.verdicts) != metric_get(&world->worker.verdicts.received));
        BUG_ON(!flow_table_check(&world->worker.flows));
        return 0;
}
