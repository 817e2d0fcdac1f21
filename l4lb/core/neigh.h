/* l4lb/core/neigh.h - neighbours: the ARP / ND state machine and the adjacency words that workers read.
 * Layer: l4lb/core, pure: time comes in as now_ms, frames go out through a caller's buffer.
 * Thread rule: everything runs on the control thread but neigh_word and neigh_lookup, which workers call.
 * A worker that has loaded a valid word may use it until its quiescent point.  The key of a slot never changes while its
 * word is valid; a slot is given to another address only after neigh_reclaim, i.e. after a grace period.
 *
 *   adjacency word:  bits 0..47 MAC (byte 0 of the address in bits 0..7) | 48..55 port | 63 valid;  0 = not resolved */
#pragma once
#include "lib/core/hash.h"
#include "lib/core/ipaddr.h"
#include "l4lb/core/limits.tbl.h"
#include <stdatomic.h>

#define NEIGH_NONE 0xffff
#define ADJACENCY_VALID (UINT64_C(1) << 63)
static inline uint64_t adjacency_make(const uint8_t mac[6], uint8_t port)
{
        uint64_t w = 0;
        memcpy(&w, mac, 6);
        return w | (uint64_t)port << 48 | ADJACENCY_VALID;
}
static inline uint8_t adjacency_port(uint64_t w) { return (uint8_t)(w >> 48); }

struct frame_out { /* a frame made by a control-thread machine, to be sent by io */
        uint8_t port;
        uint16_t len;
        uint8_t b[128];
};

enum neigh_state { NEIGH_FREE, NEIGH_INCOMPLETE, NEIGH_REACHABLE, NEIGH_PROBE, NEIGH_DYING, NEIGH_STATE_N };
struct neigh_slot { /* read by workers */
        _Atomic uint64_t word;
        uint8_t addr[16]; /* IPv4 in the first 4, rest 0 */
        uint8_t af, port;
        _Atomic uint8_t used;    /* set by a worker that looked it up, cleared by the control thread */
        _Atomic uint8_t doubted; /* set by a worker that saw the address with another MAC, cleared like it */
        uint8_t pad[4];
};
struct neigh_ctl { /* control thread only */
        enum neigh_state state;
        unsigned refs;    /* pinned by routes and backends; 0 = learned for an on-link peer */
        unsigned tries;
        uint64_t due_ms;  /* next request or state change */
        uint64_t used_ms;
        uint32_t token;   /* of NEIGH_DYING */
        uint8_t mac[6];
};
struct net;
struct neigh {
        struct neigh_slot slots[L4_MAX_NEIGHBOURS];
        struct neigh_ctl ctl[L4_MAX_NEIGHBOURS];
        const struct net *net;  /* borrowed: port addresses and MACs */
        struct siphash_key key; /* spreads slots; secret */
        size_t scan;            /* round robin of neigh_next */
        uint32_t token;
        uint64_t n_requests, n_learned, n_changed, n_failed, n_evicted; /* counters, control thread */
};

void neigh_init(struct neigh *n, const struct net *net, struct siphash_key key) NONNULL(1, 2);
/* Pins (port, addr) and starts resolving it: its index, or -ENOSPC.  Balanced by neigh_unpin. */
int neigh_pin(struct neigh *n, uint8_t port, const struct ipaddr *addr, uint64_t now_ms) NONNULL(1, 3) MUST_USE;
void neigh_hold(struct neigh *n, uint16_t index) NONNULL(1); /* one more reference to a pinned one; balanced by neigh_unpin */
void neigh_unpin(struct neigh *n, uint16_t index, uint64_t now_ms) NONNULL(1);
/* An on-link peer is wanted (PUNT_RESOLVE): takes the frame of the packet, as routed, and starts resolving. */
void neigh_want(struct neigh *n, uint8_t port, const struct ipaddr *addr, uint64_t now_ms) NONNULL(1, 3);
/* Whoever uses a neighbour hears nothing from it: ask it again now, not only when its time is over. */
void neigh_doubt(struct neigh *n, uint16_t index, uint64_t now_ms) NONNULL(1);
/* A punted frame: learns from ARP and ND (only for known neighbours), or wants the destination of an IP frame.
 * True when some word changed. */
bool neigh_input(struct neigh *n, uint8_t in_port, const uint8_t *frame, size_t len, uint64_t now_ms) NONNULL(1, 3);
/* Writes the next request that is due into *ret; false when nothing is due (state changes by time are done then). */
bool neigh_next(struct neigh *n, uint64_t now_ms, struct frame_out *ret) NONNULL(1, 3) MUST_USE;
uint64_t neigh_due_ms(const struct neigh *n, uint64_t now_ms, uint64_t max_ms) NONNULL(1); /* ms until neigh_next is needed */
/* Slots that are dying: a token > 0 when there are some.  After a grace period that began later, give it to reclaim. */
uint32_t neigh_retired(struct neigh *n) NONNULL(1);
void neigh_reclaim(struct neigh *n, uint32_t token) NONNULL(1);

/* Workers. */
static inline uint64_t neigh_word(const struct neigh *n, uint16_t index)
{
        /* acquire: pairs with the release in publication, so that the slot's key is seen with a valid word */
        return atomic_load_explicit((_Atomic uint64_t *)&n->slots[index].word, memory_order_acquire);
}
/* The address asked us something from this MAC: a different one than we know is verified at once (RFC 826 merges it; we do not
 * believe a request that anybody can forge, we ask). */
void neigh_seen(const struct neigh *n, uint8_t port, uint8_t af, const uint8_t *addr, const uint8_t mac[6]) NONNULL(1, 4, 5);
/* The word of an on-link peer, 0 when it is not resolved.  addr: 4 or 16 bytes in wire order. */
uint64_t neigh_lookup(const struct neigh *n, uint8_t port, uint8_t af, const uint8_t *addr) NONNULL(1, 4);
const char *neigh_state_str(enum neigh_state s);
