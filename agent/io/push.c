/* agent/io/push.c - groups of data planes and the plan that takes them from one configuration to the next.
 * Layer: agent/io.  Frames and connections are push_peer.c's; which objects are refused is the owner's (ops->refused).
 *
 * Two-phase inside a group: nobody is told ACTIVATE while another member of the group that is in time still prepares.
 * A member has one manifest outstanding; when it is done with it, it gets the group's target if that is another one.
 * member_state changes only in set_state(). */
#include "lib/base.h"
#include "agent/io/push_priv.h"
#include "agent/core/retain.h"
#include "lib/io/log.h"
#include <inttypes.h>

const struct metric_desc push_counter_desc[PUSH_COUNTER_N] = METRICS_DESC(PUSH_COUNTERS);

static const char *const state_names[MEMBER_STATE_N] = {
#define S(id, name, next) [MEMBER_##id] = name,
        MEMBER_STATES(S)
#undef S
};
static const unsigned legal_next[MEMBER_STATE_N] = {
#define B(id) (1u << MEMBER_##id)
#define S(id, name, next) [MEMBER_##id] = next,
        MEMBER_STATES(S)
#undef S
#undef B
};

static void set_state(struct member *m, enum member_state to)
{
        BUG_ON(!(legal_next[m->state] & (1u << to)));
        m->state = to;
        if (to == MEMBER_IDLE || to == MEMBER_ABSENT) {
                timer_stop(&m->timer);
                m->late = false;
        }
        loop_defer(m->p->loop, &m->p->step);
}

static void offer_set(struct offer *to, struct manifest *m, uint64_t stamp) /* takes its own reference */
{
        struct manifest *old = to->m;
        to->m = m ? manifest_get(m) : NULL;
        to->stamp = stamp;
        manifest_put(old);
}

static bool same_hash(const struct manifest *a, const struct manifest *b)
{
        return a && b && memcmp(a->hash.b, b->hash.b, sizeof a->hash.b) == 0;
}

static const char *group_name(const struct group *g) { return *g->pool ? g->pool : "(front)"; }

struct member *member_find(struct push *p, const char *name)
{
        for (size_t i = 0; i < p->n_members; i++)
                if (strcmp(p->members[i].name, name) == 0)
                        return &p->members[i];
        return NULL;
}

/* ---- endpoints beside manifests */

static void send_sets(struct member *m, struct overlay_set *const *v, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                Control__Endpoints e = CONTROL__ENDPOINTS__INIT;
                Model__EndpointSet *set = model__endpoint_set__unpack(NULL, v[i]->packed->n, v[i]->packed->p);
                if (!set)
                        continue; /* out of memory: the next change or manifest brings it */
                e.sets = &set;
                e.n_sets = 1;
                if (peer_send(m->peer, FRAME_ENDPOINTS, &e.base) == 0)
                        metric_add(&m->p->counters[PUSH_ENDPOINT_SETS], 1);
                model__endpoint_set__free_unpacked(set, NULL);
        }
}

/* What m's active manifest does not hold yet. */
static void send_overlay(struct member *m)
{
        void *v;
        struct span k;
        for (size_t i = 0; map_next(&m->g->overlay, &i, &k, &v);) {
                struct overlay_set *o = v;
                if (o->seq > m->active.stamp)
                        send_sets(m, &o, 1);
        }
}

static struct overlay_set *overlay_get(struct group *g, const char *id)
{
        struct overlay_set *o = map_get(&g->overlay, span_str(id));
        if (o)
                return o;
        o = calloc(1, sizeof *o);
        if (o)
                o->id = strdup(id);
        if (o && o->id && map_put(&g->overlay, span_str(o->id), o) == 0)
                return o;
        if (o)
                free(o->id);
        free(o);
        return NULL;
}

static void overlay_free(struct overlay_set *o)
{
        free(o->id);
        blob_put(o->packed);
        free(o);
}

