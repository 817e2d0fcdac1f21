/* agent/core/objects.h - typed Kubernetes objects as the agent keeps them: trimmed, defaulted, validated.
 * Layer: agent/core, pure.  Immutable once decoded; one arena per object (object.arena).  Strings are NUL-terminated and
 * never NULL ("" = absent) unless said; optional numbers carry has_x.  Field names follow the API (Gateway API v1.6,
 * core/v1, discovery.k8s.io/v1).  Only what the agent acts on or must report is kept; unknown fields are ignored, unknown
 * enum values are kept as text where a status has to name them. */
#pragma once
#include "lib/core/arena.h"
#include "lib/core/ipaddr.h"

#define GATEHOUSE_GROUP "gatehouse.dev"
#define OBJECT_KINDS(K) /* K(ID, "Kind", "group", namespaced) */ \
        K(GATEWAY_CLASS, "GatewayClass", "gateway.networking.k8s.io", false) \
        K(GATEWAY, "Gateway", "gateway.networking.k8s.io", true) \
        K(LISTENER_SET, "ListenerSet", "gateway.networking.k8s.io", true) \
        K(HTTP_ROUTE, "HTTPRoute", "gateway.networking.k8s.io", true) \
        K(GRPC_ROUTE, "GRPCRoute", "gateway.networking.k8s.io", true) \
        K(TLS_ROUTE, "TLSRoute", "gateway.networking.k8s.io", true) \
        K(TCP_ROUTE, "TCPRoute", "gateway.networking.k8s.io", true) \
        K(UDP_ROUTE, "UDPRoute", "gateway.networking.k8s.io", true) \
        K(BACKEND_TLS_POLICY, "BackendTLSPolicy", "gateway.networking.k8s.io", true) \
        K(BACKEND_POLICY, "BackendPolicy", GATEHOUSE_GROUP, true) \
        K(CLIENT_POLICY, "ClientPolicy", GATEHOUSE_GROUP, true) \
        K(REFERENCE_GRANT, "ReferenceGrant", "gateway.networking.k8s.io", true) \
        K(SERVICE, "Service", "", true) \
        K(ENDPOINT_SLICE, "EndpointSlice", "discovery.k8s.io", true) \
        K(SECRET, "Secret", "", true) \
        K(CONFIG_MAP, "ConfigMap", "", true) \
        K(NAMESPACE, "Namespace", "", false)
enum object_kind {
#define K(id, name, group, namespaced) OBJECT_##id,
        OBJECT_KINDS(K)
#undef K
        OBJECT_KIND_N
};
const char *object_kind_str(enum object_kind k);  /* "HTTPRoute" */
const char *object_group_str(enum object_kind k); /* "gateway.networking.k8s.io" */
const char *object_version_str(enum object_kind k); /* the version its status is written in: "v1", "v1alpha1" */
bool object_is_ours(enum object_kind k);  /* of Gatehouse's own group: an API server may not have it */
bool object_is_policy(enum object_kind k); /* its status is a list of ancestors */
bool object_namespaced(enum object_kind k);
bool object_is_l4_route(enum object_kind k); /* TCPRoute, UDPRoute: served by the front tier alone */
bool object_is_route(enum object_kind k); /* attaches to listeners, and has a status per parent */
/* -1 when the pair is none of ours. */
int object_kind_find(const char *group, const char *kind);

struct label { const char *key, *value; };
struct labels { const struct label *v; size_t n; };
struct strings { const char **v; size_t n; };
const char *labels_get(const struct labels *l, const char *key); /* NULL when absent; l is sorted by key */

struct object { /* first member of every kind */
        struct arena arena;
        enum object_kind kind;
        const char *namespace, *name, *uid;
        int64_t generation;         /* directory source: counts changes of this object, from 1 */
        int64_t created_s;          /* creationTimestamp, Unix seconds; directory source without one: 0 */
        const char *resource_version;
        struct labels labels, annotations;
        struct sha_of_object { uint8_t b[32]; } digest; /* of the trimmed content: equal = nothing changed */
        struct sha_of_object spec_digest; /* the same without metadata: a difference is a new generation */
        const char *origin;         /* "routes.yaml:12", or the API path: for error messages */
};
void object_free(struct object *o); /* frees the arena it lives in, wipes a Secret's values first; NULL is legal */

struct gateway_class {
        struct object o;
        const char *controller_name;
        bool has_parameters_ref;
        struct { const char *group, *kind, *name, *namespace; } parameters_ref;
        const char *description;
};

struct label_expression { const char *key, *op; struct strings values; }; /* In, NotIn, Exists, DoesNotExist */
struct label_selector { struct labels match_labels; const struct label_expression *exprs; size_t n_exprs; };
struct object_ref { const char *group, *kind, *namespace, *name; }; /* namespace "" = the referrer's own */
struct route_kind { const char *group, *kind; };
enum from_namespaces { FROM_SAME, FROM_ALL, FROM_SELECTOR, FROM_NONE };

