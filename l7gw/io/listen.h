/* l7gw/io/listen.h - a worker's listening sockets: accept, pause when descriptors run out, follow the generation.
 * Layer: l7gw/io.  Thread rule: the worker.  The control thread binds (registry_bind) and calls listen(); from adoption
 * on the worker owns its descriptor of each bind. */
#pragma once
#include "l7gw/io/worker.h"

void listen_adopt(struct worker *w, const struct generation *g)
        NONNULL(1, 2); /* opens what is new, closes what is gone */
void listen_close_all(struct worker *w) NONNULL(1);
void listen_resume(struct timer *t, uint64_t now_ms); /* of worker.accept_timer */
