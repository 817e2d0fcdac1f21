/* agent/core/translate_attach.c - which routes attach to which listeners, and each parent's Accepted, ResolvedRefs and
 * PartiallyInvalid.  Layer: agent/core, pure. */
#include "lib/base.h"
#include "agent/core/translate_priv.h"

static bool namespace_allowed(struct tx *tx, const struct tx_listener *l, const char *route_ns)
{
        return namespace_selected(tx, l->l->from, l->l->has_selector ? &l->l->selector : NULL, l->owner->namespace, route_ns);
}

static int host_cmp(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Effective hostnames of a route on a listener; none = they do not intersect. */
static size_t intersect(struct tx *tx, const struct tx_listener *l, const struct http_route *r, const char ***ret)
{
        const char **v = TX_ARRAY(tx, const char *, r->hostnames.n + 1);
        size_t n = 0, k = 0;
        if (r->hostnames.n == 0)
                v[n++] = l->l->hostname;
        for (size_t i = 0; i < r->hostnames.n; i++) {
                const char *h = hostname_intersect(l->l->hostname, r->hostnames.v[i]);
                if (h)
                        v[n++] = h;
        }
        if (n)
                qsort(v, n, sizeof *v, host_cmp);
        for (size_t i = 0; i < n; i++)
                if (k == 0 || strcmp(v[k - 1], v[i]) != 0)
                        v[k++] = v[i];
        *ret = v;
        return k;
}

/* Two parentRefs of one route may name the same listener: it is attached once. */
static void attach(struct tx *tx, struct tx_listener *l, struct tx_route *r, const char **hosts, size_t n)
{
        if (l->attached.n && ((struct tx_attachment *)l->attached.v[l->attached.n - 1])->route == r)
                return;
        struct tx_attachment *a = TX_NEW(tx, struct tx_attachment);
        *a = (struct tx_attachment){ .route = r, .hosts = hosts, .n_hosts = n };
        vec_add(tx, &l->attached, a);
        l->report->attached_routes++;
}

/* How far a parentRef came: what the best listener said. */
enum attach_rc { NO_PARENT, NOT_ALLOWED, NO_HOSTNAME, ATTACHED };

/* Of a Gateway its own listeners, of a ListenerSet those of the set: neither sees the other's. */
static enum attach_rc attach_parent(struct tx *tx, struct tx_gateway *g, const struct tx_set *set, struct tx_route *r,
                                    const struct parent_ref *p)
{
        enum attach_rc best = NO_PARENT;
        for (size_t i = 0; i < g->n_listeners; i++) {
                struct tx_listener *l = &g->listeners[i];
                if (l->set != set || (*p->section_name && strcmp(p->section_name, l->l->name) != 0) || (p->port && p->port != l->l->port))
                        continue;
                if (!(l->allows & 1u << r->route->o.kind) || !namespace_allowed(tx, l, r->route->o.namespace)) {
                        best = best < NOT_ALLOWED ? NOT_ALLOWED : best;
                        continue;
                }
                const char **hosts;
                size_t n = intersect(tx, l, r->route, &hosts);
                if (n == 0) {
                        best = best < NO_HOSTNAME ? NO_HOSTNAME : best;
                        continue;
                }
                best = ATTACHED;
                if (!r->dead)
                        attach(tx, l, r, hosts, n);
        }
        return best;
}

static void parent_copy(struct tx *tx, struct parent_ref *to, const struct parent_ref *from)
{
        *to = (struct parent_ref){ .group = tx_dup(tx, from->group), .kind = tx_dup(tx, from->kind),
                                   .namespace = tx_dup(tx, from->namespace), .name = tx_dup(tx, from->name),
                                   .section_name = tx_dup(tx, from->section_name), .port = from->port };
}

static void parent_report(struct tx *tx, struct tx_route *r, struct route_parent_report *pr, enum attach_rc rc)
{
        static const struct { const char *reason, *message; } why[] = {
                [NO_PARENT] = { "NoMatchingParent", "No listener matches sectionName and port" },
                [NOT_ALLOWED] = { "NotAllowedByListeners", "No matching listener allows this kind from this namespace" },
                [NO_HOSTNAME] = { "NoMatchingListenerHostname", "No hostname in common with the listener" },
                [ATTACHED] = { "Accepted", "" },
        };
        if (rc == ATTACHED && r->dead)
                condition_set(pr->conditions, &pr->n_conditions, "Accepted", false, "UnsupportedValue", r->dead_why);
        else
                condition_set(pr->conditions, &pr->n_conditions, "Accepted", rc == ATTACHED, why[rc].reason, why[rc].message);
        if (r->resolved_reason)
                condition_set(pr->conditions, &pr->n_conditions, "ResolvedRefs", false, r->resolved_reason,
                              tx_dup(tx, r->resolved_why));
        else
                condition_set(pr->conditions, &pr->n_conditions, "ResolvedRefs", true, "ResolvedRefs", "");
        if (r->partial_reason && rc == ATTACHED)
                condition_set(pr->conditions, &pr->n_conditions, "PartiallyInvalid", true, r->partial_reason, r->partial_why);
}

void translate_attach(struct tx *tx)
{
        for (size_t i = 0; i < tx->n_routes; i++) {
                struct tx_route *r = &tx->routes[i];
                for (size_t p = 0; p < r->route->n_parents; p++) {
                        const struct parent_ref *ref = &r->route->parents[p];
                        const struct tx_set *set;
                        struct tx_gateway *g = parent_gateway(tx, r->route, ref, &set);
                        if (!g)
                                continue; /* another controller's: none of our business */
                        struct route_parent_report *pr = &r->report->parents[r->report->n_parents++];
                        parent_copy(tx, &pr->parent, ref);
                        parent_report(tx, r, pr, attach_parent(tx, g, set, r, ref));
                }
        }
}
