/* l7gw/core/pem_pair.h - do a certificate and a private key belong together, as far as their bytes tell?  Layer: l7gw/core, pure.
 * A walk over PEM and DER (RFC 7468, 5280, 5208, 5915, 8017) that compares the public halves, two hundred times cheaper than parsing
 * both: ten thousand pairs are checked within PREPARE.  It proves or it does not know; whatever it does not know goes to OpenSSL.
 * Any thread. */
#pragma once
#include "lib/base.h"

/* True: chain_pem is certificates by their outline, key_pem one private key without passphrase (RSA, or EC with its public half), and
 * the key's public half is the one in the first certificate.  False: perhaps not.  Curve points and signatures are not looked at. */
bool pem_pair_matches(struct span chain_pem, struct span key_pem) MUST_USE;
