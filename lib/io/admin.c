/* lib/io/admin.c - see admin.h. */
#include "lib/base.h"
#include "lib/io/admin.h"

#include "lib/control.pb-c.h"
#include "lib/core/frame.h"
#include "lib/io/log.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define IDLE_MS 60000
#define REPLY_CHUNK_BYTES (192u * 1024)

struct admin_conn {
        struct admin *admin;
        struct transport *t;
        struct timer idle;
        struct admin_conn *next, **pprev;
};

struct admin {
        struct loop *loop;
        struct transport_listener *listener;
        const struct admin_query *queries;
        void *arg;
        struct admin_conn *conns;
        size_t n_conns;
        struct log_limit full;
};

static void conn_free(struct admin_conn *c)
{
        timer_stop(&c->idle);
        *c->pprev = c->next;
        if (c->next)
                c->next->pprev = c->pprev;
        c->admin->n_conns--;
        free(c);
}

static void conn_idle(struct timer *t, uint64_t now_ms)
{
        struct admin_conn *c = CONTAINER_OF(t, struct admin_conn, idle);
        (void)now_ms;
        transport_close(c->t);
        conn_free(c);
}

static const struct admin_query *query_find(const struct admin *a, const char *name)
{
        for (const struct admin_query *q = a->queries; q && q->name; q++)
                if (strcmp(q->name, name) == 0)
                        return q;
        return NULL;
}

/* One REPLY, or several when the JSON does not fit a frame. */
static int reply_send(struct buf *out, uint32_t seq, struct span json, const char *error)
{
        size_t at = 0;
        do {
                Control__Reply m = CONTROL__REPLY__INIT;
                size_t n = MIN(json.n - at, (size_t)REPLY_CHUNK_BYTES);
                m.json = (ProtobufCBinaryData){n, n ? (uint8_t *)json.p + at : NULL};
                m.error = (char *)error;
                at += n;
                m.more = at < json.n;
                int r = frame_encode_msg(out, FRAME_REPLY, seq, &m.base);
                if (r < 0)
                        return r;
        } while (at < json.n);
        return 0;
}

static void help_write(const struct admin *a, struct json *j)
{
        json_obj(j);
        for (const struct admin_query *q = a->queries; q && q->name; q++) {
                json_key(j, q->name);
                json_str(j, q->help);
        }
        if (!query_find(a, "help")) {
                json_key(j, "help");
                json_str(j, "lists the queries");
        }
        json_end(j);
}

static int query_run(struct admin_conn *c, uint32_t seq, const Control__Query *q)
{
        const struct admin *a = c->admin;
        const struct admin_query *found = query_find(a, q->name);
        struct err e = {0};
        struct json j;
        CLEANUP(buf_fini) struct buf body;
        buf_init(&body, ADMIN_MAX_REPLY_BYTES);
        json_init(&j, &body);
        int r = 0;
        if (found)
                r = found->fn(a->arg, q->args, q->n_args, &j, &e);
        else if (strcmp(q->name, "help") == 0)
                help_write(a, &j);
        else
                r = err_set(&e, ENOENT, "", "no such query, ask \"help\"");
        if (r == 0 && (body.failed || j.depth))
                r = err_set(&e, ENOBUFS, q->name, "the answer is over %u bytes", ADMIN_MAX_REPLY_BYTES);
        char error[sizeof e.place + sizeof e.msg + 4] = "";
        if (r < 0)
                snprintf(error, sizeof error, "%s%s%s", e.place, e.place[0] ? ": " : "",
                         e.msg[0] ? e.msg : strerror(-r));
        r = reply_send(transport_out(c->t), seq, r < 0 ? SPAN_NULL : buf_span(&body), error);
        transport_flush(c->t);
        return r;
}

static ptrdiff_t conn_input(void *arg, struct span in)
{
        struct admin_conn *c = arg;
        struct frame f;
        size_t used;
        enum frame_rc rc = frame_decode(in, &f, &used);
        if (rc == FRAME_MORE)
                return 0;
        if (rc != FRAME_OK)
                return -EPROTO;
        timer_set(loop_timers(c->admin->loop), &c->idle, loop_now_ms(c->admin->loop) + IDLE_MS);
        if (f.type == FRAME_TYPE_N)
                return (ptrdiff_t)used;
        if (f.type != FRAME_QUERY)
                return -EPROTO;
        Control__Query *q = control__query__unpack(NULL, f.body.n, f.body.p);
        if (!q)
                return -EPROTO;
        int r = query_run(c, f.seq, q);
        control__query__free_unpacked(q, NULL);
        return r < 0 ? r : (ptrdiff_t)used;
}

static void conn_closed(void *arg, int err, const char *why)
{
        (void)err; /* a client going away is no event */
        (void)why;
        conn_free(arg);
}

static const struct transport_ops conn_ops = {.input = conn_input, .closed = conn_closed};

static void accepted(void *arg, const struct transport_conn *conn)
{
        struct admin *a = arg;
        uint32_t suppressed;
        struct admin_conn *c = a->n_conns < ADMIN_MAX_CONNECTIONS ? calloc(1, sizeof *c) : NULL;
        if (!c) {
                if (log_permit(&a->full, 1, 10000, &suppressed))
                        log_warn("admin_full", "peer=%s connections=%zu suppressed=%u", LOG_ESC(conn->peer.text), a->n_conns,
                                 suppressed);
                transport_conn_drop(conn);
                return;
        }
        c->admin = a;
        if (transport_accept(a->loop, conn, &conn_ops, c, &c->t) < 0) { /* it has closed conn */
                free(c);
                return;
        }
        c->pprev = &a->conns;
        c->next = a->conns;
        if (c->next)
                c->next->pprev = &c->next;
        a->conns = c;
        a->n_conns++;
        timer_init(&c->idle, conn_idle);
        timer_set(loop_timers(a->loop), &c->idle, loop_now_ms(a->loop) + IDLE_MS);
}

