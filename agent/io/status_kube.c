/* agent/io/status_kube.c - see status_kube.h.
 *
 *   seen, write -> entry -> queue -> pump: merge -> token -> PATCH -> 200: seen | 409: GET -> seen, queue | else: queue later */
#include "lib/base.h"
#include "agent/io/status_kube.h"
#include "agent/core/json_node.h"
#include "agent/core/status_merge.h"
#include "agent/core/watch_event.h"
#include "agent/io/backoff.h"
#include "agent/io/kube_limits.tbl.h"
#include "agent/io/yaml.h"
#include "lib/core/map.h"
#include "lib/io/log.h"
#include <inttypes.h>


/* Kinds with a status of ours, in the order they are written. */
static const struct { enum object_kind kind; const char *resource; } kinds[] = {
        { OBJECT_GATEWAY_CLASS, "gatewayclasses" }, { OBJECT_GATEWAY, "gateways" }, { OBJECT_LISTENER_SET, "listenersets" }, { OBJECT_HTTP_ROUTE, "httproutes" },
        { OBJECT_GRPC_ROUTE, "grpcroutes" }, { OBJECT_TLS_ROUTE, "tlsroutes" }, { OBJECT_TCP_ROUTE, "tcproutes" }, { OBJECT_UDP_ROUTE, "udproutes" },
        { OBJECT_BACKEND_TLS_POLICY, "backendtlspolicies" }, { OBJECT_BACKEND_POLICY, "backendpolicies" }, { OBJECT_CLIENT_POLICY, "clientpolicies" },
};
#define N_KINDS ARRAY_SIZE(kinds)
#define CONFLICT_MS 20 /* somebody else writes the same object: soon, but not in step with them */
#define CONFLICT_MAX_MS 5000

struct entry { /* one object of the server; lives while the server has it */
        struct status_kube *k;
        size_t rank;                /* index in kinds */
        char *key, *ns, *name;
        char *rv, *seen;            /* what the server has: resourceVersion, status as JSON (NULL = none) */
        int64_t generation;
        char *want;                 /* our document, YAML; NULL = the object is none of ours */
        int64_t want_generation;
        bool marked, queued;
        struct entry *next, **pprev; /* of its queue */
        struct api_request *request;
        uint64_t not_before_ms;     /* queued, but wait */
        struct backoff errors, conflicts;
        uint64_t war_since_ms;      /* first of the writes counted in war_writes */
        unsigned war_writes;
        bool at_war;                /* not_before_ms is because of that */
        bool refused;               /* 422: until want or seen changes */
        bool changed;               /* one of them did since the patch under way was made */
};
struct queue { struct entry *head, **tail; };
struct status_kube {
        struct loop *loop;
        struct api_client *c;
        const struct status_kube_conf *conf;
        struct map entries;
        struct queue queues[N_KINDS];
        size_t n_queued, n_requests;
        double tokens;
        uint64_t filled_ms;
        struct timer pump;
        bool begun;                 /* nothing is compared before we have said what we want for the first time */
        struct log_limit limit;
        uint64_t counters[STATUS_KUBE_COUNTER_N];
};

static void on_patched(void *arg, const struct api_reply *r);
static void on_read(void *arg, const struct api_reply *r);

bool status_kube_kind(enum object_kind kind)
{
        for (size_t i = 0; i < N_KINDS; i++)
                if (kinds[i].kind == kind)
                        return true;
        return false;
}

/* ---- queue */

static void pump_at(struct status_kube *k, uint64_t at_ms)
{
        if (!k->begun)
                return;
        if (!timer_armed(&k->pump) || k->pump.deadline_ms > at_ms)
                timer_set(loop_timers(k->loop), &k->pump, at_ms);
}

static void enqueue(struct entry *e, uint64_t delay_ms)
{
        struct status_kube *k = e->k;
        struct queue *q = &k->queues[e->rank];
        uint64_t now = loop_now_ms(k->loop);
        e->not_before_ms = MAX(e->not_before_ms, now + delay_ms);
        if (!e->queued) {
                e->queued = true;
                e->next = NULL;
                e->pprev = q->tail;
                *q->tail = e;
                q->tail = &e->next;
                k->n_queued++;
        }
        pump_at(k, e->not_before_ms);
}

static void dequeue(struct entry *e)
{
        struct queue *q = &e->k->queues[e->rank];
        if (!e->queued)
                return;
        if (e->next)
                e->next->pprev = e->pprev;
        else
                q->tail = e->pprev;
        *e->pprev = e->next;
        e->queued = false;
        e->k->n_queued--;
}

static void later(struct entry *e, struct backoff *b, uint32_t at_least_ms)
{
        uint32_t ms = backoff_next(b);
        enqueue(e, MAX(ms, at_least_ms));
}

/* ---- entries */

