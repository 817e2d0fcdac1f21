/* agent/io/push_priv.h - what the files of the push side share.  Layer: agent/io; private to push*.c. */
#pragma once
#include "agent/io/push.h"
#include "lib/core/frame.h"
#include "lib/core/map.h"

#define PUSH_DEAD_PINGS 3  /* silent for so many ping intervals = dead */
#define STATUS_MAX_BYTES (16u << 20) /* one STATUS, all its frames */
#define PUSH_RETRY_MS 1000 /* after a NACK that says it is worth trying again */

#define MEMBER_STATES(S) /* S(STATE, "name", legal next) */ \
        S(ABSENT, "absent", B(IDLE)) \
        S(IDLE, "idle", B(OFFERED) | B(ABSENT)) \
        S(OFFERED, "offered", B(PREPARED) | B(IDLE) | B(ABSENT)) /* MANIFEST sent */ \
        S(PREPARED, "prepared", B(ACTIVATING) | B(IDLE) | B(ABSENT)) \
        S(ACTIVATING, "activating", B(IDLE) | B(ABSENT)) /* ACTIVATE sent */
enum member_state {
#define S(id, name, next) MEMBER_##id,
        MEMBER_STATES(S)
#undef S
        MEMBER_STATE_N
};
/* A manifest with the number of the last endpoint change it already holds. */
struct offer { struct manifest *m; uint64_t stamp; };

struct push_peer;
struct group;
struct member {
        struct push *p;
        struct group *g;
        char *name;
        Control__Role role;
        enum member_state state;
        struct push_peer *peer;   /* NULL when ABSENT */
        struct offer active, inflight;
        uint64_t gone_ms;
        uint64_t generation;      /* as it says */
        bool late;
        struct timer timer;       /* OFFERED..ACTIVATING: late at; IDLE: offer again at */
        char *refused;            /* why it does not take refused_hash */
        char refused_of[600];     /* "HTTPRoute ns/name"; "" = the refusal names no object */
        struct sha256 refused_hash;
        bool has_hello_hash;      /* it has not been sent anything yet; what it serves: */
        struct sha256 hello_hash;
        char version[64];
        Control__Status *status, *status_parts; /* parts: of one that has not fully come */
        size_t status_bytes;      /* of the frames of status_parts */
};
struct overlay_set { char *id; uint64_t seq; struct blob *packed; /* model.EndpointSet */ };
struct group { /* a shard pool, or the front tier */
        char *pool;               /* "" = front tier */
        struct offer target, good; /* good: some member is or was ACTIVE at it */
        struct map overlay;       /* set id -> struct overlay_set: endpoints newer than some manifest */
};
enum plan_state { PLAN_IDLE, PLAN_POOLS, PLAN_FRONT, PLAN_DRAIN, PLAN_STATE_N };
struct plan { struct offer *pools; struct offer front; bool set; }; /* pools: parallel to push.groups[0..n_pools) */
struct push {
        struct loop *loop;
        struct transport_listener *listener;
        struct tls_listener **tls; size_t n_tls;
        struct credentials *credentials; /* NULL: Unix sockets only */
        const struct push_ops *ops;
        void *arg;
        char *agent_name;
        uint32_t prepare_timeout_ms, drain_ms, ping_ms;
        struct group *groups; size_t n_pools; /* groups[n_pools] is the front tier */
        struct member *members; size_t n_members;
        struct push_peer *peers;  /* all connections, HELLO or not */
        struct plan now, next;
        enum plan_state state;
        uint64_t plan_started_ms;
        struct timer plan_timer;
        struct manifest *front_before; /* what the front tier did until drain_until_ms ago */
        uint64_t drain_until_ms;
        bool retained;
        struct loop_defer step;   /* plan_step at the end of the turn */
        uint64_t endpoint_seq;    /* counts endpoint changes: tells which a manifest holds */
        uint64_t max_generation;
        metric_t counters[PUSH_COUNTER_N];
};

/* push.c */
void offer_set(struct offer *to, struct manifest *m, uint64_t stamp); /* takes its own reference; m may be NULL */
bool same_hash(const struct manifest *a, const struct manifest *b);   /* false when one is NULL */
const char *group_name(const struct group *g);

/* push_endpoints.c */
void overlay_send(struct member *m); /* what m's active manifest does not hold yet */
bool overlay_newer(const struct group *g, uint64_t stamp);
void overlay_trim(struct group *g);  /* forgets what the good manifest holds */
void overlay_free(struct overlay_set *o);

/* push_member.c, called by push.c */
const char *member_state_str(enum member_state s);
void member_offer(struct member *m);  /* the group's target, if it can take one now */
void member_recognise(struct member *m, const struct offer *o);
bool member_is_held(const struct member *m);
void member_timer(struct timer *t, uint64_t now_ms);
void group_activate(struct push *p, struct group *g);

/* push_member.c, called by push_peer.c */
struct member *member_find(struct push *p, const char *name);
void member_connected(struct member *m, struct push_peer *peer, const Control__Hello *h);
void member_gone(struct member *m, const char *why);
void member_prepared(struct member *m, const struct sha256 *hash);
void member_active(struct member *m, const Control__Active *a, const struct sha256 *hash);
void member_nack(struct member *m, const Control__Nack *n, const struct sha256 *hash);
int member_status(struct member *m, Control__Status *st, size_t n_bytes); /* takes st; < 0 closes the connection */
void member_status_forget(struct member *m);

/* push_peer.c, called by push.c */
void peer_accept(void *push, const struct transport_conn *conn);
void peer_refused(void *push); /* counts a handshake that failed */
void peers_free(struct push *p);
const char *peer_text(const struct push_peer *peer);
void peer_detach(struct push_peer *peer, const char *why); /* closes; the member is told nothing */
int peer_send(struct push_peer *peer, enum frame_type type, const ProtobufCMessage *m);
int peer_send_manifest(struct push_peer *peer, const struct manifest *m);
