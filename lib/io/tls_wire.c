/* lib/io/tls_wire.c - see tls_wire.h.  OpenSSL reads and writes through a BIO of ours: its own socket BIO would raise SIGPIPE
 * and lose errno. */
#include "lib/base.h"
#include "lib/io/tls_wire.h"

#include "lib/io/cert_identity.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TLS_WIRE_MAGIC 0x746c7377u
struct tls_wire {
        struct transport_wire base;
        uint32_t magic;
        SSL *ssl;
        int fd;        /* borrowed from whoever owns the wire */
        bool server;
        bool broken;   /* after a fatal error nothing more may be said */
        bool eof;
        int err;       /* errno of the last send or recv that failed */
        char why[200]; /* "" = nothing to add to errno */
};

static struct tls_wire *wire_of(void *p)
{
        struct tls_wire *w = p;
        BUG_ON(!w || w->magic != TLS_WIRE_MAGIC);
        return w;
}

/* ---------------------------------------------------------------- bytes */

static int bio_result(BIO *b, struct tls_wire *w, ssize_t n, bool reading)
{
        BIO_clear_retry_flags(b);
        if (n >= 0) {
                w->eof |= reading && n == 0;
                return (int)n;
        }
        if (errno == EAGAIN) {
                if (reading)
                        BIO_set_retry_read(b);
                else
                        BIO_set_retry_write(b);
        } else {
                w->err = errno;
        }
        return -1;
}

static int bio_read(BIO *b, char *p, int n)
{
        struct tls_wire *w = wire_of(BIO_get_data(b));
        ssize_t r;
        do
                r = recv(w->fd, p, (size_t)n, MSG_DONTWAIT);
        while (r < 0 && errno == EINTR); /* edge-triggered: an interrupted call would not be announced again */
        return bio_result(b, w, r, true);
}

