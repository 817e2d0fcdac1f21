/* lib/core/model_check.h - the parts of model_load, private to lib/core/model*.c.  Layer: lib/core, pure.
 *   model.c          decode, index by id, lookups
 *   model_walk.c     what holds for every message: strings, enums, nothing unknown
 *   model_check.c    shared objects: endpoints, certificates, clusters, policies, and the helpers below
 *   model_gateway.c  tier 2: binds, listeners, virtual hosts, rules
 *   model_l4.c       tier 1: VIPs, listeners, distributions, pools
 * Every check_* returns 0, or < 0 with exactly one error set. */
#pragma once
#include "lib/core/model.h"
#include "lib/control.pb-c.h"

struct model_check {
        const struct model *m; /* NULL while a single set is checked */
        const char *section;   /* key of the section being checked */
        struct model_error *e;
        struct arena *scratch;
        struct map binds; /* bind bytes -> struct bind_use: agreement between Gateways */
        struct map listener_ids;
        struct map hosts; /* bind bytes + class + hostname -> listener */
};

#define LIMIT CONTROL__NACK_STAGE__NACK_LIMIT
#define CHECK CONTROL__NACK_STAGE__NACK_CHECK
int check_fail(struct model_check *c, unsigned stage, const Model__Source *src, const char *fmt, ...) PRINTF(4, 5);
int check_oom(struct model_check *c);
int check_limit(struct model_check *c, const Model__Source *src, const char *what, size_t n, size_t max) MUST_USE;
int check_unique(struct model_check *c, const Model__Source *src, struct map *seen, const char *what, const char *id) MUST_USE;
int check_id(struct model_check *c, const Model__Source *src, const char *what, const char *id) MUST_USE;
int check_addr(struct model_check *c, const Model__Source *src, const char *what, ProtobufCBinaryData addr) MUST_USE;
int check_port(struct model_check *c, const Model__Source *src, const char *what, uint32_t port) MUST_USE; /* 0..65535 */
int check_prefixes(struct model_check *c, const Model__Source *src, Model__Prefix *const *p, size_t n) MUST_USE;
int check_hostname(struct model_check *c, const Model__Source *src, const char *host) MUST_USE;
int check_token(struct model_check *c, const Model__Source *src, const char *what, const char *s, bool lower) MUST_USE;
int check_line(struct model_check *c, const Model__Source *src, const char *what, const char *s) MUST_USE;
int check_weights(struct model_check *c, const Model__Source *src, uint64_t sum) MUST_USE;
int check_fraction(struct model_check *c, const Model__Source *src, const Model__Fraction *f) MUST_USE;
/* The reference must resolve; an empty one is an error only if required. */
int check_ref(struct model_check *c, const Model__Source *src, const struct map *by_id, const char *what, const char *id,
              bool required) MUST_USE;
int check_header_edit(struct model_check *c, const Model__Source *src, const Model__HeaderEdit *h) MUST_USE;
int check_headers(struct model_check *c, const Model__Source *src, Model__Header *const *h, size_t n) MUST_USE;
int check_cors(struct model_check *c, const Model__Source *src, const Model__Cors *p) MUST_USE;
int check_external_auth(struct model_check *c, const Model__Source *src, const Model__ExternalAuth *a) MUST_USE;
int check_health(struct model_check *c, const Model__Source *src, const Model__HealthCheck *h) MUST_USE;
int check_outlier(struct model_check *c, const Model__Source *src, const Model__Outlier *o) MUST_USE;
int check_named(struct model_check *c, const Model__Source *src, Model__NamedMatch *const *p, size_t n, bool header) MUST_USE;
int check_policy_ref(struct model_check *c, const Model__Source *src, const char *kind, const char *id) MUST_USE;
int check_policies(struct model_check *c, const Model__Source *src, const Model__Policies *p) MUST_USE;

int check_message(struct model_check *c, const ProtobufCMessage *m) MUST_USE; /* model_walk.c */
int check_section(struct model_check *c, const Model__Section *s) MUST_USE;   /* model_check.c: references and limits */
int check_gateway(struct model_check *c, const Model__Gateway *g) MUST_USE;
int check_l4(struct model_check *c, const Model__L4 *l4) MUST_USE;
