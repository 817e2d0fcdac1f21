/* lib/io/transport.c - see transport.h.  Edge-triggered, bounded queues; listening and dialling are here for Unix sockets. */
#include "lib/base.h"
#include "lib/io/transport.h"

#include "lib/io/log.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_CHUNK_BYTES (64u * 1024)
#define INPUT_MAX_BYTES (512u * 1024) /* one frame is at most 256 KiB + header */
#define READ_TURN_BYTES (1024u * 1024) /* of one peer in one turn: a few ms of work, then the others */
#define LISTEN_BACKLOG 64

struct transport {
        struct loop_fd fd;
        struct loop *loop;
        struct loop_defer flush;
        struct timer expiry;  /* armed: the peer's certificate ends then, and with it what it is good for */
        struct timer read_on; /* armed: there may be more to read, and no event will say so */
        struct buf in, out;
        const struct transport_ops *ops;
        void *arg;
        struct transport_peer peer;
        struct transport_wire *wire; /* NULL = the socket itself */
        unsigned depth; /* callbacks in progress */
        bool closing;   /* freed when depth returns to 0 */
};

static void transport_free(struct transport *t)
{
        loop_defer_cancel(&t->flush);
        timer_stop(&t->read_on);
        timer_stop(&t->expiry);
        if (t->wire)
                t->wire->ops->close(t->wire);
        if (t->fd.fd >= 0) {
                int fd = t->fd.fd;
                loop_del(&t->fd);
                close(fd);
        }
        buf_fini(&t->in);
        buf_fini(&t->out);
        free(t);
}

void transport_close(struct transport *t)
{
        if (!t)
                return;
        t->closing = true;
        if (t->depth == 0)
                transport_free(t);
}

static void expiry_set(struct transport *t)
{
        if (t->peer.has_id)
                timer_set(loop_timers(t->loop), &t->expiry, loop_now_ms(t->loop) + (uint64_t)MAX(t->peer.valid_s, (int64_t)0) * 1000);
}

/* Tells the owner and closes, unless the owner closed it already. */
static void transport_fail(struct transport *t, int err, const char *why)
{
        if (t->closing)
                return;
        t->closing = true; /* before the callback: transport_close inside it is then harmless */
        const char *more = t->wire ? t->wire->ops->why(t->wire) : "";
        t->ops->closed(t->arg, err, *more ? more : why);
}

/* As recv(), but -errno. */
static ssize_t bytes_recv(struct transport *t, void *p, size_t n)
{
        if (t->wire)
                return t->wire->ops->recv(t->wire, t->fd.fd, p, n);
        ssize_t r = recv(t->fd.fd, p, n, MSG_DONTWAIT);
        return r < 0 ? -errno : r;
}

