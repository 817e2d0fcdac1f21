/* l7gw/io/tls.c - see tls.h. */
#include "lib/base.h"
#include "l7gw/core/engine_limits.tbl.h"
#include "l7gw/io/socket.h"
#include "l7gw/io/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>

static int bio_read(BIO *b, char *p, size_t max, size_t *ret_n)
{
        struct tls *t = BIO_get_data(b);
        size_t n = MIN(max, t->in.n);
        BIO_clear_retry_flags(b);
        if (n == 0) {
                BIO_set_retry_read(b);
                return 0;
        }
        memcpy(p, t->in.p, n);
        t->in.p += n;
        t->in.n -= n;
        *ret_n = n;
        return 1;
}

static int bio_write(BIO *b, const char *p, size_t n, size_t *ret_n)
{
        struct tls *t = BIO_get_data(b);
        BIO_clear_retry_flags(b);
        chain_add(&t->wire, p, n);
        if (t->wire.failed)
                return 0;
        *ret_n = n;
        return 1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
        (void)b;
        (void)num;
        (void)ptr;
        return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void method_make(void)
{
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "l7gw buffers");
        BUG_ON(!method || !BIO_meth_set_read_ex(method, bio_read) || !BIO_meth_set_write_ex(method, bio_write) ||
               !BIO_meth_set_ctrl(method, bio_ctrl)); /* boot */
}

static struct tls *over_buffers(SSL_CTX *ctx, struct chunk_pool *pool)
{
        pthread_once(&method_once, method_make);
        struct tls *t = calloc(1, sizeof *t);
        BIO *bio = t ? BIO_new(method) : NULL;
        if (bio) {
                BIO_set_data(bio, t);
                BIO_set_init(bio, 1);
                t->ssl = SSL_new(ctx);
        }
        if (!bio || !t->ssl) {
                BIO_free(bio);
                free(t);
                return NULL;
        }
        chain_init(&t->wire, pool);
        buf_init(&t->sealed, 2 * (size_t)L7_SCRATCH_BYTES);
        SSL_set_bio(t->ssl, bio, bio); /* takes it */
        return t;
}

struct tls *tls_of(const SSL *ssl)
{
        return BIO_get_data(SSL_get_rbio(ssl));
}

int tls_new(SSL_CTX *front, struct chunk_pool *pool, void *app_data, struct tls **ret)
{
        struct tls *t = over_buffers(front, pool);
        if (!t)
                return -ENOMEM;
        SSL_set_accept_state(t->ssl);
        SSL_set_app_data(t->ssl, app_data);
        *ret = t;
        return 0;
}

int tls_client_new(SSL_CTX *ctx, struct chunk_pool *pool, struct tls **ret)
{
        struct tls *t = over_buffers(ctx, pool);
        if (!t)
                return -ENOMEM;
        SSL_set_connect_state(t->ssl);
        *ret = t;
        return 0;
}

void tls_free(struct tls *t)
{
        if (!t)
                return;
        SSL_free(t->ssl);
        chain_clear(&t->wire);
        buf_fini(&t->sealed);
        free(t->client_cert);
        free(t);
}

static enum tls_rc rc_of(struct tls *t, int r)
{
        switch (SSL_get_error(t->ssl, r)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE:
                return TLS_MORE;
        case SSL_ERROR_ZERO_RETURN:
                return TLS_EOF;
        default:
                return TLS_BAD;
        }
}

enum tls_rc tls_handshake(struct tls *t)
{
        ERR_clear_error();
        int r = SSL_do_handshake(t->ssl);
        if (r != 1)
                return rc_of(t, r);
        t->established = true;
        return TLS_OK;
}

enum tls_rc tls_read(struct tls *t, uint8_t *p, size_t max, size_t *ret_n)
{
        size_t total = 0;
        enum tls_rc rc = TLS_OK;
        ERR_clear_error();
        while (total < max) { /* OpenSSL returns one record at a time */
                size_t n = 0;
                int r = SSL_read_ex(t->ssl, p + total, max - total, &n);
                if (r != 1) {
                        rc = rc_of(t, r);
                        break;
                }
                total += n;
        }
        *ret_n = total;
        if (t->key_updates > L7_TLS_KEY_UPDATES) {
                *ret_n = 0;
                return TLS_BAD;
        }
        return total > 0 ? TLS_OK : rc; /* the reason for stopping comes back at the next call */
}

