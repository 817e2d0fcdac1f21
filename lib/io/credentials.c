/* lib/io/credentials.c - see credentials.h. */
#include "lib/base.h"
#include "lib/io/credentials.h"

#include "lib/io/cert_identity.h"
#include "lib/io/log.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#define PEER_CHAIN_MAX_BYTES (32 * 1024) /* four certificates with RSA keys of 4096 bits are 8 KiB */
#define PEER_CHAIN_DEPTH 4
#define EXPIRY_WARN_DAYS 7

struct stamp { /* differs when a file was replaced or written */
        dev_t dev;
        ino_t ino;
        off_t size;
        struct timespec mtime, ctime;
};
enum { CERTIFICATE, KEY, CA, N_FILES };

struct credentials {
        struct credentials_conf conf;
        struct identity self;
        SSL_CTX *ctx; /* NULL: nothing usable was read yet */
        struct stamp seen[N_FILES]; /* of the last attempt, good or bad */
        bool tried;
        struct err bad; /* why the last attempt failed, if it did */
};

static void path_copy(const struct conf_group *g, const char *key, char ret[CREDENTIALS_PATH_MAX])
{
        const char *s = conf_str(g, key);
        size_t n = strlen(s);
        *ret = '\0';
        if (n == 0 || n >= CREDENTIALS_PATH_MAX)
                conf_error(g, key, n ? "the path is longer than %d bytes" : "must not be empty", CREDENTIALS_PATH_MAX - 1);
        else
                memcpy(ret, s, n + 1);
}

void credentials_conf_read(const struct conf_group *g, struct credentials_conf *ret)
{
        path_copy(g, "certificate", ret->certificate);
        path_copy(g, "key", ret->key);
        path_copy(g, "ca", ret->ca);
}

struct credentials *credentials_new(const struct credentials_conf *conf, const struct identity *self)
{
        struct credentials *c = calloc(1, sizeof *c);
        if (!c)
                return NULL;
        c->conf = *conf;
        c->self = *self;
        return c;
}

void credentials_free(struct credentials *c)
{
        if (!c)
                return;
        SSL_CTX_free(c->ctx);
        free(c);
}

bool credentials_is_server(const struct credentials *c) { return c->self.role == IDENTITY_AGENT; }

/* ---------------------------------------------------------------- reading */

static int no_password(char *buf, int size, int writing, void *arg)
{
        (void)buf, (void)size, (void)writing, (void)arg;
        return 0; /* an encrypted key is an error, never a question on some terminal */
}

static int bad_file(const char *path, const char *what, struct err *reterr)
{
        unsigned long e = ERR_peek_last_error();
        const char *why = e ? ERR_reason_error_string(e) : NULL;
        if (e && !why && ERR_SYSTEM_ERROR(e))
                why = strerror(ERR_GET_REASON(e));
        err_set(reterr, EINVAL, path, "%s%s%s", what, why ? ": " : "", why ? why : "");
        ERR_clear_error();
        return -EINVAL;
}

static int check_self(const struct credentials *c, SSL_CTX *ctx, struct err *reterr)
{
        const X509 *cert = SSL_CTX_get0_certificate(ctx);
        struct identity id;
        const char *why;
        char is[IDENTITY_URI_MAX], want[IDENTITY_URI_MAX];
        if (cert_identity(cert, &id, &why) < 0)
                return err_set(reterr, EINVAL, c->conf.certificate, "the certificate %s", why);
        if (credentials_is_server(c) && id.role != IDENTITY_AGENT)
                return err_set(reterr, EINVAL, c->conf.certificate, "the certificate is for %s, not for an agent", identity_uri(&id, is));
        if (!credentials_is_server(c) && !identity_eq(&id, &c->self))
                return err_set(reterr, EINVAL, c->conf.certificate, "the certificate is for %s, we are %s", identity_uri(&id, is),
                               identity_uri(&c->self, want));
        return 0;
}

/* The store answers for CRLs only when told to. */
static void crl_demand(SSL_CTX *ctx)
{
        const STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx));
        for (int i = 0; i < sk_X509_OBJECT_num(all); i++)
                if (X509_OBJECT_get_type(sk_X509_OBJECT_value(all, i)) == X509_LU_CRL) {
                        (void)X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
                        return;
                }
}

