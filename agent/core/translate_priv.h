/* agent/core/translate_priv.h - what the translate_*.c files share: one translation while it is being made.
 * Layer: agent/core, pure; private to translate*.c.  Memory: all from tx.a; running out leaves by longjmp to translate(),
 * so nothing here checks for NULL and nothing here may own memory outside the arena (manifests hang in the translation).
 *
 * Order of the pass (translate.c):
 *   classes -> policies (translate_policy.c) -> gateways + listeners (translate_listener.c) -> routes: rules and backends (translate_rule.c,
 *   translate_backend.c) -> attachment (translate_attach.c) -> addresses (translate_vip.c) -> l7 sections
 *   (translate_l7.c) -> l4 section (translate_l4.c) */
#pragma once
#include "agent/core/translate.h"
#include "lib/core/frame.h"
#include "lib/core/map.h"
#include <setjmp.h>

#define GATEWAY_API_GROUP "gateway.networking.k8s.io"

struct vec { void **v; size_t n, cap; };

enum tx_protocol { TX_HTTP, TX_HTTPS, TX_TLS, TX_TCP, TX_UDP, TX_PROTOCOL_UNKNOWN };
struct tx_gateway;
struct tx_route;
struct tx_set { /* a ListenerSet whose Gateway is ours */
        const struct listener_set *s;
        struct tx_gateway *g;
        struct listener_set_report *report;
        bool allowed;                     /* its listeners are among the Gateway's */
};
struct tx_attachment { struct tx_route *route; const char **hosts; size_t n_hosts; }; /* effective hostnames, sorted */
struct tx_cert { const char *id; const struct secret *secret; struct cert_facts facts; struct span chain, key, ocsp; int error; const char *why; size_t in_pool; };
struct tx_trust { const char *id; struct span ca, crl; const struct object *of; size_t in_pool; }; /* CA certificates to verify peers by */
struct tx_policy { /* a BackendTLSPolicy */
        const struct backend_tls_policy *p;
        struct tx_trust *trust;
        Model__UpstreamTls *tls;          /* NULL: nothing may be sent where this policy decides */
        const char *accepted_reason, *accepted_why; /* NULL = Accepted */
        const char *resolved_reason, *resolved_why; /* NULL = ResolvedRefs */
        struct vec gateways;              /* struct tx_gateway whose traffic it acts on */
};
struct tx_target { struct tx_policy *policy; const char *section; struct tx_target *next; }; /* of one Service, older policies first */
struct tx_traffic { /* a BackendPolicy or ClientPolicy */
        const struct object *o;
        const char *reason, *why;         /* NULL = Accepted */
        struct vec targets;               /* struct tx_traffic_target with a Gateway: what it acts on, for its status */
};
struct tx_traffic_target { struct tx_traffic *policy; const char *section; struct tx_gateway *gateway; struct tx_traffic_target *next; }; /* next: of one Service, older policies first */
struct tx_client_use { struct tx_traffic *policy; uint16_t port; bool section; }; /* section false: the whole Gateway, port 0 */
struct tx_uses { struct vec clusters, policies, traffic; }; /* struct tx_cluster (mirrors too), tx_policy, tx_traffic: what a rule needs */
struct tx_listener {
        const struct gateway_listener *l;
        struct tx_gateway *g;
        const struct tx_set *set;         /* NULL = the Gateway's own */
        const struct object *owner;       /* the Gateway, or the ListenerSet */
        struct listener_report *report;
        enum tx_protocol protocol;
        uint32_t allows;                  /* bit (1 << kind) per kind of route */
        bool accepted;                    /* no conflict, protocol supported */
        const char *conflict;             /* the reason; NULL = none */
        struct tx_cert **certs; size_t n_certs; /* usable ones */
        struct tx_trust *trust;           /* what certificates of clients are verified by; NULL = none are asked for */
        bool insecure;                    /* ... but who has none, or a bad one, is served as well */
        struct vec attached;              /* struct tx_attachment */
};
struct tx_gateway {
        const struct gateway *gw;
        struct gateway_report *report;
        size_t pool;                      /* index in conf->pools */
        bool accepted;
        bool quarantined;                 /* accepted, but out of the model; keeps its addresses */
        struct tx_cert *client_cert;      /* shown to backends over TLS; NULL = none */
        struct tx_listener *listeners; size_t n_listeners; /* its own, then those of `sets` */
        struct vec sets;                  /* struct tx_set it lets in, the oldest first */
        struct vec clients;               /* struct tx_client_use, older policies first */
        size_t to_choose[2];              /* addresses still to be chosen: IPv4, IPv6 */
};
struct tx_backend { /* a resolved (or not) reference to a Service port */
        const char *cluster;              /* id; NULL = invalid */
        const char *reason, *why;         /* when invalid; NULL: a policy says why */
};
struct tx_cluster {
        Model__Cluster *pb;
        Model__EndpointSet *set;
        struct sha256 sha;                /* of set without its version */
        const char *namespace, *service;
        uint16_t port;
        bool udp;
        const struct backend_policy *policy; /* of a set straight to endpoints */
        size_t in_pool;                   /* 1 + the pool whose manifest has it already; 0 = none */
        struct tx_trust *trust;           /* of pb->tls */
        struct tx_cert *cert;             /* shown to its endpoints */
        struct tx_cluster *over_tls;      /* of bytes: what a listener that ends TLS uses instead, by a policy ... */
        bool policy_broken;               /* ... which cannot be followed */
};
struct tx_l4_leg { const struct service *s; const struct service_port *p; uint32_t weight; const struct backend_policy *policy; }; /* s NULL = invalid: rejects */
struct tx_rule {
        const struct http_rule *r;
        uint32_t index;                   /* 1-based */
        Model__Rule *pb;
        Model__Match **matches;
        struct tx_uses uses;
        struct tx_l4_leg *legs; size_t n_legs; /* TCPRoute, UDPRoute */
        bool dropped;                     /* quarantined */
};
struct tx_route {
        const struct http_route *route;
        struct route_report *report;      /* NULL = no parent of ours */
        struct tx_rule *rules; size_t n_rules;
        bool dead;                        /* quarantined as a whole, or no rule left */
        const char *dead_why;
        const char *resolved_reason, *resolved_why; /* NULL = ResolvedRefs True */
        const char *partial_reason, *partial_why;   /* NULL = not PartiallyInvalid */
        size_t rule_base;                 /* translate_l7: where its rules begin in the Gateway being built */
        const struct tx_gateway *in;      /* ... and which Gateway that is */
};
struct tx {
        struct arena *a;
        struct translation *t;
        const struct store *s;
        const struct translate_conf *conf;
        const struct vip_grant *held; size_t n_held;
        const struct quarantine *q; size_t n_q;
        uint64_t generation;
        const struct translation *prev;
        struct map clusters;  /* id -> struct tx_cluster */
        struct map direct;    /* id of an endpoint set of the front tier -> struct tx_cluster */
        struct map certs;     /* id -> struct tx_cert */
        struct map trusts;    /* id -> struct tx_trust */
        struct map targets;   /* "ns/service" -> struct tx_target */
        struct map traffic_targets; /* "ns/service" -> struct tx_traffic_target */
        struct map held_by;   /* Gateway ns/name -> its first struct vip_grant in held */
        struct map taken;     /* address as text -> the last Gateway that took it */
        struct tx_gateway *gateways; size_t n_gateways;
        struct tx_set *sets; size_t n_sets; /* by namespace and name */
        struct tx_route *routes; size_t n_routes;
        struct tx_policy *policies; size_t n_policies;
        struct vec traffic; /* struct tx_traffic */
        struct err *err;
        int failure;
        jmp_buf out;
};

