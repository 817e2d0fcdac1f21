/* l7gw/io/conn.h - one client connection: socket, TLS, protocol choice, deadlines, orderly end.  Layer: l7gw/io.
 * It feeds a session (core/h1_server, core/h2_server) and flushes what the session has put into its out chain, once per
 * loop turn.  Reading stops when the session has no room and goes on when it has: the socket is registered once and never
 * touched.  Thread rule: the worker. */
#pragma once
#include "l7gw/core/h1_server.h"
#include "l7gw/core/h2_server.h"
#include "l7gw/core/proxy_header.h"
#include "l7gw/io/tls.h"
#include "l7gw/io/worker.h"

#define CONN_WAITS(W) /* W(ID): what a connection's one timer is counting */ \
        W(NONE) W(HANDSHAKE) W(HEAD) W(IDLE) W(BODY) W(SEND) W(LINGER) W(GOAWAY) W(SETTINGS)
enum conn_wait {
#define W(id) CONN_WAIT_##id,
        CONN_WAITS(W)
#undef W
        CONN_WAIT_N
};
enum conn_proto { CONN_SNIFF, CONN_H1, CONN_H2 };
struct conn {
        struct loop_fd f;
        struct worker *w;
        struct conn *next, **pprev;
        struct loop_defer defer;
        struct sendop send;
        struct timer timer;
        struct tls *tls;          /* NULL on cleartext */
        struct pipe *pipe;        /* response bytes behind those of the session's out; NULL: none */
        struct buf in;            /* plain text the session has not taken yet */
        struct buf sealed;        /* cipher text not decrypted yet: the session had no room */
        enum conn_proto proto;
        enum conn_wait wait;
        uint32_t wait_epoch;      /* n_requests when the wait began */
        bool readable, writable;
        bool hup;                 /* the peer closed or failed: read to the end */
        bool eof;                 /* the client will send no more */
        bool broken;              /* nothing more can be done: flush what is queued, then close */
        bool dead;                /* closed; freed at the end of the turn */
        bool got, gave;           /* bytes came, went, since the deadline was last set */
        bool lingering;
        bool notified;            /* close_notify is queued */
        bool draining;
        uint8_t goaway;           /* 1: notice, 2: final */
        uint8_t proxy;            /* Model__ProxyProtocol: a PROXY header may, or must, come first; OFF from then on */
        uint32_t linger_left;
        uint64_t settings_due_ms; /* HTTP/2: our SETTINGS are acknowledged by then; 0 = not asked yet */
        struct bind_key key;
        struct ipaddr peer, local; /* of the client as we know it: by the PROXY header, if there was one */
        uint16_t peer_port, local_port;
        char peer_text[IPADDR_STR_MAX];
        const struct worker_gen *bind_gen; /* for which bind was looked up; may dangle: compared only */
        const struct gen_bind *bind;
        union {
                struct h1_server h1;
                struct h2_server *h2;
        };
};
/* Takes fd on success. */
int conn_open(struct worker *w, int fd, const struct bind_key *key, const struct ipaddr *local, uint16_t local_port,
              const struct ipaddr *peer, uint16_t peer_port) MUST_USE;
/* Passes up to max body bytes from fd to the client, unseen; nothing may wait before them (conn_may_pass).  As pipe_fill. */
ssize_t conn_pass(struct conn *c, int fd, size_t max) NONNULL(1) MUST_USE;
bool conn_may_pass(struct conn *c) NONNULL(1); /* cleartext, and all that came before has left for the client */
void conn_output(void *conn); /* struct stream_engine.output */
struct proxy_addrs conn_proxy_addrs(const struct conn *c) NONNULL(1); /* what endpoints that ask for it are told */
const struct gen_bind *conn_bind(struct conn *c) NONNULL(1); /* in the current generation; NULL: it has none */
static inline struct span conn_sni(const struct conn *c)
{
        return c->tls ? SPAN(c->tls->sni, c->tls->sni_n) : SPAN_NULL;
}
int conn_client_hello(SSL *ssl, int *alert, void *arg);

void conns_adopt(struct worker *w) NONNULL(1);     /* a new generation: connections of removed binds drain */
void conns_drain(struct worker *w) NONNULL(1);
void conns_close_all(struct worker *w) NONNULL(1);
void conns_reap(struct worker *w) NONNULL(1);
void conns_free_pools(struct worker *w) NONNULL(1);
