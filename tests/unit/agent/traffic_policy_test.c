/* tests/unit/agent/traffic_policy_test.c - BackendPolicy and ClientPolicy: every rule has a row that breaks it, named by its field, and
 * one that keeps it. */
#include "tests/unit/agent/decode_fixture.h"

#define BACKEND "apiVersion: gatehouse.dev/v1alpha1\nkind: BackendPolicy\nmetadata: {name: p}\nspec: "
#define S(more) "{targetRefs: [{group: '', kind: Service, name: a}]" more "}"
#define LB(text) S(", loadBalancer: {" text "}")
#define HC(text) S(", healthCheck: {" text "}")
#define OD(text) S(", outlierDetection: {" text "}")
#define CB(text) S(", circuitBreaker: {" text "}")
static const struct decode_case backend_cases[] = {
        { "targets alone", S(""), NULL },
        { "no targets", "{}", "spec.targetRefs: is required" },
        { "none", "{targetRefs: []}", "spec.targetRefs: at least 1" },
        { "another kind", "{targetRefs: [{group: apps, kind: Deployment, name: a}]}", "spec.targetRefs[0]: must be of kind Service" },
        { "twice", "{targetRefs: [{group: '', kind: Service, name: a}, {group: '', kind: Service, name: a}]}", "spec.targetRefs[1]: the same target as item 0" },
        { "two ports of one", "{targetRefs: [{group: '', kind: Service, name: a, sectionName: x}, {group: '', kind: Service, name: a}]}", NULL },
        { "unknown field", S(", loadbalancer: {}"), "spec: unknown field \"loadbalancer\"" },
        { "every kind of balancing", LB("type: LeastRequest, slowStart: 30s, panicPercent: 0"), NULL },
        { "no such balancing", LB("type: Fastest"), "spec.loadBalancer.type: RoundRobin" },
        { "ring without a hash", LB("type: RingHash"), "spec.loadBalancer: hash must be given" },
        { "hash without a ring", LB("hash: {type: Path}"), "spec.loadBalancer: for them only" },
        { "ring", LB("type: RingHash, hash: {type: Header, name: x-user}"), NULL },
        { "a header without a name", LB("type: Maglev, hash: {type: Header}"), "spec.loadBalancer.hash: name must be given" },
        { "a path with a name", LB("type: Maglev, hash: {type: Path, name: x}"), "spec.loadBalancer.hash: for them only" },
        { "a name that is none", LB("type: Maglev, hash: {type: Cookie, name: 'a b'}"), "spec.loadBalancer.hash.name: must be a header name" },
        { "slow start of a hash", LB("type: Maglev, hash: {type: Path}, slowStart: 1s"), "spec.loadBalancer: slowStart has no meaning" },
        { "panic", LB("panicPercent: 101"), "spec.loadBalancer.panicPercent: must be 0 to 100" },
        { "HTTP check", HC("type: HTTP, path: /healthz, host: a.example, expectedStatuses: ['200-299', '401'], port: 80"), NULL },
        { "check without a type", HC("interval: 1s"), "spec.healthCheck.type: is required" },
        { "check type", HC("type: UDP"), "spec.healthCheck.type: HTTP, TCP, GRPC" },
        { "check path", HC("type: HTTP, path: healthz"), "spec.healthCheck: path must begin with" },
        { "path with a space", HC("type: HTTP, path: '/a b'"), "spec.healthCheck.path: write as %XX" },
        { "statuses", HC("type: HTTP, expectedStatuses: ['2xx']"), "spec.healthCheck.expectedStatuses[0]: a range of them" },
        { "path of TCP", HC("type: TCP, path: /"), "spec.healthCheck: for type HTTP only" },
        { "host of TCP", HC("type: TCP, host: a"), "spec.healthCheck: not for type TCP" },
        { "gRPC", HC("type: GRPC, service: app.v1.Shop"), NULL },
        { "service of HTTP", HC("type: HTTP, service: a"), "spec.healthCheck: for type GRPC only" },
        { "interval", HC("type: TCP, interval: 50ms"), "spec.healthCheck: 100ms to 1h" },
        { "timeout", HC("type: TCP, timeout: 0s"), "spec.healthCheck: timeout 10ms to 1h" },
        { "interval is no duration", HC("type: TCP, interval: 5"), "spec.healthCheck.interval: duration" },
        { "threshold", HC("type: TCP, healthyThreshold: 0"), "spec.healthCheck.healthyThreshold: must be 1 to 100" },
        { "outlier", OD("consecutive5xx: 5"), NULL },
        { "outlier of nothing", OD("baseEjectionTime: 30s"), "spec.outlierDetection: one of" },
        { "outlier percent", OD("consecutive5xx: 5, maxEjectionPercent: 0"), "spec.outlierDetection.maxEjectionPercent: must be 1 to 100" },
        { "ejection time", OD("consecutive5xx: 5, baseEjectionTime: 0s"), "spec.outlierDetection: 100ms to 24h" },
        { "breaker", CB("maxConnections: 1, maxPendingRequests: 2, maxRequests: 3, maxRetries: 4, queueTimeout: 1s"), NULL },
        { "breaker at nothing", CB("maxRequests: 0"), "spec.circuitBreaker.maxRequests: must be 1 to" },
        { "PROXY out", S(", proxyProtocol: {version: V1}"), NULL },
        { "PROXY version", S(", proxyProtocol: {version: V3}"), "spec.proxyProtocol.version: V1, V2" },
        { "PROXY without a version", S(", proxyProtocol: {}"), "spec.proxyProtocol.version: is required" },
};

#define CLIENT "apiVersion: gatehouse.dev/v1alpha1\nkind: ClientPolicy\nmetadata: {name: p}\nspec: "
#define G(more) "{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: a}]" more "}"
static const struct decode_case client_cases[] = {
        { "targets alone", G(""), NULL },
        { "a Service", "{targetRefs: [{group: '', kind: Service, name: a}]}", "spec.targetRefs[0]: gateway.networking.k8s.io/Gateway" },
        { "PROXY in", G(", proxyProtocol: {trustedSources: [10.0.0.0/8, '2001:db8::/32']}"), NULL },
        { "optional", G(", proxyProtocol: {mode: Optional, trustedSources: [10.0.0.0/8]}"), NULL },
        { "mode", G(", proxyProtocol: {mode: Maybe, trustedSources: [10.0.0.0/8]}"), "spec.proxyProtocol.mode: Required, Optional" },
        { "trusts nobody", G(", proxyProtocol: {trustedSources: []}"), "spec.proxyProtocol.trustedSources: at least 1" },
        { "does not say whom", G(", proxyProtocol: {}"), "spec.proxyProtocol.trustedSources: is required" },
        { "an address", G(", proxyProtocol: {trustedSources: [10.0.0.1]}"), "spec.proxyProtocol.trustedSources[0]: must be a network" },
        { "forwarders", G(", trustedForwarders: [10.0.0.0/8]"), NULL },
        { "a forwarder by name", G(", trustedForwarders: [lb.example]"), "spec.trustedForwarders[0]: must be a network" },
};

static void backend(void **state) { run_cases(BACKEND, backend_cases, ARRAY_SIZE(backend_cases)); }
static void client(void **state) { run_cases(CLIENT, client_cases, ARRAY_SIZE(client_cases)); }

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(backend), cmocka_unit_test(client) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
