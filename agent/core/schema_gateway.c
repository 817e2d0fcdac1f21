/* agent/core/schema_gateway.c - GatewayClass, Gateway and ReferenceGrant of Gateway API v1.6: tables, and the rules
 * their CRDs state in CEL.  Each rule carries the CRD's own expression, shortened, beside it. */
#include "lib/base.h"

#include "agent/core/schema_refs.h"

/* GatewayClass */

static const struct field class_parameters_fields[] = {
        { "group", FIELD_STRING, FIELD_REQUIRED, offsetof(struct gateway_class, parameters_ref.group),
          .format = FORMAT_GROUP },
        { "kind", FIELD_STRING, FIELD_REQUIRED, offsetof(struct gateway_class, parameters_ref.kind),
          .format = FORMAT_KIND },
        { "name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct gateway_class, parameters_ref.name), .min = 1,
          .max = 253 },
        { "namespace", FIELD_STRING, 0, offsetof(struct gateway_class, parameters_ref.namespace),
          .format = FORMAT_LABEL },
};
static const struct schema class_parameters = { SCHEMA_FIELDS(class_parameters_fields), .strict = true };
static const struct field class_spec_fields[] = {
        { "controllerName", FIELD_STRING, FIELD_REQUIRED, offsetof(struct gateway_class, controller_name), .min = 1,
          .max = 253, .format = FORMAT_CONTROLLER },
        { "description", FIELD_STRING, 0, offsetof(struct gateway_class, description), .max = 64 },
        { "parametersRef", FIELD_OBJECT, 0, 0, offsetof(struct gateway_class, has_parameters_ref),
          .sub = &class_parameters },
};
static const struct schema class_spec = { SCHEMA_FIELDS(class_spec_fields), .strict = true };
static const struct field class_fields[] = { BODY_FIELDS,
                                             { "spec", FIELD_OBJECT, FIELD_REQUIRED, .sub = &class_spec } };
static const struct schema class_body = { SCHEMA_FIELDS(class_fields), .strict = true };
const struct kind_schema kind_gateway_class = { sizeof(struct gateway_class), &class_body, GATEWAY_VERSIONS,
                                                FORMAT_SUBDOMAIN };

/* Gateway: listeners */

static const struct field expression_fields[] = {
        { "key", FIELD_STRING, FIELD_REQUIRED, offsetof(struct label_expression, key) },
        { "operator", FIELD_STRING, FIELD_REQUIRED, offsetof(struct label_expression, op) },
        { "values", FIELD_STRINGS, 0, offsetof(struct label_expression, values) },
};
static const struct schema expression = { sizeof(struct label_expression), SCHEMA_FIELDS(expression_fields),
                                          .strict = true };
static const struct field selector_fields[] = {
        { "matchLabels", FIELD_LABELS, 0, offsetof(struct label_selector, match_labels) },
        { "matchExpressions", FIELD_LIST, 0, offsetof(struct label_selector, exprs),
          offsetof(struct label_selector, n_exprs), .sub = &expression },
};
static const struct schema selector = { SCHEMA_FIELDS(selector_fields), .strict = true };

static const struct field kind_fields[] = {
        { "group", FIELD_STRING, 0, offsetof(struct route_kind, group), .max = 253, .format = FORMAT_GROUP,
          .def = GATEWAY_GROUP },
        { "kind", FIELD_STRING, FIELD_REQUIRED, offsetof(struct route_kind, kind), .format = FORMAT_KIND },
};
static const struct schema route_kind = { sizeof(struct route_kind), SCHEMA_FIELDS(kind_fields), .strict = true };

