/* l7gw/io/listen.c - see listen.h. */
#include "lib/base.h"
#include "l7gw/io/listen.h"
#include "l7gw/io/conn.h"
#include "l7gw/io/socket.h"

#include <fcntl.h>
#include <unistd.h>

struct listen_fd {
        struct loop_fd f;
        struct worker *w;
        struct listen_fd *next;
        struct bind_key key;
        struct ipaddr addr;
        uint16_t port;
        int fd;
        bool keep; /* mark of listen_adopt */
};

/* No descriptor left: give one up to accept and close the oldest waiting client, then rest, instead of spinning. */
static void accept_exhausted(struct listen_fd *l)
{
        struct worker *w = l->w;
        worker_count(w, WORKER_ACCEPT_PAUSES);
        if (w->reserve_fd >= 0) {
                close(w->reserve_fd);
                int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
                if (fd >= 0)
                        close(fd);
        }
        w->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* fails when others were faster: tried again next time */
        w->accept_paused = true;
        timer_set(loop_timers(w->loop), &w->accept_timer, loop_now_ms(w->loop) + L7_ACCEPT_PAUSE_MS);
}

/* accept(2): Linux passes on a pending error of the new socket; the clients behind it still wait, and no edge comes. */
static bool client_lost(int e)
{
        static const int lost[] = {EINTR,  ECONNABORTED, EPROTO,     ENOPROTOOPT,  ENETDOWN,
                                   ENONET, EHOSTDOWN,    EOPNOTSUPP, EHOSTUNREACH, ENETUNREACH};
        for (size_t i = 0; i < ARRAY_SIZE(lost); i++)
                if (e == lost[i])
                        return true;
        return false;
}

static void accept_all(struct listen_fd *l)
{
        struct worker *w = l->w;
        while (!w->accept_paused) {
                union socket_addr sa;
                socklen_t n = sizeof sa;
                int fd = accept4(l->fd, &sa.sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0) {
                        if (client_lost(errno))
                                continue;
                        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                                accept_exhausted(l);
                        return;
                }
                unsigned before = atomic_fetch_add_explicit(&w->shared->connections, 1, memory_order_relaxed);
                struct ipaddr peer;
                uint16_t port;
                socket_addr_get(&sa, &peer, &port);
                if (before >= w->options->max_connections ||
                    conn_open(w, fd, &l->key, &l->addr, l->port, &peer, port) < 0) {
                        worker_count(w, WORKER_CONNECTIONS_REFUSED);
                        atomic_fetch_sub_explicit(&w->shared->connections, 1, memory_order_relaxed);
                        close(fd);
                }
        }
}

static void listen_event(struct loop_fd *f, unsigned events)
{
        (void)events;
        accept_all(CONTAINER_OF(f, struct listen_fd, f));
}

void listen_resume(struct timer *t, uint64_t now_ms)
{
        struct worker *w = CONTAINER_OF(t, struct worker, accept_timer);
        (void)now_ms;
        w->accept_paused = false;
        for (struct listen_fd *l = w->listeners; l && !w->accept_paused; l = l->next)
                accept_all(l); /* edge-triggered: what waited meanwhile is not told again */
}

static void listen_free(struct listen_fd *l)
{
        accept_all(l); /* whoever got through the handshake is served, unless the bind itself is gone */
        loop_del(&l->f);
        close(l->fd);
        free(l);
}

static void listen_open(struct worker *w, const struct bind_rt *b)
{
        struct listen_fd *l = calloc(1, sizeof *l);
        int fd = b->fds[w->id];
        if (!l) {
                log_error("listen", "worker=%u error=out_of_memory", w->id);
                close(fd);
                return;
        }
        *l = (struct listen_fd){
                .w = w, .key = b->key, .addr = b->addr, .port = b->port, .fd = fd, .keep = true, .next = w->listeners};
        int r = loop_add(w->loop, &l->f, fd, listen_event);
        if (r < 0) {
                log_error("listen", "worker=%u error=%s", w->id, LOG_ESC(strerror(-r)));
                close(fd);
                free(l);
                return;
        }
        w->listeners = l;
}

void listen_adopt(struct worker *w, const struct generation *g)
{
        for (struct listen_fd *l = w->listeners; l; l = l->next)
                l->keep = false;
        for (size_t i = 0; i < g->n_binds; i++) {
                const struct bind_rt *b = g->binds[i].rt;
                struct listen_fd *l = w->listeners;
                while (l && memcmp(&l->key, &b->key, sizeof l->key) != 0)
                        l = l->next;
                if (l)
                        l->keep = true;
                else if (!b->failed)
                        listen_open(w, b);
        }
        for (struct listen_fd **at = &w->listeners; *at;) {
                struct listen_fd *l = *at;
                if (l->keep) {
                        at = &l->next;
                        continue;
                }
                *at = l->next;
                listen_free(l);
        }
}

void listen_close_all(struct worker *w)
{
        while (w->listeners) {
                struct listen_fd *l = w->listeners;
                w->listeners = l->next;
                listen_free(l);
        }
}
