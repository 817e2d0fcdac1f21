/* tests/unit/agent/decode_test.c - what is common to all documents, and every kind but HTTPRoute (httproute_test.c). */
#include "tests/unit/agent/decode_fixture.h"

#define API "apiVersion: gateway.networking.k8s.io/v1\n"
#define SUB63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

static const struct decode_case document_cases[] = {
        { "no apiVersion", "{kind: Gateway}", ": apiVersion must be given" },
        { "no kind", "{apiVersion: v1}", ": kind must be given" },
        { "kind null", "{apiVersion: v1, kind: null}", ": kind must be given" },
        { "apiVersion a map", "{apiVersion: {}, kind: Secret}", ": apiVersion must be given" },
        { "a scalar", "just text", ": must be a map with apiVersion" },
        { "a list", "[]", ": must be a map with apiVersion" },
        { "version not served", "{apiVersion: gateway.networking.k8s.io/v1alpha2, kind: Gateway}",
          "apiVersion: version \"v1alpha2\" is not served, use v1 or v1beta1" },
        { "version of the core", "{apiVersion: v2, kind: Secret}", "apiVersion: version \"v2\" is not served, use v1" },
        { "v1beta1", "{apiVersion: gateway.networking.k8s.io/v1beta1, kind: GatewayClass, metadata: {name: a}, spec: "
                     "{controllerName: a.b/c}}", NULL },
        { "no metadata", "{apiVersion: v1, kind: Secret}", "metadata: is required" },
        { "metadata null", "{apiVersion: v1, kind: Secret, metadata: }", "metadata: is required" },
        { "metadata a list", "{apiVersion: v1, kind: Secret, metadata: []}", "metadata: must be a map" },
        { "no name", "{apiVersion: v1, kind: Secret, metadata: {generateName: a}}", "metadata.name: is required" },
        { "name upper", "{apiVersion: v1, kind: Secret, metadata: {name: A}}", "metadata: name must be a lower case DNS name" },
        { "name of a Service", "{apiVersion: v1, kind: Service, metadata: {name: 1a}, spec: {}}", "metadata: starts with a letter" },
        { "name of a Namespace", "{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}", "metadata: name must be a lower" },
        { "namespace", "{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: B}}", "metadata: namespace must be" },
        { "namespace of a cluster-scoped kind", "{apiVersion: v1, kind: Namespace, metadata: {name: a, namespace: B}}", NULL },
        { "label value", "{apiVersion: v1, kind: Secret, metadata: {name: a, labels: {a: 'b c'}}}",
          "metadata.labels.a: must be a label value" },
        { "label key", "{apiVersion: v1, kind: Secret, metadata: {name: a, labels: {'a/b/c': d}}}",
          "metadata.labels: must be a label key" },
        { "labels a list", "{apiVersion: v1, kind: Secret, metadata: {name: a, labels: [a]}}", "metadata.labels: must be a map" },
        { "label a list", "{apiVersion: v1, kind: Secret, metadata: {name: a, labels: {a: []}}}", "metadata.labels.a: must be text" },
        { "annotation may be anything", "{apiVersion: v1, kind: Secret, metadata: {name: a, annotations: {a.b/c: 'd e'}}}", NULL },
        { "generation", "{apiVersion: v1, kind: Secret, metadata: {name: a, generation: x}}", "metadata.generation: whole decimal" },
        { "creationTimestamp", "{apiVersion: v1, kind: Secret, metadata: {name: a, creationTimestamp: yesterday}}",
          "metadata: creationTimestamp must look like" },
        { "creationTimestamp null", "{apiVersion: v1, kind: Secret, metadata: {name: a, creationTimestamp: null}}", NULL },
        { "metadata has more", "{apiVersion: v1, kind: Secret, metadata: {name: a, managedFields: [{}], finalizers: [x]}}", NULL },
        { "status is not looked at", "{apiVersion: v1, kind: Secret, metadata: {name: a}, status: 7}", NULL },
        { "strict beside the spec", "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: a}, sepc: {}}",
          ": unknown field \"sepc\"" },
        { "NUL in text", "{apiVersion: v1, kind: Secret, metadata: {name: \"a\\0b\"}}", "metadata.name: NUL character" },
};

