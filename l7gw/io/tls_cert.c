/* l7gw/io/tls_cert.c - see tls_cert.h. */
#include "lib/base.h"
#include "l7gw/io/tls_cert.h"
#include "l7gw/core/pem_pair.h"
#include "l7gw/io/tls_material.h"
#include "lib/control.pb-c.h"
#include "lib/io/log.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

struct staple { /* hangs on the parsed leaf, so that it lives as long as any connection that shows it */
        int64_t until; /* Unix seconds, nextUpdate */
        size_t n;
        uint8_t der[];
};
struct parsed {
        X509 *leaf;
        STACK_OF(X509) *chain;
        EVP_PKEY *key;
};
struct tls_cert {
        uint8_t hash[SHA256_BYTES]; /* of chain, key and staple */
        unsigned refs;              /* listeners of all generations; control thread */
        char *id;
        struct span chain, key, ocsp; /* ours; chain and key until they are parsed, the key wiped then */
        pthread_mutex_t lock;
        struct parsed *_Atomic parsed;
        atomic_bool bad; /* no handshake tries again */
};

static int staple_index = -1;
static pthread_once_t staple_once = PTHREAD_ONCE_INIT;

static void staple_gone(void *parent, void *p, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
        (void)parent;
        (void)ad;
        (void)idx;
        (void)argl;
        (void)argp;
        free(p);
}

static void staple_index_make(void)
{
        staple_index = X509_get_ex_new_index(0, NULL, NULL, NULL, staple_gone);
        BUG_ON(staple_index < 0); /* boot */
}

void tls_certs_init(struct tls_certs *all)
{
        pthread_once(&staple_once, staple_index_make);
        *all = (struct tls_certs){.n = 0};
        map_init(&all->by_hash);
}

void tls_certs_fini(struct tls_certs *all)
{
        BUG_ON(all->n != 0);
        map_fini(&all->by_hash);
}

/* ---- parsing ---- */

static void parsed_free(struct parsed *p)
{
        if (!p)
                return;
        X509_free(p->leaf);
        sk_X509_pop_free(p->chain, X509_free);
        EVP_PKEY_free(p->key);
        free(p);
}

/* nextUpdate as Unix time; 0: none is given, so it is not known how long the response is good. */
static int64_t unix_time(const ASN1_GENERALIZEDTIME *t)
{
        struct tm tm;
        return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* A successful response about this very certificate (RFC 6960 4.2.1); its signature is the client's to verify. */
static int staple_read(struct span der, X509 *leaf, struct staple **ret, const char **ret_why)
{
        const unsigned char *p = der.p;
        OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &p, (long)der.n);
        OCSP_BASICRESP *basic = r && p == der.p + der.n && OCSP_response_status(r) == OCSP_RESPONSE_STATUS_SUCCESSFUL ? OCSP_response_get1_basic(r) : NULL;
        int rc = -EINVAL;
        *ret_why = basic ? "is about another certificate" : "is not a successful OCSP response in DER";
        for (int i = 0; basic && i < OCSP_resp_count(basic) && rc != 0; i++) {
                OCSP_SINGLERESP *one = OCSP_resp_get0(basic, i);
                ASN1_INTEGER *serial;
                ASN1_GENERALIZEDTIME *next = NULL;
                if (OCSP_id_get0_info(NULL, NULL, NULL, &serial, (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(one)) != 1 ||
                    ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) != 0)
                        continue;
                (void)OCSP_single_get0_status(one, NULL, NULL, NULL, &next); /* whatever it says is what the client shall hear */
                struct staple *s = malloc(sizeof *s + der.n);
                if (!s) {
                        rc = -ENOMEM;
                        break;
                }
                s->until = unix_time(next);
                s->n = der.n;
                memcpy(s->der, der.p, der.n);
                *ret = s;
                rc = 0;
        }
        OCSP_BASICRESP_free(basic);
        OCSP_RESPONSE_free(r);
        return rc;
}