static const struct choice from_choices[] = {
        { "All", FROM_ALL }, { "Selector", FROM_SELECTOR }, { "Same", FROM_SAME }, { NULL, 0 }
};
static const struct field namespaces_fields[] = {
        { "from", FIELD_ENUM, 0, offsetof(struct gateway_listener, from), .choices = from_choices, .def = "Same" },
        { "selector", FIELD_OBJECT, 0, offsetof(struct gateway_listener, selector),
          offsetof(struct gateway_listener, has_selector), .sub = &selector },
};
static const struct schema namespaces = { SCHEMA_FIELDS(namespaces_fields), .strict = true };
static const struct field allowed_routes_fields[] = {
        { "namespaces", FIELD_OBJECT, FIELD_DEFAULTED, 0, .sub = &namespaces },
        { "kinds", FIELD_LIST, 0, offsetof(struct gateway_listener, kinds), offsetof(struct gateway_listener, n_kinds),
          .items_max = 8, .sub = &route_kind },
};
static int allowed_routes_check(struct decoder *d, const struct node *map, void *obj)
{
        struct gateway_listener *l = obj;
        l->has_kinds = l->n_kinds > 0;
        return 0;
}
static const struct schema allowed_routes = { SCHEMA_FIELDS(allowed_routes_fields), .strict = true,
                                              .check = allowed_routes_check };

static const struct choice mode_choices[] = { { "Terminate", 0 }, { "Passthrough", 0 }, { NULL, 0 } };
static const struct field tls_fields[] = {
        { "mode", FIELD_STRING, 0, offsetof(struct gateway_listener, tls.mode), .choices = mode_choices,
          .def = "Terminate" },
        { "certificateRefs", FIELD_LIST, 0, offsetof(struct gateway_listener, tls.certificate_refs),
          offsetof(struct gateway_listener, tls.n_certificate_refs), .items_max = 64, .sub = &schema_secret_ref },
        { "options", FIELD_LABELS, 0, offsetof(struct gateway_listener, tls.options), .max = 4096, .items_max = 16,
          .key_format = FORMAT_LABEL_KEY },
};
static int tls_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct gateway_listener *l = obj;
        /* self.mode == 'Terminate' ? size(self.certificateRefs) > 0 || size(self.options) > 0 : true */
        if (strcmp(l->tls.mode, "Terminate") == 0 && l->tls.n_certificate_refs == 0 && l->tls.options.n == 0)
                return decoder_fail(d, map, "certificateRefs or options must be given when mode is Terminate");
        return 0;
}
static const struct schema tls = { SCHEMA_FIELDS(tls_fields), .strict = true, .check = tls_check };

static const struct field listener_fields[] = {
        { "name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct gateway_listener, name), .min = 1, .max = 253,
          .format = FORMAT_SUBDOMAIN },
        { "hostname", FIELD_STRING, 0, offsetof(struct gateway_listener, hostname), .min = 1, .max = 253,
          .format = FORMAT_HOSTNAME },
        { "port", FIELD_INT, FIELD_REQUIRED, offsetof(struct gateway_listener, port), .width = sizeof(uint16_t),
          .min = 1, .max = 65535 },
        { "protocol", FIELD_STRING, FIELD_REQUIRED, offsetof(struct gateway_listener, protocol), .min = 1, .max = 255,
          .format = FORMAT_PROTOCOL },
        { "tls", FIELD_OBJECT, 0, 0, offsetof(struct gateway_listener, has_tls), .sub = &tls },
        { "allowedRoutes", FIELD_OBJECT, FIELD_DEFAULTED, 0, .sub = &allowed_routes },
};
static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }
static int listener_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct gateway_listener *l = obj;
        bool tcp_udp = is(l->protocol, "TCP") || is(l->protocol, "UDP");
        /* l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true */
        if (l->has_tls && (tcp_udp || is(l->protocol, "HTTP")))
                return decoder_fail(d, node_get(map, "tls"), "tls must not be set for protocol %s", l->protocol);
        /* (l.protocol == 'HTTPS' && has(l.tls)) ? l.tls.mode == 'Terminate' : true */
        if (l->has_tls && is(l->protocol, "HTTPS") && !is(l->tls.mode, "Terminate"))
                return decoder_fail(d, node_get(map, "tls"), "tls.mode must be Terminate for protocol HTTPS");
        /* l.protocol == 'TLS' ? has(l.tls) && has(l.tls.mode) : true */
        if (is(l->protocol, "TLS") && !l->has_tls)
                return decoder_fail(d, map, "tls must be set for protocol TLS");
        /* l.protocol in ['TCP', 'UDP'] ? !has(l.hostname) : true */
        if (tcp_udp && l->hostname[0])
                return decoder_fail(d, node_get(map, "hostname"), "hostname must not be set for protocol %s",
                                    l->protocol);
        return 0;
}
static const struct schema listener = { sizeof(struct gateway_listener), SCHEMA_FIELDS(listener_fields), .strict = true,
                                        .place = offsetof(struct gateway_listener, place), .check = listener_check };

