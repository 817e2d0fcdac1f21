/* agent/io/pipeline.c - see pipeline.h.  Decisions are the core's; here is when they are taken and where results go. */
#include "lib/base.h"
#include "agent/io/pipeline.h"
#include "agent/io/source.h"
#include "lib/io/log.h"
#include <inttypes.h>
#include <time.h>

#define QUARANTINE_MAX 1024 /* entries; one refused object is one entry, more means a broken data plane */
#define STATUS_QUIET_MS 10  /* acks of a pool come together */

const struct metric_desc pipeline_counter_desc[PIPELINE_COUNTER_N] = METRICS_DESC(PIPELINE_COUNTERS);

struct pipeline {
        struct loop *loop;
        const struct settings *conf;
        struct store *store;
        struct source *source;
        struct push *push;
        struct status_memory *memory;
        struct translation *t;
        struct status_set *status;
        struct translation *reported;   /* what status borrows while t waits for its first report; NULL = t itself */
        struct quarantine *q; size_t n_q;
        unsigned nack_rounds;
        uint64_t generation;
        bool loaded;
        size_t n_slices, n_others;      /* single objects that changed in this turn */
        struct loop_defer changes;
        uint64_t dirty_since_ms;        /* 0 = clean */
        struct timer build, fold, report;
        char source_error[544], alarm[544];
        metric_t counters[PIPELINE_COUNTER_N];
};

static void count(struct pipeline *p, enum pipeline_counter c, uint64_t n) { metric_add(&p->counters[c], n); }

