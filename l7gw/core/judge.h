/* l7gw/core/judge.h - which endpoints of a cluster a shard's workers may choose: by active checks and by streaks of bad answers.
 * Layer: l7gw/core, pure.  Thread rule: the control thread.
 *
 *   checks   unknown (believed) ── first result decides alone ──▶ healthy ⇄ unhealthy, after `fall` and `rise` in a row
 *   streaks  a worker has seen as many as the policy allows ──▶ ejected for eject_ms × (times ejected lately), at most ten times
 *
 * At most max_eject_pct % of the endpoints are ejected at once, but one always may, and never the last that is not. */
#pragma once
#include "l7gw/core/balance.h"

#define JUDGE_WHY_MAX 96
struct judged { /* by its index in the plan */
        bool checked, unhealthy;
        uint32_t streak;           /* results in a row that speak against `unhealthy` */
        uint64_t ejected_until_ms; /* 0 = not ejected */
        uint64_t last_ejection_ms; /* how long the last one was */
        uint32_t ejections;        /* in close succession */
        uint64_t back_since_ms;
        char why[JUDGE_WHY_MAX];   /* of what is wrong, or was last */
};
struct judge {
        struct balance_plan *plan; /* NULL: none yet */
        struct judged *v;
        uint32_t n_unhealthy, n_ejected;
};
/* Takes a reference; who stays keeps its verdicts.  0 or -ENOMEM (unchanged). */
int judge_adopt(struct judge *j, struct balance_plan *plan) NONNULL(1, 2) MUST_USE;
void judge_fini(struct judge *j) NONNULL(1);
uint8_t judge_bad(const struct judge *j, uint32_t i) NONNULL(1); /* BALANCE_UNHEALTHY | BALANCE_EJECTED */
/* A check's result; rise and fall count from 1.  true: the verdict has changed. */
bool judge_check(struct judge *j, uint32_t i, bool ok, const char *why, uint32_t rise, uint32_t fall) NONNULL(1, 4);
/* A worker's streak.  true: it is ejected now. */
bool judge_eject(struct judge *j, uint32_t i, const Model__Outlier *o, const char *why, uint64_t now_ms) NONNULL(1, 3, 4);
/* Is its time over?  true: it is back now. */
bool judge_return(struct judge *j, uint32_t i, uint64_t now_ms) NONNULL(1);
/* When the next ejection ends; 0: none is. */
uint64_t judge_next_ms(const struct judge *j) NONNULL(1);
