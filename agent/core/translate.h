/* agent/core/translate.h - objects -> model sections + status report, one pure function: the same pass produces both, so
 * they cannot disagree.  Layer: agent/core, pure.  Deterministic: same input, same bytes.
 *
 * Output: one manifest per shard pool, one for the l4 tier, endpoint sets apart (fast path), and a report of conditions
 * with reasons.  Programmed is NOT decided here: agent/core/status.h adds it from the acks.
 * Ownership: a translation owns all its memory (it borrows nothing from the store), so it outlives store changes. */
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
        enum pool_tunnel { POOL_ON_LINK, POOL_IPIP, POOL_GUE } tunnel; /* of far shards: their addresses are those of the l4lb beside them */
        const char *tunnel_source;    /* "" = each l4lb's own */
};

/* What a certificate says.  Reading one needs libcrypto, which core may not include, so the reader comes in by pointer
 * (agent/io/cert.h); it is a pure function of its input.  -EINVAL with *reterr: malformed, or the key is another's. */
struct cert_facts { struct sha256 fingerprint; int64_t not_after; const char **names; size_t n_names; };
/* ocsp_der: an OCSP response about it, or empty. */
typedef int cert_read_fn(struct span chain_pem, struct span key_pem, struct span ocsp_der, struct arena *a, struct cert_facts *ret, struct err *reterr);

/* 0, or -EINVAL with *reterr: not a PEM bundle of certificates (crl false) or of revocation lists (crl true). */
typedef int bundle_check_fn(struct span pem, bool crl, struct err *reterr);

struct translate_conf {
        const char *controller_name;
        const struct pool_conf *pools; size_t n_pools; /* the first is the default pool */
        const struct ipprefix *vip_pools; size_t n_vip_pools; /* IPv4 and IPv6; a Gateway without an address gets one of each family there is */
        cert_read_fn *cert_read;
        bundle_check_fn *bundle_check;
        const char *bundle_version; /* of the cluster's Gateway API CRDs; "" = unknown; NULL = no cluster: no SupportedVersion */
};
/* Addresses that Gateways already hold (from their last status): kept before anything new is given. */
/* Grants of one Gateway stand together. */
struct vip_grant { const char *gateway /* ns/name */; struct ipaddr addr; };

struct quarantine { /* an object some data plane refused: kept out, and its status says so */
        const char *kind, *namespace, *name, *section; uint32_t rule; int64_t generation; const char *reason;
};
struct condition { const char *type; bool status; const char *reason, *message; };
struct report_id { enum object_kind kind; const char *namespace, *name; int64_t generation; };
struct listener_report {
        const char *name;
        struct condition conditions[4]; size_t n_conditions; /* Accepted, Conflicted, ResolvedRefs */
        struct route_kind supported_kinds[4]; size_t n_supported_kinds;
        uint16_t port;
        bool direct, udp;                  /* served by the front tier alone: TCP, UDP */
        uint32_t attached_routes;
        size_t set;                        /* 1 + index of its ListenerSet; 0 = the Gateway's own */
        bool serves;                       /* part of the model */
        const char *stop_reason, *stop;    /* why Programmed cannot be True whatever the acks say; NULL = nothing */
};
struct gateway_report {
        struct report_id id;
        const char *pool;         /* pool_conf.name */
        const char *class_name;
        struct condition conditions[4]; size_t n_conditions; /* Accepted, ResolvedRefs if False */
        struct ipaddr *addresses; size_t n_addresses; /* those it holds */
        struct listener_report *listeners; size_t n_listeners; /* its own, then those of its ListenerSets */
        uint32_t attached_sets;
        bool allows_sets;
        bool serves;                       /* has a section in its pool's manifest */
        const char *stop_reason, *stop;    /* as above, for the Gateway */
};
struct listener_set_report {
        struct report_id id;
        size_t gateway;            /* index */
        struct condition accepted; /* what it says when False is what Programmed says too */
};
struct route_parent_report { struct parent_ref parent; struct condition conditions[3]; size_t n_conditions; };
struct route_report {
        struct report_id id;
        struct route_parent_report *parents; size_t n_parents;
        struct strings hostnames;
};
struct class_report { struct report_id id; struct condition conditions[3]; size_t n_conditions; };

/* One endpoint set of a pool, so that slices alone can be followed without a new translation. */
struct endpoint_output {
        const char *id, *namespace, *service; uint16_t port; bool udp;
        uint64_t version;  /* EndpointSet.version: one more with each change of the content */
        struct sha256 sha; /* of the set packed without its version */
};
struct pool_output {
        const char *pool;
        struct manifest *manifest;
        struct endpoint_output *sets; size_t n_sets; /* sorted by id */
};
struct translation { /* everything lives in its own arena; manifests are refcounted */
        struct arena arena;
        struct pool_output *pools; size_t n_pools;   /* l7 manifest of each pool, in configuration order */
        struct manifest *l4;
        struct pool_output l4_sets; /* pool "", no manifest: the front tier's own endpoint sets */
        struct class_report *classes; size_t n_classes;
        struct gateway_report *gateways; size_t n_gateways; /* only those of our classes */
        struct listener_set_report *sets; size_t n_sets;    /* only those whose Gateway is ours */
        struct route_report *routes; size_t n_routes;       /* only those with a parent of ours */
        struct route_report *policies; size_t n_policies;   /* policies; parents = the Gateways whose traffic they act on */
        struct vip_grant *vips; size_t n_vips;
        uint64_t set_versions; /* no endpoint set before this translation had a higher version */
};
/* 0, -ENOMEM, or -EINVAL when the result breaks a limit of the manifest (*reterr names it). */
/* prev: the translation before this one, or NULL: versions of endpoint sets count on from there, nothing else is taken. */
int translate(const struct store *s, const struct translate_conf *conf, const struct vip_grant *held, size_t n_held,
              const struct quarantine *q, size_t n_q, uint64_t generation, const struct translation *prev,
              struct translation **ret, struct err *reterr) MUST_USE;
void translation_free(struct translation *t);
const struct pool_output *translation_pool(const struct translation *t, const char *pool);

/* The fast path: which sets of pool p differ from what their sha says?  Builds those from the store into a (ret[i] may be
 * packed and sent) and updates version and sha in p.  Returns how many; -ENOMEM. */
ptrdiff_t translate_endpoints(const struct store *s, struct pool_output *p, struct arena *a, Model__EndpointSet ***ret) MUST_USE;
