/* agent/core/status.h - translation + acks -> final conditions, and the objects' statuses as text.  Layer: agent/core, pure.
 * Thread rule: one thread.  Programmed=True is said only when every connected data plane of the Gateway (the shards of its
 * pool and the front tier) is ACTIVE at a manifest that carries the Gateway's generation:
 *   - one that is gone stops counting after STATUS_GONE_MS;
 *   - True stays True while a newer manifest of the same generation is under way, or while data planes reboot;
 *   - what the translator or a NACK ruled out (report.stop) is False whatever the acks say.
 * lastTransitionTime moves only when a condition's status does: that is what status_memory is for. */
#pragma once
#include "agent/core/translate.h"

#define STATUS_GONE_MS 10000 /* a restart takes less; longer would let one dead shard block everybody */

struct dp_ack { /* one configured data plane, as the push side sees it */
        const char *name, *pool;       /* pool "" = front tier */
        bool connected;
        uint64_t gone_ms;              /* !connected: since when (never connected: since we started) */
        const struct manifest *active; /* ACTIVE at this; NULL = nothing, or something we do not know */
        const char *refused;           /* it (or its pool) holds at an older manifest for this reason; NULL = no */
        const char *refused_of;        /* "HTTPRoute ns/name": the object that refusal is about; NULL or "" = it names none */
};

/* What was last said about each condition: key -> status, generation, since. */
struct status_memory;
struct status_memory *status_memory_new(void);
void status_memory_free(struct status_memory *m);
/* For reading statuses back at start.  key: status_key(). */
int status_memory_put(struct status_memory *m, const char *key, bool status, int64_t generation, int64_t since_s) MUST_USE;
/* "Gateway ns/name Programmed", "Gateway ns/name listener web Programmed", "HTTPRoute ns/name parent ns/gw web 80 Accepted". */
const char *status_key(struct arena *a, enum object_kind k, const char *ns, const char *name, const char *part, const char *type);
const char *status_parent_part(struct arena *a, const char *route_ns, const struct parent_ref *p);

struct final_condition { const char *type; bool status; const char *reason, *message; int64_t generation, since_s; };
struct listener_status { const struct listener_report *report; struct final_condition v[5]; size_t n; };
struct listener_set_status {
        const struct listener_set_report *report;
        struct condition programmed; /* of its best listener */
        struct final_condition v[2]; size_t n;
};
struct gateway_status {
        const struct gateway_report *report;
        struct final_condition v[6]; size_t n;
        struct listener_status *listeners; size_t n_listeners;
};
struct parent_status { const struct route_parent_report *report; struct final_condition v[4]; size_t n; };
struct route_status { const struct route_report *report; struct parent_status *parents; size_t n_parents; };
struct class_status { const struct class_report *report; struct final_condition v[4]; size_t n; };
struct status_set { /* borrows the translation it was made from */
        struct arena arena;
        struct class_status *classes; size_t n_classes;
        struct gateway_status *gateways; size_t n_gateways;
        struct listener_set_status *sets; size_t n_sets; /* their listeners stand with their Gateway's */
        struct route_status *routes; size_t n_routes;
        struct route_status *policies; size_t n_policies;
        uint64_t recheck_ms; /* build again then: a data plane that is gone stops counting; 0 = not needed */
};
int status_build(struct status_memory *m, const struct translation *t, const struct dp_ack *acks, size_t n_acks,
                 uint64_t now_ms, int64_t now_s, struct status_set **ret) MUST_USE;
void status_free(struct status_set *s);

/* One object's status as Kubernetes would carry it, YAML. */
struct status_doc { enum object_kind kind; const char *namespace, *name; struct span text; };
int status_docs(const struct status_set *s, const char *controller_name, struct arena *a, struct status_doc **ret, size_t *ret_n) MUST_USE;

/* RFC 3339 in UTC, as metav1.Time. */
const char *time_text(int64_t unix_s, char ret[32]);
int time_parse(const char *s, int64_t *ret_s) MUST_USE;
