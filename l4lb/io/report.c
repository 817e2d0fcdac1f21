/* l4lb/io/report.c - what the admin socket shows: status, services, backends, metrics; and STATUS for the agent.
 * Layer: l4lb/io.  Thread rule: control thread; workers' counters are read with relaxed loads, so a sum may be a few
 * packets behind itself. */
#include "lib/base.h"
#include "l4lb/io/control.h"

#define PREFIX "gatehouse_l4_"

static uint64_t verdict_total(const struct control *c, unsigned v)
{
        uint64_t n = 0;
        for (unsigned i = 0; i < c->workers.n; i++)
                n += metric_get(&c->workers.w[i]->core.verdicts.packets[v]);
        return n;
}

static uint64_t received_total(const struct control *c)
{
        uint64_t n = 0;
        for (unsigned i = 0; i < c->workers.n; i++)
                n += metric_get(&c->workers.w[i]->core.verdicts.received);
        return n;
}

static struct traffic_sum {
        uint64_t packets, bytes;
} backend_traffic(const struct control *c, size_t backend)
{
        struct traffic_sum s = {0};
        for (unsigned i = 0; i < c->workers.n; i++) {
                s.packets += metric_get(&c->workers.w[i]->backends[backend].packets);
                s.bytes += metric_get(&c->workers.w[i]->backends[backend].bytes);
        }
        return s;
}

static struct traffic_sum service_traffic(const struct control *c, size_t counter)
{
        struct traffic_sum s = {0};
        for (unsigned i = 0; i < c->workers.n; i++) {
                s.packets += metric_get(&c->workers.w[i]->services[counter].packets);
                s.bytes += metric_get(&c->workers.w[i]->services[counter].bytes);
        }
        return s;
}

static void key_str(struct json *j, const char *key, const char *value)
{
        json_key(j, key);
        json_str(j, value);
}

static void key_u64(struct json *j, const char *key, uint64_t value)
{
        json_key(j, key);
        json_u64(j, value);
}

static void key_bool(struct json *j, const char *key, bool value)
{
        json_key(j, key);
        json_bool(j, value);
}

/* ---------------------------------------------------------------- status */

static void write_port(const struct port *p, struct json *j)
{
        struct port_stats st;
        char mac[18];
        port_stats_get(p, &st);
        snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", p->mac[0], p->mac[1], p->mac[2], p->mac[3],
                 p->mac[4], p->mac[5]);
        json_obj(j);
        key_str(j, "name", p->conf->name);
        key_str(j, "role", port_role_str(p->conf->role));
        key_str(j, "device", p->conf->device);
        key_str(j, "mac", mac);
        key_str(j, "link", port_link_str(port_link_get(p)));
        key_u64(j, "rx_packets", st.rx_packets);
        key_u64(j, "rx_bytes", st.rx_bytes);
        key_u64(j, "tx_packets", st.tx_packets);
        key_u64(j, "tx_bytes", st.tx_bytes);
        key_u64(j, "rx_missed", st.rx_missed);
        key_u64(j, "rx_errors", st.rx_errors);
        key_u64(j, "rx_no_mbuf", st.rx_no_mbuf);
        key_u64(j, "tx_errors", st.tx_errors);
        json_end(j);
}

/* One word for people: what the backend does with traffic now. */
static const char *backend_word_for(const struct control *c, size_t i)
{
        const struct backend *b = &c->backends->b[i];
        const struct tables *t = c->active ? c->active->tables : NULL;
        if (b->state == BACKEND_LINGER)
                return "draining";
        if (b->admin_down)
                return "down";
        for (uint32_t p = 0; t && p < t->n_pools; p++)
                for (size_t k = 0; k < t->pools[p].n_members; k++)
                        if (t->pools[p].members[k].backend == i &&
                            t->pools[p].members[k].state == MODEL__ENDPOINT_STATE__ENDPOINT_DRAINING)
                                return "draining";
        return health_str(b->health);
}

