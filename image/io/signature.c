/* image/io/signature.c - see signature.h. */
#include "lib/base.h"
#include "image/io/signature.h"
#include "image/core/update_manifest.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

struct keys {
        EVP_PKEY *v[SIGNATURE_KEYS_MAX];
        size_t n;
};

static void keys_fini(struct keys *k)
{
        for (size_t i = 0; i < k->n; i++)
                EVP_PKEY_free(k->v[i]);
        k->n = 0;
}

static int key_add(struct keys *k, const char *path, struct err *reterr)
{
        if (k->n == SIGNATURE_KEYS_MAX)
                return err_set(reterr, E2BIG, path, "more than %d keys", SIGNATURE_KEYS_MAX);
        FILE *f = fopen(path, "re");
        if (!f)
                return err_set(reterr, errno, path, "cannot read: %s", strerror(errno));
        EVP_PKEY *key = PEM_read_PUBKEY(f, NULL, NULL, NULL);
        fclose(f);
        if (!key || EVP_PKEY_id(key) != EVP_PKEY_ED25519) {
                EVP_PKEY_free(key);
                return err_set(reterr, EINVAL, path, "no Ed25519 public key in PEM form");
        }
        k->v[k->n++] = key;
        return 0;
}

static int keys_load(const char *dir, struct keys *k, struct err *reterr)
{
        DIR *d = opendir(dir);
        int r = 0;
        if (!d)
                return errno == ENOENT ? 0 : err_set(reterr, errno, dir, "cannot read: %s", strerror(errno));
        for (const struct dirent *e; r == 0 && (e = readdir(d));) {
                char path[512];
                size_t n = strlen(e->d_name);
                if (n < 5 || e->d_name[0] == '.' || strcmp(e->d_name + n - 4, ".pem") != 0)
                        continue;
                if (snprintf(path, sizeof path, "%s/%s", dir, e->d_name) >= (int)sizeof path)
                        r = err_set(reterr, ENAMETOOLONG, dir, "a key's name is too long");
                else
                        r = key_add(k, path, reterr);
        }
        closedir(d);
        return r;
}

static bool fits(EVP_PKEY *key, struct span text, const uint8_t *signature)
{
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        bool ok = md && EVP_DigestVerifyInit(md, NULL, NULL, NULL, key) == 1 &&
                  EVP_DigestVerify(md, signature, UPDATE_SIGNATURE_BYTES, text.p, text.n) == 1;
        EVP_MD_CTX_free(md);
        return ok;
}

int signature_verify(const char *const *dirs, size_t n_dirs, struct span text, struct span s, struct err *reterr)
{
        CLEANUP(keys_fini) struct keys k = {.n = 0};
        if (s.n == 0 || s.n % UPDATE_SIGNATURE_BYTES || s.n / UPDATE_SIGNATURE_BYTES > UPDATE_SIGNATURES_MAX)
                return err_set(reterr, EBADMSG, "manifest.sig", "not one to four signatures of 64 bytes");
        for (size_t i = 0; i < n_dirs; i++) {
                int r = keys_load(dirs[i], &k, reterr);
                if (r < 0)
                        return r;
        }
        if (k.n == 0)
                return err_set(reterr, ENOKEY, "manifest.sig", "no key is installed that could vouch for an update");
        for (size_t i = 0; i < k.n; i++)
                for (size_t at = 0; at < s.n; at += UPDATE_SIGNATURE_BYTES)
                        if (fits(k.v[i], text, s.p + at))
                                return 0;
        return err_set(reterr, EKEYREJECTED, "manifest.sig", "signed by none of the %zu installed keys", k.n);
}
