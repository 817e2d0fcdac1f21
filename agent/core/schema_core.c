/* agent/core/schema_core.c - Service, EndpointSlice, Secret, ConfigMap and Namespace: the fields the agent acts on.
 * Unknown fields pass, since these kinds have many that are none of our business. */
#include "lib/base.h"

#include "agent/core/schema_refs.h"

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

static const struct field secret_ref_fields[] = {
        { "group", FIELD_STRING, 0, offsetof(struct object_ref, group), .max = 253, .format = FORMAT_GROUP },
        { "kind", FIELD_STRING, 0, offsetof(struct object_ref, kind), .format = FORMAT_KIND, .def = "Secret" },
        { "name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct object_ref, name), .min = 1, .max = 253 },
        { "namespace", FIELD_STRING, 0, offsetof(struct object_ref, namespace), .min = 1, .format = FORMAT_LABEL },
};
const struct schema schema_secret_ref = { sizeof(struct object_ref), SCHEMA_FIELDS(secret_ref_fields), .strict = true };

/* Service */

static const struct choice protocol_choices[] = { { "TCP", 0 }, { "UDP", 0 }, { "SCTP", 0 }, { NULL, 0 } };
static const struct field service_port_fields[] = {
        { "name", FIELD_STRING, 0, offsetof(struct service_port, name), .max = 63 },
        { "protocol", FIELD_STRING, 0, offsetof(struct service_port, protocol), .choices = protocol_choices,
          .def = "TCP" },
        { "appProtocol", FIELD_STRING, 0, offsetof(struct service_port, app_protocol), .max = 316,
          .format = FORMAT_ANY },
        { "port", FIELD_INT, FIELD_REQUIRED, offsetof(struct service_port, port), .width = sizeof(uint16_t), .min = 1,
          .max = 65535 },
        { "targetPort", FIELD_INT_OR_NAME, 0, offsetof(struct service_port, target_port),
          offsetof(struct service_port, target_name), .width = sizeof(uint16_t), .min = 1, .max = 65535,
          .format = FORMAT_PORT_NAME },
        { "nodePort", FIELD_INT, 0, offsetof(struct service_port, node_port), .width = sizeof(uint16_t), .min = 0,
          .max = 65535 },
};
static int service_port_check(struct decoder *d, const struct node *map, void *obj)
{
        struct service_port *p = obj;
        if (p->name[0] && !format_ok(FORMAT_LABEL, span_str(p->name)))
                return decoder_fail(d, node_get(map, "name"), "name %s", format_str(FORMAT_LABEL));
        if (!p->target_port && !p->target_name[0])
                p->target_port = p->port;
        return 0;
}
static const struct schema service_port = { sizeof(struct service_port), SCHEMA_FIELDS(service_port_fields),
                                            .check = service_port_check };
static const struct choice type_choices[] = {
        { "ClusterIP", 0 }, { "NodePort", 0 }, { "LoadBalancer", 0 }, { "ExternalName", 0 }, { NULL, 0 }
};
static const struct field service_spec_fields[] = {
        { "type", FIELD_STRING, 0, offsetof(struct service, type), .choices = type_choices, .def = "ClusterIP" },
        { "clusterIP", FIELD_STRING, 0, offsetof(struct service, cluster_ip) },
        { "ports", FIELD_LIST, 0, offsetof(struct service, ports), offsetof(struct service, n_ports),
          .sub = &service_port },
        { "selector", FIELD_LABELS, 0, offsetof(struct service, selector) },
        { "publishNotReadyAddresses", FIELD_BOOL, 0, offsetof(struct service, publish_not_ready) },
};
static int service_spec_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct service *s = obj;
        const struct node *ports = node_get(map, "ports");
        struct ipaddr ip;
        if (s->cluster_ip[0] && !is(s->cluster_ip, "None") && ipaddr_parse(span_str(s->cluster_ip), &ip) < 0)
                return decoder_fail(d, node_get(map, "clusterIP"), "clusterIP must be \"None\" or an IP address");
        for (size_t i = 0; i < s->n_ports; i++) {
                const struct service_port *a = &s->ports[i];
                if (!a->name[0] && s->n_ports > 1)
                        return decoder_fail(d, decoder_item(d, "ports", ports, i),
                                            "name is required when there are several ports");
                for (size_t k = 0; k < i; k++) {
                        const struct service_port *b = &s->ports[k];
                        if (is(a->name, b->name))
                                return decoder_fail(d, decoder_item(d, "ports", ports, i),
                                                    "name \"%s\" is already that of item %zu", a->name, k);
                        if (a->port == b->port && is(a->protocol, b->protocol))
                                return decoder_fail(d, decoder_item(d, "ports", ports, i),
                                                    "port %u/%s is already that of item %zu", a->port, a->protocol, k);
                }
        }
        return 0;
}
static const struct schema service_spec = { SCHEMA_FIELDS(service_spec_fields), .check = service_spec_check };
static const struct field service_fields[] = { { "spec", FIELD_OBJECT, FIELD_REQUIRED, .sub = &service_spec } };
static const struct schema service_body = { SCHEMA_FIELDS(service_fields) };
const struct kind_schema kind_service = { sizeof(struct service), &service_body, { "v1" }, FORMAT_SERVICE_NAME };