#define CLASS API "kind: GatewayClass\nmetadata: {name: a}\nspec: "
static const struct decode_case class_cases[] = {
        { "plain", "{controllerName: gatehouse.dev/gateway}", NULL },
        { "no controller", "{}", "spec.controllerName: is required" },
        { "controller without path", "{controllerName: gatehouse.dev}", "spec.controllerName: must look like" },
        { "controller upper", "{controllerName: Gatehouse.dev/x}", "spec.controllerName: must look like" },
        { "description", "{controllerName: a.b/c, description: " SUB63 "ab}", "spec.description: at most 64 characters, has 65" },
        { "description in characters", "{controllerName: a.b/c, description: \xc3\xa4" SUB63 "}", NULL },
        { "parameters", "{controllerName: a.b/c, parametersRef: {group: '', kind: ConfigMap, name: x, namespace: y}}", NULL },
        { "parameters without kind", "{controllerName: a.b/c, parametersRef: {group: '', name: x}}",
          "spec.parametersRef.kind: is required" },
        { "unknown field", "{controllerName: a.b/c, parameterRef: {}}", "spec: unknown field \"parameterRef\"" },
};

#define GATEWAY API "kind: Gateway\nmetadata: {name: a}\nspec: "
#define LISTENER(text) "{gatewayClassName: c, listeners: [" text "]}"
#define L0 "spec.listeners[0]"
#define HTTP "{name: http, port: 80, protocol: HTTP}"
#define WITH(text) "{gatewayClassName: c, listeners: [" HTTP "], " text "}"
static const struct decode_case gateway_cases[] = {
        { "plain", LISTENER(HTTP), NULL },
        { "no class", "{listeners: [" HTTP "]}", "spec.gatewayClassName: is required" },
        { "no listeners", "{gatewayClassName: c}", "spec.listeners: is required" },
        { "listeners empty", "{gatewayClassName: c, listeners: []}", "spec.listeners: at least 1 item" },
        { "listener without name", LISTENER("{port: 80, protocol: HTTP}"), L0 ".name: is required" },
        { "listener name", LISTENER("{name: A_b, port: 80, protocol: HTTP}"), L0 ".name: DNS name" },
        { "listener names", LISTENER(HTTP ", {name: http, port: 81, protocol: HTTP}"),
          "spec.listeners[1]: name \"http\" is already that of item 0" },
        { "listener without port", LISTENER("{name: a, protocol: HTTP}"), L0 ".port: is required" },
        { "listener port 0", LISTENER("{name: a, port: 0, protocol: HTTP}"), L0 ".port: must be 1 to 65535" },
        { "listener port 0x50", LISTENER("{name: a, port: 0x50, protocol: HTTP}"), L0 ".port: whole decimal" },
        { "listener port true", LISTENER("{name: a, port: true, protocol: HTTP}"), L0 ".port: whole decimal" },
        { "listener without protocol", LISTENER("{name: a, port: 80}"), L0 ".protocol: is required" },
        { "protocol unknown is for the status", LISTENER("{name: a, port: 80, protocol: QUIC}"), NULL },
        { "protocol of a vendor", LISTENER("{name: a, port: 80, protocol: x.y/QUIC}"), NULL },
        { "protocol bad", LISTENER("{name: a, port: 80, protocol: 'a b'}"), L0 ".protocol: must be a word" },
        { "same port, protocol, hostname", LISTENER(HTTP ", {name: b, port: 80, protocol: HTTP}"),
          "spec.listeners[1]: \"http\" and \"b\" have the same port, protocol and hostname" },
        { "same but for hostname", LISTENER(HTTP ", {name: b, port: 80, protocol: HTTP, hostname: a.b}"), NULL },
        { "same hostname", LISTENER("{name: a, port: 80, protocol: HTTP, hostname: a.b}, {name: b, port: 80, protocol: HTTP, "
                                    "hostname: a.b}"), "spec.listeners[1]: have the same port" },
        { "hostname", LISTENER("{name: a, port: 80, protocol: HTTP, hostname: '*.*.a'}"), L0 ".hostname: \"*.\" in front" },
        { "hostname of TCP", LISTENER("{name: a, port: 80, protocol: TCP, hostname: a.b}"), L0 ": hostname must not be set for protocol TCP" },
        { "tls of HTTP", LISTENER("{name: a, port: 80, protocol: HTTP, tls: {certificateRefs: [{name: x}]}}"),
          L0 ": tls must not be set for protocol HTTP" },
        { "tls of UDP", LISTENER("{name: a, port: 80, protocol: UDP, tls: {mode: Passthrough}}"), L0 ": tls must not be set" },
        { "HTTPS", LISTENER("{name: a, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: x}]}}"), NULL },
        { "HTTPS without tls is for the status", LISTENER("{name: a, port: 443, protocol: HTTPS}"), NULL },
        { "HTTPS without certificate", LISTENER("{name: a, port: 443, protocol: HTTPS, tls: {}}"),
          L0 ".tls: certificateRefs or options" },
        { "HTTPS by options", LISTENER("{name: a, port: 443, protocol: HTTPS, tls: {options: {x.y/z: on}}}"), NULL },
        { "HTTPS passthrough", LISTENER("{name: a, port: 443, protocol: HTTPS, tls: {mode: Passthrough}}"),
          L0 ": tls.mode must be Terminate for protocol HTTPS" },
        { "TLS without tls", LISTENER("{name: a, port: 443, protocol: TLS}"), L0 ": tls must be set for protocol TLS" },
        { "TLS passthrough", LISTENER("{name: a, port: 443, protocol: TLS, tls: {mode: Passthrough}}"), NULL },
        { "tls mode", LISTENER("{name: a, port: 443, protocol: TLS, tls: {mode: Offload}}"), L0 ".tls.mode: one of Terminate" },
        { "certificate without name", LISTENER("{name: a, port: 443, protocol: TLS, tls: {certificateRefs: [{kind: Secret}]}}"),
          L0 ".tls.certificateRefs[0].name: is required" },
        { "from", LISTENER("{name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Some}}}"),
          L0 ".allowedRoutes.namespaces.from: must be one of All, Selector, Same" },
        { "from a selector", LISTENER("{name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: "
                                      "{matchLabels: {a: b}, matchExpressions: [{key: c, operator: In, values: [d]}]}}}}"), NULL },
        { "expression without operator", LISTENER("{name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {selector: "
                                                  "{matchExpressions: [{key: c}]}}}}"),
          L0 ".allowedRoutes.namespaces.selector.matchExpressions[0].operator: is required" },
        { "kinds unknown are for the status", LISTENER("{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: X}]}}"), NULL },
        { "9 kinds", LISTENER("{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: X},{kind: X},{kind: X},{kind: X}"
                              ",{kind: X},{kind: X},{kind: X},{kind: X},{kind: X}]}}"), L0 ".allowedRoutes.kinds: at most 8 items" },
        { "addresses", WITH("addresses: [{value: 192.0.2.1}, {value: '2001:db8::1', type: IPAddress}, {type: Hostname, value: a.b}]"), NULL },
        { "address empty asks for one", WITH("addresses: [{type: IPAddress}, {type: IPAddress, value: ''}]"), NULL },
        { "address bad", WITH("addresses: [{value: 192.0.2.256}]"), "spec.addresses[0]: must be an IPv4 or IPv6 address" },
        { "address twice", WITH("addresses: [{value: 192.0.2.1}, {value: 192.0.2.1}]"),
          "spec.addresses[1]: address 192.0.2.1 is given twice" },
        { "address hostname bad", WITH("addresses: [{type: Hostname, value: A}]"), "spec.addresses[0]: lower case DNS name" },
        { "address type", WITH("addresses: [{type: Other, value: x}]"), "spec.addresses[0].type: must be IPAddress, Hostname" },
        { "address type of a vendor", WITH("addresses: [{type: x.y/Pool, value: x}]"), NULL },
        { "infrastructure", WITH("infrastructure: {labels: {a: b}, annotations: {c: 'd e'}, parametersRef: {group: x.y, kind: Z, "
                                 "name: p}}"), NULL },
        { "infrastructure label", WITH("infrastructure: {labels: {a: 'b c'}}"), "spec.infrastructure.labels.a: label value" },
        { "infrastructure 9 labels", WITH("infrastructure: {labels: {a: a, b: b, c: c, d: d, e: e, f: f, g: g, h: h, i: i}}"),
          "spec.infrastructure.labels: at most 8 items" },
        { "client certificates", WITH("tls: {frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, "
                                      "name: ca}]}}, perPort: [{port: 443, tls: {}}]}, backend: {clientCertificateRef: {name: c}}}"), NULL },
        { "client certificates without default", WITH("tls: {frontend: {}}"), "spec.tls.frontend.default: is required" },
        { "client certificates, no CA", WITH("tls: {frontend: {default: {validation: {caCertificateRefs: []}}}}"),
          "spec.tls.frontend.default.validation.caCertificateRefs: at least 1 item" },
        { "client certificates, port twice", WITH("tls: {frontend: {default: {}, perPort: [{port: 1, tls: {}}, {port: 1, tls: {}}]}}"),
          "spec.tls.frontend.perPort[1]: port 1 is already that of item 0" },
        { "allowedListeners is known", WITH("allowedListeners: {namespaces: {from: All}}"), NULL },
        { "unknown field in a listener", LISTENER("{name: a, port: 80, protocol: HTTP, tsl: {}}"), L0 ": unknown field \"tsl\"" },
};

