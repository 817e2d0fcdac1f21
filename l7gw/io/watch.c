/* l7gw/io/watch.c - see watch.h. */
#include "lib/base.h"
#include "l7gw/io/watch.h"
#include "l7gw/io/probe.h"
#include "lib/io/log.h"

struct watched { /* one endpoint */
        struct watch *w;
        uint32_t i; /* in the plan */
        struct timer timer;
        struct probe *probe; /* NULL: none under way */
};
struct watch {
        struct watches *ws;
        struct watch *next, **pprev;
        struct cluster_rt *cluster;
        struct judge judge;
        struct watched **v;          /* by index in the plan; NULL entries without checks */
        Model__HealthCheck *check;   /* a copy; NULL: none */
        struct tls_upstream *tls;    /* a reference */
        unsigned proxy_version;
        bool ejects;
        Model__Outlier outlier;      /* numbers only */
        struct timer eject_timer;
        uint64_t epoch;
};
struct watches {
        struct watches_conf conf;
        struct watch *all;
        struct chunk_pool chunks;
        uint8_t *scratch;
        uint64_t epoch, rnd;
        size_t n_probes;
        struct log_limit limit;
        uint64_t counters[WATCH_COUNTER_N];
};

static uint64_t random_next(struct watches *ws)
{
        return balance_mix(++ws->rnd);
}

/* ---- verdicts ---- */

static void tell(struct watch *w, uint32_t i)
{
        const struct balance_endpoint *e = &w->judge.plan->eps[i];
        char addr[IPADDR_STR_MAX];
        uint32_t suppressed;
        uint8_t bad = judge_bad(&w->judge, i);
        w->ws->conf.mark(w->ws->conf.arg, w->cluster, &e->addr, e->port, bad);
        if (log_permit(&w->ws->limit, 20, 10000, &suppressed))
                log_info("endpoint", "cluster=%s endpoint=%s port=%u unhealthy=%d ejected=%d why=%s suppressed=%u", LOG_ESC(w->cluster->rt.id),
                         ipaddr_str(&e->addr, addr), e->port, !!(bad & BALANCE_UNHEALTHY), !!(bad & BALANCE_EJECTED), LOG_ESC(w->judge.v[i].why), suppressed);
}

static void eject_timer_set(struct watch *w)
{
        uint64_t next = judge_next_ms(&w->judge);
        if (next)
                timer_set(loop_timers(w->ws->conf.loop), &w->eject_timer, next);
        else
                timer_stop(&w->eject_timer);
}

static void on_eject_timer(struct timer *t, uint64_t now_ms)
{
        struct watch *w = CONTAINER_OF(t, struct watch, eject_timer);
        for (uint32_t i = 0; i < w->judge.plan->n; i++)
                if (judge_return(&w->judge, i, now_ms))
                        tell(w, i);
        eject_timer_set(w);
}

/* ---- checks ---- */

static void check_again(struct watched *e, uint64_t in_ms)
{
        struct loop *l = e->w->ws->conf.loop;
        timer_set(loop_timers(l), &e->timer, loop_now_ms(l) + in_ms);
}

static void on_done(void *arg, bool ok, const char *why)
{
        struct watched *e = arg;
        struct watch *w = e->w;
        struct watches *ws = w->ws;
        uint32_t interval = w->check->interval_ms;
        e->probe = NULL;
        ws->n_probes--;
        ws->counters[WATCH_CHECKS]++;
        ws->counters[WATCH_FAILED] += !ok;
        if (judge_check(&w->judge, e->i, ok, why, w->check->rise, w->check->fall)) {
                ws->counters[WATCH_DOWN] += w->judge.v[e->i].unhealthy;
                tell(w, e->i);
        }
        check_again(e, interval - interval / 10 + random_next(ws) % (interval / 5 + 1)); /* nobody's checks march in step */
}

static void on_timer(struct timer *t, uint64_t now_ms)
{
        struct watched *e = CONTAINER_OF(t, struct watched, timer);
        struct watch *w = e->w;
        struct watches *ws = w->ws;
        const struct balance_endpoint *ep = &w->judge.plan->eps[e->i];
        const struct probe_conf conf = {.loop = ws->conf.loop,
                                        .chunks = &ws->chunks,
                                        .scratch = ws->scratch,
                                        .check = w->check,
                                        .tls = w->check->type == MODEL__HEALTH_CHECK_TYPE__HC_HTTP ? NULL : w->tls,
                                        .proxy_version = w->proxy_version,
                                        .addr = ep->addr,
                                        .port = ep->port,
                                        .done = on_done,
                                        .arg = e};
        (void)now_ms;
        if (ws->n_probes < L7_PROBES && probe_start(&conf, &e->probe) == 0) {
                ws->n_probes++;
                return;
        }
        ws->counters[WATCH_NOT_MADE] += ws->n_probes < L7_PROBES;
        check_again(e, L7_PROBE_PAUSE_MS); /* not the endpoint's fault */
}

