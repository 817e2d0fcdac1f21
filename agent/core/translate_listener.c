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
        uint32_t can = http ? 1u << OBJECT_HTTP_ROUTE | 1u << OBJECT_GRPC_ROUTE : 0;
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

static void listener_cert_ref(struct tx *tx, struct tx_listener *l, const struct object_ref *ref)
{
        const char *reason, *why;
        struct tx_cert *c = cert_ref(tx, l->g->gw->o.namespace, ref, &reason, &why);
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
        if (l->protocol != TX_HTTPS)
                return;
        l->certs = TX_ARRAY(tx, struct tx_cert *, l->l->tls.n_certificate_refs);
        if (!l->l->has_tls || l->l->tls.n_certificate_refs == 0)
                ref_bad(l, "InvalidCertificateRef", "An HTTPS listener needs tls.certificateRefs");
        else
                for (size_t i = 0; i < l->l->tls.n_certificate_refs; i++)
                        listener_cert_ref(tx, l, &l->l->tls.certificate_refs[i]);
}

/* Two listeners of one Gateway on one port: what is wrong, or NULL.  Nobody wins: both are out (Gateway API, "conflicted
 * listeners").  HTTPS and TLS may share a port by hostname; everything else on one port must be one protocol. */
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
        const char *reason = NULL, *with = NULL;
        for (size_t i = 0; i < g->n_listeners && !reason; i++)
                if (&g->listeners[i] != l) {
                        reason = conflict(l, &g->listeners[i]);
                        with = g->listeners[i].l->name;
                }
        if (!reason) {
                listener_condition(l, "Conflicted", false, "NoConflicts", "");
                return;
        }
        const char *why = tx_printf(tx, "Port %u: conflicts with listener %s", l->l->port, with);
        l->accepted = false;
        listener_condition(l, "Accepted", false, reason, why);
        listener_condition(l, "Conflicted", true, reason, why);
}

static void listener_verdict(struct tx *tx, struct tx_listener *l)
{
        struct listener_report *r = l->report;
        const struct quarantine *q = quarantine_find(tx, &l->g->gw->o, l->l->name, 0);
        r->serves = l->accepted && l->allows != 0 && (l->protocol == TX_HTTP || l->n_certs > 0) && !q;
        if (r->serves)
                return;
        r->stop_reason = "Invalid";
        r->stop = !l->accepted ? "The listener is not accepted" : q ? tx_dup(tx, q->reason) :
                  l->allows == 0 ? "No supported route kind is allowed" : "References of the listener are not resolved";
}

/* Does spec.tls.frontend ask clients of this listener for a certificate?  What it says for a port wins over the default. */
static bool asks_client_certificate(const struct tx_listener *l)
{
        const struct gateway *gw = l->g->gw;
        if (l->protocol != TX_HTTPS)
                return false;
        for (size_t i = 0; i < gw->n_port_validation; i++)
                if (gw->port_validation[i].port == l->l->port)
                        return gw->port_validation[i].client.has_validation;
        return gw->client_validation.has_validation;
}

static void listener_accepted(struct tx *tx, struct tx_listener *l)
{
        l->accepted = false;
        if (l->protocol != TX_HTTP && l->protocol != TX_HTTPS) {
                listener_condition(l, "Accepted", false, "UnsupportedProtocol",
                                   tx_printf(tx, "Protocol %s is not supported", l->l->protocol));
        } else if (asks_client_certificate(l)) { /* served without it, it would be open to everybody */
                listener_condition(l, "Accepted", false, "UnsupportedValue",
                                   "tls.frontend: validation of client certificates is not supported");
        } else {
                l->accepted = true;
                listener_condition(l, "Accepted", true, "Accepted", "");
        }
}

void translate_listeners(struct tx *tx, struct tx_gateway *g)
{
        const struct gateway *gw = g->gw;
        g->n_listeners = g->report->n_listeners = gw->n_listeners;
        g->listeners = TX_ARRAY(tx, struct tx_listener, gw->n_listeners);
        g->report->listeners = TX_ARRAY(tx, struct listener_report, gw->n_listeners);
        for (size_t i = 0; i < gw->n_listeners; i++) {
                struct tx_listener *l = &g->listeners[i];
                *l = (struct tx_listener){ .l = &gw->listeners[i], .g = g, .report = &g->report->listeners[i],
                                           .protocol = protocol_of(gw->listeners[i].protocol) };
                l->report->name = tx_dup(tx, l->l->name);
                l->report->port = l->l->port;
        }
        for (size_t i = 0; i < g->n_listeners; i++) {
                struct tx_listener *l = &g->listeners[i];
                listener_accepted(tx, l);
                listener_conflicts(tx, g, l);
                listener_condition(l, "ResolvedRefs", true, "ResolvedRefs", "");
                listener_kinds(tx, l);
                listener_tls(tx, l);
                listener_verdict(tx, l);
        }
}
