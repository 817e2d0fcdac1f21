/* agent/core/format.h - checks of text: one function per format of formats.tbl.h, and the scalars' own syntax.
 * Layer: agent/core, pure.  Thread rule: any.  Nothing is ever guessed: each returns whether the text IS that. */
#pragma once
#include "agent/core/formats.tbl.h"
#include "lib/base.h"

enum format {
#define F(id, fn, text) FORMAT_##id,
        FORMATS(F)
#undef F
        FORMAT_N
};
bool format_ok(enum format f, struct span s) MUST_USE;
const char *format_str(enum format f); /* "must be ..." */

/* A decimal integer: optional "-", digits, no leading zero, nothing else ("0755", "1e3" and "0x10" are not). */
bool text_int(struct span s, int64_t *ret) NONNULL(2) MUST_USE;
/* GEP-2257: one to four of number (1-5 digits) and h, m, s or ms.  Beyond 49 days it stays at UINT32_MAX. */
bool text_duration_ms(struct span s, uint32_t *ret) NONNULL(2) MUST_USE;
/* RFC 3339 date and time to Unix seconds: "2026-08-21T10:00:00Z", fractions dropped, offsets applied. */
bool text_time(struct span s, int64_t *ret) NONNULL(2) MUST_USE;
/* Base64 (RFC 4648 section 4), strict: padding required, stray bits refused; line ends are skipped as the API server
 * does. out has room for base64_room(s.n) bytes. */
static inline size_t base64_room(size_t n) { return n / 4 * 3 + 3; }
bool text_base64(struct span s, uint8_t *out, size_t *ret_n) NONNULL(2, 3) MUST_USE;