static struct overlay_set *overlay_put(struct push *p, struct group *g, const Model__EndpointSet *set)
{
        size_t n = model__endpoint_set__get_packed_size(set);
        uint8_t *bytes = malloc(n ? n : 1);
        struct overlay_set *o = overlay_get(g, set->id);
        struct blob *b = NULL;
        if (bytes && o) {
                (void)model__endpoint_set__pack(set, bytes); /* n bytes, as measured */
                b = blob_new(SPAN(bytes, n), false);
        }
        free(bytes);
        if (!b) {
                log_error("endpoints_dropped", "set=%s why=memory", LOG_ESC(set->id));
                return NULL;
        }
        blob_put(o->packed);
        o->packed = b;
        o->seq = ++p->endpoint_seq;
        return o;
}

void push_endpoints(struct push *p, const char *pool, Model__EndpointSet *const *sets, size_t n)
{
        for (size_t g = 0; g < p->n_pools; g++) {
                if (strcmp(p->groups[g].pool, pool) != 0)
                        continue;
                for (size_t i = 0; i < n; i++) {
                        struct overlay_set *o = overlay_put(p, &p->groups[g], sets[i]);
                        for (size_t k = 0; o && k < p->n_members; k++)
                                if (p->members[k].g == &p->groups[g] && p->members[k].peer)
                                        send_sets(&p->members[k], &o, 1);
                }
        }
}

/* Everything this manifest holds itself need not be sent beside it any more. */
static void overlay_trim(struct group *g)
{
        size_t n = 0;
        void *v;
        struct span k;
        struct overlay_set **dead = calloc(g->overlay.n + 1, sizeof *dead);
        for (size_t i = 0; dead && map_next(&g->overlay, &i, &k, &v);)
                if (((struct overlay_set *)v)->seq <= g->good.stamp)
                        dead[n++] = v;
        for (size_t i = 0; i < n; i++) {
                (void)map_del(&g->overlay, span_str(dead[i]->id)); /* the value is dead[i] */
                overlay_free(dead[i]);
        }
        free(dead);
}

/* ---- members */

/* Holds m->refused while m does not take the manifest with refused_hash; why NULL clears it. */
static void member_refused_set(struct member *m, const struct manifest *of, const char *why)
{
        free(m->refused);
        m->refused = why ? strdup(why) : NULL;
        if (of)
                m->refused_hash = of->hash;
}

static bool is_held(const struct member *m)
{
        return m->refused && m->g->target.m && memcmp(m->refused_hash.b, m->g->target.m->hash.b, sizeof m->refused_hash.b) == 0;
}

static void member_offer(struct member *m)
{
        struct group *g = m->g;
        if (m->state != MEMBER_IDLE || !g->target.m || same_hash(m->active.m, g->target.m) || timer_armed(&m->timer))
                return;
        if (is_held(m))
                return;
        if (peer_send_manifest(m->peer, g->target.m) < 0)
                return;
        member_refused_set(m, NULL, NULL);
        offer_set(&m->inflight, g->target.m, g->target.stamp);
        m->has_hello_hash = false;
        set_state(m, MEMBER_OFFERED);
        timer_set(loop_timers(m->p->loop), &m->timer, loop_now_ms(m->p->loop) + m->p->prepare_timeout_ms);
        metric_add(&m->p->counters[PUSH_MANIFESTS], 1);
}

static void member_timer(struct timer *t, uint64_t now_ms)
{
        struct member *m = CONTAINER_OF(t, struct member, timer);
        if (m->state == MEMBER_IDLE) { /* a NACK worth retrying */
                member_refused_set(m, NULL, NULL);
                member_offer(m);
                return;
        }
        m->late = true;
        metric_add(&m->p->counters[PUSH_LATE], 1);
        log_warn("data_plane_late", "name=%s group=%s state=%s generation=%" PRIu64 " will=\"go on without it\"", LOG_ESC(m->name),
                 LOG_ESC(group_name(m->g)), state_names[m->state], m->inflight.m->generation);
        loop_defer(m->p->loop, &m->p->step);
        m->p->ops->changed(m->p->arg);
}

/* Does m serve o, going by the hash in its HELLO? */
static void member_recognise(struct member *m, const struct offer *o)
{
        if (m->active.m || !m->has_hello_hash || !o->m || memcmp(m->hello_hash.b, o->m->hash.b, SHA256_BYTES) != 0)
                return;
        offer_set(&m->active, o->m, o->stamp);
        if (!m->g->good.m)
                offer_set(&m->g->good, o->m, o->stamp);
        send_overlay(m);
}

