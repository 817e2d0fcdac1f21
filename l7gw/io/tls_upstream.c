/* l7gw/io/tls_upstream.c - see tls_upstream.h. */
#include "lib/base.h"
#include "l7gw/io/tls_upstream.h"
#include "l7gw/io/tls_material.h"
#include "lib/control.pb-c.h"
#include "lib/core/hash.h"

#include <openssl/x509v3.h>
#include <pthread.h>

struct san { bool uri; char *value; };
struct expected { /* of the endpoint's certificate; lives with the context */
        char *sni;
        struct san *sans;
        size_t n_sans;
};

static int expected_index;
static pthread_once_t index_once = PTHREAD_ONCE_INIT;

static void expected_free(struct expected *x)
{
        if (!x)
                return;
        for (size_t i = 0; i < x->n_sans; i++)
                free(x->sans[i].value);
        free(x->sans);
        free(x->sni);
        free(x);
}

static void on_ctx_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
        (void)parent;
        (void)ad;
        (void)idx;
        (void)argl;
        (void)argp;
        expected_free(ptr);
}

static void index_make(void)
{
        expected_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_ctx_free);
        BUG_ON(expected_index < 0); /* boot */
}

void tls_upstreams_init(struct tls_upstreams *all)
{
        pthread_once(&index_once, index_make);
        *all = (struct tls_upstreams){.system = NULL};
        map_init(&all->by_key);
}

void tls_upstreams_fini(struct tls_upstreams *all)
{
        BUG_ON(all->by_key.n);
        map_fini(&all->by_key);
        X509_STORE_free(all->system);
}

/* ---- verification ---- */

static bool has_uri(X509 *cert, const char *uri)
{
        GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
        size_t n = strlen(uri);
        bool found = false;
        for (int i = 0; names && !found && i < sk_GENERAL_NAME_num(names); i++) {
                const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
                found = g->type == GEN_URI && (size_t)ASN1_STRING_length(g->d.ia5) == n &&
                        memcmp(ASN1_STRING_get0_data(g->d.ia5), uri, n) == 0; /* byte for byte: SPIFFE-ID 2.3 */
        }
        GENERAL_NAMES_free(names);
        return found;
}

/* A wildcard as the API means it in a SAN to accept: "*.x" is a certificate's name, not a pattern over names. */
static bool has_dns(X509 *cert, const char *name)
{
        if (name[0] != '*')
                return X509_check_host(cert, name, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
        GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
        bool found = false;
        for (int i = 0; names && !found && i < sk_GENERAL_NAME_num(names); i++) {
                const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
                found = g->type == GEN_DNS && span_ieq(SPAN(ASN1_STRING_get0_data(g->d.ia5), (size_t)ASN1_STRING_length(g->d.ia5)),
                                                       span_str(name));
        }
        GENERAL_NAMES_free(names);
        return found;
}

/* OpenSSL has verified the chain; the names are ours to check, because it knows no URIs. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
        if (!ok || X509_STORE_CTX_get_error_depth(store) != 0)
                return ok;
        const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
        const struct expected *x = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), expected_index);
        X509 *cert = X509_STORE_CTX_get_current_cert(store);
        bool found = x->n_sans == 0 && has_dns(cert, x->sni);
        for (size_t i = 0; i < x->n_sans && !found; i++)
                found = x->sans[i].uri ? has_uri(cert, x->sans[i].value) : has_dns(cert, x->sans[i].value);
        if (!found)
                X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
        return found;
}

static int expected_set(SSL_CTX *ctx, const Model__UpstreamTls *t)
{
        struct expected *x = calloc(1, sizeof *x);
        if (!x)
                return -ENOMEM;
        x->sni = strdup(t->sni);
        x->sans = calloc(t->n_sans + 1, sizeof *x->sans);
        bool ok = x->sni && x->sans;
        for (size_t i = 0; ok && i < t->n_sans; i++) { /* "dns:x" or "uri:x": the model's check has seen to it */
                x->sans[i].uri = strncmp(t->sans[i], "uri:", 4) == 0;
                x->sans[i].value = strdup(t->sans[i] + 4);
                ok = x->sans[i].value != NULL;
                x->n_sans++;
        }
        if (!ok || SSL_CTX_set_ex_data(ctx, expected_index, x) != 1) {
                expected_free(x);
                return -ENOMEM;
        }
        return 0;
}