/* Everything, by OpenSSL. */
static int parse(const struct tls_cert *c, struct parsed **ret, char why[256])
{
        struct parsed *p = calloc(1, sizeof *p);
        struct staple *s = NULL;
        const char *staple_why = NULL;
        int r = p ? tls_pair_read(c->chain, c->key, &p->leaf, &p->chain, &p->key) : -ENOMEM;
        if (r < 0)
                (void)tls_error(why);
        if (r == 0 && c->ocsp.n > 0) {
                r = staple_read(c->ocsp, p->leaf, &s, &staple_why);
                if (r < 0)
                        snprintf(why, 256, "OCSP response: it %s", staple_why);
                else if (X509_set_ex_data(p->leaf, staple_index, s) != 1)
                        r = -ENOMEM;
        }
        ERR_clear_error();
        if (r < 0) {
                if (r == -ENOMEM)
                        free(s); /* not on the leaf yet */
                parsed_free(p);
                return r;
        }
        *ret = p;
        return 0;
}

/* ---- PREPARE ---- */

static void wipe(struct span *s)
{
        if (s->p)
                explicit_bzero((void *)(uintptr_t)s->p, s->n);
        free((void *)(uintptr_t)s->p);
        *s = SPAN_NULL;
}

static void cert_free(struct tls_cert *c)
{
        parsed_free(atomic_load_explicit(&c->parsed, memory_order_acquire));
        pthread_mutex_destroy(&c->lock);
        wipe(&c->chain);
        wipe(&c->key);
        wipe(&c->ocsp);
        free(c->id);
        free(c);
}

static bool copied(struct span *to, const ProtobufCBinaryData *from)
{
        uint8_t *p = malloc(from->len + 1);
        if (!p)
                return false;
        if (from->len)
                memcpy(p, from->data, from->len);
        *to = SPAN(p, from->len);
        return true;
}

static bool hash_of(const Model__Certificate *c, const Model__Key *k, struct sha256 *ret)
{
        struct buf b;
        buf_init(&b, SIZE_MAX);
        buf_printf(&b, "%zu %zu ", c->chain_pem.len, k->pem.len);
        buf_add(&b, c->chain_pem.data, c->chain_pem.len);
        if (k->pem.len)
                buf_add(&b, k->pem.data, k->pem.len);
        if (c->ocsp_der.len)
                buf_add(&b, c->ocsp_der.data, c->ocsp_der.len);
        sha256_of(buf_span(&b), ret);
        bool failed = b.failed;
        if (b.n)
                explicit_bzero(b.p, b.n);
        buf_fini(&b);
        return !failed;
}

static struct tls_cert *cert_new(const Model__Certificate *m, const Model__Key *k)
{
        struct tls_cert *c = calloc(1, sizeof *c);
        if (!c)
                return NULL;
        pthread_mutex_init(&c->lock, NULL);
        c->id = strdup(m->id);
        if (c->id && copied(&c->chain, &m->chain_pem) && copied(&c->key, &k->pem) && copied(&c->ocsp, &m->ocsp_der))
                return c;
        cert_free(c);
        return NULL;
}

static int out_of_memory(struct model_error *e)
{
        model_error_set(e, CONTROL__NACK_STAGE__NACK_INTERNAL, "", NULL, "out of memory");
        return -ENOMEM;
}

