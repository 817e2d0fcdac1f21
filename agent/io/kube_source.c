/* agent/io/kube_source.c - a Kubernetes API server as source: one reflector per kind in, status patches out.
 *
 *   reflectors -> put, del -> pipeline -> statuses -> status_kube -> PATCH
 *        \-> status seen -> status_kube (to compare with), at start also: transition times, addresses
 *
 * Reads and status writes have connections of their own, so that neither waits for the other.  Nothing is made of the
 * objects before each kind has been listed and the version of the Gateway API's CRDs was asked for. */
#include "lib/base.h"
#include "agent/core/json_node.h"
#include "agent/core/status_read.h"
#include "agent/core/watch_event.h"
#include "agent/io/kube_limits.tbl.h"
#include "agent/io/reflector.h"
#include "agent/io/source.h"
#include "agent/io/status_kube.h"
#include "lib/core/metrics.h"
#include "lib/io/log.h"
#include <inttypes.h>

#define GATEWAY_API "/apis/gateway.networking.k8s.io/"
#define GATEHOUSE_API "/apis/" GATEHOUSE_GROUP "/"
#define CRD_PATH "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gateways.gateway.networking.k8s.io"
#define CRD_METADATA "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json"
#define VERSION_ANNOTATION "gateway.networking.k8s.io/bundle-version"
#define METRIC_PREFIX "gatehouse_agent_"

/* What is mirrored.  ReferenceGrant by v1beta1, which every release since v0.6 serves. */
static const struct { enum object_kind kind; const char *path, *selector; } mirrored[] = {
        { OBJECT_GATEWAY_CLASS, GATEWAY_API "v1/gatewayclasses", "" },
        { OBJECT_GATEWAY, GATEWAY_API "v1/gateways", "" },
        { OBJECT_LISTENER_SET, GATEWAY_API "v1/listenersets", "" },
        { OBJECT_HTTP_ROUTE, GATEWAY_API "v1/httproutes", "" },
        { OBJECT_GRPC_ROUTE, GATEWAY_API "v1/grpcroutes", "" },
        { OBJECT_TLS_ROUTE, GATEWAY_API "v1/tlsroutes", "" },
        { OBJECT_TCP_ROUTE, GATEWAY_API "v1/tcproutes", "" },
        { OBJECT_UDP_ROUTE, GATEWAY_API "v1/udproutes", "" },
        { OBJECT_BACKEND_TLS_POLICY, GATEWAY_API "v1/backendtlspolicies", "" },
        { OBJECT_BACKEND_POLICY, GATEHOUSE_API "v1alpha1/backendpolicies", "" },
        { OBJECT_CLIENT_POLICY, GATEHOUSE_API "v1alpha1/clientpolicies", "" },
        { OBJECT_REFERENCE_GRANT, GATEWAY_API "v1beta1/referencegrants", "" },
        { OBJECT_SERVICE, "/api/v1/services", "" },
        { OBJECT_ENDPOINT_SLICE, "/apis/discovery.k8s.io/v1/endpointslices", "" },
        { OBJECT_SECRET, "/api/v1/secrets", "fieldSelector=type%3Dkubernetes.io%2Ftls" },
        { OBJECT_CONFIG_MAP, "/api/v1/configmaps", "" },
        { OBJECT_NAMESPACE, "/api/v1/namespaces", "" },
};
#define N_MIRRORED ARRAY_SIZE(mirrored)

struct kube_source {
        struct source s;
        struct loop *loop;
        const struct settings *conf;
        const struct source_events *ev;
        void *arg;
        struct status_memory *memory;
        struct kubeconfig *k;
        struct api_client *reads, *writes;
        struct reflector *reflectors[N_MIRRORED];
        struct status_kube *status;
        struct status_kube_conf status_conf;
        struct arena boot;              /* grants, until the first translation */
        struct vip_grants grants;
        size_t n_synced;
        bool ready, version_asked;
        char version[64];
        struct api_request *version_request;
        struct timer version_timer;
};

static void check_ready(struct kube_source *s)
{
        if (s->ready || s->n_synced < N_MIRRORED || !s->version_asked)
                return;
        s->ready = true;
        s->s.held = s->grants.v;
        s->s.n_held = s->grants.n;
        log_info("source_synced", "server=%s version=%s", LOG_ESC(s->k->server), LOG_ESC(s->version));
        s->ev->ready(s->arg);
}

/* ---- objects */

/* What the status says that was there before us. */
static void read_back(struct kube_source *s, const struct object *o, const char *status)
{
        CLEANUP(arena_fini) struct arena a;
        struct node *n;
        struct err e = { 0 };
        arena_init(&a, 16 * 1024, KUBE_TREE_BYTES);
        int r = json_node_read(span_str(status), "status", &a, &n, &e);
        if (r == 0)
                r = status_read(o->kind, o->namespace, o->name, s->conf->translate.controller_name, n, s->memory, &s->boot, &s->grants);
        if (r < 0)
                log_warn("status_unreadable", "kind=%s object=%s/%s errno=%d will=\"write it anew\"", object_kind_str(o->kind),
                         LOG_ESC(o->namespace), LOG_ESC(o->name), -r);
}