/* ---- contexts ---- */

static const char *const alpn_h1[] = {"http/1.1"}, *const alpn_h2[] = {"h2", "http/1.1"}, *const alpn_grpc[] = {"h2"};

static void alpn_of(const Model__Cluster *c, const char *const **ret, size_t *ret_n)
{
        if (c->tls->n_alpn) {
                *ret = (const char *const *)c->tls->alpn;
                *ret_n = c->tls->n_alpn;
                return;
        }
        *ret = alpn_h1;
        *ret_n = ARRAY_SIZE(alpn_h1);
        if (c->protocol == MODEL__CLUSTER__PROTOCOL__H2_TLS) {
                *ret = alpn_h2;
                *ret_n = ARRAY_SIZE(alpn_h2);
        } else if (c->protocol == MODEL__CLUSTER__PROTOCOL__H2C || c->protocol == MODEL__CLUSTER__PROTOCOL__GRPC) {
                *ret = alpn_grpc;
        } else if (c->protocol == MODEL__CLUSTER__PROTOCOL__TCP) { /* bytes of any protocol: nothing is known about it */
                *ret_n = 0;
        }
}

static int alpn_set(SSL_CTX *ctx, const Model__Cluster *c)
{
        uint8_t wire[256];
        unsigned n = 0;
        const char *const *v = NULL;
        size_t k;
        alpn_of(c, &v, &k);
        for (size_t i = 0; i < k; i++) {
                size_t len = strlen(v[i]);
                if (len == 0 || len > 255 || n + 1 + len > sizeof wire)
                        return -EINVAL;
                wire[n++] = (uint8_t)len;
                memcpy(wire + n, v[i], len);
                n += (unsigned)len;
        }
        return n == 0 || SSL_CTX_set_alpn_protos(ctx, wire, n) == 0 ? 0 : -ENOMEM;
}

static int trust_set(struct tls_upstreams *all, const struct model *m, SSL_CTX *ctx, const Model__UpstreamTls *t, struct model_error *e)
{
        X509_STORE *s;
        int r;
        if (t->trust[0]) {
                r = tls_trust_store(model_trust(m, t->trust), &s, e); /* it is there: the model's check */
                if (r < 0)
                        return r;
                SSL_CTX_set_cert_store(ctx, s); /* takes it */
                return 0;
        }
        r = all->system ? 0 : tls_system_store(&all->system, e);
        if (r == 0)
                SSL_CTX_set1_cert_store(ctx, all->system);
        return r;
}

static int context_fill(struct tls_upstreams *all, const struct model *m, const Model__Cluster *c, SSL_CTX *ctx, struct model_error *e)
{
        const Model__UpstreamTls *t = c->tls;
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
        SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
        SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
        int r = trust_set(all, m, ctx, t, e);
        if (r == 0 && t->client_certificate[0])
                r = tls_certificate_load(m, ctx, model_certificate(m, t->client_certificate), e);
        if (r < 0)
                return r;
        r = alpn_set(ctx, c);
        if (r == 0)
                r = expected_set(ctx, t);
        if (r == -ENOMEM)
                model_error_set(e, CONTROL__NACK_STAGE__NACK_INTERNAL, "", NULL, "out of memory");
        else if (r < 0)
                model_error_set(e, CONTROL__NACK_STAGE__NACK_CHECK, "", c->source, "cluster %s: ALPN names are too long", c->id);
        return r;
}

