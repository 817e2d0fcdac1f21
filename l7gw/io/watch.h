/* l7gw/io/watch.h - the shard's eye on endpoints: active checks, and streaks that workers report.  Layer: l7gw/io.
 * Thread rule: the control thread.  Once per shard, not per worker: verdicts (core/judge) go to the workers by mail.
 *
 *   interval ± 10 % ─▶ io/probe ─▶ judge_check ┐
 *   worker: streak ─▶ mail ─▶ judge_eject      ┴─▶ mark: mail to every worker ─▶ balance_mark
 *
 * A cluster has a watch while the active generation says that it has checks or ejection. */
#pragma once
#include "l7gw/core/judge.h"
#include "l7gw/io/generation.h"

struct watches;
struct watch;
struct watches_conf {
        struct loop *loop;
        struct registry *registry;
        /* To every worker: this endpoint's bits (BALANCE_UNHEALTHY, BALANCE_EJECTED) are these from now on. */
        void (*mark)(void *arg, struct cluster_rt *c, const struct ipaddr *addr, uint16_t port, uint8_t bad);
        void *arg;
        uint64_t seed;
};
int watches_new(const struct watches_conf *conf, struct watches **ret) NONNULL(1, 2) MUST_USE;
void watches_free(struct watches *ws); /* NULL is legal */
/* A generation is active, its clusters' plans are with the workers. */
void watches_adopt(struct watches *ws, const struct generation *g) NONNULL(1, 2);
void watches_plan(struct watches *ws, struct cluster_rt *c, struct balance_plan *plan) NONNULL(1, 2, 3); /* new endpoints */
void watches_streak(struct watches *ws, struct cluster_rt *c, const struct ipaddr *addr, uint16_t port, enum balance_result what) NONNULL(1, 2, 3);
/* NULL: this cluster is not watched. */
const struct judge *watch_judge(const struct cluster_rt *c) NONNULL(1);

#define WATCH_COUNTERS(C) \
        C(CHECKS, "health_checks_total", "Active health checks that ended") \
        C(FAILED, "health_checks_failed_total", "Active health checks that failed") \
        C(NOT_MADE, "health_checks_not_made_total", "Active health checks that this process had no means for") \
        C(DOWN, "endpoints_failed_total", "Endpoints that went from healthy to unhealthy") \
        C(EJECTIONS, "endpoints_ejected_total", "Endpoints ejected because of their answers") \
        C(NOT_EJECTED, "endpoints_not_ejected_total", "Ejections not made: too many are out already")
enum watch_counter {
#define C(id, name, help) WATCH_##id,
        WATCH_COUNTERS(C)
#undef C
        WATCH_COUNTER_N
};
uint64_t watches_count(const struct watches *ws, enum watch_counter i) NONNULL(1);
