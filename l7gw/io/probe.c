/* l7gw/io/probe.c - see probe.h. */
#include "lib/base.h"
#include "l7gw/io/probe.h"
#include "l7gw/core/h2_probe.h"
#include "l7gw/core/judge.h"
#include "l7gw/core/proxy_header.h"
#include "l7gw/io/socket.h"
#include "l7gw/io/tls.h"

#include <unistd.h>

#define ANSWER_MAX 65536
struct probe {
        struct probe_conf conf;
        struct loop_fd f;
        struct timer timer;
        struct tls *tls;
        struct chain out;
        struct buf in;
        struct h2_probe *h2;
        bool connected, established, readable, writable, hup;
};

void probe_cancel(struct probe *p)
{
        if (!p)
                return;
        timer_stop(&p->timer);
        if (p->f.fd >= 0) {
                int fd = p->f.fd;
                loop_del(&p->f);
                close(fd);
        }
        tls_free(p->tls);
        chain_clear(&p->out);
        buf_fini(&p->in);
        h2_probe_free(p->h2);
        free(p);
}

static void end(struct probe *p, bool ok, const char *why)
{
        struct probe_conf conf = p->conf;
        char text[JUDGE_WHY_MAX];
        snprintf(text, sizeof text, "%s", why); /* it may be p's own; cut if longer */
        probe_cancel(p);
        conf.done(conf.arg, ok, text);
}

static bool is_grpc(const struct probe *p)
{
        return p->conf.check->type == MODEL__HEALTH_CHECK_TYPE__HC_GRPC;
}

static struct tls_socket socket_of(struct probe *p)
{
        return (struct tls_socket){.fd = p->f.fd, .readable = &p->readable, .writable = &p->writable, .hup = p->hup, .scratch = p->conf.scratch};
}

/* false: it has ended. */
static bool flush(struct probe *p)
{
        struct tls_socket s = socket_of(p);
        ssize_t n = p->tls ? tls_send(p->tls, &s, &p->out) : socket_send(p->f.fd, &p->out, &p->writable);
        if (n >= 0 && !p->out.failed)
                return true;
        end(p, false, "closed while the check was sent");
        return false;
}

static enum health_rc judge_bytes(struct probe *p, struct span in, char why[64])
{
        if (is_grpc(p)) {
                struct buf out;
                buf_init(&out, ANSWER_MAX);
                enum health_rc rc = h2_probe_input(p->h2, in, &out, why);
                chain_span(&p->out, buf_span(&out));
                buf_fini(&out);
                return rc;
        }
        buf_add(&p->in, in.p, in.n);
        if (p->in.failed) {
                snprintf(why, 64, "too long an answer");
                return HEALTH_BAD;
        }
        return health_answer(p->conf.check, buf_span(&p->in), why);
}

/* false: it has ended. */
static bool take(struct probe *p)
{
        struct tls_socket s = socket_of(p);
        char why[64] = "";
        uint8_t plain[4096];
        ssize_t n = p->tls ? tls_recv(p->tls, &s, plain, sizeof plain) : recv(p->f.fd, plain, sizeof plain, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
                p->readable = errno == EINTR;
                return true;
        }
        if (n <= 0) {
                end(p, false, "closed without an answer");
                return false;
        }
        enum health_rc rc = judge_bytes(p, SPAN(plain, (size_t)n), why);
        if (rc == HEALTH_MORE)
                return true;
        end(p, rc == HEALTH_OK, why);
        return false;
}

/* TCP stands: TLS, then nothing more or the question.  false: not yet, or it has ended. */
static bool establish(struct probe *p)
{
        const Model__HealthCheck *h = p->conf.check;
        char why[256];
        if (p->tls) {
                struct tls_socket s = socket_of(p);
                enum tls_rc rc = tls_handshake_socket(p->tls, &s);
                if (rc == TLS_MORE)
                        return false;
                if (rc != TLS_OK) {
                        end(p, false, tls_upstream_why(p->tls, why));
                        return false;
                }
        }
        p->established = true;
        if (h->type == MODEL__HEALTH_CHECK_TYPE__HC_TCP && h->send.len == 0 && h->receive.len == 0) {
                end(p, true, "");
                return false;
        }
        return true;
}

static void run(struct probe *p)
{
        if (!p->established && !establish(p))
                return;
        if (!flush(p))
                return;
        while (p->readable || (p->tls && tls_pending(p->tls))) {
                bool had = p->readable;
                if (!take(p) || !flush(p))
                        return;
                if (p->tls && !p->readable && had && !tls_pending(p->tls))
                        return;
        }
}

static void on_event(struct loop_fd *f, unsigned events)
{
        struct probe *p = CONTAINER_OF(f, struct probe, f);
        p->writable |= (events & LOOP_WRITE) != 0;
        p->readable |= (events & LOOP_READ) != 0;
        p->hup |= (events & LOOP_HUP) != 0;
        if (!p->connected) {
                if (!(events & (LOOP_WRITE | LOOP_HUP)))
                        return;
                int e = socket_error(p->f.fd);
                if (e != 0) {
                        end(p, false, strerror(e));
                        return;
                }
                p->connected = true;
        }
        run(p);
}

static void on_timer(struct timer *t, uint64_t now_ms)
{
        struct probe *p = CONTAINER_OF(t, struct probe, timer);
        (void)now_ms;
        end(p, false, !p->connected ? "timeout while connecting" : !p->established ? "timeout in TLS" : "timeout");
}

static int question(struct probe *p)
{
        const Model__HealthCheck *h = p->conf.check;
        struct buf out;
        char addr[IPADDR_STR_MAX], authority[IPADDR_STR_MAX + 10];
        int r = 0;
        ipaddr_str(&p->conf.addr, addr);
        snprintf(authority, sizeof authority, p->conf.addr.af == 6 ? "[%s]:%u" : "%s:%u", addr, p->conf.port);
        buf_init(&out, ANSWER_MAX);
        if (is_grpc(p))
                r = h2_probe_new(h->path, h->host[0] ? h->host : authority, p->tls != NULL, &out, &p->h2);
        else
                health_request(&out, h, authority);
        if (p->conf.proxy_version) {
                uint8_t header[PROXY_WRITE_MAX];
                const struct proxy_addrs nobody = {.known = false};
                size_t n = proxy_header_write(p->conf.proxy_version, &nobody, header);
                chain_add(p->tls ? &p->tls->wire : &p->out, header, n);
        }
        chain_span(&p->out, buf_span(&out));
        if (out.failed || p->out.failed)
                r = -ENOMEM;
        buf_fini(&out);
        return r;
}

int probe_start(const struct probe_conf *conf, struct probe **ret)
{
        struct probe *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        p->conf = *conf;
        p->f.fd = -1;
        timer_init(&p->timer, on_timer);
        chain_init(&p->out, conf->chunks);
        buf_init(&p->in, ANSWER_MAX);
        int r = conf->tls ? tls_upstream_open(conf->tls, conf->chunks, &p->tls) : 0;
        if (r == 0)
                r = question(p);
        uint16_t port = conf->check->port ? (uint16_t)conf->check->port : conf->port;
        int fd = r < 0 ? r : socket_connect(&conf->addr, port);
        r = fd < 0 ? fd : loop_add(conf->loop, &p->f, fd, on_event);
        if (r < 0) {
                if (fd >= 0)
                        close(fd);
                p->f.fd = -1;
                probe_cancel(p);
                return r;
        }
        timer_set(loop_timers(conf->loop), &p->timer, loop_now_ms(conf->loop) + conf->check->timeout_ms);
        *ret = p;
        return 0;
}
