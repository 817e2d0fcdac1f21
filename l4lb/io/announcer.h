/* l4lb/io/announcer.h - announces new VIPs on every uplink, three times, a second apart, never in a storm.
 * Layer: l4lb/io.  Thread rule: control thread. */
#pragma once
#include "l4lb/core/announce.h"
#include "l4lb/core/tables.h"
#include "l4lb/io/worker.h"

#define ANNOUNCE_ROUNDS 3 /* RFC 4861 10: MAX_NEIGHBOR_ADVERTISEMENT; RFC 5227 2.3 asks for two */
#define ANNOUNCE_INTERVAL_MS 1000
#define ANNOUNCE_BATCH 64 /* addresses per BATCH_MS: 4096 VIPs take 0.64 s a round */
#define ANNOUNCE_BATCH_MS 10

struct announcer {
        struct loop *loop; /* borrowed, all three */
        struct workers *workers;
        const struct net *net;
        struct timer timer;
        struct ipaddr *addrs; /* heap */
        size_t n, next;
        unsigned rounds_left;
        uint64_t n_sent;
        struct defender defender;
};
void announcer_init(struct announcer *a, struct loop *l, struct workers *ws, const struct net *net) NONNULL(1, 2, 3, 4);
void announcer_fini(struct announcer *a) NONNULL(1);
/* A PUNT_CONFLICT frame: another station claims one of our addresses.  Says so and announces it, by its limits. */
void announcer_defend(struct announcer *a, uint8_t in_port, const uint8_t *frame, size_t len) NONNULL(1, 3);
/* VIPs of now that were not in before (NULL: all), and those whose announcement is not over yet. */
void announcer_start(struct announcer *a, const struct tables *now, const struct tables *before) NONNULL(1, 2);
