/* l4lb/io/worker.h - the workers: one per core, run to completion over their queue of every port.  Layer: l4lb/io.
 * Thread rule: struct workers belongs to the control thread; a struct io_worker to its lcore, but for the fields marked
 * shared.  A worker takes the active generation once per turn and reports a quiescent state after its last use.
 *
 *   control thread --frames ring--> worker --tx--> port        requests of neighbours and probes, announcements
 *   worker --handed ring--> worker                         packets of the other's NAT connections
 *   port --rx--> worker --punts ring--> control thread         ARP / ND answers, probe answers; loop_wake */
#pragma once
#include "l4lb/core/pipeline.h"
#include "l4lb/io/idle.h"
#include "l4lb/io/port.h"
#include "lib/io/loop.h"

#define WORKER_BURST 32
#define WORKER_RING 1024 /* frames waiting either way; over it they are dropped and counted */

struct generation { /* what workers read; one per ACTIVATE, freed after a grace period */
        struct tables *tables;
        const struct model *model; /* borrowed from dpclient until released */
        uint16_t counter_of[];     /* service index -> counter, stable over generations */
};
struct traffic { /* one writer: the worker */
        metric_t packets, bytes;
};

#define WORKER_COUNTERS(C) /* C(ID, name, help) */                                                                     \
        C(TURNS, "worker_turns_total", "Turns of the worker's loop")                                                   \
        C(PAUSES, "worker_pauses_total", "Empty polls followed by a pause")                                            \
        C(SLEEPS, "worker_sleeps_total", "Times the worker slept")                                                     \
        C(WAITS, "worker_waits_total", "Times the worker blocked on its ports' descriptors")                           \
        C(STALLS, "worker_stalls_total", "Turns that began 50 ms or more late: something else had our core")           \
        C(FRAMES_SENT, "worker_frames_sent_total", "Frames of the control thread sent")                                \
        C(FRAMES_LOST, "worker_frames_lost_total", "Frames of the control thread that found the transmit queue full")  \
        C(MULTISEG, "worker_multisegment_total", "Received frames of more than one buffer")
enum worker_counter {
#define C(id, name, help) WORKER_##id,
        WORKER_COUNTERS(C)
#undef C
                WORKER_COUNTER_N
};

/* A packet of our own, for `trace`: a worker runs it through its pipeline as if it had come in by in_port, and tells
 * how it ended; it is neither sent nor counted.  The control thread owns it while state is IDLE, the worker while it is
 * ASKED. */
enum trace_state { TRACE_IDLE, TRACE_ASKED };
struct trace {
        _Atomic(enum trace_state) state;
        uint8_t frame[128];
        uint16_t len;
        uint8_t in_port;
        uint8_t verdict, out_port; /* answer; out_port for verdicts that send */
        uint16_t service, backend; /* or SERVICE_NONE, BACKEND_NONE */
};

struct rte_mbuf;
struct rte_ring;
struct workers;
struct tx_batch {
        uint16_t n;
        uint16_t pkt[WORKER_BURST]; /* index in the burst: an unsent frame changes its verdict */
        struct rte_mbuf *m[WORKER_BURST];
};
struct io_worker {
        struct worker core; /* its counters are shared: read by anyone */
        struct workers *all;
        unsigned index; /* also the queue it owns on each port, and its QSBR id */
        struct idle idle;
        uint64_t now_ms, next_ms_tsc, ms_tsc;
        bool rested;                     /* since the clock was read last */
        struct rte_ring *punts, *frames; /* shared: single producer, single consumer */
        struct rte_ring *handed;         /* shared: many producers; NULL = there is no other worker */
        int epfd, wakefd;                /* epfd -1: some port gives nothing to wait on */
        int intr_epfd;                   /* DPDK's, of the ports with rx interrupts; inside epfd.  -1: none has them */
        _Atomic bool resting;            /* shared: set before the last look at the frames ring */
        struct tx_batch tx[L4_MAX_PORTS];
        struct traffic backends[L4_MAX_BACKENDS]; /* shared */
        struct traffic *services;                 /* shared: L4_MAX_SERVICES counters */
        metric_t counters[WORKER_COUNTER_N];      /* shared */
        struct trace trace;                       /* shared, by its state */
        void *flow_memory;
} CACHE_ALIGNED;

struct rte_rcu_qsbr;
struct workers {
        const struct settings *settings;
        const struct ports *ports; /* borrowed, both */
        struct loop *loop;         /* woken when punts wait; NULL = nobody is */
        _Atomic(struct generation *) active;
        struct rte_rcu_qsbr *qs;
        _Atomic bool stop;
        bool running;
        unsigned n;
        struct io_worker *w[SETTINGS_MAX_WORKERS];
};

/* Allocates workers for the ports' queues; nothing runs yet.  net, n and r are borrowed. */
int workers_init(struct workers *ws, const struct settings *s, const struct ports *ps, struct loop *l,
                 const struct net *net, const struct neigh *n, const struct backends *r, uint64_t now_ms,
                 struct err *reterr) MUST_USE;
int workers_start(struct workers *ws, struct err *reterr) NONNULL(1, 2) MUST_USE;
void workers_stop(struct workers *ws) NONNULL(1); /* each empties its queues once more, then ends */
void workers_fini(struct workers *ws) NONNULL(1);
/* One turn of one worker in the caller's thread: what tests and benches run instead of workers_start.  Packets
 * received. */
unsigned worker_turn(struct io_worker *w) NONNULL(1);

/* Control thread: sends a copy of the frame by port; false when there was no buffer or the ring was full. */
bool workers_send(struct workers *ws, uint8_t port, const void *frame, size_t len) NONNULL(1, 3);
/* Control thread: hands w->trace, filled in, to the worker; its answer is there when the state is TRACE_IDLE again. */
void workers_trace(struct io_worker *w) NONNULL(1);
/* Control thread: hands every punted frame, with its PUNT_ verdict, to fn and frees it; how many. */
typedef void punt_fn(void *arg, enum l4_verdict verdict, uint8_t in_port, const uint8_t *frame, size_t len);
size_t workers_punts(struct workers *ws, punt_fn *fn, void *arg) NONNULL(1, 2);
