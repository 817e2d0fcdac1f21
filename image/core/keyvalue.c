/* image/core/keyvalue.c - see keyvalue.h. */
#include "lib/base.h"
#include "image/core/keyvalue.h"

bool keyvalue_get(struct span text, const char *key, struct span *ret)
{
        size_t k = strlen(key);
        while (text.n) {
                const uint8_t *end = memchr(text.p, '\n', text.n);
                size_t n = end ? (size_t)(end - text.p) : text.n;
                if (n > k && memcmp(text.p, key, k) == 0 && text.p[k] == '=') {
                        *ret = SPAN(text.p + k + 1, n - k - 1);
                        return true;
                }
                n += end != NULL;
                text = SPAN(text.p + n, text.n - n);
        }
        return false;
}

void keyvalue_put(struct buf *b, const char *key, struct span value)
{
        buf_str(b, key);
        buf_str(b, "=");
        for (size_t i = 0; i < value.n; i++) {
                uint8_t c = value.p[i] < 0x20 || value.p[i] == 0x7f ? ' ' : value.p[i];
                buf_add(b, &c, 1);
        }
        buf_str(b, "\n");
}
