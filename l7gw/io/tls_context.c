/* l7gw/io/tls_context.c - see tls_context.h. */
#include "lib/base.h"
#include "l7gw/io/tls_context.h"
#include "l7gw/io/tls_material.h"
#include "lib/control.pb-c.h"

#define CERTS_PER_NAME 8 /* one per key type is usual; of two of one type the first in the listener's list serves */

struct named { /* the certificates of one name, in the listener's order */
        const char *name; /* borrowed from the model; "" for what a client gets whose name nothing matches */
        struct tls_cert *certs[CERTS_PER_NAME];
        size_t n;
};
struct tls_listener {
        const Model__Tls *model;
        struct tls_certs *all; /* the registry's */
        struct tls_cert **certs; /* one reference each */
        size_t n_certs;
        struct map by_name;
        struct named *names; /* [n_names]; the first is the default */
        size_t n_names;
        X509_STORE *clients;           /* what certificates of clients are verified by; NULL: none are asked for */
        STACK_OF(X509_NAME) *ca_names; /* told to clients, so that they find the right one */
        uint8_t sid[SHA256_BYTES];     /* of mode and trust: a session resumes only where its client would be accepted today */
        uint8_t alpn[TLS_ALPN_MAX];    /* wire form, our order of preference */
        uint8_t alpn_n;                /* 0: bytes of no protocol we know, none is chosen */
};

/* The connection has its listener's list: a generation may go between the two hellos of one handshake. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                       unsigned in_n, void *arg)
{
        const struct tls *t = tls_of(ssl);
        unsigned char *chosen;
        (void)arg;
        if (t->alpn_n == 0)
                return SSL_TLSEXT_ERR_NOACK;
        int r = SSL_select_next_proto(&chosen, out_n, t->alpn, t->alpn_n, in, in_n);
        if (r != OPENSSL_NPN_NEGOTIATED)
                return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 3.2: no_application_protocol */
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
}

static void context_defaults(SSL_CTX *ctx)
{
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
        SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
        SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"l7gw", 4);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* stateless tickets only */
        SSL_CTX_set_num_tickets(ctx, 1);
}

static void message_seen(int sent, int version, int type, const void *p, size_t n, SSL *ssl, void *arg)
{
        (void)version;
        (void)arg;
        if (!sent && type == SSL3_RT_HANDSHAKE && n > 0 && *(const uint8_t *)p == SSL3_MT_KEY_UPDATE)
                tls_of(ssl)->key_updates++;
}

SSL_CTX *tls_front_new(int (*client_hello)(SSL *ssl, int *alert, void *arg), const uint8_t keys[TLS_TICKET_KEYS_BYTES])
{
        SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
        if (!ctx)
                return NULL;
        context_defaults(ctx);
        SSL_CTX_set_client_hello_cb(ctx, client_hello, NULL);
        SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
        SSL_CTX_set_tlsext_status_cb(ctx, tls_cert_status);
        SSL_CTX_set_msg_callback(ctx, message_seen);
        if (SSL_CTX_set_tlsext_ticket_keys(ctx, (void *)(uintptr_t)keys, TLS_TICKET_KEYS_BYTES) != 1) {
                SSL_CTX_free(ctx);
                return NULL;
        }
        return ctx;
}

/* ---- certificates ---- */

static struct named *named_get(struct tls_listener *l, const char *name)
{
        struct named *n = map_get(&l->by_name, span_str(name));
        if (n)
                return n;
        n = &l->names[l->n_names];
        *n = (struct named){.name = name};
        if (map_put(&l->by_name, span_str(n->name), n) < 0)
                return NULL;
        l->n_names++;
        return n;
}

static int names_build(struct tls_listener *l, const Model__Certificate *const *models)
{
        size_t n = 1;
        for (size_t i = 0; i < l->n_certs; i++)
                n += models[i]->n_names;
        l->names = calloc(n, sizeof *l->names);
        struct named *fallback = l->names ? named_get(l, "") : NULL;
        if (!fallback)
                return -ENOMEM;
        for (size_t i = 0; i < l->n_certs; i++)
                for (size_t k = 0; k < models[i]->n_names; k++) {
                        struct named *to = named_get(l, models[i]->names[k]);
                        if (!to)
                                return -ENOMEM;
                        if (to->n < CERTS_PER_NAME)
                                to->certs[to->n++] = l->certs[i];
                }
        const struct named *first = models[0]->n_names ? named_get(l, models[0]->names[0]) : NULL;
        fallback->certs[0] = l->certs[0];
        fallback->n = 1;
        for (size_t i = 0; first && i < first->n; i++)
                fallback->certs[i] = first->certs[i];
        fallback->n = first ? first->n : 1;
        return 0;
}

