/* l7gw/io/control.h - the control thread of a shard: configuration by PREPARE and ACTIVATE, endpoints, drain, admin
 * socket. Layer: l7gw/io.  It serves no request; the workers know it only by their mailboxes. */
#pragma once
#include "l7gw/io/health.h"
#include "l7gw/io/watch.h"
#include "l7gw/io/worker.h"
#include "lib/io/admin.h"
#include "lib/io/dpclient.h"
#include "lib/io/notify.h"

struct control {
        struct options options;
        struct shared shared;
        struct loop *loop;
        struct worker *workers; /* [options.threads] */
        unsigned n_workers;     /* started */
        struct registry registry;
        struct generation *active, *pending;
        size_t n_generations; /* alive, the active one included */
        struct dpclient *dp;
        struct admin *admin;
        struct health *health;
        struct watches *watches;
        struct notify notify; /* made right after the loop */
        struct timer drain_timer;
        struct drain_mail *drain_mails; /* [2 * n_workers] */
        unsigned workers_drained;
        enum drain drain;
        bool draining;
        uint64_t start_ms;
        uint64_t reloads;
};
int control_start(struct control *c, const char *config_path, struct err *reterr) NONNULL(1, 2) MUST_USE;
int control_run(struct control *c) NONNULL(1) MUST_USE; /* until drained after SIGTERM or SIGINT */
void control_stop(struct control *c) NONNULL(1);
uint64_t control_sum(const struct control *c, enum worker_counter i) NONNULL(1); /* over all workers */
