/* l4lb/core/pipeline.h - the packet path of one worker: parse, classify, pick, rewrite, each a loop over the burst.
 * Layer: l4lb/core, pure.  Thread rule: one worker owns one struct worker.
 * No malloc, lock, division, log, syscall or function pointer per packet.  Afterwards every packet has exactly one
 * verdict: TX frames are rewritten in place and name their out_port, PUNT frames are unchanged, DROP frames too.
 *
 * io's loop:   n = rx(port, p);  pipeline_run(w, t, now_ms, p, n);  send / punt / free by verdict_kind(p[i].verdict);
 *              verdicts_count(&w->verdicts, p, n);  worker_sweep(w, now_ms);  quiescent */
#pragma once
#include "l4lb/core/flow.h"
#include "l4lb/core/fragcache.h"
#include "l4lb/core/rates.h"
#include "l4lb/core/tables.h"
#include "l4lb/core/tokens.h"

struct worker {
        struct verdict_counters verdicts;
        struct flow_table flows;
        struct siphash_key key;          /* secret: flow hash */
        const struct net *net;           /* borrowed, all three */
        const struct neigh *neigh;
        const struct backends *backends;
        struct tokens echo, link;        /* budgets: echo replies, ARP and ND replies */
        struct tokens punt, probe;       /* what others make us punt; probe answers: no flood may make shards look dead */
        struct tokens refuse;            /* RST and ICMP errors */
        struct tokens kernel;            /* what goes to this host's own stack */
        struct nat_ports {
                uint16_t lo, n;      /* all workers' local ports; n 0 = no NAT */
                uint16_t own, n_own; /* this worker's share */
                uint16_t next;       /* of the share: ports are used in turn, so that one rests as long as can be */
                uint8_t index, workers;
                uint32_t mul;        /* 2^16 * workers / n */
        } nat;
        metric_t decapsulated; /* packets that came out of a tunnel and were for us */
        uint64_t now_ms; /* of this burst */
        uint64_t swept_ms;
        struct fragcache frags;
        struct rates rates; /* of guarded services */
} CACHE_ALIGNED;

/* mem: flow_table_bytes(n_entries) bytes, 64-byte aligned. */
void worker_init(struct worker *w, void *mem, uint32_t n_entries, struct siphash_key key, const struct net *net,
                 const struct neigh *n, const struct backends *r, uint64_t now_ms) NONNULL(1, 2, 5, 6, 7);
/* Local ports lo..hi for NAT, of which this worker, number index of n_workers, takes its share.  Every worker gets the same. */
void worker_nat_ports(struct worker *w, uint16_t lo, uint16_t hi, unsigned index, unsigned n_workers) NONNULL(1);
/* n <= L4_MAX_BURST.  t may be NULL (no configuration yet): ARP, ND and echo for our own addresses still work. */
void pipeline_run(struct worker *w, const struct tables *t, uint64_t now_ms, struct pkt *p, size_t n) NONNULL(1, 4);
/* Collects expired flows, a little per millisecond that has passed: the whole table about once a minute.  Call per loop. */
void worker_sweep(struct worker *w, uint64_t now_ms) NONNULL(1);
