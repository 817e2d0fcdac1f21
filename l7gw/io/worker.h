/* l7gw/io/worker.h - one thread of the gateway: its loop, listeners, connections, upstream pools, counters.
 * Layer: l7gw/io.  Shared nothing: everything in here is touched by this thread alone, except the mailbox, and the
 * counters, which the control thread reads.  Nothing is allocated per request in steady state: streams, connections and
 * queue chunks come from free lists. */
#pragma once
#include "l7gw/core/chain.h"
#include "l7gw/core/h1.h"
#include "l7gw/io/generation.h"
#include "l7gw/io/options.h"
#include "l7gw/io/pipe.h"
#include "l7gw/io/sendq.h"
#include "lib/io/log.h"
#include <openssl/ssl.h>
#include <pthread.h>

struct access_log;
struct conn;
struct exchange;
struct upconn;
struct tunnel;
struct listen_fd;

struct streak_mail { /* an endpoint has failed as often in a row as its cluster allows: to the control thread, which frees it */
        struct mail mail;
        struct cluster_rt *cluster;
        struct ipaddr addr;
        uint16_t port;
        enum balance_result what;
};
struct shared { /* what the workers share with the control thread; constant after start but for the atomics */
        const struct options *options;
        struct access_log *log;
        uint8_t ticket_keys[80]; /* TLS session tickets: any worker opens what another has sealed */
        struct loop *control_loop;
        struct mailbox control_mail;
        void (*streak)(void *receiver, struct mail *m); /* takes a streak_mail, in the control thread */
        atomic_uint connections;
        pthread_mutex_t adopt_lock; /* adopted: how many workers run the generation posted last */
        pthread_cond_t adopt_cond;
        unsigned adopted;
};
struct worker_gen { /* this worker's book on one generation */
        struct worker_gen *next;
        struct generation *gen;
        size_t refs; /* requests, plus one while it is the current one */
};
enum drain { DRAIN_NONE, DRAIN_SOFT, DRAIN_HARD };
struct worker {
        struct shared *shared;
        const struct options *options;
        unsigned id;
        pthread_t thread;
        struct loop *loop;
        struct sendq sends;
        struct mailbox mail;
        SSL_CTX *tls_front;
        struct worker_gen *current, *gens;
        enum drain drain;
        /* listening */
        struct listen_fd *listeners;
        struct timer accept_timer;
        int reserve_fd; /* given up for a moment when descriptors run out */
        bool accept_paused;
        /* live objects and free lists */
        struct conn *conns, *conns_free, *conns_dead;
        struct upconn *ups, *ups_dead;
        struct tunnel *tunnels, *tunnels_dead;
        struct exchange *exchanges_free;
        struct mirror *mirrors, *mirrors_dead;
        size_t n_mirrors;
        size_t n_conns, n_conns_free, n_exchanges, n_exchanges_free;
        struct map peers;         /* address and port -> struct peer */
        struct loop_defer reaper; /* frees the dead at the end of the turn */
        struct chunk_pool chunks;
        struct pipe_pool pipes;
        /* scratch, good within one handler */
        uint8_t *rd, *plain;
        struct buf head, line;
        /* time, read once per turn */
        struct loop_defer turn_end;
        uint64_t mono_us, wall_us;
        bool time_valid;
        uint64_t date_s;
        char date[32];
        uint64_t rng[4], spread;
        struct worker_counters counters;
        struct log_limit tls_limit; /* of lines about endpoints that fail in TLS */
        struct mail drained; /* to the control thread: no connection is left */
        bool drained_posted;
        struct mail beat; /* from the control thread and taken here: proof that the loop turns */
        atomic_bool beat_pending;
};
int worker_start(struct worker *w, struct shared *sh, unsigned id) NONNULL(1, 2) MUST_USE; /* 0 or -errno */
void worker_stop(struct worker *w) NONNULL(1); /* from the control thread: stops, joins, frees */

/* Inside the worker. */
uint64_t worker_mono_us(struct worker *w) NONNULL(1);
uint64_t worker_wall_us(struct worker *w) NONNULL(1);
struct span worker_date(struct worker *w) NONNULL(1);           /* IMF-fixdate, good within one handler */
uint64_t worker_random(struct worker *w) NONNULL(1);            /* xoshiro256**: not for secrets */
/* The next of a sequence that fills 0..2^64 evenly in every stretch (Weyl's, by the golden ratio): shares by weight hold over
 * tens of requests, where random numbers need thousands. */
uint64_t worker_spread(struct worker *w) NONNULL(1);
struct worker_gen *worker_gen_get(struct worker *w) NONNULL(1); /* the current one, NULL before the first */
void worker_gen_put(struct worker *w, struct worker_gen *wg) NONNULL(1, 2);
void worker_reap_later(struct worker *w) NONNULL(1);
void worker_conn_gone(struct worker *w) NONNULL(1);
static inline void worker_count(struct worker *w, enum worker_counter c)
{
        metric_add(&w->counters.v[c], 1);
}

/* From the control thread. */
struct drain_mail {
        struct mail mail;
        enum drain stage;
};
void worker_post_generation(struct worker *w, struct generation *g) NONNULL(1, 2);
void worker_post_drain(struct worker *w, struct drain_mail *m) NONNULL(1, 2);
/* False: the worker has not taken the beat posted last.  Posts the next one otherwise. */
bool worker_beat(struct worker *w) NONNULL(1);
struct set_update { /* one endpoint set, on the fast path, as its clusters see it: shared by all workers, freed by the control thread */
        struct set_plan {
                struct cluster_rt *cluster;
                struct balance_plan *plan;
        } *plans;
        size_t n;
        atomic_uint pending;
        struct mail done;
        struct set_update_mail {
                struct mail mail;
                struct set_update *update;
        } mails[];
};
/* What balance_mark does.  The cluster is of the generation posted last. */
void worker_post_mark(struct worker *w, struct cluster_rt *c, const struct ipaddr *addr, uint16_t port, uint8_t bad) NONNULL(1, 2, 3);
void worker_post_set(struct worker *w, struct set_update *u) NONNULL(1, 2);