/* Gateway: addresses, infrastructure, spec.tls */

static const struct field address_fields[] = {
        { "type", FIELD_STRING, 0, offsetof(struct gateway_address, type), .min = 1, .max = 253,
          .format = FORMAT_ADDRESS_TYPE, .def = "IPAddress" },
        { "value", FIELD_STRING, 0, offsetof(struct gateway_address, value), .max = 253 },
};
static int address_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct gateway_address *a = obj;
        struct ipaddr ip;
        if (!a->value[0])
                return 0;
        if (is(a->type, "IPAddress") && ipaddr_parse(span_str(a->value), &ip) < 0)
                return decoder_fail(d, node_get(map, "value"), "must be an IPv4 or IPv6 address");
        if (is(a->type, "Hostname") && !format_ok(FORMAT_HOSTNAME, span_str(a->value)))
                return decoder_fail(d, node_get(map, "value"), "%s", format_str(FORMAT_HOSTNAME));
        return 0;
}
static const struct schema address = { sizeof(struct gateway_address), SCHEMA_FIELDS(address_fields), .strict = true,
                                       .check = address_check };

static const struct field infrastructure_parameters_fields[] = {
        { "group", FIELD_STRING, FIELD_REQUIRED, offsetof(struct object_ref, group), .format = FORMAT_GROUP },
        { "kind", FIELD_STRING, FIELD_REQUIRED, offsetof(struct object_ref, kind), .format = FORMAT_KIND },
        { "name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct object_ref, name), .min = 1, .max = 253 },
};
static const struct schema infrastructure_parameters = { SCHEMA_FIELDS(infrastructure_parameters_fields),
                                                         .strict = true };
static const struct field infrastructure_fields[] = {
        { "labels", FIELD_LABELS, 0, offsetof(struct gateway, infra_labels), .items_max = 8,
          .format = FORMAT_LABEL_VALUE, .key_format = FORMAT_LABEL_KEY },
        { "annotations", FIELD_LABELS, 0, offsetof(struct gateway, infra_annotations), .max = 4096, .items_max = 16,
          .key_format = FORMAT_LABEL_KEY },
        { "parametersRef", FIELD_OBJECT, 0, offsetof(struct gateway, parameters_ref),
          offsetof(struct gateway, has_parameters_ref), .sub = &infrastructure_parameters },
};
static const struct schema infrastructure = { SCHEMA_FIELDS(infrastructure_fields), .strict = true };

static const struct choice validation_choices[] = { { "AllowValidOnly", 0 },
                                                    { "AllowInsecureFallback", 0 },
                                                    { NULL, 0 } };
static const struct field ca_ref_fields[] = {
        { "group", FIELD_STRING, FIELD_REQUIRED, offsetof(struct object_ref, group), .format = FORMAT_GROUP },
        { "kind", FIELD_STRING, FIELD_REQUIRED, offsetof(struct object_ref, kind), .format = FORMAT_KIND },
        { "name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct object_ref, name), .min = 1, .max = 253 },
        { "namespace", FIELD_STRING, 0, offsetof(struct object_ref, namespace), .min = 1, .format = FORMAT_LABEL },
};
static const struct schema ca_ref = { sizeof(struct object_ref), SCHEMA_FIELDS(ca_ref_fields), .strict = true };
static const struct field validation_fields[] = {
        { "caCertificateRefs", FIELD_LIST, FIELD_REQUIRED, offsetof(struct client_validation, ca_refs),
          offsetof(struct client_validation, n_ca_refs), .items_min = 1, .items_max = 16, .sub = &ca_ref },
        { "mode", FIELD_STRING, 0, offsetof(struct client_validation, mode), .choices = validation_choices,
          .def = "AllowValidOnly" },
};
static const struct schema validation = { SCHEMA_FIELDS(validation_fields), .strict = true };
static const struct field client_fields[] = {
        { "validation", FIELD_OBJECT, 0, 0, offsetof(struct client_validation, has_validation), .sub = &validation },
};
static const struct schema client = { SCHEMA_FIELDS(client_fields), .strict = true };
static const struct field per_port_fields[] = {
        { "port", FIELD_INT, FIELD_REQUIRED, offsetof(struct port_validation, port), .width = sizeof(uint16_t),
          .min = 1, .max = 65535 },
        { "tls", FIELD_OBJECT, FIELD_REQUIRED, offsetof(struct port_validation, client), .sub = &client },
};
static const struct schema per_port = { sizeof(struct port_validation), SCHEMA_FIELDS(per_port_fields),
                                        .strict = true };
static const struct field frontend_fields[] = {
        { "default", FIELD_OBJECT, FIELD_REQUIRED, offsetof(struct gateway, client_validation), .sub = &client },
        { "perPort", FIELD_LIST, 0, offsetof(struct gateway, port_validation),
          offsetof(struct gateway, n_port_validation), .items_max = 64, .sub = &per_port },
};
static int frontend_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct gateway *g = obj;
        /* perPort: self.all(t1, self.exists_one(t2, t1.port == t2.port)) */
        for (size_t i = 0; i < g->n_port_validation; i++)
                for (size_t k = 0; k < i; k++)
                        if (g->port_validation[i].port == g->port_validation[k].port)
                                return decoder_fail(d, decoder_item(d, "perPort", node_get(map, "perPort"), i),
                                                    "port %u is already that of item %zu", g->port_validation[i].port,
                                                    k);
        return 0;
}
static const struct schema frontend = { SCHEMA_FIELDS(frontend_fields), .strict = true, .check = frontend_check };
static const struct field backend_tls_fields[] = {
        { "clientCertificateRef", FIELD_OBJECT, 0, offsetof(struct gateway, client_certificate),
          offsetof(struct gateway, has_client_certificate), .sub = &schema_secret_ref },
};
static const struct schema backend_tls = { SCHEMA_FIELDS(backend_tls_fields), .strict = true };
static const struct field gateway_tls_fields[] = {
        { "frontend", FIELD_OBJECT, 0, 0, offsetof(struct gateway, has_client_validation), .sub = &frontend },
        { "backend", FIELD_OBJECT, 0, 0, .sub = &backend_tls },
};
static const struct schema gateway_tls = { SCHEMA_FIELDS(gateway_tls_fields), .strict = true };

static const struct choice sets_from_choices[] = {
        { "All", FROM_ALL }, { "Selector", FROM_SELECTOR }, { "Same", FROM_SAME }, { "None", FROM_NONE }, { NULL, 0 }
};
static const struct field sets_namespaces_fields[] = {
        { "from", FIELD_ENUM, 0, offsetof(struct gateway, sets_from), .choices = sets_from_choices, .def = "None" },
        { "selector", FIELD_OBJECT, 0, offsetof(struct gateway, sets_selector), offsetof(struct gateway, has_sets_selector),
          .sub = &selector },
};
static const struct schema sets_namespaces = { SCHEMA_FIELDS(sets_namespaces_fields), .strict = true };
static const struct field allowed_listeners_fields[] = {
        { "namespaces", FIELD_OBJECT, FIELD_DEFAULTED, 0, .sub = &sets_namespaces },
};
static const struct schema allowed_listeners = { SCHEMA_FIELDS(allowed_listeners_fields), .strict = true };

static const struct choice scope_choices[] = { { "All", 0 }, { "None", 0 }, { NULL, 0 } };
static const struct field gateway_spec_fields[] = {
        { "gatewayClassName", FIELD_STRING, FIELD_REQUIRED, offsetof(struct gateway, class_name), .min = 1,
          .max = 253 },
        { "listeners", FIELD_LIST, FIELD_REQUIRED, offsetof(struct gateway, listeners),
          offsetof(struct gateway, n_listeners), .items_min = 1, .items_max = 64, .sub = &listener, .unique = "name",
          .unique_offset = offsetof(struct gateway_listener, name) },
        { "addresses", FIELD_LIST, 0, offsetof(struct gateway, addresses), offsetof(struct gateway, n_addresses),
          .items_max = 16, .sub = &address },
        { "infrastructure", FIELD_OBJECT, 0, 0, .sub = &infrastructure },
        { "tls", FIELD_OBJECT, 0, 0, .sub = &gateway_tls },
        { "defaultScope", FIELD_STRING, 0, offsetof(struct gateway, default_scope), .choices = scope_choices },
        { "allowedListeners", FIELD_OBJECT, FIELD_DEFAULTED, 0, .sub = &allowed_listeners },
};
/* port, protocol and hostname unique: self.all(l1, self.exists_one(l2, ...)) */
static int listeners_distinct(struct decoder *d, const struct node *map, const struct gateway_listener *v, size_t n)
{
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < i; k++)
                        if (v[i].port == v[k].port && is(v[i].protocol, v[k].protocol) && is(v[i].hostname, v[k].hostname))
                                return decoder_fail(
                                        d, decoder_item(d, "listeners", node_get(map, "listeners"), i),
                                        "listeners \"%s\" and \"%s\" have the same port, protocol and hostname",
                                        v[k].name, v[i].name);
        return 0;
}
static int gateway_spec_check(struct decoder *d, const struct node *map, void *obj)
{
        struct gateway *g = obj;
        g->parameters_ref.namespace = ""; /* not a field of this reference, and a string is never NULL */
        const struct node *addresses = node_get(map, "addresses");
        int r = listeners_distinct(d, map, g->listeners, g->n_listeners);
        if (r < 0)
                return r;
        /* a1.type == 'IPAddress' (or 'Hostname') && has(a1.value) ? self.exists_one(a2, ...) : true */
        for (size_t i = 0; i < g->n_addresses; i++) {
                const struct gateway_address *a = &g->addresses[i];
                for (size_t k = 0; k < i && a->value[0] && (is(a->type, "IPAddress") || is(a->type, "Hostname")); k++)
                        if (is(a->type, g->addresses[k].type) && is(a->value, g->addresses[k].value))
                                return decoder_fail(d, decoder_item(d, "addresses", addresses, i),
                                                    "address %s is given twice", a->value);
        }
        return 0;
}
static const struct schema gateway_spec = { SCHEMA_FIELDS(gateway_spec_fields), .strict = true,
                                            .check = gateway_spec_check };
