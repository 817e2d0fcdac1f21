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

static int chain_read(struct span pem, X509 **ret_leaf, STACK_OF(X509) **ret_chain)
{
        BIO *bio = BIO_new_mem_buf(pem.p, (int)MIN(pem.n, (size_t)INT32_MAX));
        X509 *leaf = bio ? PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL) : NULL, *ca;
        STACK_OF(X509) *chain = sk_X509_new_null();
        bool ok = leaf && chain;
        while (ok && (ca = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)))
                if (sk_X509_push(chain, ca) <= 0) {
                        X509_free(ca);
                        ok = false;
                }
        unsigned long e = ok ? ERR_peek_last_error() : 0;
        ok = ok && ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE; /* the normal end */
        if (ok)
                ERR_clear_error();
        BIO_free(bio);
        if (!ok) {
                X509_free(leaf);
                sk_X509_pop_free(chain, X509_free);
                return -EINVAL;
        }
        *ret_leaf = leaf;
        *ret_chain = chain;
        return 0;
}

int tls_pair_read(struct span chain_pem, struct span key_pem, X509 **ret_leaf, STACK_OF(X509) **ret_chain, EVP_PKEY **ret_key)
{
        X509 *leaf;
        STACK_OF(X509) *chain;
        ERR_clear_error();
        int r = chain_read(chain_pem, &leaf, &chain);
        if (r < 0)
                return r;
        BIO *bio = BIO_new_mem_buf(key_pem.p, (int)MIN(key_pem.n, (size_t)INT32_MAX));
        EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
        BIO_free(bio);
        if (!key || X509_check_private_key(leaf, key) != 1) {
                EVP_PKEY_free(key); /* OpenSSL wipes the key when its last reference goes */
                X509_free(leaf);
                sk_X509_pop_free(chain, X509_free);
                return -EINVAL;
        }
        *ret_leaf = leaf;
        *ret_chain = chain;
        *ret_key = key;
        return 0;
}

int tls_certificate_load(const struct model *m, SSL_CTX *ctx, const Model__Certificate *c, struct model_error *e)
{
        char section[160], why[256];
        const Model__Key *k = model_key(m, c->key);
        X509 *leaf;
        STACK_OF(X509) *chain;
        EVP_PKEY *key;
        snprintf(section, sizeof section, "certs/%.*s", (int)strcspn(c->id, "/"), c->id);
        if (!k && m->locked)
                return 0; /* who needs this certificate gets an alert; everybody else is served */
        int r = k ? tls_pair_read(SPAN(c->chain_pem.data, c->chain_pem.len), SPAN(k->pem.data, k->pem.len), &leaf, &chain, &key) : -EINVAL;
        if (r == 0) {
                r = SSL_CTX_use_cert_and_key(ctx, leaf, key, chain, 1) == 1 ? 0 : -EINVAL;
                X509_free(leaf);
                sk_X509_pop_free(chain, X509_free);
                EVP_PKEY_free(key);
        }
        if (r < 0)
                model_error_set(e, CONTROL__NACK_STAGE__NACK_BUILD, section, c->source, "certificate %s: %s", c->id, k ? tls_error(why) : "its key is missing");
        return r;
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
