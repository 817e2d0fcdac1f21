/* agent/io/reflector.c - see reflector.h. */
#include "lib/base.h"
#include "agent/io/reflector.h"
#include "agent/core/decode.h"
#include "agent/core/source_limits.tbl.h"
#include "agent/core/json_node.h"
#include "agent/core/watch_event.h"
#include "agent/io/backoff.h"
#include "agent/io/kube_limits.tbl.h"
#include "lib/core/map.h"
#include "lib/io/log.h"
#include <inttypes.h>

#define STATES(S) /* S(state, legal next) */ \
        S(WAIT, B(LIST) | B(WATCH)) \
        S(LIST, B(WAIT) | B(LIST) | B(WATCH)) \
        S(WATCH, B(WAIT) | B(LIST) | B(WATCH))
enum state {
#define S(name, next) STATE_##name,
        STATES(S)
#undef S
        STATE_N
};
#define B(name) 1u << STATE_##name
static const unsigned legal_next[STATE_N] = {
#define S(name, next) [STATE_##name] = next,
        STATES(S)
#undef S
};
#undef B
static const char *const state_names[STATE_N] = { "wait", "list", "watch" };

struct known { /* an object that was reported */
        char *ns, *name;
        char *key;     /* "ns/name" */
        bool listed;   /* in the list at hand */
};
struct shadow { /* an object of the list under way */
        struct object *o; /* NULL = could not be read: what is known of it stays */
        char *status, *key;
};
struct reflector {
        struct loop *loop;
        struct api_client *c;
        struct reflector_conf conf;
        const struct reflector_ops *ops;
        void *arg;
        enum state state;
        struct api_request *request;
        struct timer retry;
        struct map known;            /* key -> struct known */
        struct shadow *shadow; size_t n_shadow, cap_shadow;
        char *rv, *cont;             /* resourceVersion to watch from, NULL = list; continue token of the next page, NULL = first */
        unsigned page;
        struct backoff backoff;
        bool synced, relist, skipping; /* skipping: inside a line beyond its limit */
        uint64_t begun_ms, listed_ms, heard_ms, events_in_watch;
        struct arena tree, rest;
        char why[256];
        uint64_t counters[REFLECTOR_COUNTER_N];
};

static void begin(struct reflector *r);

static const char *kind(const struct reflector *r) { return object_kind_str(r->conf.kind); }

static void set_state(struct reflector *r, enum state to)
{
        BUG_ON(!(legal_next[r->state] & 1u << to));
        r->state = to;
}

/* ---- what is known */

static void replace(char **to, struct span s) /* out of memory is as good as empty: then we list again */
{
        char *p = s.n ? strndup((const char *)s.p, s.n) : NULL;
        free(*to);
        *to = p;
}

static void known_free(struct known *k)
{
        free(k->ns);
        free(k->name);
        free(k->key);
        free(k);
}
/* NULL: out of memory, or one object too many. */
static struct known *known_put(struct reflector *r, const char *ns, const char *name)
{
        char key[600];
        (void)snprintf(key, sizeof key, "%s/%s", ns, name); /* names are limited to 253 each by the decoder */
        struct known *k = map_get(&r->known, span_str(key));
        if (k || r->known.n >= SOURCE_MAX_OBJECTS)
                return k;
        k = calloc(1, sizeof *k);
        if (!k)
                return NULL;
        k->key = strdup(key);
        k->ns = strdup(ns);
        k->name = strdup(name);
        if (k->key && k->ns && k->name && map_put(&r->known, span_str(k->key), k) == 0)
                return k;
        known_free(k);
        return NULL;
}
static void known_drop(struct reflector *r, struct known *k)
{
        (void)map_del(&r->known, span_str(k->key)); /* the value is k */
        r->ops->del(r->arg, r->conf.kind, k->ns, k->name);
        known_free(k);
}