static void write_backend(const struct control *c, size_t i, struct json *j)
{
        const struct backend *b = &c->backends->b[i];
        struct traffic_sum t = backend_traffic(c, i);
        char addr[IPADDR_STR_MAX];
        json_obj(j);
        key_str(j, "pool", b->pool);
        key_str(j, "name", b->name);
        key_str(j, "addr", ipaddr_str(&b->addr, addr));
        key_str(j, "port", c->net->ports[b->port].name);
        key_str(j, "way", way_str(b->way));
        if (way_tunnel(b->way)) {
                uint16_t mtu = backend_mtu(c->backends, (uint16_t)i);
                key_str(j, "tunnel_source", ipaddr_str(&b->source, addr));
                key_u64(j, "path_mtu", mtu ? mtu : c->net->ports[b->port].mtu);
        }
        key_str(j, "state", backend_word_for(c, i));
        key_str(j, "health", health_str(b->health));
        key_bool(j, "checked", b->check.tcp);
        key_bool(j, "admin_down", b->admin_down);
        key_bool(j, "neighbour", neigh_word(c->neigh, b->adjacency) != 0);
        key_u64(j, "transitions", b->transitions);
        key_u64(j, "packets", t.packets);
        key_u64(j, "bytes", t.bytes);
        json_end(j);
}

static bool backend_shown(const struct backend *b)
{
        return b->state == BACKEND_ACTIVE || b->state == BACKEND_LINGER;
}

static void write_backends(const struct control *c, struct json *j)
{
        json_arr(j);
        for (size_t i = 0; i < c->backends->n; i++)
                if (backend_shown(&c->backends->b[i]))
                        write_backend(c, i, j);
        json_end(j);
}

static void write_workers(const struct control *c, struct json *j)
{
        static const struct metric_desc desc[] = METRICS_DESC(WORKER_COUNTERS);
        json_arr(j);
        for (unsigned i = 0; i < c->workers.n; i++) {
                const struct io_worker *w = c->workers.w[i];
                json_obj(j);
                key_u64(j, "cpu", c->settings->cores[i]);
                key_u64(j, "flows", metric_get(&w->core.flows.live));
                key_u64(j, "decapsulated", metric_get(&w->core.decapsulated));
                for (size_t k = 0; k < WORKER_COUNTER_N; k++)
                        key_u64(j, desc[k].name, metric_get(&w->counters[k]));
                json_end(j);
        }
        json_end(j);
}

static int query_status(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        struct control *c = arg;
        const struct model *m = dpclient_active(c->dp);
        char hash[65] = "";
        if (m)
                sha256_hex(&m->hash, hash);
        json_obj(j);
        key_str(j, "daemon", "l4lb");
        key_str(j, "name", c->settings->name);
        key_str(j, "version", GH_VERSION);
        key_u64(j, "uptime_s", (loop_now_ms(c->loop) - c->started_ms) / 1000);
        key_u64(j, "generation", m ? m->generation : 0);
        key_str(j, "hash", hash);
        key_bool(j, "agent_connected", dpclient_connected(c->dp));
        json_key(j, "ports");
        json_arr(j);
        for (size_t i = 0; i < c->ports.n; i++)
                write_port(&c->ports.v[i], j);
        json_end(j);
        key_u64(j, "received", received_total(c));
        json_key(j, "verdicts");
        json_obj(j);
        for (unsigned v = 1; v < VERDICT_N; v++)
                key_u64(j, verdict_name((enum l4_verdict)v), verdict_total(c, v));
        json_end(j);
        json_key(j, "backends");
        write_backends(c, j);
        json_key(j, "workers");
        write_workers(c, j);
        json_end(j);
        return 0;
}

/* ---------------------------------------------------------------- services, backends */

static void write_service(const struct control *c, const struct generation *g, uint32_t i, struct json *j)
{
        const struct tables *t = g->tables;
        const struct service *s = &t->services[i];
        struct traffic_sum sum = service_traffic(c, g->counter_of[i]);
        char addr[IPADDR_STR_MAX];
        json_obj(j);
        key_str(j, "id", t->service_ids[i]);
        key_str(j, "vip", ipaddr_str(&t->vips[s->vip].addr, addr));
        key_str(j, "protocol", s->udp ? "udp" : "tcp");
        key_u64(j, "port_lo", s->port_lo);
        key_u64(j, "port_hi", s->port_hi);
        key_str(j, "way", way_str(s->way));
        json_key(j, "pools");
        json_arr(j);
        for (unsigned k = 0; k < s->n_legs; k++) {
                const struct leg *l = &t->legs[s->first_leg + k];
                json_str(j, l->pool >= POOL_REJECT ? NULL : t->pools[l->pool].id);
        }
        json_end(j);
        key_u64(j, "packets", sum.packets);
        key_u64(j, "bytes", sum.bytes);
        json_end(j);
}

static int query_services(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        struct control *c = arg;
        json_arr(j);
        for (uint32_t i = 0; c->active && i < c->active->tables->n_services; i++)
                write_service(c, c->active, i, j);
        json_end(j);
        return 0;
}