struct gateway_listener {
        const char *name, *hostname; /* hostname lower case, "" = any */
        uint16_t port;
        const char *protocol;        /* text: an unknown one is reported, not a decode error */
        bool has_tls;
        struct {
                const char *mode;    /* "Terminate" | "Passthrough" */
                const struct object_ref *certificate_refs; size_t n_certificate_refs;
                struct labels options;
        } tls;
        enum from_namespaces from;
        bool has_selector;           /* absent selects nothing, empty selects everything */
        struct label_selector selector;
        bool has_kinds;
        const struct route_kind *kinds; size_t n_kinds;
        const char *place; /* "gw.yaml:14: spec.listeners[0]" */
};
struct gateway_address { const char *type, *value; }; /* type default "IPAddress"; value "" = allocate */
struct client_validation { /* spec.tls.frontend: certificates asked of clients */
        const struct object_ref *ca_refs; size_t n_ca_refs; /* first: a flag at offset 0 is none to agent/core/schema.h */
        bool has_validation;
        const char *mode; /* "AllowValidOnly" | "AllowInsecureFallback"; "" without validation */
};
struct port_validation { uint16_t port; struct client_validation client; };
struct gateway {
        struct object o;
        const char *class_name;
        const struct gateway_listener *listeners; size_t n_listeners;
        const struct gateway_address *addresses; size_t n_addresses;
        struct labels infra_labels, infra_annotations;
        bool has_parameters_ref;
        struct object_ref parameters_ref;
        bool has_client_validation;  /* spec.tls.frontend is there */
        struct client_validation client_validation; /* spec.tls.frontend.default */
        const struct port_validation *port_validation; size_t n_port_validation;
        bool has_client_certificate; /* spec.tls.backend.clientCertificateRef */
        struct object_ref client_certificate;
        const char *default_scope;   /* experimental: "" | "All" | "None" */
        enum from_namespaces sets_from; /* spec.allowedListeners: FROM_NONE unless said */
        bool has_sets_selector;
        struct label_selector sets_selector;
};
struct listener_set {
        struct object o;
        struct object_ref parent;
        const struct gateway_listener *listeners; size_t n_listeners;
};

struct parent_ref {
        const char *group, *kind, *namespace, *name, *section_name; /* namespace "" = own; group/kind defaulted */
        uint16_t port; /* 0 = any */
};
struct name_value { const char *name, *value; };
enum path_match { PATH_EXACT, PATH_PREFIX, PATH_REGEX };
struct value_match { const char *name, *value; bool regex; };
struct http_match {
        enum path_match path_type; const char *path; /* default PATH_PREFIX "/" */
        const struct value_match *headers; size_t n_headers;
        const struct value_match *query; size_t n_query;
        const char *method; /* "" = any */
        const char *grpc_service, *grpc_method; /* GRPCRoute: "" = any; then no path, method or query is given */
        bool grpc_regex;
};
struct header_edit { /* requestHeaderModifier / responseHeaderModifier */
        const struct name_value *set; size_t n_set;
        const struct name_value *add; size_t n_add;
        struct strings remove;
};
enum path_modifier { PATH_KEEP, PATH_REPLACE_FULL, PATH_REPLACE_PREFIX };
struct backend_ref {
        struct object_ref ref; /* group "" kind "Service" by default */
        bool has_port; uint16_t port;
        uint32_t weight; /* default 1 */
        const struct http_filter *filters; size_t n_filters;
        const char *place;
};
enum http_filter_type {
        FILTER_REQUEST_HEADER, FILTER_RESPONSE_HEADER, FILTER_REDIRECT, FILTER_REWRITE, FILTER_MIRROR, FILTER_CORS,
        FILTER_EXTENSION_REF, FILTER_EXTERNAL_AUTH
};
struct http_filter {
        enum http_filter_type type;
        struct header_edit headers;  /* the two header modifiers */
        struct {
                const char *scheme, *hostname; uint16_t port; /* "" and 0 = keep */
                enum path_modifier path_type; const char *path; uint16_t status; /* default 302 */
        } redirect;
        struct { const char *hostname; enum path_modifier path_type; const char *path; } rewrite;
        struct { struct backend_ref backend; bool has_percent; uint32_t percent; bool has_fraction; uint32_t numerator, denominator; } mirror;
        struct { struct strings allow_origins, allow_methods, allow_headers, expose_headers; bool allow_credentials; uint32_t max_age_s; } cors;
        struct object_ref extension;
        struct { /* experimental */
                const char *protocol; /* "HTTP" | "GRPC" */
                struct backend_ref backend;
                bool has_http, has_grpc;
                const char *path; struct strings allowed_headers, allowed_response_headers;
                bool has_body; uint32_t max_body_bytes;
        } auth;
        const char *place;
};
enum session_type { SESSION_COOKIE, SESSION_HEADER };
struct http_rule {
        const char *name;
        const struct http_match *matches; size_t n_matches; /* at least the default one */
        const struct http_filter *filters; size_t n_filters;
        const struct backend_ref *backends; size_t n_backends;
        bool has_request_timeout, has_backend_timeout;
        uint32_t request_timeout_ms, backend_timeout_ms; /* 0 with has_ = disabled */
        bool has_session_persistence; /* experimental */
        struct {
                enum session_type type; const char *name;
                bool has_absolute_timeout, has_idle_timeout, permanent; /* permanent: the cookie outlives the browser */
                uint32_t absolute_timeout_ms, idle_timeout_ms;
        } session;
        bool has_retry; struct { uint32_t attempts; uint32_t backoff_ms; const uint16_t *codes; size_t n_codes; } retry;
        const char *place;
};
struct http_route { /* GRPCRoute, TCPRoute and UDPRoute too: o.kind tells; rules have the fields of all (l4: name and backends) */
        struct object o;
        const struct parent_ref *parents; size_t n_parents;
        struct strings hostnames; /* lower case */
        const struct http_rule *rules; size_t n_rules;
        const char *use_default_gateways; /* experimental: "" | "All" | "None" */
};