static const struct field gateway_fields[] = { BODY_FIELDS,
                                               { "spec", FIELD_OBJECT, FIELD_REQUIRED, .sub = &gateway_spec } };
static const struct schema gateway_body = { SCHEMA_FIELDS(gateway_fields), .strict = true };
/* ListenerSet */

static const struct field set_parent_fields[] = {
        { "group", FIELD_STRING, 0, offsetof(struct listener_set, parent.group), .max = 253, .format = FORMAT_GROUP,
          .def = GATEWAY_GROUP },
        { "kind", FIELD_STRING, 0, offsetof(struct listener_set, parent.kind), .format = FORMAT_KIND, .def = "Gateway" },
        { "namespace", FIELD_STRING, 0, offsetof(struct listener_set, parent.namespace), .min = 1, .format = FORMAT_LABEL },
        { "name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct listener_set, parent.name), .min = 1, .max = 253 },
};
static const struct schema set_parent = { SCHEMA_FIELDS(set_parent_fields), .strict = true };
static const struct field set_spec_fields[] = {
        { "parentRef", FIELD_OBJECT, FIELD_REQUIRED, 0, .sub = &set_parent },
        { "listeners", FIELD_LIST, FIELD_REQUIRED, offsetof(struct listener_set, listeners),
          offsetof(struct listener_set, n_listeners), .items_min = 1, .items_max = 64, .sub = &listener, .unique = "name",
          .unique_offset = offsetof(struct gateway_listener, name) },
};
static int set_spec_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct listener_set *s = obj;
        return listeners_distinct(d, map, s->listeners, s->n_listeners);
}
static const struct schema set_spec = { SCHEMA_FIELDS(set_spec_fields), .strict = true, .check = set_spec_check };
static const struct field set_fields[] = { BODY_FIELDS, { "spec", FIELD_OBJECT, FIELD_REQUIRED, .sub = &set_spec } };
static const struct schema set_body = { SCHEMA_FIELDS(set_fields), .strict = true };
const struct kind_schema kind_listener_set = { sizeof(struct listener_set), &set_body, { "v1", NULL }, FORMAT_SUBDOMAIN };

