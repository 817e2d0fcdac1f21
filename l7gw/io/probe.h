/* l7gw/io/probe.h - one active health check of one endpoint: connect, ask, read the beginning of the answer.  Layer: l7gw/io.
 * Thread rule: the control thread. */
#pragma once
#include "l7gw/core/chain.h"
#include "l7gw/io/tls_upstream.h"
#include "lib/core/ipaddr.h"
#include "lib/io/loop.h"

struct probe_conf {
        struct loop *loop;
        struct chunk_pool *chunks;
        uint8_t *scratch; /* L7_SCRATCH_BYTES, good within one handler */
        const Model__HealthCheck *check; /* borrowed, as is tls, until the end */
        const struct tls_upstream *tls;  /* NULL: in clear */
        unsigned proxy_version;          /* 0: no PROXY header; else LOCAL */
        struct ipaddr addr;
        uint16_t port;
        void (*done)(void *arg, bool ok, const char *why); /* the probe is gone by then */
        void *arg;
};
struct probe;
/* done comes later, never from in here.  0 or -errno: this process has run out of something, nothing is known of the endpoint. */
int probe_start(const struct probe_conf *conf, struct probe **ret) NONNULL(1, 2) MUST_USE;
void probe_cancel(struct probe *p); /* done never comes; NULL is legal */
