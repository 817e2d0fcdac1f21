/* l7gw/io/worker.c - see worker.h. */
#include "lib/base.h"
#include "l7gw/io/worker.h"
#include "l7gw/io/mirror.h"
#include "l7gw/io/conn.h"
#include "l7gw/io/listen.h"
#include "l7gw/io/proxy.h"
#include "l7gw/io/tls_context.h"
#include "l7gw/io/tunnel.h"
#include "l7gw/io/upstream.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

/* ---- time and chance ---- */

static void turn_end(struct loop_defer *d)
{
        CONTAINER_OF(d, struct worker, turn_end)->time_valid = false;
}

static void time_read(struct worker *w)
{
        struct timespec mono, wall;
        if (w->time_valid)
                return;
        clock_gettime(CLOCK_MONOTONIC, &mono);
        clock_gettime(CLOCK_REALTIME, &wall);
        w->mono_us = (uint64_t)mono.tv_sec * 1000000 + (uint64_t)mono.tv_nsec / 1000;
        w->wall_us = (uint64_t)wall.tv_sec * 1000000 + (uint64_t)wall.tv_nsec / 1000;
        w->time_valid = true;
        loop_defer(w->loop, &w->turn_end);
}

uint64_t worker_mono_us(struct worker *w)
{
        time_read(w);
        return w->mono_us;
}

uint64_t worker_wall_us(struct worker *w)
{
        time_read(w);
        return w->wall_us;
}

struct span worker_date(struct worker *w)
{
        uint64_t s = worker_wall_us(w) / 1000000;
        if (s != w->date_s) {
                struct tm tm;
                time_t t = (time_t)s;
                gmtime_r(&t, &tm);
                strftime(w->date, sizeof w->date, "%a, %d %b %Y %H:%M:%S GMT",
                         &tm); /* RFC 9110 5.6.7; the locale is "C" */
                w->date_s = s;
        }
        return span_str(w->date);
}

uint64_t worker_random(struct worker *w) /* Blackman and Vigna, 2018 */
{
        uint64_t *s = w->rng, x = s[1] * 5, r = ((x << 7) | (x >> 57)) * 9, t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = (s[3] << 45) | (s[3] >> 19);
        return r;
}

uint64_t worker_spread(struct worker *w)
{
        return w->spread += UINT64_C(0x9e3779b97f4a7c15);
}

/* ---- generations ---- */

struct worker_gen *worker_gen_get(struct worker *w)
{
        if (w->current)
                w->current->refs++;
        return w->current;
}

void worker_gen_put(struct worker *w, struct worker_gen *wg)
{
        if (--wg->refs > 0)
                return;
        struct worker_gen **at = &w->gens;
        while (*at != wg)
                at = &(*at)->next;
        *at = wg->next;
        struct generation *g = wg->gen;
        free(wg);
        /* acq_rel: everything the workers read in it happened before the control thread frees it */
        if (atomic_fetch_sub_explicit(&g->workers, 1, memory_order_acq_rel) == 1)
                mailbox_post(&w->shared->control_mail, w->shared->control_loop, &g->released);
}

/* Out of memory: the old endpoints serve on. */
static void plan_adopt(struct worker *w, struct cluster_rt *c, struct balance_plan *plan)
{
        struct balance *b = &c->balance[w->id];
        if (b->plan && b->plan->identity == plan->identity)
                return;
        int r = balance_adopt(b, plan, loop_now_ms(w->loop), worker_random(w));
        if (r < 0)
                worker_count(w, WORKER_PLANS_LOST);
}

static void plans_adopt(struct worker *w, const struct generation *g)
{
        for (size_t i = 0; i < g->n_clusters; i++)
                if (g->clusters[i].plan)
                        plan_adopt(w, g->clusters[i].rt, g->clusters[i].plan);
}

struct adopt_mail {
        struct mail mail;
        struct generation *gen;
        struct worker_gen *book; /* allocated by the sender: adopting cannot fail */
};