struct policy_target { const char *group, *kind, *name, *section_name; };
struct subject_alt_name { const char *type, *hostname, *uri; }; /* type "Hostname" | "URI": which of the two counts */
struct backend_tls_policy {
        struct object o;
        const struct policy_target *targets; size_t n_targets;
        const struct object_ref *ca_refs; size_t n_ca_refs; /* namespace always "" */
        const char *well_known;      /* "" | "System" | implementation-specific; one of the two is there */
        const char *hostname;
        const struct subject_alt_name *sans; size_t n_sans;
        struct labels options;
};

/* gatehouse.dev: all times in milliseconds, 0 = not given. */
enum balance_type { BALANCE_ROUND_ROBIN, BALANCE_LEAST_REQUEST, BALANCE_RANDOM, BALANCE_RING_HASH, BALANCE_MAGLEV };
enum hash_type { HASH_SOURCE, HASH_HEADER, HASH_COOKIE, HASH_PATH };
enum check_type { CHECK_HTTP, CHECK_TCP, CHECK_GRPC };
struct backend_policy {
        struct object o;
        const struct policy_target *targets; size_t n_targets;
        bool has_balance;
        struct {
                enum balance_type type;
                enum hash_type hash; const char *hash_name; bool has_hash; /* hash_name "": the type needs none */
                uint32_t slow_start_ms, panic_percent;
        } balance;
        bool has_check;
        struct {
                enum check_type type;
                uint32_t interval_ms, timeout_ms, healthy, unhealthy;
                uint16_t port; /* 0 = the endpoint's */
                const char *path, *host, *service; struct strings statuses;
        } check;
        bool has_outlier;
        struct { uint32_t errors, gateway_errors, local_failures, base_ejection_ms, max_ejection_percent; } outlier;
        bool has_breaker;
        struct { uint32_t connections, pending, requests, retries, queue_timeout_ms; } breaker;
        const char *proxy_protocol; /* "" | "V1" | "V2" */
        uint32_t connect_timeout_ms, max_requests_per_connection;
};
struct client_policy {
        struct object o;
        const struct policy_target *targets; size_t n_targets;
        bool has_proxy;
        struct { bool optional; struct strings trusted; } proxy; /* networks as "10.0.0.0/8" */
        struct strings forwarded_trusted;
        struct { struct strings allow, deny; } sources; /* networks */
        struct { uint32_t connections, packets, source_connections, source_packets; } rates; /* a second; 0 = any */
};

struct grant_from { const char *group, *kind, *namespace; };
struct grant_to { const char *group, *kind, *name; }; /* name "" = any */
struct reference_grant {
        struct object o;
        const struct grant_from *from; size_t n_from;
        const struct grant_to *to; size_t n_to;
};
struct service_port { const char *name, *protocol, *app_protocol, *target_name; uint16_t port, target_port, node_port; };
struct service {
        struct object o;
        const char *type, *cluster_ip; /* "None" = headless */
        const struct service_port *ports; size_t n_ports;
        struct labels selector;
        bool publish_not_ready;
};
struct slice_endpoint {
        struct strings addresses;
        bool ready, serving, terminating; /* nil ready = true, nil serving = ready */
        const char *node, *zone, *target; /* target: pod name */
};
struct slice_port { const char *name, *protocol, *app_protocol; uint16_t port; };
struct endpoint_slice {
        struct object o;
        const char *service; /* label kubernetes.io/service-name */
        const char *address_type; /* IPv4, IPv6, FQDN */
        const struct slice_endpoint *endpoints; size_t n_endpoints;
        const struct slice_port *ports; size_t n_ports;
};
struct data_item { const char *key; struct span value; };
struct secret { struct object o; const char *type; const struct data_item *data; size_t n_data; }; /* base64 already decoded; stringData folded in */
struct config_map { struct object o; const struct data_item *data; size_t n_data; };
struct namespace_object { struct object o; }; /* labels matter; kubernetes.io/metadata.name is always set */
/* A Namespace no document declares, with that label and nothing else; NULL out of memory. */
struct object *namespace_new(const char *name) MUST_USE;
