/* l4lb/io/control.c - see control.h.  Builds generations, publishes them, and drives the neighbour and probe machines.
 */
#include "lib/base.h"
#include "l4lb/io/control.h"

#include <inttypes.h>
#include <sys/random.h>

#define GRACE_POLL_MS 1
#define MACHINES_MAX_MS 1000
#define STALL_MS 50
#define LINKS_MS 1000

static uint64_t now_of(const struct control *c)
{
        return loop_now_ms(c->loop);
}

/* ---------------------------------------------------------------- grace periods */

static void grace_tick(struct timer *t, uint64_t now_ms)
{
        struct control *c = CONTAINER_OF(t, struct control, grace_timer);
        if (grace_run(&c->grace))
                timer_set(loop_timers(c->loop), t, now_ms + GRACE_POLL_MS);
}

static void defer(struct control *c, grace_fn *fn, void *object)
{
        grace_defer(&c->grace, fn, c, object);
        if (!timer_armed(&c->grace_timer))
                timer_set(loop_timers(c->loop), &c->grace_timer, now_of(c) + GRACE_POLL_MS);
}

static void maglev_over(void *arg, void *object)
{
        (void)arg;
        maglev_put(object);
}

static void maglev_retired(void *arg, struct maglev *m)
{
        defer(arg, maglev_over, m);
}

static void neigh_over(void *arg, void *object)
{
        struct control *c = arg;
        neigh_reclaim(c->neigh, (uint32_t)(uintptr_t)object);
}

static void backends_over(void *arg, void *object)
{
        struct control *c = arg;
        backends_reclaim(c->backends, (uint32_t)(uintptr_t)object);
}

static void generation_free(struct generation *g, uint64_t now_ms)
{
        if (!g)
                return;
        tables_free(g->tables, now_ms);
        free(g);
}

static void generation_over(void *arg, void *object)
{
        struct control *c = arg;
        struct generation *g = object;
        const struct model *m = g->model;
        generation_free(g, now_of(c));
        dpclient_release(c->dp, m);
}

/* ---------------------------------------------------------------- neighbours and probes */

static void send_frame(struct control *c, const struct frame_out *f)
{
        c->n_send_failed += !workers_send(&c->workers, f->port, f->b, f->len);
}

static void backend_changed(struct control *c, const struct probe_event *e)
{
        const struct backend *b = &c->backends->b[e->backend];
        char addr[IPADDR_STR_MAX];
        log_info("backend_health", "pool=%s backend=%s addr=%s health=%s", LOG_ESC(b->pool),
                 LOG_ESC(b->name ? b->name : ""), ipaddr_str(&b->addr, addr), e->up ? "up" : "down");
        if (c->active) {
                int r = tables_health_changed(c->active->tables, e->backend, now_of(c), maglev_retired, c);
                if (r < 0)
                        log_error("rebuild_failed", "pool=%s error=%s action=%s", LOG_ESC(b->pool),
                                  LOG_ESC(strerror(-r)), LOG_ESC("the previous table stays"));
        }
        dpclient_status_changed(c->dp);
}

static void retire(struct control *c)
{
        uint32_t t = neigh_retired(c->neigh);
        if (t && t != c->neigh_token) {
                c->neigh_token = t;
                defer(c, neigh_over, (void *)(uintptr_t)t);
        }
        t = backends_retire(c->backends, now_of(c));
        if (t && t != c->backend_token) {
                c->backend_token = t;
                defer(c, backends_over, (void *)(uintptr_t)t);
        }
}

/* Everything that is due, then one timer for what comes next. */
static void machines_run(struct control *c)
{
        struct frame_out f;
        struct probe_event e;
        enum prober_step step;
        uint64_t now = now_of(c), wait = MACHINES_MAX_MS;
        while (neigh_next(c->neigh, now, &f))
                send_frame(c, &f);
        while ((step = prober_next(c->prober, now, &f, &e)) != PROBER_IDLE) {
                if (step == PROBER_FRAME)
                        send_frame(c, &f);
                else
                        backend_changed(c, &e);
        }
        retire(c);
        if (c->active)
                wait = MIN(wait, tables_expire(c->active->tables, now, maglev_retired, c));
        wait = MIN(wait, backends_mtu_expire(c->backends, now));
        wait = MIN(wait, neigh_due_ms(c->neigh, now, wait));
        wait = MIN(wait, prober_due_ms(c->prober, now, wait));
        c->machines_due_ms = now + MAX(wait, (uint64_t)1);
        timer_set(loop_timers(c->loop), &c->machines, c->machines_due_ms);
}

