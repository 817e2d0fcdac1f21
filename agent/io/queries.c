/* agent/io/queries.c - see queries.h.  Reads the pipeline's view, writes JSON; changes nothing. */
#include "lib/base.h"
#include "agent/io/queries.h"
#include <inttypes.h>
#include <time.h>

static void key_str(struct json *j, const char *k, const char *v)
{
        json_key(j, k);
        json_str(j, v);
}

static void key_u64(struct json *j, const char *k, uint64_t v)
{
        json_key(j, k);
        json_u64(j, v);
}

static void key_bool(struct json *j, const char *k, bool v)
{
        json_key(j, k);
        json_bool(j, v);
}

static void key_hash(struct json *j, const char *k, const struct manifest *m)
{
        char hex[65] = "";
        if (m)
                sha256_hex(&m->hash, hex);
        key_str(j, k, hex);
}

static void endpoint_health(struct json *j, const Control__Status *s)
{
        json_key(j, "endpoints");
        json_arr(j);
        for (size_t i = 0; i < s->n_endpoints; i++) {
                const Control__EndpointHealth *e = s->endpoints[i];
                json_obj(j);
                key_str(j, "set", e->set);
                key_u64(j, "total", e->total);
                key_u64(j, "ready", e->ready);
                key_u64(j, "version", e->version);
                json_key(j, "down");
                json_arr(j);
                for (size_t k = 0; k < e->n_down; k++)
                        json_str(j, e->down[k]);
                json_end(j);
                json_end(j);
        }
        json_end(j);
}

static void bound_listeners(struct json *j, const Control__Status *s)
{
        json_key(j, "listeners");
        json_arr(j);
        for (size_t i = 0; i < s->n_listeners; i++) {
                const Control__BoundListener *l = s->listeners[i];
                struct ipaddr ip;
                char text[IPADDR_STR_MAX];
                json_obj(j);
                key_str(j, "listener", l->listener);
                key_str(j, "addr", ipaddr_from_bytes(l->addr.data, l->addr.len, &ip) == 0 ? ipaddr_str(&ip, text) : "");
                key_u64(j, "port", l->port);
                key_bool(j, "bound", l->bound);
                key_str(j, "error", l->error);
                json_end(j);
        }
        json_end(j);
        json_key(j, "certificates");
        json_arr(j);
        for (size_t i = 0; i < s->n_certificates; i++) {
                json_obj(j);
                key_str(j, "certificate", s->certificates[i]->certificate);
                json_key(j, "not_after");
                json_i64(j, s->certificates[i]->not_after);
                json_end(j);
        }
        json_end(j);
}

static void data_plane(struct json *j, const struct push_member_view *m)
{
        json_obj(j);
        key_str(j, "name", m->name);
        key_str(j, "role", m->role == CONTROL__ROLE__ROLE_L4 ? "l4" : "l7");
        key_str(j, "pool", m->pool);
        key_bool(j, "connected", m->connected);
        key_str(j, "state", m->state);
        key_bool(j, "late", m->late);
        key_str(j, "peer", m->peer);
        key_str(j, "version", m->version);
        key_u64(j, "generation", m->generation);
        key_hash(j, "hash", m->active);
        key_bool(j, "current", m->connected && m->active && m->target &&
                                       memcmp(m->active->hash.b, m->target->hash.b, sizeof m->active->hash.b) == 0);
        key_str(j, "refused", m->refused);
        json_key(j, "status");
        if (m->status) {
                json_obj(j);
                key_u64(j, "connections", m->status->connections);
                key_u64(j, "requests_total", m->status->requests_total);
                key_u64(j, "packets_total", m->status->packets_total);
                key_bool(j, "draining", m->status->draining);
                endpoint_health(j, m->status);
                bound_listeners(j, m->status);
                json_end(j);
        } else {
                json_nil(j);
        }
        json_end(j);
}

static void quarantined(struct json *j, const struct pipeline_view *v)
{
        json_key(j, "quarantine");
        json_arr(j);
        for (size_t i = 0; i < v->n_quarantine; i++) {
                const struct quarantine *q = &v->quarantine[i];
                json_obj(j);
                key_str(j, "kind", q->kind);
                key_str(j, "namespace", q->namespace);
                key_str(j, "name", q->name);
                key_str(j, "section", q->section);
                key_u64(j, "rule", q->rule);
                json_key(j, "generation");
                json_i64(j, q->generation);
                key_str(j, "reason", q->reason);
                json_end(j);
        }
        json_end(j);
}