static void bad(struct reflector *r, const struct err *e, const char *what)
{
        r->counters[REFLECTOR_BAD]++;
        log_warn("object_unreadable", "kind=%s %s=%s why=%s will=\"keep its last good form\"", kind(r), what, LOG_ESC(e->place), LOG_ESC(e->msg));
}

/* Reports o; takes it.  False: there is no room for it. */
static bool report(struct reflector *r, struct object *o, char *status)
{
        struct known *k = known_put(r, o->namespace, o->name);
        if (!k) {
                bad(r, &(struct err){ .place = "objects", .msg = "no room for one more" }, "place");
                object_free(o);
                free(status);
                return false;
        }
        k->listed = true;
        r->ops->put(r->arg, o, status);
        return true;
}

/* doc -> object and status.  NULL: unreadable, said already. */
static struct object *decode(struct reflector *r, const struct node *doc, char **ret_status)
{
        struct object *o = NULL;
        struct err e = { 0 };
        *ret_status = NULL;
        int rc = object_decode_served(r->conf.kind, doc, "api", &o, &e);
        if (rc < 0) {
                bad(r, &e, "field");
                return NULL;
        }
        const struct node *status = r->conf.with_status ? node_get(doc, "status") : NULL;
        if (!status || status->type != NODE_MAP)
                return o;
        CLEANUP(buf_fini) struct buf b;
        struct json j;
        buf_init(&b, KUBE_EVENT_BYTES);
        json_init(&j, &b);
        if (json_node_write(status, &j) == 0)
                *ret_status = strndup((const char *)b.p, b.n); /* NULL: as if there were none, then we write it anew */
        return o;
}

/* ---- failures and waiting */

static void wait_for(struct reflector *r, uint32_t at_least_ms)
{
        uint32_t ms = backoff_next(&r->backoff);
        ms = MAX(ms, at_least_ms);
        set_state(r, STATE_WAIT);
        timer_set(loop_timers(r->loop), &r->retry, loop_now_ms(r->loop) + ms);
}

static void failed(struct reflector *r, const struct api_reply *reply)
{
        const char *what = r->state == STATE_LIST ? "list" : "watch";
        r->counters[REFLECTOR_FAILURES]++;
        (void)snprintf(r->why, sizeof r->why, "%s: %d %s", what, reply->status, reply->why); /* cut if longer */
        if (loop_now_ms(r->loop) - r->begun_ms >= KUBE_STEADY_MS)
                backoff_reset(&r->backoff);
        wait_for(r, reply->retry_after_ms);
        log_warn("api_failed", "kind=%s request=%s status=%d why=%s retry_ms=%" PRIu64, kind(r), what, reply->status, LOG_ESC(reply->why),
                 r->retry.deadline_ms - loop_now_ms(r->loop));
}

static void on_retry(struct timer *t, uint64_t now_ms)
{
        (void)now_ms;
        begin(CONTAINER_OF(t, struct reflector, retry));
}

/* ---- list */

static void shadow_clear(struct reflector *r)
{
        for (size_t i = 0; i < r->n_shadow; i++) {
                object_free(r->shadow[i].o);
                free(r->shadow[i].status);
                free(r->shadow[i].key);
        }
        r->n_shadow = 0;
        replace(&r->cont, SPAN_NULL);
}

static int shadow_add(void *arg, const struct node *item)
{
        struct reflector *r = arg;
        struct shadow s = { 0 };
        if (r->n_shadow == SOURCE_MAX_OBJECTS)
                return -E2BIG;
        if (r->n_shadow == r->cap_shadow) {
                size_t cap = r->cap_shadow ? r->cap_shadow * 2 : 64;
                struct shadow *v = reallocarray(r->shadow, cap, sizeof *v);
                if (!v)
                        return -ENOMEM;
                r->shadow = v;
                r->cap_shadow = cap;
        }
        s.o = decode(r, item, &s.status);
        struct span ns = node_text2(item, "metadata", "namespace"), name = node_text2(item, "metadata", "name");
        if (asprintf(&s.key, "%.*s/%.*s", SPAN_FMT(ns), SPAN_FMT(name)) < 0) {
                object_free(s.o);
                free(s.status);
                return -ENOMEM;
        }
        r->shadow[r->n_shadow++] = s;
        if (r->conf.kind == OBJECT_SECRET)
                arena_wipe(&r->tree);
        return 0;
}

