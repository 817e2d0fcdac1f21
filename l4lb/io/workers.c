/* l4lb/io/workers.c - the workers' life and the control thread's side of their rings; see worker.h. */
#include "lib/base.h"
#include "l4lb/io/worker.h"
#include "l4lb/io/worker_private.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_epoll.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>

/* The interrupts of this worker's queues, in a set of DPDK's: each driver has its own way to take one. */
static int worker_intr_init(struct io_worker *w)
{
        const struct ports *ps = w->all->ports;
        for (size_t i = 0; i < ps->n; i++) {
                if (!ps->v[i].interrupts)
                        continue;
                if (w->intr_epfd < 0)
                        w->intr_epfd = epoll_create1(EPOLL_CLOEXEC);
                if (w->intr_epfd < 0)
                        return -errno;
                int r = rte_eth_dev_rx_intr_ctl_q(ps->v[i].id, (uint16_t)w->index, w->intr_epfd, RTE_INTR_EVENT_ADD,
                                                  NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* An epoll set over this worker's queue of every port and its wake-up; stays -1 when some queue has nothing to wait on.
 */
static int worker_wait_init(struct io_worker *w)
{
        struct epoll_event ev = {.events = EPOLLIN};
        const struct ports *ps = w->all->ports;
        for (size_t i = 0; i < ps->n; i++)
                if (ps->v[i].fds[w->index] < 0 && !ps->v[i].interrupts)
                        return 0;
        int r = worker_intr_init(w);
        if (r < 0)
                return r;
        w->epfd = epoll_create1(EPOLL_CLOEXEC);
        w->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (w->epfd < 0 || w->wakefd < 0)
                return -errno;
        for (size_t i = 0; i < ps->n; i++) {
                ev.data.fd = ps->v[i].fds[w->index];
                if (ev.data.fd >= 0 && epoll_ctl(w->epfd, EPOLL_CTL_ADD, ev.data.fd, &ev) < 0)
                        return -errno;
        }
        ev.data.fd = w->intr_epfd;
        if (w->intr_epfd >= 0 && epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->intr_epfd, &ev) < 0)
                return -errno;
        ev.data.fd = w->wakefd;
        return epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->wakefd, &ev) < 0 ? -errno : 0;
}

static struct rte_ring *ring_new(const char *what, unsigned index, unsigned producers, struct err *reterr)
{
        char name[32];
        snprintf(name, sizeof name, "%s%u", what, index);
        struct rte_ring *r = rte_ring_create(name, WORKER_RING, SOCKET_ID_ANY, producers | RING_F_SC_DEQ);
        if (!r)
                (void)err_set(reterr, rte_errno, "dpdk.memory_mb", "no room for a ring: %s", rte_strerror(rte_errno));
        return r;
}

static int worker_memory(struct io_worker *w, struct err *reterr)
{
        const struct settings *s = w->all->settings;
        size_t bytes = flow_table_bytes(s->flow_entries);
        int socket = (int)rte_lcore_to_socket_id(w->index + 1);
        w->flow_memory = rte_malloc_socket("flows", bytes, 64, socket);
        w->services = calloc(L4_MAX_SERVICES, sizeof *w->services);
        if (!w->services)
                return err_set(reterr, ENOMEM, "worker", "out of memory");
        if (!w->flow_memory)
                return err_set(reterr, ENOMEM, "flows.table_entries",
                               "no room for a flow table of %zu MiB: raise dpdk.memory_mb or lower flows.table_entries",
                               bytes >> 20);
        w->punts = ring_new("punts", w->index, RING_F_SP_ENQ, reterr);
        w->frames = w->punts ? ring_new("frames", w->index, RING_F_SP_ENQ, reterr) : NULL;
        bool alone = w->all->ports->n_workers == 1;
        w->handed = w->frames && !alone ? ring_new("handed", w->index, 0, reterr) : NULL;
        return w->frames && (alone || w->handed) ? 0 : -ENOMEM;
}

static int worker_new(struct workers *ws, unsigned index, const struct net *net, const struct neigh *n,
                      const struct backends *r, uint64_t now_ms, struct err *reterr)
{
        struct io_worker *w = aligned_alloc(64, sizeof *w);
        struct siphash_key key;
        if (!w)
                return err_set(reterr, ENOMEM, "worker", "out of memory");
        memset(w, 0, sizeof *w);
        ws->w[ws->n++] = w;
        w->all = ws;
        w->index = index;
        w->epfd = w->wakefd = w->intr_epfd = -1;
        w->idle = (struct idle){.spin_polls = ws->settings->spin_polls,
                                .pause_polls = ws->settings->pause_polls,
                                .sleep_us_max = ws->settings->sleep_us_max};
        w->now_ms = now_ms;
        w->ms_tsc = rte_get_tsc_hz() / 1000;
        w->next_ms_tsc = rte_rdtsc();
        int e = worker_memory(w, reterr);
        if (e < 0)
                return e;
        if (getrandom(&key, sizeof key, 0) != (ssize_t)sizeof key)
                return err_set(reterr, EIO, "worker", "no random key");
        worker_init(&w->core, w->flow_memory, ws->settings->flow_entries, key, net, n, r, now_ms);
        worker_nat_ports(&w->core, (uint16_t)ws->settings->nat_lo, (uint16_t)ws->settings->nat_hi, index,
                         ws->ports->n_workers);
        w->core.nat.next = (uint16_t)(key.k0 % w->core.nat.n_own); /* not the same ports again after a restart */
        e = worker_wait_init(w);
        if (e < 0)
                return err_set(reterr, -e, "worker", "cannot wait on the ports: %s", strerror(-e));
        e = rte_rcu_qsbr_thread_register(ws->qs, index);
        BUG_ON(e != 0); /* index < the number of threads it was made for */
        return 0;
}

int workers_init(struct workers *ws, const struct settings *s, const struct ports *ps, struct loop *l,
                 const struct net *net, const struct neigh *n, const struct backends *r, uint64_t now_ms,
                 struct err *reterr)
{
        *ws = (struct workers){.settings = s, .ports = ps, .loop = l};
        size_t size = rte_rcu_qsbr_get_memsize(ps->n_workers);
        ws->qs = aligned_alloc(64, (size + 63) / 64 * 64);
        if (!ws->qs || rte_rcu_qsbr_init(ws->qs, ps->n_workers) != 0)
                return err_set(reterr, ENOMEM, "workers", "out of memory");
        for (unsigned i = 0; i < ps->n_workers; i++) {
                int e = worker_new(ws, i, net, n, r, now_ms, reterr);
                if (e < 0) {
                        workers_fini(ws);
                        return e;
                }
        }
        return 0;
}

int workers_start(struct workers *ws, struct err *reterr)
{
        ws->running = true;
        for (unsigned i = 0; i < ws->n; i++) {
                int e = rte_eal_remote_launch(worker_main, ws->w[i], i + 1);
                if (e < 0) {
                        workers_stop(ws);
                        return err_set(reterr, -e, "worker", "cannot start lcore %u: %s", i + 1, rte_strerror(-e));
                }
                log_info("worker_start", "worker=%u cpu=%u idle=%s", i, ws->settings->cores[i],
                         ws->w[i]->intr_epfd >= 0     ? "interrupt"
                         : ws->w[i]->epfd >= 0        ? "wait"
                         : ws->settings->sleep_us_max ? "sleep"
                                                      : "spin");
        }
        return 0;
}

void worker_wake(struct io_worker *w)
{
        uint64_t one = 1;
        if (w->wakefd < 0 || !atomic_load_explicit(&w->resting, memory_order_seq_cst))
                return;
        ssize_t r = write(w->wakefd, &one, sizeof one); /* fails only when the counter is full: it wakes then too */
        (void)r;
}

void workers_stop(struct workers *ws)
{
        if (!ws->running)
                return;
        atomic_store_explicit(&ws->stop, true, memory_order_seq_cst); /* before the look at `resting` in worker_wake */
        for (unsigned i = 0; i < ws->n; i++)
                worker_wake(ws->w[i]);
        rte_eal_mp_wait_lcore();
        ws->running = false;
}

static void ring_free(struct rte_ring *r)
{
        struct rte_mbuf *m;
        while (r && rte_ring_sc_dequeue(r, (void **)&m) == 0)
                rte_pktmbuf_free(m);
        rte_ring_free(r);
}

void workers_fini(struct workers *ws)
{
        for (unsigned i = 0; i < ws->n; i++) {
                struct io_worker *w = ws->w[i];
                ring_free(w->punts);
                ring_free(w->frames);
                ring_free(w->handed);
                if (w->epfd >= 0)
                        close(w->epfd);
                if (w->wakefd >= 0)
                        close(w->wakefd);
                if (w->intr_epfd >= 0)
                        close(w->intr_epfd);
                rte_free(w->flow_memory);
                free(w->services);
                free(w);
        }
        free(ws->qs);
        ws->qs = NULL;
        ws->n = 0;
}

bool workers_send(struct workers *ws, uint8_t port, const void *frame, size_t len)
{
        struct io_worker *w = ws->w[0]; /* the control plane's few frames all leave by one worker's queues */
        struct rte_mbuf *m = rte_pktmbuf_alloc(ws->ports->pool);
        char *p = m ? rte_pktmbuf_append(m, (uint16_t)len) : NULL;
        if (!p) {
                rte_pktmbuf_free(m);
                return false;
        }
        memcpy(p, frame, len);
        m->port = port;
        if (rte_ring_sp_enqueue(w->frames, m) < 0) {
                rte_pktmbuf_free(m);
                return false;
        }
        atomic_thread_fence(
                memory_order_seq_cst); /* the frame is in the ring before we look at `resting`; see worker_rest */
        worker_wake(w);
        return true;
}

void workers_trace(struct io_worker *w)
{
        /* seq_cst, before the look at `resting`: as for frames, see worker_rest */
        atomic_store_explicit(&w->trace.state, TRACE_ASKED, memory_order_seq_cst);
        worker_wake(w);
}

size_t workers_punts(struct workers *ws, punt_fn *fn, void *arg)
{
        size_t total = 0;
        for (unsigned i = 0; i < ws->n; i++) {
                struct rte_mbuf *m[WORKER_BURST];
                unsigned n;
                while ((n = rte_ring_sc_dequeue_burst(ws->w[i]->punts, (void **)m, WORKER_BURST, NULL)) > 0) {
                        for (unsigned k = 0; k < n; k++)
                                fn(arg, (enum l4_verdict)m[k]->hash.usr, (uint8_t)m[k]->port,
                                   rte_pktmbuf_mtod(m[k], const uint8_t *), rte_pktmbuf_data_len(m[k]));
                        rte_pktmbuf_free_bulk(m, n);
                        total += n;
                }
        }
        return total;
}
