/* l7gw/io/report.c - see report.h. */
#include "lib/base.h"
#include "l7gw/io/report.h"
#include "l7gw/io/control.h"
#include "l7gw/io/trace.h"

#include <assert.h>
#include <inttypes.h>

/* ---- STATUS ---- */

static const struct generation *serving(const struct control *c)
{
        return c->active;
}

static void status_listeners(const struct generation *g, struct arena *a, Control__Status *st)
{
        size_t n = 0;
        for (size_t i = 0; i < g->n_binds; i++)
                n += g->binds[i].route->n_listeners;
        st->listeners = arena_calloc(a, n + 1, sizeof *st->listeners);
        for (size_t i = 0; st->listeners && i < g->n_binds; i++) {
                const struct gen_bind *b = &g->binds[i];
                for (size_t k = 0; k < b->route->n_listeners; k++) {
                        Control__BoundListener *l = arena_alloc(a, sizeof *l);
                        if (!l)
                                return;
                        control__bound_listener__init(l);
                        l->listener = b->route->listeners[k]->model->id;
                        l->addr.data = (uint8_t *)(uintptr_t)b->rt->addr.b;
                        l->addr.len = ipaddr_len(&b->rt->addr);
                        l->port = b->rt->port;
                        l->bound = b->rt->listening;
                        if (b->rt->failed)
                                l->error = arena_strdup(a, "the port was taken between PREPARE and ACTIVATE");
                        st->listeners[st->n_listeners++] = l;
                }
        }
}

static void status_endpoints(const struct generation *g, struct arena *a, Control__Status *st)
{
        st->endpoints = arena_calloc(a, g->n_sets + 1, sizeof *st->endpoints);
        for (size_t i = 0; st->endpoints && i < g->n_sets; i++) {
                const struct set_rt *s = g->sets[i].rt;
                Control__EndpointHealth *h = arena_alloc(a, sizeof *h);
                if (!h)
                        return;
                control__endpoint_health__init(h);
                h->set = s->rt.id;
                h->total = s->total;
                h->ready = s->ready;
                h->version = s->version;
                st->endpoints[st->n_endpoints++] = h;
        }
}

static const char *endpoint_text(const struct balance_endpoint *e, char ret[IPADDR_STR_MAX + 10])
{
        char addr[IPADDR_STR_MAX];
        snprintf(ret, IPADDR_STR_MAX + 10, e->addr.af == 6 ? "[%s]:%u" : "%s:%u", ipaddr_str(&e->addr, addr), e->port);
        return ret;
}

static bool has_down(const Control__EndpointHealth *h, const char *text)
{
        for (size_t i = 0; i < h->n_down; i++)
                if (strcmp(h->down[i], text) == 0)
                        return true;
        return false;
}

/* Endpoints that this shard does not choose, by any cluster of their set. */
static void status_down(const struct generation *g, struct arena *a, Control__Status *st)
{
        for (size_t i = 0; i < g->n_clusters; i++) {
                const struct gen_cluster *c = &g->clusters[i];
                const struct judge *j = watch_judge(c->rt);
                size_t at = c->set ? c->set->at : SIZE_MAX;
                if (!j || j->n_unhealthy + j->n_ejected == 0 || at >= st->n_endpoints || strcmp(st->endpoints[at]->set, c->set->rt.id) != 0)
                        continue;
                Control__EndpointHealth *h = st->endpoints[at];
                char **down = arena_calloc(a, h->n_down + j->n_unhealthy + j->n_ejected, sizeof *down);
                if (!down)
                        return;
                if (h->n_down)
                        memcpy(down, h->down, h->n_down * sizeof *down);
                h->down = down;
                for (uint32_t k = 0; k < j->plan->n; k++) {
                        char text[IPADDR_STR_MAX + 10];
                        if (judge_bad(j, k) && !has_down(h, endpoint_text(&j->plan->eps[k], text)) && (down[h->n_down] = arena_strdup(a, text)))
                                h->n_down++;
                }
        }
}

