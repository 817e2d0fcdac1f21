/* l7gw/core/cookie.h - the pairs of a Cookie line, "a=b; c=d" (RFC 6265 5.4).  Layer: l7gw/core, pure.  Any thread. */
#pragma once
#include "lib/base.h"

/* The next pair of that name: true, its trimmed value, and *line is what follows.  false: there is none any more. */
bool cookie_next(struct span *line, struct span name, struct span *ret) NONNULL(1, 3);
