/* l7gw/core/chars.c - the class tables, computed by the compiler from the grammar's own words. */
#include "lib/base.h"
#include "l7gw/core/chars.h"

#define DIGIT(c) ((c) >= '0' && (c) <= '9')
#define UPPER(c) ((c) >= 'A' && (c) <= 'Z')
#define ALPHA(c) (((c) >= 'a' && (c) <= 'z') || UPPER(c))
#define HEX(c) (DIGIT(c) || ((c) >= 'a' && (c) <= 'f') || ((c) >= 'A' && (c) <= 'F'))
#define TCHAR(c)                                                                                          \
        (ALPHA(c) || DIGIT(c) || (c) == '!' || (c) == '#' || (c) == '$' || (c) == '%' || (c) == '&' ||    \
         (c) == '\'' || (c) == '*' || (c) == '+' || (c) == '-' || (c) == '.' || (c) == '^' || (c) == '_' || \
         (c) == '`' || (c) == '|' || (c) == '~')
#define VCHAR(c) ((c) > 0x20 && (c) < 0x7f)
#define VALUE(c) (VCHAR(c) || (c) >= 0x80 || (c) == ' ' || (c) == '\t')
#define TARGET(c) (VCHAR(c) && (c) != '#' && (c) != '\\')
#define UNRESERVED(c) (ALPHA(c) || DIGIT(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~')
#define SUBDELIM(c)                                                                                             \
        ((c) == '!' || (c) == '$' || (c) == '&' || (c) == '\'' || (c) == '(' || (c) == ')' || (c) == '*' ||     \
         (c) == '+' || (c) == ',' || (c) == ';' || (c) == '=')
#define PCHAR(c) (UNRESERVED(c) || SUBDELIM(c) || (c) == ':' || (c) == '@' || (c) == '/')
#define HOST(c) (UNRESERVED(c) && (c) != '~')

#define CLASS(c)                                                                                              \
        ((TCHAR(c) ? CH_TOKEN : 0) | (VALUE(c) ? CH_VALUE : 0) | (TARGET(c) ? CH_TARGET : 0) |                \
         (PCHAR(c) ? CH_PCHAR : 0) | (UNRESERVED(c) ? CH_UNRESERVED : 0) | (HOST(c) ? CH_HOST : 0) |          \
         (DIGIT(c) ? CH_DIGIT : 0) | (HEX(c) ? CH_HEX : 0))
#define LOWER(c) (uint8_t)(UPPER(c) ? (c) | 0x20 : (c))

#define X4(f, c) f(c), f((c) + 1), f((c) + 2), f((c) + 3)
#define X16(f, c) X4(f, c), X4(f, (c) + 4), X4(f, (c) + 8), X4(f, (c) + 12)
#define X64(f, c) X16(f, c), X16(f, (c) + 16), X16(f, (c) + 32), X16(f, (c) + 48)
#define X256(f) X64(f, 0), X64(f, 64), X64(f, 128), X64(f, 192)

const uint8_t char_classes[256] = { X256(CLASS) };
const uint8_t char_lower[256] = { X256(LOWER) };
const char hex_upper[17] = "0123456789ABCDEF";

bool chars_all(struct span s, enum char_class cls)
{
        uint8_t all = (uint8_t)cls;
        for (size_t i = 0; i < s.n; i++)
                all &= char_classes[s.p[i]];
        return all == (uint8_t)cls;
}

/* The scalar table is the reference; msg_test compares the two over all bytes and lengths. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));

static bytes16 value_bad(const uint8_t *p)
{
        bytes16 v;
        memcpy(&v, p, 16);
        return (bytes16)((v < 0x20) & (v != '\t')) | (bytes16)(v == 0x7f);
}

bool chars_value(struct span s)
{
        if (s.n < 16)
                return chars_all(s, CH_VALUE);
        bytes16 bad = value_bad(s.p + s.n - 16); /* the last 16 overlap what the loop has seen */
        for (size_t i = 0; i + 16 <= s.n; i += 16)
                bad |= value_bad(s.p + i);
        uint64_t half[2];
        memcpy(half, &bad, 16);
        return (half[0] | half[1]) == 0;
}
