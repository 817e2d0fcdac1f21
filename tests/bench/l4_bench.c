/* tests/bench/l4_bench.c - packets per second of l4lb's worker on one core, with no NIC in the way.
 *
 *   net_null0 (uplink) --rx--> [generator] -> worker_turn of l4lb/io: the whole real path -> net_null1, net_null2
 * (shards)
 *
 * net_null hands out buffers without content, so a receive callback writes the frame under test into each: 64 bytes on
 * the wire (60 in the buffer), its flow chosen pseudo-randomly out of N.  The floor is the same ports and generator
 * with the core left out (rx burst, tx burst), so `ours - floor` is what l4lb itself costs. Usage: l4_bench --state DIR
 * [--flows N] [--seconds S] [--kind ack|syn|nat] [--cpu N] [--hugepages]; prints one JSON object. DIR is made by l4_state
 * (one IPv4 VIP with TCP port 80, shards 10.30.1.2 and 10.30.2.2; for nat a UDP listener with nat on port 80, whose endpoints
 * are those addresses). */
#include "lib/base.h"
#include "l4lb/io/eal.h"
#include "l4lb/io/worker.h"
#include "lib/core/cursor.h"
#include "lib/core/json.h"
#include "lib/io/lkg.h"

#include <getopt.h>
#include <sched.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>

#define FRAME_BYTES 60 /* plus the checksum: 64 on the wire */
#define WARMUP_MIN_PACKETS 1000000u
#define TURNS_PER_CHECK 1024u

struct options {
        const char *state;
        uint32_t flows;
        double seconds;
        bool syn, nat, hugepages;
        unsigned cpu;
};
struct generator {
        uint8_t frame[64];
        uint32_t ip_sum; /* of the header with a zero source and checksum */
        uint64_t x;      /* xorshift state */
        uint32_t flows;
};
struct bench {
        struct settings s;
        struct ports ports;
        struct net *net;
        struct neigh *neigh;
        struct backends *backends;
        struct workers workers;
        struct manifest *manifest;
        struct model *model;
        struct generation *generation;
        struct generator gen;
};

NORETURN static void die(const char *what, const char *why)
{
        fprintf(stderr, "l4_bench: %s: %s\n", what, why);
        exit(1);
}

static void *need(void *p)
{
        if (!p)
                die("memory", "out of memory");
        return p;
}

/* ---------------------------------------------------------------- the generator */

static void generator_init(struct generator *g, const uint8_t mac[6], const struct ipaddr *vip, const struct options *o)
{
        static const uint8_t ip_head[12] = {0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 6, 0, 0};
        *g = (struct generator){.x = 0x9e3779b97f4a7c15u, .flows = o->flows};
        uint8_t *p = g->frame;
        memcpy(p, mac, 6);
        memcpy(p + 6, "\2\0\0\0\0\1", 6);
        put_u16_be(p + 12, 0x0800);
        memcpy(p + 14, ip_head, sizeof ip_head);
        memcpy(p + 30, vip->b, 4);
        put_u16_be(p + 36, 80);
        if (o->nat) {
                p[23] = 17;
                put_u16_be(p + 38, 26); /* UDP, without a checksum */
        } else {
                p[46] = 5 << 4;
                p[47] = o->syn ? 0x02 : 0x10;
        }
        for (unsigned i = 14; i < 34; i += 2)
                g->ip_sum += (uint32_t)p[i] << 8 | p[i + 1];
}

/* Flow f: source 10.64.0.0 + f / 32768, source port 1024 + f % 32768.  The IPv4 checksum is right: the core verifies
 * it. */