static void entry_free(struct entry *e)
{
        dequeue(e);
        if (e->request) {
                api_request_cancel(e->request);
                e->k->n_requests--;
        }
        (void)map_del(&e->k->entries, span_str(e->key)); /* the value is e */
        free(e->key);
        free(e->ns);
        free(e->name);
        free(e->rv);
        free(e->seen);
        free(e->want);
        free(e);
}

static struct entry *entry_get(struct status_kube *k, enum object_kind kind, const char *ns, const char *name, bool make)
{
        char key[600];
        size_t rank = 0;
        (void)snprintf(key, sizeof key, "%s %s/%s", object_kind_str(kind), ns, name); /* names are limited to 253 each */
        struct entry *e = map_get(&k->entries, span_str(key));
        if (e || !make)
                return e;
        while (rank < N_KINDS && kinds[rank].kind != kind)
                rank++;
        BUG_ON(rank == N_KINDS);
        e = calloc(1, sizeof *e);
        if (!e)
                return NULL;
        *e = (struct entry){ .k = k, .rank = rank, .key = strdup(key), .ns = strdup(ns), .name = strdup(name),
                              .errors = backoff_of(k->conf->retry_ms, KUBE_RETRY_MAX_MS), .conflicts = backoff_of(CONFLICT_MS, CONFLICT_MAX_MS) };
        if (e->key && e->ns && e->name && map_put(&k->entries, span_str(e->key), e) == 0)
                return e;
        free(e->key);
        free(e->ns);
        free(e->name);
        free(e);
        return NULL;
}