#define GRANT API "kind: ReferenceGrant\nmetadata: {name: a}\nspec: "
#define FROM "from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: b}]"
static const struct decode_case grant_cases[] = {
        { "plain", "{" FROM ", to: [{group: '', kind: Service}]}", NULL },
        { "one object", "{" FROM ", to: [{group: '', kind: Service, name: x}]}", NULL },
        { "no from", "{to: [{group: '', kind: Service}]}", "spec.from: is required" },
        { "no to", "{" FROM "}", "spec.to: is required" },
        { "to empty", "{" FROM ", to: []}", "spec.to: at least 1 item" },
        { "from without namespace", "{from: [{group: a.b, kind: C}], to: [{group: '', kind: Service}]}",
          "spec.from[0].namespace: is required" },
        { "to without group", "{" FROM ", to: [{kind: Service}]}", "spec.to[0].group: is required" },
        { "to group null", "{" FROM ", to: [{group: , kind: Service}]}", "spec.to[0].group: is required" },
        { "to name empty", "{" FROM ", to: [{group: '', kind: Service, name: ''}]}", "spec.to[0].name: must not be empty" },
        { "from namespace", "{from: [{group: a.b, kind: C, namespace: '*'}], to: [{group: '', kind: Service}]}",
          "spec.from[0].namespace: DNS label" },
};