/* All that decides about a connection, each part with its length before it. */
static int key_of(const struct model *m, const Model__Cluster *c, uint8_t ret[TLS_UPSTREAM_KEY_BYTES])
{
        const Model__Trust *trust = c->tls->trust[0] ? model_trust(m, c->tls->trust) : NULL;
        const Model__Certificate *cert = c->tls->client_certificate[0] ? model_certificate(m, c->tls->client_certificate) : NULL;
        size_t n = model__upstream_tls__get_packed_size(c->tls);
        struct buf b;
        buf_init(&b, SIZE_MAX);
        uint8_t *p = buf_reserve(&b, n);
        if (p) {
                model__upstream_tls__pack(c->tls, p);
                b.n += n;
        }
        const struct { const void *p; size_t n; } parts[] = {
                {trust ? trust->ca_pem.data : NULL, trust ? trust->ca_pem.len : 0},
                {trust ? trust->crl_pem.data : NULL, trust ? trust->crl_pem.len : 0},
                {cert ? cert->chain_pem.data : NULL, cert ? cert->chain_pem.len : 0},
                {&c->protocol, sizeof c->protocol},
        };
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
                buf_add(&b, &parts[i].n, sizeof parts[i].n);
                if (parts[i].n)
                        buf_add(&b, parts[i].p, parts[i].n);
        }
        struct sha256 sha;
        sha256_of(buf_span(&b), &sha);
        memcpy(ret, sha.b, TLS_UPSTREAM_KEY_BYTES);
        int r = b.failed ? -ENOMEM : 0;
        buf_fini(&b);
        return r;
}

static void upstream_free(struct tls_upstream *t)
{
        SSL_CTX_free(t->ctx);
        free(t);
}

int tls_upstream_get(struct tls_upstreams *all, const struct model *m, const Model__Cluster *c, struct tls_upstream **ret,
                     struct model_error *e)
{
        struct tls_upstream *t = calloc(1, sizeof *t), *have;
        int r = t ? key_of(m, c, t->key) : -ENOMEM;
        have = r == 0 ? map_get(&all->by_key, SPAN(t->key, sizeof t->key)) : NULL;
        if (have) {
                free(t);
                have->refs++;
                *ret = have;
                return 0;
        }
        if (r == 0) {
                t->ctx = SSL_CTX_new(TLS_client_method());
                r = t->ctx ? context_fill(all, m, c, t->ctx, e) : -ENOMEM;
        }
        if (r == 0)
                r = map_put(&all->by_key, SPAN(t->key, sizeof t->key), t);
        if (r < 0) {
                if (r == -ENOMEM)
                        model_error_set(e, CONTROL__NACK_STAGE__NACK_INTERNAL, "", NULL, "out of memory");
                if (t)
                        upstream_free(t);
                return r;
        }
        t->refs = 1;
        *ret = t;
        return 0;
}

void tls_upstream_put(struct tls_upstreams *all, struct tls_upstream *t)
{
        if (!t || --t->refs > 0)
                return;
        map_del(&all->by_key, SPAN(t->key, sizeof t->key));
        upstream_free(t);
}

int tls_upstream_open(const struct tls_upstream *t, struct chunk_pool *pool, struct tls **ret)
{
        const struct expected *x = SSL_CTX_get_ex_data(t->ctx, expected_index);
        struct tls *c;
        int r = tls_client_new(t->ctx, pool, &c);
        if (r == 0 && x->sni[0] && SSL_set_tlsext_host_name(c->ssl, x->sni) != 1) {
                tls_free(c);
                r = -ENOMEM;
        }
        if (r == 0)
                *ret = c;
        return r;
}

const char *tls_upstream_why(const struct tls *t, char buf[256])
{
        long v = SSL_get_verify_result(t->ssl);
        if (v == X509_V_OK)
                return tls_error(buf);
        snprintf(buf, 256, "certificate: %s", X509_verify_cert_error_string(v));
        return buf;
}
