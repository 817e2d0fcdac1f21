/* lib/io/secretbox.h - bytes that are stored encrypted: AES-256-GCM under a key of 32 bytes.  Layer: lib/io (random nonces).
 *   "GHS1" | nonce 12 | ciphertext | tag 16
 * `about` says what the bytes are (their hash, their name): it is authenticated and not stored, so that one box cannot be put in
 * another's place.  Thread rule: any thread. */
#pragma once
#include "lib/base.h"

#define SECRETBOX_KEY_BYTES 32
#define SECRETBOX_OVERHEAD_BYTES 32
#define SECRETBOX_MAX_BYTES ((size_t)1 << 30)

/* ret holds text.n + SECRETBOX_OVERHEAD_BYTES bytes and is no part of text.  0, -EFBIG or -EIO. */
int secretbox_seal(const uint8_t key[SECRETBOX_KEY_BYTES], struct span about, struct span text, uint8_t *ret) NONNULL(1, 4) MUST_USE;
/* In place: ret_text lies in p.  -EBADMSG: cut short, changed, about something else, or under another key; p holds no text then. */
int secretbox_open(const uint8_t key[SECRETBOX_KEY_BYTES], struct span about, uint8_t *p, size_t n, struct span *ret_text) NONNULL(1, 3, 5) MUST_USE;
/* HKDF-SHA256 (RFC 5869): one secret, many keys, one for each `what`.  from: at least 16 bytes of randomness. */
void secretbox_derive(struct span from, struct span salt, const char *what, uint8_t ret[SECRETBOX_KEY_BYTES]) NONNULL(3, 4);
