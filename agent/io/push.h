/* agent/io/push.h - the agent's side of the control socket: every data plane gets its manifest by PREPARE/ACTIVATE.
 * Layer: agent/io.  Thread rule: the loop's thread.
 *
 *  offer(translation)                        one plan at a time; a newer offer replaces the one that waits
 *     POOLS  each pool: MANIFEST to all its shards, all PREPARED (or late) -> ACTIVATE to all, all ACTIVE
 *     FRONT  the same for the l4 members, only after the pools: what they send traffic to is there
 *     DRAIN  Gateways that left a pool are kept there (agent/core/retain.h) until the front tier has let go of them
 *  A data plane that connects gets the target of its group at once, unless it serves it already (same hash: nothing sent).
 *  One that does not answer in prepare_timeout_ms is late: the others go on, it gets the newest when it answers.
 *  A NACK drops the manifest for its whole group and is handed to ops->refused, which quarantines the object and offers
 *  again; when it cannot, the group stays at its last good manifest and says why.
 *  A data plane on another box is by TLS who its certificate says: HELLO must name the same name, role and pool, so that no
 *  shard gets another pool's keys.  On this box, by Unix socket, its user vouches for it.
 *  Endpoint sets travel beside all this (push_endpoints), to data planes as they are, and again after each ACTIVE. */
#pragma once
#include "agent/core/status.h"
#include "agent/core/translate.h"
#include "lib/control.pb-c.h"
#include "lib/core/metrics.h"
#include "lib/io/tls_listen.h"

#define PUSH_COUNTERS(C) \
        C(CONNECTIONS, "connections_total", "Data planes that said HELLO") \
        C(REFUSED_PEERS, "refused_peers_total", "Peers refused: unknown name, role or pool, or a broken protocol") \
        C(REFUSED_HANDSHAKES, "refused_handshakes_total", "TLS connections refused before they were anybody's") \
        C(MANIFESTS, "manifests_sent_total", "MANIFEST frames sent") \
        C(SECTIONS, "sections_sent_total", "Sections sent") \
        C(SECTION_BYTES, "section_bytes_total", "Bytes of sections sent") \
        C(PREPARED, "prepared_total", "PREPARED frames received") \
        C(NACKS, "nacks_total", "NACK frames received") \
        C(ACTIVES, "actives_total", "ACTIVE frames received") \
        C(LATE, "late_total", "Data planes that did not answer in time") \
        C(ENDPOINT_SETS, "endpoint_sets_sent_total", "Endpoint sets sent beside manifests") \
        C(DEAD_PEERS, "dead_peers_total", "Connections closed for silence")
enum push_counter {
#define X(id, name, help) PUSH_##id,
        PUSH_COUNTERS(X)
#undef X
        PUSH_COUNTER_N
};
extern const struct metric_desc push_counter_desc[PUSH_COUNTER_N];

struct push_member_conf { const char *name; Control__Role role; const char *pool; /* "" for l4 */ };
struct push_conf {
        const char *agent_name, *socket;
        const uint32_t *uids; size_t n_uids;
        const struct control_addr *tls; size_t n_tls; /* where other boxes' data planes dial, by TLS */
        struct credentials_conf credentials;          /* when n_tls */
        const struct push_member_conf *members; size_t n_members; /* names are unique */
        uint32_t prepare_timeout_ms, drain_ms;
        uint32_t ping_ms; /* a peer silent for three of these is dead */
};
struct push_ops {
        void (*changed)(void *arg); /* acks or connections changed: statuses may have; called often */
        /* A data plane refused an object.  true: it is quarantined and push_offer follows (now or later). */
        bool (*refused)(void *arg, const Control__Nack *n, const char *member);
        /* A data plane came that would be sent a manifest older than endpoint sets sent beside it: push_offer one that has
         * them, at once. */
        void (*outdated)(void *arg);
};
struct push;
int push_new(struct loop *l, const struct push_conf *conf, const struct push_ops *ops, void *arg, struct push **ret,
             struct err *reterr) MUST_USE;
void push_free(struct push *p);
/* The wanted configuration; borrows t for the call (manifests are refcounted).  Pools are those of the configuration. */
void push_offer(struct push *p, const struct translation *t);
/* Sets of one pool that changed since the translation they belong to. */
void push_endpoints(struct push *p, const char *pool, Model__EndpointSet *const *sets, size_t n);

struct push_member_view { /* borrowed until the next turn */
        const char *name, *pool;
        Control__Role role;
        bool connected, late;
        const char *state;              /* "absent", "idle", "offered", "prepared", "activating" */
        const char *peer, *version;     /* "" when absent */
        const struct manifest *active, *target;
        uint64_t generation;            /* of the active manifest, as the data plane says */
        uint64_t gone_ms;
        const char *refused;            /* NULL = no */
        const Control__Status *status;  /* the last one, or NULL */
};
size_t push_n_members(const struct push *p);
void push_member(const struct push *p, size_t i, struct push_member_view *ret);
struct dp_ack push_ack(const struct push *p, size_t i);
uint64_t push_max_generation(const struct push *p); /* the highest one any data plane has told of: ours must exceed it */
const char *push_plan_state(const struct push *p); /* "idle", "pools", "front", "drain" */
const metric_t *push_counters(const struct push *p); /* PUSH_COUNTER_N of them */