static uint64_t clock_us(clockid_t id)
{
        struct timespec ts;
        clock_gettime(id, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- statuses */

static void report_soon(struct pipeline *p)
{
        uint64_t at = loop_now_ms(p->loop) + STATUS_QUIET_MS;
        if (p->t && (!timer_armed(&p->report) || p->report.deadline_ms > at))
                timer_set(loop_timers(p->loop), &p->report, at);
}

static void report(struct pipeline *p)
{
        CLEANUP(arena_fini) struct arena a;
        struct status_set *s;
        struct status_doc *docs;
        size_t n, n_acks = push_n_members(p->push);
        arena_init(&a, 64 * 1024, SIZE_MAX); /* bounded by the translation */
        struct dp_ack *acks = arena_calloc(&a, n_acks + 1, sizeof *acks);
        for (size_t i = 0; acks && i < n_acks; i++)
                acks[i] = push_ack(p->push, i);
        if (!acks || status_build(p->memory, p->t, acks, n_acks, loop_now_ms(p->loop), (int64_t)time(NULL), &s) < 0) {
                log_error("status_failed", "why=%s", "memory");
                return;
        }
        status_free(p->status);
        p->status = s;
        translation_free(TAKE_PTR(p->reported));
        int r = status_docs(s, p->conf->translate.controller_name, &a, &docs, &n);
        if (r == 0)
                r = p->source->ops->write(p->source, docs, n);
        if (r < 0) {
                log_error("status_failed", "source=%s errno=%d will=\"try again in 1 s\"", LOG_ESC(p->source->name), -r);
                timer_set(loop_timers(p->loop), &p->report, loop_now_ms(p->loop) + 1000);
                return;
        }
        count(p, PIPELINE_STATUS_WRITES, (uint64_t)r);
        if (s->recheck_ms)
                timer_set(loop_timers(p->loop), &p->report, s->recheck_ms);
}

static void report_timer(struct timer *t, uint64_t now_ms)
{
        struct pipeline *p = CONTAINER_OF(t, struct pipeline, report);
        (void)now_ms;
        if (p->t)
                report(p);
}

/* ---- quarantine */

static void quarantine_drop(struct pipeline *p, size_t i)
{
        struct quarantine *q = &p->q[i];
        free((void *)(uintptr_t)q->kind);
        free((void *)(uintptr_t)q->namespace);
        free((void *)(uintptr_t)q->name);
        free((void *)(uintptr_t)q->section);
        free((void *)(uintptr_t)q->reason);
        p->q[i] = p->q[--p->n_q];
}

static int kind_of(const char *name)
{
        for (int k = 0; k < OBJECT_KIND_N; k++)
                if (strcmp(object_kind_str((enum object_kind)k), name) == 0)
                        return k;
        return -1;
}

/* An object that changed, or went, is free again. */
static void quarantine_prune(struct pipeline *p)
{
        for (size_t i = p->n_q; i-- > 0;) {
                int k = kind_of(p->q[i].kind);
                const struct object *o = k < 0 ? NULL : store_get(p->store, (enum object_kind)k, p->q[i].namespace, p->q[i].name);
                if (!o || o->generation != p->q[i].generation)
                        quarantine_drop(p, i);
        }
}

static bool quarantine_has(const struct pipeline *p, const struct quarantine *w)
{
        for (size_t i = 0; i < p->n_q; i++) {
                const struct quarantine *q = &p->q[i];
                if (strcmp(q->kind, w->kind) == 0 && strcmp(q->namespace, w->namespace) == 0 && strcmp(q->name, w->name) == 0 &&
                    strcmp(q->section, w->section) == 0 && q->rule == w->rule && q->generation == w->generation)
                        return true;
        }
        return false;
}

/* How many rules of w's object are out; SIZE_MAX when all of it is. */
static size_t quarantine_count(const struct pipeline *p, const struct quarantine *w)
{
        size_t n = 0;
        for (size_t i = 0; i < p->n_q; i++) {
                const struct quarantine *q = &p->q[i];
                if (strcmp(q->kind, w->kind) != 0 || strcmp(q->namespace, w->namespace) != 0 || strcmp(q->name, w->name) != 0 ||
                    q->generation != w->generation)
                        continue;
                if (q->rule == 0 && *q->section == '\0')
                        return SIZE_MAX;
                n += q->rule != 0;
        }
        return n;
}

static bool quarantine_add(struct pipeline *p, const struct quarantine *w)
{
        struct quarantine *v = p->n_q < QUARANTINE_MAX ? realloc(p->q, (p->n_q + 1) * sizeof *v) : NULL;
        if (!v)
                return false;
        p->q = v;
        struct quarantine *q = &v[p->n_q++];
        *q = (struct quarantine){ strdup(w->kind), strdup(w->namespace), strdup(w->name), strdup(w->section), w->rule, w->generation,
                                  strdup(w->reason) };
        if (q->kind && q->namespace && q->name && q->section && q->reason)
                return true;
        quarantine_drop(p, p->n_q - 1);
        return false;
}

/* ---- building */

static void build_soon(struct pipeline *p, uint64_t quiet_ms)
{
        uint64_t now = loop_now_ms(p->loop);
        if (!p->dirty_since_ms)
                p->dirty_since_ms = now;
        timer_set(loop_timers(p->loop), &p->build, MIN(now + quiet_ms, p->dirty_since_ms + PIPELINE_MAX_MS));
}

static bool same_output(const struct translation *a, const struct translation *b)
{
        bool same = memcmp(a->l4->hash.b, b->l4->hash.b, sizeof a->l4->hash.b) == 0;
        for (size_t i = 0; i < a->n_pools; i++)
                same &= memcmp(a->pools[i].manifest->hash.b, b->pools[i].manifest->hash.b, sizeof a->l4->hash.b) == 0;
        return same;
}

static void build(struct pipeline *p)
{
        struct translation *t;
        struct err e = { 0 };
        timer_stop(&p->build);
        timer_stop(&p->fold);
        p->dirty_since_ms = 0;
        quarantine_prune(p);
        p->generation = MAX(p->generation, push_max_generation(p->push)); /* an agent before us counted further */
        struct translate_conf conf = p->conf->translate;
        conf.bundle_version = p->source->bundle_version;
        uint64_t begin_us = clock_us(CLOCK_MONOTONIC);
        int r = translate(p->store, &conf, p->t ? p->t->vips : p->source->held, p->t ? p->t->n_vips : p->source->n_held, p->q, p->n_q,
                          p->generation + 1, p->t, &t, &e);
        uint64_t us = clock_us(CLOCK_MONOTONIC) - begin_us;
        count(p, PIPELINE_TRANSLATIONS, 1);
        count(p, PIPELINE_TRANSLATE_US, us);
        if (r < 0) {
                (void)snprintf(p->alarm, sizeof p->alarm, "%s: %s", e.place, e.msg); /* cut if longer */
                log_error("translate_failed", "place=%s why=%s keeps=%" PRIu64, LOG_ESC(e.place), LOG_ESC(e.msg), p->generation);
                return;
        }
        bool same = p->t && same_output(p->t, t);
        if (!same)
                p->generation++;
        log_info("translated", "generation=%" PRIu64 " gateways=%zu routes=%zu quarantined=%zu us=%" PRIu64 " changed=%d", p->generation,
                 t->n_gateways, t->n_routes, p->n_q, us, !same);
        if (p->status && !p->reported)
                p->reported = p->t; /* what was last said stays to be asked for until the next report */
        else
                translation_free(p->t);
        p->t = t;
        push_offer(p->push, t);
        report_soon(p);
}

static void build_timer(struct timer *t, uint64_t now_ms)
{
        (void)now_ms;
        build(CONTAINER_OF(t, struct pipeline, build));
}

static void fold_timer(struct timer *t, uint64_t now_ms)
{
        (void)now_ms;
        build(CONTAINER_OF(t, struct pipeline, fold));
}

static bool pool_endpoints_changed(struct pipeline *p, struct pool_output *o)
{
        CLEANUP(arena_fini) struct arena a;
        Model__EndpointSet **sets;
        arena_init(&a, 16 * 1024, SIZE_MAX); /* bounded by the store */
        ptrdiff_t n = translate_endpoints(p->store, o, &a, &sets);
        if (n < 0) {
                log_error("endpoints_failed", "errno=%d will=\"translate all\"", (int)-n);
                build_soon(p, 0);
                return false;
        }
        if (n == 0)
                return true;
        push_endpoints(p->push, o->pool, sets, (size_t)n);
        count(p, PIPELINE_FAST_PATHS, 1);
        if (!timer_armed(&p->fold)) /* from the first change on: under steady churn it would never fire */
                timer_set(loop_timers(p->loop), &p->fold, loop_now_ms(p->loop) + p->conf->fold_ms);
        return true;
}

/* Slices alone changed: only their sets, at once.  A build under way takes them with it anyway. */
static void endpoints_changed(struct pipeline *p)
{
        bool ok = pool_endpoints_changed(p, &p->t->l4_sets);
        for (size_t i = 0; ok && i < p->t->n_pools; i++)
                ok = pool_endpoints_changed(p, &p->t->pools[i]);
}

/* ---- what comes in */

static void source_failed(struct pipeline *p, const struct err *e)
{
        (void)snprintf(p->source_error, sizeof p->source_error, "%s: %s", e->place, e->msg); /* cut if longer */
        count(p, PIPELINE_LOAD_ERRORS, 1);
}

static void on_load(void *arg, struct object **objs, size_t n, const struct load_errors *errs)
{
        struct pipeline *p = arg;
        struct store_changes ch = { 0 };
        struct err e = { 0 };
        if (errs) {
                source_failed(p, &errs->v[0]);
                return;
        }
        if (store_apply_all(p->store, objs, n, &ch, &e) < 0) {
                source_failed(p, &e);
                log_error("source_refused", "place=%s why=%s will=\"keep the previous set\"", LOG_ESC(e.place), LOG_ESC(e.msg));
                return;
        }
        count(p, PIPELINE_LOADS, 1);
        p->source_error[0] = '\0';
        log_info("source_applied", "objects=%zu added=%zu changed=%zu removed=%zu endpoints_only=%d", n, ch.added, ch.changed, ch.removed,
                 ch.endpoints_only);
        if (p->loaded && ch.added + ch.changed + ch.removed == 0)
                return;
        p->nack_rounds = 0;
        p->alarm[0] = '\0';
        if (ch.endpoints_only && p->t && !timer_armed(&p->build))
                endpoints_changed(p);
        else
                build_soon(p, PIPELINE_QUIET_MS);
        p->loaded = true;
}

/* What single objects changed in this turn, as one change. */
static void apply_changes(struct loop_defer *d)
{
        struct pipeline *p = CONTAINER_OF(d, struct pipeline, changes);
        bool endpoints_only = p->n_others == 0;
        log_debug("source_changed", "slices=%zu others=%zu", p->n_slices, p->n_others);
        p->n_slices = p->n_others = 0;
        p->nack_rounds = 0;
        p->alarm[0] = '\0';
        if (endpoints_only && p->t && !timer_armed(&p->build))
                endpoints_changed(p);
        else
                build_soon(p, PIPELINE_QUIET_MS);
}

static void touch(struct pipeline *p, enum object_kind k)
{
        if (!p->loaded)
                return;
        *(k == OBJECT_ENDPOINT_SLICE ? &p->n_slices : &p->n_others) += 1;
        loop_defer(p->loop, &p->changes);
}

static void on_put(void *arg, struct object *o)
{
        struct pipeline *p = arg;
        enum object_kind k = o->kind;
        const struct object *old = store_get(p->store, k, o->namespace, o->name);
        struct err e = { .msg = "out of memory: an object is not as the source has it" };
        if (old && memcmp(old->digest.b, o->digest.b, sizeof old->digest.b) == 0) {
                object_free(o); /* its status changed, or something else we do not keep */
                return;
        }
        (void)snprintf(e.place, sizeof e.place, "%s", object_kind_str(k)); /* kinds are short */
        if (store_put(p->store, o) < 0)
                source_failed(p, &e);
        else
                touch(p, k);
}

static void on_del(void *arg, enum object_kind k, const char *ns, const char *name)
{
        struct pipeline *p = arg;
        if (!store_get(p->store, k, ns, name))
                return;
        store_del(p->store, k, ns, name);
        touch(p, k);
}

static void on_source_ready(void *arg)
{
        struct pipeline *p = arg;
        count(p, PIPELINE_LOADS, !p->loaded);
        p->loaded = true;
        p->n_others++;
        loop_defer(p->loop, &p->changes);
}

static void on_changed(void *arg) { report_soon(arg); }

/* The object a NACK is about; a NACK of a Gateway's whole section is about the Gateway. */
static bool nacked(const struct pipeline *p, const Control__Nack *n, char *scratch, size_t size, struct quarantine *ret)
{
        *ret = (struct quarantine){ .section = "", .reason = n->reason };
        if (n->source && *n->source->kind) {
                const Model__Source *s = n->source;
                ret->kind = s->kind;
                ret->namespace = s->namespace_;
                ret->name = s->name;
                ret->section = s->rule ? "" : s->section; /* a rule is known by its number */
                ret->rule = s->rule;
                ret->generation = (int64_t)s->generation;
                return true;
        }
        if (strncmp(n->section, "gateway/", 8) != 0)
                return false;
        (void)snprintf(scratch, size, "%s", n->section + 8); /* cut: then no such object */
        char *slash = strchr(scratch, '/');
        if (!slash)
                return false;
        *slash = '\0';
        const struct object *o = store_get(p->store, OBJECT_GATEWAY, scratch, slash + 1);
        ret->kind = object_kind_str(OBJECT_GATEWAY);
        ret->namespace = scratch;
        ret->name = slash + 1;
        ret->generation = o ? o->generation : 0;
        return o != NULL;
}

static bool on_refused(void *arg, const Control__Nack *n, const char *member)
{
        struct pipeline *p = arg;
        struct quarantine q;
        char scratch[600];
        const char *why = NULL;
        bool known = nacked(p, n, scratch, sizeof scratch, &q);
        size_t out = known ? quarantine_count(p, &q) : 0;
        if (known && q.rule && out >= PIPELINE_NACK_RULES && out != SIZE_MAX)
                q.rule = 0;
        if (!known)
                why = "the refusal names no object";
        else if (out == SIZE_MAX || quarantine_has(p, &q))
                why = "the object is quarantined already";
        else if (++p->nack_rounds > PIPELINE_NACK_ROUNDS)
                why = "too many refusals in a row";
        else if (!quarantine_add(p, &q))
                why = "too many quarantined objects";
        if (why) {
                (void)snprintf(p->alarm, sizeof p->alarm, "%s refused: %s (%s)", member, n->reason, why); /* cut if longer */
                log_error("last_good_kept", "name=%s why=%s reason=%s", LOG_ESC(member), LOG_ESC(why), LOG_ESC(n->reason));
                return false;
        }
        log_warn("quarantined", "kind=%s object=%s/%s part=%s rule=%u generation=%" PRId64 " reason=%s", LOG_ESC(q.kind),
                 LOG_ESC(q.namespace), LOG_ESC(q.name), LOG_ESC(q.section), q.rule, q.generation, LOG_ESC(n->reason));
        count(p, PIPELINE_QUARANTINED, 1);
        build_soon(p, 0);
        return true;
}

static void on_outdated(void *arg)
{
        struct pipeline *p = arg;
        if (p->t)
                build(p);
}

/* ---- life */

static int begin(struct pipeline *p, struct err *reterr)
{
        static const struct push_ops ops = { .changed = on_changed, .refused = on_refused, .outdated = on_outdated };
        static const struct source_events events = { .load = on_load, .put = on_put, .del = on_del, .ready = on_source_ready };
        int r = push_new(p->loop, &p->conf->push, &ops, p, &p->push, reterr);
        if (r < 0)
                return r;
        return (p->conf->kubernetes ? kube_source_new : source_directory_new)(p->loop, p->conf, p->memory, &events, p, &p->source, reterr);
}

int pipeline_new(struct loop *l, const struct settings *conf, struct pipeline **ret, struct err *reterr)
{
        struct pipeline *p = calloc(1, sizeof *p);
        BUG_ON(!p); /* boot */
        p->loop = l;
        p->conf = conf;
        p->store = store_new();
        p->memory = status_memory_new();
        BUG_ON(!p->store || !p->memory); /* boot */
        p->changes.fn = apply_changes;
        timer_init(&p->build, build_timer);
        timer_init(&p->fold, fold_timer);
        timer_init(&p->report, report_timer);
        int r = begin(p, reterr);
        if (r < 0) {
                pipeline_free(p);
                return r;
        }
        *ret = p;
        return 0;
}

void pipeline_free(struct pipeline *p)
{
        if (!p)
                return;
        source_free(p->source);
        push_free(p->push);
        loop_defer_cancel(&p->changes);
        timer_stop(&p->build);
        timer_stop(&p->fold);
        timer_stop(&p->report); /* push_free says "changed" for each peer: statuses stay as they are */
        status_free(p->status);
        translation_free(p->reported);
        translation_free(p->t);
        while (p->n_q)
                quarantine_drop(p, p->n_q - 1);
        free(p->q);
        status_memory_free(p->memory);
        store_free(p->store);
        free(p);
}

void pipeline_view(const struct pipeline *p, struct pipeline_view *ret)
{
        *ret = (struct pipeline_view){ .conf = p->conf, .source = p->source, .translation = p->t, .status = p->status, .push = p->push, .quarantine = p->q,
                                       .n_quarantine = p->n_q, .source_error = p->source_error, .alarm = p->alarm,
                                       .generation = p->generation, .counters = p->counters };
}
