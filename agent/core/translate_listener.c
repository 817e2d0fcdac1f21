/* agent/core/translate_listener.c - one Gateway's listeners: protocol, kinds, TLS references, conflicts, and the
 * conditions Accepted, Conflicted, ResolvedRefs.  Layer: agent/core, pure. */
#include "lib/base.h"
#include "agent/core/translate_priv.h"

static enum tx_protocol protocol_of(const char *p)
{
        static const struct { const char *name; enum tx_protocol protocol; } names[] = {
                { "HTTP", TX_HTTP }, { "HTTPS", TX_HTTPS }, { "TLS", TX_TLS }, { "TCP", TX_TCP }, { "UDP", TX_UDP },
        };
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (strcmp(names[i].name, p) == 0)
                        return names[i].protocol;
        return TX_PROTOCOL_UNKNOWN;
}

static void listener_condition(struct tx_listener *l, const char *type, bool status, const char *reason, const char *message)
{
        condition_set(l->report->conditions, &l->report->n_conditions, type, status, reason, message);
}

/* Keeps the first reason: a listener says one thing that is wrong at a time. */
static void ref_bad(struct tx_listener *l, const char *reason, const char *message)
{
        for (size_t i = 0; i < l->report->n_conditions; i++)
                if (strcmp(l->report->conditions[i].type, "ResolvedRefs") == 0 && !l->report->conditions[i].status)
                        return;
        listener_condition(l, "ResolvedRefs", false, reason, message);
}

/* supportedKinds = asked kinds we can serve on this protocol; a kind we cannot is an error of the listener. */
static void listener_kinds(struct tx *tx, struct tx_listener *l)
{
        bool http = l->protocol == TX_HTTP || l->protocol == TX_HTTPS;
        uint32_t can = l->protocol == TX_TCP ? 1u << OBJECT_TCP_ROUTE : l->protocol == TX_UDP ? 1u << OBJECT_UDP_ROUTE : l->protocol == TX_TLS ? 1u << OBJECT_TLS_ROUTE : http ? 1u << OBJECT_HTTP_ROUTE | 1u << OBJECT_GRPC_ROUTE : 0;
        if (!l->l->has_kinds)
                l->allows = can;
        for (size_t i = 0; i < l->l->n_kinds; i++) {
                const struct route_kind *k = &l->l->kinds[i];
                int kind = object_kind_find(k->group, k->kind);
                if (kind >= 0 && can & 1u << kind)
                        l->allows |= 1u << kind;
                else
                        ref_bad(l, "InvalidRouteKinds", tx_printf(tx, "allowedRoutes.kinds: %s is not supported on a %s listener",
                                                                  k->kind, l->l->protocol));
        }
        for (int k = 0; k < OBJECT_KIND_N; k++)
                if (l->allows & 1u << k)
                        l->report->supported_kinds[l->report->n_supported_kinds++] =
                                (struct route_kind){ GATEWAY_API_GROUP, object_kind_str((enum object_kind)k) };
}

/* Does TLS end here?  TLS listeners may pass it through. */
static bool ends_tls(const struct tx_listener *l)
{
        return l->protocol == TX_HTTPS || (l->protocol == TX_TLS && strcmp(l->l->tls.mode, "Passthrough") != 0);
}

static void listener_cert_ref(struct tx *tx, struct tx_listener *l, const struct object_ref *ref)
{
        const char *reason, *why;
        struct tx_cert *c = cert_ref(tx, l->owner, ref, &reason, &why);
        if (!c) {
                ref_bad(l, reason, why);
                return;
        }
        for (size_t i = 0; i < l->n_certs; i++)
                if (l->certs[i] == c)
                        return;
        l->certs[l->n_certs++] = c;
}

/* HTTPS terminates here: it needs a certificate that loads.  Good ones serve even beside a bad one. */
static void listener_tls(struct tx *tx, struct tx_listener *l)
{
        if (!ends_tls(l))
                return;
        l->certs = TX_ARRAY(tx, struct tx_cert *, l->l->tls.n_certificate_refs);
        if (!l->l->has_tls || l->l->tls.n_certificate_refs == 0)
                ref_bad(l, "InvalidCertificateRef", tx_printf(tx, "An %s listener needs tls.certificateRefs", l->l->protocol));
        else
                for (size_t i = 0; i < l->l->tls.n_certificate_refs; i++)
                        listener_cert_ref(tx, l, &l->l->tls.certificate_refs[i]);
}