static int query_backends(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        write_backends(arg, j);
        return 0;
}

static int query_neighbours(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        const struct control *c = arg;
        json_arr(j);
        for (size_t i = 0; i < L4_MAX_NEIGHBOURS; i++) {
                const struct neigh_slot *s = &c->neigh->slots[i];
                uint64_t word = neigh_word(c->neigh, (uint16_t)i);
                struct ipaddr addr = {.af = s->af};
                char text[IPADDR_STR_MAX], mac[18];
                uint8_t m[6];
                if (c->neigh->ctl[i].state == NEIGH_FREE)
                        continue;
                memcpy(addr.b, s->addr, sizeof addr.b);
                memcpy(m, &word, sizeof m); /* little endian, as adjacency_make */
                snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
                json_obj(j);
                key_str(j, "port", c->net->ports[s->port].name);
                key_str(j, "addr", ipaddr_str(&addr, text));
                key_str(j, "mac", word ? mac : NULL);
                key_str(j, "state", neigh_state_str(c->neigh->ctl[i].state));
                key_bool(j, "pinned", c->neigh->ctl[i].refs > 0);
                json_end(j);
        }
        json_end(j);
        return 0;
}

/* ---------------------------------------------------------------- metrics */

static void label_sample(struct buf *b, const char *name, uint64_t v, const char *const *kv, size_t n)
{
        struct buf labels;
        buf_init(&labels, 4096);
        for (size_t i = 0; i < n; i++)
                metrics_label(&labels, kv[2 * i], span_str(kv[2 * i + 1]));
        metrics_sample(b, PREFIX, name, buf_cstr(&labels), v);
        buf_fini(&labels);
}
#define SAMPLE(b, name, v, ...)                                                                                        \
        label_sample(b, name, v, (const char *const[]){__VA_ARGS__},                                                   \
                     ARRAY_SIZE(((const char *const[]){__VA_ARGS__})) / 2)

static void metrics_verdicts(const struct control *c, struct buf *b)
{
        static const struct metric_desc d = {"verdicts_total",
                                             "Packets by how they ended; the sum is packets received"};
        metrics_family(b, PREFIX, &d, false);
        for (unsigned v = 1; v < VERDICT_N; v++)
                SAMPLE(b, d.name, verdict_total(c, v), "verdict", verdict_name((enum l4_verdict)v));
}

static void metrics_workers(const struct control *c, struct buf *b)
{
        static const struct metric_desc worker[] = METRICS_DESC(WORKER_COUNTERS), flow[] = METRICS_DESC(FLOW_COUNTERS);
        static const struct metric_desc live = {"flows", "Live flow entries"};
        static const struct metric_desc opened = {"decapsulated_total", "Packets that came out of a tunnel for a VIP"};
        char index[12];
        metrics_family(b, PREFIX, &opened, false);
        for (unsigned i = 0; i < c->workers.n; i++) {
                snprintf(index, sizeof index, "%u", i);
                SAMPLE(b, opened.name, metric_get(&c->workers.w[i]->core.decapsulated), "worker", index);
        }
        for (size_t k = 0; k < ARRAY_SIZE(worker) + ARRAY_SIZE(flow) + 1; k++) {
                const struct metric_desc *d = k < ARRAY_SIZE(worker) ? &worker[k]
                                              : k < ARRAY_SIZE(worker) + ARRAY_SIZE(flow)
                                                      ? &flow[k - ARRAY_SIZE(worker)]
                                                      : &live;
                metrics_family(b, PREFIX, d, d == &live);
                for (unsigned i = 0; i < c->workers.n; i++) {
                        const struct io_worker *w = c->workers.w[i];
                        const metric_t *m = k < ARRAY_SIZE(worker) ? &w->counters[k]
                                            : d == &live           ? &w->core.flows.live
                                                                   : &w->core.flows.counters[k - ARRAY_SIZE(worker)];
                        snprintf(index, sizeof index, "%u", i);
                        SAMPLE(b, d->name, metric_get(m), "worker", index);
                }
        }
}

#define PORT_METRICS(P) /* P(field, name, help) */                                                                     \
        P(rx_packets, "port_rx_packets_total", "Packets received by the device")                                       \
        P(rx_bytes, "port_rx_bytes_total", "Bytes received by the device")                                             \
        P(tx_packets, "port_tx_packets_total", "Packets sent by the device")                                           \
        P(tx_bytes, "port_tx_bytes_total", "Bytes sent by the device")                                                 \
        P(rx_missed, "port_rx_missed_total", "Packets the device dropped because its queue was full")                  \
        P(rx_errors, "port_rx_errors_total", "Packets the device could not receive")                                   \
        P(rx_no_mbuf, "port_rx_no_buffer_total", "Packets lost because no buffer was free")                            \
        P(tx_errors, "port_tx_errors_total", "Packets the device could not send")