int admin_new(struct loop *l, const char *path, const uint32_t *uids, size_t n_uids, const struct admin_query *queries,
              void *arg, struct admin **ret, struct err *reterr)
{
        struct admin *a = calloc(1, sizeof *a);
        if (!a)
                return err_set(reterr, ENOMEM, path, "out of memory");
        a->loop = l;
        a->queries = queries;
        a->arg = arg;
        int r = transport_listen(l, path, uids, n_uids, accepted, a, &a->listener, reterr);
        if (r < 0) {
                free(a);
                return r;
        }
        *ret = a;
        return 0;
}

void admin_free(struct admin *a)
{
        if (!a)
                return;
        transport_listener_free(a->listener);
        while (a->conns) {
                transport_close(a->conns->t);
                conn_free(a->conns);
        }
        free(a);
}

/* ---------------------------------------------------------------- client */

static uint64_t clock_ms(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, uint64_t deadline_ms)
{
        for (;;) {
                uint64_t now = clock_ms();
                if (now >= deadline_ms)
                        return -ETIMEDOUT;
                struct pollfd p = {.fd = fd, .events = events};
                int n = poll(&p, 1, (int)MIN(deadline_ms - now, (uint64_t)60000));
                if (n > 0)
                        return 0;
                if (n < 0 && errno != EINTR)
                        return -errno;
        }
}

static int ask_send(int fd, const char *name, const char *const *argv, size_t argc, uint64_t deadline_ms)
{
        Control__Query q = CONTROL__QUERY__INIT;
        q.name = (char *)name;
        q.n_args = argc;
        q.args = (char **)argv;
        CLEANUP(buf_fini) struct buf out;
        buf_init(&out, FRAME_HEADER_BYTES + FRAME_MAX_BODY);
        int r = frame_encode_msg(&out, FRAME_QUERY, 1, &q.base);
        while (r == 0 && out.n) {
                ssize_t n = send(fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n >= 0)
                        buf_consume(&out, (size_t)n);
                else if (errno == EAGAIN)
                        r = wait_for(fd, POLLOUT, deadline_ms);
                else if (errno != EINTR)
                        r = -errno;
        }
        return r;
}

/* Takes whole frames off in; 1 = the reply is complete, 0 = more is needed. */
static int ask_take(struct buf *in, struct buf *json, struct err *reterr)
{
        struct frame f;
        size_t used;
        enum frame_rc rc;
        while ((rc = frame_decode(buf_span(in), &f, &used)) == FRAME_OK) {
                Control__Reply *m = f.type == FRAME_REPLY ? control__reply__unpack(NULL, f.body.n, f.body.p) : NULL;
                if (!m)
                        return err_set(reterr, EPROTO, "", "unexpected answer");
                int r = m->more ? 0 : 1;
                if (m->error[0])
                        r = err_set(reterr, EREMOTEIO, "", "%s", m->error);
                else
                        buf_add(json, m->json.data, m->json.len);
                control__reply__free_unpacked(m, NULL);
                buf_consume(in, used);
                if (r != 0)
                        return r;
        }
        return rc == FRAME_MORE ? 0 : err_set(reterr, EPROTO, "", "%s", frame_rc_str(rc));
}

static int ask_receive(int fd, uint64_t deadline_ms, struct buf *json, struct err *reterr)
{
        CLEANUP(buf_fini) struct buf in;
        buf_init(&in, 2 * (FRAME_HEADER_BYTES + FRAME_MAX_BODY));
        for (;;) {
                int r = wait_for(fd, POLLIN, deadline_ms);
                if (r < 0)
                        return err_set(reterr, -r, "", "no answer: %s", strerror(-r));
                uint8_t *p = buf_reserve(&in, 64 * 1024);
                if (!p)
                        return err_set(reterr, ENOMEM, "", "out of memory");
                ssize_t n = recv(fd, p, 64 * 1024, MSG_DONTWAIT);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        continue;
                if (n <= 0)
                        return err_set(reterr, n < 0 ? errno : ECONNRESET, "",
                                       "the connection ended before the answer");
                in.n += (size_t)n;
                r = ask_take(&in, json, reterr);
                if (r != 0)
                        return r;
        }
}

static void closep(int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

int admin_ask(const char *path, const char *name, const char *const *argv, size_t argc, unsigned timeout_ms,
              char **ret_json, struct err *reterr)
{
        uint64_t deadline_ms = clock_ms() + timeout_ms;
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        size_t len = strlen(path);
        if (len == 0 || len >= sizeof sa.sun_path)
                return err_set(reterr, ENAMETOOLONG, path, "not a socket path");
        memcpy(sa.sun_path, path, len + 1);
        CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&sa, sizeof sa) < 0)
                return err_set(reterr, errno, path, "cannot connect: %s", strerror(errno));
        int r = ask_send(fd, name, argv, argc, deadline_ms);
        if (r < 0)
                return err_set(reterr, -r, path, "cannot ask: %s", strerror(-r));
        struct buf json;
        buf_init(&json, ADMIN_MAX_REPLY_BYTES + 1);
        struct err e = {0};
        r = ask_receive(fd, deadline_ms, &json, &e);
        char *text = r < 0 ? NULL : strdup(buf_cstr(&json));
        bool failed = json.failed || !text;
        buf_fini(&json);
        if (r < 0)
                return err_set(reterr, -r, path, "%s", e.msg);
        if (failed) {
                free(text);
                return err_set(reterr, ENOMEM, path, "the answer is too big");
        }
        *ret_json = text;
        return 0;
}
