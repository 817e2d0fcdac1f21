/* agent/io/cert.c - see cert.h.  Every block of the chain must parse, and the key must be the first certificate's. */
#include "lib/base.h"
#include "agent/io/cert.h"
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define CHAIN_MAX 16 /* certificates in one chain: public ones have two to four */
#define NAMES_MAX 256

static void bio_freep(BIO **b) { BIO_free(*b); }
static void x509_freep(X509 **x) { X509_free(*x); }
static void pkey_freep(EVP_PKEY **k) { EVP_PKEY_free(*k); }
static void names_freep(GENERAL_NAMES **g) { GENERAL_NAMES_free(*g); }

static int no_passphrase(char *buf, int size, int rwflag, void *arg) { return -1; }

static int bad(struct err *e, const char *what)
{
        ERR_clear_error();
        return err_set(e, EINVAL, "certificate", "%s", what);
}

/* A lower-case copy; NULL out of memory.  Names with a NUL inside are an attack on comparers: left out ("" returned). */
static const char *name_copy(struct arena *a, const ASN1_STRING *s)
{
        const unsigned char *p = ASN1_STRING_get0_data(s);
        int n = ASN1_STRING_length(s);
        char *out = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
        if (!out)
                return NULL;
        for (int i = 0; i < n; i++) {
                if (p[i] == '\0')
                        return "";
                out[i] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] + ('a' - 'A') : p[i]);
        }
        out[n] = '\0';
        return out;
}

static int name_add(struct arena *a, struct cert_facts *f, const ASN1_STRING *s)
{
        const char *n = name_copy(a, s);
        if (!n)
                return -ENOMEM;
        for (size_t i = 0; i < f->n_names; i++)
                if (strcmp(f->names[i], n) == 0)
                        return 0;
        if (*n && f->n_names < NAMES_MAX)
                f->names[f->n_names++] = n;
        return 0;
}

/* DNS names and URIs of the SAN; the common name when there is no DNS name (RFC 6125 6.4.4). */
static int names_of(X509 *x, struct arena *a, struct cert_facts *f)
{
        CLEANUP(names_freep) GENERAL_NAMES *g = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
        bool dns = false;
        f->names = arena_calloc(a, NAMES_MAX, sizeof *f->names);
        if (!f->names)
                return -ENOMEM;
        for (int i = 0; g && i < sk_GENERAL_NAME_num(g); i++) {
                const GENERAL_NAME *n = sk_GENERAL_NAME_value(g, i);
                if (n->type != GEN_DNS && n->type != GEN_URI)
                        continue;
                dns |= n->type == GEN_DNS;
                if (name_add(a, f, n->d.ia5) < 0)
                        return -ENOMEM;
        }
        int at = X509_NAME_get_index_by_NID(X509_get_subject_name(x), NID_commonName, -1);
        if (dns || at < 0)
                return 0;
        return name_add(a, f, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(X509_get_subject_name(x), at)));
}

static int facts_of(X509 *leaf, struct arena *a, struct cert_facts *f)
{
        unsigned n = 0;
        if (X509_digest(leaf, EVP_sha256(), f->fingerprint.b, &n) != 1 || n != sizeof f->fingerprint.b)
                return -ENOMEM;
        int days, secs;
        ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
        int ok = epoch && ASN1_TIME_diff(&days, &secs, epoch, X509_get0_notAfter(leaf)) == 1;
        ASN1_TIME_free(epoch);
        f->not_after = ok ? (int64_t)days * 86400 + secs : 0;
        return names_of(leaf, a, f);
}