static bool overlay_newer(const struct group *g, uint64_t stamp)
{
        void *v;
        struct span k;
        for (size_t i = 0; map_next(&g->overlay, &i, &k, &v);)
                if (((struct overlay_set *)v)->seq > stamp)
                        return true;
        return false;
}

void member_connected(struct member *m, struct push_peer *peer, const Control__Hello *h)
{
        struct group *g = m->g;
        m->peer = peer;
        m->generation = h->active_generation;
        (void)snprintf(m->version, sizeof m->version, "%s", h->version); /* cut if longer */
        set_state(m, MEMBER_IDLE);
        offer_set(&m->active, NULL, 0);
        m->has_hello_hash = h->active_hash.len == SHA256_BYTES;
        if (m->has_hello_hash)
                memcpy(m->hello_hash.b, h->active_hash.data, SHA256_BYTES);
        member_recognise(m, &g->target);
        member_recognise(m, &g->good);
        log_info("data_plane_connected", "name=%s group=%s peer=%s version=%s generation=%" PRIu64 " current=%d", LOG_ESC(m->name),
                 LOG_ESC(group_name(g)), peer_text(peer), LOG_ESC(m->version), m->generation,
                 same_hash(m->active.m, g->target.m));
        if (!same_hash(m->active.m, g->target.m) && overlay_newer(g, g->target.stamp))
                m->p->ops->outdated(m->p->arg); /* what plan_step offers then has them all */
        m->p->ops->changed(m->p->arg);
}

void member_gone(struct member *m, const char *why)
{
        log_warn("data_plane_gone", "name=%s group=%s why=%s", LOG_ESC(m->name), LOG_ESC(group_name(m->g)), LOG_ESC(why));
        m->peer = NULL;
        m->gone_ms = loop_now_ms(m->p->loop);
        set_state(m, MEMBER_ABSENT);
        offer_set(&m->inflight, NULL, 0);
        m->has_hello_hash = false;
        member_refused_set(m, NULL, NULL);
        if (m->status)
                control__status__free_unpacked(m->status, NULL);
        m->status = NULL;
        m->p->ops->changed(m->p->arg);
}

static void member_activate(struct member *m)
{
        Control__Activate a = CONTROL__ACTIVATE__INIT;
        a.hash = (ProtobufCBinaryData){ SHA256_BYTES, m->inflight.m->hash.b };
        if (peer_send(m->peer, FRAME_ACTIVATE, &a.base) == 0)
                set_state(m, MEMBER_ACTIVATING);
}

static void member_abort(struct member *m)
{
        Control__Abort a = CONTROL__ABORT__INIT;
        a.hash = (ProtobufCBinaryData){ SHA256_BYTES, m->inflight.m->hash.b };
        (void)peer_send(m->peer, FRAME_ABORT, &a.base); /* a hash fits a frame */
        offer_set(&m->inflight, NULL, 0);
        set_state(m, MEMBER_IDLE);
}

static bool is_inflight(const struct member *m, const struct sha256 *hash)
{
        return m->inflight.m && memcmp(m->inflight.m->hash.b, hash->b, sizeof hash->b) == 0;
}

void member_prepared(struct member *m, const struct sha256 *hash)
{
        metric_add(&m->p->counters[PUSH_PREPARED], 1);
        if (m->state != MEMBER_OFFERED || !is_inflight(m, hash))
                return; /* answer to a manifest that was replaced */
        set_state(m, MEMBER_PREPARED); /* plan_step goes on from here */
}

/* Two-phase: ACTIVATE when nobody who is in time still prepares this target.  Who has prepared another one starts over. */
static void group_activate(struct push *p, struct group *g)
{
        for (size_t i = 0; i < p->n_members; i++) {
                struct member *m = &p->members[i];
                if (m->g == g && m->state == MEMBER_PREPARED && !same_hash(m->inflight.m, g->target.m)) {
                        member_abort(m);
                        member_offer(m);
                }
        }
        for (size_t i = 0; i < p->n_members; i++) {
                const struct member *m = &p->members[i];
                if (m->g == g && m->state == MEMBER_OFFERED && !m->late && same_hash(m->inflight.m, g->target.m))
                        return;
        }
        for (size_t i = 0; i < p->n_members; i++) {
                struct member *m = &p->members[i];
                if (m->g == g && m->state == MEMBER_PREPARED && same_hash(m->inflight.m, g->target.m))
                        member_activate(m);
        }
}

