/* l7gw/io/tunnel.h - bytes between a client and an endpoint, unseen: TLS passed through by server name, or ended here and
 * the plain text handed on as TCP.  Layer: l7gw/io.  Thread rule: the worker.
 *
 *   client ◀─▶ down (TLS or not) ◀─▶ two queues of buffer_bytes ◀─▶ up (TLS or not) ◀─▶ endpoint
 *
 * What one side has no room for is not read from the other.  The halves end on their own: an end (FIN, close_notify) is
 * passed on when all before it has been sent; an abort of one side is one of the other.  A tunnel outlives generations;
 * it is cut when the drain of the worker ends, or when nothing has moved for the tunnel's idle time. */
#pragma once
#include "l7gw/io/conn.h"

/* Takes over c's socket (and its TLS, where that is established) for listener rl of the current generation; c is over
 * then.  raw: bytes the client has sent that go to the endpoint first. */
void tunnel_open(struct conn *c, const struct route_listener *rl, struct span raw) NONNULL(1, 2);
void tunnels_close_all(struct worker *w) NONNULL(1);
void tunnels_reap(struct worker *w) NONNULL(1);
