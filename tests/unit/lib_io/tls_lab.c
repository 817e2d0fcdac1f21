/* tests/unit/lib_io/tls_lab.c - see tls_lab.h. */
#include "lib/base.h"
#include "tests/unit/lib_io/tls_lab.h"

#include <dirent.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>
#include <unistd.h>

#define HOUR_S 3600

void lab_init(struct tls_lab *lab)
{
        int64_t now = (int64_t)time(NULL);
        const struct pki_request rq = { .from_s = now - HOUR_S, .until_s = now + 24 * HOUR_S };
        struct err e = { 0 };
        *lab = (struct tls_lab){ 0 };
        snprintf(lab->dir, sizeof lab->dir, "/tmp/gh-tls-XXXXXX");
        BUG_ON(!mkdtemp(lab->dir));
        BUG_ON(pki_make(&rq, &lab->ca, &e) < 0 || pki_make(&rq, &lab->other_ca, &e) < 0);
}

void lab_fini(struct tls_lab *lab)
{
        DIR *d = opendir(lab->dir);
        for (const struct dirent *e; d && (e = readdir(d));)
                (void)unlinkat(dirfd(d), e->d_name, 0); /* "." and "..": not files */
        closedir(d);
        (void)rmdir(lab->dir); /* a leftover in /tmp is no failure */
        pki_pair_fini(&lab->ca);
        pki_pair_fini(&lab->other_ca);
}

struct identity lab_identity(const char *uri)
{
        struct identity id;
        BUG_ON(identity_parse(span_str(uri), &id) < 0);
        return id;
}

static void extension_replace(X509 *x, EVP_PKEY *ca_key, int nid, const char *value)
{
        X509_EXTENSION_free(X509_delete_ext(x, X509_get_ext_by_NID(x, nid, -1)));
        if (value) {
                X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
                BUG_ON(!e || X509_add_ext(x, e, -1) != 1);
                X509_EXTENSION_free(e);
        }
        BUG_ON(X509_sign(x, ca_key, EVP_sha256()) <= 0);
}

/* By rename, as whoever rotates certificates does. */
static FILE *replace_begin(const char *path, char tmp[300])
{
        snprintf(tmp, 300, "%s.new", path);
        FILE *f = fopen(tmp, "w");
        BUG_ON(!f);
        return f;
}

static void replace_end(FILE *f, const char *path, const char *tmp)
{
        BUG_ON(fclose(f) != 0 || rename(tmp, path) != 0);
}

void lab_ca_write(const char *path, const struct pki_pair *ca, const X509 *revoked)
{
        char tmp[300];
        FILE *f = replace_begin(path, tmp);
        BUG_ON(PEM_write_X509(f, ca->cert) != 1);
        if (revoked) {
                X509_CRL *crl = X509_CRL_new();
                X509_REVOKED *r = X509_REVOKED_new();
                ASN1_TIME *t = ASN1_TIME_set(NULL, time(NULL) - HOUR_S), *next = ASN1_TIME_set(NULL, time(NULL) + HOUR_S);
                BUG_ON(X509_CRL_set_version(crl, X509_CRL_VERSION_2) != 1 || X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert)) != 1 ||
                       X509_CRL_set1_lastUpdate(crl, t) != 1 || X509_CRL_set1_nextUpdate(crl, next) != 1 ||
                       X509_REVOKED_set_serialNumber(r, (ASN1_INTEGER *)(uintptr_t)X509_get0_serialNumber(revoked)) != 1 ||
                       X509_REVOKED_set_revocationDate(r, t) != 1 || X509_CRL_add0_revoked(crl, r) != 1 ||
                       X509_CRL_sign(crl, ca->key, EVP_sha256()) <= 0 || PEM_write_X509_CRL(f, crl) != 1);
                ASN1_TIME_free(t);
                ASN1_TIME_free(next);
                X509_CRL_free(crl);
        }
        replace_end(f, path, tmp);
}

void lab_issue_into(struct tls_lab *lab, const struct credentials_conf *at, const char *uri, enum lab_kind kind)
{
        const struct pki_pair *ca = kind == LAB_OTHER_CA ? &lab->other_ca : &lab->ca;
        int64_t now = (int64_t)time(NULL);
        struct identity id = lab_identity(uri);
        struct pki_request rq = { .id = &id, .issuer = ca, .from_s = now - HOUR_S, .until_s = now + HOUR_S };
        struct pki_pair p;
        struct err e = { 0 };
        char tmp[300];
        if (kind == LAB_LONG)
                rq.until_s = now + 12 * HOUR_S;
        if (kind == LAB_EXPIRED)
                rq.until_s = now - HOUR_S / 2;
        if (kind == LAB_EARLY)
                rq.from_s = now + HOUR_S / 2;
        BUG_ON(pki_make(&rq, &p, &e) < 0);
        if (kind == LAB_NO_URI)
                extension_replace(p.cert, ca->key, NID_subject_alt_name, NULL);
        if (kind == LAB_NO_USE)
                extension_replace(p.cert, ca->key, NID_ext_key_usage, NULL);
        if (kind == LAB_TWO_URIS)
                extension_replace(p.cert, ca->key, NID_subject_alt_name, "URI:gatehouse://agent/a,URI:gatehouse://l7/default/shard-1");
        FILE *f = replace_begin(at->key, tmp);
        BUG_ON(PEM_write_PrivateKey(f, p.key, NULL, NULL, 0, NULL, NULL) != 1);
        replace_end(f, at->key, tmp);
        f = replace_begin(at->certificate, tmp);
        BUG_ON(PEM_write_X509(f, p.cert) != 1);
        replace_end(f, at->certificate, tmp);
        lab_ca_write(at->ca, &lab->ca, NULL);
        pki_pair_fini(&p);
}

struct credentials_conf lab_issue(struct tls_lab *lab, const char *uri, enum lab_kind kind)
{
        struct credentials_conf c;
        snprintf(c.certificate, sizeof c.certificate, "%s/%u.pem", lab->dir, lab->n);
        snprintf(c.key, sizeof c.key, "%s/%u.key", lab->dir, lab->n);
        snprintf(c.ca, sizeof c.ca, "%s/%u.ca", lab->dir, lab->n++);
        lab_issue_into(lab, &c, uri, kind);
        return c;
}
