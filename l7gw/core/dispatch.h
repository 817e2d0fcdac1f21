/* l7gw/core/dispatch.h - what to do with one request: answer it here, or forward it to a cluster.  Layer: l7gw/core,
 * pure. The whole decision in one place: refused methods, misdirection, listener, route, redirect, fixed answer,
 * filters, leg. Thread rule: one worker; the tables are immutable. */
#pragma once
#include "l7gw/core/reasons.tbl.h"
#include "l7gw/core/route.h"
#include "l7gw/core/stream.h"

/* How this shard shows itself, from its settings; immutable. */
enum server_field { SERVER_PASS, SERVER_HIDE, SERVER_SET };
struct dispatch_self {
        struct span via; /* our name in Via; empty: we add none, and see no loops */
        enum server_field server_field;
        struct span server; /* SERVER_SET */
};
struct dispatch_in {
        const struct dispatch_self *self;
        const struct route_bind *bind; /* NULL: the bind is gone from this generation */
        bool tls;
        struct span sni;     /* lower case, empty when none was sent */
        struct span peer;    /* the client's address as text */
        bool peer_trusted;   /* its X-Forwarded-* are believed */
        struct span client_cert; /* X-Forwarded-Client-Cert of this connection: its certificate was verified; empty: none */
        char request_id[33]; /* 32 hex digits; used unless a trusted peer sent one */
        uint8_t nonce[16];   /* random: for a key of WebSocket */
        uint64_t now_s;      /* Unix time */
        /* Has that cluster an endpoint of this token?  Asked for routes with session persistence. */
        bool (*has_endpoint)(void *arg, uint32_t cluster_index, uint64_t token);
        void *arg;
        uint64_t rnd; /* where in the weights this request falls: evenly spread from request to request */
};
struct dispatch {
        enum reason reason; /* REASON_NONE = forward */
        const struct dispatch_self *self;
        unsigned status;
        const struct route_listener *listener; /* NULL when no listener matched */
        const struct route_rule *rule;
        const Model__RouteEntry *entry;
        const struct route_leg *leg; /* set when forwarding, or when its redirect answers */
        uint64_t session;     /* the endpoint this client's session is on; 0 = none */
        uint64_t hash;        /* what the cluster's hash policy makes of the request; 0 = nothing */
        uint64_t endpoint;    /* set by the caller: the one that answers */
        bool tls;
        uint64_t now_s;
        const Model__Fixed *fixed;
        bool grpc_deadline;   /* the client's own, by grpc-timeout */
        struct span location; /* REASON_REDIRECT */
        const struct cors *cors; /* what its responses have to say to the origin; NULL = nothing */
        struct span origin;
};
/* Decides and edits s->req into what goes upstream (filters, X-Forwarded-*, X-Request-Id). */
void dispatch_request(struct stream *s, const struct dispatch_in *in, struct dispatch *ret) NONNULL(1, 2, 3);
/* Response filters of leg and rule on s->resp; -ENOMEM or -EINVAL. */
int dispatch_response(struct stream *s, const struct dispatch *d) NONNULL(1, 2) MUST_USE;
/* Makes s->resp a local answer and *ret_body its body (empty for HEAD). -ENOMEM when the arena is full. */
int dispatch_reply(struct stream *s, const struct dispatch *d, struct span *ret_body) NONNULL(1, 2, 3) MUST_USE;