void member_active(struct member *m, const Control__Active *a, const struct sha256 *hash)
{
        metric_add(&m->p->counters[PUSH_ACTIVES], 1);
        if (m->state != MEMBER_ACTIVATING || !is_inflight(m, hash)) {
                log_warn("unexpected_active", "name=%s state=%s", LOG_ESC(m->name), state_names[m->state]);
                return;
        }
        m->generation = a->generation;
        offer_set(&m->active, m->inflight.m, m->inflight.stamp);
        offer_set(&m->inflight, NULL, 0);
        member_refused_set(m, NULL, NULL);
        set_state(m, MEMBER_IDLE);
        if (!same_hash(m->g->good.m, m->active.m) && same_hash(m->g->target.m, m->active.m)) {
                offer_set(&m->g->good, m->active.m, m->active.stamp);
                overlay_trim(m->g);
        }
        log_info("data_plane_active", "name=%s group=%s generation=%" PRIu64 " apply_us=%" PRIu32, LOG_ESC(m->name),
                 LOG_ESC(group_name(m->g)), m->active.m->generation, a->apply_us);
        send_overlay(m);
        m->p->ops->changed(m->p->arg);
}

static void nack_log(const struct member *m, const Control__Nack *n)
{
        const Model__Source *s = n->source;
        log_warn("nack", "name=%s group=%s stage=%d section=%s kind=%s object=%s/%s part=%s rule=%u retryable=%d reason=%s",
                 LOG_ESC(m->name), LOG_ESC(group_name(m->g)), (int)n->stage, LOG_ESC(n->section), LOG_ESC(s ? s->kind : "-"),
                 s ? log_esc(span_str(s->namespace_)) : "-", s ? log_esc(span_str(s->name)) : "-",
                 s ? log_esc(span_str(s->section)) : "-", s ? s->rule : 0, n->retryable, LOG_ESC(n->reason));
}

/* The whole group drops a manifest one of its members refuses, unless another already serves it. */
static void group_reject(struct push *p, struct group *g, const struct manifest *bad)
{
        for (size_t i = 0; i < p->n_members; i++) {
                struct member *m = &p->members[i];
                if (m->g == g && (m->state == MEMBER_OFFERED || m->state == MEMBER_PREPARED) && same_hash(m->inflight.m, bad))
                        member_abort(m);
        }
        if (same_hash(g->target.m, bad) && !same_hash(g->good.m, bad))
                offer_set(&g->target, g->good.m, g->good.stamp);
}

void member_nack(struct member *m, const Control__Nack *n, const struct sha256 *hash)
{
        struct push *p = m->p;
        metric_add(&p->counters[PUSH_NACKS], 1);
        nack_log(m, n);
        if ((m->state != MEMBER_OFFERED && m->state != MEMBER_PREPARED) || !is_inflight(m, hash))
                return;
        struct manifest *bad = manifest_get(m->inflight.m);
        offer_set(&m->inflight, NULL, 0);
        set_state(m, MEMBER_IDLE);
        member_refused_set(m, bad, n->reason);
        if (n->retryable) {
                timer_set(loop_timers(p->loop), &m->timer, loop_now_ms(p->loop) + PUSH_RETRY_MS);
        } else {
                group_reject(p, m->g, bad);
                if (p->state == PLAN_POOLS || p->state == PLAN_FRONT) {
                        p->state = PLAN_IDLE; /* what follows would build on what was refused */
                        timer_stop(&p->plan_timer);
                }
                if (!p->ops->refused(p->arg, n, m->name))
                        log_error("group_held", "group=%s generation=%" PRIu64 " keeps=%" PRIu64 " reason=%s",
                                  LOG_ESC(group_name(m->g)), bad->generation, m->g->good.m ? m->g->good.m->generation : 0,
                                  LOG_ESC(n->reason));
        }
        manifest_put(bad);
        loop_defer(p->loop, &p->step);
        p->ops->changed(p->arg);
}

void member_status(struct member *m, Control__Status *st)
{
        if (m->status)
                control__status__free_unpacked(m->status, NULL);
        m->status = st;
}

