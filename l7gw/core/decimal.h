/* l7gw/core/decimal.h - numbers as text without printf, for what is written once per request.  Layer: l7gw/core, pure.
 */
#pragma once
#include "lib/base.h"

#define DECIMAL_MAX 20
static inline size_t decimal_put(char *out, uint64_t v) /* no NUL; at most DECIMAL_MAX bytes */
{
        char text[DECIMAL_MAX];
        size_t n = 0;
        do
                text[DECIMAL_MAX - ++n] = (char)('0' + v % 10);
        while (v /= 10);
        memcpy(out, text + DECIMAL_MAX - n, n);
        return n;
}
static inline void decimal_fixed(char *out, uint64_t v, unsigned digits) /* leading zeros, the last `digits` of v */
{
        while (digits-- > 0) {
                out[digits] = (char)('0' + v % 10);
                v /= 10;
        }
}
static inline size_t hex_put(char *out, uint64_t v) /* lower case, at most 16 bytes */
{
        unsigned digits = v ? (67u - (unsigned)__builtin_clzll(v)) / 4 : 1;
        for (unsigned i = digits; i-- > 0; v >>= 4)
                out[i] = "0123456789abcdef"[v & 15];
        return digits;
}
