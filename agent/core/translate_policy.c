/* agent/core/translate_policy.c - BackendTLSPolicies: which one decides on a Service port, how to speak TLS to its
 * endpoints, and each policy's conditions per Gateway.  Layer: agent/core, pure.
 *
 * A policy for one port (sectionName) beats one for the whole Service; of two for the same target the older one, then the
 * first by name, decides and the other is Conflicted (GEP-713).  Where the deciding policy cannot be followed nothing is
 * sent at all: never without TLS, never without verification. */
#include "lib/base.h"
#include "agent/core/translate_priv.h"

static char *san_text(struct tx *tx, const struct subject_alt_name *s)
{
        return pb_str(*s->uri ? tx_printf(tx, "uri:%s", s->uri) : tx_printf(tx, "dns:%s", s->hostname));
}

static Model__UpstreamTls *upstream_tls(struct tx *tx, const struct tx_policy *p)
{
        Model__UpstreamTls *t = PB_NEW(tx, Model__UpstreamTls, model__upstream_tls);
        t->sni = pb_str(p->p->hostname);
        t->trust = pb_str(p->trust ? p->trust->id : "");
        t->system_trust = !p->trust;
        t->sans = TX_ARRAY(tx, char *, p->p->n_sans);
        for (size_t i = 0; i < p->p->n_sans; i++)
                t->sans[t->n_sans++] = san_text(tx, &p->p->sans[i]);
        return t;
}

static void policy_build(struct tx *tx, struct tx_policy *p)
{
        const struct backend_tls_policy *src = p->p;
        const struct quarantine *q = quarantine_find(tx, &src->o, "", 0);
        if (*src->well_known && strcmp(src->well_known, "System") != 0) {
                p->accepted_reason = "Invalid";
                p->accepted_why = tx_printf(tx, "wellKnownCACertificates %s is not supported, only System", src->well_known);
                return;
        }
        if (!*src->well_known) {
                p->trust = trust_refs(tx, "BackendTLSPolicy", src->o.namespace, src->ca_refs, src->n_ca_refs, "InvalidKind",
                                      &p->resolved_reason, &p->resolved_why);
                if (!p->trust) {
                        p->accepted_reason = "NoValidCACertificate";
                        p->accepted_why = "No reference gives CA certificates";
                        return;
                }
        }
        if (q) {
                p->accepted_reason = "Invalid";
                p->accepted_why = tx_dup(tx, q->reason);
                return;
        }
        p->tls = upstream_tls(tx, p);
}

/* Behind the older ones: whoever comes second to the same section is in conflict. */
static void target_add(struct tx *tx, struct tx_policy *p, const struct policy_target *ref)
{
        const char *key = tx_printf(tx, "%s/%s", p->p->o.namespace, ref->name);
        struct tx_target *t = TX_NEW(tx, struct tx_target), *last = map_get(&tx->targets, span_str(key));
        *t = (struct tx_target){ .policy = p, .section = ref->section_name };
        if (!last)
                map_set(tx, &tx->targets, key, t);
        for (; last; last = last->next) {
                if (strcmp(last->section, t->section) == 0 && last->policy != p) {
                        p->accepted_reason = "Conflicted";
                        p->accepted_why = tx_printf(tx, "BackendTLSPolicy %s is older and has the same target Service %s",
                                                    last->policy->p->o.name, ref->name);
                }
                if (!last->next) {
                        last->next = t;
                        return;
                }
        }
}

static int policy_cmp(const void *a, const void *b)
{
        return object_age_cmp(&((const struct tx_policy *)a)->p->o, &((const struct tx_policy *)b)->p->o);
}

void translate_policies(struct tx *tx)
{
        size_t n;
        const struct object *const *all = store_all(tx->s, OBJECT_BACKEND_TLS_POLICY, &n);
        tx->policies = TX_ARRAY(tx, struct tx_policy, n);
        for (size_t i = 0; i < n; i++)
                tx->policies[tx->n_policies++].p = (const struct backend_tls_policy *)all[i];
        if (n)
                qsort(tx->policies, n, sizeof *tx->policies, policy_cmp);
        for (size_t i = 0; i < n; i++) {
                struct tx_policy *p = &tx->policies[i];
                policy_build(tx, p);
                for (size_t k = 0; k < p->p->n_targets; k++)
                        if (*p->p->targets[k].group == '\0' && strcmp(p->p->targets[k].kind, "Service") == 0)
                                target_add(tx, p, &p->p->targets[k]);
        }
}