static void watched_free(struct watched *e)
{
        if (!e)
                return;
        if (e->probe) {
                e->w->ws->n_probes--;
                probe_cancel(e->probe);
        }
        timer_stop(&e->timer);
        free(e);
}

/* ---- a watch ---- */

static void checks_stop(struct watch *w)
{
        for (uint32_t i = 0; w->judge.plan && i < w->judge.plan->n; i++) {
                watched_free(w->v[i]);
                w->v[i] = NULL;
        }
}

/* Those that have none get their first one at once: until then an endpoint is believed. */
static void checks_start(struct watch *w)
{
        for (uint32_t i = 0; w->check && i < w->judge.plan->n; i++) {
                if (w->v[i])
                        continue;
                struct watched *e = calloc(1, sizeof *e);
                if (!e) {
                        w->ws->counters[WATCH_NOT_MADE]++;
                        continue;
                }
                *e = (struct watched){.w = w, .i = i};
                timer_init(&e->timer, on_timer);
                w->v[i] = e;
                check_again(e, random_next(w->ws) % MIN(w->check->interval_ms, 50u));
        }
}

static void watch_free(struct watch *w)
{
        for (uint32_t i = 0; w->judge.plan && i < w->judge.plan->n; i++)
                if (judge_bad(&w->judge, i))
                        w->ws->conf.mark(w->ws->conf.arg, w->cluster, &w->judge.plan->eps[i].addr, w->judge.plan->eps[i].port, 0);
        checks_stop(w);
        timer_stop(&w->eject_timer);
        judge_fini(&w->judge);
        free(w->v);
        if (w->check)
                model__health_check__free_unpacked(w->check, NULL);
        if (w->tls)
                tls_upstream_put(&w->ws->conf.registry->tls, w->tls);
        *w->pprev = w->next;
        if (w->next)
                w->next->pprev = w->pprev;
        w->cluster->watch = NULL;
        free(w);
}

/* Out of memory: the old endpoints are watched on. */
static void plan_take(struct watch *w, struct balance_plan *plan)
{
        struct balance_plan *old = w->judge.plan;
        if (old && old->identity == plan->identity)
                return;
        struct watched **v = calloc(plan->n + 1, sizeof *v);
        if (old)
                balance_plan_get(old);
        if (!v || judge_adopt(&w->judge, plan) < 0) {
                free(v);
                balance_plan_put(old);
                return;
        }
        for (uint32_t i = 0; old && i < old->n; i++) {
                uint32_t now = balance_plan_by_token(plan, old->eps[i].token);
                if (now == BALANCE_NONE) {
                        watched_free(w->v[i]);
                } else if (w->v[i]) {
                        v[now] = w->v[i];
                        v[now]->i = now;
                }
        }
        balance_plan_put(old);
        free(w->v);
        w->v = v;
        eject_timer_set(w);
        checks_start(w);
}

static Model__HealthCheck *check_copy(const Model__HealthCheck *h)
{
        size_t n = model__health_check__get_packed_size(h);
        uint8_t *p = malloc(n + 1);
        Model__HealthCheck *copy = NULL;
        if (p) {
                model__health_check__pack(h, p);
                copy = model__health_check__unpack(NULL, n, p);
        }
        free(p);
        return copy;
}

static bool checks_equal(const Model__HealthCheck *a, const Model__HealthCheck *b)
{
        if (!a || !b)
                return a == b;
        size_t n = model__health_check__get_packed_size(a), k = model__health_check__get_packed_size(b);
        uint8_t *p = malloc(n + k + 1);
        bool same = p && n == k;
        if (same) {
                model__health_check__pack(a, p);
                model__health_check__pack(b, p + n);
                same = memcmp(p, p + n, n) == 0;
        }
        free(p);
        return same;
}

static const Model__HealthCheck *check_of(const Model__Cluster *c)
{
        return c->health_check && c->health_check->type != MODEL__HEALTH_CHECK_TYPE__HC_NONE ? c->health_check : NULL;
}