static void status_certificates(const struct generation *g, struct arena *a, Control__Status *st)
{
        const struct model *m = g->model;
        st->certificates = arena_calloc(a, m->n_certificates + 1, sizeof *st->certificates);
        for (size_t i = 0; st->certificates && i < m->n_certificates; i++) {
                Control__CertificateExpiry *e = arena_alloc(a, sizeof *e);
                if (!e)
                        return;
                control__certificate_expiry__init(e);
                e->certificate = m->certificates[i]->id;
                e->not_after = m->certificates[i]->not_after;
                st->certificates[st->n_certificates++] = e;
        }
}

void report_status(struct control *c, struct arena *a, Control__Status *st)
{
        const struct generation *g = serving(c);
        st->connections = atomic_load_explicit(&c->shared.connections, memory_order_relaxed);
        st->requests_total = control_sum(c, WORKER_REQUESTS);
        st->draining = c->draining;
        if (!g)
                return;
        status_listeners(g, a, st);
        status_endpoints(g, a, st);
        status_down(g, a, st);
        status_certificates(g, a, st);
}

/* ---- admin: JSON ---- */

static void field_str(struct json *j, const char *key, const char *v)
{
        json_key(j, key);
        json_str(j, v);
}

static void field_u64(struct json *j, const char *key, uint64_t v)
{
        json_key(j, key);
        json_u64(j, v);
}

static int query_status(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        struct control *c = arg;
        const struct generation *g = serving(c);
        char hex[65] = "";
        (void)argv;
        (void)argc;
        (void)reterr;
        if (g)
                sha256_hex(&g->model->hash, hex);
        json_obj(j);
        field_str(j, "daemon", "l7gw");
        field_str(j, "name", c->options.name);
        field_str(j, "pool", c->options.pool);
        field_str(j, "version", GH_VERSION);
        field_u64(j, "uptime_s", (loop_now_ms(c->loop) - c->start_ms) / 1000);
        field_u64(j, "generation", g ? g->model->generation : 0);
        field_str(j, "hash", hex);
        json_key(j, "agent_connected");
        json_bool(j, dpclient_connected(c->dp));
        json_key(j, "draining");
        json_bool(j, c->draining);
        field_u64(j, "threads", c->n_workers);
        field_u64(j, "connections", atomic_load_explicit(&c->shared.connections, memory_order_relaxed));
        field_u64(j, "requests_total", control_sum(c, WORKER_REQUESTS));
        field_u64(j, "generations_alive", c->n_generations);
        field_u64(j, "activations", c->reloads);
        field_u64(j, "listeners", g ? g->n_listeners : 0);
        field_u64(j, "rules", g ? g->routes->n_rules : 0);
        field_u64(j, "clusters", g ? g->n_clusters : 0);
        field_u64(j, "certificates", g ? g->model->n_certificates : 0);
        json_end(j);
        return 0;
}

static const char *const class_names[6] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

static void classes(struct json *j, const uint64_t v[6])
{
        json_key(j, "responses");
        json_obj(j);
        for (unsigned k = 0; k < 6; k++)
                field_u64(j, class_names[k], v[k]);
        json_end(j);
}

static void listener_sum(const struct control *c, const struct listener_rt *l, uint64_t ret[6])
{
        memset(ret, 0, 6 * sizeof ret[0]);
        for (unsigned i = 0; i < c->n_workers; i++)
                for (unsigned k = 0; k < 6; k++)
                        ret[k] += metric_get(&l->counters[i].by_class[k]);
}

static uint64_t cluster_sum(const struct control *c, const struct cluster_rt *l, uint64_t ret[6])
{
        uint64_t active = 0;
        memset(ret, 0, 6 * sizeof ret[0]);
        for (unsigned i = 0; i < c->n_workers; i++) {
                for (unsigned k = 0; k < 6; k++)
                        ret[k] += metric_get(&l->counters[i].by_class[k]);
                active += metric_get(&l->counters[i].active);
        }
        return active;
}

