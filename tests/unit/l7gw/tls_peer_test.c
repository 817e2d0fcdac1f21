/* tests/unit/l7gw/tls_peer_test.c - one TLS connection against an OpenSSL client, both in memory: what is stapled, and peers that send
 * records without end and without a byte in them. */
#include "lib/base.h"
#include "tests/unit/l7gw/tls_world.h"
#include "l7gw/core/engine_limits.tbl.h"
#include <openssl/kdf.h>

struct pair_of {
        struct world w;
        struct tls_listener *l;
        SSL_CTX *front, *ctx;
        struct chunk_pool pool;
        struct tls *t;
        SSL *client;
        BIO *to_client, *from_client; /* the client's side of the wire */
        char secret[65];              /* CLIENT_TRAFFIC_SECRET_0, hexadecimal */
};

static struct pair_of *keylog_of; /* OpenSSL's callback has no argument */
static void keylog(const SSL *ssl, const char *line)
{
        (void)ssl;
        const char *last = strrchr(line, ' ');
        if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0 && last && strlen(last + 1) == 64)
                snprintf(keylog_of->secret, sizeof keylog_of->secret, "%s", last + 1);
}

static void pair_init(struct pair_of *p_, const uint8_t *ocsp, size_t ocsp_n)
{
        static const uint8_t keys[TLS_TICKET_KEYS_BYTES];
        struct model_error e;
        *p_ = (struct pair_of){.t = NULL};
        keylog_of = p_;
        world_init(&p_->w, 1);
        add(&p_->w, "ns/c", p.rsa_cert, p.rsa_key, "a.example")->ocsp_der = (ProtobufCBinaryData){ocsp_n, (uint8_t *)(uintptr_t)ocsp};
        p_->l = build(&p_->w, &e);
        assert_non_null(p_->l);
        p_->front = tls_front_new(no_hello, keys);
        chunk_pool_init(&p_->pool);
        assert_int_equal(tls_new(p_->front, &p_->pool, NULL, &p_->t), 0);
        assert_int_equal(tls_listener_apply(p_->l, p_->t), 0); /* as the client hello's callback would */
        p_->ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_ciphersuites(p_->ctx, "TLS_AES_128_GCM_SHA256");
        SSL_CTX_set_keylog_callback(p_->ctx, keylog);
        p_->client = SSL_new(p_->ctx);
        p_->to_client = BIO_new(BIO_s_mem());
        p_->from_client = BIO_new(BIO_s_mem());
        SSL_set_bio(p_->client, p_->to_client, p_->from_client);
        SSL_set_connect_state(p_->client);
        SSL_set_tlsext_status_type(p_->client, TLSEXT_STATUSTYPE_ocsp);
}

static void pair_fini(struct pair_of *p_)
{
        SSL_free(p_->client);
        SSL_CTX_free(p_->ctx);
        tls_free(p_->t);
        SSL_CTX_free(p_->front);
        chunk_pool_fini(&p_->pool);
        tls_listener_free(p_->l);
        world_fini(&p_->w);
}

static void to_client(struct pair_of *p_)
{
        while (p_->t->wire.n > 0) {
                struct span v = chain_front(&p_->t->wire);
                assert_int_equal(BIO_write(p_->to_client, v.p, (int)v.n), (int)v.n);
                chain_consume(&p_->t->wire, v.n);
        }
}

/* What the client has sent, shown to the server's side; what tls_read said last. */
static enum tls_rc to_server(struct pair_of *p_, size_t *ret_plain)
{
        static uint8_t plain[65536];
        char *q;
        size_t n = (size_t)BIO_get_mem_data(p_->from_client, &q);
        uint8_t *copy = malloc(n + 1);
        enum tls_rc rc = TLS_MORE;
        memcpy(copy, q, n);
        (void)BIO_reset(p_->from_client);
        p_->t->in = SPAN(copy, n);
        *ret_plain = 0;
        if (!p_->t->established)
                rc = tls_handshake(p_->t);
        if (p_->t->established)
                do {
                        size_t got = 0;
                        rc = tls_read(p_->t, plain, sizeof plain, &got);
                        *ret_plain += got;
                } while (rc == TLS_OK);
        p_->t->in = SPAN_NULL;
        free(copy);
        return rc;
}

static void shake(struct pair_of *p_)
{
        size_t none;
        for (int i = 0; i < 5 && !(SSL_is_init_finished(p_->client) && p_->t->established); i++) {
                (void)SSL_do_handshake(p_->client);
                assert_int_equal(to_server(p_, &none), TLS_MORE);
                to_client(p_);
        }
        assert_true(SSL_is_init_finished(p_->client) && p_->t->established);
}

static void test_staple(void **state)
{
        (void)state;
        static const struct {
                const char *name;
                long after;
                bool sent;
        } rows[] = {{"good for an hour", 3600, true}, {"over since a minute", -60, false}};
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct pair_of x;
                uint8_t *der;
                const uint8_t *got = NULL;
                size_t n = staple_of(p.rsa_x, p.rsa, rows[i].after, &der);
                pair_init(&x, der, n);
                shake(&x);
                long got_n = SSL_get_tlsext_status_ocsp_resp(x.client, &got);
                if (rows[i].sent ? got_n != (long)n || memcmp(got, der, n) != 0 : got_n > 0)
                        fail_msg("%s: %ld bytes", rows[i].name, got_n);
                pair_fini(&x);
                OPENSSL_free(der);
        }
}

