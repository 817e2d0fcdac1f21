/* l7gw/io/control.c - see control.h. */
#include "lib/base.h"
#include "l7gw/io/control.h"
#include "l7gw/io/access_log.h"
#include "l7gw/io/report.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/socket.h>

#define ADOPT_WAIT_MS 1000 /* a worker turn is far shorter; ACTIVE is told when all run the new tables */

uint64_t control_sum(const struct control *c, enum worker_counter i)
{
        uint64_t n = 0;
        for (unsigned k = 0; k < c->n_workers; k++)
                n += metric_get(&c->workers[k].counters.v[i]);
        return n;
}

/* ---- configuration ---- */

static void generation_released(void *receiver, struct mail *m)
{
        struct control *c = receiver;
        struct generation *g = CONTAINER_OF(m, struct generation, released);
        const struct model *model = g->model;
        bool active = g == c->active; /* the workers have stopped: the model stays with dpclient */
        generation_free(g);
        c->n_generations--;
        if (active)
                c->active = NULL;
        else
                dpclient_release(c->dp, model);
}

static int prepare(void *arg, const struct model *m, struct model_error *e)
{
        struct control *c = arg;
        BUG_ON(c->pending);
        return generation_build(m, &c->registry, &c->pending, e);
}

static void abort_pending(void *arg)
{
        struct control *c = arg;
        generation_free(TAKE_PTR(c->pending));
}

/* Sockets were bound in prepare; from here on they accept.  listen() fails only if somebody else took the port in
 * between without SO_REUSEPORT: then this bind is reported as not bound, and the rest serves. */
static void binds_listen(struct control *c, const struct generation *g)
{
        for (size_t i = 0; i < g->n_binds; i++) {
                struct bind_rt *b = g->binds[i].rt;
                char text[IPADDR_STR_MAX];
                if (b->listening)
                        continue;
                for (unsigned k = 0; k < c->registry.n_workers; k++)
                        if (listen(b->fds[k], SOMAXCONN) < 0)
                                b->failed = true;
                if (b->failed) {
                        log_error("listen", "addr=%s port=%u error=%s", ipaddr_str(&b->addr, text), b->port,
                                  LOG_ESC(strerror(errno)));
                        registry_bind_retire(&c->registry, b); /* the next generation tries again */
                } else {
                        b->listening = true;
                }
        }
}

static void binds_retire(struct control *c, const struct generation *old, const struct generation *g)
{
        for (size_t i = 0; old && i < old->n_binds; i++)
                if (!generation_bind(g, &old->binds[i].rt->key))
                        registry_bind_retire(&c->registry, old->binds[i].rt);
}

static void plan_note(struct cluster_rt *c, struct balance_plan *plan);
static void set_note(struct set_rt *s, const Model__EndpointSet *m);

static void sets_note(const struct generation *g)
{
        for (size_t i = 0; i < g->n_sets; i++)
                set_note(g->sets[i].rt, g->sets[i].model);
        for (size_t i = 0; i < g->n_clusters; i++)
                if (g->clusters[i].plan)
                        plan_note(g->clusters[i].rt, g->clusters[i].plan);
}

static void adopted_wait(struct control *c)
{
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += ADOPT_WAIT_MS / 1000;
        pthread_mutex_lock(&c->shared.adopt_lock);
        int r = 0;
        while (c->shared.adopted < c->n_workers && r == 0)
                r = pthread_cond_timedwait(&c->shared.adopt_cond, &c->shared.adopt_lock, &until);
        unsigned n = c->shared.adopted;
        pthread_mutex_unlock(&c->shared.adopt_lock);
        if (n < c->n_workers)
                log_warn("adopt_slow", "workers=%u adopted=%u action=going_on", c->n_workers, n);
}

