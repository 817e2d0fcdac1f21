/* l4lb/core/probe.h - health probes: a TCP handshake's first half to each backend's link address; to a shard behind a tunnel through
 * it, to a VIP, so that the answer has gone all the way that a client's packets go.  Layer: l4lb/core, pure.
 * Thread rule: control thread.  SYN -> SYN-ACK = success (closed by our RST); RST or silence = failure; `rise` successes in a
 * row make it up, `fall` failures down; the first success of a backend that is not known yet counts at once.
 * Frames leave through the caller; answers arrive as PUNT_PROBE frames.  Ports and sequence numbers come from a seed. */
#pragma once
#include "l4lb/core/backend.h"

#define PROBE_PORT_LO 61440 /* our source ports are 61440..65535: the pipeline punts TCP to our own addresses there */

#define PROBE_PORTS (65536 - PROBE_PORT_LO)

enum probe_state { PROBE_OFF, PROBE_IDLE, PROBE_RESOLVING, PROBE_SENT, PROBE_CLOSING, PROBE_STATE_N };
struct probe {
        enum probe_state state;
        uint16_t epoch;      /* of the backend it belongs to */
        uint16_t sport;
        uint32_t seq;
        unsigned good, bad;  /* in a row */
        uint64_t start_ms;   /* IDLE: when the next one starts */
        uint64_t due_ms;     /* next step */
        uint64_t timeout_ms; /* RESOLVING, SENT: when silence counts as failure */
};
struct probe_event {
        uint16_t backend;
        bool up;
};
struct prober {
        struct backends *backends; /* borrowed */
        struct siphash_key seed;
        uint64_t counter;
        struct probe p[L4_MAX_BACKENDS];
        uint16_t by_port[PROBE_PORTS]; /* source port - PROBE_PORT_LO -> backend that had it last */
        size_t scan;                   /* round robin of prober_next */
        uint64_t n_sent, n_ok, n_refused, n_timeout, n_stray;
};
void prober_init(struct prober *p, struct backends *r, struct siphash_key seed) NONNULL(1, 2);
/* A PUNT_PROBE frame.  True and *ret when it made the backend's health change (already set in the registry): the
 * caller rebuilds the pools that hold it. */
bool prober_input(struct prober *p, uint8_t in_port, const uint8_t *frame, size_t len, uint64_t now_ms,
                  struct probe_event *ret) NONNULL(1, 3, 6) MUST_USE;
/* Advances time: call until it returns PROBER_IDLE.  Follows the registry by itself (new, changed and gone backends). */
enum prober_step { PROBER_IDLE, PROBER_FRAME, PROBER_EVENT };
enum prober_step prober_next(struct prober *p, uint64_t now_ms, struct frame_out *ret_frame, struct probe_event *ret_event)
        NONNULL(1, 3, 4) MUST_USE;
uint64_t prober_due_ms(const struct prober *p, uint64_t now_ms, uint64_t max_ms) NONNULL(1); /* ms until next is needed */
