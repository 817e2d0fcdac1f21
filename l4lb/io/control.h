/* l4lb/io/control.h - the control thread: owns everything that changes and publishes it to the workers.  Layer:
 * l4lb/io. Thread rule: the main thread, which runs the loop; EAL is up before control_new and ends after control_free.
 * Life of a generation: dpclient prepare -> tables_build (all that can fail) -> activate: tables_commit, publish one
 * pointer -> grace period -> tables_free, dpclient_release. */
#pragma once
#include "l4lb/core/probe.h"
#include "l4lb/io/announcer.h"
#include "l4lb/io/grace.h"
#include "l4lb/io/worker.h"
#include "lib/io/admin.h"
#include "lib/io/dpclient.h"
#include "lib/io/notify.h"

struct service_counters { /* gives each service id a counter that survives generations */
        struct map by_id; /* id -> slot + 1 */
        char *ids[L4_MAX_SERVICES];
        size_t n;
};
struct control {
        const struct settings *settings;
        struct loop *loop;
        struct ports ports;
        struct net *net;
        struct neigh *neigh;
        struct backends *backends;
        struct prober *prober;
        struct workers workers;
        struct grace grace;
        struct announcer announcer;
        struct dpclient *dp;
        struct admin *admin;
        struct notify notify;
        uint64_t turns[SETTINGS_MAX_WORKERS]; /* of each worker, at the last sign of life */
        struct generation *active, *pending;
        struct service_counters services;
        struct timer machines, grace_timer, links_timer;
        enum port_link links[L4_MAX_PORTS];  /* as last logged */
        uint32_t neigh_token, backend_token; /* handed to the grace queue already */
        uint64_t started_ms, n_punts, n_send_failed, n_stalls, machines_due_ms;
};

/* Opens ports, boots from last known good; workers do not run yet.  s and l are borrowed. */
int control_new(const struct settings *s, struct loop *l, struct control **ret, struct err *reterr) MUST_USE;
/* Starts workers, listens, dials, runs the loop until loop_stop. */
int control_run(struct control *c, struct err *reterr) MUST_USE;
void control_free(struct control *c); /* NULL is legal */
/* Checks what settings_load cannot: addresses, routes and ports together. */
int control_check(const struct settings *s, struct err *reterr) MUST_USE;

/* trace.c: `trace VIP PORT [SOURCE]`, a SYN through every worker's tables. */
int query_trace(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
        NONNULL(1, 4, 5) MUST_USE;

/* report.c: the admin socket's queries and what they show. */
extern const struct admin_query control_queries[];
void control_fill_status(struct control *c, struct arena *a, Control__Status *st) NONNULL(1, 2, 3);
