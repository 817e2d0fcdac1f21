/* l7gw/io/upstream_io.c - the bytes of a connection to an endpoint.  See upstream_priv.h. */
#include "lib/base.h"
#include "l7gw/io/upstream_priv.h"
#include "l7gw/io/socket.h"
#include "lib/io/log.h"

static struct tls_socket tls_socket_of(struct upconn *u)
{
        return (struct tls_socket){.fd = u->f.fd, .readable = &u->readable, .writable = &u->writable, .hup = u->hup, .scratch = u->w->rd};
}

bool up_is_quiet(const struct upconn *u)
{
        char byte;
        return !(u->tls && tls_pending(u->tls)) && recv(u->f.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

size_t up_unsent(const struct upconn *u)
{
        return u->out.n + (u->tls ? u->tls->wire.n : 0);
}

void up_last_words(struct upconn *u)
{
        struct tls_socket s = tls_socket_of(u);
        ssize_t n = u->tls ? tls_send(u->tls, &s, &u->out) : socket_send(u->f.fd, &u->out, &u->writable);
        (void)n; /* a courtesy: nothing depends on it */
}

bool up_has_input(const struct upconn *u)
{
        return u->readable || (u->tls && tls_pending(u->tls));
}

ssize_t up_recv(struct upconn *u, size_t want, const uint8_t **ret_p)
{
        struct worker *w = u->w;
        ssize_t n;
        if (u->tls) {
                struct tls_socket s = tls_socket_of(u);
                *ret_p = w->plain;
                return tls_recv(u->tls, &s, w->plain, want);
        }
        do
                n = recv(u->f.fd, w->rd, want, 0);
        while (n < 0 && errno == EINTR);
        if (n >= 0 && (size_t)n < want && !u->hup)
                u->readable = false; /* short read: the socket is empty, the next edge will tell */
        *ret_p = w->rd;
        return n;
}

enum tls_rc up_handshake(struct upconn *u)
{
        struct worker *w = u->w;
        struct tls_socket s = tls_socket_of(u);
        enum tls_rc rc = tls_handshake_socket(u->tls, &s);
        if (rc == TLS_OK)
                worker_count(w, WORKER_UPSTREAM_TLS_HANDSHAKES);
        if (rc == TLS_OK || rc == TLS_MORE)
                return rc;
        char why[256], addr[IPADDR_STR_MAX];
        uint32_t suppressed;
        worker_count(w, WORKER_UPSTREAM_TLS_FAILURES);
        if (log_permit(&w->tls_limit, 5, 10000, &suppressed))
                log_warn("upstream_tls_failed", "endpoint=%s port=%u why=%s suppressed=%u", ipaddr_str(&u->peer->addr, addr), u->peer->port,
                         LOG_ESC(tls_upstream_why(u->tls, why)), suppressed);
        return rc;
}

bool up_is_idle(struct upconn *u)
{
        uint8_t byte;
        struct tls_socket s = tls_socket_of(u);
        return tls_recv(u->tls, &s, &byte, 1) < 0 && errno == EAGAIN && !u->hup;
}

void up_goodbye(struct upconn *u)
{
        if (!u->tls || u->hup)
                return;
        tls_close_notify(u->tls);
        ssize_t n = socket_send(u->f.fd, &u->tls->wire, &u->writable);
        (void)n; /* a courtesy: nothing depends on it */
}
