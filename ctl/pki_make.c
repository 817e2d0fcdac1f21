/* ctl/pki_make.c - see pki_make.h. */
#include "lib/base.h"
#include "ctl/pki_make.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define SERIAL_BYTES 16 /* random: RFC 5280 4.1.2.2 wants it unique and at most 20 bytes */

void pki_pair_fini(struct pki_pair *p)
{
        X509_free(p->cert);
        EVP_PKEY_free(p->key);
        *p = (struct pki_pair){ 0 };
}

static int failed(const char *what, struct err *reterr)
{
        const char *why = ERR_reason_error_string(ERR_peek_last_error());
        err_set(reterr, EINVAL, what, "%s", why ? why : "failed");
        ERR_clear_error();
        return -EINVAL;
}

static bool serial_set(X509 *x)
{
        uint8_t b[SERIAL_BYTES];
        if (RAND_bytes(b, sizeof b) != 1)
                return false;
        b[0] = (b[0] & 0x7f) | 0x40; /* positive, and always of one length */
        BIGNUM *n = BN_bin2bn(b, sizeof b, NULL);
        bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
        BN_free(n);
        return ok;
}

static bool name_set(X509 *x, const char *cn, const X509 *issuer)
{
        X509_NAME *n = X509_get_subject_name(x);
        return X509_NAME_add_entry_by_txt(n, "O", MBSTRING_ASC, (const uint8_t *)"Gatehouse", -1, -1, 0) == 1 &&
               X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1, 0) == 1 &&
               X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : n) == 1;
}

static bool extensions_add(X509 *x, const X509 *issuer, const struct identity *id)
{
        char uri[IDENTITY_URI_MAX], san[IDENTITY_URI_MAX + 8] = "";
        if (id)
                snprintf(san, sizeof san, "URI:%s", identity_uri(id, uri));
        const struct { int nid; const char *value; } want[] = {
                { NID_basic_constraints, id ? "critical,CA:FALSE" : "critical,CA:TRUE,pathlen:0" },
                { NID_key_usage, id ? "critical,digitalSignature" : "critical,keyCertSign,cRLSign" },
                { NID_ext_key_usage, !id ? NULL : id->role == IDENTITY_AGENT ? "serverAuth" : "clientAuth" },
                { NID_subject_alt_name, id ? san : NULL },
                { NID_subject_key_identifier, "hash" },
                { NID_authority_key_identifier, "keyid:always" },
        };
        X509V3_CTX ctx;
        X509V3_set_ctx(&ctx, (X509 *)(uintptr_t)(issuer ? issuer : x), x, NULL, NULL, 0);
        for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
                if (!want[i].value)
                        continue;
                X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, want[i].nid, want[i].value);
                bool ok = e && X509_add_ext(x, e, -1) == 1;
                X509_EXTENSION_free(e);
                if (!ok)
                        return false;
        }
        return true;
}

int pki_make(const struct pki_request *rq, struct pki_pair *ret, struct err *reterr)
{
        struct pki_pair p = { .cert = X509_new(), .key = EVP_EC_gen("P-256") };
        const X509 *issuer = rq->issuer ? rq->issuer->cert : NULL;
        ERR_clear_error();
        bool ok = p.cert && p.key && X509_set_version(p.cert, X509_VERSION_3) == 1 && serial_set(p.cert) &&
                  name_set(p.cert, rq->id ? rq->id->name : "control socket CA", issuer) &&
                  ASN1_TIME_set(X509_getm_notBefore(p.cert), (time_t)rq->from_s) && ASN1_TIME_set(X509_getm_notAfter(p.cert), (time_t)rq->until_s) &&
                  X509_set_pubkey(p.cert, p.key) == 1 && extensions_add(p.cert, issuer, rq->id) &&
                  X509_sign(p.cert, rq->issuer ? rq->issuer->key : p.key, EVP_sha256()) > 0;
        if (!ok) {
                pki_pair_fini(&p);
                return failed("certificate", reterr);
        }
        *ret = p;
        return 0;
}