static uint16_t generate(uint16_t port, uint16_t queue, struct rte_mbuf **m, uint16_t n, uint16_t max, void *arg)
{
        struct generator *g = arg;
        for (uint16_t i = 0; i < n; i++) {
                g->x ^= g->x << 13;
                g->x ^= g->x >> 7;
                g->x ^= g->x << 17;
                uint32_t f = (uint32_t)((g->x >> 32) * g->flows >> 32), src = (10u << 24 | 64u << 16) + (f >> 15);
                uint8_t *p = rte_pktmbuf_mtod(m[i], uint8_t *);
                uint32_t sum = g->ip_sum + (src >> 16) + (src & 0xffff);
                memcpy(p, g->frame, sizeof g->frame);
                put_u32_be(p + 26, src);
                put_u16_be(p + 34, (uint16_t)(1024 + (f & 0x7fff)));
                sum = (sum & 0xffff) + (sum >> 16);
                sum = (sum & 0xffff) + (sum >> 16);
                put_u16_be(p + 24, (uint16_t)~sum);
                m[i]->data_len = FRAME_BYTES;
                m[i]->pkt_len = FRAME_BYTES;
        }
        return n;
}

/* ---------------------------------------------------------------- setting up */

static void port_settings(struct settings_port *p, const char *name, const char *device, enum port_role role,
                          const char *addr)
{
        *p = (struct settings_port){.role = role, .mtu = 1500, .rx_desc = 512, .tx_desc = 512, .n_addrs = 1};
        snprintf(p->name, sizeof p->name, "%s", name);
        snprintf(p->device, sizeof p->device, "%s", device);
        if (ipprefix_parse(span_str(addr), &p->addrs[0]) < 0)
                die("address", addr);
}

static void settings_make(struct settings *s, const struct options *o)
{
        *s = (struct settings){.log_level = LOG_WARN,
                               .cores = {o->cpu},
                               .n_cores = 1,
                               .hugepages = o->hugepages,
                               .n_ports = 3,
                               .nat_lo = 1024,
                               .nat_hi = 32767,
                               .tcp_idle_s = 350,
                               .udp_idle_s = 120,
                               .spin_polls = UINT32_MAX};
        snprintf(s->name, sizeof s->name, "bench");
        snprintf(s->state_dir, sizeof s->state_dir, "%s", o->state);
        s->flow_entries = MAX(o->flows * (o->nat ? 4 : 2), 1024u);
        s->nat_hi = o->nat ? 61439 : s->nat_hi; /* ports for all the flows towards two endpoints */
        s->memory_mb = 128 + (unsigned)(flow_table_bytes(s->flow_entries) >> 20) * 5 / 4;
        port_settings(&s->ports[0], "up", "net_null0,size=60", PORT_UPLINK, "10.20.0.2/24");
        port_settings(&s->ports[1], "s1", "net_null1,size=60,no-rx=1", PORT_SHARD, "10.30.1.1/30");
        port_settings(&s->ports[2], "s2", "net_null2,size=60,no-rx=1", PORT_SHARD, "10.30.2.1/30");
}

static void load_model(struct bench *b, const char *dir)
{
        struct err e;
        struct model_error me;
        struct lkg *k = NULL;
        if (lkg_open(dir, &k, &e) < 0 || lkg_load(k, &b->manifest, &e) < 0)
                die(e.place, e.msg);
        lkg_close(k);
        if (model_load(b->manifest, &b->model, &me) < 0)
                die(me.err.place, me.err.msg);
}

/* Shards answer ARP as the real ones would: op 2, sender MAC and address. */
static void learn_shard(struct bench *b, uint8_t port, const uint8_t addr[4], uint64_t now)
{
        uint8_t f[42] = {0};
        memcpy(f, b->net->ports[port].mac, 6);
        memcpy(f + 6, "\2\0\0\0\0", 5);
        f[11] = addr[2];
        put_u16_be(f + 12, 0x0806);
        memcpy(f + 14, "\0\1\10\0\6\4\0\2", 8);
        memcpy(f + 22, f + 6, 6);
        memcpy(f + 28, addr, 4);
        memcpy(f + 32, b->net->ports[port].mac, 6);
        memcpy(f + 38, b->net->ports[port].addresses[0].addr.b, 4);
        if (!neigh_input(b->neigh, port, f, sizeof f, now))
                die("neighbour", "the ARP answer changed nothing");
}

