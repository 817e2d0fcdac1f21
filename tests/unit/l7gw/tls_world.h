/* tests/unit/l7gw/tls_world.h - pairs of keys and certificates made on the spot, OCSP responses about them, and a model of nothing but
 * certificates, for the tests of l7gw/io/tls_*. */
#pragma once
#include "l7gw/io/tls_context.h"
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static char *text_of(BIO *b)
{
        char *p;
        long n = BIO_get_mem_data(b, &p);
        char *s = strndup(p, (size_t)n);
        BIO_free(b);
        return s;
}

static X509 *x509_of(EVP_PKEY *key, const char *name, long serial)
{
        X509 *x = X509_new();
        X509_NAME *n = X509_get_subject_name(x);
        assert_int_equal(X509_set_version(x, 2), 1);
        ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
        X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
        X509_set_issuer_name(x, n);
        X509_gmtime_adj(X509_getm_notBefore(x), 0);
        X509_gmtime_adj(X509_getm_notAfter(x), 86400);
        X509_set_pubkey(x, key);
        assert_true(X509_sign(x, key, EVP_PKEY_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256()) > 0);
        return x;
}

static char *pem_of(X509 *x)
{
        BIO *b = BIO_new(BIO_s_mem());
        assert_int_equal(PEM_write_bio_X509(b, x), 1);
        return text_of(b);
}

static char *key_of(EVP_PKEY *k)
{
        BIO *b = BIO_new(BIO_s_mem());
        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(b, k, NULL, NULL, 0, NULL, NULL), 1);
        return text_of(b);
}

/* A response about this certificate, made by itself: good until `after` seconds from now. */
static size_t staple_of(X509 *x, EVP_PKEY *k, long after, uint8_t **ret)
{
        OCSP_BASICRESP *b = OCSP_BASICRESP_new();
        OCSP_CERTID *id = OCSP_cert_to_id(NULL, x, x);
        ASN1_TIME *now = X509_gmtime_adj(NULL, -86400), *next = X509_gmtime_adj(NULL, after);
        assert_non_null(OCSP_basic_add1_status(b, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, now, next));
        assert_int_equal(OCSP_basic_sign(b, x, k, EVP_sha256(), NULL, 0), 1);
        OCSP_RESPONSE *r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, b);
        *ret = NULL;
        int n = i2d_OCSP_RESPONSE(r, ret);
        assert_true(n > 0);
        OCSP_RESPONSE_free(r);
        OCSP_BASICRESP_free(b);
        OCSP_CERTID_free(id);
        ASN1_TIME_free(now);
        ASN1_TIME_free(next);
        return (size_t)n;
}

static struct {
        EVP_PKEY *ec, *rsa, *ed;
        X509 *ec_x, *rsa_x, *ed_x;
        char *ec_cert, *ec_key, *rsa_cert, *rsa_key, *ed_cert, *ed_key;
} p;

static int material_make(void **state)
{
        (void)state;
        p.ec = EVP_EC_gen("P-256");
        p.rsa = EVP_RSA_gen(2048);
        p.ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        p.ec_cert = pem_of(p.ec_x = x509_of(p.ec, "ec", 1));
        p.rsa_cert = pem_of(p.rsa_x = x509_of(p.rsa, "rsa", 2));
        p.ed_cert = pem_of(p.ed_x = x509_of(p.ed, "ed", 3));
        p.ec_key = key_of(p.ec);
        p.rsa_key = key_of(p.rsa);
        p.ed_key = key_of(p.ed);
        return 0;
}

static int material_free(void **state)
{
        (void)state;
        EVP_PKEY *keys[] = {p.ec, p.rsa, p.ed};
        X509 *certs[] = {p.ec_x, p.rsa_x, p.ed_x};
        char *texts[] = {p.ec_cert, p.ec_key, p.rsa_cert, p.rsa_key, p.ed_cert, p.ed_key};
        for (size_t i = 0; i < 3; i++) {
                EVP_PKEY_free(keys[i]);
                X509_free(certs[i]);
        }
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                free(texts[i]);
        return 0;
}

/* ---- a model of nothing but certificates ---- */

struct world {
        struct model m;
        struct arena a;
        Model__Listener listener;
        Model__Tls tls;
        struct tls_certs all;
};

static void world_init(struct world *w, size_t max)
{
        *w = (struct world){.listener = MODEL__LISTENER__INIT, .tls = MODEL__TLS__INIT};
        arena_init(&w->a, 65536, SIZE_MAX);
        map_init(&w->m.certificate_by_id);
        map_init(&w->m.key_by_id);
        map_init(&w->m.trust_by_id);
        tls_certs_init(&w->all);
        w->tls.certificates = arena_calloc(&w->a, max, sizeof *w->tls.certificates);
        w->listener.id = arena_strdup(&w->a, "ns/gw/l");
        w->listener.protocol = MODEL__LISTENER__PROTOCOL__HTTPS;
        w->listener.tls = &w->tls;
}

static void world_fini(struct world *w)
{
        tls_certs_fini(&w->all);
        map_fini(&w->m.certificate_by_id);
        map_fini(&w->m.key_by_id);
        map_fini(&w->m.trust_by_id);
        arena_fini(&w->a);
}

static ProtobufCBinaryData bytes_of(const char *s)
{
        return (ProtobufCBinaryData){strlen(s), (uint8_t *)(uintptr_t)s};
}

/* names: separated by blanks; key NULL: none */
static Model__Certificate *add(struct world *w, const char *id, const char *cert, const char *key, const char *names)
{
        Model__Certificate *c = arena_alloc(&w->a, sizeof *c);
        Model__Key *k = arena_alloc(&w->a, sizeof *k);
        *c = (Model__Certificate)MODEL__CERTIFICATE__INIT;
        *k = (Model__Key)MODEL__KEY__INIT;
        c->id = c->key = arena_strdup(&w->a, id);
        c->chain_pem = bytes_of(cert);
        c->names = arena_calloc(&w->a, 4, sizeof *c->names);
        char *list = arena_strdup(&w->a, names), *save = NULL;
        for (char *s = strtok_r(list, " ", &save); s; s = strtok_r(NULL, " ", &save))
                c->names[c->n_names++] = s;
        if (key) {
                k->pem = bytes_of(key);
                assert_int_equal(map_put(&w->m.key_by_id, span_str(c->key), k), 0);
        }
        assert_int_equal(map_put(&w->m.certificate_by_id, span_str(c->id), c), 0);
        w->tls.certificates[w->tls.n_certificates++] = c->id;
        return c;
}

static struct tls_listener *build(struct world *w, struct model_error *e)
{
        struct tls_listener *l = NULL;
        *e = (struct model_error){.stage = 0};
        int r = tls_listener_build(&w->all, &w->m, &w->listener, &l, e);
        assert_int_equal(r == 0, l != NULL);
        return l;
}

static int no_hello(SSL *ssl, int *alert, void *arg)
{
        (void)ssl;
        (void)alert;
        (void)arg;
        return SSL_CLIENT_HELLO_SUCCESS;
}