static void machines_tick(struct timer *t, uint64_t now_ms)
{
        struct control *c = CONTAINER_OF(t, struct control, machines);
        if (c->machines_due_ms && now_ms >= c->machines_due_ms + STALL_MS)
                c->n_stalls++;
        machines_run(c);
}

static void punt(void *arg, enum l4_verdict verdict, uint8_t in_port, const uint8_t *frame, size_t len)
{
        struct control *c = arg;
        struct probe_event e;
        c->n_punts++;
        if (verdict == PUNT_PROBE) {
                if (prober_input(c->prober, in_port, frame, len, now_of(c), &e))
                        backend_changed(c, &e);
        } else if (verdict == PUNT_PATH_MTU) {
                uint8_t kernel = c->net->ports[in_port].kernel;
                if (backends_path_mtu(c->backends, frame, len, now_of(c)))
                        log_info("path_mtu", "port=%s action=%s", c->net->ports[in_port].name, LOG_ESC("tunnels send less for ten minutes"));
                else if (kernel != PORT_NONE) /* about a packet of this host's own stack */
                        c->n_send_failed += !workers_send(&c->workers, kernel, frame, len);
        } else if (verdict == PUNT_CONFLICT) {
                announcer_defend(&c->announcer, in_port, frame, len);
        } else {
                uint8_t kernel = c->net->ports[in_port].kernel;
                (void)neigh_input(c->neigh, in_port, frame, len, now_of(c)); /* words are atomics: nothing to rebuild */
                if (verdict == PUNT_NEIGH && kernel != PORT_NONE) /* this host's own stack learns from it too */
                        c->n_send_failed += !workers_send(&c->workers, kernel, frame, len);
        }
}

static void woken(void *arg)
{
        struct control *c = arg;
        if (workers_punts(&c->workers, punt, c))
                machines_run(c);
}

/* ---------------------------------------------------------------- links */

/* Says what happened to a port; probes and neighbours do the rest by themselves. */
static void links_tick(struct timer *t, uint64_t now_ms)
{
        struct control *c = CONTAINER_OF(t, struct control, links_timer);
        for (size_t i = 0; i < c->ports.n; i++) {
                const char *name = c->ports.v[i].conf->name;
                enum port_link link = port_link_get(&c->ports.v[i]);
                if (link == c->links[i])
                        continue;
                c->links[i] = link;
                if (link == PORT_LINK_GONE)
                        log_error("port_link", "port=%s link=gone action=%s", name,
                                  LOG_ESC("its traffic is lost; an interface made again is taken by a restart only"));
                else
                        log_info("port_link", "port=%s link=%s", name, port_link_str(link));
        }
        timer_set(loop_timers(c->loop), t, now_ms + LINKS_MS);
}

/* ---------------------------------------------------------------- generations */

static int counter_slot(struct service_counters *sc, const char *id)
{
        void *known = map_get(&sc->by_id, span_str(id));
        if (known)
                return (int)((uintptr_t)known - 1);
        if (sc->n == L4_MAX_SERVICES)
                return L4_MAX_SERVICES - 1; /* all ever seen: the last counter is shared */
        char *copy = strdup(id);
        if (!copy || map_put(&sc->by_id, span_str(copy), (void *)(uintptr_t)(sc->n + 1)) < 0) {
                free(copy);
                return -ENOMEM;
        }
        sc->ids[sc->n] = copy;
        return (int)sc->n++;
}

static int generation_new(struct control *c, struct tables *t, const struct model *m, struct generation **ret)
{
        struct generation *g = calloc(1, sizeof *g + t->n_services * sizeof g->counter_of[0]);
        if (!g)
                return -ENOMEM;
        g->tables = t;
        g->model = m;
        for (uint32_t i = 0; i < t->n_services; i++) {
                int slot = counter_slot(&c->services, t->service_ids[i]);
                if (slot < 0) {
                        free(g);
                        return slot;
                }
                g->counter_of[i] = (uint16_t)slot;
        }
        *ret = g;
        return 0;
}

static int prepare(void *arg, const struct model *m, struct model_error *reterr)
{
        struct control *c = arg;
        struct tables *t = NULL;
        struct tables_conf conf = {.tcp_idle_s = c->settings->tcp_idle_s,
                                   .udp_idle_s = c->settings->udp_idle_s,
                                   .n_workers = c->workers.n,
                                   .cluster_key = L4_CLUSTER_KEY};
        int r = tables_build(m, c->net, c->backends, &conf, now_of(c), &t, reterr);
        if (r < 0)
                return r;
        r = generation_new(c, t, m, &c->pending);
        if (r < 0) {
                tables_free(t, now_of(c));
                model_error_set(reterr, CONTROL__NACK_STAGE__NACK_INTERNAL, "l4", NULL, "out of memory");
        }
        return r;
}

