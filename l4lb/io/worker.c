/* l4lb/io/worker.c - see worker.h.  The packet path: rx burst -> struct pkt[] -> core -> tx burst, in worker_port. */
#include "lib/base.h"
#include "l4lb/io/worker.h"
#include "l4lb/io/worker_private.h"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_epoll.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_pause.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>

#define REST_WAIT_MS 250 /* longest block: a chance to sweep the flow table */
#define STALL_MS 50
#define DRAIN_TURNS 1024 /* on stop: at most this many turns to empty the queues */
#define TIMER_SLACK_NS 1000

static uint64_t clock_ms(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The clock is read once a millisecond, by the cycle counter; the flow table is swept at the same pace. */
static void worker_time(struct io_worker *w)
{
        uint64_t tsc = rte_rdtsc();
        if (likely((int64_t)(tsc - w->next_ms_tsc) < 0))
                return;
        uint64_t now = clock_ms();
        if (unlikely(now - w->now_ms >= STALL_MS && !w->rested))
                metric_add(&w->counters[WORKER_STALLS], 1);
        w->rested = false;
        w->now_ms = now;
        w->next_ms_tsc = tsc + w->ms_tsc;
        worker_sweep(&w->core, now);
}

static void pkts_from_mbufs(struct io_worker *w, uint8_t port, struct rte_mbuf **m, struct pkt *p, unsigned n)
{
        unsigned multiseg = 0;
        for (unsigned i = 0; i < n; i++) {
                p[i].p = rte_pktmbuf_mtod(m[i], uint8_t *);
                p[i].mbuf = m[i];
                p[i].len = rte_pktmbuf_data_len(m[i]);
                p[i].wire_len = rte_pktmbuf_pkt_len(m[i]);
                p[i].head = rte_pktmbuf_headroom(m[i]);
                p[i].handed = 0;
                p[i].cap = p[i].len + rte_pktmbuf_tailroom(m[i]);
                p[i].in_port = port;
                p[i].rx_flags = (m[i]->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD
                                        ? PKT_RX_IP_CKSUM_GOOD
                                        : 0;
                multiseg += p[i].len != p[i].wire_len;
        }
        if (unlikely(multiseg))
                metric_add(&w->counters[WORKER_MULTISEG], multiseg);
}

/* A frame that the core made longer or shorter, at its end (a reply, all of it in the first buffer: the others are let go) or
 * at its beginning (another IP version, a tunnel). */
static void mbuf_fit(struct rte_mbuf *m, const struct pkt *p)
{
        if (likely(p->wire_len == rte_pktmbuf_pkt_len(m) && p->p == rte_pktmbuf_mtod(m, uint8_t *)))
                return;
        if (p->len == p->wire_len && m->next) {
                rte_pktmbuf_free(m->next);
                m->next = NULL;
                m->nb_segs = 1;
        }
        m->data_off = (uint16_t)(p->p - (uint8_t *)m->buf_addr);
        m->data_len = (uint16_t)p->len;
        m->pkt_len = p->wire_len;
}

static void worker_flush(struct io_worker *w, unsigned out, struct pkt *p)
{
        struct tx_batch *t = &w->tx[out];
        uint16_t sent = rte_eth_tx_burst(w->all->ports->v[out].id, (uint16_t)w->index, t->m, t->n);
        for (uint16_t i = sent; i < t->n; i++)
                p[t->pkt[i]].verdict = DROP_TX_FULL;
        if (unlikely(sent < t->n))
                rte_pktmbuf_free_bulk(t->m + sent, t->n - sent);
        t->n = 0;
}

/* Packets of other workers' connections.  A worker that rests is woken. */
static void worker_hand(struct io_worker *w, struct pkt *p, uint16_t i)
{
        struct io_worker *to = w->all->w[p[i].out_port];
        struct rte_mbuf *m = p[i].mbuf;
        m->port = p[i].in_port; /* our number, not the device's */
        m->hash.usr = p[i].handed + 1u;
        if (rte_ring_mp_enqueue(to->handed, m) < 0) {
                p[i].verdict = DROP_TX_FULL;
                rte_pktmbuf_free(m);
                return;
        }
        atomic_thread_fence(memory_order_seq_cst); /* it is in the ring before we look at `resting`; see worker_rest */
        worker_wake(to);
}

static void worker_punt(struct io_worker *w, struct pkt *p, const uint16_t *punts, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                struct pkt *q = &p[punts[i]];
                struct rte_mbuf *m = q->mbuf;
                m->port = q->in_port; /* our number, not the device's */
                m->hash.usr = q->verdict;
                if (rte_ring_sp_enqueue(w->punts, m) < 0) {
                        q->verdict = DROP_PUNT_FULL;
                        rte_pktmbuf_free(m);
                }
        }
        if (w->all->loop)
                loop_wake(w->all->loop);
}

/* Sends, punts or frees every packet of the burst by its verdict. */
static void pkts_out(struct io_worker *w, struct pkt *p, unsigned n)
{
        struct rte_mbuf *drops[WORKER_BURST];
        uint16_t punts[WORKER_BURST];
        unsigned n_drops = 0, n_punts = 0;
        uint64_t outs = 0; /* ports with something to send */
        for (unsigned i = 0; i < n; i++) {
                switch (verdict_kind(p[i].verdict)) {
                case VERDICT_KIND_TX: {
                        struct tx_batch *t = &w->tx[p[i].out_port];
                        mbuf_fit(p[i].mbuf, &p[i]);
                        t->pkt[t->n] = (uint16_t)i;
                        t->m[t->n++] = p[i].mbuf;
                        outs |= UINT64_C(1) << p[i].out_port;
                        break;
                }
                case VERDICT_KIND_HAND:
                        worker_hand(w, p, (uint16_t)i);
                        break;
                case VERDICT_KIND_PUNT:
                        punts[n_punts++] = (uint16_t)i;
                        break;
                case VERDICT_KIND_DROP:
                case VERDICT_KIND_NONE: /* core's promise: never */
                        drops[n_drops++] = p[i].mbuf;
                        break;
                }
        }
        if (n_drops)
                rte_pktmbuf_free_bulk(drops, n_drops);
        for (; outs; outs &= outs - 1)
                worker_flush(w, (unsigned)__builtin_ctzll(outs), p);
        if (unlikely(n_punts))
                worker_punt(w, p, punts, n_punts);
}

static void traffic_add(struct traffic *t, uint32_t bytes)
{
        metric_add(&t->packets, 1);
        metric_add(&t->bytes, bytes);
}

static void count_traffic(struct io_worker *w, const struct generation *g, const struct pkt *p, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                if (p[i].verdict == FORWARD_SHARD || p[i].verdict == FORWARD_NAT || p[i].verdict == FORWARD_TUNNEL) {
                        if (p[i].backend < L4_MAX_BACKENDS)
                                traffic_add(&w->backends[p[i].backend], p[i].wire_len);
                        if (g && p[i].service < g->tables->n_services)
                                traffic_add(&w->services[g->counter_of[p[i].service]], p[i].wire_len);
                }
}

static void worker_burst(struct io_worker *w, const struct generation *g, struct pkt *p, unsigned n)
{
        pipeline_run(&w->core, g ? g->tables : NULL, w->now_ms, p, n);
        pkts_out(w, p, n);
        verdicts_count(&w->core.verdicts, p, n);
        count_traffic(w, g, p, n);
}

static unsigned worker_port(struct io_worker *w, const struct generation *g, uint8_t port)
{
        struct rte_mbuf *m[WORKER_BURST];
        struct pkt p[WORKER_BURST];
        unsigned n = rte_eth_rx_burst(w->all->ports->v[port].id, (uint16_t)w->index, m, WORKER_BURST);
        if (n == 0)
                return 0;
        pkts_from_mbufs(w, port, m, p, n);
        worker_burst(w, g, p, n);
        return n;
}

/* What other workers received of our NAT connections. */
static unsigned worker_handed(struct io_worker *w, const struct generation *g)
{
        struct rte_mbuf *m[WORKER_BURST];
        struct pkt p[WORKER_BURST];
        unsigned n = rte_ring_sc_dequeue_burst(w->handed, (void **)m, WORKER_BURST, NULL);
        if (n == 0)
                return 0;
        for (unsigned i = 0; i < n; i++) {
                pkts_from_mbufs(w, (uint8_t)m[i]->port, &m[i], &p[i], 1);
                p[i].handed = (uint8_t)m[i]->hash.usr;
        }
        worker_burst(w, g, p, n);
        return n;
}

/* Frames of the control thread: few, so one by one. */
static unsigned worker_frames(struct io_worker *w)
{
        struct rte_mbuf *m[WORKER_BURST];
        unsigned n = rte_ring_sc_dequeue_burst(w->frames, (void **)m, WORKER_BURST, NULL);
        for (unsigned i = 0; i < n; i++) {
                if (rte_eth_tx_burst(w->all->ports->v[m[i]->port].id, (uint16_t)w->index, &m[i], 1) == 1) {
                        metric_add(&w->counters[WORKER_FRAMES_SENT], 1);
                } else {
                        metric_add(&w->counters[WORKER_FRAMES_LOST], 1);
                        rte_pktmbuf_free(m[i]);
                }
        }
        return n;
}

/* The whole packet path but the devices: what the health gate asks for.  A SYN leaves nothing in the flow table; under NAT,
 * a half-open connection for half a minute. */
static void worker_trace(struct io_worker *w, const struct generation *g)
{
        struct trace *t = &w->trace;
        uint8_t room[RTE_PKTMBUF_HEADROOM + sizeof t->frame], *f = room + RTE_PKTMBUF_HEADROOM;
        memcpy(f, t->frame, sizeof t->frame);
        struct pkt p = {.p = f,
                        .head = RTE_PKTMBUF_HEADROOM,
                        .len = t->len,
                        .wire_len = t->len,
                        .cap = sizeof t->frame,
                        .in_port = t->in_port};
        pipeline_run(&w->core, g ? g->tables : NULL, w->now_ms, &p, 1);
        t->verdict = p.verdict;
        t->out_port = p.out_port;
        t->service = p.service;
        t->backend = p.backend;
        /* release: the answer is complete before the control thread sees the state */
        atomic_store_explicit(&t->state, TRACE_IDLE, memory_order_release);
}

unsigned worker_turn(struct io_worker *w)
{
        unsigned n = 0, frames;
        worker_time(w);
        /* acquire: pairs with the release in generation_publish; the tables are seen complete */
        const struct generation *g = atomic_load_explicit(&w->all->active, memory_order_acquire);
        for (unsigned port = 0; port < w->all->ports->n; port++)
                n += worker_port(w, g, (uint8_t)port);
        if (w->handed)
                n += worker_handed(w, g);
        frames = worker_frames(w);
        if (unlikely(atomic_load_explicit(&w->trace.state, memory_order_acquire) == TRACE_ASKED))
                worker_trace(w, g);
        rte_rcu_qsbr_quiescent(w->all->qs, w->index); /* g is dead from here */
        metric_add(&w->counters[WORKER_TURNS], 1);
        if (n || frames)
                idle_busy(&w->idle);
        return n;
}

/* Packets are left to the next turn; only our wake-up and a socket's error (its interface went down) must be taken. */
static void worker_event(struct io_worker *w, int fd, uint32_t events)
{
        uint64_t v;
        int e;
        socklen_t len = sizeof e;
        if (fd == w->wakefd) {
                ssize_t r = read(fd, &v, sizeof v); /* EAGAIN: taken before; either is fine */
                (void)r;
        } else if (fd == w->intr_epfd) {
                struct rte_epoll_event taken[8];
                while (rte_epoll_wait(fd, taken, ARRAY_SIZE(taken), 0) == ARRAY_SIZE(taken))
                        ; /* edges: what is not taken now is still pending */
        } else if (events & EPOLLERR) {
                (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len); /* reading clears it: else we would spin on it */
        }
}

static void worker_interrupts(struct io_worker *w, bool on)
{
        const struct ports *ps = w->all->ports;
        for (size_t i = 0; w->intr_epfd >= 0 && i < ps->n; i++) {
                if (!ps->v[i].interrupts)
                        continue;
                int r = on ? rte_eth_dev_rx_intr_enable(ps->v[i].id, (uint16_t)w->index)
                           : rte_eth_dev_rx_intr_disable(ps->v[i].id, (uint16_t)w->index);
                (void)r; /* fails for a device that is gone only; then REST_WAIT_MS ends the rest */
        }
}

/* Blocks on the ports' descriptors, or sleeps.  Offline meanwhile: no grace period waits for a resting worker. */
static void worker_rest(struct io_worker *w)
{
        worker_interrupts(w, true);
        if (w->intr_epfd >= 0 && worker_turn(w)) { /* came before the interrupt was armed: none will tell */
                worker_interrupts(w, false);
                return;
        }
        struct epoll_event ev[8];
        /* seq_cst, as in workers_send: either we see its frame in the ring or it sees us resting and wakes us */
        atomic_store_explicit(&w->resting, true, memory_order_seq_cst);
        atomic_thread_fence(memory_order_seq_cst);
        if (rte_ring_empty(w->frames) && (!w->handed || rte_ring_empty(w->handed)) &&
            atomic_load_explicit(&w->trace.state, memory_order_relaxed) == TRACE_IDLE &&
            !atomic_load_explicit(&w->all->stop, memory_order_relaxed)) {
                rte_rcu_qsbr_thread_offline(w->all->qs, w->index);
                if (w->epfd >= 0) {
                        metric_add(&w->counters[WORKER_WAITS], 1);
                        int n = epoll_wait(w->epfd, ev, ARRAY_SIZE(ev), REST_WAIT_MS);
                        for (int i = 0; i < n; i++)
                                worker_event(w, ev[i].data.fd, ev[i].events);
                } else {
                        struct timespec ts = {.tv_nsec = (long)w->idle.sleep_us * 1000};
                        metric_add(&w->counters[WORKER_SLEEPS], 1);
                        clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
                }
                rte_rcu_qsbr_thread_online(w->all->qs, w->index);
                w->rested = true;
        }
        atomic_store_explicit(&w->resting, false, memory_order_relaxed);
        worker_interrupts(w, false);
}

int worker_main(void *arg)
{
        struct io_worker *w = arg;
        (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS); /* else a sleep of 10 us takes 60; failure only costs that */
        rte_rcu_qsbr_thread_online(w->all->qs, w->index);
        w->rested = true; /* the time since boot was no stall */
        while (!atomic_load_explicit(&w->all->stop, memory_order_relaxed)) {
                if (worker_turn(w))
                        continue;
                switch (idle_next(&w->idle)) {
                case IDLE_SPIN:
                        break;
                case IDLE_PAUSE:
                        metric_add(&w->counters[WORKER_PAUSES], 1);
                        rte_pause();
                        break;
                case IDLE_REST:
                        worker_rest(w);
                        break;
                }
        }
        for (unsigned i = 0; i < DRAIN_TURNS && worker_turn(w); i++)
                ;
        rte_rcu_qsbr_thread_offline(w->all->qs, w->index);
        return 0;
}