static void adopt(void *receiver, struct mail *m)
{
        struct worker *w = receiver;
        struct adopt_mail *a = CONTAINER_OF(m, struct adopt_mail, mail);
        struct worker_gen *old = w->current, *wg = a->book;
        *wg = (struct worker_gen){.gen = a->gen, .refs = 1, .next = w->gens};
        free(a);
        w->gens = wg;
        plans_adopt(w, wg->gen);
        w->current = wg;
        listen_adopt(w, wg->gen);
        if (w->drain != DRAIN_NONE)
                listen_close_all(w); /* too late for new ones */
        conns_adopt(w);
        if (old)
                worker_gen_put(w, old);
        pthread_mutex_lock(&w->shared->adopt_lock);
        w->shared->adopted++;
        pthread_cond_signal(&w->shared->adopt_cond);
        pthread_mutex_unlock(&w->shared->adopt_lock);
}

void worker_post_generation(struct worker *w, struct generation *g)
{
        struct adopt_mail *a = calloc(1, sizeof *a);
        struct worker_gen *book = calloc(1, sizeof *book);
        BUG_ON(!a || !book);
        *a = (struct adopt_mail){.mail.fn = adopt, .gen = g, .book = book};
        mailbox_post(&w->mail, w->loop, &a->mail);
}

static void set_apply(void *receiver, struct mail *m)
{
        struct worker *w = receiver;
        struct set_update *u = CONTAINER_OF(m, struct set_update_mail, mail)->update;
        for (size_t i = 0; i < u->n; i++)
                plan_adopt(w, u->plans[i].cluster, u->plans[i].plan);
        if (atomic_fetch_sub_explicit(&u->pending, 1, memory_order_acq_rel) == 1)
                mailbox_post(&w->shared->control_mail, w->shared->control_loop, &u->done);
}

void worker_post_set(struct worker *w, struct set_update *u)
{
        u->mails[w->id] = (struct set_update_mail){.mail.fn = set_apply, .update = u};
        mailbox_post(&w->mail, w->loop, &u->mails[w->id].mail);
}

struct mark_mail {
        struct mail mail;
        struct cluster_rt *cluster;
        struct ipaddr addr;
        uint16_t port;
        uint8_t bad;
};

static void mark_apply(void *receiver, struct mail *m)
{
        struct worker *w = receiver;
        struct mark_mail *k = CONTAINER_OF(m, struct mark_mail, mail);
        balance_mark(&k->cluster->balance[w->id], &k->addr, k->port, k->bad, loop_now_ms(w->loop));
        free(k);
}

void worker_post_mark(struct worker *w, struct cluster_rt *c, const struct ipaddr *addr, uint16_t port, uint8_t bad)
{
        struct mark_mail *k = malloc(sizeof *k);
        BUG_ON(!k);
        *k = (struct mark_mail){.mail.fn = mark_apply, .cluster = c, .addr = *addr, .port = port, .bad = bad};
        mailbox_post(&w->mail, w->loop, &k->mail);
}

/* ---- drain ---- */

static void drained_check(struct worker *w)
{
        if (w->drain == DRAIN_NONE || w->n_conns > 0 || w->drained_posted)
                return;
        w->drained_posted = true;
        mailbox_post(&w->shared->control_mail, w->shared->control_loop, &w->drained);
}

void worker_conn_gone(struct worker *w)
{
        w->n_conns--;
        metric_set(&w->counters.connections, w->n_conns);
        atomic_fetch_sub_explicit(&w->shared->connections, 1, memory_order_relaxed);
        drained_check(w);
}

static void drain_apply(void *receiver, struct mail *m)
{
        struct worker *w = receiver;
        w->drain = CONTAINER_OF(m, struct drain_mail, mail)->stage;
        if (w->drain == DRAIN_SOFT) {
                listen_close_all(w);
                conns_drain(w);
        } else {
                conns_close_all(w);
                tunnels_close_all(w);
        }
        drained_check(w);
}

void worker_post_drain(struct worker *w, struct drain_mail *m)
{
        m->mail.fn = drain_apply;
        mailbox_post(&w->mail, w->loop, &m->mail);
}

/* ---- signs of life ---- */

static void beat_taken(void *receiver, struct mail *m)
{
        struct worker *w = receiver;
        (void)m;
        atomic_store_explicit(&w->beat_pending, false, memory_order_release);
}

