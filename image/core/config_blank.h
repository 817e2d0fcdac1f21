/* image/core/config_blank.h - a gatehouse.cfg without its secrets.  Layer: image/core, pure.  Thread rule: any.
 * The strings of these settings become "(sealed)", which the reader takes for any of them; nothing else changes. */
#pragma once
#include "lib/core/buf.h"

#define CONFIG_SECRETS(S) S("kubeconfig") S("manifests") S("password") S("key")
#define CONFIG_SEALED "(sealed)"
/* How many strings were left out; 0: out is the text as it was.  Text that libconfig would refuse comes out as something. */
size_t config_blank(struct span text, struct buf *out) NONNULL(2);