enum tls_rc tls_write(struct tls *t, struct span plain)
{
        size_t n = 0;
        if (plain.n == 0)
                return TLS_OK;
        ERR_clear_error();
        int r = SSL_write_ex(t->ssl, plain.p, plain.n, &n);
        return r == 1 && n == plain.n && !t->wire.failed ? TLS_OK : TLS_BAD; /* the BIO never blocks */
}

void tls_close_notify(struct tls *t)
{
        if (!t->established)
                return;
        ERR_clear_error();
        (void)SSL_shutdown(t->ssl); /* one way: queues our alert; the client's is not awaited */
}

bool tls_is_h2(const struct tls *t)
{
        const unsigned char *p;
        unsigned n;
        SSL_get0_alpn_selected(t->ssl, &p, &n);
        return n == 2 && memcmp(p, "h2", 2) == 0;
}

const char *tls_version(const struct tls *t)
{
        return SSL_get_version(t->ssl);
}

/* A value in quotes: printable ASCII as it is, quotes and backslashes escaped, everything else as %XX. */
static void xfcc_value(struct buf *b, const char *key, const uint8_t *p, size_t n)
{
        buf_printf(b, ";%s=\"", key);
        for (size_t i = 0; i < n; i++)
                if (p[i] == '"' || p[i] == '\\')
                        buf_printf(b, "\\%c", p[i]);
                else if (p[i] >= ' ' && p[i] <= '~' && p[i] != '%')
                        buf_add(b, &p[i], 1);
                else
                        buf_printf(b, "%%%02X", p[i]);
        buf_str(b, "\"");
}

static void xfcc_names(struct buf *b, X509 *cert)
{
        GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
        for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
                const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
                if (g->type == GEN_URI || g->type == GEN_DNS)
                        xfcc_value(b, g->type == GEN_URI ? "URI" : "DNS", ASN1_STRING_get0_data(g->d.ia5),
                                   (size_t)ASN1_STRING_length(g->d.ia5));
        }
        GENERAL_NAMES_free(names);
}

int tls_client_cert_take(struct tls *t)
{
        X509 *cert = SSL_get0_peer_certificate(t->ssl);
        struct sha256 sha;
        unsigned n = 0;
        char hex[65], subject[512];
        if (!cert || SSL_get_verify_result(t->ssl) != X509_V_OK || X509_digest(cert, EVP_sha256(), sha.b, &n) != 1)
                return 0;
        struct buf b;
        buf_init(&b, L7_XFCC_BYTES);
        sha256_hex(&sha, hex);
        buf_printf(&b, "Hash=%s", hex);
        BIO *bio = BIO_new(BIO_s_mem());
        int len = bio && X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0 ? BIO_read(bio, subject, sizeof subject) : 0;
        BIO_free(bio);
        if (len > 0)
                xfcc_value(&b, "Subject", (const uint8_t *)subject, (size_t)len);
        xfcc_names(&b, cert);
        t->client_cert = strdup(buf_cstr(&b));
        bool failed = b.failed || !t->client_cert;
        buf_fini(&b);
        return failed ? -ENOMEM : 0;
}