static void activate(void *arg, const struct model *m)
{
        struct control *c = arg;
        struct generation *g = TAKE_PTR(c->pending), *old = c->active;
        BUG_ON(!g || g->model != m);
        g->released.fn = generation_released;
        atomic_store_explicit(&g->workers, c->n_workers, memory_order_release);
        c->n_generations++;
        binds_listen(c, g);
        binds_retire(c, old, g);
        sets_note(g);
        pthread_mutex_lock(&c->shared.adopt_lock);
        c->shared.adopted = 0;
        pthread_mutex_unlock(&c->shared.adopt_lock);
        for (unsigned i = 0; i < c->n_workers; i++)
                worker_post_generation(&c->workers[i], g);
        c->active = g; /* the workers free the old one by letting go of it */
        c->reloads++;
        adopted_wait(c);
        watches_adopt(c->watches, g);
        log_debug("tables", "generation=%" PRIu64 " listeners=%zu rules=%zu clusters=%zu binds=%zu", m->generation,
                  g->n_listeners, g->routes->n_rules, g->n_clusters, g->n_binds);
}

/* ---- endpoints, the fast path ---- */

static void set_update_free(struct control *c, struct set_update *u)
{
        for (size_t i = 0; i < u->n; i++) {
                balance_plan_put(u->plans[i].plan);
                registry_cluster_put(&c->registry, u->plans[i].cluster);
        }
        free(u->plans);
        free(u);
}

static void set_update_done(void *receiver, struct mail *m)
{
        set_update_free(receiver, CONTAINER_OF(m, struct set_update, done));
}

/* A plan for each cluster that uses the set. */
static int set_update_fill(const struct control *c, const struct set_rt *set, const Model__EndpointSet *m, struct set_update *u)
{
        const struct generation *g = c->active;
        uint64_t identity = endpoint_set_identity(m);
        u->plans = calloc((g ? g->n_clusters : 0) + 1, sizeof *u->plans);
        if (!u->plans)
                return -ENOMEM;
        for (size_t i = 0; g && i < g->n_clusters; i++) {
                const struct gen_cluster *cl = &g->clusters[i];
                if (cl->set != set)
                        continue;
                int r = cluster_plan(cl, m, identity, &u->plans[u->n].plan);
                if (r < 0)
                        return r;
                cl->rt->rt.refs++;
                u->plans[u->n++].cluster = cl->rt;
        }
        return 0;
}

static void plan_note(struct cluster_rt *c, struct balance_plan *plan)
{
        balance_plan_put(c->plan);
        c->plan = balance_plan_get(plan);
}

static void set_note(struct set_rt *s, const Model__EndpointSet *m)
{
        s->total = (uint32_t)m->n_endpoints;
        s->version = m->version;
        s->ready = 0;
        for (size_t k = 0; k < m->n_endpoints; k++)
                s->ready += m->endpoints[k]->state == MODEL__ENDPOINT_STATE__ENDPOINT_READY;
}

static void endpoints(void *arg, const Model__EndpointSet *m)
{
        struct control *c = arg;
        struct set_rt *set = registry_set_find(&c->registry, m->id);
        if (!set)
                return;
        struct set_update *u = calloc(1, sizeof *u + c->n_workers * sizeof u->mails[0]);
        int r = u ? set_update_fill(c, set, m, u) : -ENOMEM;
        if (r < 0) {
                log_error("endpoints", "set=%s error=%s action=keeping_old", LOG_ESC(m->id), LOG_ESC(strerror(-r)));
                if (u)
                        set_update_free(c, u);
                return;
        }
        u->done.fn = set_update_done;
        atomic_store_explicit(&u->pending, c->n_workers, memory_order_relaxed); /* the mailbox publishes it */
        set_note(set, m);
        for (size_t i = 0; i < u->n; i++)
                plan_note(u->plans[i].cluster, u->plans[i].plan);
        for (unsigned i = 0; i < c->n_workers; i++)
                worker_post_set(&c->workers[i], u);
        for (size_t i = 0; i < u->n; i++)
                watches_plan(c->watches, u->plans[i].cluster, u->plans[i].plan);
}

/* ---- what is known of endpoints ---- */

static void endpoint_marked(void *arg, struct cluster_rt *cluster, const struct ipaddr *addr, uint16_t port, uint8_t bad)
{
        struct control *c = arg;
        for (unsigned i = 0; i < c->n_workers; i++)
                worker_post_mark(&c->workers[i], cluster, addr, port, bad);
        dpclient_status_changed(c->dp);
}