/* Two listeners of one Gateway on one port: what is wrong, or NULL.  Of the Gateway's own nobody wins: both are out (Gateway
 * API, "conflicted listeners"); before ListenerSets the Gateway wins, then the older set, then the earlier listener.  HTTPS and TLS may share a port by hostname; everything else on one port must be one protocol. */
static const char *conflict(const struct tx_listener *a, const struct tx_listener *b)
{
        if (a->l->port != b->l->port || a->protocol == TX_PROTOCOL_UNKNOWN || b->protocol == TX_PROTOCOL_UNKNOWN)
                return NULL;
        if ((a->protocol == TX_UDP) != (b->protocol == TX_UDP))
                return NULL;
        bool sni = (a->protocol == TX_HTTPS || a->protocol == TX_TLS) && (b->protocol == TX_HTTPS || b->protocol == TX_TLS);
        if (a->protocol != b->protocol && !sni)
                return "ProtocolConflict";
        if (a->protocol == TX_TCP || a->protocol == TX_UDP || strcmp(a->l->hostname, b->l->hostname) == 0)
                return a->protocol == b->protocol ? "HostnameConflict" : "ProtocolConflict";
        return NULL;
}

static void listener_conflicts(struct tx *tx, struct tx_gateway *g, struct tx_listener *l)
{
        const char *reason = NULL;
        const struct tx_listener *with = NULL;
        for (size_t i = 0; i < g->n_listeners && !reason; i++) {
                const struct tx_listener *o = &g->listeners[i];
                if (l->set ? o == l : o->set != NULL)
                        break; /* those behind: they lose against this one */
                if (o == l || (l->set && !o->accepted))
                        continue;
                reason = conflict(l, o);
                with = o;
        }
        if (!reason) {
                listener_condition(l, "Conflicted", false, "NoConflicts", "");
                return;
        }
        const char *why = !with->set || with->set == l->set
                                  ? tx_printf(tx, "Port %u: conflicts with listener %s", l->l->port, with->l->name)
                                  : tx_printf(tx, "Port %u: conflicts with listener %s of ListenerSet %s/%s", l->l->port, with->l->name,
                                              with->owner->namespace, with->owner->name);
        l->accepted = false;
        listener_condition(l, "Accepted", false, reason, why);
        listener_condition(l, "Conflicted", true, reason, why);
        l->conflict = reason;
}

static void listener_verdict(struct tx *tx, struct tx_listener *l)
{
        struct listener_report *r = l->report;
        const struct quarantine *q = quarantine_find(tx, l->owner, l->l->name, 0);
        if (!q && l->set)
                q = quarantine_find(tx, l->owner, "", 0);
        r->serves = l->accepted && l->allows != 0 && (!ends_tls(l) || l->n_certs > 0) && !q;
        if (r->serves)
                return;
        r->stop_reason = l->set && l->conflict ? l->conflict : "Invalid";
        r->stop = !l->accepted ? "The listener is not accepted" : q ? tx_dup(tx, q->reason) :
                  l->allows == 0 ? "No supported route kind is allowed" : "References of the listener are not resolved";
}

/* What spec.tls.frontend asks clients of this listener for; what it says for a port wins over the default.  NULL: nothing. */
static const struct client_validation *validation_of(const struct tx_listener *l)
{
        const struct gateway *gw = l->g->gw;
        const struct client_validation *v = &gw->client_validation;
        if (!ends_tls(l))
                return NULL;
        for (size_t i = 0; i < gw->n_port_validation; i++)
                if (gw->port_validation[i].port == l->l->port)
                        v = &gw->port_validation[i].client;
        return v->has_validation ? v : NULL;
}