void tls_sni_take(struct tls *t)
{
        const unsigned char *p;
        size_t n;
        t->sni_n = 0;
        /* RFC 6066 3: list length (2), type host_name = 0 (1), name length (2), name */
        if (!SSL_client_hello_get0_ext(t->ssl, TLSEXT_TYPE_server_name, &p, &n) || n < 5 ||
            p[2] != TLSEXT_NAMETYPE_host_name)
                return;
        size_t list = (size_t)p[0] << 8 | p[1], len = (size_t)p[3] << 8 | p[4];
        if (list != n - 2 || len > n - 5 || len == 0 || len > TLS_SNI_MAX)
                return;
        for (size_t i = 0; i < len; i++) {
                unsigned char c = p[5 + i];
                if (c <= ' ' || c > '~')
                        return;
                t->sni[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        t->sni_n = (uint8_t)(t->sni[len - 1] == '.' ? len - 1 : len);
        t->sni[t->sni_n] = '\0';
}

/* ---- over a socket ---- */

/* Shows OpenSSL what is there: `in`, or what was left of earlier ones; what it does not take is kept. */
static void in_begin(struct tls *t, struct span in)
{
        t->in = t->sealed.n > 0 ? buf_span(&t->sealed) : in;
}

static void in_end(struct tls *t, struct span in)
{
        if (t->sealed.n > 0)
                buf_consume(&t->sealed, t->sealed.n - t->in.n);
        else if (t->in.n > 0)
                buf_add(&t->sealed, in.p + in.n - t->in.n, t->in.n);
        t->in = SPAN_NULL;
        if (t->sealed.n == 0)
                buf_fini(&t->sealed); /* memory only while bytes wait */
}

/* Cipher text into s->scratch: TLS_OK, TLS_MORE when the socket has none, TLS_BAD when there will be no more. */
static enum tls_rc wire_in(const struct tls_socket *s, struct span *ret)
{
        while (*s->readable) {
                ssize_t n = recv(s->fd, s->scratch, L7_SCRATCH_BYTES, 0);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n <= 0) { /* an end without close_notify: cut, perhaps by somebody else (RFC 8446 6.1) */
                        *s->readable = false;
                        return TLS_BAD;
                }
                if ((size_t)n < L7_SCRATCH_BYTES && !s->hup)
                        *s->readable = false;
                *ret = SPAN(s->scratch, (size_t)n);
                return TLS_OK;
        }
        *s->readable = false;
        return TLS_MORE;
}

enum tls_rc tls_handshake_socket(struct tls *t, const struct tls_socket *s)
{
        struct span in = SPAN_NULL;
        for (;;) {
                in_begin(t, in);
                enum tls_rc rc = tls_handshake(t);
                in_end(t, in);
                if (socket_send(s->fd, &t->wire, s->writable) < 0 || t->sealed.failed)
                        return TLS_BAD;
                if (rc != TLS_MORE)
                        return rc;
                rc = wire_in(s, &in);
                if (rc != TLS_OK)
                        return rc;
        }
}

bool tls_pending(const struct tls *t)
{
        return t->sealed.n > 0 || SSL_pending(t->ssl) > 0;
}

ssize_t tls_recv(struct tls *t, const struct tls_socket *s, uint8_t *p, size_t max)
{
        struct span in = SPAN_NULL;
        for (;;) {
                size_t n = 0;
                in_begin(t, in);
                enum tls_rc rc = tls_read(t, p, max, &n);
                in_end(t, in);
                if (rc == TLS_OK)
                        return (ssize_t)n;
                if (rc == TLS_EOF)
                        return 0;
                if (rc == TLS_MORE)
                        rc = wire_in(s, &in);
                if (rc == TLS_OK)
                        continue;
                errno = rc == TLS_MORE ? EAGAIN : ECONNRESET;
                return -1;
        }
}

int tls_seal(struct tls *t, struct chain *out)
{
        while (out->n > 0 && t->wire.n < L7_WIRE_BYTES) {
                struct span plain = chain_front(out);
                if (tls_write(t, plain) != TLS_OK)
                        return -EPIPE;
                chain_consume(out, plain.n);
        }
        return 0;
}

ssize_t tls_send(struct tls *t, const struct tls_socket *s, struct chain *out)
{
        size_t total = 0;
        for (;;) {
                size_t before = out->n;
                if (tls_seal(t, out) < 0)
                        return -EPIPE;
                total += before - out->n;
                ssize_t r = socket_send(s->fd, &t->wire, s->writable);
                if (r < 0)
                        return r;
                if (t->wire.n > 0 || out->n == 0)
                        return (ssize_t)total;
        }
}