static ssize_t bytes_send(struct transport *t, const void *p, size_t n)
{
        if (t->wire)
                return t->wire->ops->send(t->wire, t->fd.fd, p, n);
        ssize_t r = send(t->fd.fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        return r < 0 ? -errno : r;
}

static void transport_enter(struct transport *t)
{
        t->depth++;
}

static void transport_leave(struct transport *t)
{
        if (--t->depth == 0 && t->closing)
                transport_free(t);
}

static void write_out(struct transport *t)
{
        while (t->out.n && !t->closing) {
                ssize_t n = bytes_send(t, t->out.p, t->out.n);
                if (n < 0) {
                        if (n == -EINTR)
                                continue;
                        if (n != -EAGAIN)
                                transport_fail(t, (int)-n, "send");
                        return;
                }
                buf_consume(&t->out, (size_t)n);
        }
}

static void flush_hook(struct loop_defer *d)
{
        struct transport *t = CONTAINER_OF(d, struct transport, flush);
        transport_enter(t);
        if (t->out.failed)
                transport_fail(t, ENOBUFS, "output queue over its limit");
        else
                write_out(t);
        transport_leave(t);
}

/* Gives buffered input to the owner until it takes nothing more. */
static void give_input(struct transport *t)
{
        while (t->in.n && !t->closing) {
                ptrdiff_t used = t->ops->input(t->arg, buf_span(&t->in));
                if (t->closing)
                        return;
                if (used < 0) {
                        transport_fail(t, (int)-used, "protocol error");
                        return;
                }
                if (used == 0)
                        break;
                buf_consume(&t->in, (size_t)used);
        }
        if (t->in.n >= INPUT_MAX_BYTES)
                transport_fail(t, EMSGSIZE, "input over its limit");
}

static void read_in(struct transport *t)
{
        timer_stop(&t->read_on); /* an event and the rest of an earlier turn are one */
        for (size_t got = 0; !t->closing;) {
                if (got >= READ_TURN_BYTES) {
                        timer_set(loop_timers(t->loop), &t->read_on, loop_now_ms(t->loop) + 1);
                        return;
                }
                uint8_t *p = buf_reserve(&t->in, READ_CHUNK_BYTES);
                if (!p) {
                        transport_fail(t, EMSGSIZE, "input over its limit");
                        return;
                }
                ssize_t n = bytes_recv(t, p, READ_CHUNK_BYTES);
                if (n == 0) {
                        transport_fail(t, 0, "peer closed");
                        return;
                }
                if (n < 0) {
                        if (n == -EINTR)
                                continue;
                        if (n != -EAGAIN)
                                transport_fail(t, (int)-n, "recv");
                        return;
                }
                if (t->wire && !t->peer.has_id) {
                        t->wire->ops->peer(t->wire, &t->peer);
                        expiry_set(t);
                }
                t->in.n += (size_t)n;
                got += (size_t)n;
                give_input(t);
        }
}

static void read_on_due(struct timer *timer, uint64_t now_ms)
{
        struct transport *t = CONTAINER_OF(timer, struct transport, read_on);
        (void)now_ms;
        transport_enter(t);
        read_in(t);
        transport_leave(t);
}

static void expiry_due(struct timer *timer, uint64_t now_ms)
{
        struct transport *t = CONTAINER_OF(timer, struct transport, expiry);
        (void)now_ms;
        transport_enter(t);
        transport_fail(t, EKEYEXPIRED, "the peer's certificate has expired since");
        transport_leave(t);
}

static void transport_event(struct loop_fd *f, unsigned events)
{
        struct transport *t = CONTAINER_OF(f, struct transport, fd);
        transport_enter(t);
        if (!t->wire && (events & LOOP_WRITE))
                write_out(t);
        if (t->wire || (events & LOOP_READ))
                read_in(t);
        if (t->wire) /* room may be what reading waits for, and bytes what writing waits for: a handshake is both */
                write_out(t);
        transport_leave(t);
}

static void peer_of(int fd, struct transport_peer *ret)
{
        struct ucred uc = { 0 };
        socklen_t len = sizeof uc;
        *ret = (struct transport_peer){ .uid = UINT32_MAX, .gid = UINT32_MAX, .pid = -1 };
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &uc, &len) == 0) {
                ret->uid = uc.uid;
                ret->gid = uc.gid;
                ret->pid = uc.pid;
        }
        snprintf(ret->text, sizeof ret->text, "unix:pid=%d,uid=%u", ret->pid, ret->uid);
}

void transport_conn_drop(const struct transport_conn *conn)
{
        if (conn->wire)
                conn->wire->ops->close(conn->wire);
        close(conn->fd);
}

int transport_accept(struct loop *l, const struct transport_conn *conn, const struct transport_ops *ops, void *arg,
                     struct transport **ret)
{
        struct transport *t = calloc(1, sizeof *t);
        if (!t) {
                transport_conn_drop(conn);
                return -ENOMEM;
        }
        t->loop = l;
        t->ops = ops;
        t->arg = arg;
        t->fd.fd = -1;
        t->flush.fn = flush_hook;
        timer_init(&t->read_on, read_on_due);
        timer_init(&t->expiry, expiry_due);
        buf_init(&t->in, INPUT_MAX_BYTES + READ_CHUNK_BYTES);
        buf_init(&t->out, TRANSPORT_MAX_QUEUE);
        t->peer = conn->peer;
        int r = loop_add(l, &t->fd, conn->fd, transport_event);
        if (r < 0) {
                transport_conn_drop(conn);
                transport_free(t);
                return r;
        }
        t->wire = conn->wire;
        expiry_set(t);
        *ret = t;
        return 0;
}

static int sockaddr_of(const char *path, struct sockaddr_un *ret)
{
        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        size_t n = strlen(path);
        if (n == 0 || n >= sizeof ret->sun_path)
                return -ENAMETOOLONG;
        memcpy(ret->sun_path, path, n + 1);
        return 0;
}

int transport_connect(struct loop *l, const char *path, const struct transport_ops *ops, void *arg, struct transport **ret)
{
        struct sockaddr_un sa;
        int r = sockaddr_of(path, &sa);
        if (r < 0)
                return r;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)&sa, sizeof sa) < 0) { /* local: at once, or EAGAIN when the backlog is full */
                r = -errno;
                close(fd);
                return r;
        }
        struct transport_conn conn = { .fd = fd };
        peer_of(fd, &conn.peer);
        return transport_accept(l, &conn, ops, arg, ret);
}

