/* image/core/recovery.c - see recovery.h. */
#include "lib/base.h"
#include "image/core/recovery.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
#define DIGITS (RECOVERY_BYTES * 8 / 5)

void recovery_text(const uint8_t key[RECOVERY_BYTES], char ret[RECOVERY_TEXT_MAX])
{
        size_t n = 0;
        for (size_t i = 0; i < DIGITS; i++) {
                size_t bit = i * 5, at = bit / 8;
                unsigned two = (unsigned)key[at] << 8 | (at + 1 < RECOVERY_BYTES ? key[at + 1] : 0u);
                if (i && i % 4 == 0)
                        ret[n++] = '-';
                ret[n++] = alphabet[two >> (11 - bit % 8) & 31];
        }
        ret[n] = '\0';
}

/* 0 to 31; 32: no digit. */
static unsigned digit(uint8_t c)
{
        c = c >= 'a' && c <= 'z' ? (uint8_t)(c - 'a' + 'A') : c == '0' ? 'O' : c == '1' ? 'I' : c == '8' ? 'B' : c;
        const char *p = c ? strchr(alphabet, c) : NULL;
        return p ? (unsigned)(p - alphabet) : 32;
}

int recovery_parse(struct span text, uint8_t ret[RECOVERY_BYTES])
{
        uint8_t out[RECOVERY_BYTES] = {0};
        size_t n = 0;
        for (size_t i = 0; i < text.n; i++) {
                uint8_t c = text.p[i];
                unsigned v = digit(c);
                if (c == '-' || c == ' ' || c == '\t' || c == '\r' || c == '\n')
                        continue;
                if (v == 32 || n == DIGITS)
                        return -EINVAL;
                for (size_t k = 0; k < 5; k++, v <<= 1)
                        if (v & 16)
                                out[(n * 5 + k) / 8] |= (uint8_t)(0x80u >> ((n * 5 + k) % 8));
                n++;
        }
        if (n != DIGITS)
                return -EINVAL;
        memcpy(ret, out, sizeof out);
        explicit_bzero(out, sizeof out);
        return 0;
}