#define SERVICE "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: "
static const struct decode_case service_cases[] = {
        { "plain", "{ports: [{port: 80, targetPort: http}], selector: {a: b}, clusterIP: None, sessionAffinity: None}", NULL },
        { "no spec", "", "spec: is required" },
        { "port missing", "{ports: [{targetPort: 80}]}", "spec.ports[0].port: is required" },
        { "port", "{ports: [{port: 70000}]}", "spec.ports[0].port: must be 1 to 65535" },
        { "target port", "{ports: [{port: 80, targetPort: 0}]}", "spec.ports[0].targetPort: must be 1 to 65535" },
        { "target port quoted is a name", "{ports: [{port: 80, targetPort: '80'}]}", "spec.ports[0].targetPort: lower case name with a letter" },
        { "target name long", "{ports: [{port: 80, targetPort: abcdefghijklmnop}]}", "spec.ports[0].targetPort: at most 15" },
        { "protocol", "{ports: [{port: 80, protocol: QUIC}]}", "spec.ports[0].protocol: must be one of TCP, UDP, SCTP" },
        { "several without name", "{ports: [{port: 80}, {port: 81, name: b}]}", "spec.ports[0]: name is required" },
        { "same name", "{ports: [{port: 80, name: a}, {port: 81, name: a}]}", "spec.ports[1]: name \"a\" is already" },
        { "same port", "{ports: [{port: 80, name: a}, {port: 80, name: b}]}", "spec.ports[1]: port 80/TCP is already" },
        { "same port, other protocol", "{ports: [{port: 53, name: a}, {port: 53, name: b, protocol: UDP}]}", NULL },
        { "type", "{type: Ingress}", "spec.type: must be one of ClusterIP" },
        { "clusterIP", "{clusterIP: x}", "spec: clusterIP must be" },
        { "no ports", "{type: ExternalName, externalName: a.b}", NULL },
};

