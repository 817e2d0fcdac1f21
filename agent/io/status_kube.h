/* agent/io/status_kube.h - statuses written to an API server: merge patches on /status of GatewayClasses, Gateways and
 * HTTPRoutes.  Layer: agent/io.  Thread rule: the loop's thread.
 *
 * Level-triggered: per object, what we want is compared with what the server was last seen to have, whenever either
 * changes; equal = nothing is sent.  One entry per object, so the last wish wins; classes go before Gateways, these before
 * routes; at most qps patches a second (burst at once).  Each patch names the resourceVersion it was made from: 409 = read
 * the object again, merge again; 404 = the object is gone; 422 = wait until something changes; anything else is tried again
 * with growing pauses.  What is not ours in a status stays (agent/core/status_merge.h).  A status that somebody keeps
 * changing back is written once a minute. */
#pragma once
#include "agent/core/status.h"
#include "agent/io/api_client.h"
#include "lib/core/json.h"

struct status_kube_conf {
        const char *controller_name;
        unsigned qps, burst, retry_ms;
};
#define STATUS_KUBE_COUNTERS(C) \
        C(WRITES, "kube_status_writes_total", "Statuses the API server took") \
        C(CONFLICTS, "kube_status_conflicts_total", "Status patches that came too late (409): merged again") \
        C(ERRORS, "kube_status_errors_total", "Status patches that failed otherwise") \
        C(WARS, "kube_status_wars_total", "Statuses written once a minute because somebody keeps changing them")
enum status_kube_counter {
#define X(id, name, help) STATUS_KUBE_##id,
        STATUS_KUBE_COUNTERS(X)
#undef X
        STATUS_KUBE_COUNTER_N
};

struct status_kube;
struct status_kube *status_kube_new(struct loop *l, struct api_client *c, const struct status_kube_conf *conf); /* conf is borrowed; NULL = no memory */
void status_kube_free(struct status_kube *k); /* what is queued is dropped: it is compared again at the next start */
bool status_kube_kind(enum object_kind kind); /* has it a status of ours? */
/* The server has the object in this form; json: its status, taken (malloc'd), NULL = none. */
void status_kube_seen(struct status_kube *k, const struct object *o, char *json);
void status_kube_gone(struct status_kube *k, enum object_kind kind, const char *ns, const char *name);
/* All we want to say, now: objects that are not among docs are none of ours (any more). */
int status_kube_write(struct status_kube *k, const struct status_doc *docs, size_t n) MUST_USE;
size_t status_kube_queued(const struct status_kube *k);
const uint64_t *status_kube_counters(const struct status_kube *k);