static int query_listeners(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        struct control *c = arg;
        const struct generation *g = serving(c);
        (void)argv;
        (void)argc;
        (void)reterr;
        json_arr(j);
        for (size_t i = 0; g && i < g->n_binds; i++) {
                const struct gen_bind *b = &g->binds[i];
                char text[IPADDR_STR_MAX];
                for (size_t k = 0; k < b->route->n_listeners; k++) {
                        const struct route_listener *l = b->route->listeners[k];
                        uint64_t v[6];
                        listener_sum(c, g->listeners[l->index].rt, v);
                        json_obj(j);
                        field_str(j, "listener", l->model->id);
                        field_str(j, "address", ipaddr_str(&b->rt->addr, text));
                        field_u64(j, "port", b->rt->port);
                        field_str(j, "protocol",
                                  b->route->protocol == MODEL__LISTENER__PROTOCOL__HTTPS ? "HTTPS" : "HTTP");
                        field_str(j, "hostname", l->model->hostname);
                        json_key(j, "bound");
                        json_bool(j, b->rt->listening);
                        classes(j, v);
                        json_end(j);
                }
        }
        json_end(j);
        return 0;
}

static void members(struct json *j, const struct gen_cluster *c)
{
        const struct balance_plan *p = c->rt->plan;
        const struct judge *judge = watch_judge(c->rt);
        uint32_t draining = p && p->n_tiers ? p->tiers[p->n_tiers - 1].start : 0;
        json_key(j, "members");
        json_arr(j);
        for (uint32_t k = 0; p && k < p->n; k++) {
                uint32_t i = p->order[k];
                char text[IPADDR_STR_MAX + 10];
                bool known = judge && judge->plan == p;
                uint8_t bad = known ? judge_bad(judge, i) : 0;
                json_obj(j);
                field_str(j, "endpoint", endpoint_text(&p->eps[i], text));
                field_str(j, "state", bad & BALANCE_UNHEALTHY ? "unhealthy" : bad & BALANCE_EJECTED ? "ejected" : p->draining && k >= draining ? "draining" : "ready");
                field_str(j, "checked", !known ? "" : judge->v[i].checked ? "yes" : "no");
                field_str(j, "why", bad ? judge->v[i].why : "");
                json_end(j);
        }
        json_end(j);
}

static void breaker_report(struct json *j, const struct gen_cluster *c)
{
        static const char *const names[BREAKER_GATE_N] = {"connections", "pending", "requests", "retries"};
        json_key(j, "breaker");
        json_obj(j);
        for (unsigned g = 0; g < BREAKER_GATE_N; g++) {
                json_key(j, names[g]);
                json_obj(j);
                field_u64(j, "now", atomic_load_explicit(&c->rt->breaker->taken[g], memory_order_relaxed));
                field_u64(j, "max", breaker_max(c->model->breaker, (enum breaker_gate)g));
                json_end(j);
        }
        json_end(j);
}

static int query_clusters(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        struct control *c = arg;
        const struct generation *g = serving(c);
        (void)argv;
        (void)argc;
        (void)reterr;
        json_arr(j);
        for (size_t i = 0; g && i < g->n_clusters; i++) {
                const struct gen_cluster *cl = &g->clusters[i];
                uint64_t v[6], active = cluster_sum(c, cl->rt, v);
                json_obj(j);
                field_str(j, "cluster", cl->model->id);
                field_str(j, "endpoint_set", cl->model->endpoint_set);
                field_u64(j, "endpoints", cl->set ? cl->set->total : 0);
                field_u64(j, "ready", cl->set ? cl->set->ready : 0);
                field_u64(j, "version", cl->set ? cl->set->version : 0);
                field_u64(j, "active", active);
                const struct judge *judge = watch_judge(cl->rt);
                field_u64(j, "unhealthy", judge ? judge->n_unhealthy : 0);
                field_u64(j, "ejected", judge ? judge->n_ejected : 0);
                if (cl->model->breaker)
                        breaker_report(j, cl);
                classes(j, v);
                members(j, cl);
                json_end(j);
        }
        json_end(j);
        return 0;
}