#define SLICE "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a, labels: {kubernetes.io/service-name: s}}\n"
static const struct decode_case slice_cases[] = {
        { "plain", "addressType: IPv4\nendpoints: [{addresses: [192.0.2.1]}]\nports: [{port: 80}]", NULL },
        { "empty", "addressType: IPv6", NULL },
        { "no type", "endpoints: []", "addressType: is required" },
        { "type", "addressType: IPv5", "addressType: must be one of IPv4, IPv6, FQDN" },
        { "addresses missing", "addressType: IPv4\nendpoints: [{}]", "endpoints[0].addresses: is required" },
        { "addresses empty", "addressType: IPv4\nendpoints: [{addresses: []}]", "endpoints[0].addresses: at least 1 item" },
        { "IPv6 in IPv4", "addressType: IPv4\nendpoints: [{addresses: ['::1']}]", "endpoints[0].addresses[0]: address of type IPv4" },
        { "IPv4 in IPv6", "addressType: IPv6\nendpoints: [{addresses: ['::1', 192.0.2.1]}]", "endpoints[0].addresses[1]: of type IPv6" },
        { "leading zero", "addressType: IPv4\nendpoints: [{addresses: [192.0.2.01]}]", "endpoints[0].addresses[0]: of type IPv4" },
        { "names", "addressType: FQDN\nendpoints: [{addresses: [a.b]}]", NULL },
        { "ready", "addressType: IPv4\nendpoints: [{addresses: [192.0.2.1], conditions: {ready: 'true'}}]",
          "endpoints[0].conditions.ready: is quoted text" },
        { "ports all", "addressType: IPv4\nports: [{name: a, port: null}]", NULL },
        { "port names", "addressType: IPv4\nports: [{port: 80}, {port: 81}]", "ports[1]: name \"\" is already that of item 0" },
};

#define SECRET "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"
static const struct decode_case secret_cases[] = {
        { "plain", "data: {a: aGVsbG8=}", NULL },
        { "empty", "type: Opaque", NULL },
        { "base64 unpadded", "data: {a: aGVsbG8}", "data.a: must be base64" },
        { "base64 stray bits", "data: {a: aGVsbG9=}", "data.a: must be base64" },
        { "base64 characters", "data: {a: aGVs-G8=}", "data.a: must be base64" },
        { "base64 after the end", "data: {a: aGVsbG8=aGVs}", "data.a: must be base64" },
        { "base64 over lines", "data:\n  a: |\n    aGVs\n    bG8=", NULL },
        { "key", "data: {'a b': aGVsbG8=}", "data: must be a key of letters" },
        { "data a list", "data: []", "data: must be a map" },
        { "value a map", "data: {a: {}}", "data.a: must be text" },
        { "tls", "type: kubernetes.io/tls\ndata: {tls.crt: YQ==, tls.key: YQ==}", NULL },
        { "tls without key", "type: kubernetes.io/tls\ndata: {tls.crt: YQ==}", ": \"tls.key\" when type is kubernetes.io/tls" },
        { "tls by stringData", "type: kubernetes.io/tls\nstringData: {tls.crt: a, tls.key: b}", NULL },
};

