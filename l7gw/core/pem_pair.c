/* l7gw/core/pem_pair.c - see pem_pair.h. */
#include "lib/base.h"
#include "l7gw/core/pem_pair.h"

#define DER_MAX 16384 /* one certificate or key; a longer one is OpenSSL's to judge */
#define LABEL_MAX 32

/* ---- PEM (RFC 7468) ---- */

struct der {
        uint8_t b[DER_MAX];
        size_t n;
};

static int base64_value(uint8_t c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base64 over several lines; padding only at the end. */
static bool base64_decode(struct span in, struct der *out)
{
        uint32_t bits = 0;
        unsigned digits = 0, pads = 0;
        out->n = 0;
        for (size_t i = 0; i < in.n; i++) {
                uint8_t c = in.p[i];
                int v = base64_value(c);
                if (c == '\r' || c == '\n')
                        continue;
                if (c == '=' && ++pads <= 2) {
                        v = 0;
                } else if (v < 0 || pads > 0) {
                        return false;
                }
                bits = bits << 6 | (uint32_t)v;
                if (++digits % 4 != 0)
                        continue;
                if (out->n + 3 > sizeof out->b)
                        return false;
                out->b[out->n++] = (uint8_t)(bits >> 16);
                out->b[out->n++] = (uint8_t)(bits >> 8);
                out->b[out->n++] = (uint8_t)bits;
        }
        out->n -= MIN((size_t)pads, out->n);
        return digits % 4 == 0 && out->n > 0;
}

/* The next block with this label, of others too when label is NULL; its base64 text into *ret.  Moves *rest behind it. */
static bool block_next(struct span *rest, const char *label, struct span *ret)
{
        static const char dashes[] = "-----BEGIN ", tail[] = "-----";
        for (;;) {
                const uint8_t *at = rest->n ? memmem(rest->p, rest->n, dashes, sizeof dashes - 1) : NULL;
                if (!at)
                        return false;
                struct span s = SPAN(at + sizeof dashes - 1, rest->n - (size_t)(at - rest->p) - (sizeof dashes - 1));
                const uint8_t *eol = memchr(s.p, '\n', s.n);
                size_t name_n = 0;
                while (name_n < s.n && name_n < LABEL_MAX && s.p[name_n] != '-' && s.p[name_n] != '\n')
                        name_n++;
                if (!eol || s.n < name_n + 5 || memcmp(s.p + name_n, tail, 5) != 0)
                        return false;
                char end[LABEL_MAX + 16];
                int end_n = snprintf(end, sizeof end, "-----END %.*s-----", (int)name_n, (const char *)s.p);
                struct span text = SPAN(eol + 1, s.n - (size_t)(eol + 1 - s.p));
                const uint8_t *stop = text.n ? memmem(text.p, text.n, end, (size_t)end_n) : NULL;
                if (!stop)
                        return false;
                *rest = SPAN(stop + end_n, text.n - (size_t)(stop - text.p) - (size_t)end_n);
                if (span_eq_str(SPAN(s.p, name_n), label)) {
                        *ret = SPAN(text.p, (size_t)(stop - text.p));
                        return true;
                }
        }
}

/* ---- DER ---- */

enum { INTEGER = 0x02, BITS = 0x03, OCTETS = 0x04, SEQUENCE = 0x30, CONTEXT_0 = 0xa0, CONTEXT_1 = 0xa1 };

/* The next element, which must have this tag; its contents, and itself as a whole.  Lengths are definite, in the shortest form. */
static bool der_next(struct span *in, uint8_t tag, struct span *ret_body, struct span *ret_whole)
{
        if (in->n < 2 || in->p[0] != tag)
                return false;
        size_t len = in->p[1], head = 2;
        if (len >= 0x80) {
                size_t n = len & 0x7f;
                if (n < 1 || n > 3 || in->n < 2 + n || in->p[2] == 0)
                        return false;
                len = 0;
                for (size_t i = 0; i < n; i++)
                        len = len << 8 | in->p[2 + i];
                head += n;
                if (len < 0x80)
                        return false;
        }
        if (in->n - head < len)
                return false;
        *ret_body = SPAN(in->p + head, len);
        if (ret_whole)
                *ret_whole = SPAN(in->p, head + len);
        *in = SPAN(in->p + head + len, in->n - head - len);
        return true;
}

static bool der_skip(struct span *in, uint8_t tag)
{
        struct span body;
        return der_next(in, tag, &body, NULL);
}

/* A bit string of whole bytes. */
static bool der_bits(struct span *in, struct span *ret)
{
        struct span body;
        if (!der_next(in, BITS, &body, NULL) || body.n < 1 || body.p[0] != 0)
                return false;
        *ret = SPAN(body.p + 1, body.n - 1);
        return true;
}

/* ---- the public half: of a certificate (RFC 5280 4.1), of a key ---- */

struct half {
        struct span algorithm; /* contents of AlgorithmIdentifier: OID and parameters */
        struct span key;       /* of the bit string */
};

static bool certificate_half(struct span der, struct half *ret)
{
        struct span cert, tbs, spki, signature;
        if (!der_next(&der, SEQUENCE, &cert, NULL) || der.n != 0 || !der_next(&cert, SEQUENCE, &tbs, NULL) || !der_skip(&cert, SEQUENCE) ||
            !der_bits(&cert, &signature) || cert.n != 0)
                return false;
        if (tbs.n > 0 && tbs.p[0] == CONTEXT_0 && !der_skip(&tbs, CONTEXT_0)) /* version */
                return false;
        return der_skip(&tbs, INTEGER) && der_skip(&tbs, SEQUENCE) && der_skip(&tbs, SEQUENCE) && der_skip(&tbs, SEQUENCE) &&
               der_skip(&tbs, SEQUENCE) && der_next(&tbs, SEQUENCE, &spki, NULL) && /* serial, signature, issuer, validity, subject */
               der_next(&spki, SEQUENCE, &ret->algorithm, NULL) && der_bits(&spki, &ret->key) && spki.n == 0;
}

static const uint8_t rsa_algorithm[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
static const uint8_t ec_oid[] = {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};

static bool span_starts(struct span s, const uint8_t *p, size_t n)
{
        return s.n >= n && memcmp(s.p, p, n) == 0;
}

/* RSAPrivateKey (RFC 8017 A.1.2) against RSAPublicKey: modulus and exponent. */
static bool rsa_matches(struct span der, const struct half *h)
{
        struct span private, public, body, n, e, pn, pe, in = h->key;
        if (h->algorithm.n != sizeof rsa_algorithm || !span_starts(h->algorithm, rsa_algorithm, sizeof rsa_algorithm))
                return false;
        return der_next(&der, SEQUENCE, &private, NULL) && der.n == 0 && der_next(&private, INTEGER, &body, NULL) && body.n == 1 && body.p[0] == 0 &&
               der_next(&private, INTEGER, &n, NULL) && der_next(&private, INTEGER, &e, NULL) && der_next(&in, SEQUENCE, &public, NULL) && in.n == 0 &&
               der_next(&public, INTEGER, &pn, NULL) && der_next(&public, INTEGER, &pe, NULL) && public.n == 0 && n.n > 1 && span_eq(n, pn) && span_eq(e, pe);
}

/* ECPrivateKey (RFC 5915 3): the optional public half decides; without it we do not know.  curve: what must stand in [0], if anything does. */
static bool ec_matches(struct span der, const struct half *h)
{
        struct span private, body, secret, params = SPAN_NULL, wrapped, public;
        if (!span_starts(h->algorithm, ec_oid, sizeof ec_oid))
                return false;
        struct span curve = SPAN(h->algorithm.p + sizeof ec_oid, h->algorithm.n - sizeof ec_oid);
        if (!der_next(&der, SEQUENCE, &private, NULL) || der.n != 0 || !der_next(&private, INTEGER, &body, NULL) || body.n != 1 || body.p[0] != 1 ||
            !der_next(&private, OCTETS, &secret, NULL) || secret.n == 0)
                return false;
        if (private.n > 0 && private.p[0] == CONTEXT_0 && (!der_next(&private, CONTEXT_0, &params, NULL) || !span_eq(params, curve)))
                return false;
        return der_next(&private, CONTEXT_1, &wrapped, NULL) && private.n == 0 && der_bits(&wrapped, &public) && wrapped.n == 0 && public.n > 1 &&
               span_eq(public, h->key);
}

/* PrivateKeyInfo (RFC 5208 5): the algorithm must be the certificate's, to the byte. */
static bool pkcs8_matches(struct span der, const struct half *h)
{
        struct span info, version, algorithm, key;
        if (!der_next(&der, SEQUENCE, &info, NULL) || der.n != 0 || !der_next(&info, INTEGER, &version, NULL) || version.n != 1 || version.p[0] != 0 ||
            !der_next(&info, SEQUENCE, &algorithm, NULL) || !der_next(&info, OCTETS, &key, NULL) || !span_eq(algorithm, h->algorithm))
                return false;
        return rsa_matches(key, h) || ec_matches(key, h);
}

static bool key_matches(struct span pem, const struct half *h)
{
        static const struct {
                const char *label;
                bool (*matches)(struct span der, const struct half *h);
        } forms[] = {{"PRIVATE KEY", pkcs8_matches}, {"EC PRIVATE KEY", ec_matches}, {"RSA PRIVATE KEY", rsa_matches}};
        bool found = false, match = false;
        for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
                struct span rest = pem, text;
                struct der der;
                while (block_next(&rest, forms[i].label, &text)) {
                        if (found) { /* two keys: which one counts is not for us to guess */
                                explicit_bzero(der.b, sizeof der.b);
                                return false;
                        }
                        found = true;
                        match = base64_decode(text, &der) && forms[i].matches(SPAN(der.b, der.n), h);
                        explicit_bzero(der.b, sizeof der.b);
                }
        }
        return match;
}

bool pem_pair_matches(struct span chain, struct span key)
{
        struct der leaf, other;
        struct half h, ignored;
        struct span text;
        if (!block_next(&chain, "CERTIFICATE", &text) || !base64_decode(text, &leaf) || !certificate_half(SPAN(leaf.b, leaf.n), &h))
                return false;
        while (block_next(&chain, "CERTIFICATE", &text))
                if (!base64_decode(text, &other) || !certificate_half(SPAN(other.b, other.n), &ignored))
                        return false;
        return !(chain.n && memmem(chain.p, chain.n, "-----BEGIN", 10)) && key_matches(key, &h);
}