static void activate(void *arg, const struct model *m)
{
        struct control *c = arg;
        struct generation *old = c->active, *g = TAKE_PTR(c->pending);
        BUG_ON(!g || g->model != m);
        tables_commit(g->tables, old ? old->tables : NULL, now_of(c));
        c->active = g;
        /* release: the tables are complete before a worker can see the pointer */
        atomic_store_explicit(&c->workers.active, g, memory_order_release);
        announcer_start(&c->announcer, g->tables, old ? old->tables : NULL);
        if (old)
                defer(c, generation_over, old);
        timer_set(loop_timers(c->loop), &c->machines, now_of(c)); /* new backends: probe and resolve at once */
        log_info("generation_active", "generation=%" PRIu64 " vips=%u services=%u pools=%u", g->tables->generation,
                 g->tables->n_vips, g->tables->n_services, g->tables->n_pools);
}

static void abort_pending(void *arg)
{
        struct control *c = arg;
        generation_free(TAKE_PTR(c->pending), now_of(c));
}

static void endpoints(void *arg, const Model__EndpointSet *set)
{
        struct control *c = arg;
        struct model_error e = {0};
        if (!c->active)
                return;
        int r = tables_endpoints(c->active->tables, set, now_of(c), maglev_retired, c, &e);
        if (r < 0)
                log_error("endpoints_refused", "set=%s reason=%s action=%s", LOG_ESC(set->id), LOG_ESC(e.err.msg),
                          LOG_ESC("the previous endpoints stay"));
        machines_run(c);
        dpclient_status_changed(c->dp);
}

static void fill_status(void *arg, struct arena *a, Control__Status *st)
{
        control_fill_status(arg, a, st);
}

/* ---------------------------------------------------------------- life */

/* For the watchdog: every worker has turned since we looked last; a resting one turns four times a second. */
static bool workers_alive(void *arg)
{
        struct control *c = arg;
        bool alive = true;
        for (unsigned i = 0; i < c->workers.n; i++) {
                uint64_t turns = metric_get(&c->workers.w[i]->counters[WORKER_TURNS]);
                alive &= turns != c->turns[i];
                c->turns[i] = turns;
        }
        return alive;
}

static int random_key(struct siphash_key *ret, struct err *reterr)
{
        if (getrandom(ret, sizeof *ret, 0) != (ssize_t)sizeof *ret)
                return err_set(reterr, EIO, "control", "no random key");
        return 0;
}

/* Ports' addresses and routes, with the devices' MAC addresses when there are any. */
static int net_new(const struct settings *s, const struct ports *ps, struct net **ret_net, struct neigh **ret_neigh,
                   struct err *reterr)
{
        struct siphash_key key;
        struct net *net = calloc(1, sizeof *net);
        struct neigh *n = aligned_alloc(64, (sizeof *n + 63) / 64 * 64);
        int r = net && n ? random_key(&key, reterr) : err_set(reterr, ENOMEM, "control", "out of memory");
        if (r == 0) {
                memset(n, 0, sizeof *n);
                settings_net(s, net);
                for (size_t i = 0; ps && i < ps->n; i++)
                        memcpy(net->ports[i].mac, ps->v[i].mac, 6);
                neigh_init(n, net, key);
                r = net_init(net, n, reterr);
        }
        if (r < 0) {
                free(net);
                free(n);
                return r;
        }
        *ret_net = net;
        *ret_neigh = n;
        return 0;
}

int control_check(const struct settings *s, struct err *reterr)
{
        struct net *net = NULL;
        struct neigh *n = NULL;
        int r = net_new(s, NULL, &net, &n, reterr);
        free(net);
        free(n);
        return r;
}

static int machines_new(struct control *c, struct err *reterr)
{
        struct siphash_key seed;
        c->backends = aligned_alloc(64, (sizeof *c->backends + 63) / 64 * 64);
        c->prober = calloc(1, sizeof *c->prober);
        if (!c->backends || !c->prober) {
                free(TAKE_PTR(c->backends)); /* not initialised: control_free must not see it */
                return err_set(reterr, ENOMEM, "control", "out of memory");
        }
        memset(c->backends, 0, sizeof *c->backends);
        backends_init(c->backends, c->net, c->neigh);
        int r = random_key(&seed, reterr);
        if (r == 0)
                prober_init(c->prober, c->backends, seed);
        return r;
}

