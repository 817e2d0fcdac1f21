/* agent/core/schema_traffic.c - gatehouse.dev/v1alpha1: BackendPolicy and ClientPolicy.  The same tables as CRDs are in
 * configs/kubernetes/crds.yaml, with the rules over several fields in CEL. */
#include "lib/base.h"

#include "agent/core/schema_refs.h"

#define POLICY_VERSIONS { "v1alpha1" }
#define MS_MAX INT32_MAX

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

static int targets_check(struct decoder *d, const struct node *map, const struct policy_target *t, size_t n, const char *group, const char *kind)
{
        for (size_t i = 0; i < n; i++) {
                if (!is(t[i].group, group) || !is(t[i].kind, kind))
                        return decoder_fail(d, decoder_item(d, "targetRefs", node_get(map, "targetRefs"), i), "must be of kind %s%s%s", group,
                                            *group ? "/" : "", kind);
                for (size_t k = 0; k < i; k++)
                        if (is(t[i].name, t[k].name) && is(t[i].section_name, t[k].section_name))
                                return decoder_fail(d, decoder_item(d, "targetRefs", node_get(map, "targetRefs"), i), "is the same target as item %zu", k);
        }
        return 0;
}

/* ---- BackendPolicy */

#define AT(field) offsetof(struct backend_policy, field)
#define COUNT(name, field) { name, FIELD_INT, 0, AT(field), .width = sizeof(uint32_t), .min = 1, .max = MS_MAX }

static const struct choice hash_choices[] = {
        { "SourceAddress", HASH_SOURCE }, { "Header", HASH_HEADER }, { "Cookie", HASH_COOKIE }, { "Path", HASH_PATH }, { NULL, 0 }
};
static const struct field hash_fields[] = {
        { "type", FIELD_ENUM, FIELD_REQUIRED, AT(balance.hash), .choices = hash_choices },
        { "name", FIELD_STRING, 0, AT(balance.hash_name), .min = 1, .max = 256, .format = FORMAT_TOKEN },
};
static int hash_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct backend_policy *p = obj;
        bool named = p->balance.hash == HASH_HEADER || p->balance.hash == HASH_COOKIE;
        if (named != (p->balance.hash_name[0] != '\0'))
                return decoder_fail(d, map, "name must be given for Header and Cookie, and for them only");
        return 0;
}
static const struct schema hash = { SCHEMA_FIELDS(hash_fields), .strict = true, .check = hash_check };

static const struct choice balance_choices[] = {
        { "RoundRobin", BALANCE_ROUND_ROBIN }, { "LeastRequest", BALANCE_LEAST_REQUEST }, { "Random", BALANCE_RANDOM },
        { "RingHash", BALANCE_RING_HASH }, { "Maglev", BALANCE_MAGLEV }, { NULL, 0 }
};
static const struct field balance_fields[] = {
        { "type", FIELD_ENUM, 0, AT(balance.type), .choices = balance_choices, .def = "RoundRobin" },
        { "hash", FIELD_OBJECT, 0, 0, AT(balance.has_hash), .sub = &hash },
        { "slowStart", FIELD_DURATION, 0, AT(balance.slow_start_ms) },
        { "panicPercent", FIELD_INT, 0, AT(balance.panic_percent), .width = sizeof(uint32_t), .min = 0, .max = 100, .def = "50" },
};
static int balance_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct backend_policy *p = obj;
        bool hashes = p->balance.type == BALANCE_RING_HASH || p->balance.type == BALANCE_MAGLEV;
        if (hashes != p->balance.has_hash)
                return decoder_fail(d, map, "hash must be given for RingHash and Maglev, and for them only");
        if (hashes && p->balance.slow_start_ms)
                return decoder_fail(d, map, "slowStart has no meaning for RingHash and Maglev");
        return 0;
}
static const struct schema balance = { SCHEMA_FIELDS(balance_fields), .strict = true, .check = balance_check };

