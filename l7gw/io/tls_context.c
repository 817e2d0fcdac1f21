/* l7gw/io/tls_context.c - see tls_context.h. */
#include "lib/base.h"
#include "l7gw/io/tls_context.h"
#include "l7gw/io/tls_material.h"
#include "lib/control.pb-c.h"


struct cert_group {
        SSL_CTX *ctx;
        char **names; /* borrowed from the model */
        size_t n_names;
};
struct tls_listener {
        const Model__Tls *model;
        struct cert_group *groups;
        size_t n_groups;
        bool bytes;                    /* of no protocol we know: no ALPN is chosen */
        X509_STORE *clients;           /* what certificates of clients are verified by; NULL: none are asked for */
        STACK_OF(X509_NAME) *ca_names; /* told to clients, so that they find the right one */
        uint8_t sid[SHA256_BYTES];     /* of mode and trust: a session resumes only where its client would be accepted today */
        uint8_t *alpn; /* wire form, our order of preference */
        unsigned alpn_n;
};

static const uint8_t default_alpn[] = "\x02h2\x08http/1.1";

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                       unsigned in_n, void *arg)
{
        const struct tls_listener *l = arg;
        unsigned char *chosen;
        (void)ssl;
        int r = SSL_select_next_proto(&chosen, out_n, l->alpn, l->alpn_n, in, in_n);
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

SSL_CTX *tls_front_new(int (*client_hello)(SSL *ssl, int *alert, void *arg), const uint8_t keys[TLS_TICKET_KEYS_BYTES])
{
        SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
        if (!ctx)
                return NULL;
        context_defaults(ctx);
        SSL_CTX_set_client_hello_cb(ctx, client_hello, NULL);
        if (SSL_CTX_set_tlsext_ticket_keys(ctx, (void *)(uintptr_t)keys, TLS_TICKET_KEYS_BYTES) != 1) {
                SSL_CTX_free(ctx);
                return NULL;
        }
        return ctx;
}

/* ---- certificates ---- */

static bool same_names(const struct cert_group *g, const Model__Certificate *c)
{
        if (g->n_names != c->n_names)
                return false;
        for (size_t i = 0; i < c->n_names; i++)
                if (strcmp(g->names[i], c->names[i]) != 0)
                        return false;
        return true;
}

static struct cert_group *group_for(struct tls_listener *l, const Model__Certificate *c)
{
        for (size_t i = 0; i < l->n_groups; i++)
                if (same_names(&l->groups[i], c))
                        return &l->groups[i];
        struct cert_group *g = &l->groups[l->n_groups];
        *g = (struct cert_group){.ctx = SSL_CTX_new(TLS_server_method()), .names = c->names, .n_names = c->n_names};
        if (!g->ctx)
                return NULL;
        l->n_groups++;
        context_defaults(g->ctx);
        if (!l->bytes)
                SSL_CTX_set_alpn_select_cb(g->ctx, select_alpn, l);
        return g;
}

/* ---- settings ---- */

static int alpn_build(struct tls_listener *l, struct model_error *e, const Model__Listener *ml)
{
        size_t n = 0;
        const Model__Tls *t = l->model;
        if (t->n_alpn == 0) {
                l->alpn_n = sizeof default_alpn - 1;
                l->alpn = malloc(l->alpn_n);
                if (l->alpn)
                        memcpy(l->alpn, default_alpn, l->alpn_n);
                return l->alpn ? 0 : -ENOMEM;
        }
        for (size_t i = 0; i < t->n_alpn; i++) {
                if (strcmp(t->alpn[i], "h2") != 0 && strcmp(t->alpn[i], "http/1.1") != 0) {
                        model_error_set(e, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "", ml->source,
                                        "ALPN protocol %s is not supported", t->alpn[i]);
                        return -ENOTSUP;
                }
                n += strlen(t->alpn[i]) + 1;
        }
        l->alpn = malloc(n);
        if (!l->alpn)
                return -ENOMEM;
        for (size_t i = 0; i < t->n_alpn; i++) {
                size_t len = strlen(t->alpn[i]);
                l->alpn[l->alpn_n++] = (uint8_t)len;
                memcpy(l->alpn + l->alpn_n, t->alpn[i], len);
                l->alpn_n += (unsigned)len;
        }
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

int tls_listener_apply(const struct tls_listener *l, SSL *ssl)
{
        const Model__Tls *t = l->model;
        bool ok = SSL_set_min_proto_version(ssl, version_of(t->min_version, TLS1_2_VERSION)) == 1 &&
                  SSL_set_max_proto_version(ssl, version_of(t->max_version, 0)) == 1 &&
                  (!t->ciphers[0] || SSL_set_cipher_list(ssl, t->ciphers) == 1) &&
                  (!t->curves[0] || SSL_set1_groups_list(ssl, t->curves) == 1);
        return ok ? clients_apply(l, ssl) : -EINVAL;
}

/* The same calls on a throw-away connection: a bad cipher list is a NACK, not a failed handshake. */
static int settings_check(const struct tls_listener *l)
{
        SSL *ssl = SSL_new(l->groups[0].ctx);
        int r = ssl ? tls_listener_apply(l, ssl) : -ENOMEM;
        SSL_free(ssl);
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

int tls_listener_build(const struct model *m, const Model__Listener *ml, struct tls_listener **ret,
                       struct model_error *e)
{
        if (!ml->tls || ml->tls->n_certificates == 0) {
                model_error_set(e, CONTROL__NACK_STAGE__NACK_CHECK, "", ml->source,
                                "listener %s: HTTPS without a certificate", ml->id);
                return -EINVAL;
        }
        struct tls_listener *l = calloc(1, sizeof *l);
        if (l) {
                l->model = ml->tls;
                l->bytes = ml->protocol == MODEL__LISTENER__PROTOCOL__TLS_TERMINATE;
                l->groups = calloc(ml->tls->n_certificates, sizeof *l->groups);
        }
        int r = l && l->groups ? alpn_build(l, e, ml) : -ENOMEM;
        if (r == 0)
                r = clients_build(l, m, e);
        for (size_t i = 0; r == 0 && i < ml->tls->n_certificates; i++) {
                const Model__Certificate *c = model_certificate(m, ml->tls->certificates[i]);
                struct cert_group *g = c ? group_for(l, c) : NULL;
                if (!c) {
                        model_error_set(e, CONTROL__NACK_STAGE__NACK_CHECK, "", ml->source, "no such certificate: %s",
                                        ml->tls->certificates[i]);
                        r = -EINVAL;
                } else {
                        r = g ? tls_certificate_load(m, g->ctx, c, e) : -ENOMEM;
                }
        }
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
        for (size_t i = 0; i < l->n_groups; i++)
                SSL_CTX_free(l->groups[i].ctx);
        X509_STORE_free(l->clients);
        sk_X509_NAME_pop_free(l->ca_names, X509_NAME_free);
        free(l->groups);
        free(l->alpn);
        free(l);
}

static bool name_matches(const char *pattern, struct span name)
{
        struct span p = span_str(pattern);
        if (p.n < 2 || p.p[0] != '*' || p.p[1] != '.')
                return span_ieq(p, name);
        const uint8_t *dot = name.n ? memchr(name.p, '.', name.n) : NULL; /* one label, as in RFC 6125 6.4.3 */
        return dot && dot > name.p && span_ieq(SPAN(p.p + 1, p.n - 1), SPAN(dot, (size_t)(name.p + name.n - dot)));
}

SSL_CTX *tls_listener_pick(const struct tls_listener *l, struct span name)
{
        const struct cert_group *wild = NULL;
        for (size_t i = 0; i < l->n_groups; i++)
                for (size_t k = 0; k < l->groups[i].n_names; k++) {
                        const char *pattern = l->groups[i].names[k];
                        if (!name_matches(pattern, name))
                                continue;
                        if (pattern[0] != '*')
                                return l->groups[i].ctx;
                        if (!wild)
                                wild = &l->groups[i];
                }
        return wild ? wild->ctx : l->groups[0].ctx;
}