static void metrics_ports(const struct control *c, struct buf *b)
{
        struct port_stats st[L4_MAX_PORTS];
        for (size_t i = 0; i < c->ports.n; i++)
                port_stats_get(&c->ports.v[i], &st[i]);
#define P(field, metric, help_)                                                                                        \
        {                                                                                                              \
                static const struct metric_desc d = {metric, help_};                                                   \
                metrics_family(b, PREFIX, &d, false);                                                                  \
                for (size_t i = 0; i < c->ports.n; i++)                                                                \
                        SAMPLE(b, d.name, st[i].field, "port", c->ports.v[i].conf->name);                              \
        }
        PORT_METRICS(P)
#undef P
        static const struct metric_desc up = {"port_link_up", "1 when the port has a carrier"};
        metrics_family(b, PREFIX, &up, true);
        for (size_t i = 0; i < c->ports.n; i++)
                SAMPLE(b, up.name, port_link_get(&c->ports.v[i]) == PORT_LINK_UP, "port", c->ports.v[i].conf->name);
}

static void metrics_backends(const struct control *c, struct buf *b)
{
        static const struct metric_desc desc[] = {
                {"backend_packets_total", "Packets sent to the backend"},
                {"backend_bytes_total", "Bytes sent to the backend"},
                {"backend_up", "1 when the backend takes new connections by its health"}};
        char addr[IPADDR_STR_MAX];
        for (size_t k = 0; k < ARRAY_SIZE(desc); k++) {
                metrics_family(b, PREFIX, &desc[k], k == 2);
                for (size_t i = 0; i < c->backends->n; i++) {
                        const struct backend *x = &c->backends->b[i];
                        if (!backend_shown(x))
                                continue;
                        struct traffic_sum t = backend_traffic(c, i);
                        bool up = !x->admin_down && x->health != HEALTH_DOWN && x->health != HEALTH_INITIAL;
                        SAMPLE(b, desc[k].name,
                               k == 0   ? t.packets
                               : k == 1 ? t.bytes
                                        : up,
                               "pool", x->pool, "backend", x->name ? x->name : "", "addr", ipaddr_str(&x->addr, addr));
                }
        }
}

static void metrics_services(const struct control *c, struct buf *b)
{
        static const struct metric_desc desc[] = {{"service_packets_total", "Packets of the service sent to backends"},
                                                  {"service_bytes_total", "Bytes of the service sent to backends"}};
        for (size_t k = 0; k < ARRAY_SIZE(desc); k++) {
                metrics_family(b, PREFIX, &desc[k], false);
                for (size_t i = 0; i < c->services.n; i++) {
                        struct traffic_sum t = service_traffic(c, i);
                        SAMPLE(b, desc[k].name, k == 0 ? t.packets : t.bytes, "service", c->services.ids[i]);
                }
        }
}

static void metrics_control(const struct control *c, struct buf *b)
{
        const struct {
                struct metric_desc d;
                uint64_t v;
        } rows[] = {
                {{"punts_total", "Frames handled by the control thread"}, c->n_punts},
                {{"control_frames_failed_total", "Frames of the control thread that found no buffer or ring"},
                 c->n_send_failed},
                {{"control_stalls_total",
                  "Times the control thread was 50 ms or more late: something else had its core"},
                 c->n_stalls},
                {{"announcements_total", "Gratuitous ARP and unsolicited ND sent"}, c->announcer.n_sent},
                {{"neighbour_requests_total", "ARP and ND requests sent"}, c->neigh->n_requests},
                {{"neighbour_changes_total", "Neighbours whose MAC address changed"}, c->neigh->n_changed},
                {{"neighbour_failures_total", "Neighbours that stopped answering"}, c->neigh->n_failed},
                {{"neighbour_evictions_total", "Learned neighbours given up to make room"}, c->neigh->n_evicted},
                {{"probes_sent_total", "Health probes sent"}, c->prober->n_sent},
                {{"probes_ok_total", "Health probes answered by SYN-ACK"}, c->prober->n_ok},
                {{"probes_refused_total", "Health probes answered by RST"}, c->prober->n_refused},
                {{"probes_timeout_total", "Health probes not answered in time"}, c->prober->n_timeout},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                metrics_family(b, PREFIX, &rows[i].d, false);
                metrics_sample(b, PREFIX, rows[i].d.name, NULL, rows[i].v);
        }
        static const struct metric_desc gen = {"generation", "Active generation of the configuration"};
        metrics_family(b, PREFIX, &gen, true);
        metrics_sample(b, PREFIX, gen.name, NULL, c->active ? c->active->tables->generation : 0);
}