bool worker_beat(struct worker *w)
{
        if (atomic_load_explicit(&w->beat_pending, memory_order_acquire)) /* acquire: the mail is out of the box */
                return false;
        atomic_store_explicit(&w->beat_pending, true, memory_order_relaxed); /* published by the mailbox */
        w->beat.fn = beat_taken;
        mailbox_post(&w->mail, w->loop, &w->beat);
        return true;
}

/* ---- life ---- */

static void reap(struct loop_defer *d)
{
        struct worker *w = CONTAINER_OF(d, struct worker, reaper);
        conns_reap(w);
        tunnels_reap(w);
        mirrors_reap(w);
        upstreams_reap(w);
}

void worker_reap_later(struct worker *w)
{
        loop_defer(w->loop, &w->reaper);
}

static void wake(void *arg)
{
        struct worker *w = arg;
        mailbox_run(&w->mail, w);
}

static void *worker_main(void *arg)
{
        struct worker *w = arg;
        char name[16];
        snprintf(name, sizeof name, "worker-%u", w->id);
        pthread_setname_np(pthread_self(), name);
        int r = loop_run(w->loop);
        if (r < 0)
                log_error("worker_loop", "worker=%u error=%s", w->id, LOG_ESC(strerror(-r)));
        return NULL;
}

static void worker_free(struct worker *w)
{
        SSL_CTX_free(w->tls_front);
        sendq_fini(&w->sends);
        loop_free(w->loop);
        free(w->rd);
        free(w->plain);
        buf_fini(&w->head);
        buf_fini(&w->line);
        map_fini(&w->peers);
        if (w->reserve_fd >= 0)
                close(w->reserve_fd);
}

int worker_start(struct worker *w, struct shared *sh, unsigned id)
{
        *w = (struct worker){
                .shared = sh, .options = sh->options, .id = id, .reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC)};
        w->loop = loop_new();
        w->tls_front = tls_front_new(conn_client_hello, sh->ticket_keys);
        w->rd = malloc(L7_SCRATCH_BYTES);
        w->plain = malloc(L7_SCRATCH_BYTES);
        w->turn_end.fn = turn_end;
        w->reaper.fn = reap;
        chunk_pool_init(&w->chunks);
        map_init(&w->peers);
        buf_init(&w->head, 1u << 20);
        buf_init(&w->line, 1u << 17);
        timer_init(&w->accept_timer, listen_resume);
        int why = 0;
        bool ok = w->loop && sendq_init(&w->sends, w->loop, sh->options->io_uring, &why) == 0 && w->tls_front && w->rd && w->plain && w->reserve_fd >= 0 &&
                  getrandom(w->rng, sizeof w->rng, 0) == (ssize_t)sizeof w->rng;
        int e = 0;
        if (id == 0)
                log_info("sends", "by=%s why=%s", w->sends.ring ? "io_uring" : "send", LOG_ESC(why < 0 ? strerror(-why) : sh->options->io_uring ? "auto" : "off"));
        if (ok) {
                w->spread = worker_random(w); /* workers and shards start at different places */
                loop_on_wake(w->loop, wake, w);
                e = pthread_create(&w->thread, NULL, worker_main, w);
        }
        if (ok && e == 0)
                return 0;
        worker_free(w);
        return e ? -e : -ENOMEM;
}

void worker_stop(struct worker *w)
{
        loop_stop(w->loop);
        pthread_join(w->thread, NULL);
        mailbox_run(&w->mail, w); /* what came too late */
        listen_close_all(w);
        conns_close_all(w);
        tunnels_close_all(w);
        mirrors_close_all(w);
        upstreams_close_all(w);
        conns_reap(w);
        tunnels_reap(w);
        mirrors_reap(w);
        upstreams_reap(w);
        conns_free_pools(w);
        proxy_free_pools(w);
        if (w->current)
                worker_gen_put(w, TAKE_PTR(w->current));
        chunk_pool_fini(&w->chunks);
        pipe_pool_fini(&w->pipes);
        worker_free(w);
}