static const struct choice check_choices[] = { { "HTTP", CHECK_HTTP }, { "TCP", CHECK_TCP }, { "GRPC", CHECK_GRPC }, { NULL, 0 } };
static const struct field check_fields[] = {
        { "type", FIELD_ENUM, FIELD_REQUIRED, AT(check.type), .choices = check_choices },
        { "interval", FIELD_DURATION, 0, AT(check.interval_ms), .def = "5s" },
        { "timeout", FIELD_DURATION, 0, AT(check.timeout_ms), .def = "2s" },
        { "healthyThreshold", FIELD_INT, 0, AT(check.healthy), .width = sizeof(uint32_t), .min = 1, .max = 100, .def = "2" },
        { "unhealthyThreshold", FIELD_INT, 0, AT(check.unhealthy), .width = sizeof(uint32_t), .min = 1, .max = 100, .def = "3" },
        { "port", FIELD_INT, 0, AT(check.port), .width = sizeof(uint16_t), .min = 1, .max = 65535 },
        { "path", FIELD_STRING, 0, AT(check.path), .min = 1, .max = 1024, .format = FORMAT_URI_PATH },
        { "host", FIELD_STRING, 0, AT(check.host), .min = 1, .max = 253, .format = FORMAT_SUBDOMAIN },
        { "expectedStatuses", FIELD_STRINGS, FIELD_SET, AT(check.statuses), .items_max = 16, .format = FORMAT_STATUS_RANGE },
        { "service", FIELD_STRING, 0, AT(check.service), .min = 1, .max = 253, .format = FORMAT_TOKEN },
};
static int check_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct backend_policy *p = obj;
        bool http = p->check.type == CHECK_HTTP;
        if (!http && (p->check.path[0] || p->check.statuses.n))
                return decoder_fail(d, map, "path and expectedStatuses are for type HTTP only");
        if (p->check.type == CHECK_TCP && p->check.host[0])
                return decoder_fail(d, map, "host is not for type TCP");
        if (p->check.type != CHECK_GRPC && p->check.service[0])
                return decoder_fail(d, map, "service is for type GRPC only");
        if (http && p->check.path[0] && p->check.path[0] != '/')
                return decoder_fail(d, map, "path must begin with \"/\"");
        if (p->check.interval_ms < 100 || p->check.timeout_ms < 10 || p->check.interval_ms > 3600000 || p->check.timeout_ms > 3600000)
                return decoder_fail(d, map, "interval must be 100ms to 1h, timeout 10ms to 1h");
        return 0;
}
static const struct schema check = { SCHEMA_FIELDS(check_fields), .strict = true, .check = check_check };

static const struct field outlier_fields[] = {
        COUNT("consecutive5xx", outlier.errors),
        COUNT("consecutiveGatewayErrors", outlier.gateway_errors),
        COUNT("consecutiveLocalFailures", outlier.local_failures),
        { "baseEjectionTime", FIELD_DURATION, 0, AT(outlier.base_ejection_ms), .def = "30s" },
        { "maxEjectionPercent", FIELD_INT, 0, AT(outlier.max_ejection_percent), .width = sizeof(uint32_t), .min = 1, .max = 100, .def = "50" },
};
static int outlier_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct backend_policy *p = obj;
        if (!p->outlier.errors && !p->outlier.gateway_errors && !p->outlier.local_failures)
                return decoder_fail(d, map, "one of consecutive5xx, consecutiveGatewayErrors and consecutiveLocalFailures must be given");
        if (p->outlier.base_ejection_ms < 100 || p->outlier.base_ejection_ms > 86400000)
                return decoder_fail(d, map, "baseEjectionTime must be 100ms to 24h");
        return 0;
}
static const struct schema outlier = { SCHEMA_FIELDS(outlier_fields), .strict = true, .check = outlier_check };

static const struct field breaker_fields[] = {
        COUNT("maxConnections", breaker.connections), COUNT("maxPendingRequests", breaker.pending), COUNT("maxRequests", breaker.requests),
        COUNT("maxRetries", breaker.retries),
        { "queueTimeout", FIELD_DURATION, 0, AT(breaker.queue_timeout_ms) },
};
static const struct schema breaker = { SCHEMA_FIELDS(breaker_fields), .strict = true };

static const struct choice version_choices[] = { { "V1", 0 }, { "V2", 0 }, { NULL, 0 } };
static const struct field proxy_out_fields[] = {
        { "version", FIELD_STRING, FIELD_REQUIRED, AT(proxy_protocol), .choices = version_choices },
};
static const struct schema proxy_out = { SCHEMA_FIELDS(proxy_out_fields), .strict = true };

