/* l7gw/core/judge.c - see judge.h. */
#include "lib/base.h"
#include "l7gw/core/judge.h"

#define EJECT_GROWTH_MAX 10u

static void count(struct judge *j)
{
        j->n_unhealthy = j->n_ejected = 0;
        for (uint32_t i = 0; j->plan && i < j->plan->n; i++) {
                j->n_unhealthy += j->v[i].unhealthy;
                j->n_ejected += j->v[i].ejected_until_ms != 0;
        }
}

int judge_adopt(struct judge *j, struct balance_plan *plan)
{
        struct judged *v = calloc(plan->n + 1, sizeof *v);
        if (!v)
                return -ENOMEM;
        for (uint32_t i = 0; i < plan->n; i++) {
                uint32_t was = j->plan ? balance_plan_by_token(j->plan, plan->eps[i].token) : BALANCE_NONE;
                if (was != BALANCE_NONE)
                        v[i] = j->v[was];
        }
        balance_plan_get(plan);
        judge_fini(j);
        j->plan = plan;
        j->v = v;
        count(j);
        return 0;
}

void judge_fini(struct judge *j)
{
        balance_plan_put(j->plan);
        free(j->v);
        *j = (struct judge){0};
}

uint8_t judge_bad(const struct judge *j, uint32_t i)
{
        return (uint8_t)((j->v[i].unhealthy ? BALANCE_UNHEALTHY : 0) | (j->v[i].ejected_until_ms ? BALANCE_EJECTED : 0));
}

bool judge_check(struct judge *j, uint32_t i, bool ok, const char *why, uint32_t rise, uint32_t fall)
{
        struct judged *e = &j->v[i];
        bool against = ok == e->unhealthy;
        uint32_t need = !e->checked ? 1 : ok ? MAX(rise, 1u) : MAX(fall, 1u);
        if (!ok || e->unhealthy)
                snprintf(e->why, sizeof e->why, "%s", why); /* cut if longer */
        e->checked = true;
        e->streak = against ? e->streak + 1 : 0;
        if (!against || e->streak < need)
                return false;
        e->streak = 0;
        e->unhealthy = !ok;
        count(j);
        return true;
}

bool judge_eject(struct judge *j, uint32_t i, const Model__Outlier *o, const char *why, uint64_t now_ms)
{
        struct judged *e = &j->v[i];
        uint32_t n = j->plan->n;
        bool within = j->n_ejected == 0 || (uint64_t)(j->n_ejected + 1) * 100 <= (uint64_t)o->max_eject_pct * n;
        if (e->ejected_until_ms || !within || j->n_ejected + 1 >= n)
                return false;
        bool again = e->ejections > 0 && now_ms - e->back_since_ms < 2 * e->last_ejection_ms;
        e->ejections = again ? MIN(e->ejections + 1, EJECT_GROWTH_MAX) : 1;
        e->last_ejection_ms = (uint64_t)MAX(o->eject_ms, 1u) * e->ejections;
        e->ejected_until_ms = now_ms + e->last_ejection_ms;
        snprintf(e->why, sizeof e->why, "%s", why); /* cut if longer */
        count(j);
        return true;
}

bool judge_return(struct judge *j, uint32_t i, uint64_t now_ms)
{
        struct judged *e = &j->v[i];
        if (!e->ejected_until_ms || e->ejected_until_ms > now_ms)
                return false;
        e->ejected_until_ms = 0;
        e->back_since_ms = now_ms;
        count(j);
        return true;
}

uint64_t judge_next_ms(const struct judge *j)
{
        uint64_t next = 0;
        for (uint32_t i = 0; j->plan && j->n_ejected && i < j->plan->n; i++)
                if (j->v[i].ejected_until_ms && (!next || j->v[i].ejected_until_ms < next))
                        next = j->v[i].ejected_until_ms;
        return next;
}