#define CONFIG "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
static const struct decode_case config_cases[] = {
        { "plain", "data: {a: b}\nbinaryData: {c: YQ==}", NULL },
        { "binary", "binaryData: {c: x}", "binaryData.c: must be base64" },
        { "key in both", "data: {a: b}\nbinaryData: {a: YQ==}", ": key \"a\" is in data and in binaryData" },
        { "value a list", "data: {a: [b]}", "data.a: must be text" },
};

static void documents(void **state) { run_cases("", document_cases, ARRAY_SIZE(document_cases)); }
static void gateway_classes(void **state) { run_cases(CLASS, class_cases, ARRAY_SIZE(class_cases)); }
static void gateways(void **state) { run_cases(GATEWAY, gateway_cases, ARRAY_SIZE(gateway_cases)); }
static void reference_grants(void **state) { run_cases(GRANT, grant_cases, ARRAY_SIZE(grant_cases)); }
static void services(void **state) { run_cases(SERVICE, service_cases, ARRAY_SIZE(service_cases)); }
static void endpoint_slices(void **state) { run_cases(SLICE, slice_cases, ARRAY_SIZE(slice_cases)); }
static void secrets(void **state) { run_cases(SECRET, secret_cases, ARRAY_SIZE(secret_cases)); }
static void config_maps(void **state) { run_cases(CONFIG, config_cases, ARRAY_SIZE(config_cases)); }

/* Values */

static void unknown_kinds_are_ignored(void **state)
{
        struct object *o = (void *)state;
        struct err err;
        assert_int_equal(decode_text("{apiVersion: apps/v1, kind: Deployment, metadata: 7}", &o, &err), 0);
        assert_null(o);
        assert_int_equal(decode_text("{apiVersion: networking.k8s.io/v1, kind: Gateway}", &o, &err), 0);
        assert_null(o);
}

static void place_names_file_line_and_object(void **state)
{
        struct object *o = NULL;
        struct err err;
        assert_int_equal(decode_text("# a comment\n" API "kind: HTTPRoute\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  rules:\n"
                                     "  - backendRefs:\n    - name: a\n      port: 80\n      weigth: 3\n", &o, &err), -EINVAL);
        assert_string_equal(err.place, "t.yaml:12: spec.rules[0].backendRefs[0]");
        assert_string_equal(err.msg, "HTTPRoute shop/web: unknown field \"weigth\"");
}

static void metadata_values(void **state)
{
        struct object *o = decode_ok("{apiVersion: v1, kind: ConfigMap, metadata: {name: a.b, namespace: n, uid: u-1, generation: 7, "
                                     "creationTimestamp: '2026-08-21T12:00:00.5+02:00', resourceVersion: '42', labels: {z: 1, a: yes}, "
                                     "annotations: {k: v}}}");
        assert_string_equal(o->name, "a.b");
        assert_string_equal(o->namespace, "n");
        assert_string_equal(o->uid, "u-1");
        assert_string_equal(o->resource_version, "42");
        assert_string_equal(o->origin, "t.yaml:1");
        assert_int_equal(o->generation, 7);
        assert_int_equal(o->created_s, 1787306400);
        assert_string_equal(labels_get(&o->labels, "a"), "yes"); /* text as it stands, never a bool */
        assert_string_equal(labels_get(&o->labels, "z"), "1");
        assert_null(labels_get(&o->labels, "b"));
        assert_string_equal(labels_get(&o->annotations, "k"), "v");
        object_free(o);
}

