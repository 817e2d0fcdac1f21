/* l7gw/io/tls_material.c - see tls_material.h. */
#include "lib/base.h"
#include "l7gw/io/tls_material.h"
#include "lib/control.pb-c.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

const char *tls_error(char buf[256])
{
        unsigned long e = ERR_peek_last_error();
        if (e)
                ERR_error_string_n(e, buf, 256);
        else
                snprintf(buf, 256, "unknown error");
        ERR_clear_error();
        return buf;
}

/* ---- certificates ---- */

static int no_passphrase(char *buf, int size, int rw, void *arg)
{
        (void)buf;
        (void)size;
        (void)rw;
        (void)arg;
        return -1; /* an encrypted key is an error, never a prompt */
}

static int chain_load(SSL_CTX *ctx, const Model__Certificate *c)
{
        BIO *bio = BIO_new_mem_buf(c->chain_pem.data, (int)MIN(c->chain_pem.len, (size_t)INT32_MAX));
        X509 *leaf = bio ? PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL) : NULL;
        int ok = leaf && SSL_CTX_use_certificate(ctx, leaf) == 1;
        X509_free(leaf);
        while (ok) {
                X509 *ca = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
                if (!ca) {
                        unsigned long e = ERR_peek_last_error();
                        ok = ERR_GET_LIB(e) == ERR_LIB_PEM &&
                             ERR_GET_REASON(e) == PEM_R_NO_START_LINE; /* the normal end */
                        if (ok)
                                ERR_clear_error();
                        break;
                }
                if (SSL_CTX_add0_chain_cert(ctx, ca) != 1) {
                        X509_free(ca);
                        ok = 0;
                }
        }
        BIO_free(bio);
        return ok ? 0 : -EINVAL;
}

static int key_load(SSL_CTX *ctx, const Model__Key *k)
{
        BIO *bio = BIO_new_mem_buf(k->pem.data, (int)MIN(k->pem.len, (size_t)INT32_MAX));
        EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
        int ok = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
        EVP_PKEY_free(key); /* OpenSSL wipes the key when its last reference goes */
        BIO_free(bio);
        return ok ? 0 : -EINVAL;
}

int tls_certificate_load(const struct model *m, SSL_CTX *ctx, const Model__Certificate *c, struct model_error *e)
{
        char section[160], why[256];
        const Model__Key *k = model_key(m, c->key);
        snprintf(section, sizeof section, "certs/%.*s", (int)strcspn(c->id, "/"), c->id);
        if (!k && m->locked)
                return 0; /* who needs this certificate gets an alert; everybody else is served */
        ERR_clear_error();
        if (c->ocsp_der.len) {
                model_error_set(e, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, section, c->source,
                                "certificate %s: OCSP stapling is not supported", c->id);
                return -ENOTSUP;
        }
        if (chain_load(ctx, c) < 0) {
                model_error_set(e, CONTROL__NACK_STAGE__NACK_BUILD, section, c->source, "certificate %s: %s", c->id,
                                tls_error(why));
                return -EINVAL;
        }
        if (!k || key_load(ctx, k) < 0) {
                model_error_set(e, CONTROL__NACK_STAGE__NACK_BUILD, section, c->source, "key of certificate %s: %s",
                                c->id, k ? tls_error(why) : "missing");
                return -EINVAL;
        }
        return 0;
}

/* ---- trust ---- */

static int certs_add(X509_STORE *s, const ProtobufCBinaryData *pem)
{
        BIO *bio = BIO_new_mem_buf(pem->data, (int)MIN(pem->len, (size_t)INT32_MAX));
        STACK_OF(X509_INFO) *infos = bio ? PEM_X509_INFO_read_bio(bio, NULL, no_passphrase, NULL) : NULL;
        int n = 0, ok = infos != NULL;
        for (int i = 0; ok && i < sk_X509_INFO_num(infos); i++) {
                const X509_INFO *info = sk_X509_INFO_value(infos, i);
                if (!info->x509)
                        continue;
                ok = X509_STORE_add_cert(s, info->x509) == 1;
                n++;
        }
        sk_X509_INFO_pop_free(infos, X509_INFO_free);
        BIO_free(bio);
        return ok && n > 0 ? 0 : -EINVAL;
}

static int crls_add(X509_STORE *s, const ProtobufCBinaryData *pem)
{
        BIO *bio = BIO_new_mem_buf(pem->data, (int)MIN(pem->len, (size_t)INT32_MAX));
        X509_CRL *c;
        int n = 0, ok = bio != NULL;
        while (ok && (c = PEM_read_bio_X509_CRL(bio, NULL, no_passphrase, NULL))) {
                ok = X509_STORE_add_crl(s, c) == 1;
                X509_CRL_free(c);
                n++;
        }
        if (ok && n > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) /* the normal end */
                ERR_clear_error();
        else
                ok = 0;
        BIO_free(bio);
        return ok && X509_STORE_set_flags(s, X509_V_FLAG_CRL_CHECK) == 1 ? 0 : -EINVAL;
}

int tls_trust_store(const Model__Trust *t, X509_STORE **ret, struct model_error *e)
{
        char why[256], section[160];
        X509_STORE *s = X509_STORE_new();
        ERR_clear_error();
        if (!s) {
                model_error_set(e, CONTROL__NACK_STAGE__NACK_INTERNAL, "", NULL, "out of memory");
                return -ENOMEM;
        }
        X509_STORE_set_flags(s, X509_V_FLAG_PARTIAL_CHAIN); /* what the bundle holds is trusted, whether it signed itself or not */
        if (certs_add(s, &t->ca_pem) < 0 || (t->crl_pem.len && crls_add(s, &t->crl_pem) < 0)) {
                snprintf(section, sizeof section, "trust/%.*s", (int)strcspn(t->id, "/"), t->id);
                model_error_set(e, CONTROL__NACK_STAGE__NACK_BUILD, section, t->source, "CA certificates %s: %s", t->id,
                                tls_error(why));
                X509_STORE_free(s);
                return -EINVAL;
        }
        *ret = s;
        return 0;
}

int tls_system_store(X509_STORE **ret, struct model_error *e)
{
        X509_STORE *s = X509_STORE_new();
        if (!s || X509_STORE_set_default_paths(s) != 1) {
                char why[256];
                model_error_set(e, CONTROL__NACK_STAGE__NACK_INTERNAL, "", NULL, "CA certificates of the system: %s", tls_error(why));
                X509_STORE_free(s);
                return -ENOMEM;
        }
        *ret = s;
        return 0;
}