static void build_tables(struct bench *b, uint64_t now)
{
        struct tables_conf conf = {.tcp_idle_s = 350, .udp_idle_s = 120, .cluster_key = L4_CLUSTER_KEY};
        struct tables *t = NULL;
        struct model_error me;
        if (tables_build(b->model, b->net, b->backends, &conf, now, &t, &me) < 0)
                die(me.err.place, me.err.msg);
        tables_commit(t, NULL, now);
        b->generation = need(calloc(1, sizeof *b->generation + t->n_services * sizeof(uint16_t)));
        b->generation->tables = t;
        b->generation->model = b->model;
        atomic_store_explicit(&b->workers.active, b->generation, memory_order_release);
}

static void setup(struct bench *b, const struct options *o)
{
        struct err e;
        struct siphash_key key = {1, 2};
        uint64_t now = 1000;
        settings_make(&b->s, o);
        load_model(b, o->state);
        if (eal_init(&b->s, &e) < 0 || ports_open(&b->s, &b->ports, &e) < 0)
                die(e.place, e.msg);
        b->net = need(calloc(1, sizeof *b->net));
        b->neigh = need(aligned_alloc(64, (sizeof *b->neigh + 63) / 64 * 64));
        b->backends = need(aligned_alloc(64, (sizeof *b->backends + 63) / 64 * 64));
        memset(b->neigh, 0, sizeof *b->neigh);
        memset(b->backends, 0, sizeof *b->backends);
        settings_net(&b->s, b->net);
        for (size_t i = 0; i < b->ports.n; i++)
                memcpy(b->net->ports[i].mac, b->ports.v[i].mac, 6);
        neigh_init(b->neigh, b->net, key);
        if (net_init(b->net, b->neigh, &e) < 0)
                die(e.place, e.msg);
        backends_init(b->backends, b->net, b->neigh);
        if (workers_init(&b->workers, &b->s, &b->ports, NULL, b->net, b->neigh, b->backends, now, &e) < 0)
                die(e.place, e.msg);
        build_tables(b, now);
        learn_shard(b, 1, (const uint8_t[]){10, 30, 1, 2}, now);
        learn_shard(b, 2, (const uint8_t[]){10, 30, 2, 2}, now);
        generator_init(&b->gen, b->net->ports[0].mac, &b->generation->tables->vips[0].addr, o);
        if (!rte_eth_add_rx_callback(b->ports.v[0].id, 0, generate, &b->gen))
                die("generator", "receive callbacks do not work here");
}

/* ---------------------------------------------------------------- measuring */

struct result {
        uint64_t packets, cycles;
};

static unsigned floor_turn(struct bench *b)
{
        struct rte_mbuf *m[WORKER_BURST];
        uint16_t n = rte_eth_rx_burst(b->ports.v[0].id, 0, m, WORKER_BURST);
        uint16_t sent = rte_eth_tx_burst(b->ports.v[1].id, 0, m, n);
        rte_pktmbuf_free_bulk(m + sent, (unsigned)(n - sent));
        return n;
}

static struct result measure(struct bench *b, bool floor, uint64_t cycles)
{
        struct result r = {0};
        uint64_t begin = rte_rdtsc();
        while (r.cycles < cycles) {
                for (unsigned i = 0; i < TURNS_PER_CHECK; i++)
                        r.packets += floor ? floor_turn(b) : worker_turn(b->workers.w[0]);
                r.cycles = rte_rdtsc() - begin;
        }
        return r;
}

struct run {
        struct bench *b;
        const struct options *o;
        struct result floor, ours;
};

static int run_on_worker(void *arg)
{
        struct run *r = arg;
        uint64_t hz = rte_get_tsc_hz(), cycles = (uint64_t)(r->o->seconds * (double)hz);
        rte_rcu_qsbr_thread_online(r->b->workers.qs, 0);
        for (uint64_t n = 0, want = MAX((uint64_t)r->o->flows * 8, (uint64_t)WARMUP_MIN_PACKETS); n < want;)
                n += worker_turn(r->b->workers.w[0]); /* every flow has its entry before the clock starts */
        r->floor = measure(r->b, true, cycles / 4);
        r->ours = measure(r->b, false, cycles);
        rte_rcu_qsbr_thread_offline(r->b->workers.qs, 0);
        return 0;
}