/* A successful response (RFC 6960 4.2.1) about this certificate, by its serial number; who signed it is for clients to verify. */
static int ocsp_check(struct span der, X509 *leaf, struct err *reterr)
{
        const unsigned char *p = der.p;
        OCSP_RESPONSE *r = der.n <= INT32_MAX ? d2i_OCSP_RESPONSE(NULL, &p, (long)der.n) : NULL;
        OCSP_BASICRESP *basic = r && p == der.p + der.n && OCSP_response_status(r) == OCSP_RESPONSE_STATUS_SUCCESSFUL ? OCSP_response_get1_basic(r) : NULL;
        bool about = false;
        for (int i = 0; basic && i < OCSP_resp_count(basic) && !about; i++) {
                ASN1_INTEGER *serial;
                about = OCSP_id_get0_info(NULL, NULL, NULL, &serial, (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(OCSP_resp_get0(basic, i))) == 1 &&
                        ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) == 0;
        }
        int rc = !basic ? bad(reterr, "tls.ocsp-staple holds no successful OCSP response in DER")
                 : about ? 0
                         : bad(reterr, "tls.ocsp-staple is about another certificate");
        OCSP_BASICRESP_free(basic);
        OCSP_RESPONSE_free(r);
        return rc;
}

int cert_read(struct span chain, struct span key, struct span ocsp, struct arena *a, struct cert_facts *ret, struct err *reterr)
{
        if (chain.n > INT32_MAX || key.n > INT32_MAX)
                return bad(reterr, "too long");
        CLEANUP(bio_freep) BIO *cb = BIO_new_mem_buf(chain.p, (int)chain.n);
        CLEANUP(bio_freep) BIO *kb = BIO_new_mem_buf(key.p, (int)key.n);
        if (!cb || !kb)
                return -ENOMEM;
        CLEANUP(x509_freep) X509 *leaf = PEM_read_bio_X509(cb, NULL, no_passphrase, NULL);
        if (!leaf)
                return bad(reterr, "tls.crt holds no PEM certificate");
        for (int i = 1;; i++) {
                CLEANUP(x509_freep) X509 *next = PEM_read_bio_X509(cb, NULL, no_passphrase, NULL);
                if (!next) {
                        bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
                        ERR_clear_error();
                        if (end)
                                break;
                        return bad(reterr, "tls.crt: a certificate of the chain does not parse");
                }
                if (i >= CHAIN_MAX)
                        return bad(reterr, "tls.crt: too many certificates");
        }
        CLEANUP(pkey_freep) EVP_PKEY *pkey = PEM_read_bio_PrivateKey(kb, NULL, no_passphrase, NULL);
        if (!pkey)
                return bad(reterr, "tls.key holds no PEM private key without passphrase");
        if (X509_check_private_key(leaf, pkey) != 1)
                return bad(reterr, "tls.key does not belong to tls.crt");
        if (ocsp.n > 0 && ocsp_check(ocsp, leaf, reterr) < 0)
                return -EINVAL;
        return facts_of(leaf, a, ret);
}

#define BUNDLE_MAX 1024 /* certificates of one bundle: the public web has 150 roots */

static int bundle_item(BIO *b, bool crl)
{
        if (crl) {
                X509_CRL *c = PEM_read_bio_X509_CRL(b, NULL, no_passphrase, NULL);
                X509_CRL_free(c);
                return c != NULL;
        }
        X509 *x = PEM_read_bio_X509(b, NULL, no_passphrase, NULL);
        X509_free(x);
        return x != NULL;
}

int bundle_check(struct span pem, bool crl, struct err *reterr)
{
        const char *what = crl ? "revocation list" : "certificate";
        if (pem.n > INT32_MAX)
                return bad(reterr, "too long");
        CLEANUP(bio_freep) BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
        unsigned n = 0;
        if (!b)
                return -ENOMEM;
        while (n < BUNDLE_MAX && bundle_item(b, crl))
                n++;
        bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
        ERR_clear_error();
        if (n == 0)
                return err_set(reterr, EINVAL, "bundle", "holds no PEM %s", what);
        if (n == BUNDLE_MAX)
                return err_set(reterr, EINVAL, "bundle", "more than %d items", BUNDLE_MAX - 1);
        return end ? 0 : err_set(reterr, EINVAL, "bundle", "%s %u does not parse", what, n + 1);
}