static void tiers(struct json *j, const struct pipeline_view *v)
{
        json_key(j, "pools");
        json_arr(j);
        for (size_t i = 0; v->translation && i < v->translation->n_pools; i++) {
                const struct pool_output *p = &v->translation->pools[i];
                json_obj(j);
                key_str(j, "name", p->pool);
                key_hash(j, "hash", p->manifest);
                key_u64(j, "sections", p->manifest->n);
                key_u64(j, "endpoint_sets", p->n_sets);
                json_end(j);
        }
        json_end(j);
        key_hash(j, "l4_hash", v->translation ? v->translation->l4 : NULL);
        json_key(j, "data_planes");
        json_arr(j);
        for (size_t i = 0; i < push_n_members(v->push); i++) {
                struct push_member_view m;
                push_member(v->push, i, &m);
                data_plane(j, &m);
        }
        json_end(j);
}

/* One hash over what all tiers are to serve. */
static void whole_hash(struct json *j, const struct pipeline_view *v)
{
        uint8_t all[64 * SHA256_BYTES];
        size_t n = 0;
        struct sha256 h;
        char hex[65] = "";
        if (v->translation) {
                memcpy(all, v->translation->l4->hash.b, SHA256_BYTES);
                n = SHA256_BYTES;
                for (size_t i = 0; i < v->translation->n_pools; i++) { /* folded when there are many pools */
                        if (n + SHA256_BYTES > sizeof all) {
                                sha256_of(SPAN(all, n), &h);
                                memcpy(all, h.b, SHA256_BYTES);
                                n = SHA256_BYTES;
                        }
                        memcpy(all + n, v->translation->pools[i].manifest->hash.b, SHA256_BYTES);
                        n += SHA256_BYTES;
                }
                sha256_of(SPAN(all, n), &h);
                sha256_hex(&h, hex);
        }
        key_str(j, "hash", hex);
}

static uint64_t uptime_s(void)
{
        static time_t start; /* process-wide by nature; set on first use, in agent_queries_start */
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        if (!start)
                start = ts.tv_sec;
        return (uint64_t)(ts.tv_sec - start);
}

void agent_queries_start(void) { (void)uptime_s(); }

static int q_status(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        struct pipeline_view v;
        pipeline_view(arg, &v);
        json_obj(j);
        key_str(j, "daemon", "agent");
        key_str(j, "name", v.conf->push.agent_name);
        key_str(j, "version", GH_VERSION);
        key_u64(j, "uptime_s", uptime_s());
        key_u64(j, "generation", v.generation);
        whole_hash(j, &v);
        key_str(j, "source", v.source->name);
        if (v.source->ops->state) {
                json_key(j, "source_state");
                v.source->ops->state(v.source, j);
        }
        key_str(j, "source_error", v.source_error);
        key_str(j, "alarm", v.alarm);
        key_str(j, "plan", push_plan_state(v.push));
        key_u64(j, "gateways", v.translation ? v.translation->n_gateways : 0);
        key_u64(j, "routes", v.translation ? v.translation->n_routes : 0);
        quarantined(j, &v);
        tiers(j, &v);
        json_end(j);
        return 0;
}

static void conditions(struct json *j, const struct final_condition *c, size_t n)
{
        json_key(j, "conditions");
        json_arr(j);
        for (size_t i = 0; i < n; i++) {
                char t[32];
                json_obj(j);
                key_str(j, "type", c[i].type);
                key_str(j, "status", c[i].status ? "True" : "False");
                key_str(j, "reason", c[i].reason);
                key_str(j, "message", c[i].message);
                json_key(j, "observed_generation");
                json_i64(j, c[i].generation);
                key_str(j, "since", time_text(c[i].since_s, t));
                json_end(j);
        }
        json_end(j);
}

static void object_head(struct json *j, const struct report_id *id)
{
        json_obj(j);
        key_str(j, "namespace", id->namespace);
        key_str(j, "name", id->name);
        json_key(j, "generation");
        json_i64(j, id->generation);
}

static int q_gateways(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        struct pipeline_view v;
        pipeline_view(arg, &v);
        json_arr(j);
        for (size_t i = 0; v.status && i < v.status->n_gateways; i++) {
                const struct gateway_status *g = &v.status->gateways[i];
                object_head(j, &g->report->id);
                key_str(j, "class", g->report->class_name);
                key_str(j, "pool", g->report->pool);
                json_key(j, "addresses");
                json_arr(j);
                for (size_t k = 0; k < g->report->n_addresses; k++) {
                        char text[IPADDR_STR_MAX];
                        json_str(j, ipaddr_str(&g->report->addresses[k], text));
                }
                json_end(j);
                conditions(j, g->v, g->n);
                json_key(j, "listeners");
                json_arr(j);
                for (size_t k = 0; k < g->n_listeners; k++) {
                        json_obj(j);
                        key_str(j, "name", g->listeners[k].report->name);
                        key_u64(j, "port", g->listeners[k].report->port);
                        key_u64(j, "attached_routes", g->listeners[k].report->attached_routes);
                        conditions(j, g->listeners[k].v, g->listeners[k].n);
                        json_end(j);
                }
                json_end(j);
                json_end(j);
        }
        json_end(j);
        return 0;
}

