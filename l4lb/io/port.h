/* l4lb/io/port.h - DPDK ports: opened from device strings, one queue pair per worker.  Layer: l4lb/io.
 * Thread rule: ports_open/close and the statistics belong to the control thread; queue q of every port belongs to
 * worker q alone, so no queue is ever shared.  A port with fewer queues than workers limits the workers (ports_open
 * says so). */
#pragma once
#include "l4lb/io/settings.h"

struct rte_mempool;
/* GONE: the kernel interface that the port was opened on is no more.  One made again under its name is another one: only
 * a restart takes it. */
enum port_link { PORT_LINK_UP, PORT_LINK_DOWN, PORT_LINK_GONE, PORT_LINK_N };
struct port {
        const struct settings_port *conf; /* borrowed */
        uint16_t id;                      /* DPDK's number; our own number is the index in struct ports */
        uint16_t max_queues;              /* of rx and of tx, as the device says */
        uint8_t mac[6];
        unsigned ifindex;                 /* of the kernel interface behind a virtual device; 0 = none */
        bool probed, started;
        bool interrupts; /* rx interrupts, off until asked for: rte_eth_dev_rx_intr_* */
        int fds[SETTINGS_MAX_QUEUES]; /* per queue: readable when packets wait; -1 = the device has none */
};
struct ports {
        struct port v[L4_MAX_PORTS];
        size_t n;
        unsigned n_workers; /* queue pairs per port */
        struct rte_mempool *pool;
};

/* Opens, configures and starts every port of s.  On failure everything opened is closed again. */
int ports_open(const struct settings *s, struct ports *ret, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
/* A descriptor of fds belongs to the PMD; whoever waits on it stops before ports_close. */
void ports_close(struct ports *ps) NONNULL(1);

struct port_stats { /* of the device since start; dropped before we saw the packet, or refused at transmit */
        uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, rx_missed, rx_errors, rx_no_mbuf, tx_errors;
};
void port_stats_get(const struct port *p, struct port_stats *ret) NONNULL(1, 2);
enum port_link port_link_get(const struct port *p) NONNULL(1);
const char *port_link_str(enum port_link l);