static int query_help(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        (void)arg;
        (void)argv;
        (void)argc;
        (void)reterr;
        json_obj(j);
        for (const struct admin_query *q = report_queries; q->name; q++)
                field_str(j, q->name, q->help);
        json_end(j);
        return 0;
}

/* ---- admin: Prometheus ---- */

#define PREFIX "gatehouse_l7_"
static const struct metric_desc worker_desc[] = METRICS_DESC(WORKER_COUNTERS);
static_assert(ARRAY_SIZE(worker_desc) == WORKER_COUNTER_N, "one row per counter");
static const struct metric_desc watch_desc[] = METRICS_DESC(WATCH_COUNTERS);
static_assert(ARRAY_SIZE(watch_desc) == WATCH_COUNTER_N, "one row per counter");

static void family(struct buf *b, const char *name, const char *help, bool gauge)
{
        const struct metric_desc d = {name, help};
        metrics_family(b, PREFIX, &d, gauge);
}

static void sample2(struct buf *b, const char *name, const char *k1, struct span v1, const char *k2, struct span v2,
                    uint64_t v)
{
        struct buf labels;
        buf_init(&labels, 65536);
        metrics_label(&labels, k1, v1);
        if (k2)
                metrics_label(&labels, k2, v2);
        metrics_sample(b, PREFIX, name, buf_cstr(&labels), v);
        buf_fini(&labels);
}

static void latency_write(const struct control *c, struct buf *b)
{
        static const char *const le[LATENCY_N] = {
#define B(ms) [LATENCY_BUCKET_##ms] = #ms,
                LATENCY_BUCKETS(B)
#undef B
                        [LATENCY_INF] = NULL,
        };
        uint64_t n = 0, sum_us = 0;
        buf_str(b,
                "# HELP " PREFIX "request_duration_ms Time from the request's first bytes to the end of its response\n"
                "# TYPE " PREFIX "request_duration_ms histogram\n");
        for (unsigned i = 0; i < LATENCY_N; i++) {
                for (unsigned k = 0; k < c->n_workers; k++)
                        n += metric_get(&c->workers[k].counters.latency[i]);
                sample2(b, "request_duration_ms_bucket", "le", span_str(le[i] ? le[i] : "+Inf"), NULL, SPAN_NULL, n);
        }
        for (unsigned k = 0; k < c->n_workers; k++)
                sum_us += metric_get(&c->workers[k].counters.latency_sum_us);
        metrics_sample(b, PREFIX, "request_duration_ms_sum", NULL, sum_us / 1000);
        metrics_sample(b, PREFIX, "request_duration_ms_count", NULL, n);
}