/* Without anything to verify clients by, the listener is not served: it would be open to everybody. */
static void listener_clients(struct tx *tx, struct tx_listener *l)
{
        const struct client_validation *v = validation_of(l);
        const char *reason, *why;
        if (!v)
                return;
        l->trust = trust_refs(tx, "Gateway", l->g->gw->o.namespace, v->ca_refs, v->n_ca_refs, "InvalidCACertificateKind", &reason, &why);
        l->insecure = strcmp(v->mode, "AllowInsecureFallback") == 0;
        if (reason)
                ref_bad(l, reason, why);
        if (l->trust || !l->accepted)
                return;
        l->accepted = false;
        listener_condition(l, "Accepted", false, "NoValidCACertificate", "tls.frontend: no reference gives CA certificates");
}

static void listener_accepted(struct tx *tx, struct tx_listener *l)
{
        l->accepted = false;
        if (l->protocol == TX_PROTOCOL_UNKNOWN) {
                listener_condition(l, "Accepted", false, "UnsupportedProtocol",
                                   tx_printf(tx, "Protocol %s is not supported", l->l->protocol));
        } else {
                l->accepted = true;
                listener_condition(l, "Accepted", true, "Accepted", "");
        }
}

/* Options that are not understood would be served as something weaker than asked for. */
static void listener_options(struct tx *tx, struct tx_listener *l)
{
        Model__Tls scratch = MODEL__TLS__INIT;
        const char *why = ends_tls(l) ? tls_options_put(tx, &l->l->tls.options, &scratch) : NULL;
        if (!why || !l->accepted)
                return;
        l->accepted = false;
        listener_condition(l, "Accepted", false, "UnsupportedValue", why);
}

static void listener_init(struct tx *tx, struct tx_gateway *g, const struct gateway_listener *of, const struct tx_set *set)
{
        struct tx_listener *l = &g->listeners[g->n_listeners];
        struct listener_report *r = &g->report->listeners[g->n_listeners++];
        *l = (struct tx_listener){ .l = of, .g = g, .set = set, .owner = set ? &set->s->o : &g->gw->o, .report = r,
                                   .protocol = protocol_of(of->protocol) };
        r->name = tx_dup(tx, of->name);
        r->port = of->port;
        r->udp = l->protocol == TX_UDP;
        r->direct = l->protocol == TX_TCP || l->protocol == TX_UDP;
        r->set = set ? (size_t)(set - tx->sets) + 1 : 0;
}

static int set_age_cmp(const void *a, const void *b)
{
        return object_age_cmp(&(*(struct tx_set *const *)a)->s->o, &(*(struct tx_set *const *)b)->s->o);
}

/* The Gateway's own listeners, then those of the sets it lets in, the oldest first. */
static void listeners_gather(struct tx *tx, struct tx_gateway *g)
{
        size_t n = g->gw->n_listeners;
        for (size_t i = 0; i < g->sets.n; i++)
                n += ((const struct tx_set *)g->sets.v[i])->s->n_listeners;
        g->listeners = TX_ARRAY(tx, struct tx_listener, n);
        g->report->listeners = TX_ARRAY(tx, struct listener_report, n);
        for (size_t i = 0; i < g->gw->n_listeners; i++)
                listener_init(tx, g, &g->gw->listeners[i], NULL);
        if (g->sets.n)
                qsort(g->sets.v, g->sets.n, sizeof *g->sets.v, set_age_cmp);
        for (size_t i = 0; i < g->sets.n; i++) {
                const struct tx_set *set = g->sets.v[i];
                for (size_t k = 0; k < set->s->n_listeners; k++)
                        listener_init(tx, g, &set->s->listeners[k], set);
        }
        g->report->n_listeners = g->n_listeners;
}

void translate_listeners(struct tx *tx, struct tx_gateway *g)
{
        listeners_gather(tx, g);
        for (size_t i = 0; i < g->n_listeners; i++) {
                struct tx_listener *l = &g->listeners[i];
                listener_accepted(tx, l);
                listener_conflicts(tx, g, l);
                listener_condition(l, "ResolvedRefs", true, "ResolvedRefs", "");
                listener_kinds(tx, l);
                listener_tls(tx, l);
                listener_clients(tx, l);
                listener_options(tx, l);
                listener_verdict(tx, l);
        }
}
