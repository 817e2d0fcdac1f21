/* tests/unit/l7gw/tls_listener_test.c - certificates of listeners: what PREPARE refuses, what it leaves unparsed, which ones a server
 * name gets. */
#include "lib/base.h"
#include "tests/unit/l7gw/tls_world.h"
#include <malloc.h>
#include <time.h>

static void test_refused(void **state)
{
        (void)state;
        uint8_t *staple;
        size_t n = staple_of(p.rsa_x, p.rsa, 3600, &staple);
        char *broken = strdup(p.ec_cert);
        memset(broken + 60, 'A', 40);
        const struct {
                const char *name, *cert, *key;
                const uint8_t *ocsp;
                size_t n;
                const char *why; /* part of the error; NULL: accepted */
        } cases[] = {
                {"a pair", p.ec_cert, p.ec_key, NULL, 0, NULL},
                {"key and certificate of different pairs, one type", p.ed_cert, p.ec_key, NULL, 0, "default/c"},
                {"the key of another certificate", p.ec_cert, p.rsa_key, NULL, 0, "certificate default/c: error:"},
                {"no key", p.ec_cert, NULL, NULL, 0, "key of certificate default/c: missing"},
                {"a key that is none", p.ec_cert, "secret", NULL, 0, "certificate default/c: error:"},
                {"a certificate that is none", "hello", p.ec_key, NULL, 0, "certificate default/c: error:"},
                {"a certificate with broken bytes", broken, p.ec_key, NULL, 0, "certificate default/c: error:"},
                {"a staple that is none", p.ec_cert, p.ec_key, (const uint8_t *)"x", 1, "is not a successful OCSP response"},
                {"a staple of another certificate", p.ec_cert, p.ec_key, staple, n, "is about another certificate"},
                {"a staple", p.rsa_cert, p.rsa_key, staple, n, NULL},
                {"a staple with something behind it", p.rsa_cert, p.rsa_key, staple, n - 1, "is not a successful OCSP response"},
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct world w;
                struct model_error e;
                world_init(&w, 1);
                Model__Certificate *c = add(&w, "default/c", cases[i].cert, cases[i].key, "a.example");
                c->ocsp_der = (ProtobufCBinaryData){cases[i].n, (uint8_t *)(uintptr_t)cases[i].ocsp};
                struct tls_listener *l = build(&w, &e);
                if (cases[i].why ? l || !strstr(e.err.msg, cases[i].why) || (cases[i].key && strcmp(e.section, "certs/default") != 0) : !l)
                        fail_msg("%s: %s, section %s", cases[i].name, e.err.msg, e.section);
                tls_listener_free(l);
                world_fini(&w);
        }
        free(broken);
        OPENSSL_free(staple);
}

/* The common names of what a client with this server name is offered, the RSA certificate behind the others. */
static void offered(const struct tls_listener *l, const char *sni, char *text, size_t n)
{
        static const uint8_t keys[TLS_TICKET_KEYS_BYTES];
        struct chunk_pool pool;
        struct tls *t;
        SSL_CTX *front = tls_front_new(no_hello, keys);
        chunk_pool_init(&pool);
        assert_int_equal(tls_new(front, &pool, NULL, &t), 0);
        t->sni_n = (uint8_t)snprintf(t->sni, sizeof t->sni, "%s", sni);
        *text = '\0';
        if (tls_listener_apply(l, t) == 0)
                for (int ok = SSL_set_current_cert(t->ssl, SSL_CERT_SET_FIRST); ok == 1; ok = SSL_set_current_cert(t->ssl, SSL_CERT_SET_NEXT)) {
                        char cn[64] = "";
                        X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get_certificate(t->ssl)), NID_commonName, cn, sizeof cn);
                        snprintf(text + strlen(text), n - strlen(text), "%s%s", *text ? " " : "", cn);
                }
        tls_free(t);
        chunk_pool_fini(&pool);
        SSL_CTX_free(front);
}

static void test_names(void **state)
{
        (void)state;
        struct world w;
        struct model_error e;
        world_init(&w, 8);
        add(&w, "ns/first", p.ed_cert, p.ed_key, "first.example other.example");
        add(&w, "ns/rsa", p.rsa_cert, p.rsa_key, "pair.example *.wild.example");
        add(&w, "ns/ec", p.ec_cert, p.ec_key, "pair.example");
        add(&w, "ns/exact", p.ec_cert, p.ec_key, "a.wild.example");
        struct tls_listener *l = build(&w, &e);
        assert_non_null(l);
        assert_int_equal(w.all.n, 3);         /* ec stands there twice, and is one */
        assert_int_equal(w.all.n_checked, 1); /* Ed25519: its key alone does not tell */
        static const struct {
                const char *sni, *want;
        } rows[] = {{"first.example", "ed"}, {"other.example", "ed"}, {"pair.example", "rsa ec"}, {"b.wild.example", "rsa"}, {"a.wild.example", "ec"},
                    {"b.a.wild.example", "ed"}, {"wild.example", "ed"}, {"stranger", "ed"}, {"", "ed"}, {".wild.example", "ed"}};
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                char text[128];
                offered(l, rows[i].sni, text, sizeof text);
                if (strcmp(text, rows[i].want) != 0)
                        fail_msg("%s: %s, want %s", rows[i].sni, text, rows[i].want);
        }
        /* A second generation with the same certificates: nothing is looked at again. */
        struct tls_listener *next = build(&w, &e);
        assert_non_null(next);
        assert_int_equal(w.all.n_checked, 1);
        tls_listener_free(l);
        char text[128];
        offered(next, "pair.example", text, sizeof text);
        assert_string_equal(text, "rsa ec");
        tls_listener_free(next);
        assert_int_equal(w.all.n, 0);
        world_fini(&w);
}

/* OpenSSL reads a certificate in 0.1 ms and a key in 0.3: ten thousand must not meet it in PREPARE. */
static void test_ten_thousand(void **state)
{
        (void)state;
        enum { N = 10000 };
        struct world w;
        struct model_error e;
        struct timespec from, to;
        world_init(&w, N);
        for (int i = 0; i < N; i++) {
                char id[32], name[64];
                snprintf(id, sizeof id, "ns/c%d", i);
                snprintf(name, sizeof name, "h%d.example *.h%d.example", i, i);
                bool rsa = i % 2;
                char *cert = arena_printf(&w.a, "# %d\n%s", i, rsa ? p.rsa_cert : p.ec_cert); /* no two have the same bytes */
                add(&w, id, cert, rsa ? p.rsa_key : p.ec_key, name);
        }
        size_t before = mallinfo2().uordblks;
        clock_gettime(CLOCK_MONOTONIC, &from);
        struct tls_listener *l = build(&w, &e);
        clock_gettime(CLOCK_MONOTONIC, &to);
        if (!l)
                fail_msg("%s", e.err.msg);
        size_t used = mallinfo2().uordblks - before;
        print_message("%d certificates: %ld ms, %zu KiB\n", N, (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000, used >> 10);
        assert_int_equal(w.all.n, N);
        assert_int_equal(w.all.n_checked, 0);
        assert_true(used < 100u << 20);
        char text[128];
        offered(l, "h9999.example", text, sizeof text);
        assert_string_equal(text, "rsa");
        offered(l, "x.h42.example", text, sizeof text);
        assert_string_equal(text, "ec");
        tls_listener_free(l);
        world_fini(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused), cmocka_unit_test(test_names), cmocka_unit_test(test_ten_thousand)};
        return cmocka_run_group_tests_name("tls_listener", tests, material_make, material_free);
}
