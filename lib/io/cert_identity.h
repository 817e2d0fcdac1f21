/* lib/io/cert_identity.h - who a certificate of the control socket is for.  Layer: lib/io; needs libcrypto, no libssl.
 * Thread rule: any. */
#pragma once
#include "lib/core/identity.h"

struct x509_st;
/* The one gatehouse: URI among its alternative names (others may stand beside it): 0, or -EINVAL and why (a literal). */
int cert_identity(const struct x509_st *cert, struct identity *ret, const char **ret_why) NONNULL(1, 2, 3) MUST_USE;
