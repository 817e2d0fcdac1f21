/* l4lb/core/backend.h - the registry of backends: a small index per backend that is stable over generations, and the
 * published word that workers read.  Layer: l4lb/core, pure.
 * Thread rule: the control thread writes; workers only call backend_word.  An index is given to another backend only
 * after backends_reclaim, i.e. after a grace period, and then with another epoch: a flow that still carries the old
 * (index, epoch) sees that its backend is gone.
 *
 *   word:  bits 0..15 adjacency (neighbour index) | 16..31 epoch | 32 used | 33 alive | 34 behind a tunnel
 *   alive: may get what opens a connection, and UDP.  used: established TCP stays with it even while its probes fail,
 *   as long as its neighbour is resolved (pick.c).
 *
 *   FREE --reserve--> RESERVED --commit--> ACTIVE --commit without it--> LINGER --drain over--> RETIRED --reclaim--> FREE
 *                        \--put (abort)--> FREE        \<---commit with it again---/ */
#pragma once
#include "lib/core/hash.h"
#include "lib/core/ipaddr.h"
#include "l4lb/core/neigh.h"
#include "l4lb/core/tunnel.h"
#include "l4lb/core/tuple.h"

enum health { HEALTH_UNKNOWN, /* counts as up: at boot, flows of a running system must keep their backends */
              HEALTH_INITIAL, /* joined a pool that already works: gets traffic after its first success */
              HEALTH_UP, HEALTH_DOWN, HEALTH_N };
enum backend_state { BACKEND_FREE, BACKEND_RESERVED, BACKEND_ACTIVE, BACKEND_LINGER, BACKEND_RETIRED, BACKEND_STATE_N };

#define BACKEND_USED (UINT64_C(1) << 32)
#define BACKEND_ALIVE (UINT64_C(1) << 33)
#define BACKEND_TUNNEL (UINT64_C(1) << 34)
static inline uint16_t backend_word_adjacency(uint64_t w) { return (uint16_t)w; }
static inline uint16_t backend_word_epoch(uint64_t w) { return (uint16_t)(w >> 16); }

enum way { WAY_LINK,                                  /* a shard on one of our links: its MAC address */
           WAY_NAT,                                   /* an endpoint, anywhere */
           WAY_IPIP, WAY_GUE, WAY_N };                /* a shard behind a tunnel */
static inline bool way_tunnel(uint8_t way) { return way == WAY_IPIP || way == WAY_GUE; }
const char *way_str(uint8_t way);

struct health_check { /* what probe.h needs; type NONE = always up */
        bool tcp;
        uint32_t interval_ms, timeout_ms;
        uint32_t rise, fall;
        uint16_t port;
        struct ipaddr vip; /* behind a tunnel, whom the probe inside is for */
};
/* Who and where; two that differ in anything are two backends. */
struct backend_spec {
        const char *pool;
        struct ipaddr addr;
        uint8_t way;           /* enum way */
        uint8_t inner;         /* behind a tunnel: the VIPs' family, 4 or 6 */
        uint16_t port;         /* of an endpoint under NAT; of GUE at the other end; else 0 */
        struct ipaddr source;  /* of a tunnel; af 0 = our address on the port the routes name */
};
struct backend { /* control thread only */
        enum backend_state state;
        enum health health;
        bool admin_down;       /* ENDPOINT_DOWN in the model */
        unsigned refs;         /* tables (pending, active, old) that hold it */
        uint16_t adjacency;    /* pinned neighbour */
        uint16_t epoch;
        uint8_t port;          /* net port it is reached by */
        struct ipaddr addr;
        uint8_t way, inner;    /* as in its spec */
        uint16_t target_port;  /* spec.port */
        struct ipaddr source;  /* of its tunnel, as used */
        bool source_given;
        uint64_t mtu_until_ms; /* when its tunnel's MTU is forgotten */
        bool fresh;            /* joined a pool that works, or came back: tables.c notes when, for a slow start */
        uint64_t since_ms;     /* then */
        char *pool, *name;     /* owned copies */
        uint64_t id;           /* hash of pool and address: the identity Maglev permutes by; same on every node */
        struct health_check check;
        uint64_t linger_until_ms;
        uint32_t token;        /* of BACKEND_RETIRED */
        uint64_t transitions;  /* up/down changes seen */
};
/* Where a backend under NAT or behind a tunnel is: written before any table names it, unchanged until a grace period after the
 * last did. */
