/* l7gw/io/mirror.c - see mirror.h. */
#include "lib/base.h"
#include "l7gw/io/mirror.h"
#include "l7gw/io/upstream.h"

struct mirror {
        struct exchange x;
        struct exchange *owner;            /* NULL: on its own */
        struct mirror *next, **pprev;      /* all of the worker, then the dead */
        struct mirror *of_next, **of_pprev; /* of one request */
        bool dead;
};

static struct mirror *mirror_of(struct stream *s)
{
        return CONTAINER_OF(s, struct mirror, x.s);
}

static void leave_owner(struct mirror *m)
{
        if (!m->owner)
                return;
        *m->of_pprev = m->of_next;
        if (m->of_next)
                m->of_next->of_pprev = m->of_pprev;
        m->owner = NULL;
}

/* Callers up the stack may still hold it: freed at the end of the turn. */
static void mirror_close(struct mirror *m)
{
        struct exchange *x = &m->x;
        struct worker *w = x->w;
        if (m->dead)
                return;
        m->dead = true;
        upstream_detach(x);
        timer_stop(&x->timer);
        leave_owner(m);
        unsigned class = x->s.state == STREAM_RELAY ? MIN(x->status / 100, 5u) : 0;
        metric_add(&x->cluster->rt->counters[w->id].by_class[class], 1);
        stream_set(&x->s, STREAM_CLOSED);
        stream_reset(&x->s);
        upstream_release(x);
        worker_gen_put(w, TAKE_PTR(x->wg));
        *m->pprev = m->next;
        if (m->next)
                m->next->pprev = m->pprev;
        m->next = w->mirrors_dead;
        w->mirrors_dead = m;
        w->n_mirrors--;
        worker_reap_later(w);
}

static void drop(struct mirror *m)
{
        worker_count(m->x.w, WORKER_MIRRORS_DROPPED);
        mirror_close(m);
}

/* ---- the session that reads nothing ---- */

static void on_interim(struct stream *s, const struct msg *m)
{
        (void)s;
        (void)m;
}
static void on_nothing(struct stream *s) { (void)s; }
static void on_data(struct stream *s, struct span d) { s->resp_bytes += d.n; }
static void on_end(struct stream *s) { mirror_close(mirror_of(s)); }
static void on_cut(struct stream *s) { mirror_close(mirror_of(s)); }
static size_t on_room(const struct stream *s)
{
        (void)s;
        return L7_SCRATCH_BYTES;
}
static void on_drained(struct stream *s, size_t n)
{
        (void)s;
        (void)n;
}
static const struct stream_down mirror_down = {
        .interim = on_interim, .head = on_nothing, .data = on_data, .end = on_end, .cut = on_cut, .room = on_room, .drained = on_drained,
};

/* ---- from the request ---- */

static struct mirror *mirror_new(struct exchange *owner, const struct gen_cluster *cluster)
{
        struct worker *w = owner->w;
        struct mirror *m = calloc(1, sizeof *m);
        if (!m)
                return NULL;
        struct exchange *x = &m->x;
        arena_init(&x->s.arena, L7_STREAM_CHUNK_BYTES, L7_STREAM_ARENA_BYTES);
        exchange_init(x, w);
        if (msg_copy(&x->s.req, &owner->s.req) < 0) {
                arena_fini(&x->s.arena);
                free(m);
                return NULL;
        }
        x->s.req.upgrade = SPAN_NULL;
        x->s.down = &mirror_down;
        x->d.rule = owner->d.rule; /* its timeout of a try; the generation is held below */
        x->cluster = cluster;
        x->replay.lost = true;
        x->wg = owner->wg;
        x->wg->refs++;
        m->owner = owner;
        m->of_next = owner->mirrors;
        m->of_pprev = &owner->mirrors;
        if (m->of_next)
                m->of_next->of_pprev = &m->of_next;
        owner->mirrors = m;
        m->next = w->mirrors;
        m->pprev = &w->mirrors;
        if (m->next)
                m->next->pprev = &m->next;
        w->mirrors = m;
        w->n_mirrors++;
        return m;
}

static void start(struct exchange *x, const struct route_mirrors *all)
{
        for (size_t i = 0; i < all->n; i++) {
                const struct route_mirror *r = &all->v[i];
                if (worker_random(x->w) % r->of >= r->share)
                        continue;
                struct mirror *m = x->w->n_mirrors < L7_MIRRORS && x->w->drain == DRAIN_NONE
                                           ? mirror_new(x, &x->wg->gen->clusters[r->cluster_index])
                                           : NULL;
                worker_count(x->w, m ? WORKER_MIRRORS : WORKER_MIRRORS_DROPPED);
                if (!m)
                        continue;
                stream_set(&m->x.s, STREAM_ROUTE);
                m->x.s.req_done = x->s.req_done;
                exchange_deadlines(&m->x, L7_MIRROR_IDLE_MS);
                if (upstream_admit(&m->x, BREAKER_REQUESTS))
                        upstream_begin(&m->x); /* may be its end already */
                else
                        drop(m);
        }
}

void mirror_start(struct exchange *x)
{
        start(x, &x->d.rule->mirrors);
        start(x, &x->d.leg->mirrors);
}

void mirror_data(struct exchange *x, struct span d)
{
        for (struct mirror *m = x->mirrors, *next; m; m = next) {
                struct stream *s = &m->x.s;
                size_t queued = s->req_body.n + upstream_queued(&m->x);
                next = m->of_next;
                if (queued + d.n > L7_MIRROR_BYTES) {
                        drop(m);
                        continue;
                }
                s->req_bytes += d.n;
                proxy_engine.req_data(s, d);
        }
}

void mirror_end(struct exchange *x)
{
        for (struct mirror *m = x->mirrors, *next; m; m = next) {
                next = m->of_next;
                if (msg_copy(&m->x.s.req_trailers, &x->s.req_trailers) < 0) {
                        drop(m);
                        continue;
                }
                m->x.s.req_done = true;
                proxy_engine.req_end(&m->x.s);
        }
}

void mirror_leave(struct exchange *x)
{
        while (x->mirrors) {
                struct mirror *m = x->mirrors;
                if (m->x.s.req_done)
                        leave_owner(m);
                else
                        drop(m);
        }
}

void mirrors_close_all(struct worker *w)
{
        while (w->mirrors)
                mirror_close(w->mirrors);
}

void mirrors_reap(struct worker *w)
{
        while (w->mirrors_dead) {
                struct mirror *m = w->mirrors_dead;
                w->mirrors_dead = m->next;
                arena_fini(&m->x.s.arena);
                free(m);
        }
}
