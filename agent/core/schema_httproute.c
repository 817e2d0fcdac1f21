/* agent/core/schema_httproute.c - HTTPRoute, GRPCRoute, TCPRoute and UDPRoute of Gateway API v1.6 (with the experimental fields): the tables.  All
 * decode into struct http_route.  The rules
 * over several fields are in httproute_rules.c. */
#include "lib/base.h"

#include "agent/core/httproute_rules.h"
#include "agent/core/schema_refs.h"

#define NAME_FIELD(T, member)                                                                                          \
        { "name", FIELD_STRING, FIELD_REQUIRED, offsetof(T, member), .min = 1, .max = 256, .format = FORMAT_TOKEN }
#define PORT_FIELD(T, member, has)                                                                                     \
        { "port", FIELD_INT, 0, offsetof(T, member), has, .width = sizeof(uint16_t), .min = 1, .max = 65535 }
#define WORD_SET(name, T, member, n, chars, fmt)                                                                      \
        { name, FIELD_STRINGS, FIELD_SET, offsetof(T, member), .min = 1, .max = chars, .items_max = n, .format = fmt }

/* matches */

static const struct choice path_choices[] = {
        { "Exact", PATH_EXACT }, { "PathPrefix", PATH_PREFIX }, { "RegularExpression", PATH_REGEX }, { NULL, 0 }
};
static const struct field path_fields[] = {
        { "type", FIELD_ENUM, 0, offsetof(struct http_match, path_type), .choices = path_choices, .def = "PathPrefix" },
        { "value", FIELD_STRING, 0, offsetof(struct http_match, path), .max = 1024, .def = "/" },
};
static const struct schema path = { SCHEMA_FIELDS(path_fields), .strict = true, .check = rules_path };

static const struct choice value_choices[] = { { "Exact", 0 }, { "RegularExpression", 1 }, { NULL, 0 } };
static const struct field header_fields[] = {
        { "type", FIELD_ENUM, 0, offsetof(struct value_match, regex), .width = sizeof(bool), .choices = value_choices,
          .def = "Exact" },
        NAME_FIELD(struct value_match, name),
        { "value", FIELD_STRING, FIELD_REQUIRED, offsetof(struct value_match, value), .min = 1, .max = 4096,
          .format = FORMAT_HEADER_VALUE },
};
static const struct schema header = { sizeof(struct value_match), SCHEMA_FIELDS(header_fields), .strict = true };
static const struct field query_fields[] = {
        { "type", FIELD_ENUM, 0, offsetof(struct value_match, regex), .width = sizeof(bool), .choices = value_choices,
          .def = "Exact" },
        NAME_FIELD(struct value_match, name),
        { "value", FIELD_STRING, FIELD_REQUIRED, offsetof(struct value_match, value), .min = 1, .max = 1024 },
};
static const struct schema query = { sizeof(struct value_match), SCHEMA_FIELDS(query_fields), .strict = true };

#define METHODS                                                                                                        \
        { "GET", 0 }, { "HEAD", 0 }, { "POST", 0 }, { "PUT", 0 }, { "DELETE", 0 }, { "CONNECT", 0 },                   \
        { "OPTIONS", 0 }, { "TRACE", 0 }, { "PATCH", 0 }
static const struct choice method_choices[] = { METHODS, { NULL, 0 } };
static const struct field match_fields[] = {
        { "path", FIELD_OBJECT, FIELD_DEFAULTED, 0, .sub = &path },
        { "headers", FIELD_LIST, 0, offsetof(struct http_match, headers), offsetof(struct http_match, n_headers),
          .items_max = 16, .sub = &header, .unique = "name", .unique_offset = offsetof(struct value_match, name) },
        { "queryParams", FIELD_LIST, 0, offsetof(struct http_match, query), offsetof(struct http_match, n_query),
          .items_max = 16, .sub = &query, .unique = "name", .unique_offset = offsetof(struct value_match, name) },
        { "method", FIELD_STRING, 0, offsetof(struct http_match, method), .choices = method_choices },
};
static const struct schema match = { sizeof(struct http_match), SCHEMA_FIELDS(match_fields), .strict = true,
                                     .check = rules_match };