static void gateway_values(void **state)
{
        struct object *o = decode_ok(GATEWAY "{gatewayClassName: c, addresses: [{}], listeners: [" HTTP ", {name: s, port: 443, protocol: "
                                             "HTTPS, hostname: '*.a', tls: {certificateRefs: [{name: x, namespace: y}]}, allowedRoutes: "
                                             "{kinds: [{kind: HTTPRoute}], namespaces: {from: All}}}]}");
        const struct gateway *g = (const void *)o;
        assert_string_equal(g->class_name, "c");
        assert_string_equal(g->addresses[0].type, "IPAddress");
        assert_string_equal(g->addresses[0].value, "");
        assert_int_equal(g->n_listeners, 2);
        assert_false(g->listeners[0].has_tls || g->listeners[0].has_kinds || g->listeners[0].has_selector);
        assert_int_equal(g->listeners[0].from, FROM_SAME);
        assert_string_equal(g->listeners[0].hostname, "");
        assert_string_equal(g->listeners[0].tls.mode, "");
        assert_string_equal(g->listeners[0].place, "t.yaml:4: spec.listeners[0]");
        assert_true(g->listeners[1].has_tls && g->listeners[1].has_kinds);
        assert_int_equal(g->listeners[1].from, FROM_ALL);
        assert_string_equal(g->listeners[1].tls.mode, "Terminate");
        assert_string_equal(g->listeners[1].tls.certificate_refs[0].kind, "Secret");
        assert_string_equal(g->listeners[1].tls.certificate_refs[0].namespace, "y");
        assert_string_equal(g->listeners[1].kinds[0].group, "gateway.networking.k8s.io");
        assert_string_equal(g->parameters_ref.namespace, "");
        object_free(o);
}

static void service_values(void **state)
{
        struct object *o = decode_ok(SERVICE "{ports: [{port: 80, name: a}, {port: 81, name: b, targetPort: web, appProtocol: "
                                             "kubernetes.io/h2c}, {port: 82, name: c, targetPort: 8082}]}");
        const struct service *s = (const void *)o;
        assert_string_equal(s->type, "ClusterIP");
        assert_int_equal(s->ports[0].target_port, 80);
        assert_string_equal(s->ports[0].protocol, "TCP");
        assert_int_equal(s->ports[1].target_port, 0);
        assert_string_equal(s->ports[1].target_name, "web");
        assert_string_equal(s->ports[1].app_protocol, "kubernetes.io/h2c");
        assert_int_equal(s->ports[2].target_port, 8082);
        object_free(o);
}

static void slice_conditions(void **state)
{
        static const struct {
                const char *name, *conditions;
                bool ready, serving, terminating;
        } rows[] = {
                { "none: ready", "", true, true, false },
                { "empty: ready", "conditions: {}", true, true, false },
                { "null: ready", "conditions: {ready: null}", true, true, false },
                { "not ready: not serving", "conditions: {ready: false}", false, false, false },
                { "draining", "conditions: {ready: false, serving: true, terminating: true}", false, true, true },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                char text[512];
                snprintf(text, sizeof text, SLICE "addressType: IPv4\nendpoints: [{addresses: [192.0.2.1], %s}]\n", rows[i].conditions);
                struct object *o = decode_ok(text);
                const struct endpoint_slice *e = (const void *)o;
                if (e->endpoints[0].ready != rows[i].ready || e->endpoints[0].serving != rows[i].serving ||
                    e->endpoints[0].terminating != rows[i].terminating)
                        fail_msg("%s", rows[i].name);
                assert_string_equal(e->service, "s");
                object_free(o);
        }
}

static void secret_values(void **state)
{
        struct object *o = decode_ok(SECRET "data: {b: aGVsbG8=, a: AAE=, e: ''}\nstringData: {b: over, c: ~}");
        const struct secret *s = (const void *)o;
        assert_string_equal(s->type, "Opaque");
        assert_int_equal(s->n_data, 4);
        assert_string_equal(s->data[0].key, "a");
        assert_int_equal(s->data[0].value.n, 2);
        assert_memory_equal(s->data[0].value.p, "\0\1", 2);
        assert_true(span_eq_str(s->data[1].value, "over")); /* stringData wins */
        assert_int_equal(s->data[2].value.n, 0);
        assert_int_equal(s->data[3].value.n, 0);
        object_free(o);
}

static void secret_size(void **state)
{
        size_t n = 1400000; /* 1.05 MB decoded */
        char *text = malloc(n + 256);
        assert_non_null(text);
        int at = snprintf(text, 256, SECRET "data:\n  a: ");
        memset(text + at, 'A', n);
        memcpy(text + at + n, "\n", 2);
        struct object *o = NULL;
        struct err err;
        assert_int_equal(decode_text(text, &o, &err), -EINVAL);
        assert_non_null(strstr(err.msg, "larger than 1048576 bytes"));
        free(text);
}

