/* agent/io/push_member.c - one data plane of a group: what it was offered, what it serves, what it refused; and the two
 * phases of its group.  Layer: agent/io.
 *
 * Two-phase: nobody is told ACTIVATE while another member of the group that is in time still prepares.  A member has one
 * manifest outstanding; when it is done with it, it gets the group's target if that is another one.  member.state changes
 * only in set_state(). */
#include "lib/base.h"
#include "agent/io/push_priv.h"
#include "lib/io/log.h"
#include <inttypes.h>

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

const char *member_state_str(enum member_state s) { return state_names[s]; }

struct member *member_find(struct push *p, const char *name)
{
        for (size_t i = 0; i < p->n_members; i++)
                if (strcmp(p->members[i].name, name) == 0)
                        return &p->members[i];
        return NULL;
}

/* Holds m->refused while m does not take the manifest with refused_hash; why NULL clears it. */
static void member_set_refused(struct member *m, const struct manifest *of, const char *why)
{
        free(m->refused);
        m->refused = why ? strdup(why) : NULL;
        if (of)
                m->refused_hash = of->hash;
}

bool member_is_held(const struct member *m)
{
        return m->refused && m->g->target.m && memcmp(m->refused_hash.b, m->g->target.m->hash.b, sizeof m->refused_hash.b) == 0;
}

void member_offer(struct member *m)
{
        struct group *g = m->g;
        if (m->state != MEMBER_IDLE || !g->target.m || same_hash(m->active.m, g->target.m) || timer_armed(&m->timer))
                return;
        if (member_is_held(m))
                return;
        if (peer_send_manifest(m->peer, g->target.m) < 0)
                return;
        member_set_refused(m, NULL, NULL);
        offer_set(&m->inflight, g->target.m, g->target.stamp);
        m->has_hello_hash = false;
        set_state(m, MEMBER_OFFERED);
        timer_set(loop_timers(m->p->loop), &m->timer, loop_now_ms(m->p->loop) + m->p->prepare_timeout_ms);
        metric_add(&m->p->counters[PUSH_MANIFESTS], 1);
}

void member_timer(struct timer *t, uint64_t now_ms)
{
        struct member *m = CONTAINER_OF(t, struct member, timer);
        if (m->state == MEMBER_IDLE) { /* a NACK worth retrying */
                member_set_refused(m, NULL, NULL);
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
void member_recognise(struct member *m, const struct offer *o)
{
        if (m->active.m || !m->has_hello_hash || !o->m || memcmp(m->hello_hash.b, o->m->hash.b, SHA256_BYTES) != 0)
                return;
        offer_set(&m->active, o->m, o->stamp);
        if (!m->g->good.m)
                offer_set(&m->g->good, o->m, o->stamp);
        overlay_send(m);
}

void member_connected(struct member *m, struct push_peer *peer, const Control__Hello *h)
{
        struct group *g = m->g;
        m->peer = peer;
        m->generation = h->active_generation;
        m->p->max_generation = MAX(m->p->max_generation, m->generation);
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
        member_set_refused(m, NULL, NULL);
        member_status_forget(m);
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
void group_activate(struct push *p, struct group *g)
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
        /* OFFERED: it serves just this already, by ENDPOINTS frames that the manifest has folded in. */
        if ((m->state != MEMBER_ACTIVATING && m->state != MEMBER_OFFERED) || !is_inflight(m, hash)) {
                log_warn("unexpected_active", "name=%s state=%s", LOG_ESC(m->name), state_names[m->state]);
                return;
        }
        m->generation = a->generation;
        offer_set(&m->active, m->inflight.m, m->inflight.stamp);
        offer_set(&m->inflight, NULL, 0);
        member_set_refused(m, NULL, NULL);
        set_state(m, MEMBER_IDLE);
        if (!same_hash(m->g->good.m, m->active.m) && same_hash(m->g->target.m, m->active.m)) {
                offer_set(&m->g->good, m->active.m, m->active.stamp);
                overlay_trim(m->g);
        }
        log_info("data_plane_active", "name=%s group=%s generation=%" PRIu64 " apply_us=%" PRIu32, LOG_ESC(m->name),
                 LOG_ESC(group_name(m->g)), m->active.m->generation, a->apply_us);
        overlay_send(m);
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

/* The object of a NACK; of one of a Gateway's whole section, that Gateway. */
static void refused_of(struct member *m, const Control__Nack *n)
{
        const Model__Source *s = n->source;
        m->refused_of[0] = '\0';
        if (s && *s->kind)
                (void)snprintf(m->refused_of, sizeof m->refused_of, "%s %s/%s", s->kind, s->namespace_, s->name); /* cut: no such object */
        else if (strncmp(n->section, "gateway/", 8) == 0)
                (void)snprintf(m->refused_of, sizeof m->refused_of, "Gateway %s", n->section + 8); /* as above */
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
        member_set_refused(m, bad, n->reason);
        refused_of(m, n);
        if (!same_hash(m->g->target.m, bad)) {
                /* a manifest that was replaced meanwhile: what matters is what m says of the present one */
        } else if (n->retryable) {
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

static void status_put(Control__Status **st)
{
        if (*st)
                control__status__free_unpacked(*st, NULL);
        *st = NULL;
}

/* Moves the n messages of *from behind those of *to.  Lists of one Status message: arrays of pointers from malloc. */
static int list_move(void ***to, size_t *n_to, void ***from, size_t *n_from)
{
        if (*n_from == 0)
                return 0;
        void **v = realloc(*to, (*n_to + *n_from) * sizeof *v);
        if (!v)
                return -ENOMEM;
        memcpy(v + *n_to, *from, *n_from * sizeof *v);
        *to = v;
        *n_to += *n_from;
        *n_from = 0;
        return 0;
}

#define LIST_MOVE(to, from, list) list_move((void ***)&(to)->list, &(to)->n_##list, (void ***)&(from)->list, &(from)->n_##list)

int member_status(struct member *m, Control__Status *st, size_t n_bytes)
{
        int r = 0;
        m->status_bytes += n_bytes;
        if (m->status_bytes > STATUS_MAX_BYTES)
                r = -EMSGSIZE;
        if (r == 0 && m->status_parts) { /* st's lists go behind what came before */
                Control__Status *first = m->status_parts;
                r = LIST_MOVE(first, st, endpoints);
                if (r == 0)
                        r = LIST_MOVE(first, st, listeners);
                if (r == 0)
                        r = LIST_MOVE(first, st, certificates);
                first->connections = st->connections;
                first->requests_total = st->requests_total;
                first->packets_total = st->packets_total;
                first->draining = st->draining;
                first->more = st->more;
                control__status__free_unpacked(st, NULL);
                st = first;
        }
        m->status_parts = st;
        if (r < 0 || st->more)
                return r; /* on an error the connection closes and member_gone forgets them */
        status_put(&m->status);
        m->status = TAKE_PTR(m->status_parts);
        m->status_bytes = 0;
        return 0;
}

void member_status_forget(struct member *m)
{
        status_put(&m->status);
        status_put(&m->status_parts);
        m->status_bytes = 0;
}