/* The list is complete: tell what differs. */
static void shadow_swap(struct reflector *r)
{
        void *v;
        struct span key;
        for (size_t i = 0; map_next(&r->known, &i, &key, &v);)
                ((struct known *)v)->listed = false;
        for (size_t i = 0; i < r->n_shadow; i++) {
                struct shadow *s = &r->shadow[i];
                struct known *k = s->o ? NULL : map_get(&r->known, span_str(s->key));
                if (s->o)
                        (void)report(r, TAKE_PTR(s->o), TAKE_PTR(s->status)); /* said there */
                else if (k)
                        k->listed = true;
        }
        struct known **gone = calloc(r->known.n + 1, sizeof *gone);
        size_t n = 0;
        for (size_t i = 0; gone && map_next(&r->known, &i, &key, &v);)
                if (!((struct known *)v)->listed)
                        gone[n++] = v;
        for (size_t i = 0; i < n; i++)
                known_drop(r, gone[i]);
        free(gone);
        shadow_clear(r);
        r->counters[REFLECTOR_LISTS]++;
        r->listed_ms = loop_now_ms(r->loop);
        log_info("listed", "kind=%s objects=%zu removed=%zu", kind(r), r->known.n, n);
        if (!r->synced) {
                r->synced = true;
                r->ops->synced(r->arg, r->conf.kind);
        }
}

static int read_page(struct reflector *r, struct span body, struct err *reterr)
{
        struct node *rest;
        arena_reset(&r->rest);
        int rc = json_node_read_items(body, "list", &r->rest, &r->tree, shadow_add, r, &rest, reterr);
        arena_reset(&r->tree);
        if (rc < 0)
                return *reterr->msg ? rc : err_set(reterr, -rc, "list", "cannot be held: %s", strerror(-rc));
        struct span rv = node_text2(rest, "metadata", "resourceVersion");
        if (!rv.n)
                return err_set(reterr, EINVAL, "list", "has no resourceVersion");
        replace(&r->rv, rv);
        replace(&r->cont, node_text2(rest, "metadata", "continue"));
        return 0;
}

static void page_failed(struct reflector *r, struct api_reply *reply, const char *why)
{
        if (why)
                reply->why = why;
        shadow_clear(r); /* what is known stays */
        replace(&r->rv, SPAN_NULL);
        if (reply->error == -E2BIG && r->page > 1)
                r->page /= 2;
        failed(r, reply);
}

/* A kind of ours that this server does not know, or shows to nobody: there is no object of it; asked again later. */
static void not_served(struct reflector *r, const struct api_reply *reply)
{
        shadow_clear(r);
        (void)snprintf(r->why, sizeof r->why, "list: %d %s", reply->status, reply->why); /* cut if longer */
        wait_for(r, KUBE_NOT_SERVED_MS);
        if (r->synced)
                return;
        log_info("kind_not_served", "kind=%s status=%d will=\"do without, and ask again\"", kind(r), reply->status);
        r->synced = true;
        r->ops->synced(r->arg, r->conf.kind);
}

static void on_page(void *arg, const struct api_reply *answer)
{
        struct reflector *r = arg;
        struct api_reply reply = *answer;
        struct err e = { 0 };
        r->request = NULL;
        r->heard_ms = reply.status ? loop_now_ms(r->loop) : r->heard_ms;
        if (r->conf.optional && r->known.n == 0 && (reply.status == 404 || reply.status == 403)) {
                not_served(r, &reply);
                return;
        }
        if (reply.error || reply.status != 200) {
                page_failed(r, &reply, NULL);
                return;
        }
        if (read_page(r, reply.body, &e) < 0) {
                char why[sizeof e.place + sizeof e.msg + 2];
                (void)snprintf(why, sizeof why, "%s: %s", e.place, e.msg);
                page_failed(r, &reply, why);
                return;
        }
        if (r->cont) {
                begin(r);
                return;
        }
        r->why[0] = '\0';
        shadow_swap(r);
        begin(r);
}

