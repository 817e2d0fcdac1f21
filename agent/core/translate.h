/* agent/core/translate.h - objects -> model sections + status report, one pure function: the same pass produces both, so
 * they cannot disagree.  Layer: agent/core, pure.  Deterministic: same input, same bytes.
 *
 * Output: one manifest per shard pool, one for the l4 tier, endpoint sets apart (fast path), and a report of conditions
 * with reasons.  Programmed is NOT decided here: agent/core/status.h adds it from the acks. */
#pragma once
#include "agent/core/store.h"
#include "lib/core/manifest.h"
#include "lib/model.pb-c.h"

struct shard_conf { const char *name; struct ipaddr addr4, addr6; /* link addresses as l4lb reaches them */ uint16_t health_port; };
struct pool_conf {
        const char *name;
        const struct shard_conf *shards; size_t n_shards;
        struct label_selector select; /* which Gateways (by their labels); empty = takes what no other pool selects */
        struct strings gateways;      /* or by "ns/name" */
};
struct translate_conf {
        const char *controller_name;
        const struct pool_conf *pools; size_t n_pools; /* the first is the default pool */
        const struct ipprefix *vip_pools; size_t n_vip_pools; /* IPv4 and IPv6; a Gateway without an address gets one of each family there is */
};
/* Addresses that Gateways already hold (from their last status): kept before anything new is given. */
struct vip_grant { const char *gateway /* ns/name */; struct ipaddr addr; };

struct quarantine { /* an object some data plane refused: kept out, and its status says so */
        const char *kind, *namespace, *name; uint32_t rule; int64_t generation; const char *reason;
};
struct condition { const char *type; bool status; const char *reason, *message; };
struct listener_report {
        const char *name;
        struct condition conditions[6]; size_t n_conditions; /* Accepted, Conflicted, ResolvedRefs, (Programmed comes later) */
        struct route_kind supported_kinds[4]; size_t n_supported_kinds;
        uint32_t attached_routes;
        bool serves; /* part of the model */
};
struct gateway_report {
        const struct gateway *gw; /* borrowed from the store */
        const char *pool;         /* pool_conf.name */
        struct condition conditions[4]; size_t n_conditions; /* Accepted, ResolvedRefs */
        struct ipaddr addresses[8]; size_t n_addresses;
        struct listener_report *listeners; size_t n_listeners;
};
struct route_parent_report { const struct parent_ref *parent; struct condition conditions[3]; size_t n_conditions; };
struct route_report { const struct http_route *route; struct route_parent_report *parents; size_t n_parents; };
struct class_report { const struct gateway_class *gc; struct condition conditions[3]; size_t n_conditions; };

struct pool_output { const char *pool; struct manifest *manifest; };
struct translation { /* everything lives in its own arena; manifests are refcounted */
        struct arena arena;
        struct pool_output *pools; size_t n_pools;   /* l7 manifest of each pool */
        struct manifest *l4;
        struct class_report *classes; size_t n_classes;
        struct gateway_report *gateways; size_t n_gateways; /* only those of our classes */
        struct route_report *routes; size_t n_routes;       /* only those with a parent of ours */
        struct vip_grant *vips; size_t n_vips;
};
int translate(const struct store *s, const struct translate_conf *conf, const struct vip_grant *held, size_t n_held,
              const struct quarantine *q, size_t n_q, uint64_t generation, struct translation **ret, struct err *reterr) MUST_USE;
void translation_free(struct translation *t);