/* filters */

static const struct field edit_value_fields[] = {
        NAME_FIELD(struct name_value, name),
        { "value", FIELD_STRING, FIELD_REQUIRED, offsetof(struct name_value, value), .min = 1, .max = 4096,
          .format = FORMAT_HEADER_VALUE },
};
static const struct schema edit_value = { sizeof(struct name_value), SCHEMA_FIELDS(edit_value_fields), .strict = true };
static const struct field edit_fields[] = {
        { "set", FIELD_LIST, 0, offsetof(struct header_edit, set), offsetof(struct header_edit, n_set), .items_max = 16,
          .sub = &edit_value, .unique = "name", .unique_offset = offsetof(struct name_value, name) },
        { "add", FIELD_LIST, 0, offsetof(struct header_edit, add), offsetof(struct header_edit, n_add), .items_max = 16,
          .sub = &edit_value, .unique = "name", .unique_offset = offsetof(struct name_value, name) },
        /* The CRD gives the names to remove no format; one that is no token can match nothing, so it is a mistake. */
        WORD_SET("remove", struct header_edit, remove, 16, 256, FORMAT_TOKEN),
};
static const struct schema edit = { SCHEMA_FIELDS(edit_fields), .strict = true, .check = rules_header_edit };

static const struct choice modifier_choices[] = {
        { "ReplaceFullPath", PATH_REPLACE_FULL }, { "ReplacePrefixMatch", PATH_REPLACE_PREFIX }, { NULL, 0 }
};
#define MODIFIER_FIELDS(part)                                                                                          \
        { "type", FIELD_ENUM, FIELD_REQUIRED, offsetof(struct http_filter, part.path_type),                            \
          .choices = modifier_choices },                                                                               \
        { "replaceFullPath", FIELD_STRING, 0, offsetof(struct http_filter, part.path), .max = 1024 },                  \
        { "replacePrefixMatch", FIELD_STRING, 0, offsetof(struct http_filter, part.path), .max = 1024 }
static const struct field redirect_path_fields[] = { MODIFIER_FIELDS(redirect) };
static const struct schema redirect_path = { SCHEMA_FIELDS(redirect_path_fields), .strict = true,
                                             .check = rules_modifier };
static const struct field rewrite_path_fields[] = { MODIFIER_FIELDS(rewrite) };
static const struct schema rewrite_path = { SCHEMA_FIELDS(rewrite_path_fields), .strict = true,
                                            .check = rules_modifier };

static const struct choice scheme_choices[] = { { "http", 0 }, { "https", 0 }, { NULL, 0 } };
static const struct field redirect_fields[] = {
        { "scheme", FIELD_STRING, 0, offsetof(struct http_filter, redirect.scheme), .choices = scheme_choices },
        { "hostname", FIELD_STRING, 0, offsetof(struct http_filter, redirect.hostname), .min = 1, .max = 253,
          .format = FORMAT_SUBDOMAIN },
        { "path", FIELD_OBJECT, 0, 0, .sub = &redirect_path },
        PORT_FIELD(struct http_filter, redirect.port, 0),
        { "statusCode", FIELD_INT, 0, offsetof(struct http_filter, redirect.status), .width = sizeof(uint16_t),
          .min = 301, .max = 308, .def = "302" },
};
static const struct schema redirect = { SCHEMA_FIELDS(redirect_fields), .strict = true, .check = rules_redirect };
static const struct field rewrite_fields[] = {
        { "hostname", FIELD_STRING, 0, offsetof(struct http_filter, rewrite.hostname), .min = 1, .max = 253,
          .format = FORMAT_SUBDOMAIN },
        { "path", FIELD_OBJECT, 0, 0, .sub = &rewrite_path },
};
static const struct schema rewrite = { SCHEMA_FIELDS(rewrite_fields), .strict = true };