/* ---- watch */

static void on_event(struct reflector *r, struct span line)
{
        struct watch_event ev;
        struct err e = { 0 };
        r->counters[REFLECTOR_EVENTS]++;
        r->events_in_watch++;
        if (watch_event_read(line, "event", &r->tree, &ev, &e) < 0) {
                bad(r, &e, "place");
                return;
        }
        if (ev.type == WATCH_ERROR) {
                r->relist = true;
                (void)snprintf(r->why, sizeof r->why, "watch: event %d %.*s", ev.code, SPAN_FMT(ev.message)); /* cut if longer */
                return;
        }
        if (ev.type != WATCH_BOOKMARK) {
                char *status = NULL;
                struct object *o = ev.type == WATCH_DELETED ? NULL : decode(r, ev.object, &status);
                if (o) {
                        (void)report(r, o, status); /* said there */
                } else if (ev.type == WATCH_DELETED) {
                        char key[600];
                        (void)snprintf(key, sizeof key, "%.*s/%.*s", SPAN_FMT(node_text2(ev.object, "metadata", "namespace")),
                                       SPAN_FMT(node_text2(ev.object, "metadata", "name"))); /* cut: then it is none of ours */
                        struct known *k = map_get(&r->known, span_str(key));
                        if (k)
                                known_drop(r, k);
                }
        }
        replace(&r->rv, ev.resource_version);
}

/* Whole lines; a line beyond the limit is thrown away up to its end. */
static ptrdiff_t on_data(void *arg, struct span in)
{
        struct reflector *r = arg;
        size_t taken = 0;
        r->heard_ms = loop_now_ms(r->loop);
        while (taken < in.n && !r->relist) {
                const uint8_t *from = in.p + taken, *end = memchr(from, '\n', in.n - taken);
                if (!end)
                        break;
                size_t n = (size_t)(end - from);
                if (!r->skipping && n)
                        on_event(r, SPAN(from, n));
                r->skipping = false;
                if (r->conf.kind == OBJECT_SECRET)
                        arena_wipe(&r->tree);
                arena_reset(&r->tree);
                taken += n + 1;
        }
        if (r->relist)
                return -ESTALE;
        if (in.n - taken > KUBE_EVENT_BYTES || r->skipping) {
                if (!r->skipping)
                        bad(r, &(struct err){ .place = "event", .msg = "line longer than the limit" }, "place");
                r->skipping = true;
                taken = in.n;
        }
        return (ptrdiff_t)taken;
}

static void on_watch_end(void *arg, const struct api_reply *reply)
{
        struct reflector *r = arg;
        uint64_t now = loop_now_ms(r->loop), lived = now - r->begun_ms;
        r->request = NULL;
        r->skipping = false;
        bool stale = r->relist || reply->status == 410;
        r->relist = false;
        if (stale) {
                replace(&r->rv, SPAN_NULL);
                log_info("history_lost", "kind=%s why=%s will=\"list again\"", kind(r), LOG_ESC(*r->why ? r->why : reply->why));
        }
        if (lived >= KUBE_STEADY_MS)
                backoff_reset(&r->backoff);
        if (stale && now - r->listed_ms >= KUBE_STEADY_MS) {
                begin(r);
        } else if (stale) { /* a list that is stale at once must not be repeated at once */
                r->counters[REFLECTOR_FAILURES]++;
                wait_for(r, reply->retry_after_ms);
        } else if (reply->error || reply->status != 200) {
                failed(r, reply);
        } else if (r->events_in_watch || lived >= 1000) {
                r->why[0] = '\0';
                begin(r); /* its time was up */
        } else {
                struct api_reply empty = *reply;
                empty.why = "ended at once";
                failed(r, &empty);
        }
}