/* ---- the plan */

static void plan_fini(struct push *p, struct plan *plan)
{
        for (size_t i = 0; plan->pools && i < p->n_pools; i++)
                offer_set(&plan->pools[i], NULL, 0);
        offer_set(&plan->front, NULL, 0);
        free(plan->pools);
        *plan = (struct plan){ 0 };
}

static void group_target(struct push *p, struct group *g, struct manifest *m, uint64_t stamp)
{
        if (same_hash(g->target.m, m)) {
                g->target.stamp = MAX(g->target.stamp, stamp); /* same bytes: the endpoints in it are as new */
                for (size_t i = 0; i < p->n_members; i++)
                        if (p->members[i].g == g && same_hash(p->members[i].active.m, m))
                                p->members[i].active.stamp = g->target.stamp;
                if (same_hash(g->good.m, m))
                        g->good.stamp = g->target.stamp;
                return;
        }
        offer_set(&g->target, m, stamp);
        for (size_t i = 0; i < p->n_members; i++)
                if (p->members[i].g == g && p->members[i].state == MEMBER_IDLE)
                        member_recognise(&p->members[i], &g->target);
}

/* What pool i is to serve now: the plan's manifest, plus Gateways the front tier still sends it. */
static void pool_target(struct push *p, size_t i)
{
        struct group *g = &p->groups[i], *front = &p->groups[p->n_pools];
        const struct offer *want = &p->now.pools[i];
        uint64_t now = loop_now_ms(p->loop);
        struct manifest *before = now < p->drain_until_ms && p->front_before ? p->front_before : front->good.m;
        struct manifest *kept = NULL;
        struct err e = { 0 };
        const struct manifest *after = p->now.front.m;
        if (before && g->good.m && !same_hash(g->good.m, want->m)) {
                int r = retain_build(g->good.m, want->m, before, after, g->pool, &kept, &e);
                if (r < 0)
                        log_warn("retain_failed", "pool=%s place=%s why=%s will=\"switch at once\"", LOG_ESC(g->pool), LOG_ESC(e.place),
                                 LOG_ESC(e.msg));
        }
        p->retained |= kept != NULL;
        group_target(p, g, kept ? kept : want->m, want->stamp);
        manifest_put(kept);
}

static bool member_counts(const struct push *p, const struct member *m)
{
        return m->peer || loop_now_ms(p->loop) - m->gone_ms < STATUS_GONE_MS;
}

/* Is there nothing to wait for any more?  warm: at least one member must be ACTIVE at the target, if any can be hoped for. */
static bool group_settled(const struct push *p, const struct group *g, bool warm)
{
        bool one = false, hope = false;
        for (size_t i = 0; i < p->n_members; i++) {
                const struct member *m = &p->members[i];
                if (m->g != g)
                        continue;
                bool active = same_hash(m->active.m, g->target.m) && m->peer, held = is_held(m);
                one |= active;
                hope |= !held && member_counts(p, m);
                if (m->peer && !active && !m->late && !held)
                        return false;
        }
        return !warm || one || !hope || g->target.m->n == 0;
}

static bool pools_settled(const struct push *p, bool warm)
{
        bool settled = true;
        for (size_t i = 0; i < p->n_pools; i++)
                settled &= group_settled(p, &p->groups[i], warm);
        return settled;
}

/* When group_settled may change by time alone: a member that is gone stops being hoped for. */
static void plan_wait(struct push *p)
{
        uint64_t now = loop_now_ms(p->loop), at = 0;
        for (size_t i = 0; i < p->n_members; i++) {
                const struct member *m = &p->members[i];
                uint64_t t = m->gone_ms + STATUS_GONE_MS;
                if (!m->peer && t > now && (!at || t < at))
                        at = t;
        }
        if (at)
                timer_set(loop_timers(p->loop), &p->plan_timer, at);
}

static void plan_begin(struct push *p)
{
        if (p->next.set) {
                plan_fini(p, &p->now);
                p->now = p->next;
                p->next = (struct plan){ 0 };
        }
        p->state = PLAN_POOLS;
        p->retained = false;
        p->plan_started_ms = loop_now_ms(p->loop);
        timer_stop(&p->plan_timer);
        for (size_t i = 0; i < p->n_pools; i++)
                pool_target(p, i);
}

