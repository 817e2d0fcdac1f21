/* image/io/signature.h - who may sign updates: Ed25519 keys in directories.  Layer: image/io.  Thread rule: one thread.
 */
#pragma once
#include "lib/base.h"

#define SIGNATURE_KEYS_MAX 32
/* signatures: one to four of 64 bytes; one of them by one key in DIR/\*.pem is enough.  A directory that is not there
 * has no keys; a file that is no Ed25519 public key is an error: a box that silently lost its keys could not be
 * updated. -EKEYREJECTED when no key fits, -ENOKEY when there is none. */
int signature_verify(const char *const *dirs, size_t n_dirs, struct span text, struct span signatures,
                     struct err *reterr) NONNULL(1) MUST_USE;