#define BACKEND_FIELDS                                                                                                 \
        { "group", FIELD_STRING, 0, offsetof(struct backend_ref, ref.group), .max = 253, .format = FORMAT_GROUP },     \
        { "kind", FIELD_STRING, 0, offsetof(struct backend_ref, ref.kind), .format = FORMAT_KIND, .def = "Service" },  \
        { "name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct backend_ref, ref.name), .min = 1, .max = 253 },        \
        { "namespace", FIELD_STRING, 0, offsetof(struct backend_ref, ref.namespace), .min = 1,                         \
          .format = FORMAT_LABEL },                                                                                    \
        PORT_FIELD(struct backend_ref, port, offsetof(struct backend_ref, has_port))
static const struct field backend_object_fields[] = { BACKEND_FIELDS };
static const struct schema backend_object = { SCHEMA_FIELDS(backend_object_fields), .strict = true,
                                              .place = offsetof(struct backend_ref, place),
                                              .check = rules_backend_object };

static const struct field fraction_fields[] = {
        { "numerator", FIELD_INT, FIELD_REQUIRED, offsetof(struct http_filter, mirror.numerator),
          .width = sizeof(uint32_t), .min = 0, .max = INT32_MAX },
        { "denominator", FIELD_INT, 0, offsetof(struct http_filter, mirror.denominator), .width = sizeof(uint32_t),
          .min = 1, .max = INT32_MAX, .def = "100" },
};
static const struct schema fraction = { SCHEMA_FIELDS(fraction_fields), .strict = true };
static const struct field mirror_fields[] = {
        { "backendRef", FIELD_OBJECT, FIELD_REQUIRED, offsetof(struct http_filter, mirror.backend),
          .sub = &backend_object },
        { "percent", FIELD_INT, 0, offsetof(struct http_filter, mirror.percent),
          offsetof(struct http_filter, mirror.has_percent), .width = sizeof(uint32_t), .min = 0, .max = 100 },
        { "fraction", FIELD_OBJECT, 0, 0, offsetof(struct http_filter, mirror.has_fraction), .sub = &fraction },
};
static const struct schema mirror = { SCHEMA_FIELDS(mirror_fields), .strict = true, .check = rules_mirror };

static const struct choice cors_methods[] = { METHODS, { "*", 0 }, { NULL, 0 } };
static const struct field cors_fields[] = {
        WORD_SET("allowOrigins", struct http_filter, cors.allow_origins, 64, 253, FORMAT_ORIGIN),
        { "allowMethods", FIELD_STRINGS, FIELD_SET, offsetof(struct http_filter, cors.allow_methods), .items_max = 9,
          .choices = cors_methods },
        WORD_SET("allowHeaders", struct http_filter, cors.allow_headers, 64, 256, FORMAT_TOKEN),
        WORD_SET("exposeHeaders", struct http_filter, cors.expose_headers, 64, 256, FORMAT_TOKEN),
        { "allowCredentials", FIELD_BOOL, 0, offsetof(struct http_filter, cors.allow_credentials) },
        { "maxAge", FIELD_INT, 0, offsetof(struct http_filter, cors.max_age_s), .width = sizeof(uint32_t), .min = 1,
          .max = INT32_MAX, .def = "5" },
};
static const struct schema cors = { SCHEMA_FIELDS(cors_fields), .strict = true, .check = rules_cors };

static const struct field extension_fields[] = {
        { "group", FIELD_STRING, FIELD_REQUIRED, offsetof(struct object_ref, group), .max = 253,
          .format = FORMAT_GROUP },
        { "kind", FIELD_STRING, FIELD_REQUIRED, offsetof(struct object_ref, kind), .format = FORMAT_KIND },
        { "name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct object_ref, name), .min = 1, .max = 253 },
};
static const struct schema extension = { SCHEMA_FIELDS(extension_fields), .strict = true };

static const struct choice auth_protocols[] = { { "HTTP", 0 }, { "GRPC", 0 }, { NULL, 0 } };
static const struct field auth_grpc_fields[] = {
        WORD_SET("allowedHeaders", struct http_filter, auth.allowed_headers, 64, 256, FORMAT_TOKEN),
};
static const struct schema auth_grpc = { SCHEMA_FIELDS(auth_grpc_fields), .strict = true };
static const struct field auth_http_fields[] = {
        { "path", FIELD_STRING, 0, offsetof(struct http_filter, auth.path), .max = 1024, .format = FORMAT_URI_PATH },
        WORD_SET("allowedHeaders", struct http_filter, auth.allowed_headers, 64, 256, FORMAT_TOKEN),
        WORD_SET("allowedResponseHeaders", struct http_filter, auth.allowed_response_headers, 64, 256, FORMAT_TOKEN),
};
static const struct schema auth_http = { SCHEMA_FIELDS(auth_http_fields), .strict = true };
static const struct field auth_body_fields[] = {
        { "maxSize", FIELD_INT, 0, offsetof(struct http_filter, auth.max_body_bytes), .width = sizeof(uint32_t),
          .min = 0, .max = UINT16_MAX },
};
static const struct schema auth_body = { SCHEMA_FIELDS(auth_body_fields), .strict = true };
static const struct field auth_fields[] = {
        { "protocol", FIELD_STRING, FIELD_REQUIRED, offsetof(struct http_filter, auth.protocol),
          .choices = auth_protocols },
        { "backendRef", FIELD_OBJECT, FIELD_REQUIRED, offsetof(struct http_filter, auth.backend),
          .sub = &backend_object },
        { "grpc", FIELD_OBJECT, 0, 0, offsetof(struct http_filter, auth.has_grpc), .sub = &auth_grpc },
        { "http", FIELD_OBJECT, 0, 0, offsetof(struct http_filter, auth.has_http), .sub = &auth_http },
        { "forwardBody", FIELD_OBJECT, 0, 0, offsetof(struct http_filter, auth.has_body), .sub = &auth_body },
};
static const struct schema auth = { SCHEMA_FIELDS(auth_fields), .strict = true, .check = rules_auth };

static const struct choice filter_choices[] = {
#define F(id, name, field) { name, FILTER_##id },
        HTTP_FILTERS(F)
#undef F
        { NULL, 0 }
};
static const struct field filter_fields[] = {
        { "type", FIELD_ENUM, FIELD_REQUIRED, offsetof(struct http_filter, type), .choices = filter_choices },
        { "requestHeaderModifier", FIELD_OBJECT, 0, offsetof(struct http_filter, headers), .sub = &edit },
        { "responseHeaderModifier", FIELD_OBJECT, 0, offsetof(struct http_filter, headers), .sub = &edit },
        { "requestMirror", FIELD_OBJECT, 0, 0, .sub = &mirror },
        { "requestRedirect", FIELD_OBJECT, 0, 0, .sub = &redirect },
        { "urlRewrite", FIELD_OBJECT, 0, 0, .sub = &rewrite },
        { "cors", FIELD_OBJECT, 0, 0, .sub = &cors },
        { "extensionRef", FIELD_OBJECT, 0, offsetof(struct http_filter, extension), .sub = &extension },
        { "externalAuth", FIELD_OBJECT, 0, 0, .sub = &auth },
};
static const struct schema filter = { sizeof(struct http_filter), SCHEMA_FIELDS(filter_fields), .strict = true,
                                      .place = offsetof(struct http_filter, place), .check = rules_filter };

/* backends, rules, the route */

static const struct field backend_fields[] = {
        BACKEND_FIELDS,
        { "weight", FIELD_INT, 0, offsetof(struct backend_ref, weight), .width = sizeof(uint32_t), .min = 0,
          .max = 1000000, .def = "1" },
        { "filters", FIELD_LIST, 0, offsetof(struct backend_ref, filters), offsetof(struct backend_ref, n_filters),
          .items_max = 16, .sub = &filter },
};
static const struct schema backend = { sizeof(struct backend_ref), SCHEMA_FIELDS(backend_fields), .strict = true,
                                       .place = offsetof(struct backend_ref, place), .check = rules_backend };

static const struct field timeouts_fields[] = {
        { "request", FIELD_DURATION, 0, offsetof(struct http_rule, request_timeout_ms),
          offsetof(struct http_rule, has_request_timeout) },
        { "backendRequest", FIELD_DURATION, 0, offsetof(struct http_rule, backend_timeout_ms),
          offsetof(struct http_rule, has_backend_timeout) },
};
static const struct schema timeouts = { SCHEMA_FIELDS(timeouts_fields), .strict = true, .check = rules_timeouts };
static const struct field retry_fields[] = {
        { "codes", FIELD_NUMBERS, FIELD_SET, offsetof(struct http_rule, retry.codes),
          offsetof(struct http_rule, retry.n_codes), .min = 400, .max = 599 },
        { "attempts", FIELD_INT, 0, offsetof(struct http_rule, retry.attempts), .width = sizeof(uint32_t), .min = 1,
          .max = INT32_MAX },
        { "backoff", FIELD_DURATION, 0, offsetof(struct http_rule, retry.backoff_ms) },
};
static const struct schema retry = { SCHEMA_FIELDS(retry_fields), .strict = true };

static const struct choice session_choices[] = { { "Cookie", SESSION_COOKIE }, { "Header", SESSION_HEADER }, { NULL, 0 } };
static const struct choice lifetime_choices[] = { { "Session", false }, { "Permanent", true }, { NULL, 0 } };
static const struct field cookie_fields[] = {
        { "lifetimeType", FIELD_ENUM, 0, offsetof(struct http_rule, session.permanent), .width = sizeof(bool),
          .choices = lifetime_choices, .def = "Session" },
};
static const struct schema cookie = { SCHEMA_FIELDS(cookie_fields), .strict = true };
static const struct field session_fields[] = {
        { "sessionName", FIELD_STRING, 0, offsetof(struct http_rule, session.name), .max = 128 },
        { "absoluteTimeout", FIELD_DURATION, 0, offsetof(struct http_rule, session.absolute_timeout_ms),
          offsetof(struct http_rule, session.has_absolute_timeout) },
        { "idleTimeout", FIELD_DURATION, 0, offsetof(struct http_rule, session.idle_timeout_ms),
          offsetof(struct http_rule, session.has_idle_timeout) },
        { "type", FIELD_ENUM, 0, offsetof(struct http_rule, session.type), .choices = session_choices, .def = "Cookie" },
        { "cookieConfig", FIELD_OBJECT, 0, 0, .sub = &cookie },
};
static const struct schema session = { SCHEMA_FIELDS(session_fields), .strict = true, .check = rules_session };

static const struct field rule_fields[] = {
        { "name", FIELD_STRING, 0, offsetof(struct http_rule, name), .min = 1, .max = 253, .format = FORMAT_SUBDOMAIN },
        { "matches", FIELD_LIST, FIELD_DEFAULTED, offsetof(struct http_rule, matches),
          offsetof(struct http_rule, n_matches), .items_max = 64, .sub = &match },
        { "filters", FIELD_LIST, 0, offsetof(struct http_rule, filters), offsetof(struct http_rule, n_filters),
          .items_max = 16, .sub = &filter },
        { "backendRefs", FIELD_LIST, 0, offsetof(struct http_rule, backends), offsetof(struct http_rule, n_backends),
          .items_max = 16, .sub = &backend },
        { "timeouts", FIELD_OBJECT, 0, 0, .sub = &timeouts },
        { "retry", FIELD_OBJECT, 0, 0, offsetof(struct http_rule, has_retry), .sub = &retry },
        { "sessionPersistence", FIELD_OBJECT, 0, 0, offsetof(struct http_rule, has_session_persistence), .sub = &session },
};
static const struct schema rule = { sizeof(struct http_rule), SCHEMA_FIELDS(rule_fields), .strict = true,
                                    .place = offsetof(struct http_rule, place), .check = rules_rule };

static const struct field parent_fields[] = {
        { "group", FIELD_STRING, 0, offsetof(struct parent_ref, group), .max = 253, .format = FORMAT_GROUP,
          .def = GATEWAY_GROUP },
        { "kind", FIELD_STRING, 0, offsetof(struct parent_ref, kind), .format = FORMAT_KIND, .def = "Gateway" },
        { "namespace", FIELD_STRING, 0, offsetof(struct parent_ref, namespace), .min = 1, .format = FORMAT_LABEL },
        { "name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct parent_ref, name), .min = 1, .max = 253 },
        { "sectionName", FIELD_STRING, 0, offsetof(struct parent_ref, section_name), .min = 1, .max = 253,
          .format = FORMAT_SUBDOMAIN },
        PORT_FIELD(struct parent_ref, port, 0),
};
static const struct schema parent = { sizeof(struct parent_ref), SCHEMA_FIELDS(parent_fields), .strict = true };

static const struct choice scope_choices[] = { { "All", 0 }, { "None", 0 }, { NULL, 0 } };
static const struct field spec_fields[] = {
        { "parentRefs", FIELD_LIST, 0, offsetof(struct http_route, parents), offsetof(struct http_route, n_parents),
          .items_max = 32, .sub = &parent },
        { "hostnames", FIELD_STRINGS, 0, offsetof(struct http_route, hostnames), .min = 1, .max = 253, .items_max = 16,
          .format = FORMAT_HOSTNAME },
        { "rules", FIELD_LIST, FIELD_DEFAULTED | FIELD_MAY_BE_EMPTY, offsetof(struct http_route, rules),
          offsetof(struct http_route, n_rules), .items_min = 1, .items_max = 16, .sub = &rule },
        { "useDefaultGateways", FIELD_STRING, 0, offsetof(struct http_route, use_default_gateways),
          .choices = scope_choices },
};
static const struct schema spec = { SCHEMA_FIELDS(spec_fields), .strict = true, .check = rules_route };
static const struct field route_fields[] = { BODY_FIELDS, { "spec", FIELD_OBJECT, FIELD_REQUIRED, .sub = &spec } };
static const struct schema route_body = { SCHEMA_FIELDS(route_fields), .strict = true };
const struct kind_schema kind_http_route = { sizeof(struct http_route), &route_body, GATEWAY_VERSIONS,
                                             FORMAT_SUBDOMAIN };

/* GRPCRoute: the same but for matches, and fewer filters and no redirects, timeouts or retries */

static const struct field grpc_method_fields[] = {
        { "type", FIELD_ENUM, 0, offsetof(struct http_match, grpc_regex), .width = sizeof(bool), .choices = value_choices,
          .def = "Exact" },
        { "service", FIELD_STRING, 0, offsetof(struct http_match, grpc_service), .max = 1024 },
        { "method", FIELD_STRING, 0, offsetof(struct http_match, grpc_method), .max = 1024 },
};
static const struct schema grpc_method = { SCHEMA_FIELDS(grpc_method_fields), .strict = true, .check = rules_grpc_method };
static const struct field grpc_match_fields[] = {
        { "method", FIELD_OBJECT, 0, 0, .sub = &grpc_method },
        { "headers", FIELD_LIST, 0, offsetof(struct http_match, headers), offsetof(struct http_match, n_headers),
          .items_max = 16, .sub = &header, .unique = "name", .unique_offset = offsetof(struct value_match, name) },
};
static const struct schema grpc_match = { sizeof(struct http_match), SCHEMA_FIELDS(grpc_match_fields), .strict = true,
                                          .check = rules_grpc_match };
static const struct choice grpc_filter_choices[] = {
        { "RequestHeaderModifier", FILTER_REQUEST_HEADER }, { "ResponseHeaderModifier", FILTER_RESPONSE_HEADER },
        { "RequestMirror", FILTER_MIRROR }, { "ExtensionRef", FILTER_EXTENSION_REF }, { NULL, 0 }
};
static const struct field grpc_filter_fields[] = {
        { "type", FIELD_ENUM, FIELD_REQUIRED, offsetof(struct http_filter, type), .choices = grpc_filter_choices },
        { "requestHeaderModifier", FIELD_OBJECT, 0, offsetof(struct http_filter, headers), .sub = &edit },
        { "responseHeaderModifier", FIELD_OBJECT, 0, offsetof(struct http_filter, headers), .sub = &edit },
        { "requestMirror", FIELD_OBJECT, 0, 0, .sub = &mirror },
        { "extensionRef", FIELD_OBJECT, 0, offsetof(struct http_filter, extension), .sub = &extension },
};
static const struct schema grpc_filter = { sizeof(struct http_filter), SCHEMA_FIELDS(grpc_filter_fields), .strict = true,
                                           .place = offsetof(struct http_filter, place), .check = rules_filter };
static const struct field grpc_backend_fields[] = {
        BACKEND_FIELDS,
        { "weight", FIELD_INT, 0, offsetof(struct backend_ref, weight), .width = sizeof(uint32_t), .min = 0,
          .max = 1000000, .def = "1" },
        { "filters", FIELD_LIST, 0, offsetof(struct backend_ref, filters), offsetof(struct backend_ref, n_filters),
          .items_max = 16, .sub = &grpc_filter },
};
static const struct schema grpc_backend = { sizeof(struct backend_ref), SCHEMA_FIELDS(grpc_backend_fields), .strict = true,
                                            .place = offsetof(struct backend_ref, place), .check = rules_backend };
static const struct field grpc_rule_fields[] = {
        { "name", FIELD_STRING, 0, offsetof(struct http_rule, name), .min = 1, .max = 253, .format = FORMAT_SUBDOMAIN },
        { "matches", FIELD_LIST, FIELD_DEFAULTED, offsetof(struct http_rule, matches),
          offsetof(struct http_rule, n_matches), .items_max = 64, .sub = &grpc_match },
        { "filters", FIELD_LIST, 0, offsetof(struct http_rule, filters), offsetof(struct http_rule, n_filters),
          .items_max = 16, .sub = &grpc_filter },
        { "backendRefs", FIELD_LIST, 0, offsetof(struct http_rule, backends), offsetof(struct http_rule, n_backends),
          .items_max = 16, .sub = &grpc_backend },
        { "sessionPersistence", FIELD_OBJECT, 0, 0, offsetof(struct http_rule, has_session_persistence), .sub = &session },
};
static const struct schema grpc_rule = { sizeof(struct http_rule), SCHEMA_FIELDS(grpc_rule_fields), .strict = true,
                                         .place = offsetof(struct http_rule, place), .check = rules_rule };
static const struct field grpc_spec_fields[] = {
        { "parentRefs", FIELD_LIST, 0, offsetof(struct http_route, parents), offsetof(struct http_route, n_parents),
          .items_max = 32, .sub = &parent },
        { "hostnames", FIELD_STRINGS, 0, offsetof(struct http_route, hostnames), .min = 1, .max = 253, .items_max = 16,
          .format = FORMAT_HOSTNAME },
        { "rules", FIELD_LIST, 0, offsetof(struct http_route, rules), offsetof(struct http_route, n_rules), .items_max = 16,
          .sub = &grpc_rule },
        { "useDefaultGateways", FIELD_STRING, 0, offsetof(struct http_route, use_default_gateways),
          .choices = scope_choices },
};
static const struct schema grpc_spec = { SCHEMA_FIELDS(grpc_spec_fields), .strict = true, .check = rules_route };
static const struct field grpc_route_fields[] = { BODY_FIELDS, { "spec", FIELD_OBJECT, FIELD_REQUIRED, .sub = &grpc_spec } };
static const struct schema grpc_route_body = { SCHEMA_FIELDS(grpc_route_fields), .strict = true };
const struct kind_schema kind_grpc_route = { sizeof(struct http_route), &grpc_route_body, { "v1", NULL },
                                             FORMAT_SUBDOMAIN };

/* TCPRoute and UDPRoute: one rule of nothing but backends */

static const struct field l4_backend_fields[] = {
        BACKEND_FIELDS,
        { "weight", FIELD_INT, 0, offsetof(struct backend_ref, weight), .width = sizeof(uint32_t), .min = 0,
          .max = 1000000, .def = "1" },
};
static const struct schema l4_backend = { sizeof(struct backend_ref), SCHEMA_FIELDS(l4_backend_fields), .strict = true,
                                          .place = offsetof(struct backend_ref, place), .check = rules_backend };
static const struct field l4_rule_fields[] = {
        { "name", FIELD_STRING, 0, offsetof(struct http_rule, name), .min = 1, .max = 253, .format = FORMAT_SUBDOMAIN },
        { "backendRefs", FIELD_LIST, FIELD_REQUIRED, offsetof(struct http_rule, backends), offsetof(struct http_rule, n_backends),
          .items_min = 1, .items_max = 16, .sub = &l4_backend },
};
static const struct schema l4_rule = { sizeof(struct http_rule), SCHEMA_FIELDS(l4_rule_fields), .strict = true,
                                       .place = offsetof(struct http_rule, place) };
static const struct field l4_spec_fields[] = {
        { "parentRefs", FIELD_LIST, 0, offsetof(struct http_route, parents), offsetof(struct http_route, n_parents),
          .items_max = 32, .sub = &parent },
        { "rules", FIELD_LIST, FIELD_REQUIRED, offsetof(struct http_route, rules), offsetof(struct http_route, n_rules),
          .items_min = 1, .items_max = 1, .sub = &l4_rule },
        { "useDefaultGateways", FIELD_STRING, 0, offsetof(struct http_route, use_default_gateways),
          .choices = scope_choices },
};
static const struct schema l4_spec = { SCHEMA_FIELDS(l4_spec_fields), .strict = true, .check = rules_route };
static const struct field l4_route_fields[] = { BODY_FIELDS, { "spec", FIELD_OBJECT, FIELD_REQUIRED, .sub = &l4_spec } };
static const struct schema l4_route_body = { SCHEMA_FIELDS(l4_route_fields), .strict = true };
const struct kind_schema kind_l4_route = { sizeof(struct http_route), &l4_route_body, { "v1", NULL }, FORMAT_SUBDOMAIN };

/* TLSRoute: the same, chosen by server name */

static const struct field tls_spec_fields[] = {
        { "parentRefs", FIELD_LIST, 0, offsetof(struct http_route, parents), offsetof(struct http_route, n_parents),
          .items_max = 32, .sub = &parent },
        { "hostnames", FIELD_STRINGS, FIELD_REQUIRED, offsetof(struct http_route, hostnames), .min = 1, .max = 253, .items_min = 1,
          .items_max = 16, .format = FORMAT_HOSTNAME },
        { "rules", FIELD_LIST, FIELD_REQUIRED, offsetof(struct http_route, rules), offsetof(struct http_route, n_rules),
          .items_min = 1, .items_max = 1, .sub = &l4_rule },
        { "useDefaultGateways", FIELD_STRING, 0, offsetof(struct http_route, use_default_gateways),
          .choices = scope_choices },
};
static const struct schema tls_spec = { SCHEMA_FIELDS(tls_spec_fields), .strict = true, .check = rules_route };
static const struct field tls_route_fields[] = { BODY_FIELDS, { "spec", FIELD_OBJECT, FIELD_REQUIRED, .sub = &tls_spec } };
static const struct schema tls_route_body = { SCHEMA_FIELDS(tls_route_fields), .strict = true };
const struct kind_schema kind_tls_route = { sizeof(struct http_route), &tls_route_body, { "v1", NULL }, FORMAT_SUBDOMAIN };