/* What the checks are made by; a change begins them anew, verdicts stay. */
static void check_take(struct watch *w, const struct gen_cluster *c)
{
        const Model__HealthCheck *h = check_of(c->model);
        Model__ProxyProtocol proxy = c->model->proxy_protocol;
        unsigned version = proxy == MODEL__PROXY_PROTOCOL__PROXY_V1 ? 1 : proxy == MODEL__PROXY_PROTOCOL__PROXY_V2 ? 2 : 0;
        if (checks_equal(w->check, h) && w->tls == c->tls && w->proxy_version == version)
                return;
        checks_stop(w);
        if (w->check)
                model__health_check__free_unpacked(w->check, NULL);
        w->check = h ? check_copy(h) : NULL;
        if (c->tls)
                c->tls->refs++;
        if (w->tls)
                tls_upstream_put(&w->ws->conf.registry->tls, w->tls);
        w->tls = c->tls;
        w->proxy_version = version;
        for (uint32_t i = 0; !w->check && w->judge.plan && i < w->judge.plan->n; i++) /* nobody would ever call it healthy again */
                if (judge_check(&w->judge, i, true, "", 1, 1) && !w->judge.v[i].unhealthy)
                        tell(w, i);
        if (w->judge.plan)
                checks_start(w);
}

static struct watch *watch_new(struct watches *ws, struct cluster_rt *c)
{
        struct watch *w = calloc(1, sizeof *w);
        if (!w)
                return NULL;
        *w = (struct watch){.ws = ws, .cluster = c, .next = ws->all, .pprev = &ws->all};
        timer_init(&w->eject_timer, on_eject_timer);
        if (w->next)
                w->next->pprev = &w->next;
        ws->all = w;
        c->watch = w;
        return w;
}

/* ---- all of them ---- */

void watches_adopt(struct watches *ws, const struct generation *g)
{
        ws->epoch++;
        for (size_t i = 0; i < g->n_clusters; i++) {
                const struct gen_cluster *c = &g->clusters[i];
                if (!c->plan || (!check_of(c->model) && !c->model->outlier))
                        continue;
                struct watch *w = c->rt->watch ? c->rt->watch : watch_new(ws, c->rt);
                if (!w) {
                        log_error("watch", "cluster=%s error=out_of_memory action=not_watching", LOG_ESC(c->model->id));
                        continue;
                }
                w->epoch = ws->epoch;
                w->ejects = c->model->outlier != NULL;
                if (w->ejects)
                        w->outlier = (Model__Outlier){.eject_ms = c->model->outlier->eject_ms, .max_eject_pct = c->model->outlier->max_eject_pct};
                check_take(w, c);
                plan_take(w, c->plan);
        }
        for (struct watch *w = ws->all, *next; w; w = next) {
                next = w->next;
                if (w->epoch != ws->epoch)
                        watch_free(w);
        }
}

void watches_plan(struct watches *ws, struct cluster_rt *c, struct balance_plan *plan)
{
        (void)ws;
        if (c->watch)
                plan_take(c->watch, plan);
}

void watches_streak(struct watches *ws, struct cluster_rt *c, const struct ipaddr *addr, uint16_t port, enum balance_result what)
{
        static const char *const why[] = {
                [BALANCE_OK] = "", [BALANCE_ERROR] = "5xx in a row", [BALANCE_GATEWAY] = "502, 503 or 504 in a row", [BALANCE_LOCAL] = "no answers in a row"};
        struct watch *w = c->watch;
        uint32_t i = w && w->ejects ? balance_plan_find(w->judge.plan, addr, port) : BALANCE_NONE;
        if (i == BALANCE_NONE || w->judge.v[i].ejected_until_ms)
                return; /* another worker was faster, or the endpoint has gone */
        if (!judge_eject(&w->judge, i, &w->outlier, why[what], loop_now_ms(ws->conf.loop))) {
                ws->counters[WATCH_NOT_EJECTED]++;
                return;
        }
        ws->counters[WATCH_EJECTIONS]++;
        tell(w, i);
        eject_timer_set(w);
}

const struct judge *watch_judge(const struct cluster_rt *c)
{
        return c->watch ? &c->watch->judge : NULL;
}

uint64_t watches_count(const struct watches *ws, enum watch_counter i)
{
        return ws->counters[i];
}

int watches_new(const struct watches_conf *conf, struct watches **ret)
{
        struct watches *ws = calloc(1, sizeof *ws);
        if (!ws)
                return -ENOMEM;
        ws->conf = *conf;
        ws->rnd = conf->seed;
        chunk_pool_init(&ws->chunks);
        ws->scratch = malloc(L7_SCRATCH_BYTES);
        if (!ws->scratch) {
                free(ws);
                return -ENOMEM;
        }
        *ret = ws;
        return 0;
}

void watches_free(struct watches *ws)
{
        if (!ws)
                return;
        while (ws->all)
                watch_free(ws->all);
        chunk_pool_fini(&ws->chunks);
        free(ws->scratch);
        free(ws);
}
