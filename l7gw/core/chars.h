/* l7gw/core/chars.h - character classes of HTTP and URI grammar, one table lookup per byte.  Layer: l7gw/core, pure.
 * Immutable data; any thread. */
#pragma once
#include "lib/base.h"

enum char_class {
        CH_TOKEN = 1,       /* tchar, RFC 9110 5.6.2 */
        CH_VALUE = 2,       /* in a field value: VCHAR, obs-text, SP, HTAB (RFC 9110 5.5) */
        CH_TARGET = 4,      /* in path or query as received: VCHAR but "#" and "\" (requirement 27) */
        CH_PCHAR = 8,       /* pchar or "/", RFC 3986 3.3, without "%": legal in a path as it is */
        CH_UNRESERVED = 16, /* RFC 3986 2.3 */
        CH_HOST = 32,       /* in a host name: unreserved but "~" (we accept no sub-delims and no percent-encoding) */
        CH_DIGIT = 64,
        CH_HEX = 128,
};
extern const uint8_t char_classes[256];
extern const uint8_t char_lower[256]; /* ASCII lower case */

static inline bool char_is(uint8_t c, enum char_class cls) { return (char_classes[c] & cls) != 0; }
/* True when every byte of s is of the class (true for an empty s). */
bool chars_all(struct span s, enum char_class cls);
bool chars_value(struct span s); /* chars_all(s, CH_VALUE), 16 bytes at a time */
static inline uint8_t hex_value(uint8_t c) /* c is CH_HEX */
{
        return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}
extern const char hex_upper[17];