/* EndpointSlice */

static const struct field conditions_fields[] = {
        { "ready", FIELD_BOOL, 0, offsetof(struct slice_endpoint, ready), .def = "true" }, /* unknown counts as ready */
        { "serving", FIELD_BOOL, 0, offsetof(struct slice_endpoint, serving) },
        { "terminating", FIELD_BOOL, 0, offsetof(struct slice_endpoint, terminating) },
};
static int conditions_check(struct decoder *d, const struct node *map, void *obj)
{
        struct slice_endpoint *e = obj;
        if (!node_present(map, "serving"))
                e->serving = e->ready;
        return 0;
}
static const struct schema conditions = { SCHEMA_FIELDS(conditions_fields), .check = conditions_check };
static const struct field target_fields[] = { { "name", FIELD_STRING, 0, offsetof(struct slice_endpoint, target) } };
static const struct schema target = { SCHEMA_FIELDS(target_fields) };
static const struct field endpoint_fields[] = {
        { "addresses", FIELD_STRINGS, FIELD_REQUIRED, offsetof(struct slice_endpoint, addresses), .min = 1,
          .items_min = 1, .items_max = 100 },
        { "conditions", FIELD_OBJECT, FIELD_DEFAULTED, 0, .sub = &conditions },
        { "nodeName", FIELD_STRING, 0, offsetof(struct slice_endpoint, node) },
        { "zone", FIELD_STRING, 0, offsetof(struct slice_endpoint, zone) },
        { "targetRef", FIELD_OBJECT, 0, 0, .sub = &target },
};
static const struct schema endpoint = { sizeof(struct slice_endpoint), SCHEMA_FIELDS(endpoint_fields) };
static const struct field slice_port_fields[] = {
        { "name", FIELD_STRING, 0, offsetof(struct slice_port, name), .max = 63 },
        { "protocol", FIELD_STRING, 0, offsetof(struct slice_port, protocol), .choices = protocol_choices,
          .def = "TCP" },
        { "appProtocol", FIELD_STRING, 0, offsetof(struct slice_port, app_protocol), .max = 316 },
        { "port", FIELD_INT, 0, offsetof(struct slice_port, port), .width = sizeof(uint16_t), .min = 1, .max = 65535 },
};
static const struct schema slice_port = { sizeof(struct slice_port), SCHEMA_FIELDS(slice_port_fields) };
static const struct choice family_choices[] = { { "IPv4", 4 }, { "IPv6", 6 }, { "FQDN", 0 }, { NULL, 0 } };
static const struct field slice_fields[] = {
        { "addressType", FIELD_STRING, FIELD_REQUIRED, offsetof(struct endpoint_slice, address_type),
          .choices = family_choices },
        { "endpoints", FIELD_LIST, 0, offsetof(struct endpoint_slice, endpoints),
          offsetof(struct endpoint_slice, n_endpoints), .items_max = 1000, .sub = &endpoint },
        { "ports", FIELD_LIST, 0, offsetof(struct endpoint_slice, ports), offsetof(struct endpoint_slice, n_ports),
          .items_max = 1000, .sub = &slice_port, .unique = "name",
          .unique_offset = offsetof(struct slice_port, name) },
};
static int slice_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct endpoint_slice *s = obj;
        const struct node *list = node_get(map, "endpoints");
        unsigned af = is(s->address_type, "IPv4") ? 4 : is(s->address_type, "IPv6") ? 6 : 0;
        for (size_t i = 0; i < s->n_endpoints; i++) {
                const struct strings *a = &s->endpoints[i].addresses;
                for (size_t k = 0; k < a->n; k++) {
                        struct ipaddr ip;
                        bool ok = af ? ipaddr_parse(span_str(a->v[k]), &ip) == 0 && ip.af == af
                                     : format_ok(FORMAT_SUBDOMAIN, span_str(a->v[k]));
                        if (ok)
                                continue;
                        const struct node *e = decoder_item(d, "endpoints", list, i);
                        return decoder_fail(d, decoder_item(d, "addresses", node_get(e, "addresses"), k),
                                            "must be an address of type %s", s->address_type);
                }
        }
        return 0;
}
static const struct schema slice_body = { SCHEMA_FIELDS(slice_fields), .check = slice_check };
const struct kind_schema kind_endpoint_slice = {
        sizeof(struct endpoint_slice), &slice_body, { "v1" }, FORMAT_SUBDOMAIN
};