const struct kind_schema kind_gateway = { sizeof(struct gateway), &gateway_body, GATEWAY_VERSIONS, FORMAT_SUBDOMAIN };

/* ReferenceGrant */

static const struct field grant_from_fields[] = {
        { "group", FIELD_STRING, FIELD_REQUIRED, offsetof(struct grant_from, group), .max = 253,
          .format = FORMAT_GROUP },
        { "kind", FIELD_STRING, FIELD_REQUIRED, offsetof(struct grant_from, kind), .format = FORMAT_KIND },
        { "namespace", FIELD_STRING, FIELD_REQUIRED, offsetof(struct grant_from, namespace), .min = 1,
          .format = FORMAT_LABEL },
};
static const struct schema grant_from = { sizeof(struct grant_from), SCHEMA_FIELDS(grant_from_fields), .strict = true };
static const struct field grant_to_fields[] = {
        { "group", FIELD_STRING, FIELD_REQUIRED, offsetof(struct grant_to, group), .max = 253, .format = FORMAT_GROUP },
        { "kind", FIELD_STRING, FIELD_REQUIRED, offsetof(struct grant_to, kind), .format = FORMAT_KIND },
        { "name", FIELD_STRING, 0, offsetof(struct grant_to, name), .min = 1, .max = 253 },
};
static const struct schema grant_to = { sizeof(struct grant_to), SCHEMA_FIELDS(grant_to_fields), .strict = true };
static const struct field grant_spec_fields[] = {
        { "from", FIELD_LIST, FIELD_REQUIRED, offsetof(struct reference_grant, from),
          offsetof(struct reference_grant, n_from), .items_min = 1, .items_max = 16, .sub = &grant_from },
        { "to", FIELD_LIST, FIELD_REQUIRED, offsetof(struct reference_grant, to),
          offsetof(struct reference_grant, n_to), .items_min = 1, .items_max = 16, .sub = &grant_to },
};
static const struct schema grant_spec = { SCHEMA_FIELDS(grant_spec_fields), .strict = true };
static const struct field grant_fields[] = { BODY_FIELDS,
                                             { "spec", FIELD_OBJECT, FIELD_REQUIRED, .sub = &grant_spec } };
static const struct schema grant_body = { SCHEMA_FIELDS(grant_fields), .strict = true };
const struct kind_schema kind_reference_grant = { sizeof(struct reference_grant), &grant_body, GATEWAY_VERSIONS,
                                                  FORMAT_SUBDOMAIN };
