/* agent/io/pipeline.h - the agent at work: source -> store -> translation -> push -> acks -> statuses.
 * Layer: agent/io.  Thread rule: the loop's thread; everything happens in its turns.
 *  - nothing is pushed before the first complete load; a load that is refused keeps what is there (source_error says why);
 *  - changes are gathered for PIPELINE_QUIET_MS (at most PIPELINE_MAX_MS), then translated whole;
 *  - slices alone take the short way: only the endpoint sets that changed are sent, and push.fold_ms after the last of
 *    them a manifest that holds them, so that what data planes store for the next boot is never much older;
 *  - an object that a data plane refuses is quarantined until it changes: first the rule it names, the whole route after
 *    PIPELINE_NACK_RULES of its rules.  A refusal that names no object, or one that is out already, or more than
 *    PIPELINE_NACK_ROUNDS in a row without a change from outside: we stop and keep the last good configuration. */
#pragma once
#include "agent/core/status.h"
#include "agent/io/push.h"
#include "agent/io/settings.h"
#include "agent/io/source.h"

#define PIPELINE_QUIET_MS 20
#define PIPELINE_MAX_MS 200
#define PIPELINE_NACK_RULES 8
#define PIPELINE_NACK_ROUNDS 256 /* a round is a few ms; many bad routes of one team must not freeze the others */

#define PIPELINE_COUNTERS(C) \
        C(LOADS, "source_loads_total", "Loads of the source that were applied") \
        C(LOAD_ERRORS, "source_errors_total", "Loads of the source that were refused") \
        C(TRANSLATIONS, "translations_total", "Full translations") \
        C(TRANSLATE_US, "translate_us_total", "Microseconds spent in full translations") \
        C(FAST_PATHS, "endpoint_changes_total", "Changes that took the endpoint fast path") \
        C(QUARANTINED, "quarantined_total", "Objects quarantined after a refusal") \
        C(STATUS_WRITES, "status_writes_total", "Statuses written as files, or removed")
enum pipeline_counter {
#define X(id, name, help) PIPELINE_##id,
        PIPELINE_COUNTERS(X)
#undef X
        PIPELINE_COUNTER_N
};
extern const struct metric_desc pipeline_counter_desc[PIPELINE_COUNTER_N];

struct pipeline;
/* Opens everything and loads for the first time; conf is borrowed. */
int pipeline_new(struct loop *l, const struct settings *conf, struct pipeline **ret, struct err *reterr) MUST_USE;
void pipeline_free(struct pipeline *p);

/* For admin queries (agent/io/queries.c): borrowed until the next turn. */
struct pipeline_view {
        const struct settings *conf;
        const struct source *source;
        const struct translation *translation; /* NULL before the first complete load */
        const struct status_set *status;       /* NULL likewise */
        const struct push *push;
        const struct quarantine *quarantine; size_t n_quarantine;
        const char *source_error;              /* "" = the last load was good */
        const char *alarm;                     /* "" = none: why the last good configuration is kept */
        uint64_t generation;
        const metric_t *counters;
};
void pipeline_view(const struct pipeline *p, struct pipeline_view *ret);
