/* lib/io/tls_listen.c - see tls_listen.h. */
#include "lib/base.h"
#include "lib/io/tls_listen.h"

#include "lib/io/log.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTEN_BACKLOG 64
#define ACCEPTS_TURN 16 /* then the others: a handshake costs a signature */

struct pending { /* a handshake */
        struct tls_listener *tl;
        struct pending *next, **pprev; /* in the order they began */
        struct loop_fd fd;
        struct timer deadline;
        struct transport_conn conn;
};
struct tls_listener {
        struct loop *loop;
        struct loop_fd fd;
        struct timer accept_on; /* armed: there may be more to accept, and no event will say so */
        struct credentials *own;
        const struct tls_listen_ops *ops;
        void *arg;
        uint32_t handshake_ms;
        char text[CONTROL_ADDR_STR_MAX];
        struct pending *first, **tail;
        size_t n;
        struct log_limit limit;
};

/* The handshake is over, one way or the other; the connection is the caller's. */
static struct transport_conn pending_end(struct pending *p)
{
        struct transport_conn conn = p->conn;
        timer_stop(&p->deadline);
        if (p->fd.fd >= 0)
                loop_del(&p->fd);
        *p->pprev = p->next;
        if (p->next)
                p->next->pprev = p->pprev;
        else
                p->tl->tail = p->pprev;
        p->tl->n--;
        free(p);
        return conn;
}

static void refuse(struct tls_listener *tl, const struct transport_conn *conn, const char *why)
{
        uint32_t suppressed;
        if (log_permit(&tl->limit, 5, 10000, &suppressed))
                log_warn("peer_refused", "socket=%s peer=%s reason=%s suppressed=%u", tl->text, conn->peer.text, LOG_ESC(why), suppressed);
        if (tl->ops->refused)
                tl->ops->refused(tl->arg);
}

static void pending_fail(struct pending *p, const char *why)
{
        struct tls_listener *tl = p->tl;
        struct transport_conn conn = pending_end(p);
        refuse(tl, &conn, why);
        transport_conn_drop(&conn);
}

static void pending_due(struct timer *t, uint64_t now_ms)
{
        (void)now_ms;
        pending_fail(CONTAINER_OF(t, struct pending, deadline), "the TLS handshake took too long");
}

static void pending_step(struct pending *p)
{
        struct tls_listener *tl = p->tl;
        int r = tls_wire_handshake(p->conn.wire);
        if (r == -EAGAIN)
                return;
        if (r < 0) {
                char why[256];
                const char *more = p->conn.wire->ops->why(p->conn.wire);
                snprintf(why, sizeof why, "%s", *more ? more : strerror(-r));
                pending_fail(p, why);
                return;
        }
        struct transport_conn conn = pending_end(p);
        conn.wire->ops->peer(conn.wire, &conn.peer);
        if (!conn.peer.has_id) { /* cannot be: the verification asked for it */
                refuse(tl, &conn, "no identity");
                transport_conn_drop(&conn);
                return;
        }
        tl->ops->accepted(tl->arg, &conn);
}

static void pending_event(struct loop_fd *f, unsigned events)
{
        (void)events; /* whatever it is, the handshake goes on by it or ends */
        pending_step(CONTAINER_OF(f, struct pending, fd));
}

static void pending_begin(struct tls_listener *tl, struct transport_conn *conn)
{
        struct err e = { 0 };
        int one = 1;
        struct pending *p = calloc(1, sizeof *p);
        int r = p ? tls_wire_new(conn->fd, tl->own, &conn->wire, &e) : err_set(&e, ENOMEM, "tls", "out of memory");
        if (r < 0) {
                refuse(tl, conn, e.msg);
                close(conn->fd);
                free(p);
                return;
        }
        (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* later frames are slower, nothing worse */
        if (tl->n >= TLS_PENDING_MAX)
                pending_fail(tl->first, "too many handshakes at a time: the oldest gave way");
        *p = (struct pending){ .tl = tl, .fd.fd = -1, .conn = *conn, .pprev = tl->tail };
        timer_init(&p->deadline, pending_due);
        *tl->tail = p;
        tl->tail = &p->next;
        tl->n++;
        r = loop_add(tl->loop, &p->fd, conn->fd, pending_event);
        if (r < 0) {
                pending_fail(p, strerror(-r));
                return;
        }
        timer_set(loop_timers(tl->loop), &p->deadline, loop_now_ms(tl->loop) + tl->handshake_ms);
}

static void peer_text(const struct sockaddr_storage *sa, char *ret, size_t n)
{
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)sa;
        const struct sockaddr_in *four = (const struct sockaddr_in *)sa;
        struct control_addr a = { .kind = CONTROL_TLS };
        char text[CONTROL_ADDR_STR_MAX];
        bool v6 = sa->ss_family == AF_INET6;
        a.port = ntohs(v6 ? six->sin6_port : four->sin_port);
        if (ipaddr_from_bytes(v6 ? (const void *)&six->sin6_addr : (const void *)&four->sin_addr, v6 ? 16 : 4, &a.ip) == 0)
                snprintf(ret, n, "%s", control_addr_str(&a, text));
}

