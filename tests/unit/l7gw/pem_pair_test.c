/* tests/unit/l7gw/pem_pair_test.c - pairs made by OpenSSL, in every form it writes keys in: what the walk proves, and that it proves
 * nothing that OpenSSL denies. */
#include "lib/base.h"
#include "l7gw/core/pem_pair.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { P256, P384, RSA_KEY, ED25519, KINDS };
static struct pair {
        EVP_PKEY *key;
        char *cert, *pkcs8, *traditional; /* PEM; traditional is NULL where there is none */
} pairs[2 * KINDS];

static char *text_of(BIO *b)
{
        char *p;
        long n = BIO_get_mem_data(b, &p);
        char *s = strndup(p, (size_t)n);
        BIO_free(b);
        return s;
}

static char *cert_of(EVP_PKEY *key)
{
        X509 *x = X509_new();
        X509_NAME *n = X509_get_subject_name(x);
        assert_int_equal(X509_set_version(x, 2), 1);
        ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
        X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)"a.example", -1, -1, 0);
        X509_set_issuer_name(x, n);
        X509_gmtime_adj(X509_getm_notBefore(x), 0);
        X509_gmtime_adj(X509_getm_notAfter(x), 86400);
        X509_set_pubkey(x, key);
        assert_true(X509_sign(x, key, EVP_PKEY_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256()) > 0);
        BIO *b = BIO_new(BIO_s_mem());
        assert_int_equal(PEM_write_bio_X509(b, x), 1);
        X509_free(x);
        return text_of(b);
}

static int pairs_make(void **state)
{
        (void)state;
        for (int i = 0; i < 2 * KINDS; i++) {
                EVP_PKEY *k = i % KINDS == P256      ? EVP_EC_gen("P-256")
                              : i % KINDS == P384    ? EVP_EC_gen("P-384")
                              : i % KINDS == RSA_KEY ? EVP_RSA_gen(2048)
                                                     : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
                BIO *b = BIO_new(BIO_s_mem()), *t = BIO_new(BIO_s_mem());
                assert_non_null(k);
                assert_int_equal(PEM_write_bio_PKCS8PrivateKey(b, k, NULL, NULL, 0, NULL, NULL), 1);
                pairs[i] = (struct pair){.key = k, .cert = cert_of(k), .pkcs8 = text_of(b)};
                if (i % KINDS != ED25519 && PEM_write_bio_PrivateKey_traditional(t, k, NULL, NULL, 0, NULL, NULL) == 1)
                        pairs[i].traditional = text_of(t);
                else
                        BIO_free(t);
        }
        return 0;
}

static int pairs_free(void **state)
{
        (void)state;
        for (int i = 0; i < 2 * KINDS; i++) {
                EVP_PKEY_free(pairs[i].key);
                free(pairs[i].cert);
                free(pairs[i].pkcs8);
                free(pairs[i].traditional);
        }
        return 0;
}

static bool matches(const char *cert, const char *key)
{
        return pem_pair_matches(span_str(cert), span_str(key));
}

static void test_forms(void **state)
{
        (void)state;
        for (int c = 0; c < 2 * KINDS; c++)
                for (int k = 0; k < 2 * KINDS; k++) {
                        bool want = c == k && c % KINDS != ED25519; /* whose key does not tell its public half */
                        if (matches(pairs[c].cert, pairs[k].pkcs8) != want)
                                fail_msg("certificate %d, PKCS #8 key %d", c, k);
                        if (pairs[k].traditional && matches(pairs[c].cert, pairs[k].traditional) != want)
                                fail_msg("certificate %d, traditional key %d", c, k);
                }
}

static char *joined(const char *a, const char *b)
{
        char *s;
        assert_true(asprintf(&s, "%s%s", a, b) > 0);
        return s;
}

/* What is not exactly one key and whole certificates is not ours to judge. */
static void test_not_proved(void **state)
{
        (void)state;
        const struct pair *p = &pairs[P256], *q = &pairs[KINDS + P256];
        char *two_keys = joined(q->pkcs8, p->pkcs8), *key_again = joined(p->pkcs8, q->traditional), *chain = joined(p->cert, q->cert),
             *reversed = joined(q->cert, p->cert), *cut = strdup(chain), *text = joined("subject=CN = a.example\n", p->cert),
             *parameters = joined("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", p->traditional);
        cut[strlen(cut) - 40] = '\0';
        assert_true(matches(chain, p->pkcs8));
        assert_true(matches(text, p->pkcs8));
        assert_true(matches(p->cert, parameters));
        assert_false(matches(reversed, p->pkcs8)); /* the leaf stands first */
        assert_false(matches(p->cert, two_keys));
        assert_false(matches(p->cert, key_again));
        assert_false(matches(cut, p->pkcs8));
        assert_false(matches("", p->pkcs8));
        assert_false(matches(p->cert, ""));
        assert_false(matches(p->cert, p->cert));
        assert_false(matches(p->pkcs8, p->pkcs8));
        free(two_keys);
        free(key_again);
        free(chain);
        free(reversed);
        free(cut);
        free(text);
        free(parameters);
}

/* OpenSSL's word on the same bytes: 1 they match, 0 they do not, -1 it cannot read one of them. */
static int judge(const char *cert, const char *key)
{
        BIO *c = BIO_new_mem_buf(cert, -1), *k = BIO_new_mem_buf(key, -1);
        char none[1] = "";
        X509 *x = PEM_read_bio_X509(c, NULL, NULL, none);
        EVP_PKEY *p = PEM_read_bio_PrivateKey(k, NULL, NULL, none);
        int r = x && p ? X509_check_private_key(x, p) == 1 : -1;
        X509_free(x);
        EVP_PKEY_free(p);
        BIO_free(c);
        BIO_free(k);
        return r;
}

/* Every byte of certificate and key, one after the other, becomes another one: what is proved then OpenSSL does not deny. */
static void test_mutations(void **state)
{
        (void)state;
        size_t proved = 0, denied = 0;
        for (int kind = P256; kind <= RSA_KEY; kind++)
                for (int side = 0; side < 2; side++) {
                        char *cert = strdup(pairs[kind].cert), *key = strdup(side && pairs[kind].traditional ? pairs[kind].traditional : pairs[kind].pkcs8);
                        char *texts[] = {cert, key};
                        for (size_t i = 0; i < 2; i++)
                                for (size_t at = 0; at < strlen(texts[i]); at += 3) {
                                        char was = texts[i][at];
                                        texts[i][at] = was == 'A' ? 'B' : 'A';
                                        if (matches(cert, key)) {
                                                proved++;
                                                assert_int_not_equal(judge(cert, key), 0);
                                        } else {
                                                denied++;
                                        }
                                        texts[i][at] = was;
                                }
                        assert_true(matches(cert, key));
                        free(cert);
                        free(key);
                }
        assert_true(proved > 100); /* names, dates, signature, the secret half */
        assert_true(denied > 100);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_not_proved), cmocka_unit_test(test_mutations)};
        return cmocka_run_group_tests_name("pem_pair", tests, pairs_make, pairs_free);
}