/* Secret, ConfigMap, Namespace */

static int data_size_check(struct decoder *d, const struct node *map, const struct data_item *data, size_t n)
{
        size_t sum = 0;
        for (size_t i = 0; i < n; i++)
                sum += data[i].value.n;
        if (sum > SOURCE_MAX_SECRET_BYTES)
                return decoder_fail(d, map, "values are larger than %u bytes together", SOURCE_MAX_SECRET_BYTES);
        return 0;
}
static const struct field secret_fields[] = {
        { "type", FIELD_STRING, 0, offsetof(struct secret, type), .def = "Opaque" },
        { "data", FIELD_BASE64, 0, offsetof(struct secret, data), offsetof(struct secret, n_data) },
        { "stringData", FIELD_DATA, 0, offsetof(struct secret, data), offsetof(struct secret, n_data) },
};
static int secret_check(struct decoder *d, const struct node *map, void *obj)
{
        static const char *const tls_keys[] = { "tls.crt", "tls.key" };
        const struct secret *s = obj;
        for (size_t k = 0; k < ARRAY_SIZE(tls_keys) && is(s->type, "kubernetes.io/tls"); k++) {
                size_t i = 0;
                while (i < s->n_data && !is(s->data[i].key, tls_keys[k]))
                        i++;
                if (i == s->n_data)
                        return decoder_fail(d, map, "data must have \"%s\" when type is kubernetes.io/tls",
                                            tls_keys[k]);
        }
        return data_size_check(d, map, s->data, s->n_data);
}
static const struct schema secret_body = { SCHEMA_FIELDS(secret_fields), .check = secret_check };
const struct kind_schema kind_secret = { sizeof(struct secret), &secret_body, { "v1" }, FORMAT_SUBDOMAIN };

static const struct field config_map_fields[] = {
        { "data", FIELD_DATA, 0, offsetof(struct config_map, data), offsetof(struct config_map, n_data) },
        { "binaryData", FIELD_BASE64, 0, offsetof(struct config_map, data), offsetof(struct config_map, n_data) },
};
static int config_map_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct config_map *c = obj;
        const struct node *a = node_get(map, "data"), *b = node_get(map, "binaryData");
        for (size_t i = 0; a && b && i < b->n; i++)
                for (size_t k = 0; k < a->n; k++)
                        if (span_eq(a->items[k].key, b->items[i].key))
                                return decoder_fail(d, b->items[i].value, "key \"%.*s\" is in data and in binaryData",
                                                    SPAN_FMT(a->items[k].key));
        return data_size_check(d, map, c->data, c->n_data);
}
static const struct schema config_map_body = { SCHEMA_FIELDS(config_map_fields), .check = config_map_check };
const struct kind_schema kind_config_map = { sizeof(struct config_map), &config_map_body, { "v1" }, FORMAT_SUBDOMAIN };

static const struct schema namespace_body = { .strict = false };
const struct kind_schema kind_namespace = { sizeof(struct namespace_object), &namespace_body, { "v1" }, FORMAT_LABEL };