static bool same_text(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

/* Entries of ours in the status of a route or policy that is none of ours any more? */
static bool has_ours(const struct entry *e)
{
        return status_list_of(kinds[e->rank].kind) && e->seen && strstr(e->seen, e->k->conf->controller_name);
}

/* Takes json. */
static void entry_seen(struct entry *e, const char *rv, int64_t generation, char *json)
{
        bool differs = !same_text(e->seen, json);
        char *copy = strdup(rv);
        free(e->rv);
        free(e->seen);
        e->rv = copy; /* NULL: no memory; then nothing is sent before it is seen again */
        e->seen = json;
        e->generation = generation;
        if (!differs)
                return;
        e->refused = false;
        e->changed = true;
        if (e->want || has_ours(e))
                enqueue(e, 0);
}

void status_kube_seen(struct status_kube *k, const struct object *o, char *json)
{
        struct entry *e = entry_get(k, o->kind, o->namespace, o->name, true);
        if (e)
                entry_seen(e, o->resource_version, o->generation, json);
        else
                free(json); /* no memory: its status comes with its next change */
}

void status_kube_gone(struct status_kube *k, enum object_kind kind, const char *ns, const char *name)
{
        struct entry *e = entry_get(k, kind, ns, name, false);
        if (e)
                entry_free(e);
}

/* ---- merging */

/* "generation" of our document: the line status_text.c writes. */
static int64_t generation_of(struct span doc)
{
        static const char key[] = "\n  generation: ";
        const char *at = memmem(doc.p, doc.n, key, sizeof key - 1);
        return at ? strtoll(at + sizeof key - 1, NULL, 10) : 0;
}

/* 1: *out is the patch; 0: nothing to write. */
static int merge(struct entry *e, struct buf *out)
{
        struct status_kube *k = e->k;
        CLEANUP(arena_fini) struct arena a;
        struct yaml_docs docs = { 0 };
        struct node *seen = NULL;
        const struct node *ours = NULL;
        struct err err = { 0 };
        struct json j;
        int r = 0;
        arena_init(&a, 32 * 1024, KUBE_TREE_BYTES);
        if (e->want) {
                r = yaml_read(span_str(e->want), "status", &a, &docs, &err);
                ours = r == 0 && docs.n == 1 ? node_get(docs.v[0], "status") : NULL;
        }
        if (r == 0 && e->seen)
                r = json_node_read(span_str(e->seen), "status", &a, &seen, &err);
        if (r < 0) {
                log_error("status_unreadable", "object=%s place=%s why=%s", LOG_ESC(e->key), LOG_ESC(err.place), LOG_ESC(err.msg));
                return r;
        }
        json_init(&j, out);
        json_obj(&j);
        json_key(&j, "metadata");
        json_obj(&j);
        json_key(&j, "resourceVersion");
        json_str(&j, e->rv);
        json_end(&j);
        json_key(&j, "status");
        r = status_merge(kinds[e->rank].kind, e->ns, k->conf->controller_name, ours, seen, &j);
        if (r > 0) {
                json_end(&j);
                r = out->failed ? -ENOMEM : 1;
        }
        return r;
}

/* ---- requests */

static void url_of(const struct entry *e, bool status, struct buf *b)
{
        enum object_kind kind = kinds[e->rank].kind;
        bool namespaced = object_namespaced(kind);
        buf_printf(b, "/apis/%s/%s%s%s/%s/%s%s", object_group_str(kind), object_version_str(kind), namespaced ? "/namespaces/" : "", e->ns, kinds[e->rank].resource, e->name,
                   status ? "/status?fieldManager=gatehouse-agent" : "");
}

static void start(struct entry *e, bool patch, struct span body)
{
        struct status_kube *k = e->k;
        CLEANUP(buf_fini) struct buf url;
        buf_init(&url, 4096);
        url_of(e, patch, &url);
        const struct api_call call = { .method = patch ? "PATCH" : "GET", .path = buf_cstr(&url), .content_type = "application/merge-patch+json",
                                       .body = body, .deadline_ms = KUBE_REPLY_MS, .max_body = KUBE_REPLY_BYTES,
                                       .done = patch ? on_patched : on_read, .arg = e };
        if (api_call_start(k->c, &call, &e->request) < 0) {
                e->request = NULL;
                later(e, &e->errors, 0);
                return;
        }
        e->changed &= !patch;
        k->n_requests++;
}

/* The object of an answer is what the server has now. */
static void take_answer(struct entry *e, struct span body)
{
        CLEANUP(arena_fini) struct arena a;
        CLEANUP(buf_fini) struct buf b;
        struct node *n;
        struct json j;
        arena_init(&a, 64 * 1024, KUBE_TREE_BYTES);
        buf_init(&b, KUBE_REPLY_BYTES);
        json_init(&j, &b);
        if (json_node_read(body, "object", &a, &n, NULL) < 0)
                return; /* the watch brings it */
        const struct node *status = node_get(n, "status");
        const char *rv = arena_printf(&a, "%.*s", SPAN_FMT(node_text2(n, "metadata", "resourceVersion")));
        char *json = status && status->type == NODE_MAP && json_node_write(status, &j) == 0 ? strndup((const char *)b.p, b.n) : NULL;
        const char *generation = arena_printf(&a, "%.*s", SPAN_FMT(node_text2(n, "metadata", "generation")));
        if (rv && *rv)
                entry_seen(e, rv, generation ? strtoll(generation, NULL, 10) : 0, json);
        else
                free(json);
}

/* Did the same text have to be written too often? */
static void war_check(struct entry *e)
{
        uint64_t now = loop_now_ms(e->k->loop);
        if (!e->war_writes || now - e->war_since_ms > KUBE_WAR_MS) {
                e->war_since_ms = now;
                e->war_writes = 0;
        }
        if (++e->war_writes < KUBE_WAR_WRITES)
                return;
        e->war_writes = 0;
        e->k->counters[STATUS_KUBE_WARS]++;
        e->not_before_ms = now + KUBE_WAR_MS;
        e->at_war = true;
        log_warn("status_war", "object=%s why=%s", LOG_ESC(e->key), LOG_ESC("somebody keeps changing what we write: once a minute from now"));
}

static void on_patched(void *arg, const struct api_reply *r)
{
        struct entry *e = arg;
        struct status_kube *k = e->k;
        uint32_t suppressed;
        e->request = NULL;
        k->n_requests--;
        pump_at(k, loop_now_ms(k->loop)); /* there is room for another */
        if (r->error == 0 && r->status == 200) {
                k->counters[STATUS_KUBE_WRITES]++;
                backoff_reset(&e->errors);
                backoff_reset(&e->conflicts);
                war_check(e);
                take_answer(e, r->body);
                enqueue(e, 0); /* compared once more: a newer wish may have come meanwhile */
                return;
        }
        if (r->status == 409) {
                k->counters[STATUS_KUBE_CONFLICTS]++;
                start(e, false, SPAN_NULL);
                return;
        }
        if (r->status == 404) { /* gone, and its event is on the way; if it comes back it is seen again */
                log_debug("status_dropped", "object=%s", LOG_ESC(e->key));
                return;
        }
        k->counters[STATUS_KUBE_ERRORS]++;
        e->refused = (r->status == 422 || r->status == 400) && !e->changed;
        if (log_permit(&k->limit, 10, 10000, &suppressed))
                log_error("status_refused", "object=%s status=%d why=%s suppressed=%u", LOG_ESC(e->key), r->status, LOG_ESC(r->why), suppressed);
        if (!e->refused)
                later(e, &e->errors, r->retry_after_ms);
}

static void on_read(void *arg, const struct api_reply *r)
{
        struct entry *e = arg;
        e->request = NULL;
        e->k->n_requests--;
        pump_at(e->k, loop_now_ms(e->k->loop));
        if (r->error == 0 && r->status == 200) {
                take_answer(e, r->body);
                later(e, &e->conflicts, 0);
        } else if (r->status != 404) {
                later(e, &e->errors, r->retry_after_ms);
        }
}

/* ---- pump */

static void fill(struct status_kube *k)
{
        uint64_t now = loop_now_ms(k->loop);
        k->tokens = MIN(k->tokens + (double)(now - k->filled_ms) * k->conf->qps / 1000.0, (double)k->conf->burst);
        k->filled_ms = now;
}

/* Sends e's status if there is anything to say.  False: it has to wait for a token. */
static bool pump_one(struct entry *e)
{
        struct status_kube *k = e->k;
        CLEANUP(buf_fini) struct buf body;
        bool newer_comes = e->want && e->want_generation < e->generation; /* the translation of it is under way */
        buf_init(&body, KUBE_REPLY_BYTES);
        if (e->request || e->refused || newer_comes || !e->rv) {
                dequeue(e);
                return true;
        }
        int r = merge(e, &body);
        if (r > 0 && k->tokens < 1)
                return false;
        dequeue(e);
        if (r < 0)
                log_error("status_failed", "object=%s errno=%d", LOG_ESC(e->key), -r);
        if (r <= 0)
                return true;
        k->tokens -= 1;
        start(e, true, buf_span(&body));
        return true;
}

static void on_pump(struct timer *t, uint64_t now_ms)
{
        struct status_kube *k = CONTAINER_OF(t, struct status_kube, pump);
        uint64_t next = UINT64_MAX;
        unsigned merges = 0;
        fill(k);
        for (size_t rank = 0; rank < N_KINDS; rank++)
                for (struct entry *e = k->queues[rank].head, *after; e; e = after) {
                        after = e->next;
                        if (e->not_before_ms > now_ms) {
                                next = MIN(next, e->not_before_ms);
                                continue;
                        }
                        if (k->n_requests >= KUBE_WRITES_AT_ONCE)
                                return; /* an answer pumps again */
                        if (merges++ == KUBE_MERGES_PER_TURN) {
                                pump_at(k, now_ms);
                                return;
                        }
                        if (!pump_one(e)) {
                                pump_at(k, now_ms + 1 + 1000 / k->conf->qps);
                                return;
                        }
                }
        if (next != UINT64_MAX)
                pump_at(k, next);
}

int status_kube_write(struct status_kube *k, const struct status_doc *docs, size_t n)
{
        void *v;
        struct span key;
        bool first = !k->begun;
        k->begun = true;
        for (size_t i = 0; map_next(&k->entries, &i, &key, &v);)
                ((struct entry *)v)->marked = false;
        for (size_t i = 0; i < n; i++) {
                struct entry *e = entry_get(k, docs[i].kind, docs[i].namespace, docs[i].name, false);
                if (!e)
                        continue; /* deleted meanwhile */
                e->marked = true;
                if (e->want && span_eq(span_str(e->want), docs[i].text))
                        continue;
                char *copy = strndup((const char *)docs[i].text.p, docs[i].text.n);
                if (!copy)
                        return -ENOMEM;
                free(e->want);
                e->want = copy;
                e->want_generation = generation_of(docs[i].text);
                e->refused = false;
                e->changed = true;
                e->war_writes = 0;
                e->not_before_ms = e->at_war ? 0 : e->not_before_ms;
                e->at_war = false;
                enqueue(e, 0);
        }
        for (size_t i = 0; map_next(&k->entries, &i, &key, &v);) {
                struct entry *e = v;
                if (e->marked)
                        continue;
                bool had = e->want != NULL;
                free(TAKE_PTR(e->want));
                if ((had || first) && has_ours(e))
                        enqueue(e, 0);
        }
        if (k->n_queued)
                pump_at(k, loop_now_ms(k->loop));
        return 0;
}

/* ---- life */

struct status_kube *status_kube_new(struct loop *l, struct api_client *c, const struct status_kube_conf *conf)
{
        struct status_kube *k = calloc(1, sizeof *k);
        if (!k)
                return NULL;
        *k = (struct status_kube){ .loop = l, .c = c, .conf = conf, .tokens = conf->burst, .filled_ms = loop_now_ms(l) };
        for (size_t i = 0; i < N_KINDS; i++)
                k->queues[i].tail = &k->queues[i].head;
        map_init(&k->entries);
        timer_init(&k->pump, on_pump);
        return k;
}

void status_kube_free(struct status_kube *k)
{
        void *v;
        struct span key;
        if (!k)
                return;
        for (size_t i = 0; map_next(&k->entries, &i, &key, &v); i = 0)
                entry_free(v);
        map_fini(&k->entries);
        timer_stop(&k->pump);
        free(k);
}

size_t status_kube_queued(const struct status_kube *k) { return k->n_queued + k->n_requests; }
const uint64_t *status_kube_counters(const struct status_kube *k) { return k->counters; }