static void plan_front(struct push *p)
{
        struct group *front = &p->groups[p->n_pools];
        if (p->retained && front->good.m && !same_hash(front->good.m, p->now.front.m)) {
                if (loop_now_ms(p->loop) >= p->drain_until_ms || !p->front_before) {
                        manifest_put(p->front_before);
                        p->front_before = manifest_get(front->good.m);
                }
                p->drain_until_ms = UINT64_MAX; /* set when the front tier is done */
        }
        p->state = PLAN_FRONT;
        group_target(p, front, p->now.front.m, p->now.front.stamp);
}

static void plan_done(struct push *p)
{
        if (!p->retained) {
                p->state = PLAN_IDLE;
                log_info("plan_done", "generation=%" PRIu64 " took_ms=%" PRIu64, p->now.front.m->generation,
                         loop_now_ms(p->loop) - p->plan_started_ms);
                return;
        }
        p->state = PLAN_DRAIN;
        if (p->drain_until_ms == UINT64_MAX)
                p->drain_until_ms = loop_now_ms(p->loop) + p->drain_ms;
        timer_set(loop_timers(p->loop), &p->plan_timer, p->drain_until_ms);
}

/* Moves everything that can move.  Runs once at the end of a turn in which something happened. */
static void plan_step(struct loop_defer *d)
{
        struct push *p = CONTAINER_OF(d, struct push, step);
        if (p->next.set && (p->state == PLAN_IDLE || p->state == PLAN_DRAIN || (p->state == PLAN_POOLS && pools_settled(p, false))))
                plan_begin(p);
        for (unsigned again = 0; again < 3; again++) { /* POOLS may end at once, then FRONT too */
                for (size_t i = 0; i < p->n_members; i++)
                        member_offer(&p->members[i]);
                for (size_t i = 0; i <= p->n_pools; i++)
                        group_activate(p, &p->groups[i]);
                if (p->state == PLAN_POOLS) {
                        if (pools_settled(p, true))
                                plan_front(p);
                        else
                                plan_wait(p);
                } else if (p->state == PLAN_FRONT && group_settled(p, &p->groups[p->n_pools], false)) {
                        plan_done(p);
                        p->ops->changed(p->arg);
                }
        }
        if (p->next.set && p->state == PLAN_IDLE)
                loop_defer(p->loop, &p->step);
}

static void plan_timer(struct timer *t, uint64_t now_ms)
{
        struct push *p = CONTAINER_OF(t, struct push, plan_timer);
        if (p->state == PLAN_DRAIN && now_ms >= p->drain_until_ms) {
                manifest_put(p->front_before);
                p->front_before = NULL;
                p->drain_until_ms = 0;
                plan_begin(p); /* again, now with nothing to retain */
        }
        loop_defer(p->loop, &p->step);
}

void push_offer(struct push *p, const struct translation *t)
{
        plan_fini(p, &p->next);
        p->next.pools = calloc(p->n_pools ? p->n_pools : 1, sizeof *p->next.pools);
        if (!p->next.pools) {
                log_error("offer_dropped", "why=%s", "memory");
                return;
        }
        for (size_t i = 0; i < p->n_pools; i++) {
                const struct pool_output *o = translation_pool(t, p->groups[i].pool);
                BUG_ON(!o); /* both come from one configuration */
                offer_set(&p->next.pools[i], o->manifest, p->endpoint_seq);
        }
        offer_set(&p->next.front, t->l4, p->endpoint_seq);
        p->next.set = true;
        loop_defer(p->loop, &p->step);
}

/* ---- life, views */

