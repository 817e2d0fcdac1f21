/* lib/core/identity.h - who a peer on the control socket is, as the URI in its certificate says.  Layer: lib/core, pure.
 *
 *   gatehouse://agent/NAME      gatehouse://l4/NAME      gatehouse://l7/POOL/NAME
 *
 * The words are letters, digits, '.', '_' and '-' (RFC 3986 2.3 without '~': nothing needs an escape, so two different
 * texts are two different peers), 1 to 63 of them, not "." nor "..". */
#pragma once
#include "lib/base.h"

#define IDENTITY_SCHEME "gatehouse://"
#define IDENTITY_WORD_MAX 63
#define IDENTITY_URI_MAX (sizeof IDENTITY_SCHEME + 2 * (IDENTITY_WORD_MAX + 1) + 6)
enum identity_role { IDENTITY_AGENT, IDENTITY_L4, IDENTITY_L7, IDENTITY_ROLE_N };
struct identity {
        enum identity_role role;
        char pool[IDENTITY_WORD_MAX + 1]; /* "" unless l7 */
        char name[IDENTITY_WORD_MAX + 1];
};
int identity_parse(struct span uri, struct identity *ret) NONNULL(2) MUST_USE; /* 0 or -EINVAL */
/* From words: pool is NULL or "" unless the role is l7.  0 or -EINVAL. */
int identity_make(enum identity_role role, const char *pool, const char *name, struct identity *ret) NONNULL(3, 4) MUST_USE;
const char *identity_uri(const struct identity *id, char ret[IDENTITY_URI_MAX]) NONNULL(1, 2);
bool identity_eq(const struct identity *a, const struct identity *b) NONNULL(1, 2);
const char *identity_role_str(enum identity_role r); /* "agent", "l4", "l7" */
/* IDENTITY_ROLE_N: no such role. */
enum identity_role identity_role_of(struct span word);