static const struct field backend_spec_fields[] = {
        { "targetRefs", FIELD_LIST, FIELD_REQUIRED, AT(targets), AT(n_targets), .items_min = 1, .items_max = 16, .sub = &schema_policy_target },
        { "loadBalancer", FIELD_OBJECT, 0, 0, AT(has_balance), .sub = &balance },
        { "healthCheck", FIELD_OBJECT, 0, 0, AT(has_check), .sub = &check },
        { "outlierDetection", FIELD_OBJECT, 0, 0, AT(has_outlier), .sub = &outlier },
        { "circuitBreaker", FIELD_OBJECT, 0, 0, AT(has_breaker), .sub = &breaker },
        { "proxyProtocol", FIELD_OBJECT, 0, 0, .sub = &proxy_out },
        { "connectTimeout", FIELD_DURATION, 0, AT(connect_timeout_ms) },
        COUNT("maxRequestsPerConnection", max_requests_per_connection),
};
static int backend_spec_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct backend_policy *p = obj;
        return targets_check(d, map, p->targets, p->n_targets, "", "Service");
}
static const struct schema backend_spec = { SCHEMA_FIELDS(backend_spec_fields), .strict = true, .check = backend_spec_check };
static const struct field backend_fields[] = { BODY_FIELDS, { "spec", FIELD_OBJECT, FIELD_REQUIRED, .sub = &backend_spec } };
static const struct schema backend_body = { SCHEMA_FIELDS(backend_fields), .strict = true };
const struct kind_schema kind_backend_policy = { sizeof(struct backend_policy), &backend_body, POLICY_VERSIONS, FORMAT_SUBDOMAIN };
#undef AT

/* ---- ClientPolicy */

#define AT(field) offsetof(struct client_policy, field)
static const struct choice mode_choices[] = { { "Required", false }, { "Optional", true }, { NULL, 0 } };
static const struct field proxy_in_fields[] = {
        { "mode", FIELD_ENUM, 0, AT(proxy.optional), .width = sizeof(bool), .choices = mode_choices, .def = "Required" },
        { "trustedSources", FIELD_STRINGS, FIELD_REQUIRED | FIELD_SET, AT(proxy.trusted), .items_min = 1, .items_max = 64, .format = FORMAT_NETWORK },
};
static const struct schema proxy_in = { SCHEMA_FIELDS(proxy_in_fields), .strict = true };
static const struct field sources_fields[] = {
        { "allow", FIELD_STRINGS, FIELD_SET, AT(sources.allow), .items_max = 1024, .format = FORMAT_NETWORK },
        { "deny", FIELD_STRINGS, FIELD_SET, AT(sources.deny), .items_max = 1024, .format = FORMAT_NETWORK },
};
static const struct schema sources = { SCHEMA_FIELDS(sources_fields), .strict = true };
#define RATE(name, field) { name, FIELD_INT, 0, AT(rates.field), .width = sizeof(uint32_t), .min = 1, .max = 4000000 }
static const struct field rates_fields[] = {
        RATE("connectionsPerSecond", connections), RATE("packetsPerSecond", packets), RATE("sourceConnectionsPerSecond", source_connections),
        RATE("sourcePacketsPerSecond", source_packets),
};
static const struct schema rates = { SCHEMA_FIELDS(rates_fields), .strict = true };
static const struct field client_spec_fields[] = {
        { "targetRefs", FIELD_LIST, FIELD_REQUIRED, AT(targets), AT(n_targets), .items_min = 1, .items_max = 16, .sub = &schema_policy_target },
        { "proxyProtocol", FIELD_OBJECT, 0, 0, AT(has_proxy), .sub = &proxy_in },
        { "trustedForwarders", FIELD_STRINGS, FIELD_SET, AT(forwarded_trusted), .items_max = 64, .format = FORMAT_NETWORK },
        { "sources", FIELD_OBJECT, 0, 0, .sub = &sources },
        { "rates", FIELD_OBJECT, 0, 0, .sub = &rates },
};
static int client_spec_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct client_policy *p = obj;
        return targets_check(d, map, p->targets, p->n_targets, GATEWAY_GROUP, "Gateway");
}
static const struct schema client_spec = { SCHEMA_FIELDS(client_spec_fields), .strict = true, .check = client_spec_check };
static const struct field client_fields[] = { BODY_FIELDS, { "spec", FIELD_OBJECT, FIELD_REQUIRED, .sub = &client_spec } };
static const struct schema client_body = { SCHEMA_FIELDS(client_fields), .strict = true };
const struct kind_schema kind_client_policy = { sizeof(struct client_policy), &client_body, POLICY_VERSIONS, FORMAT_SUBDOMAIN };
