/* l7gw/core/stream.h - one request and its response, whichever protocol carries them.  Layer: l7gw/core, pure.
 *
 *      session (h1_server, h2_server)            engine (l7gw/io/proxy)
 *        request, req_data, req_end      ──▶       routes, filters, picks an endpoint, sends
 *        head, data, end, cut            ◀──       what comes back
 *
 * Back-pressure is a window number: whoever sends asks the other side's room() first and is told by a call (resp_room,
 * drained) when room has grown.  Nobody stores more than room() promised plus one read.
 * Ownership: the engine allocates a stream in open() and frees it in close(); between the two the session owns it.
 * After end() or cut() the engine must not touch the stream again, except in close().
 * An upgrade (WebSocket) has one normal form, HTTP/1.1's: a GET with req.upgrade, accepted by resp.status 101.  Then
 * s->tunnel is set before head(): req_data and data carry its bytes, req_end and end its two halves' ends.
 * A stream owns one arena: everything about the exchange lives there and dies in one call.  Thread rule: one worker. */
#pragma once
#include "l7gw/core/chain.h"
#include "l7gw/core/msg.h"

/* clang-format off */
#define STREAM_STATES(S) /* S(STATE, may be followed by) */ \
        S(HEAD, STREAM_BIT(ROUTE) | STREAM_BIT(LOCAL) | STREAM_BIT(CLOSED))     /* reading the request head */ \
        S(ROUTE, STREAM_BIT(CONNECT) | STREAM_BIT(LOCAL) | STREAM_BIT(CLOSED))  /* head complete, choosing */ \
        S(CONNECT, STREAM_BIT(SEND) | STREAM_BIT(LOCAL) | STREAM_BIT(CLOSED))   /* a connection is being made */ \
        S(SEND, STREAM_BIT(CONNECT) | STREAM_BIT(RELAY) | STREAM_BIT(LOCAL) | STREAM_BIT(CLOSED)) /* request sent */ \
        S(RELAY, STREAM_BIT(CLOSED))                                            /* response head passed on */ \
        S(LOCAL, STREAM_BIT(CLOSED))                                            /* we answer ourselves */ \
        S(CLOSED, 0u)
/* clang-format on */
enum stream_state {
#define S(id, next) STREAM_##id,
        STREAM_STATES(S)
#undef S
        STREAM_STATE_N
};
#define STREAM_BIT(id) (1u << STREAM_##id)
const char *stream_state_str(enum stream_state s);

struct stream;
struct stream_down { /* what a session offers to the engine */
        void (*interim)(struct stream *s, const struct msg *m); /* a 1xx head */
        void (*head)(struct stream *s);                         /* s->resp is the final head */
        void (*data)(struct stream *s, struct span d);          /* borrows d for the call */
        void (*end)(struct stream *s);                          /* complete; trailers, if any, in s->resp_trailers */
        void (*cut)(struct stream *s);                          /* cut: the client must be able to see it */
        size_t (*room)(const struct stream *s);                 /* response bytes it will take now */
        void (*drained)(struct stream *s, size_t n);            /* n more request body bytes went out upstream */
};
struct stream_engine { /* what the engine offers to a session */
        struct stream *(*open)(void *conn);                     /* NULL: overload */
        void (*request)(struct stream *s);                      /* s->req is complete; req_done: no body follows */
        void (*refuse)(struct stream *s, unsigned status, const char *why); /* malformed: answer this, no more */
        void (*req_data)(struct stream *s, struct span d);      /* at most what req_room promised, plus one read */
        void (*req_end)(struct stream *s);                      /* body complete; trailers in s->req_trailers */
        size_t (*req_room)(const struct stream *s);
        void (*resp_room)(struct stream *s);                    /* the session's room has grown */
        void (*close)(struct stream *s);                        /* the session is done with it: s->complete tells */
        void (*output)(void *conn);                             /* bytes wait in the session's out chain */
};

struct stream_up { /* l7gw/core/h2_client: while the stream is one of an HTTP/2 connection to an endpoint */
        struct stream *next, **pprev;
        int32_t id;
        uint32_t list_bytes, interims;
        size_t unread; /* of the window: passed on to a client that has no room */
        bool head;     /* the final response head is complete */
        bool sending;  /* END_STREAM has not been sent */
        bool was_reset; /* by the endpoint */
        bool bad, too_large;
};
struct stream {
        struct arena arena;
        enum stream_state state;
        const struct stream_down *down;
        void *session;
        void *conn;
        struct stream *next, **pprev; /* the session's list */
        int32_t id;                   /* HTTP/2 stream id, else 0 */
        struct msg req, req_trailers, resp, resp_trailers;
        struct chain req_body;        /* request body waiting for an upstream connection */
        struct chain resp_body;       /* response body waiting for the HTTP/2 window */
        uint64_t req_bytes, resp_bytes; /* body bytes accepted from the client, handed to the session */
        uint64_t resp_sent;           /* HTTP/2: of resp_bytes, those the client's window has taken */
        uint64_t req_drained;         /* of req_bytes: already reported by drained() */
        bool req_done;                /* the whole request has been received */
        bool resp_head, resp_done;    /* head() and end() have been called */
        bool complete;                /* the session has passed on the whole response */
        bool continued;               /* 100 was sent */
        bool tunnel;                  /* the upgrade was accepted: bytes both ways until both have ended */
        bool resp_plain;              /* HTTP/1, after head(): body bytes go to the socket as they are, so whoever has them may send
                                       * them there himself, behind what the session has queued */
        bool resp_waits;              /* the engine found no room: it wants resp_room() */
        struct stream_up up;
        /* HTTP/2 only: what is gathered before the head is complete */
        struct span h2_path, h2_protocol;
        bool h2_connect;              /* extended CONNECT (RFC 8441); s->req says GET with upgrade */
        struct span ws_accept;        /* what an HTTP/1.1 endpoint must answer to the key we made */
        uint32_t h2_list_bytes;
        bool h2_provider, h2_too_large, h2_bad, h2_bad_expect;
};
void stream_init(struct stream *s, struct chunk_pool *pool) NONNULL(1, 2); /* the arena is ready, the rest is reset */
void stream_reset(struct stream *s) NONNULL(1);                           /* drops bodies and arena contents */
void stream_set(struct stream *s, enum stream_state to) NONNULL(1);       /* BUG on an illegal edge */
static inline bool stream_has_body(const struct msg *m)
{
        return m->framing == BODY_CHUNKED || m->framing == BODY_CLOSE ||
               (m->framing == BODY_LENGTH && m->content_length > 0);
}