/* memory (translate.c) */
void tx_fail(struct tx *tx, int error) NORETURN;
void *tx_alloc(struct tx *tx, size_t n, size_t size) __attribute__((returns_nonnull));
const char *tx_printf(struct tx *tx, const char *fmt, ...) PRINTF(2, 3) NONNULL(1, 2) __attribute__((returns_nonnull, noinline));
const char *tx_dup(struct tx *tx, const char *s) __attribute__((returns_nonnull));
void vec_add(struct tx *tx, struct vec *v, const void *p);
void map_set(struct tx *tx, struct map *m, const char *key, void *value);
#define TX_NEW(tx, type) ((type *)tx_alloc(tx, 1, sizeof(type)))
#define TX_ARRAY(tx, type, n) ((type *)tx_alloc(tx, n, sizeof(type)))
/* protobuf-c wants char *; it never writes through it when packing. */
static inline char *pb_str(const char *s) { return (char *)(uintptr_t)s; }
#define PB_NEW(tx, type, name) ({ type *pb_new_ = TX_NEW(tx, type); name##__init(pb_new_); pb_new_; })

/* reports (translate_report.c) */
void condition_set(struct condition *v, size_t *n, const char *type, bool status, const char *reason, const char *message);
struct report_id report_id_of(struct tx *tx, const struct object *o);
const struct quarantine *quarantine_find(const struct tx *tx, const struct object *o, const char *section, uint32_t rule);
Model__Source *source_of(struct tx *tx, const struct object *o, const char *section, uint32_t rule, uint32_t match);
bool labels_match(const struct label_selector *sel, struct labels l);
int object_age_cmp(const struct object *a, const struct object *b); /* older first, then namespace, name, kind */
struct tx_gateway *gateway_find(const struct tx *tx, const char *ns, const char *name);
/* NULL = not ours.  *ret_set: the ListenerSet it names, or NULL. */
struct tx_gateway *parent_gateway(const struct tx *tx, const struct http_route *route, const struct parent_ref *p,
                                  const struct tx_set **ret_set);