static void control_streak(void *receiver, struct mail *m)
{
        struct control *c = receiver;
        struct streak_mail *s = CONTAINER_OF(m, struct streak_mail, mail);
        if (c->watches)
                watches_streak(c->watches, s->cluster, &s->addr, s->port, s->what);
        free(s);
}

static void fill_status(void *arg, struct arena *a, Control__Status *st)
{
        report_status(arg, a, st);
}

/* ---- drain ---- */

static void drain_post(struct control *c, enum drain stage)
{
        c->drain = stage;
        struct drain_mail *mails = c->drain_mails + (stage == DRAIN_HARD ? c->n_workers : 0);
        for (unsigned i = 0; i < c->n_workers; i++) {
                mails[i].stage = stage;
                worker_post_drain(&c->workers[i], &mails[i]);
        }
}

static void worker_drained(void *receiver, struct mail *m)
{
        struct control *c = receiver;
        (void)m;
        if (++c->workers_drained == c->n_workers)
                loop_stop(c->loop);
}

/* Health port first, so that l4lb turns new connections away while we still accept; then the listeners; then, after
 * timeouts.drain, whatever is left. */
static void drain_timer(struct timer *t, uint64_t now_ms)
{
        struct control *c = CONTAINER_OF(t, struct control, drain_timer);
        if (c->drain == DRAIN_NONE) {
                log_info("drain", "step=close_listeners connections=%u",
                         atomic_load_explicit(&c->shared.connections, memory_order_relaxed));
                drain_post(c, DRAIN_SOFT);
                timer_set(loop_timers(c->loop), t, now_ms + c->options.drain_ms);
        } else if (c->drain == DRAIN_SOFT) {
                log_warn("drain", "step=cut connections=%u",
                         atomic_load_explicit(&c->shared.connections, memory_order_relaxed));
                drain_post(c, DRAIN_HARD);
        }
}

static void on_signal(void *arg, int signo)
{
        struct control *c = arg;
        if (signo == SIGHUP) {
                access_log_reopen(c->shared.log);
                return;
        }
        if (c->draining) {
                if (c->drain != DRAIN_HARD) /* asked twice: now */
                        drain_post(c, DRAIN_HARD);
                return;
        }
        c->draining = true;
        notify_stopping(&c->notify);
        log_info("drain", "step=close_health signal=%d", signo);
        health_free(TAKE_PTR(c->health));
        dpclient_status_changed(c->dp);
        timer_set(loop_timers(c->loop), &c->drain_timer, loop_now_ms(c->loop) + L7_DRAIN_MOVE_MS);
}

/* ---- life ---- */

static void wake(void *arg)
{
        struct control *c = arg;
        mailbox_run(&c->shared.control_mail, c);
}

static int workers_start(struct control *c, struct err *reterr)
{
        c->workers = aligned_alloc(64, c->options.threads * ((sizeof *c->workers + 63) & ~(size_t)63));
        c->drain_mails = calloc(2 * c->options.threads, sizeof *c->drain_mails);
        if (!c->workers || !c->drain_mails)
                return err_set(reterr, ENOMEM, "workers", "out of memory");
        for (unsigned i = 0; i < c->options.threads; i++) {
                int r = worker_start(&c->workers[i], &c->shared, i);
                if (r < 0)
                        return err_set(reterr, -r, "workers", "cannot start a worker: %s", strerror(-r));
                c->workers[i].drained.fn = worker_drained;
                c->n_workers++;
        }
        return 0;
}

static bool workers_alive(void *arg)
{
        struct control *c = arg;
        bool alive = true;
        for (unsigned i = 0; i < c->n_workers; i++)
                alive &= worker_beat(&c->workers[i]);
        return alive;
}

static int dp_start(struct control *c, struct err *reterr)
{
        static const struct dpclient_ops ops = {prepare, activate, abort_pending, endpoints, fill_status};
        const struct dpclient_conf conf = {
                .agents = &c->options.agents,
                .state_dir = c->options.state_dir,
                .name = c->options.name,
                .pool = c->options.pool,
                .role = CONTROL__ROLE__ROLE_L7,
                .limits = CONTROL__LIMITS__INIT,
                .version = GH_VERSION,
        };
        int r = dpclient_new(c->loop, &conf, &ops, c, &c->dp, reterr);
        if (r < 0)
                return r;
        struct err err = {{0}};
        r = dpclient_boot(c->dp, &err);
        if (r < 0 && r != -ENOENT)
                log_warn("boot", "error=%s action=waiting_for_agent", LOG_ESC(err.msg));
        return 0;
}

