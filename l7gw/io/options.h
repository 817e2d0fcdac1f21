/* l7gw/io/options.h - configs/l7gw.cfg in memory.  Layer: l7gw/io.  Immutable after start; any thread may read. */
#pragma once
#include "l7gw/core/dispatch.h"
#include "lib/core/ipaddr.h"
#include "lib/io/agents.h"
#include "lib/io/log.h"

#define OPTIONS_MAX_THREADS 64
#define OPTIONS_MAX_HEALTH 16
struct options {
        char *name, *pool, *admin_socket, *state_dir, *access_log, *via, *server;
        struct dispatch_self self; /* borrows via and server */
        struct agents_conf agents;
        enum log_level log_level;
        unsigned threads;
        bool io_uring; /* where the kernel lets us */
        struct ipaddr health[OPTIONS_MAX_HEALTH];
        size_t n_health;
        uint16_t health_port;
        uint32_t max_connections, buffer_bytes, body_rate;
        uint64_t body_max; /* bytes; 0: none */
        uint32_t header_ms, idle_ms, handshake_ms, settings_ms, connect_ms, upstream_idle_ms, stream_idle_ms, tunnel_idle_ms, drain_ms;
};
int options_load(const char *path, struct options *ret, struct err *reterr) NONNULL(1, 2) MUST_USE;
void options_fini(struct options *o) NONNULL(1);
