/* lib/core/model.h - a decoded, checked manifest: what data planes build from.  Layer: lib/core, pure.
 * Immutable once built; any thread may read all but `generation`, a label that belongs to the control thread.
 * Everything (messages included) lives in one arena owned by the model.
 * model_load = decode every section + resolve ids + check cross references and limits; on failure exactly one error with
 * the section key as place and, where the object is known, its Source for the NACK. */
#pragma once
#include "lib/core/arena.h"
#include "lib/core/manifest.h"
#include "lib/core/map.h"
#include "lib/model.pb-c.h"

#define MODEL_LIMITS(L) /* L(name, limit, why) - see lib/core/model.c for where each bites */ \
        L(GATEWAYS, 4096, "one section each") \
        L(LISTENERS_PER_GATEWAY, 1024, "64 own + ListenerSets") \
        L(RULES, 200000, "10x the largest published test") \
        L(ROUTES_PER_HOST, 100000, "matches of one virtual host") \
        L(LEGS, 64, "Gateway API allows 16 backends; mirrors and splits leave room") \
        L(CLUSTERS, 65536, "ids of 16 bits in metrics") \
        L(ENDPOINTS_PER_SET, 16384, "index of 16 bits in balancers") \
        L(CERTIFICATES, 65536, "") \
        L(VIPS, 4096, "l4lb service table") \
        L(L4_LISTENERS, 16384, "l4lb service table") \
        L(L4_LEGS, 16, "TCPRoute allows 16 backends") \
        L(HEADERS_PER_MATCH, 32, "Gateway API allows 16") \
        L(STRING_BYTES, 8192, "longest id, path, regex or header value")
enum {
#define L(id, n, why) MODEL_MAX_##id = n,
        MODEL_LIMITS(L)
#undef L
};

struct model {
        struct arena arena;
        uint64_t generation; /* control thread only: dpclient renews it when the agent sends an equal manifest anew */
        struct sha256 hash;
        Model__Gateway **gateways;              size_t n_gateways; /* in manifest order */
        Model__Cluster **clusters;              size_t n_clusters;
        Model__EndpointSet **endpoint_sets;     size_t n_endpoint_sets;
        Model__Certificate **certificates;      size_t n_certificates;
        Model__L4 *l4; /* NULL when the manifest has none */
        struct map gateway_by_id, cluster_by_id, endpoint_set_by_id, certificate_by_id, key_by_id, trust_by_id, policy_by_id;
        struct map endpoint_set_section; /* EndpointSet.id -> key of its section (char *) */
        bool locked;      /* the private keys are not here: a certificate may be without its key */
        bool has_secrets; /* the arena is wiped before it is freed */
        struct map vip_by_id, pool_by_id, distribution_by_id, acl_by_id;
};

struct model_error { /* why a manifest was refused; the strings live in the struct */
        struct err err;
        unsigned stage; /* Control__NackStage */
        char section[MANIFEST_MAX_KEY_BYTES + 1];
        bool has_source;
        char kind[64], ns[254], name[254], src_section[254];
        uint64_t generation;
        uint32_t rule, match;
};
void model_error_set(struct model_error *e, unsigned stage, const char *section, const Model__Source *src /* or NULL */,
                     const char *fmt, ...) PRINTF(5, 6);

/* 0 or -EINVAL (the content), -ENOMEM.  The manifest must be complete.  Memory is bounded by the manifest's size. */
int model_load(const struct manifest *m, struct model **ret, struct model_error *reterr) NONNULL(1, 2, 3) MUST_USE;
void model_free(struct model *m);
/* Lookups by id: NULL when absent (after model_load no reference inside the model is dangling). */
const Model__Cluster *model_cluster(const struct model *m, const char *id) NONNULL(1, 2);
const Model__EndpointSet *model_endpoint_set(const struct model *m, const char *id) NONNULL(1, 2);
const Model__Certificate *model_certificate(const struct model *m, const char *id) NONNULL(1, 2);
const Model__Key *model_key(const struct model *m, const char *id) NONNULL(1, 2);
const Model__Trust *model_trust(const struct model *m, const char *id) NONNULL(1, 2);
const Model__Pool *model_pool(const struct model *m, const char *id) NONNULL(1, 2);
const Model__Vip *model_vip(const struct model *m, const char *id) NONNULL(1, 2);
const Model__L4Distribution *model_distribution(const struct model *m, const char *id) NONNULL(1, 2);
/* Checks one set by the rules of model_load (for the endpoints fast path); section is the place in an error. */
int model_check_endpoint_set(const Model__EndpointSet *set, const char *section, struct model_error *reterr) NONNULL(1, 2, 3) MUST_USE;
const char *source_str(const Model__Source *s, char *buf, size_t n); /* "HTTPRoute ns/name rule 2"; NULL s = "-" */