/* requirement 59: key updates, each of which we must answer. */
static void test_key_updates(void **state)
{
        (void)state;
        struct pair_of x;
        size_t plain, n = 0, most = 0;
        enum tls_rc rc = TLS_MORE;
        pair_init(&x, NULL, 0);
        shake(&x);
        for (; n < 4 * L7_TLS_KEY_UPDATES && rc == TLS_MORE; n++) {
                assert_int_equal(SSL_key_update(x.client, SSL_KEY_UPDATE_REQUESTED), 1);
                assert_int_equal(SSL_do_handshake(x.client), 1);
                rc = to_server(&x, &plain);
                most = MAX(most, x.t->wire.n);
                to_client(&x);
                (void)SSL_read(x.client, &(char){0}, 1); /* takes our answer */
        }
        assert_int_equal(rc, TLS_BAD);
        assert_true(n > L7_TLS_KEY_UPDATES / 2 && n <= L7_TLS_KEY_UPDATES + 1);
        assert_true(most < 4096);
        pair_fini(&x);

        pair_init(&x, NULL, 0); /* an honest one changes its keys now and then */
        shake(&x);
        for (int i = 0; i < 10; i++) {
                assert_int_equal(SSL_key_update(x.client, SSL_KEY_UPDATE_REQUESTED), 1);
                assert_int_equal(SSL_write(x.client, "hello", 5), 5);
                assert_int_equal(to_server(&x, &plain), TLS_MORE);
                assert_int_equal(plain, 5);
                to_client(&x);
                (void)SSL_read(x.client, &(char){0}, 1);
        }
        pair_fini(&x);
}

/* HKDF-Expand-Label (RFC 8446 7.1), without context. */
static void expand(const uint8_t secret[32], const char *label, uint8_t *out, size_t n)
{
        uint8_t info[32];
        size_t len = (size_t)snprintf((char *)info + 3, sizeof info - 4, "tls13 %s", label);
        info[0] = 0;
        info[1] = (uint8_t)n;
        info[2] = (uint8_t)len;
        info[3 + len] = 0;
        EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
        assert_true(EVP_PKEY_derive_init(c) == 1 && EVP_PKEY_CTX_set_hkdf_mode(c, EVP_PKEY_HKDEF_MODE_EXPAND_ONLY) == 1 &&
                    EVP_PKEY_CTX_set_hkdf_md(c, EVP_sha256()) == 1 && EVP_PKEY_CTX_set1_hkdf_key(c, secret, 32) == 1 &&
                    EVP_PKEY_CTX_add1_hkdf_info(c, info, (int)(4 + len)) == 1 && EVP_PKEY_derive(c, out, &n) == 1);
        EVP_PKEY_CTX_free(c);
}

/* Record number seq with nothing in it (RFC 8446 5.4: legal for application data). */
static void empty_record(const uint8_t key[16], const uint8_t iv[12], uint64_t seq, uint8_t out[22])
{
        static const uint8_t head[5] = {23, 3, 3, 0, 17};
        uint8_t nonce[12], type = 23;
        int n;
        memcpy(nonce, iv, 12);
        for (int i = 0; i < 8; i++)
                nonce[11 - i] ^= (uint8_t)(seq >> (8 * i));
        memcpy(out, head, 5);
        EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
        assert_true(EVP_EncryptInit_ex(c, EVP_aes_128_gcm(), NULL, key, nonce) == 1 && EVP_EncryptUpdate(c, NULL, &n, head, 5) == 1 &&
                    EVP_EncryptUpdate(c, out + 5, &n, &type, 1) == 1 && EVP_EncryptFinal_ex(c, out + 6, &n) == 1 &&
                    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, 16, out + 6) == 1);
        EVP_CIPHER_CTX_free(c);
}

/* requirement 59: records of no bytes. */
static void test_empty_records(void **state)
{
        (void)state;
        struct pair_of x;
        uint8_t secret[32], key[16], iv[12], record[22];
        size_t plain;
        long len = 0;
        enum tls_rc rc = TLS_MORE;
        pair_init(&x, NULL, 0);
        shake(&x);
        uint8_t *hex = OPENSSL_hexstr2buf(x.secret, &len);
        assert_int_equal(len, 32);
        memcpy(secret, hex, 32);
        OPENSSL_free(hex);
        expand(secret, "key", key, sizeof key);
        expand(secret, "iv", iv, sizeof iv);
        uint64_t n = 0;
        for (; n < 1000 && rc == TLS_MORE; n++) {
                empty_record(key, iv, n, record);
                BIO_write(x.from_client, record, sizeof record);
                if (n % 10 == 9)
                        rc = to_server(&x, &plain);
        }
        assert_int_equal(rc, TLS_BAD);
        assert_true(n >= 20 && n <= 100); /* OpenSSL takes 32 in a row: a few were understood before it said no */
        pair_fini(&x);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_staple), cmocka_unit_test(test_key_updates), cmocka_unit_test(test_empty_records)};
        return cmocka_run_group_tests_name("tls_peer", tests, material_make, material_free);
}
