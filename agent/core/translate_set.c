/* agent/core/translate_set.c - ListenerSets: which Gateway each belongs to, whether that lets it in, and its Accepted.
 * Its listeners are judged and served as the Gateway's (translate_listener.c).  Layer: agent/core, pure. */
#include "lib/base.h"
#include "agent/core/translate_priv.h"

static void accepted(struct tx_set *set, bool ok, const char *reason, const char *message)
{
        set->report->accepted = (struct condition){ "Accepted", ok, reason, message };
}

void translate_sets(struct tx *tx)
{
        size_t n;
        const struct object *const *all = store_all(tx->s, OBJECT_LISTENER_SET, &n); /* by namespace and name */
        tx->sets = TX_ARRAY(tx, struct tx_set, n);
        tx->t->sets = TX_ARRAY(tx, struct listener_set_report, n);
        for (size_t i = 0; i < n; i++) {
                const struct listener_set *s = (const struct listener_set *)all[i];
                if (strcmp(s->parent.group, GATEWAY_API_GROUP) != 0 || strcmp(s->parent.kind, "Gateway") != 0)
                        continue;
                struct tx_gateway *g = gateway_find(tx, *s->parent.namespace ? s->parent.namespace : s->o.namespace, s->parent.name);
                if (!g)
                        continue; /* another controller's, or none yet */
                struct tx_set *set = &tx->sets[tx->n_sets++];
                struct listener_set_report *r = &tx->t->sets[tx->t->n_sets++];
                r->id = report_id_of(tx, &s->o);
                r->gateway = (size_t)(g - tx->gateways);
                *set = (struct tx_set){ .s = s, .g = g, .report = r };
                const struct gateway *gw = g->gw;
                set->allowed = namespace_selected(tx, gw->sets_from, gw->has_sets_selector ? &gw->sets_selector : NULL,
                                                  gw->o.namespace, s->o.namespace);
                if (set->allowed)
                        vec_add(tx, &g->sets, set);
                else
                        accepted(set, false, "NotAllowed", "allowedListeners of the Gateway does not let this namespace in");
        }
}

void translate_sets_accept(struct tx *tx)
{
        for (size_t i = 0; i < tx->n_sets; i++) {
                struct tx_set *set = &tx->sets[i];
                size_t valid = 0, all = set->s->n_listeners;
                if (!set->allowed)
                        continue;
                for (size_t k = 0; k < set->g->n_listeners; k++)
                        valid += set->g->listeners[k].set == set && set->g->listeners[k].report->serves;
                const struct quarantine *q = quarantine_find(tx, &set->s->o, "", 0);
                if (!set->g->accepted)
                        accepted(set, false, "ParentNotAccepted", "The Gateway is not accepted");
                else if (valid == 0)
                        accepted(set, false, "ListenersNotValid", q ? tx_dup(tx, q->reason) : "No listener is valid");
                else if (valid < all)
                        accepted(set, true, "ListenersNotValid", tx_printf(tx, "%zu of %zu listeners are not valid", all - valid, all));
                else
                        accepted(set, true, "Accepted", "All listeners are valid");
                set->g->report->attached_sets += set->report->accepted.status;
        }
}