static void accept_some(struct tls_listener *tl)
{
        uint64_t wait_ms = 1;
        timer_stop(&tl->accept_on);
        for (unsigned i = 0; i < ACCEPTS_TURN; i++) {
                struct sockaddr_storage sa = { 0 };
                socklen_t len = sizeof sa;
                struct transport_conn conn = { .peer = { .uid = UINT32_MAX, .gid = UINT32_MAX, .pid = -1 } };
                conn.fd = accept4(tl->fd.fd, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (conn.fd < 0 && (errno == EINTR || errno == ECONNABORTED))
                        continue;
                if (conn.fd < 0 && errno == EAGAIN)
                        return;
                if (conn.fd < 0) {
                        wait_ms = 100; /* out of descriptors: no event will say when there are some */
                        break;
                }
                peer_text(&sa, conn.peer.text, sizeof conn.peer.text);
                pending_begin(tl, &conn);
        }
        timer_set(loop_timers(tl->loop), &tl->accept_on, loop_now_ms(tl->loop) + wait_ms);
}

static void accept_due(struct timer *t, uint64_t now_ms)
{
        (void)now_ms;
        accept_some(CONTAINER_OF(t, struct tls_listener, accept_on));
}

static void listener_event(struct loop_fd *f, unsigned events)
{
        (void)events;
        accept_some(CONTAINER_OF(f, struct tls_listener, fd));
}

static int bind_socket(const struct control_addr *at, int *ret_fd)
{
        struct sockaddr_storage sa;
        socklen_t len = tls_sockaddr(at, &sa);
        int one = 1;
        int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (at->ip.af == 6) /* "[::]" beside "0.0.0.0" */
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
        (void)setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one); /* the address may come up after us */
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 || bind(fd, (const struct sockaddr *)&sa, len) < 0 ||
            listen(fd, LISTEN_BACKLOG) < 0) {
                int r = -errno;
                close(fd);
                return r;
        }
        *ret_fd = fd;
        return 0;
}

int tls_listen(struct loop *l, const struct control_addr *at, struct credentials *own, const struct tls_listen_ops *ops, void *arg,
               uint32_t handshake_ms, struct tls_listener **ret, struct err *reterr)
{
        int fd = -1;
        char text[CONTROL_ADDR_STR_MAX];
        int r = credentials_refresh(own, reterr); /* an agent nobody could talk to had better not start */
        if (r < 0)
                return r;
        r = bind_socket(at, &fd);
        if (r < 0)
                return err_set(reterr, -r, control_addr_str(at, text), "cannot listen: %s", strerror(-r));
        struct tls_listener *tl = calloc(1, sizeof *tl);
        BUG_ON(!tl); /* boot-time allocation */
        *tl = (struct tls_listener){ .loop = l, .fd.fd = -1, .own = own, .ops = ops, .arg = arg,
                                     .handshake_ms = handshake_ms ? handshake_ms : TLS_HANDSHAKE_MS };
        tl->tail = &tl->first;
        (void)control_addr_str(at, tl->text); /* returns text */
        timer_init(&tl->accept_on, accept_due);
        r = loop_add(l, &tl->fd, fd, listener_event);
        if (r < 0) {
                err_set(reterr, -r, tl->text, "cannot watch: %s", strerror(-r));
                close(fd);
                free(tl);
                return r;
        }
        *ret = tl;
        return 0;
}

void tls_listener_free(struct tls_listener *tl)
{
        if (!tl)
                return;
        while (tl->first) {
                struct transport_conn conn = pending_end(tl->first);
                transport_conn_drop(&conn);
        }
        timer_stop(&tl->accept_on);
        int fd = tl->fd.fd;
        loop_del(&tl->fd);
        close(fd);
        free(tl);
}
