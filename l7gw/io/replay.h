/* l7gw/io/replay.h - the second life of a request: what is kept of its body, and the wait before it is sent again.
 * Layer: l7gw/io; the policy is core/retry's.  Thread rule: the worker. */
#pragma once
#include "l7gw/io/proxy.h"

void replay_init(struct exchange *x) NONNULL(1);
void replay_begin(struct exchange *x) NONNULL(1);                 /* the route is known: counts it, starts keeping */
void replay_keep(struct exchange *x, struct span d) NONNULL(1);   /* d is being sent to the endpoint */
void replay_drop(struct exchange *x) NONNULL(1); /* no further try: frees what is kept, stops waiting */
/* The try has failed; nothing is attached any more.  Waits and sends again, or fails. */
void replay_failed(struct exchange *x, enum reason r, bool nothing_sent) NONNULL(1);
/* A response with this status has come.  true: throw it away, call replay_again() when its connection is let go. */
bool replay_wants(struct exchange *x, unsigned status) NONNULL(1) MUST_USE;
void replay_again(struct exchange *x) NONNULL(1);
