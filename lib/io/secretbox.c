/* lib/io/secretbox.c - see secretbox.h. */
#include "lib/base.h"
#include "lib/io/secretbox.h"

#include "lib/io/random.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#define NONCE_BYTES 12
#define TAG_BYTES 16
static const uint8_t magic[4] = {'G', 'H', 'S', '1'};
static_assert(sizeof magic + NONCE_BYTES + TAG_BYTES == SECRETBOX_OVERHEAD_BYTES, "the layout of secretbox.h");

/* In place.  encrypt: fills tag; else verifies it. */
static bool gcm(const uint8_t *key, bool encrypt, const uint8_t *nonce, struct span about, uint8_t *p, size_t n, uint8_t *tag)
{
        EVP_CIPHER_CTX *x = EVP_CIPHER_CTX_new();
        uint8_t end[16];
        int len = 0, ok = x && n <= SECRETBOX_MAX_BYTES && about.n <= SECRETBOX_MAX_BYTES;
        ok = ok && EVP_CipherInit_ex(x, EVP_aes_256_gcm(), NULL, key, nonce, encrypt);
        ok = ok && (about.n == 0 || EVP_CipherUpdate(x, NULL, &len, about.p, (int)about.n));
        ok = ok && EVP_CipherUpdate(x, p, &len, p, (int)n);
        if (!encrypt)
                ok = ok && EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag);
        ok = ok && EVP_CipherFinal_ex(x, end, &len);
        if (encrypt)
                ok = ok && EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag);
        EVP_CIPHER_CTX_free(x);
        return ok;
}

int secretbox_seal(const uint8_t key[SECRETBOX_KEY_BYTES], struct span about, struct span text, uint8_t *ret)
{
        uint8_t *nonce = ret + sizeof magic, *p = nonce + NONCE_BYTES;
        if (text.n > SECRETBOX_MAX_BYTES)
                return -EFBIG;
        memcpy(ret, magic, sizeof magic);
        int r = random_fill(nonce, NONCE_BYTES);
        if (r < 0)
                return r;
        if (text.n)
                memcpy(p, text.p, text.n);
        if (gcm(key, true, nonce, about, p, text.n, p + text.n))
                return 0;
        explicit_bzero(p, text.n);
        return -EIO;
}

int secretbox_open(const uint8_t key[SECRETBOX_KEY_BYTES], struct span about, uint8_t *p, size_t n, struct span *ret_text)
{
        if (n < SECRETBOX_OVERHEAD_BYTES || memcmp(p, magic, sizeof magic) != 0)
                return -EBADMSG;
        uint8_t *nonce = p + sizeof magic, *text = nonce + NONCE_BYTES;
        n -= SECRETBOX_OVERHEAD_BYTES;
        if (!gcm(key, false, nonce, about, text, n, text + n)) {
                explicit_bzero(text, n); /* GCM deciphers before it verifies */
                return -EBADMSG;
        }
        *ret_text = SPAN(text, n);
        return 0;
}

void secretbox_derive(struct span from, struct span salt, const char *what, uint8_t ret[SECRETBOX_KEY_BYTES])
{
        EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
        EVP_KDF_CTX *x = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
        char digest[] = "SHA256";
        OSSL_PARAM params[5];
        size_t n = 0;
        params[n++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
        params[n++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)from.p, from.n);
        params[n++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)what, strlen(what));
        if (salt.n)
                params[n++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt.p, salt.n);
        params[n] = OSSL_PARAM_construct_end();
        bool ok = x && EVP_KDF_derive(x, ret, SECRETBOX_KEY_BYTES, params) > 0;
        EVP_KDF_CTX_free(x);
        EVP_KDF_free(kdf);
        BUG_ON(!ok); /* no input fails it; a libcrypto without HKDF is no libcrypto of ours */
}
