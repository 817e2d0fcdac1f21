/* agent/core/httproute_rules.h - the rules of HTTPRoute and GRPCRoute that span fields: what its CRD says in CEL.
 * Layer: agent/core, private to the HTTPRoute tables.  Each is a `check` of schema.h: 0, or -EINVAL with the place. */
#pragma once
#include "agent/core/schema.h"

#define HTTP_FILTERS(F) /* F(ID of enum http_filter_type, type in the API, its field) */ \
        F(REQUEST_HEADER, "RequestHeaderModifier", "requestHeaderModifier") \
        F(RESPONSE_HEADER, "ResponseHeaderModifier", "responseHeaderModifier") \
        F(MIRROR, "RequestMirror", "requestMirror") \
        F(REDIRECT, "RequestRedirect", "requestRedirect") \
        F(REWRITE, "URLRewrite", "urlRewrite") \
        F(EXTENSION_REF, "ExtensionRef", "extensionRef") \
        F(CORS, "CORS", "cors") \
        F(EXTERNAL_AUTH, "ExternalAuth", "externalAuth")

int rules_path(struct decoder *d, const struct node *map, void *http_match) MUST_USE;
int rules_grpc_method(struct decoder *d, const struct node *map, void *http_match) MUST_USE;
int rules_grpc_match(struct decoder *d, const struct node *map, void *http_match) MUST_USE;
int rules_match(struct decoder *d, const struct node *map, void *http_match) MUST_USE;
int rules_header_edit(struct decoder *d, const struct node *map, void *header_edit) MUST_USE;
int rules_modifier(struct decoder *d, const struct node *map, void *http_filter) MUST_USE;
int rules_redirect(struct decoder *d, const struct node *map, void *http_filter) MUST_USE;
int rules_mirror(struct decoder *d, const struct node *map, void *http_filter) MUST_USE;
int rules_cors(struct decoder *d, const struct node *map, void *http_filter) MUST_USE;
int rules_auth(struct decoder *d, const struct node *map, void *http_filter) MUST_USE;
int rules_filter(struct decoder *d, const struct node *map, void *http_filter) MUST_USE;
int rules_backend_object(struct decoder *d, const struct node *map, void *backend_ref) MUST_USE;
int rules_backend(struct decoder *d, const struct node *map, void *backend_ref) MUST_USE;
int rules_timeouts(struct decoder *d, const struct node *map, void *http_rule) MUST_USE;
int rules_session(struct decoder *d, const struct node *map, void *http_rule) MUST_USE;
int rules_rule(struct decoder *d, const struct node *map, void *http_rule) MUST_USE;
int rules_route(struct decoder *d, const struct node *map, void *http_route) MUST_USE;