static void on_put(void *arg, struct object *o, char *status)
{
        struct kube_source *s = arg;
        if (status_kube_kind(o->kind)) {
                if (status && !s->ready)
                        read_back(s, o, status);
                status_kube_seen(s->status, o, status);
        } else {
                free(status);
        }
        s->ev->put(s->arg, o);
}

static void on_del(void *arg, enum object_kind k, const char *ns, const char *name)
{
        struct kube_source *s = arg;
        if (status_kube_kind(k))
                status_kube_gone(s->status, k, ns, name);
        s->ev->del(s->arg, k, ns, name);
}

static void on_synced(void *arg, enum object_kind k)
{
        struct kube_source *s = arg;
        s->n_synced++;
        check_ready(s);
}

/* ---- the version of the Gateway API's CRDs */

static void version_set(struct kube_source *s, const struct api_reply *r)
{
        CLEANUP(arena_fini) struct arena a;
        struct node *n;
        struct span v = { 0 };
        char was[sizeof s->version];
        arena_init(&a, 64 * 1024, KUBE_TREE_BYTES);
        memcpy(was, s->version, sizeof was);
        if (r->error == 0 && r->status == 200 && json_node_read(r->body, "crd", &a, &n, NULL) == 0)
                v = node_text(node_get(node_get(n, "metadata"), "annotations"), VERSION_ANNOTATION);
        else if (s->version_asked)
                return; /* it is there, only we cannot see it now */
        (void)snprintf(s->version, sizeof s->version, "%.*s", SPAN_FMT(v)); /* cut: then it is no version we know */
        if (s->ready && strcmp(was, s->version) != 0) {
                log_info("crd_version", "version=%s was=%s", LOG_ESC(s->version), LOG_ESC(was));
                s->ev->ready(s->arg);
        }
}

static void on_version(void *arg, const struct api_reply *r)
{
        struct kube_source *s = arg;
        s->version_request = NULL;
        version_set(s, r);
        bool answered = r->status == 200 || r->status == 403 || r->status == 404;
        if (!answered)
                log_warn("api_failed", "request=crd status=%d why=%s", r->status, LOG_ESC(r->why));
        s->version_asked |= answered;
        timer_set(loop_timers(s->loop), &s->version_timer, loop_now_ms(s->loop) + (answered ? KUBE_VERSION_MS : s->conf->kube.retry_ms));
        check_ready(s);
}

static void ask_version(struct timer *t, uint64_t now_ms)
{
        struct kube_source *s = CONTAINER_OF(t, struct kube_source, version_timer);
        const struct api_call call = { .method = "GET", .path = CRD_PATH, .accept = CRD_METADATA, .deadline_ms = KUBE_REPLY_MS,
                                       .max_body = KUBE_REPLY_BYTES, .done = on_version, .arg = s };
        if (api_call_start(s->reads, &call, &s->version_request) < 0) {
                s->version_request = NULL;
                timer_set(loop_timers(s->loop), t, now_ms + s->conf->kube.retry_ms);
        }
}

/* ---- as a source */

static struct kube_source *kube_of(const struct source *s)
{
        return CONTAINER_OF((struct source *)(uintptr_t)s, struct kube_source, s);
}

static int kube_write(struct source *s, const struct status_doc *docs, size_t n)
{
        return status_kube_write(kube_of(s)->status, docs, n);
}

static void kube_state(const struct source *src, struct json *j)
{
        const struct kube_source *s = kube_of(src);
        json_obj(j);
        json_key(j, "server");
        json_str(j, s->k->server);
        json_key(j, "crd_version");
        json_str(j, s->version);
        json_key(j, "synced");
        json_bool(j, s->ready);
        json_key(j, "statuses_queued");
        json_u64(j, status_kube_queued(s->status));
        json_key(j, "kinds");
        json_arr(j);
        for (size_t i = 0; i < N_MIRRORED; i++) {
                struct reflector_view v;
                reflector_view(s->reflectors[i], &v);
                json_obj(j);
                json_key(j, "kind");
                json_str(j, object_kind_str(v.kind));
                json_key(j, "state");
                json_str(j, v.state);
                json_key(j, "synced");
                json_bool(j, v.synced);
                json_key(j, "objects");
                json_u64(j, v.objects);
                json_key(j, "quiet_ms");
                json_u64(j, v.quiet_ms);
                json_key(j, "error");
                json_str(j, v.why);
                json_end(j);
        }
        json_end(j);
        json_end(j);
}

