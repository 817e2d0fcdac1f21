/* image/core/recovery.h - the recovery key as people write it down: 160 bits in RFC 4648 base32, eight groups of four.
 *   QK7M-2ZTA-...   letters A to Z and digits 2 to 7; case, blanks and hyphens do not matter, and 0, 1 and 8, which the
 * alphabet does not have, are taken for the O, I and B they were written as.  Layer: image/core, pure.  Thread rule: any. */
#pragma once
#include "lib/base.h"

#define RECOVERY_BYTES 20
#define RECOVERY_TEXT_MAX 40 /* with the NUL */
void recovery_text(const uint8_t key[RECOVERY_BYTES], char ret[RECOVERY_TEXT_MAX]) NONNULL(1, 2);
/* -EINVAL: not 32 characters of the alphabet; ret is written only on success. */
int recovery_parse(struct span text, uint8_t ret[RECOVERY_BYTES]) NONNULL(2) MUST_USE;
