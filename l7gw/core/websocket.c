/* l7gw/core/websocket.c - see websocket.h.  SHA-1 (RFC 3174) stands here because the protocol names it; it protects
 * nothing, and core knows no crypto library. */
#include "lib/base.h"
#include "l7gw/core/websocket.h"

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 1.3 */

static void base64(const uint8_t *p, size_t n, char *ret)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for (size_t i = 0; i < n; i += 3) {
                uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0u);
                *ret++ = digits[v >> 18];
                *ret++ = digits[v >> 12 & 63];
                *ret++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
                *ret++ = i + 2 < n ? digits[v & 63] : '=';
        }
}

static uint32_t rotl(uint32_t v, unsigned n)
{
        return v << n | v >> (32 - n);
}

static void sha1_block(uint32_t h[5], const uint8_t *p)
{
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (size_t i = 0; i < 16; i++)
                w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
        for (size_t i = 16; i < 80; i++)
                w[i] = rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (size_t i = 0; i < 80; i++) {
                uint32_t f = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999u
                             : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1u
                             : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu
                                      : (b ^ c ^ d) + 0xca62c1d6u;
                uint32_t t = rotl(a, 5) + f + e + w[i];
                e = d;
                d = c;
                c = rotl(b, 30);
                b = a;
                a = t;
        }
        h[0] += a;
        h[1] += b;
        h[2] += c;
        h[3] += d;
        h[4] += e;
}

/* Of at most 119 bytes: a key and the GUID. */
static void sha1(const uint8_t *p, size_t n, uint8_t ret[20])
{
        uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
        uint8_t m[128] = {0};
        BUG_ON(n > 119);
        size_t total = n < 56 ? 64 : 128;
        memcpy(m, p, n);
        m[n] = 0x80;
        m[total - 2] = (uint8_t)(n * 8 >> 8);
        m[total - 1] = (uint8_t)(n * 8);
        for (size_t i = 0; i < total; i += 64)
                sha1_block(h, m + i);
        for (size_t i = 0; i < 20; i++)
                ret[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

void websocket_key(const uint8_t nonce[16], char ret[WS_KEY_N])
{
        base64(nonce, 16, ret);
}

void websocket_accept(struct span key, char ret[WS_ACCEPT_N])
{
        uint8_t text[119], digest[20];
        size_t n = MIN(key.n, sizeof text - (sizeof guid - 1)); /* a longer one is no key, and gets a wrong answer */
        if (n)
                memcpy(text, key.p, n);
        memcpy(text + n, guid, sizeof guid - 1);
        sha1(text, n + sizeof guid - 1, digest);
        base64(digest, sizeof digest, ret);
}