int control_start(struct control *c, const char *config_path, struct err *reterr)
{
        static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
        *c = (struct control){.start_ms = 0};
        int r = options_load(config_path, &c->options, reterr);
        if (r < 0)
                return r;
        log_init("l7gw", c->options.log_level);
        (void)signal(SIGPIPE, SIG_IGN); /* a closed log pipe is an error code, not an end */
        c->loop = loop_new();
        if (!c->loop)
                return err_set(reterr, errno, "loop", "%s", strerror(errno));
        c->start_ms = loop_now_ms(c->loop);
        r = loop_signals(c->loop, signals, ARRAY_SIZE(signals), on_signal, c);
        if (r < 0)
                return err_set(reterr, -r, "signals", "%s", strerror(-r));
        loop_on_wake(c->loop, wake, c);
        timer_init(&c->drain_timer, drain_timer);
        notify_init(&c->notify, c->loop, workers_alive, c);
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_mutex_init(&c->shared.adopt_lock, NULL);
        pthread_cond_init(&c->shared.adopt_cond, &attr);
        pthread_condattr_destroy(&attr);
        c->shared.options = &c->options;
        c->shared.control_loop = c->loop;
        if (getrandom(c->shared.ticket_keys, sizeof c->shared.ticket_keys, 0) != (ssize_t)sizeof c->shared.ticket_keys)
                return err_set(reterr, errno, "random", "%s", strerror(errno));
        registry_init(&c->registry, c->options.threads);
        c->shared.streak = control_streak;
        const struct watches_conf watches = {.loop = c->loop, .registry = &c->registry, .mark = endpoint_marked, .arg = c,
                                             .seed = (uint64_t)c->start_ms ^ c->shared.ticket_keys[0]};
        if (watches_new(&watches, &c->watches) < 0)
                return err_set(reterr, ENOMEM, "watches", "out of memory");
        r = access_log_new(c->options.access_log, c->options.threads, &c->shared.log, reterr);
        if (r == 0)
                r = workers_start(c, reterr);
        if (r == 0)
                r = dp_start(c, reterr);
        if (r == 0)
                r = admin_new(c->loop, c->options.admin_socket, NULL, 0, report_queries, c, &c->admin, reterr);
        if (r == 0)
                r = health_new(c->loop, &c->options, &c->health, reterr);
        return r;
}

int control_run(struct control *c)
{
        dpclient_start(c->dp);
        log_info("ready", "name=%s pool=%s threads=%u generation=%" PRIu64, LOG_ESC(c->options.name),
                 LOG_ESC(c->options.pool), c->n_workers, c->active ? c->active->model->generation : 0);
        notify_ready(&c->notify, "serving pool %s", c->options.pool);
        int r = loop_run(c->loop);
        log_info("stopped", "requests=%" PRIu64, control_sum(c, WORKER_REQUESTS));
        return r;
}

void control_stop(struct control *c)
{
        health_free(c->health);
        admin_free(c->admin);
        watches_free(TAKE_PTR(c->watches)); /* while the workers take mail */
        for (unsigned i = 0; i < c->n_workers; i++)
                worker_stop(&c->workers[i]);
        generation_free(c->pending);
        if (c->dp)
                dpclient_flush(c->dp);
        mailbox_run(&c->shared.control_mail, c); /* generations and endpoint sets the workers let go of */
        dpclient_free(c->dp);
        access_log_free(c->shared.log);
        if (c->shared.options)
                registry_fini(&c->registry);
        if (c->loop) {
                notify_fini(&c->notify);
                loop_free(c->loop);
        }
        free(c->workers);
        free(c->drain_mails);
        explicit_bzero(c->shared.ticket_keys, sizeof c->shared.ticket_keys);
        options_fini(&c->options);
}