/* ---- requests */

static int begin_list(struct reflector *r, struct buf *path)
{
        if (!r->cont)
                shadow_clear(r);
        buf_printf(path, "%s?limit=%u", r->conf.path, r->page);
        if (r->cont) {
                buf_str(path, "&continue=");
                url_escape(path, span_str(r->cont));
        }
        if (*r->conf.selector)
                buf_printf(path, "&%s", r->conf.selector);
        const struct api_call call = { .method = "GET", .path = buf_cstr(path), .deadline_ms = KUBE_LIST_MS, .max_body = KUBE_PAGE_BYTES,
                                       .secret = r->conf.kind == OBJECT_SECRET, .done = on_page, .arg = r };
        set_state(r, STATE_LIST);
        return api_call_start(r->c, &call, &r->request);
}

static int begin_watch(struct reflector *r, struct buf *path)
{
        unsigned s = KUBE_WATCH_MIN_S + random_below(KUBE_WATCH_MIN_S);
        buf_printf(path, "%s?watch=1&allowWatchBookmarks=true&timeoutSeconds=%u&resourceVersion=", r->conf.path, s);
        url_escape(path, span_str(r->rv));
        if (*r->conf.selector)
                buf_printf(path, "&%s", r->conf.selector);
        const struct api_call call = { .method = "GET", .path = buf_cstr(path), .deadline_ms = s * 1000 + KUBE_WATCH_SLACK_MS,
                                       .max_body = KUBE_EVENT_BYTES * 2, .secret = r->conf.kind == OBJECT_SECRET,
                                       .data = on_data, .done = on_watch_end, .arg = r };
        r->counters[REFLECTOR_WATCHES]++;
        r->events_in_watch = 0;
        set_state(r, STATE_WATCH);
        return api_call_start(r->c, &call, &r->request);
}

static void begin(struct reflector *r)
{
        CLEANUP(buf_fini) struct buf path;
        buf_init(&path, 64 * 1024);
        r->begun_ms = loop_now_ms(r->loop);
        int rc = r->rv && !r->cont ? begin_watch(r, &path) : begin_list(r, &path);
        if (rc < 0) {
                r->request = NULL;
                failed(r, &(struct api_reply){ .why = strerror(-rc) });
        }
}

int reflector_new(struct loop *l, struct api_client *c, const struct reflector_conf *conf, const struct reflector_ops *ops, void *arg,
                  struct reflector **ret)
{
        struct reflector *r = calloc(1, sizeof *r);
        if (!r)
                return -ENOMEM;
        *r = (struct reflector){ .loop = l, .c = c, .conf = *conf, .ops = ops, .arg = arg, .page = conf->page,
                                 .backoff = backoff_of(conf->retry_ms, KUBE_RETRY_MAX_MS), .heard_ms = loop_now_ms(l) };
        map_init(&r->known);
        timer_init(&r->retry, on_retry);
        arena_init(&r->tree, 256 * 1024, KUBE_TREE_BYTES);
        arena_init(&r->rest, 4096, 1u << 20);
        *ret = r;
        begin(r);
        return 0;
}

void reflector_free(struct reflector *r)
{
        void *v;
        struct span key;
        if (!r)
                return;
        api_request_cancel(r->request);
        timer_stop(&r->retry);
        shadow_clear(r);
        free(r->shadow);
        for (size_t i = 0; map_next(&r->known, &i, &key, &v);)
                known_free(v);
        map_fini(&r->known);
        arena_wipe(&r->tree);
        arena_fini(&r->tree);
        arena_fini(&r->rest);
        free(r->rv);
        free(r);
}

void reflector_view(const struct reflector *r, struct reflector_view *ret)
{
        *ret = (struct reflector_view){ .kind = r->conf.kind, .state = state_names[r->state], .why = r->why, .synced = r->synced,
                                        .objects = r->known.n, .quiet_ms = loop_now_ms(r->loop) - r->heard_ms, .counters = r->counters };
}