bool namespace_selected(struct tx *tx, enum from_namespaces from, const struct label_selector *sel, const char *own, const char *ns);
const char *hostname_intersect(const char *listener, const char *route); /* the more specific one, or NULL; "" = any */
uint32_t hostname_rank(const char *host);

/* certificates and CA bundles (translate_secret.c) */
/* tls.options into the model; NULL, or what is wrong with which of them. */
const char *tls_options_put(struct tx *tx, const struct labels *options, Model__Tls *to);
struct tx_cert *cert_ref(struct tx *tx, const struct object *from, const struct object_ref *ref, const char **ret_reason, const char **ret_why); /* NULL with a reason */
struct tx_trust *trust_refs(struct tx *tx, const char *from_kind, const char *from_ns, const struct object_ref *refs, size_t n,
                            const char *bad_kind, const char **ret_reason, const char **ret_why);

/* policies (translate_policy.c) */
void translate_policies(struct tx *tx);
void report_policies(struct tx *tx); /* after attachment */
/* Who decides on TLS to this port: NULL = nobody.  Notes in uses every policy that points at it. */
struct tx_policy *policy_of(struct tx *tx, const struct service *s, const struct service_port *p, struct tx_uses *uses);
/* A cluster like c that shows a client certificate. */
struct tx_cluster *cluster_with_certificate(struct tx *tx, struct tx_cluster *c, struct tx_cert *cert);

/* Gatehouse's own policies (translate_traffic.c) */
void translate_backend_policies(struct tx *tx);
void translate_client_policies(struct tx *tx); /* after the listeners */
/* The one that decides on this port, NULL = none.  Notes in uses every policy that points at it. */
const struct backend_policy *backend_policy_of(struct tx *tx, const struct service *s, const struct service_port *p, struct tx_uses *uses);
void backend_policy_pool(struct tx *tx, const struct backend_policy *p, bool udp, Model__Pool *m); /* what the front tier does of it */
void backend_policy_put(struct tx *tx, const struct backend_policy *p, Model__Cluster *c);
void client_policy_put(struct tx *tx, const struct tx_gateway *g, Model__Bind *b);
void report_traffic(struct tx *tx, struct vec *reports); /* struct route_report; after attachment */

/* the steps */
/* What its ClientPolicy says of sources and rates, for a listener of the front tier. */
void client_policy_guard(struct tx *tx, const struct tx_gateway *g, uint16_t port, Model__L4 *l4, Model__L4Listener *l);
void translate_sets(struct tx *tx); /* finds each ListenerSet's Gateway */
void translate_listeners(struct tx *tx, struct tx_gateway *g);
void translate_sets_accept(struct tx *tx);
void translate_route(struct tx *tx, struct tx_route *r);
/* The Service port of a TCPRoute's or UDPRoute's backend; s NULL in *ret and a reason returned when it is invalid. */
struct tx_backend translate_l4_backend(struct tx *tx, const struct http_route *route, const struct backend_ref *b, struct tx_l4_leg *ret);
void endpoint_set_stamp(struct tx *tx, struct tx_cluster *c); /* sha and version of c->set */
struct tx_backend translate_backend(struct tx *tx, const struct http_route *route, const struct backend_ref *b, struct tx_uses *uses);
void endpoint_output_set(struct tx *tx, struct endpoint_output *o, const struct tx_cluster *c);
Model__EndpointSet *endpoint_set_build(struct tx *tx, const char *ns, const char *service, const struct service_port *port);
void translate_attach(struct tx *tx);
void translate_vips(struct tx *tx);
void translate_l7(struct tx *tx, struct pool_output *out, size_t pool);
void translate_l4(struct tx *tx);
void section_add(struct tx *tx, struct manifest *m, const char *key, const Model__Section *s, bool secret);
