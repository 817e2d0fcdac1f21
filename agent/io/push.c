/* agent/io/push.c - the plan that takes all groups of data planes from one configuration to the next.
 * Layer: agent/io.  Members and their two phases are push_member.c's, endpoint sets push_endpoints.c's, frames and
 * connections push_peer.c's; which objects are refused is the owner's (ops->refused). */
#include "lib/base.h"
#include "agent/io/push_priv.h"
#include "agent/core/retain.h"
#include "lib/io/log.h"
#include <inttypes.h>

const struct metric_desc push_counter_desc[PUSH_COUNTER_N] = METRICS_DESC(PUSH_COUNTERS);

void offer_set(struct offer *to, struct manifest *m, uint64_t stamp)
{
        struct manifest *old = to->m;
        to->m = m ? manifest_get(m) : NULL;
        to->stamp = stamp;
        manifest_put(old);
}

bool same_hash(const struct manifest *a, const struct manifest *b)
{
        return a && b && memcmp(a->hash.b, b->hash.b, sizeof a->hash.b) == 0;
}

const char *group_name(const struct group *g) { return *g->pool ? g->pool : "(front)"; }

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
        const struct retain_front f = { .before = loop_now_ms(p->loop) < p->drain_until_ms ? p->front_before : NULL,
                                        .now = front->good.m, .after = p->now.front.m };
        struct manifest *kept = NULL;
        struct err e = { 0 };
        if (f.now && g->good.m && !same_hash(g->good.m, want->m)) {
                int r = retain_build(g->good.m, want->m, &f, g->pool, &kept, &e);
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
                bool active = same_hash(m->active.m, g->target.m) && m->peer, held = member_is_held(m);
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

static void drain_end(struct push *p)
{
        manifest_put(p->front_before);
        p->front_before = NULL;
        p->drain_until_ms = 0;
}

static void plan_done(struct push *p)
{
        if (!p->retained) {
                drain_end(p); /* what was draining came back, or a refusal ended the plan that began it */
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
                drain_end(p);
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

static int tls_open(struct push *p, const struct push_conf *conf, struct err *reterr)
{
        static const struct tls_listen_ops ops = { .accepted = peer_accept, .refused = peer_refused };
        const struct identity self = { .role = IDENTITY_AGENT };
        if (conf->n_tls == 0)
                return 0;
        p->credentials = credentials_new(&conf->credentials, &self);
        p->tls = calloc(conf->n_tls, sizeof *p->tls);
        if (!p->credentials || !p->tls)
                return err_set(reterr, ENOMEM, conf->credentials.certificate, "out of memory");
        for (int r; p->n_tls < conf->n_tls; p->n_tls++) {
                r = tls_listen(p->loop, &conf->tls[p->n_tls], p->credentials, &ops, p, 0, &p->tls[p->n_tls], reterr);
                if (r < 0)
                        return r;
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
        if (r == 0)
                r = tls_open(p, conf, reterr);
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
        for (size_t i = 0; i < p->n_tls; i++)
                tls_listener_free(p->tls[i]);
        free(p->tls);
        peers_free(p);
        credentials_free(p->credentials);
        loop_defer_cancel(&p->step);
        timer_stop(&p->plan_timer);
        for (size_t i = 0; i < p->n_members; i++) {
                struct member *m = &p->members[i];
                timer_stop(&m->timer);
                offer_set(&m->active, NULL, 0);
                offer_set(&m->inflight, NULL, 0);
                member_status_forget(m);
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
                .state = member_state_str(m->state), .peer = m->peer ? peer_text(m->peer) : "", .version = m->peer ? m->version : "",
                .active = m->active.m, .target = m->g->target.m, .generation = m->generation, .gone_ms = m->gone_ms,
                .refused = m->refused, .status = m->status,
        };
}

struct dp_ack push_ack(const struct push *p, size_t i)
{
        const struct member *m = &p->members[i];
        return (struct dp_ack){ .name = m->name, .pool = m->g->pool, .connected = m->peer != NULL, .gone_ms = m->gone_ms,
                                .active = m->active.m, .refused = m->refused, .refused_of = m->refused_of };
}

uint64_t push_max_generation(const struct push *p) { return p->max_generation; }

const char *push_plan_state(const struct push *p)
{
        static const char *const names[PLAN_STATE_N] = { "idle", "pools", "front", "drain" };
        return names[p->state];
}

const metric_t *push_counters(const struct push *p) { return p->counters; }