static int certs_build(struct tls_listener *l, const struct model *m, const Model__Listener *ml, struct model_error *e)
{
        const Model__Tls *t = l->model;
        const Model__Certificate **models = calloc(t->n_certificates, sizeof *models);
        l->certs = calloc(t->n_certificates, sizeof *l->certs);
        int r = models && l->certs ? 0 : -ENOMEM;
        for (size_t i = 0; r == 0 && i < t->n_certificates; i++) {
                models[i] = model_certificate(m, t->certificates[i]);
                if (!models[i]) {
                        model_error_set(e, CONTROL__NACK_STAGE__NACK_CHECK, "", ml->source, "no such certificate: %s", t->certificates[i]);
                        r = -EINVAL;
                } else {
                        r = tls_cert_get(l->all, m, models[i], &l->certs[i], e);
                        l->n_certs += r == 0;
                }
        }
        if (r == 0)
                r = names_build(l, models);
        free(models);
        return r;
}

/* Exact, then wildcard (one label, RFC 6125 6.4.3), then the default. */
static const struct named *named_pick(const struct tls_listener *l, struct span name)
{
        char wild[TLS_SNI_MAX + 1];
        const struct named *n = name.n ? map_get(&l->by_name, name) : NULL;
        const uint8_t *dot = name.n ? memchr(name.p, '.', name.n) : NULL;
        size_t rest = dot ? (size_t)(name.p + name.n - dot) : 0;
        if (n || rest < 2 || dot == name.p || rest + 1 > sizeof wild)
                return n ? n : &l->names[0];
        wild[0] = '*';
        memcpy(wild + 1, dot, rest);
        n = map_get(&l->by_name, SPAN(wild, rest + 1));
        return n ? n : &l->names[0];
}

/* Of two with one type of key the first wins, so it comes last.  One that does not parse leaves the others. */
static int certs_apply(const struct tls_listener *l, struct span name, SSL *ssl)
{
        const struct named *n = named_pick(l, name);
        int r = -EINVAL;
        for (size_t i = n->n; i-- > 0;)
                if (tls_cert_use(n->certs[i], ssl) == 0)
                        r = 0;
        return r;
}

/* ---- settings ---- */

static int alpn_build(struct tls_listener *l, struct model_error *e, const Model__Listener *ml)
{
        static char h2[] = "h2", h1[] = "http/1.1";
        static char *both[] = {h2, h1};
        const Model__Tls *t = l->model;
        char **list = t->n_alpn ? t->alpn : both;
        for (size_t i = 0; i < (t->n_alpn ? t->n_alpn : ARRAY_SIZE(both)); i++) {
                size_t len = strlen(list[i]);
                if ((strcmp(list[i], h2) != 0 && strcmp(list[i], h1) != 0) || l->alpn_n + len + 1 > sizeof l->alpn) {
                        model_error_set(e, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "", ml->source,
                                        "ALPN protocol %s is not supported, or named twice", list[i]);
                        return -ENOTSUP;
                }
                l->alpn[l->alpn_n++] = (uint8_t)len;
                memcpy(l->alpn + l->alpn_n, list[i], len);
                l->alpn_n += (uint8_t)len;
        }
        if (ml->protocol == MODEL__LISTENER__PROTOCOL__TLS_TERMINATE)
                l->alpn_n = 0;
        return 0;
}

static int version_of(Model__Tls__Version v, int unset)
{
        return v == MODEL__TLS__VERSION__TLS_1_3   ? TLS1_3_VERSION
               : v == MODEL__TLS__VERSION__TLS_1_2 ? TLS1_2_VERSION
                                                   : unset;
}

/* Everybody is let in; whether the certificate was good stands in the verify result (SSL_get_verify_result). */
static int verify_insecure(int ok, X509_STORE_CTX *store)
{
        (void)ok;
        (void)store;
        return 1;
}