static void objects_write(const struct control *c, struct buf *b)
{
        const struct generation *g = serving(c);
        uint64_t v[6];
        family(b, "listener_responses_total", "Responses by listener and class", false);
        for (size_t i = 0; g && i < g->n_listeners; i++) {
                listener_sum(c, g->listeners[i].rt, v);
                for (unsigned k = 0; k < 6; k++)
                        if (v[k])
                                sample2(b, "listener_responses_total", "listener", span_str(g->listeners[i].rt->rt.id),
                                        "class", span_str(class_names[k]), v[k]);
        }
        family(b, "cluster_responses_total", "Upstream responses by cluster and class; none = no response came", false);
        for (size_t i = 0; g && i < g->n_clusters; i++) {
                cluster_sum(c, g->clusters[i].rt, v);
                for (unsigned k = 0; k < 6; k++)
                        if (v[k])
                                sample2(b, "cluster_responses_total", "cluster", span_str(g->clusters[i].rt->rt.id),
                                        "class", span_str(class_names[k]), v[k]);
        }
        family(b, "endpoints_ready", "READY endpoints of a cluster's set", true);
        for (size_t i = 0; g && i < g->n_clusters; i++)
                sample2(b, "endpoints_ready", "cluster", span_str(g->clusters[i].rt->rt.id), NULL, SPAN_NULL,
                        g->clusters[i].set ? g->clusters[i].set->ready : 0);
        family(b, "endpoints_unhealthy", "Endpoints that fail their active checks", true);
        for (size_t i = 0; g && i < g->n_clusters; i++)
                if (watch_judge(g->clusters[i].rt))
                        sample2(b, "endpoints_unhealthy", "cluster", span_str(g->clusters[i].rt->rt.id), NULL, SPAN_NULL, watch_judge(g->clusters[i].rt)->n_unhealthy);
        family(b, "endpoints_ejected", "Endpoints ejected because of their answers", true);
        for (size_t i = 0; g && i < g->n_clusters; i++)
                if (watch_judge(g->clusters[i].rt))
                        sample2(b, "endpoints_ejected", "cluster", span_str(g->clusters[i].rt->rt.id), NULL, SPAN_NULL, watch_judge(g->clusters[i].rt)->n_ejected);
        family(b, "certificate_not_after_seconds", "Expiry of a certificate, Unix time", true);
        for (size_t i = 0; g && i < g->model->n_certificates; i++)
                sample2(b, "certificate_not_after_seconds", "certificate", span_str(g->model->certificates[i]->id),
                        NULL, SPAN_NULL, (uint64_t)MAX(g->model->certificates[i]->not_after, (int64_t)0));
}

static void metrics_write(const struct control *c, struct buf *b)
{
        uint64_t streams = 0;
        for (unsigned i = 0; i < WORKER_COUNTER_N; i++) {
                metrics_family(b, PREFIX, &worker_desc[i], false);
                metrics_sample(b, PREFIX, worker_desc[i].name, NULL, control_sum(c, (enum worker_counter)i));
        }
        for (unsigned i = 0; i < WATCH_COUNTER_N; i++) {
                metrics_family(b, PREFIX, &watch_desc[i], false);
                metrics_sample(b, PREFIX, watch_desc[i].name, NULL, watches_count(c->watches, (enum watch_counter)i));
        }
        family(b, "local_replies_total", "Requests this shard answered or cut itself, by reason", false);
        for (unsigned r = REASON_NONE + 1; r < REASON_N; r++) {
                uint64_t n = 0;
                for (unsigned k = 0; k < c->n_workers; k++)
                        n += metric_get(&c->workers[k].counters.reasons[r]);
                sample2(b, "local_replies_total", "reason", span_str(reason_word((enum reason)r)), NULL, SPAN_NULL, n);
        }
        for (unsigned k = 0; k < c->n_workers; k++)
                streams += metric_get(&c->workers[k].counters.streams);
        family(b, "connections", "Client connections open", true);
        metrics_sample(b, PREFIX, "connections", NULL,
                       atomic_load_explicit(&c->shared.connections, memory_order_relaxed));
        family(b, "streams", "Requests in progress", true);
        metrics_sample(b, PREFIX, "streams", NULL, streams);
        family(b, "generation", "Active configuration", true);
        metrics_sample(b, PREFIX, "generation", NULL, serving(c) ? serving(c)->model->generation : 0);
        latency_write(c, b);
        objects_write(c, b);
}

static int query_metrics(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        struct buf b;
        (void)argv;
        (void)argc;
        buf_init(&b, 16u << 20);
        metrics_write(arg, &b);
        int r = b.failed ? err_set(reterr, ENOMEM, "metrics", "more than 16 MiB of metrics") : 0;
        if (r == 0)
                json_span(j, buf_span(&b));
        buf_fini(&b);
        return r;
}

const struct admin_query report_queries[] = {
        {"status", "the shard in one object", query_status},
        {"listeners", "addresses, host names, responses by class", query_listeners},
        {"clusters", "endpoints, responses by class", query_clusters},
        {"metrics", "Prometheus text", query_metrics},
        {"trace", "METHOD URL [NAME:VALUE...]: where that request would go, and why", query_trace},
        {"help", "this list", query_help},
        {NULL, NULL, NULL},
};