static int context_settings(SSL_CTX *ctx)
{
        SSL_CTX_set_default_passwd_cb(ctx, no_password);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
        SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_max_cert_list(ctx, PEER_CHAIN_MAX_BYTES);
        SSL_CTX_set_verify_depth(ctx, PEER_CHAIN_DEPTH);
        SSL_CTX_set_security_level(ctx, 2); /* 112 bits: no SHA-1, no RSA under 2048 bits, whatever openssl.cnf says */
        return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 && SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
                       SSL_CTX_set_num_tickets(ctx, 0) == 1 ? 0 : -ENOMEM;
}

static int context_read(const struct credentials *c, SSL_CTX **ret, struct err *reterr)
{
        const struct credentials_conf *f = &c->conf;
        ERR_clear_error();
        SSL_CTX *ctx = SSL_CTX_new(credentials_is_server(c) ? TLS_server_method() : TLS_client_method());
        int r = ctx ? context_settings(ctx) : -ENOMEM;
        if (r < 0)
                r = bad_file(f->certificate, "cannot make a TLS context", reterr);
        else if (SSL_CTX_use_certificate_chain_file(ctx, f->certificate) != 1)
                r = bad_file(f->certificate, "cannot read the certificate", reterr);
        else if (SSL_CTX_use_PrivateKey_file(ctx, f->key, SSL_FILETYPE_PEM) != 1)
                r = bad_file(f->key, "cannot use the key", reterr); /* of another certificate: "key values mismatch" */
        else if (SSL_CTX_load_verify_file(ctx, f->ca) != 1)
                r = bad_file(f->ca, "cannot read the CA", reterr);
        else
                r = check_self(c, ctx, reterr);
        if (r < 0) {
                SSL_CTX_free(ctx);
                return r;
        }
        crl_demand(ctx);
        *ret = ctx;
        return 0;
}

static void stamps_take(const struct credentials *c, struct stamp ret[N_FILES])
{
        const char *const paths[N_FILES] = { c->conf.certificate, c->conf.key, c->conf.ca };
        for (int i = 0; i < N_FILES; i++) {
                struct stat st;
                memset(&ret[i], 0, sizeof ret[i]); /* compared whole */
                if (stat(paths[i], &st) < 0)
                        continue; /* all zero: reading it will say why */
                ret[i].dev = st.st_dev;
                ret[i].ino = st.st_ino;
                ret[i].size = st.st_size;
                ret[i].mtime = st.st_mtim;
                ret[i].ctime = st.st_ctim;
        }
}

static void note_expiry(const struct credentials *c)
{
        int days = 0, secs = 0;
        const ASN1_TIME *end = X509_get0_notAfter(SSL_CTX_get0_certificate(c->ctx));
        if (ASN1_TIME_diff(&days, &secs, NULL, end) == 1 && (days < EXPIRY_WARN_DAYS || secs < 0))
                log_warn("certificate_expires", "file=%s days=%d", LOG_ESC(c->conf.certificate), secs < 0 && days == 0 ? -1 : days);
}

int credentials_refresh(struct credentials *c, struct err *reterr)
{
        struct stamp now[N_FILES];
        stamps_take(c, now);
        if (!c->tried || memcmp(now, c->seen, sizeof now) != 0) {
                SSL_CTX *ctx = NULL;
                memcpy(c->seen, now, sizeof now);
                c->tried = true;
                if (context_read(c, &ctx, &c->bad) == 0) {
                        if (c->ctx)
                                log_info("certificate_renewed", "file=%s", LOG_ESC(c->conf.certificate));
                        SSL_CTX_free(c->ctx); /* connections hold references of their own */
                        c->ctx = ctx;
                        note_expiry(c);
                } else if (c->ctx) {
                        log_error("certificate_refused", "file=%s reason=%s action=keep_previous", LOG_ESC(c->bad.place), LOG_ESC(c->bad.msg));
                }
        }
        if (c->ctx)
                return 0;
        if (reterr)
                *reterr = c->bad;
        return -EINVAL;
}

int credentials_ssl(struct credentials *c, struct ssl_st **ret, struct err *reterr)
{
        int r = credentials_refresh(c, reterr);
        if (r < 0)
                return r;
        SSL *ssl = SSL_new(c->ctx);
        if (!ssl)
                return bad_file(c->conf.certificate, "cannot make a TLS connection", reterr);
        *ret = ssl;
        return 0;
}