static int clients_apply(const struct tls_listener *l, SSL *ssl)
{
        if (SSL_set_session_id_context(ssl, l->sid, sizeof l->sid) != 1)
                return -EINVAL;
        if (!l->clients)
                return 0;
        Model__Tls__ClientMode mode = l->model->client_mode;
        STACK_OF(X509_NAME) *names = SSL_dup_CA_list(l->ca_names);
        if (!names || SSL_set1_verify_cert_store(ssl, l->clients) != 1) {
                sk_X509_NAME_pop_free(names, X509_NAME_free);
                return -EINVAL;
        }
        SSL_set_client_CA_list(ssl, names); /* takes them */
        SSL_set_verify(ssl, SSL_VERIFY_PEER | (mode == MODEL__TLS__CLIENT_MODE__VALID_ONLY ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                       mode == MODEL__TLS__CLIENT_MODE__INSECURE_FALLBACK ? verify_insecure : NULL);
        return 0;
}

static int settings_apply(const struct tls_listener *l, SSL *ssl)
{
        const Model__Tls *t = l->model;
        bool ok = SSL_set_min_proto_version(ssl, version_of(t->min_version, TLS1_2_VERSION)) == 1 &&
                  SSL_set_max_proto_version(ssl, version_of(t->max_version, 0)) == 1 &&
                  (!t->ciphers[0] || SSL_set_cipher_list(ssl, t->ciphers) == 1) &&
                  (!t->curves[0] || SSL_set1_groups_list(ssl, t->curves) == 1);
        return ok ? clients_apply(l, ssl) : -EINVAL;
}

int tls_listener_apply(const struct tls_listener *l, struct tls *to)
{
        memcpy(to->alpn, l->alpn, l->alpn_n);
        to->alpn_n = l->alpn_n;
        memcpy(to->clients, l->sid, sizeof to->clients);
        int r = settings_apply(l, to->ssl);
        return r == 0 ? certs_apply(l, SPAN(to->sni, to->sni_n), to->ssl) : r;
}

/* The same calls on a throw-away connection: a bad cipher list is a NACK, not a failed handshake. */
static int settings_check(const struct tls_listener *l)
{
        SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
        SSL *ssl = ctx ? SSL_new(ctx) : NULL;
        int r = ssl ? settings_apply(l, ssl) : -ENOMEM;
        SSL_free(ssl);
        SSL_CTX_free(ctx);
        return r;
}

static int clients_build(struct tls_listener *l, const struct model *m, struct model_error *e)
{
        const Model__Tls *t = l->model;
        const Model__Trust *trust = t->client_mode != MODEL__TLS__CLIENT_MODE__NONE ? model_trust(m, t->client_trust) : NULL;
        struct buf b;
        buf_init(&b, SIZE_MAX);
        buf_printf(&b, "%d %zu ", (int)t->client_mode, trust ? trust->ca_pem.len : 0);
        if (trust) {
                buf_add(&b, trust->ca_pem.data, trust->ca_pem.len);
                if (trust->crl_pem.len)
                        buf_add(&b, trust->crl_pem.data, trust->crl_pem.len);
        }
        struct sha256 sha;
        sha256_of(buf_span(&b), &sha);
        memcpy(l->sid, sha.b, sizeof l->sid);
        bool failed = b.failed;
        buf_fini(&b);
        if (failed)
                return -ENOMEM;
        if (!trust)
                return 0;
        int r = tls_trust_store(trust, &l->clients, e);
        if (r < 0)
                return r;
        l->ca_names = sk_X509_NAME_new_null();
        STACK_OF(X509) *all = l->ca_names ? X509_STORE_get1_all_certs(l->clients) : NULL;
        bool ok = all != NULL;
        for (int i = 0; ok && i < sk_X509_num(all); i++) {
                X509_NAME *n = X509_NAME_dup(X509_get_subject_name(sk_X509_value(all, i)));
                ok = n && sk_X509_NAME_push(l->ca_names, n) > 0;
                if (!ok)
                        X509_NAME_free(n);
        }
        sk_X509_pop_free(all, X509_free);
        return ok ? 0 : -ENOMEM;
}

const uint8_t *tls_listener_clients(const struct tls_listener *l)
{
        return l->sid;
}

int tls_listener_build(struct tls_certs *all, const struct model *m, const Model__Listener *ml, struct tls_listener **ret,
                       struct model_error *e)
{
        if (!ml->tls || ml->tls->n_certificates == 0) {
                model_error_set(e, CONTROL__NACK_STAGE__NACK_CHECK, "", ml->source,
                                "listener %s: HTTPS without a certificate", ml->id);
                return -EINVAL;
        }
        struct tls_listener *l = calloc(1, sizeof *l);
        int r = -ENOMEM;
        if (l) {
                l->model = ml->tls;
                l->all = all;
                map_init(&l->by_name);
                r = alpn_build(l, e, ml);
        }
        if (r == 0)
                r = clients_build(l, m, e);
        if (r == 0)
                r = certs_build(l, m, ml, e);
        if (r == 0 && settings_check(l) < 0) {
                char why[256];
                model_error_set(e, CONTROL__NACK_STAGE__NACK_BUILD, "", ml->source, "listener %s: TLS settings: %s",
                                ml->id, tls_error(why));
                r = -EINVAL;
        }
        if (r == -ENOMEM)
                model_error_set(e, CONTROL__NACK_STAGE__NACK_INTERNAL, "", NULL, "out of memory");
        if (r < 0)
                tls_listener_free(l);
        else
                *ret = l;
        return r;
}

void tls_listener_free(struct tls_listener *l)
{
        if (!l)
                return;
        for (size_t i = 0; i < l->n_certs; i++)
                tls_cert_put(l->all, l->certs[i]);
        X509_STORE_free(l->clients);
        sk_X509_NAME_pop_free(l->ca_names, X509_NAME_free);
        map_fini(&l->by_name);
        free(l->certs);
        free(l->names);
        free(l);
}