static void namespace_label(void **state)
{
        struct object *o = decode_ok("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {a: b, kubernetes.io/metadata.name: "
                                     "liar, z: y}}}");
        assert_string_equal(labels_get(&o->labels, "kubernetes.io/metadata.name"), "shop");
        assert_int_equal(o->labels.n, 3);
        object_free(o);
        o = namespace_new("other");
        assert_non_null(o);
        assert_string_equal(labels_get(&o->labels, "kubernetes.io/metadata.name"), "other");
        assert_string_equal(o->name, "other");
        object_free(o);
}

/* Digests: the first two columns are documents; do they mean the same, and is their spec the same? */
static void digests(void **state)
{
        static const struct {
                const char *name, *a, *b;
                bool same, same_spec;
        } rows[] = {
                { "order of keys, style, defaults written out", SERVICE "{ports: [{port: 80}], selector: {a: b, c: d}}",
                  "kind: Service\napiVersion: v1\nmetadata:\n  name: a\n  namespace: default\nspec:\n  type: ClusterIP\n  selector: {c: "
                  "'d', a: \"b\"}\n  ports:\n  - protocol: TCP\n    targetPort: 80\n    port: 80\n", true, true },
                { "status and resourceVersion", CONFIG "data: {a: b}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, "
                  "resourceVersion: '9', managedFields: [{}]}\ndata: {a: b}\nstatus: {}", true, true },
                { "a label", CONFIG "data: {a: b}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {x: y}}\ndata: {a: b}",
                  false, true },
                { "data", CONFIG "data: {a: b}", CONFIG "data: {a: c}", false, false },
                { "data moved between values", CONFIG "data: {a: bc, d: e}", CONFIG "data: {a: b, d: ce}", false, false },
                { "absent against false", GATEWAY LISTENER("{name: a, port: 80, protocol: HTTP}"),
                  GATEWAY LISTENER("{name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {selector: {}}}}"), false, false },
                { "order of listeners", GATEWAY LISTENER(HTTP ", {name: b, port: 81, protocol: HTTP}"),
                  GATEWAY LISTENER("{name: b, port: 81, protocol: HTTP}, " HTTP), false, false },
                { "endpoint not ready", SLICE "addressType: IPv4\nendpoints: [{addresses: [192.0.2.1]}]",
                  SLICE "addressType: IPv4\nendpoints: [{addresses: [192.0.2.1], conditions: {ready: false}}]", false, false },
                { "ready written out", SLICE "addressType: IPv4\nendpoints: [{addresses: [192.0.2.1]}]",
                  SLICE "addressType: IPv4\nendpoints: [{addresses: [192.0.2.1], conditions: {ready: true}}]", true, true },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct object *a = decode_ok(rows[i].a), *b = decode_ok(rows[i].b);
                bool same = memcmp(a->digest.b, b->digest.b, 32) == 0;
                bool same_spec = memcmp(a->spec_digest.b, b->spec_digest.b, 32) == 0;
                if (same != rows[i].same || same_spec != rows[i].same_spec)
                        fail_msg("%s: same %d, same spec %d", rows[i].name, same, same_spec);
                object_free(a);
                object_free(b);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(documents), cmocka_unit_test(gateway_classes), cmocka_unit_test(gateways),
                cmocka_unit_test(reference_grants), cmocka_unit_test(services), cmocka_unit_test(endpoint_slices),
                cmocka_unit_test(secrets), cmocka_unit_test(config_maps), cmocka_unit_test(unknown_kinds_are_ignored),
                cmocka_unit_test(place_names_file_line_and_object), cmocka_unit_test(metadata_values), cmocka_unit_test(gateway_values),
                cmocka_unit_test(service_values), cmocka_unit_test(slice_conditions), cmocka_unit_test(secret_values),
                cmocka_unit_test(secret_size), cmocka_unit_test(namespace_label), cmocka_unit_test(digests),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