static int dp_new(struct control *c, struct err *reterr)
{
        static const struct dpclient_ops ops = {prepare, activate, abort_pending, endpoints, fill_status};
        const struct settings *s = c->settings;
        Control__Limits limits = CONTROL__LIMITS__INIT;
        limits.max_endpoints = L4_MAX_BACKENDS;
        limits.max_vips = MODEL_MAX_VIPS;
        struct dpclient_conf conf = {.agents = &s->agents,
                                     .state_dir = s->state_dir,
                                     .name = s->name,
                                     .pool = "",
                                     .role = CONTROL__ROLE__ROLE_L4,
                                     .limits = limits,
                                     .version = GH_VERSION};
        int r = dpclient_new(c->loop, &conf, &ops, c, &c->dp, reterr);
        if (r < 0)
                return r;
        struct err e = {0};
        r = dpclient_boot(c->dp, &e);
        if (r < 0 &&
            r != -ENOENT) /* nothing stored is normal; a store that cannot be used is not, but the agent may help */
                log_error("boot_state_unusable", "place=%s reason=%s action=%s", LOG_ESC(e.place), LOG_ESC(e.msg),
                          LOG_ESC("waiting for the agent"));
        return 0;
}

int control_new(const struct settings *s, struct loop *l, struct control **ret, struct err *reterr)
{
        struct control *c = calloc(1, sizeof *c);
        if (!c)
                return err_set(reterr, ENOMEM, "control", "out of memory");
        c->settings = s;
        c->loop = l;
        c->started_ms = loop_now_ms(l);
        notify_init(&c->notify, l, workers_alive, c);
        map_init(&c->services.by_id);
        timer_init(&c->machines, machines_tick);
        timer_init(&c->grace_timer, grace_tick);
        timer_init(&c->links_timer, links_tick);
        int r = ports_open(s, &c->ports, reterr);
        if (r == 0)
                r = net_new(s, &c->ports, &c->net, &c->neigh, reterr);
        if (r == 0)
                r = machines_new(c, reterr);
        if (r == 0)
                r = workers_init(&c->workers, s, &c->ports, l, c->net, c->neigh, c->backends, c->started_ms, reterr);
        if (r == 0) {
                grace_init(&c->grace, c->workers.qs);
                announcer_init(&c->announcer, l, &c->workers, c->net);
                loop_on_wake(l, woken, c);
                r = dp_new(c, reterr);
        }
        if (r < 0) {
                control_free(c);
                return r;
        }
        *ret = c;
        return 0;
}

int control_run(struct control *c, struct err *reterr)
{
        const struct settings *s = c->settings;
        int r = workers_start(&c->workers, reterr);
        if (r == 0 && s->admin[0])
                r = admin_new(c->loop, s->admin, s->uids, s->n_uids, control_queries, c, &c->admin, reterr);
        if (r < 0)
                return r;
        timer_set(loop_timers(c->loop), &c->machines, now_of(c));
        timer_set(loop_timers(c->loop), &c->links_timer, now_of(c) + LINKS_MS);
        log_info("ready", "name=%s workers=%u ports=%zu generation=%" PRIu64, c->settings->name, c->workers.n,
                 c->ports.n, c->active ? c->active->tables->generation : 0);
        notify_ready(&c->notify, "%u workers, %zu ports", c->workers.n, c->ports.n);
        if (s->agents.n)
                dpclient_start(c->dp);
        r = loop_run(c->loop);
        notify_stopping(&c->notify);
        return r < 0 ? err_set(reterr, -r, "loop", "%s", strerror(-r)) : 0;
}

static void services_free(struct service_counters *sc)
{
        map_fini(&sc->by_id);
        for (size_t i = 0; i < sc->n; i++)
                free(sc->ids[i]);
}

void control_free(struct control *c)
{
        if (!c)
                return;
        admin_free(c->admin);
        workers_stop(&c->workers); /* from here nobody reads what is freed below */
        if (c->dp) {
                atomic_store_explicit(&c->workers.active, NULL, memory_order_relaxed);
                grace_fini(&c->grace);
                generation_free(c->pending, now_of(c));
                generation_free(c->active, now_of(c));
                grace_fini(&c->grace);
                dpclient_free(c->dp);
        }
        timer_stop(&c->machines);
        timer_stop(&c->grace_timer);
        timer_stop(&c->links_timer);
        notify_fini(&c->notify);
        if (c->announcer.loop)
                announcer_fini(&c->announcer);
        workers_fini(&c->workers);
        if (c->backends)
                backends_fini(c->backends);
        ports_close(&c->ports);
        services_free(&c->services);
        free(c->prober);
        free(c->backends);
        free(c->neigh);
        free(c->net);
        free(c);
}