struct buf *transport_out(struct transport *t)
{
        return &t->out;
}

void transport_flush(struct transport *t)
{
        loop_defer(t->loop, &t->flush);
}

const struct transport_peer *transport_peer(const struct transport *t)
{
        return &t->peer;
}

struct transport_listener {
        struct loop_fd fd;
        char *path;
        uint32_t *uids;
        size_t n_uids;
        void (*accepted)(void *arg, const struct transport_conn *conn);
        void *arg;
        struct log_limit refused;
};

static bool uid_allowed(const struct transport_listener *tl, uint32_t uid)
{
        if (uid == 0 || uid == geteuid())
                return true;
        for (size_t i = 0; i < tl->n_uids; i++)
                if (tl->uids[i] == uid)
                        return true;
        return false;
}

static void listener_event(struct loop_fd *f, unsigned events)
{
        struct transport_listener *tl = CONTAINER_OF(f, struct transport_listener, fd);
        (void)events;
        for (;;) {
                int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0 && errno == EINTR)
                        continue;
                if (fd < 0)
                        return; /* EAGAIN, or out of descriptors: the peer retries */
                struct transport_conn conn = { .fd = fd };
                uint32_t suppressed;
                peer_of(fd, &conn.peer);
                if (uid_allowed(tl, conn.peer.uid)) {
                        tl->accepted(tl->arg, &conn);
                        continue;
                }
                if (log_permit(&tl->refused, 5, 10000, &suppressed))
                        log_warn("peer_refused", "socket=%s peer=%s suppressed=%u", LOG_ESC(tl->path), conn.peer.text, suppressed);
                close(fd);
        }
}

/* A socket file nobody listens on is stale and may go; a live one is somebody else's. */
static int unlink_stale(const char *path, const struct sockaddr_un *sa)
{
        struct stat st;
        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        int r = connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0 || errno == EAGAIN ? -EADDRINUSE : 0;
        close(fd);
        if (r == 0 && unlink(path) < 0)
                r = -errno;
        return r;
}

static int bind_socket(const char *path, int *ret_fd)
{
        struct sockaddr_un sa;
        int r = sockaddr_of(path, &sa);
        if (r == 0)
                r = unlink_stale(path, &sa);
        if (r < 0)
                return r;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        mode_t old = umask(0117); /* 0660 from the first moment */
        r = bind(fd, (const struct sockaddr *)&sa, sizeof sa) < 0 ? -errno : 0;
        umask(old);
        if (r == 0 && listen(fd, LISTEN_BACKLOG) < 0)
                r = -errno;
        if (r < 0) {
                close(fd);
                return r;
        }
        *ret_fd = fd;
        return 0;
}

int transport_listen(struct loop *l, const char *path, const uint32_t *uids, size_t n_uids,
                     void (*accepted)(void *arg, const struct transport_conn *conn), void *arg,
                     struct transport_listener **ret, struct err *reterr)
{
        int fd = -1;
        int r = bind_socket(path, &fd);
        if (r < 0)
                return err_set(reterr, -r, path, "cannot listen: %s", strerror(-r));
        struct transport_listener *tl = calloc(1, sizeof *tl);
        BUG_ON(!tl); /* boot-time allocation */
        tl->path = strdup(path);
        tl->uids = calloc(n_uids + 1, sizeof *tl->uids);
        BUG_ON(!tl->path || !tl->uids);
        if (n_uids)
                memcpy(tl->uids, uids, n_uids * sizeof *uids);
        tl->n_uids = n_uids;
        tl->accepted = accepted;
        tl->arg = arg;
        r = loop_add(l, &tl->fd, fd, listener_event);
        if (r < 0) {
                close(fd);
                transport_listener_free(tl);
                return err_set(reterr, -r, path, "cannot watch: %s", strerror(-r));
        }
        *ret = tl;
        return 0;
}

void transport_listener_free(struct transport_listener *tl)
{
        if (!tl)
                return;
        if (tl->fd.fd >= 0) {
                int fd = tl->fd.fd;
                loop_del(&tl->fd);
                close(fd);
                (void)unlink(tl->path); /* gone already: nothing to do */
        }
        free(tl->path);
        free(tl->uids);
        free(tl);
}