static int bio_write(BIO *b, const char *p, int n)
{
        struct tls_wire *w = wire_of(BIO_get_data(b));
        ssize_t r;
        do
                r = send(w->fd, p, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (r < 0 && errno == EINTR);
        return bio_result(b, w, r, false);
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
        (void)num, (void)ptr;
        if (cmd == BIO_CTRL_EOF)
                return wire_of(BIO_get_data(b))->eof;
        return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method(void)
{
        static BIO_METHOD *m; /* lives as long as the process */
        if (m)
                return m;
        m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "control socket");
        BUG_ON(!m || BIO_meth_set_read(m, bio_read) != 1 || BIO_meth_set_write(m, bio_write) != 1 || BIO_meth_set_ctrl(m, bio_ctrl) != 1);
        return m;
}

/* ---------------------------------------------------------------- errors */

static int wire_failed(struct tls_wire *w, int rc)
{
        int kind = SSL_get_error(w->ssl, rc);
        if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
                return -EAGAIN; /* the loop tells of both */
        if (kind == SSL_ERROR_ZERO_RETURN)
                return 0;
        w->broken = true;
        unsigned long e = ERR_peek_error();
        if (w->err) {
                ERR_clear_error();
                return -w->err;
        }
        if (w->eof) { /* frames have lengths: an end without close_notify cuts nothing off unseen */
                ERR_clear_error();
                if (!SSL_is_init_finished(w->ssl) && !w->why[0])
                        snprintf(w->why, sizeof w->why, "closed during the TLS handshake");
                return 0;
        }
        const char *reason = e ? ERR_reason_error_string(e) : NULL;
        if (!w->why[0]) /* else the verification said it better */
                snprintf(w->why, sizeof w->why, "TLS: %s", reason ? reason : "broken");
        ERR_clear_error();
        return -EPROTO;
}

/* ---------------------------------------------------------------- who is there */

static int peer_refuse(struct tls_wire *w, X509_STORE_CTX *ctx, const char *why)
{
        snprintf(w->why, sizeof w->why, "its certificate %s", why);
        X509_STORE_CTX_set_error(ctx, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
}

static int verify(int ok, X509_STORE_CTX *ctx)
{
        SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
        struct tls_wire *w = wire_of(SSL_get_app_data(ssl));
        int depth = X509_STORE_CTX_get_error_depth(ctx);
        if (!ok) {
                snprintf(w->why, sizeof w->why, "its certificate is refused%s: %s", depth ? " for one above it" : "",
                         X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
                return 0;
        }
        if (depth > 0)
                return 1;
        struct identity id;
        const char *why;
        char text[IDENTITY_URI_MAX + 32], uri[IDENTITY_URI_MAX];
        if (cert_identity(X509_STORE_CTX_get_current_cert(ctx), &id, &why) < 0)
                return peer_refuse(w, ctx, why);
        if ((id.role == IDENTITY_AGENT) != w->server)
                return 1;
        snprintf(text, sizeof text, "is for %s, not for %s", identity_uri(&id, uri), w->server ? "a data plane" : "an agent");
        return peer_refuse(w, ctx, text);
}

static void peer_take(struct transport_wire *base, struct transport_peer *peer)
{
        struct tls_wire *w = wire_of(base);
        const X509 *cert = SSL_get0_peer_certificate(w->ssl);
        const char *why;
        char uri[IDENTITY_URI_MAX];
        int days, secs;
        if (!cert || SSL_get_verify_result(w->ssl) != X509_V_OK || cert_identity(cert, &peer->id, &why) < 0)
                return;
        peer->has_id = true;
        size_t n = strlen(peer->text);
        snprintf(peer->text + n, sizeof peer->text - n, ",%s", identity_uri(&peer->id, uri));
        if (ASN1_TIME_diff(&days, &secs, NULL, X509_get0_notAfter(cert)) == 1)
                peer->valid_s = (int64_t)days * 86400 + secs;
}

/* ---------------------------------------------------------------- the wire */

static ssize_t wire_recv(struct transport_wire *base, int fd, void *p, size_t n)
{
        struct tls_wire *w = wire_of(base);
        size_t got = 0;
        (void)fd; /* the BIO has it */
        ERR_clear_error();
        int rc = SSL_read_ex(w->ssl, p, n, &got);
        return rc == 1 ? (ssize_t)got : wire_failed(w, rc);
}

static ssize_t wire_send(struct transport_wire *base, int fd, const void *p, size_t n)
{
        struct tls_wire *w = wire_of(base);
        size_t put = 0;
        (void)fd;
        ERR_clear_error();
        int rc = SSL_write_ex(w->ssl, p, n, &put);
        if (rc == 1)
                return (ssize_t)put;
        int r = wire_failed(w, rc);
        return r ? r : -EPIPE; /* it said goodbye, and we still had something to say */
}

static const char *wire_why(const struct transport_wire *base)
{
        const struct tls_wire *w = wire_of((void *)(uintptr_t)base);
        return w->why;
}

static void wire_close(struct transport_wire *base)
{
        struct tls_wire *w = wire_of(base);
        ERR_clear_error();
        if (!w->broken && SSL_is_init_finished(w->ssl))
                (void)SSL_shutdown(w->ssl); /* close_notify, if there is room for it now */
        ERR_clear_error();
        SSL_free(w->ssl);
        w->magic = 0;
        free(w);
}

static const struct transport_wire_ops wire_ops = { wire_recv, wire_send, wire_why, peer_take, wire_close };

int tls_wire_new(int fd, struct credentials *own, struct transport_wire **ret, struct err *reterr)
{
        SSL *ssl;
        int r = credentials_ssl(own, &ssl, reterr);
        if (r < 0)
                return r;
        struct tls_wire *w = calloc(1, sizeof *w);
        BIO *b = BIO_new(bio_method());
        if (!w || !b) {
                free(w);
                BIO_free(b);
                SSL_free(ssl);
                return err_set(reterr, ENOMEM, "tls", "out of memory");
        }
        *w = (struct tls_wire){ .base.ops = &wire_ops, .magic = TLS_WIRE_MAGIC, .ssl = ssl, .fd = fd, .server = credentials_is_server(own) };
        BIO_set_data(b, w);
        BIO_set_init(b, 1);
        SSL_set_bio(ssl, b, b);
        SSL_set_app_data(ssl, w);
        SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify);
        if (w->server)
                SSL_set_accept_state(ssl);
        else
                SSL_set_connect_state(ssl);
        *ret = &w->base;
        return 0;
}

int tls_wire_handshake(struct transport_wire *base)
{
        struct tls_wire *w = wire_of(base);
        ERR_clear_error();
        int rc = SSL_do_handshake(w->ssl);
        if (rc == 1)
                return 0;
        int r = wire_failed(w, rc);
        return r ? r : -ECONNRESET;
}

/* ---------------------------------------------------------------- dialling */

uint32_t tls_sockaddr(const struct control_addr *a, struct sockaddr_storage *ret)
{
        memset(ret, 0, sizeof *ret);
        if (a->ip.af == 4) {
                struct sockaddr_in *s = (struct sockaddr_in *)ret;
                s->sin_family = AF_INET;
                s->sin_port = htons(a->port);
                memcpy(&s->sin_addr, a->ip.b, 4);
                return sizeof *s;
        }
        struct sockaddr_in6 *s = (struct sockaddr_in6 *)ret;
        s->sin6_family = AF_INET6;
        s->sin6_port = htons(a->port);
        memcpy(&s->sin6_addr, a->ip.b, 16);
        return sizeof *s;
}

int tls_connect(struct loop *l, const struct control_addr *to, struct credentials *own, const struct transport_ops *ops, void *arg,
                struct transport **ret, struct err *reterr)
{
        struct sockaddr_storage sa;
        socklen_t len = tls_sockaddr(to, &sa);
        struct transport_conn conn = { .fd = -1, .peer = { .uid = UINT32_MAX, .gid = UINT32_MAX, .pid = -1 } };
        char text[CONTROL_ADDR_STR_MAX];
        (void)control_addr_str(to, text); /* returns text */
        int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
        if (fd < 0)
                return err_set(reterr, errno, text, "no socket: %s", strerror(errno));
        int r = tls_wire_new(fd, own, &conn.wire, reterr);
        if (r < 0) {
                close(fd);
                return r;
        }
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* later frames are slower, nothing worse */
        if (connect(fd, (const struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS) {
                r = err_set(reterr, errno, text, "cannot connect: %s", strerror(errno));
                conn.wire->ops->close(conn.wire);
                close(fd);
                return r;
        }
        conn.fd = fd;
        snprintf(conn.peer.text, sizeof conn.peer.text, "%s", text);
        r = transport_accept(l, &conn, ops, arg, ret);
        return r < 0 ? err_set(reterr, -r, text, "cannot watch: %s", strerror(-r)) : 0;
}