int tls_cert_get(struct tls_certs *all, const struct model *m, const Model__Certificate *mc, struct tls_cert **ret, struct model_error *e)
{
        char section[160], why[256] = "";
        const Model__Key *k = model_key(m, mc->key);
        snprintf(section, sizeof section, "certs/%.*s", (int)strcspn(mc->id, "/"), mc->id);
        static const Model__Key nothing = MODEL__KEY__INIT;
        bool locked = !k && m->locked; /* who needs this certificate gets an alert; everybody else is served */
        if (locked)
                k = &nothing;
        if (!k) {
                model_error_set(e, CONTROL__NACK_STAGE__NACK_BUILD, section, mc->source, "key of certificate %s: missing", mc->id);
                return -EINVAL;
        }
        struct sha256 hash;
        if (!hash_of(mc, k, &hash))
                return out_of_memory(e);
        struct tls_cert *c = map_get(&all->by_hash, SPAN(hash.b, sizeof hash.b));
        if (c) {
                c->refs++;
                *ret = c;
                return 0;
        }
        c = cert_new(mc, k);
        if (!c)
                return out_of_memory(e);
        memcpy(c->hash, hash.b, sizeof c->hash);
        atomic_store_explicit(&c->bad, locked, memory_order_relaxed); /* no worker knows it yet */
        if (!locked && (mc->ocsp_der.len > 0 || !pem_pair_matches(c->chain, c->key))) {
                struct parsed *p = NULL;
                all->n_checked++;
                int r = parse(c, &p, why);
                if (r < 0) {
                        cert_free(c);
                        if (r == -ENOMEM)
                                return out_of_memory(e);
                        model_error_set(e, CONTROL__NACK_STAGE__NACK_BUILD, section, mc->source, "certificate %s: %s", mc->id, why);
                        return r;
                }
                parsed_free(p); /* checked; whether anybody ever wants it will be seen */
        }
        if (map_put(&all->by_hash, SPAN(c->hash, sizeof c->hash), c) < 0) {
                cert_free(c);
                return out_of_memory(e);
        }
        all->n++;
        c->refs = 1;
        *ret = c;
        return 0;
}

void tls_cert_put(struct tls_certs *all, struct tls_cert *c)
{
        if (!c || --c->refs > 0)
                return;
        (void)map_del(&all->by_hash, SPAN(c->hash, sizeof c->hash));
        all->n--;
        cert_free(c);
}

/* ---- handshakes ---- */

static struct parsed *parsed_get(struct tls_cert *c)
{
        struct parsed *p = atomic_load_explicit(&c->parsed, memory_order_acquire); /* with all it points to */
        if (p || atomic_load_explicit(&c->bad, memory_order_relaxed))
                return p;
        char why[256] = "";
        pthread_mutex_lock(&c->lock);
        p = atomic_load_explicit(&c->parsed, memory_order_relaxed);
        if (!p && !atomic_load_explicit(&c->bad, memory_order_relaxed)) {
                if (parse(c, &p, why) == 0) {
                        wipe(&c->key);
                        wipe(&c->chain);
                        atomic_store_explicit(&c->parsed, p, memory_order_release);
                } else {
                        log_error("certificate_bad", "certificate=%s why=\"%s\" then=\"its clients are refused\"", LOG_ESC(c->id), LOG_ESC(why));
                        atomic_store_explicit(&c->bad, true, memory_order_relaxed);
                }
        }
        pthread_mutex_unlock(&c->lock);
        return p;
}

int tls_cert_use(struct tls_cert *c, SSL *ssl)
{
        struct parsed *p = parsed_get(c);
        return p && SSL_use_cert_and_key(ssl, p->leaf, p->key, p->chain, 1) == 1 ? 0 : -EINVAL;
}

int tls_cert_status(SSL *ssl, void *arg)
{
        X509 *leaf = SSL_get_certificate(ssl);
        const struct staple *s = leaf ? X509_get_ex_data(leaf, staple_index) : NULL;
        (void)arg;
        if (!s || s->until <= (int64_t)time(NULL))
                return SSL_TLSEXT_ERR_NOACK;
        uint8_t *p = OPENSSL_memdup(s->der, s->n); /* OpenSSL takes it */
        if (!p)
                return SSL_TLSEXT_ERR_NOACK;
        SSL_set_tlsext_status_ocsp_resp(ssl, p, (long)s->n);
        return SSL_TLSEXT_ERR_OK;
}
