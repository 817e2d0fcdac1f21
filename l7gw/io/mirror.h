/* l7gw/io/mirror.h - copies of requests for other backends, whose answers nobody reads.  Layer: l7gw/io.
 * A mirror is an exchange with a session that throws everything away: it has its own connection, deadline and copy of the
 * head, and shares nothing with the request it was made from but the moments when body bytes arrive.  A backend that takes
 * them too slowly loses its copy (L7_MIRROR_BYTES); a mirror never makes the request wait, and never fails it.
 * Mirrors are not retried, not logged, and end with the worker's drain.  Thread rule: the worker. */
#pragma once
#include "l7gw/io/proxy.h"

void mirror_start(struct exchange *x) NONNULL(1); /* the request is decided: copies it to whom the dice choose */
void mirror_data(struct exchange *x, struct span d) NONNULL(1);
void mirror_end(struct exchange *x) NONNULL(1);   /* the body is complete */
void mirror_leave(struct exchange *x) NONNULL(1); /* the request ends: whole copies go on alone, others are cut */
void mirrors_close_all(struct worker *w) NONNULL(1);
void mirrors_reap(struct worker *w) NONNULL(1);