static int query_metrics(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        struct control *c = arg;
        struct buf b;
        buf_init(&b, 16u << 20);
        metrics_verdicts(c, &b);
        metrics_workers(c, &b);
        metrics_ports(c, &b);
        metrics_backends(c, &b);
        metrics_services(c, &b);
        metrics_control(c, &b);
        bool failed = b.failed;
        if (!failed)
                json_span(j, buf_span(&b));
        buf_fini(&b);
        return failed ? err_set(reterr, ENOMEM, "metrics", "out of memory") : 0;
}

static int query_help(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        json_obj(j);
        for (const struct admin_query *q = control_queries; q->name; q++)
                key_str(j, q->name, q->help);
        json_end(j);
        return 0;
}

const struct admin_query control_queries[] = {
        {"status", "Generation, ports, verdicts, backends, workers", query_status},
        {"services", "VIP, protocol and ports of every service, its pools and traffic", query_services},
        {"backends", "Every backend with its state, health and traffic", query_backends},
        {"neighbours", "Every next hop and shard with its MAC address and state", query_neighbours},
        {"trace", "VIP PORT [SOURCE]: how a SYN would end, in each worker; it is neither sent nor counted",
         query_trace},
        {"metrics", "All counters as Prometheus text (in a JSON string)", query_metrics},
        {"help", "This list", query_help},
        {NULL, NULL, NULL},
};

/* ---------------------------------------------------------------- STATUS for the agent */

/* One entry per endpoint set, whatever pools share it. */
static Control__EndpointHealth *health_of(Control__Status *st, const struct pool *p, struct arena *a)
{
        for (size_t i = 0; i < st->n_endpoints; i++)
                if (strcmp(st->endpoints[i]->set, p->endpoint_set) == 0)
                        return st->endpoints[i];
        Control__EndpointHealth *h = arena_alloc(a, sizeof *h);
        if (!h)
                return NULL;
        control__endpoint_health__init(h);
        h->set = (char *)p->endpoint_set; /* borrowed: the tables outlive the call */
        h->version = p->set_version;
        st->endpoints[st->n_endpoints++] = h;
        return h;
}

/* The tables split a pool by the VIPs' families, and a set of one family serves both: it must be counted once. */
static bool counted(const struct tables *t, uint32_t before, const char *set, uint16_t backend)
{
        for (uint32_t i = 0; i < before; i++)
                for (size_t k = 0; strcmp(t->pools[i].endpoint_set, set) == 0 && k < t->pools[i].n_members; k++)
                        if (t->pools[i].members[k].backend == backend)
                                return true;
        return false;
}

static void fill_pool(const struct control *c, const struct tables *t, uint32_t index, struct arena *a,
                      Control__EndpointHealth *h)
{
        const struct pool *p = &t->pools[index];
        char **down = arena_calloc(a, h->n_down + p->n_members + 1, sizeof *down);
        if (!down)
                return; /* the next STATUS has another arena */
        if (h->n_down)
                memcpy(down, h->down, h->n_down * sizeof *down);
        h->down = down;
        for (size_t i = 0; i < p->n_members; i++) {
                const struct pool_member *m = &p->members[i];
                enum health health = c->backends->b[m->backend].health;
                if (counted(t, index, p->endpoint_set, m->backend))
                        continue;
                h->total++;
                if (m->state == MODEL__ENDPOINT_STATE__ENDPOINT_READY && health != HEALTH_DOWN &&
                    health != HEALTH_INITIAL)
                        h->ready++;
                else
                        h->down[h->n_down++] = m->name;
        }
}

void control_fill_status(struct control *c, struct arena *a, Control__Status *st)
{
        const struct tables *t = c->active ? c->active->tables : NULL;
        st->packets_total = received_total(c);
        if (!t || t->n_pools == 0)
                return;
        st->endpoints = arena_calloc(a, t->n_pools, sizeof(Control__EndpointHealth *));
        for (uint32_t i = 0; st->endpoints && i < t->n_pools; i++) {
                Control__EndpointHealth *h = health_of(st, &t->pools[i], a);
                if (h)
                        fill_pool(c, t, i, a, h);
        }
}