static void kube_metrics(const struct source *src, struct buf *b)
{
        static const struct metric_desc by_kind[] = METRICS_DESC(REFLECTOR_COUNTERS);
        static const struct metric_desc of_status[] = METRICS_DESC(STATUS_KUBE_COUNTERS);
        static const struct metric_desc synced = { "kube_synced", "1 when the kind has been listed completely" };
        const struct kube_source *s = kube_of(src);
        struct reflector_view v[N_MIRRORED];
        char labels[N_MIRRORED][64];
        for (size_t i = 0; i < N_MIRRORED; i++) {
                reflector_view(s->reflectors[i], &v[i]);
                (void)snprintf(labels[i], sizeof labels[i], "kind=\"%s\"", object_kind_str(v[i].kind)); /* kinds are short */
        }
        for (size_t k = 0; k < REFLECTOR_COUNTER_N; k++) {
                metrics_family(b, METRIC_PREFIX, &by_kind[k], false);
                for (size_t i = 0; i < N_MIRRORED; i++)
                        metrics_sample(b, METRIC_PREFIX, by_kind[k].name, labels[i], v[i].counters[k]);
        }
        metrics_family(b, METRIC_PREFIX, &synced, true);
        for (size_t i = 0; i < N_MIRRORED; i++)
                metrics_sample(b, METRIC_PREFIX, synced.name, labels[i], v[i].synced);
        for (size_t k = 0; k < STATUS_KUBE_COUNTER_N; k++) {
                metrics_family(b, METRIC_PREFIX, &of_status[k], false);
                metrics_sample(b, METRIC_PREFIX, of_status[k].name, NULL, status_kube_counters(s->status)[k]);
        }
}

static void kube_free(struct source *src)
{
        struct kube_source *s = kube_of(src);
        for (size_t i = 0; i < N_MIRRORED; i++)
                reflector_free(s->reflectors[i]);
        api_request_cancel(s->version_request);
        timer_stop(&s->version_timer);
        status_kube_free(s->status);
        api_client_free(s->reads);
        api_client_free(s->writes);
        kubeconfig_free(s->k);
        arena_fini(&s->boot);
        free(s);
}

static const struct source_ops ops = { .write = kube_write, .state = kube_state, .metrics = kube_metrics, .free = kube_free };

int kube_credentials(const struct kube_conf *conf, struct kubeconfig **ret, struct err *reterr)
{
        return *conf->kubeconfig ? kubeconfig_load(conf->kubeconfig, conf->context, ret, reterr) : kubeconfig_of_pod(KUBECONFIG_POD_DIR, ret, reterr);
}

static int start(struct kube_source *s, struct err *reterr)
{
        static const struct reflector_ops reflector_ops = { .put = on_put, .del = on_del, .synced = on_synced };
        const struct kube_conf *conf = &s->conf->kube;
        int r = kube_credentials(conf, &s->k, reterr);
        if (r < 0)
                return r;
        s->s.name = s->k->server;
        if (s->k->insecure)
                log_warn("api_server_unverified", "server=%s why=%s", LOG_ESC(s->k->server),
                         LOG_ESC("insecure-skip-tls-verify is set: anyone on the path can read our secrets and program our data planes"));
        r = api_client_new(s->loop, s->k, "reads", &s->reads, reterr);
        if (r == 0)
                r = api_client_new(s->loop, s->k, "writes", &s->writes, reterr);
        if (r < 0)
                return r;
        s->status_conf = (struct status_kube_conf){ s->conf->translate.controller_name, conf->qps, conf->burst, conf->retry_ms };
        s->status = status_kube_new(s->loop, s->writes, &s->status_conf);
        BUG_ON(!s->status); /* boot */
        for (size_t i = 0; r == 0 && i < N_MIRRORED; i++) {
                const struct reflector_conf rc = { .kind = mirrored[i].kind, .path = mirrored[i].path, .selector = mirrored[i].selector,
                                                   .with_status = status_kube_kind(mirrored[i].kind), .optional = object_is_ours(mirrored[i].kind), .page = conf->page, .retry_ms = conf->retry_ms };
                r = reflector_new(s->loop, s->reads, &rc, &reflector_ops, s, &s->reflectors[i]);
        }
        ask_version(&s->version_timer, loop_now_ms(s->loop));
        return r < 0 ? err_set(reterr, -r, s->k->server, "cannot begin: %s", strerror(-r)) : 0;
}

int kube_source_new(struct loop *l, const struct settings *conf, struct status_memory *m, const struct source_events *ev, void *arg,
                    struct source **ret, struct err *reterr)
{
        struct kube_source *s = calloc(1, sizeof *s);
        BUG_ON(!s); /* boot */
        *s = (struct kube_source){ .s = { .ops = &ops, .name = "kubernetes" }, .loop = l, .conf = conf, .ev = ev, .arg = arg, .memory = m };
        s->s.bundle_version = s->version;
        arena_init(&s->boot, 16 * 1024, SIZE_MAX); /* bounded by the Gateways */
        timer_init(&s->version_timer, ask_version);
        int r = start(s, reterr);
        if (r < 0) {
                kube_free(&s->s);
                return r;
        }
        *ret = &s->s;
        return 0;
}