static void key_f64(struct json *j, const char *key, double v)
{
        json_key(j, key);
        json_f64(j, v);
}

static void report(const struct run *r)
{
        const struct io_worker *w = r->b->workers.w[0];
        double hz = (double)rte_get_tsc_hz(), per = (double)r->ours.cycles / (double)r->ours.packets;
        double floor = (double)r->floor.cycles / (double)r->floor.packets;
        uint64_t forwarded = metric_get(&w->core.verdicts.packets[r->o->nat ? FORWARD_NAT : FORWARD_SHARD]),
                 all = metric_get(&w->core.verdicts.received);
        struct buf out;
        struct json j;
        buf_init(&out, 1 << 16);
        json_init(&j, &out);
        json_obj(&j);
        json_key(&j, "case");
        json_str(&j, r->o->syn ? "l4_syn" : r->o->nat ? "l4_nat" : "l4_forward");
        json_key(&j, "flows");
        json_u64(&j, r->o->flows);
        key_f64(&j, "packets_per_s", hz / per);
        key_f64(&j, "cycles_per_packet", per);
        key_f64(&j, "ns_per_packet", per / hz * 1e9);
        key_f64(&j, "floor_packets_per_s", hz / floor);
        key_f64(&j, "floor_cycles_per_packet", floor);
        key_f64(&j, "tsc_hz", hz);
        json_key(&j, "flow_entries_live");
        json_u64(&j, metric_get(&w->core.flows.live));
        key_f64(&j, "forwarded_share", all ? (double)forwarded / (double)all : 0);
        json_end(&j);
        puts(buf_cstr(&out));
        buf_fini(&out);
        if (forwarded != all)
                die("result", "not every packet was forwarded: the figures mean nothing");
}

static void options_read(int argc, char **argv, struct options *o)
{
        static const struct option longs[] = {
                {"state", 1, NULL, 's'}, {"flows", 1, NULL, 'f'},     {"seconds", 1, NULL, 't'}, {"kind", 1, NULL, 'k'},
                {"cpu", 1, NULL, 'c'},   {"hugepages", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
        for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
                if (c == 's')
                        o->state = optarg;
                else if (c == 'f')
                        o->flows = (uint32_t)strtoul(optarg, NULL, 10);
                else if (c == 't')
                        o->seconds = strtod(optarg, NULL);
                else if (c == 'k')
                        o->syn = strcmp(optarg, "syn") == 0, o->nat = strcmp(optarg, "nat") == 0;
                else if (c == 'c')
                        o->cpu = (unsigned)strtoul(optarg, NULL, 10);
                else if (c == 'h')
                        o->hugepages = true;
                else
                        die("options", "see the top of tests/bench/l4_bench.c");
        }
        if (!o->state || o->flows == 0 || o->flows > (1u << 26) || o->seconds <= 0)
                die("options", "--state DIR is needed; --flows 1..67108864; --seconds above 0");
}

int main(int argc, char **argv)
{
        static struct bench b;
        struct options o = {.flows = 65536, .seconds = 2};
        cpu_set_t set;
        if (sched_getaffinity(0, sizeof set, &set) == 0)
                for (unsigned i = 0; i < CPU_SETSIZE; i++)
                        if (CPU_ISSET(i, &set))
                                o.cpu = i; /* the last CPU we may use */
        options_read(argc, argv, &o);
        log_init("l4_bench", LOG_WARN);
        setup(&b, &o);
        struct run r = {.b = &b, .o = &o};
        if (rte_eal_remote_launch(run_on_worker, &r, 1) < 0 || rte_eal_wait_lcore(1) < 0)
                die("worker", "cannot start");
        report(&r);
        workers_fini(&b.workers);
        tables_free(b.generation->tables, 1000);
        free(b.generation);
        backends_fini(b.backends);
        ports_close(&b.ports);
        model_free(b.model);
        manifest_put(b.manifest);
        free(b.backends);
        free(b.neigh);
        free(b.net);
        eal_fini();
        return 0;
}
