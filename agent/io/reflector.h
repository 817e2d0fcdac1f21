/* agent/io/reflector.h - one kind of object of an API server, mirrored: list, then watch from there, for ever.
 * Layer: agent/io.  Thread rule: the loop's thread.
 *
 *   LIST  pages of `page` objects into a shadow set; when the last page is in, the difference to what is known is reported.
 *         Nothing is reported of a list that does not complete, so what is known is never cleared.
 *   WATCH from the list's resourceVersion, with bookmarks, each for 5 to 10 minutes; an end or an error of the connection
 *         is followed by another watch from where it ended, HTTP 410 or an ERROR event by a new list.
 *   WAIT  between attempts: retry_ms x 2 with jitter up to KUBE_RETRY_MAX_MS, or longer where the server asks for it.
 *
 * An object that does not decode, or an event that is no JSON, is logged and skipped: what was known of it stays.  403 and
 * 404 are failures like others, never an empty list. */
#pragma once
#include "agent/core/objects.h"
#include "agent/io/api_client.h"
#include "lib/core/json.h"

struct reflector_conf {
        enum object_kind kind;
        const char *path;     /* "/apis/gateway.networking.k8s.io/v1/httproutes" */
        const char *selector; /* "fieldSelector=type%3Dkubernetes.io%2Ftls", "" = all */
        bool with_status;     /* report the status too */
        bool optional;        /* a server that has no such kind (404), or shows it to nobody (403), has no object of it */
        unsigned page, retry_ms;
};
struct reflector_ops {
        /* A new object, or a change of one; taken.  status: its status as JSON, malloc'd, taken; NULL without with_status
         * or when there is none. */
        void (*put)(void *arg, struct object *o, char *status);
        void (*del)(void *arg, enum object_kind k, const char *ns, const char *name);
        void (*synced)(void *arg, enum object_kind k); /* after the first complete list */
};

#define REFLECTOR_COUNTERS(C) \
        C(LISTS, "kube_lists_total", "Lists of an API server that completed") \
        C(WATCHES, "kube_watches_total", "Watches that were begun") \
        C(EVENTS, "kube_events_total", "Events of watches, bookmarks included") \
        C(BAD, "kube_bad_objects_total", "Objects and events that could not be read: the last good form stays") \
        C(FAILURES, "kube_failures_total", "Lists and watches that failed")
enum reflector_counter {
#define X(id, name, help) REFLECTOR_##id,
        REFLECTOR_COUNTERS(X)
#undef X
        REFLECTOR_COUNTER_N
};

struct reflector;
int reflector_new(struct loop *l, struct api_client *c, const struct reflector_conf *conf, const struct reflector_ops *ops, void *arg,
                  struct reflector **ret) MUST_USE; /* conf is copied, its texts borrowed; begins at once */
void reflector_free(struct reflector *r); /* NULL is legal */

struct reflector_view {
        enum object_kind kind;
        const char *state, *why;    /* "list", "watch", "wait"; the last failure, "" when all is well */
        bool synced;
        size_t objects;
        uint64_t quiet_ms;          /* since the server last said anything */
        const uint64_t *counters;   /* [REFLECTOR_COUNTER_N] */
};
void reflector_view(const struct reflector *r, struct reflector_view *ret);
