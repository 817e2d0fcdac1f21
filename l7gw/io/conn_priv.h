/* l7gw/io/conn_priv.h - between conn.c (life, deadlines, the end) and conn_io.c (the bytes).  Layer: l7gw/io; private
 * to them. Thread rule: the worker.
 *
 *   recv ─▶ (conn_proxy_feed) ─▶ conn_tls_feed ─▶ conn_feed ─▶ session          any of these may close the connection: c->dead
 *   sendq ◀─ tls.wire ◀─ session's out
 *
 * in and sealed hold what the next step had no room for; memory only while bytes wait. */
#pragma once
#include "l7gw/io/conn.h"

void conn_close(struct conn *c) NONNULL(1);
int conn_release(struct conn *c) NONNULL(1); /* before it has a session: c is over, its socket goes on and still counts */
struct chain *conn_session_out(struct conn *c) NONNULL(1); /* NULL before the protocol is known */
size_t conn_session_room(struct conn *c) NONNULL(1);       /* plain text bytes the session takes now */
bool conn_tls_choked(const struct conn *c) NONNULL(1);     /* TLS's own answers wait: read no more */
size_t conn_read_room(struct conn *c) NONNULL(1);          /* bytes to take from the socket now */
bool conn_pump(struct conn *c) NONNULL(1); /* shows the session what waits in c->in; true: it took some */
void conn_feed(struct conn *c, struct span in) NONNULL(1);     /* plain text */
void conn_tls_feed(struct conn *c, struct span in) NONNULL(1); /* cipher text; empty: what waits in c->sealed */
void conn_proxy_feed(struct conn *c, struct span in) NONNULL(1); /* bytes while c->proxy is set: its header, then the rest goes on */
void conn_eof(struct conn *c) NONNULL(1);
void conn_read(struct conn *c) NONNULL(1); /* until the socket is empty or there is no room */
bool conn_pipe_send(struct conn *c) NONNULL(1) MUST_USE; /* false: the client is gone */
size_t conn_unsent(struct conn *c) NONNULL(1);
bool conn_has_input(struct conn *c) NONNULL(1); /* bytes wait, here or in the socket, to be looked at again */
void conn_rest(struct conn *c) NONNULL(1); /* nothing more to do now: the end, or the next deadline */
extern const struct sendop_kind conn_sends;