static void parent_name(struct json *j, const struct report_id *route, const struct parent_ref *p)
{
        char text[800];
        int n = snprintf(text, sizeof text, "%s/%s%s%s", *p->namespace ? p->namespace : route->namespace, p->name,
                         *p->section_name ? "/" : "", p->section_name);
        if (p->port && n > 0 && (size_t)n < sizeof text)
                (void)snprintf(text + n, sizeof text - (size_t)n, ":%u", p->port); /* names are limited to 253 each */
        key_str(j, "parent", text);
}

static int q_routes(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        struct pipeline_view v;
        pipeline_view(arg, &v);
        json_arr(j);
        for (size_t i = 0; v.status && i < v.status->n_routes; i++) {
                const struct route_status *r = &v.status->routes[i];
                object_head(j, &r->report->id);
                key_str(j, "kind", object_kind_str(r->report->id.kind));
                json_key(j, "hostnames");
                json_arr(j);
                for (size_t k = 0; k < r->report->hostnames.n; k++)
                        json_str(j, r->report->hostnames.v[k]);
                json_end(j);
                json_key(j, "parents");
                json_arr(j);
                for (size_t k = 0; k < r->n_parents; k++) {
                        json_obj(j);
                        parent_name(j, &r->report->id, &r->parents[k].report->parent);
                        conditions(j, r->parents[k].v, r->parents[k].n);
                        json_end(j);
                }
                json_end(j);
                json_end(j);
        }
        json_end(j);
        return 0;
}

#define PREFIX "gatehouse_agent_"

static void counters(struct buf *b, const struct metric_desc *d, const metric_t *v, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                metrics_family(b, PREFIX, &d[i], false);
                metrics_sample(b, PREFIX, d[i].name, NULL, metric_get(&v[i]));
        }
}

static void gauges(struct buf *b, const struct pipeline_view *v)
{
        static const struct metric_desc connected = { "data_plane_connected", "1 when the data plane is connected" };
        static const struct metric_desc generation = { "generation", "Generation of the wanted configuration" };
        static const struct metric_desc bad = { "source_bad", "1 when the last load of the source was refused" };
        metrics_family(b, PREFIX, &connected, true);
        for (size_t i = 0; i < push_n_members(v->push); i++) {
                struct push_member_view m;
                CLEANUP(buf_fini) struct buf labels;
                push_member(v->push, i, &m);
                buf_init(&labels, 4096);
                metrics_label(&labels, "name", span_str(m.name));
                metrics_label(&labels, "pool", span_str(m.pool));
                metrics_sample(b, PREFIX, connected.name, buf_cstr(&labels), m.connected);
        }
        metrics_family(b, PREFIX, &generation, true);
        metrics_sample(b, PREFIX, generation.name, NULL, v->generation);
        metrics_family(b, PREFIX, &bad, true);
        metrics_sample(b, PREFIX, bad.name, NULL, *v->source_error != '\0');
}

static int q_metrics(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        struct pipeline_view v;
        CLEANUP(buf_fini) struct buf b;
        pipeline_view(arg, &v);
        buf_init(&b, 1u << 20);
        counters(&b, pipeline_counter_desc, v.counters, PIPELINE_COUNTER_N);
        counters(&b, push_counter_desc, push_counters(v.push), PUSH_COUNTER_N);
        if (v.source->ops->metrics)
                v.source->ops->metrics(v.source, &b);
        gauges(&b, &v);
        if (b.failed)
                return err_set(reterr, ENOMEM, "metrics", "too many");
        json_span(j, buf_span(&b));
        return 0;
}

static int q_help(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        json_obj(j);
        for (const struct admin_query *q = agent_queries; q->name; q++)
                key_str(j, q->name, q->help);
        json_end(j);
        return 0;
}

const struct admin_query agent_queries[] = {
        { "status", "generation, source, data planes with their last STATUS, quarantine", q_status },
        { "gateways", "Gateways of ours: pool, addresses, conditions, listeners", q_gateways },
        { "routes", "Routes of ours: hostnames, parents with conditions", q_routes },
        { "metrics", "Prometheus text", q_metrics },
        { "help", "this", q_help },
        { NULL, NULL, NULL },
};
