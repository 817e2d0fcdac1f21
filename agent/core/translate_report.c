/* agent/core/translate_report.c - small facts every step needs: conditions, sources, quarantine, labels, ages, hostnames.
 * Layer: agent/core, pure. */
#include "lib/base.h"
#include "agent/core/translate_priv.h"

void condition_set(struct condition *v, size_t *n, const char *type, bool status, const char *reason, const char *message)
{
        for (size_t i = 0; i < *n; i++)
                if (strcmp(v[i].type, type) == 0) {
                        v[i] = (struct condition){ type, status, reason, message };
                        return;
                }
        v[(*n)++] = (struct condition){ type, status, reason, message };
}

struct report_id report_id_of(struct tx *tx, const struct object *o)
{
        return (struct report_id){ o->kind, tx_dup(tx, o->namespace), tx_dup(tx, o->name), o->generation };
}

const struct quarantine *quarantine_find(const struct tx *tx, const struct object *o, const char *section, uint32_t rule)
{
        for (size_t i = 0; i < tx->n_q; i++) {
                const struct quarantine *q = &tx->q[i];
                if (q->rule == rule && q->generation == o->generation && strcmp(q->kind, object_kind_str(o->kind)) == 0 &&
                    strcmp(q->namespace, o->namespace) == 0 && strcmp(q->name, o->name) == 0 &&
                    (rule != 0 || strcmp(q->section, section) == 0)) /* a rule is known by its number, not its name */
                        return q;
        }
        return NULL;
}

Model__Source *source_of(struct tx *tx, const struct object *o, const char *section, uint32_t rule, uint32_t match)
{
        Model__Source *s = PB_NEW(tx, Model__Source, model__source);
        s->kind = pb_str(object_kind_str(o->kind));
        s->namespace_ = pb_str(o->namespace);
        s->name = pb_str(o->name);
        s->section = pb_str(section);
        s->generation = (uint64_t)o->generation;
        s->rule = rule;
        s->match = match;
        return s;
}

static const char *label_get(struct labels l, const char *key)
{
        for (size_t i = 0; i < l.n; i++)
                if (strcmp(l.v[i].key, key) == 0)
                        return l.v[i].value;
        return NULL;
}

static bool strings_have(struct strings s, const char *v)
{
        for (size_t i = 0; i < s.n; i++)
                if (strcmp(s.v[i], v) == 0)
                        return true;
        return false;
}

/* metav1.LabelSelector: all terms must hold; NotIn and DoesNotExist hold for an absent key; an unknown operator never. */
bool labels_match(const struct label_selector *sel, struct labels l)
{
        for (size_t i = 0; i < sel->match_labels.n; i++) {
                const char *v = label_get(l, sel->match_labels.v[i].key);
                if (!v || strcmp(v, sel->match_labels.v[i].value) != 0)
                        return false;
        }
        for (size_t i = 0; i < sel->n_exprs; i++) {
                const struct label_expression *e = &sel->exprs[i];
                const char *v = label_get(l, e->key);
                bool ok = false;
                if (strcmp(e->op, "In") == 0)
                        ok = v && strings_have(e->values, v);
                else if (strcmp(e->op, "NotIn") == 0)
                        ok = !v || !strings_have(e->values, v);
                else if (strcmp(e->op, "Exists") == 0)
                        ok = v != NULL;
                else if (strcmp(e->op, "DoesNotExist") == 0)
                        ok = v == NULL;
                if (!ok)
                        return false;
        }
        return true;
}

int object_age_cmp(const struct object *a, const struct object *b)
{
        if (a->created_s != b->created_s)
                return a->created_s < b->created_s ? -1 : 1;
        int r = strcmp(a->namespace, b->namespace);
        if (r == 0)
                r = strcmp(a->name, b->name);
        return r ? r : (a->kind > b->kind) - (a->kind < b->kind);
}

struct tx_gateway *gateway_find(const struct tx *tx, const char *ns, const char *name)
{
        size_t lo = 0, hi = tx->n_gateways; /* sorted by namespace, name as the store gives them */
        while (lo < hi) {
                size_t mid = lo + (hi - lo) / 2;
                const struct object *o = &tx->gateways[mid].gw->o;
                int r = strcmp(ns, o->namespace);
                if (r == 0)
                        r = strcmp(name, o->name);
                if (r == 0)
                        return &tx->gateways[mid];
                if (r < 0)
                        hi = mid;
                else
                        lo = mid + 1;
        }
        return NULL;
}

static const struct tx_set *set_find(const struct tx *tx, const char *ns, const char *name)
{
        for (size_t lo = 0, hi = tx->n_sets; lo < hi;) {
                size_t mid = lo + (hi - lo) / 2;
                const struct object *o = &tx->sets[mid].s->o;
                int r = strcmp(ns, o->namespace);
                if (r == 0)
                        r = strcmp(name, o->name);
                if (r == 0)
                        return &tx->sets[mid];
                if (r < 0)
                        hi = mid;
                else
                        lo = mid + 1;
        }
        return NULL;
}

struct tx_gateway *parent_gateway(const struct tx *tx, const struct http_route *route, const struct parent_ref *p,
                                  const struct tx_set **ret_set)
{
        const char *ns = *p->namespace ? p->namespace : route->o.namespace;
        *ret_set = NULL;
        if (strcmp(p->group, GATEWAY_API_GROUP) != 0)
                return NULL;
        if (strcmp(p->kind, "ListenerSet") == 0)
                *ret_set = set_find(tx, ns, p->name);
        if (*ret_set)
                return (*ret_set)->g;
        return strcmp(p->kind, "Gateway") == 0 ? gateway_find(tx, ns, p->name) : NULL;
}

bool namespace_selected(struct tx *tx, enum from_namespaces from, const struct label_selector *sel, const char *own, const char *ns)
{
        switch (from) {
        case FROM_ALL:
                return true;
        case FROM_SAME:
                return strcmp(own, ns) == 0;
        case FROM_NONE:
                return false;
        case FROM_SELECTOR:
                if (!sel)
                        return false; /* an absent selector selects nothing, an empty one everything */
                break;
        }
        const struct object *o = store_get(tx->s, OBJECT_NAMESPACE, "", ns);
        if (o)
                return labels_match(sel, o->labels);
        /* A namespace nobody declared still has its well-known label. */
        struct label name = { "kubernetes.io/metadata.name", ns };
        return labels_match(sel, (struct labels){ &name, 1 });
}

static bool is_wildcard(const char *h) { return h[0] == '*' && h[1] == '.'; }

/* Does host lie under the wildcard (".x" = pattern + 1)?  "*.x" covers any number of labels, never "x" itself. */
static bool under(const char *pattern, const char *host)
{
        size_t np = strlen(pattern) - 1, nh = strlen(host);
        return nh > np && memcmp(host + nh - np, pattern + 1, np) == 0;
}

const char *hostname_intersect(const char *listener, const char *route)
{
        if (*listener == '\0')
                return route;
        if (*route == '\0' || strcmp(listener, route) == 0)
                return listener;
        if (is_wildcard(listener) && under(listener, is_wildcard(route) ? route + 1 : route))
                return route;
        if (is_wildcard(route) && under(route, is_wildcard(listener) ? listener + 1 : listener))
                return listener;
        return NULL;
}

/* Isolation: exact > longer wildcard > any.  Names have at most 253 bytes, so 512 separates the classes. */
uint32_t hostname_rank(const char *host)
{
        if (*host == '\0')
                return 0;
        return (is_wildcard(host) ? 512u : 1024u) + (uint32_t)MIN(strlen(host), (size_t)511);
}