static int groups_init(struct push *p, const struct push_conf *conf)
{
        p->groups = calloc(conf->n_members + 1, sizeof *p->groups);
        p->members = calloc(conf->n_members + 1, sizeof *p->members);
        if (!p->groups || !p->members)
                return -ENOMEM;
        for (size_t i = 0; i < conf->n_members; i++) {
                size_t g = 0;
                while (g < p->n_pools && strcmp(p->groups[g].pool, conf->members[i].pool) != 0)
                        g++;
                if (conf->members[i].role == CONTROL__ROLE__ROLE_L4 || g < p->n_pools)
                        continue;
                p->groups[p->n_pools++].pool = strdup(conf->members[i].pool);
        }
        p->groups[p->n_pools].pool = strdup("");
        for (size_t g = 0; g <= p->n_pools; g++) {
                map_init(&p->groups[g].overlay);
                if (!p->groups[g].pool)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < conf->n_members; i++) {
                struct member *m = &p->members[p->n_members++];
                m->p = p;
                m->role = conf->members[i].role;
                m->name = strdup(conf->members[i].name);
                m->gone_ms = loop_now_ms(p->loop);
                timer_init(&m->timer, member_timer);
                size_t g = 0;
                while (strcmp(p->groups[g].pool, conf->members[i].pool) != 0)
                        g++;
                m->g = &p->groups[g];
                if (!m->name)
                        return -ENOMEM;
        }
        return 0;
}

int push_new(struct loop *l, const struct push_conf *conf, const struct push_ops *ops, void *arg, struct push **ret, struct err *reterr)
{
        struct push *p = calloc(1, sizeof *p);
        if (!p)
                return err_set(reterr, ENOMEM, conf->socket, "out of memory");
        p->loop = l;
        p->ops = ops;
        p->arg = arg;
        p->prepare_timeout_ms = conf->prepare_timeout_ms;
        p->drain_ms = conf->drain_ms;
        p->ping_ms = conf->ping_ms;
        p->step.fn = plan_step;
        timer_init(&p->plan_timer, plan_timer);
        p->agent_name = strdup(conf->agent_name);
        int r = p->agent_name ? groups_init(p, conf) : -ENOMEM;
        if (r < 0)
                r = err_set(reterr, -r, conf->socket, "out of memory");
        else
                r = transport_listen(l, conf->socket, conf->uids, conf->n_uids, peer_accept, p, &p->listener, reterr);
        if (r < 0) {
                push_free(p);
                return r;
        }
        *ret = p;
        return 0;
}

void push_free(struct push *p)
{
        if (!p)
                return;
        transport_listener_free(p->listener);
        peers_free(p);
        loop_defer_cancel(&p->step);
        timer_stop(&p->plan_timer);
        for (size_t i = 0; i < p->n_members; i++) {
                struct member *m = &p->members[i];
                timer_stop(&m->timer);
                offer_set(&m->active, NULL, 0);
                offer_set(&m->inflight, NULL, 0);
                if (m->status)
                        control__status__free_unpacked(m->status, NULL);
                free(m->refused);
                free(m->name);
        }
        plan_fini(p, &p->now);
        plan_fini(p, &p->next);
        for (size_t i = 0; p->groups && i <= p->n_pools; i++) {
                struct group *g = &p->groups[i];
                void *v;
                struct span k;
                for (size_t n = 0; map_next(&g->overlay, &n, &k, &v);)
                        overlay_free(v);
                map_fini(&g->overlay);
                offer_set(&g->target, NULL, 0);
                offer_set(&g->good, NULL, 0);
                free(g->pool);
        }
        manifest_put(p->front_before);
        free(p->groups);
        free(p->members);
        free(p->agent_name);
        free(p);
}

size_t push_n_members(const struct push *p) { return p->n_members; }

void push_member(const struct push *p, size_t i, struct push_member_view *ret)
{
        const struct member *m = &p->members[i];
        *ret = (struct push_member_view){
                .name = m->name, .pool = m->g->pool, .role = m->role, .connected = m->peer != NULL, .late = m->late,
                .state = state_names[m->state], .peer = m->peer ? peer_text(m->peer) : "", .version = m->peer ? m->version : "",
                .active = m->active.m, .target = m->g->target.m, .generation = m->generation, .gone_ms = m->gone_ms,
                .refused = m->refused, .status = m->status,
        };
}

struct dp_ack push_ack(const struct push *p, size_t i)
{
        const struct member *m = &p->members[i];
        return (struct dp_ack){ .name = m->name, .pool = m->g->pool, .connected = m->peer != NULL, .gone_ms = m->gone_ms,
                                .active = m->active.m, .refused = m->refused };
}

const char *push_plan_state(const struct push *p)
{
        static const char *const names[PLAN_STATE_N] = { "idle", "pools", "front", "drain" };
        return names[p->state];
}

const metric_t *push_counters(const struct push *p) { return p->counters; }