struct tx_policy *policy_of(struct tx *tx, const struct service *s, const struct service_port *port, struct tx_uses *uses)
{
        struct tx_policy *of_port = NULL, *of_service = NULL;
        if (tx->targets.n == 0)
                return NULL;
        const char *key = tx_printf(tx, "%s/%s", s->o.namespace, s->o.name);
        for (struct tx_target *t = map_get(&tx->targets, span_str(key)); t; t = t->next) {
                bool whole = *t->section == '\0';
                if (!whole && strcmp(t->section, port->name) != 0)
                        continue;
                vec_add(tx, &uses->policies, t->policy);
                if (whole && !of_service)
                        of_service = t->policy;
                if (!whole && !of_port)
                        of_port = t->policy;
        }
        return of_port ? of_port : of_service;
}

struct tx_cluster *cluster_with_certificate(struct tx *tx, struct tx_cluster *c, struct tx_cert *cert)
{
        const char *id = tx_printf(tx, "%s+cert=%s", c->pb->id, cert->id);
        struct tx_cluster *v = map_get(&tx->clusters, span_str(id));
        if (v)
                return v;
        v = TX_NEW(tx, struct tx_cluster);
        *v = *c;
        v->in_pool = 0;
        v->cert = cert;
        v->pb = PB_NEW(tx, Model__Cluster, model__cluster);
        *v->pb = *c->pb;
        v->pb->id = pb_str(id);
        v->pb->tls = PB_NEW(tx, Model__UpstreamTls, model__upstream_tls);
        *v->pb->tls = *c->pb->tls;
        v->pb->tls->client_certificate = pb_str(cert->id);
        map_set(tx, &tx->clusters, id, v);
        return v;
}

/* ---- statuses */

static void used_by(struct tx *tx, struct tx_policy *p, struct tx_gateway *g)
{
        if (p->gateways.n == 0 || p->gateways.v[p->gateways.n - 1] != g)
                vec_add(tx, &p->gateways, g);
}

static void gateway_policies(struct tx *tx, struct tx_gateway *g)
{
        for (size_t i = 0; i < g->n_listeners; i++)
                for (size_t k = 0; k < g->listeners[i].attached.n; k++) {
                        const struct tx_route *r = ((struct tx_attachment *)g->listeners[i].attached.v[k])->route;
                        for (size_t n = 0; n < r->n_rules; n++)
                                for (size_t u = 0; u < r->rules[n].uses.policies.n; u++)
                                        used_by(tx, r->rules[n].uses.policies.v[u], g);
                }
}

static void ancestor_report(struct tx *tx, const struct tx_policy *p, const struct tx_gateway *g, struct route_parent_report *r)
{
        r->parent = (struct parent_ref){ .group = GATEWAY_API_GROUP, .kind = "Gateway", .namespace = tx_dup(tx, g->gw->o.namespace),
                                         .name = tx_dup(tx, g->gw->o.name), .section_name = "" };
        condition_set(r->conditions, &r->n_conditions, "Accepted", !p->accepted_reason,
                      p->accepted_reason ? p->accepted_reason : "Accepted", p->accepted_reason ? p->accepted_why : "");
        condition_set(r->conditions, &r->n_conditions, "ResolvedRefs", !p->resolved_reason,
                      p->resolved_reason ? p->resolved_reason : "ResolvedRefs", p->resolved_reason ? p->resolved_why : "");
}

static int report_cmp(const void *a, const void *b)
{
        const struct route_report *x = a, *y = b;
        int r = strcmp(x->id.namespace, y->id.namespace);
        r = r ? r : strcmp(x->id.name, y->id.name);
        return r ? r : (int)x->id.kind - (int)y->id.kind;
}

void report_policies(struct tx *tx)
{
        struct translation *t = tx->t;
        for (size_t i = 0; i < tx->n_gateways && tx->n_policies; i++)
                gateway_policies(tx, &tx->gateways[i]);
        struct vec traffic = { 0 };
        report_traffic(tx, &traffic);
        t->policies = TX_ARRAY(tx, struct route_report, tx->n_policies + traffic.n);
        for (size_t i = 0; i < traffic.n; i++)
                t->policies[t->n_policies++] = *(struct route_report *)traffic.v[i];
        for (size_t i = 0; i < tx->n_policies; i++) {
                const struct tx_policy *p = &tx->policies[i];
                if (p->gateways.n == 0)
                        continue; /* acts on nothing of ours: another controller's, or none's */
                struct route_report *r = &t->policies[t->n_policies++];
                r->id = report_id_of(tx, &p->p->o);
                r->parents = TX_ARRAY(tx, struct route_parent_report, p->gateways.n);
                for (size_t k = 0; k < p->gateways.n; k++)
                        ancestor_report(tx, p, p->gateways.v[k], &r->parents[r->n_parents++]);
        }
        if (t->n_policies)
                qsort(t->policies, t->n_policies, sizeof *t->policies, report_cmp);
}