struct backend_target {
        union {
                struct tuple reply;   /* of its answers to us, without our port: endpoint -> our address on its link, port -> 0 */
                struct tunnel tunnel; /* and how it is wrapped */
        };
};
struct backends {
        _Atomic uint64_t words[L4_MAX_BACKENDS] CACHE_ALIGNED; /* read by workers */
        struct backend_target targets[L4_MAX_BACKENDS]; /* read by workers */
        _Atomic uint16_t mtus[L4_MAX_BACKENDS]; /* read by workers: of the path of a tunnel, as routers told it; 0 = none has */
        struct backend b[L4_MAX_BACKENDS];
        size_t n; /* indexes ever used: loops stop here */
        struct neigh *neigh;    /* borrowed */
        const struct net *net;  /* borrowed */
        uint32_t token;
};

static inline uint64_t backend_word(const struct backends *r, uint16_t i)
{
        /* relaxed: the word is self-contained; nothing else is read through it but other atomics */
        return atomic_load_explicit((_Atomic uint64_t *)&r->words[i], memory_order_relaxed);
}

void backends_init(struct backends *r, const struct net *net, struct neigh *n) NONNULL(1, 2, 3);
void backends_fini(struct backends *r) NONNULL(1);
static inline uint16_t backend_mtu(const struct backends *r, uint16_t i)
{
        /* relaxed: a number by itself */
        return atomic_load_explicit((_Atomic uint16_t *)&r->mtus[i], memory_order_relaxed);
}

/* Finds or makes the backend and takes a reference: its index, or -ENOSPC, -ENOMEM, -ENETUNREACH (no shard port has the address
 * on-link; under NAT or behind a tunnel: no route, or no address of ours of that family on the way). */
int backends_reserve(struct backends *r, const struct backend_spec *spec, uint64_t now_ms) NONNULL(1, 2) MUST_USE;
void backends_put(struct backends *r, uint16_t index, uint64_t now_ms) NONNULL(1);
/* Makes it part of the active generation: name, check and admin_down as the model says now. */
void backends_commit(struct backends *r, uint16_t index, const char *name, const struct health_check *hc, bool admin_down)
        NONNULL(1, 3, 4);
/* No longer part of it: keeps its flows for drain_ms. */
void backends_linger(struct backends *r, uint16_t index, uint32_t drain_ms, uint64_t now_ms) NONNULL(1);
/* Result of a probe: true when the health changed (the caller then rebuilds the pools that hold it). */
bool backends_set_health(struct backends *r, uint16_t index, bool up) NONNULL(1);
/* Retires what lingered long enough; a token > 0 when something was.  After a grace period: backends_reclaim. */
uint32_t backends_retire(struct backends *r, uint64_t now_ms) NONNULL(1);
void backends_reclaim(struct backends *r, uint32_t token) NONNULL(1);
/* A router between us and the other end of a tunnel takes no more than mtu bytes (PUNT_PATH_MTU): a frame with an ICMP error that
 * quotes what we sent.  How many backends believe it, for ten minutes (RFC 1191 6.3). */
unsigned backends_path_mtu(struct backends *r, const uint8_t *frame, size_t len, uint64_t now_ms) NONNULL(1, 2);
uint64_t backends_mtu_expire(struct backends *r, uint64_t now_ms) NONNULL(1); /* ms until the next one, or UINT64_MAX */
uint64_t backend_id(const char *pool, const struct ipaddr *addr, uint16_t port) NONNULL(1, 2);
const char *health_str(enum health h);
const char *backend_state_str(enum backend_state s);
