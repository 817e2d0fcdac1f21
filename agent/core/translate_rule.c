/* agent/core/translate_rule.c - one HTTPRoute's rules -> model rules, filters, legs, matches; what does not resolve
 * becomes the route's ResolvedRefs / PartiallyInvalid, and fails closed in the model.  Layer: agent/core, pure. */
#include "lib/base.h"
#include "agent/core/translate_priv.h"

static void unresolved(struct tx_route *r, const char *reason, const char *why)
{
        if (r->resolved_reason || !reason)
                return; /* the first one is reported; a policy reports for itself */
        r->resolved_reason = reason;
        r->resolved_why = why;
}

static void partial(struct tx *tx, struct tx_route *r, uint32_t rule, const char *reason, const char *why)
{
        if (r->partial_reason)
                return;
        r->partial_reason = reason;
        r->partial_why = tx_printf(tx, "Dropped Rule %u: %s", rule, why);
}

static char *lower(struct tx *tx, const char *s)
{
        char *p = pb_str(tx_dup(tx, s));
        for (char *c = p; *c; c++)
                if (*c >= 'A' && *c <= 'Z')
                        *c = (char)(*c + ('a' - 'A'));
        return p;
}

static void headers_fill(struct tx *tx, const struct name_value *v, size_t n, Model__Header ***ret, size_t *ret_n)
{
        *ret = TX_ARRAY(tx, Model__Header *, n);
        for (size_t i = 0; i < n; i++) {
                Model__Header *h = PB_NEW(tx, Model__Header, model__header);
                h->name = pb_str(v[i].name);
                h->value = pb_str(v[i].value);
                (*ret)[(*ret_n)++] = h;
        }
}

static Model__HeaderEdit *header_edit(struct tx *tx, const struct header_edit *e)
{
        Model__HeaderEdit *m = PB_NEW(tx, Model__HeaderEdit, model__header_edit);
        headers_fill(tx, e->set, e->n_set, &m->set, &m->n_set);
        headers_fill(tx, e->add, e->n_add, &m->add, &m->n_add);
        m->remove = TX_ARRAY(tx, char *, e->remove.n);
        for (size_t i = 0; i < e->remove.n; i++)
                m->remove[m->n_remove++] = pb_str(e->remove.v[i]);
        return m;
}

static Model__PathEdit *path_edit(struct tx *tx, enum path_modifier kind, const char *value)
{
        if (kind == PATH_KEEP)
                return NULL;
        Model__PathEdit *p = PB_NEW(tx, Model__PathEdit, model__path_edit);
        p->kind = kind == PATH_REPLACE_FULL ? MODEL__PATH_EDIT__KIND__FULL : MODEL__PATH_EDIT__KIND__PREFIX;
        p->value = pb_str(value);
        return p;
}

static Model__Redirect *redirect(struct tx *tx, const struct http_filter *f)
{
        Model__Redirect *r = PB_NEW(tx, Model__Redirect, model__redirect);
        r->scheme = pb_str(f->redirect.scheme);
        r->hostname = pb_str(f->redirect.hostname);
        r->port = f->redirect.port;
        r->path = path_edit(tx, f->redirect.path_type, f->redirect.path);
        r->status = f->redirect.status;
        return r;
}

static void strings_fill(struct tx *tx, struct strings s, char ***ret, size_t *ret_n)
{
        *ret = TX_ARRAY(tx, char *, s.n);
        for (size_t i = 0; i < s.n; i++)
                (*ret)[(*ret_n)++] = pb_str(s.v[i]);
}

static Model__Cors *cors(struct tx *tx, const struct http_filter *f)
{
        Model__Cors *c = PB_NEW(tx, Model__Cors, model__cors);
        strings_fill(tx, f->cors.allow_origins, &c->allow_origins, &c->n_allow_origins);
        strings_fill(tx, f->cors.allow_methods, &c->allow_methods, &c->n_allow_methods);
        strings_fill(tx, f->cors.allow_headers, &c->allow_headers, &c->n_allow_headers);
        strings_fill(tx, f->cors.expose_headers, &c->expose_headers, &c->n_expose_headers);
        c->allow_credentials = f->cors.allow_credentials;
        c->max_age_s = f->cors.max_age_s;
        return c;
}

/* Where filters of a rule or of one backend go. */
struct filter_out {
        struct tx_route *route;
        struct tx_rule *rule;
        Model__Filter ***filters; size_t *n;
        Model__Redirect **redirect;   /* the rule's action; NULL = as a filter (per backend) */
        bool fail_closed;             /* a filter that must not be skipped cannot be done: answer 500 */
};

static Model__Filter *mirror(struct tx *tx, struct filter_out *o, Model__Filter *m, const struct http_filter *f)
{
        struct tx_backend b = translate_backend(tx, o->route->route, &f->mirror.backend, &o->rule->uses);
        if (!b.cluster) { /* nothing to copy to: the request itself is not harmed (HTTPRequestMirrorFilter) */
                unresolved(o->route, b.reason, b.why);
                return NULL;
        }
        m->kind_case = MODEL__FILTER__KIND_MIRROR;
        m->mirror = PB_NEW(tx, Model__Mirror, model__mirror);
        m->mirror->cluster = pb_str(b.cluster);
        m->mirror->source = o->rule->pb->source;
        if (f->mirror.has_percent || f->mirror.has_fraction) {
                m->mirror->fraction = PB_NEW(tx, Model__Fraction, model__fraction);
                m->mirror->fraction->numerator = f->mirror.has_percent ? f->mirror.percent : f->mirror.numerator;
                m->mirror->fraction->denominator = f->mirror.has_percent ? 100 : f->mirror.denominator;
        }
        return m;
}

static Model__Filter *filter(struct tx *tx, struct filter_out *o, const struct http_filter *f)
{
        Model__Filter *m = PB_NEW(tx, Model__Filter, model__filter);
        m->source = o->rule->pb->source;
        switch (f->type) {
        case FILTER_REQUEST_HEADER:
                m->kind_case = MODEL__FILTER__KIND_REQUEST_HEADERS;
                m->request_headers = header_edit(tx, &f->headers);
                return m;
        case FILTER_RESPONSE_HEADER:
                m->kind_case = MODEL__FILTER__KIND_RESPONSE_HEADERS;
                m->response_headers = header_edit(tx, &f->headers);
                return m;
        case FILTER_REDIRECT:
                if (o->redirect) {
                        *o->redirect = redirect(tx, f);
                        return NULL;
                }
                m->kind_case = MODEL__FILTER__KIND_REDIRECT;
                m->redirect = redirect(tx, f);
                return m;
        case FILTER_REWRITE:
                m->kind_case = MODEL__FILTER__KIND_REWRITE;
                m->rewrite = PB_NEW(tx, Model__Rewrite, model__rewrite);
                m->rewrite->hostname = pb_str(f->rewrite.hostname);
                m->rewrite->path = path_edit(tx, f->rewrite.path_type, f->rewrite.path);
                return m;
        case FILTER_MIRROR:
                return mirror(tx, o, m, f);
        case FILTER_CORS:
                m->kind_case = MODEL__FILTER__KIND_CORS;
                m->cors = cors(tx, f);
                return m;
        case FILTER_EXTENSION_REF:
                unresolved(o->route, "InvalidKind", tx_printf(tx, "Rule %u: extensionRef of kind %s is not supported",
                                                              o->rule->index, f->extension.kind));
                o->fail_closed = true;
                return NULL;
        case FILTER_EXTERNAL_AUTH:
                unresolved(o->route, "InvalidKind", tx_printf(tx, "Rule %u: filter ExternalAuth is not supported", o->rule->index));
                o->fail_closed = true;
                return NULL;
        }
        BUG_ON(true);
        return NULL;
}

static void filters(struct tx *tx, struct filter_out *o, const struct http_filter *v, size_t n)
{
        *o->filters = TX_ARRAY(tx, Model__Filter *, n);
        for (size_t i = 0; i < n; i++) {
                Model__Filter *m = filter(tx, o, &v[i]);
                if (m)
                        (*o->filters)[(*o->n)++] = m;
        }
}

static Model__Leg *leg(struct tx *tx, struct tx_route *route, struct tx_rule *rule, const struct backend_ref *b)
{
        Model__Leg *l = PB_NEW(tx, Model__Leg, model__leg);
        l->weight = b->weight;
        l->source = rule->pb->source;
        struct tx_backend be = translate_backend(tx, route->route, b, &rule->uses);
        if (be.cluster) {
                l->cluster = pb_str(be.cluster);
        } else {
                l->fail_status = 500;
                unresolved(route, be.reason, be.why);
        }
        struct filter_out o = { .route = route, .rule = rule, .filters = &l->filters, .n = &l->n_filters };
        filters(tx, &o, b->filters, b->n_filters);
        if (o.fail_closed) {
                l->cluster = pb_str("");
                l->fail_status = 500;
        }
        return l;
}

static void rule_action(struct tx *tx, struct tx_route *route, struct tx_rule *rule)
{
        Model__Rule *m = rule->pb;
        Model__Redirect *redirect_to = NULL;
        struct filter_out o = { .route = route, .rule = rule, .filters = &m->filters, .n = &m->n_filters,
                                .redirect = &redirect_to };
        filters(tx, &o, rule->r->filters, rule->r->n_filters);
        Model__Forward *f = PB_NEW(tx, Model__Forward, model__forward);
        f->legs = TX_ARRAY(tx, Model__Leg *, rule->r->n_backends);
        for (size_t i = 0; i < rule->r->n_backends; i++)
                f->legs[f->n_legs++] = leg(tx, route, rule, &rule->r->backends[i]);
        if (o.fail_closed) {
                m->action_case = MODEL__RULE__ACTION_FIXED;
                m->fixed = PB_NEW(tx, Model__Fixed, model__fixed);
                m->fixed->status = 500;
                m->n_filters = 0;
        } else if (redirect_to) {
                m->action_case = MODEL__RULE__ACTION_REDIRECT;
                m->redirect = redirect_to;
        } else {
                m->action_case = MODEL__RULE__ACTION_FORWARD;
                m->forward = f;
        }
}

/* Given as it is: a data plane that cannot do it says so, and the rule is dropped; served without it, nobody would know. */
static void rule_session(struct tx *tx, struct tx_rule *rule)
{
        const struct http_rule *r = rule->r;
        if (!r->has_session_persistence)
                return;
        Model__Persistence *m = PB_NEW(tx, Model__Persistence, model__persistence);
        m->kind = r->session.type == SESSION_HEADER ? MODEL__PERSISTENCE__KIND__HEADER : MODEL__PERSISTENCE__KIND__COOKIE;
        m->name = pb_str(*r->session.name ? r->session.name : "gatehouse-session");
        m->absolute_timeout_s = (uint32_t)(((uint64_t)r->session.absolute_timeout_ms + 999) / 1000);
        m->idle_timeout_s = (uint32_t)(((uint64_t)r->session.idle_timeout_ms + 999) / 1000);
        m->session_cookie = r->session.type == SESSION_COOKIE && !r->session.permanent;
        rule->pb->persistence = m;
}

static void rule_limits(struct tx *tx, struct tx_rule *rule)
{
        const struct http_rule *r = rule->r;
        if (r->has_request_timeout)
                rule->pb->request_timeout_ms = r->request_timeout_ms;
        if (r->has_backend_timeout)
                rule->pb->try_timeout_ms = r->backend_timeout_ms;
        if (!r->has_retry)
                return;
        Model__Retry *m = PB_NEW(tx, Model__Retry, model__retry);
        m->attempts = r->retry.attempts;
        m->codes = TX_ARRAY(tx, uint32_t, r->retry.n_codes);
        for (size_t i = 0; i < r->retry.n_codes; i++)
                m->codes[m->n_codes++] = r->retry.codes[i];
        m->on_connect_failure = m->on_reset = true;
        m->backoff_ms = MAX(r->retry.backoff_ms, 25u);
        rule->pb->retry = m;
}

/* Header names are case-insensitive and of two equal names only the first counts (HTTPHeaderMatch); query names are exact. */
static void named_matches(struct tx *tx, const struct value_match *v, size_t n, bool header, Model__NamedMatch ***ret, size_t *ret_n)
{
        *ret = TX_ARRAY(tx, Model__NamedMatch *, n);
        for (size_t i = 0; i < n; i++) {
                char *name = header ? lower(tx, v[i].name) : pb_str(v[i].name);
                bool seen = false;
                for (size_t k = 0; k < *ret_n; k++)
                        seen |= strcmp((*ret)[k]->name, name) == 0;
                if (seen)
                        continue;
                Model__NamedMatch *m = PB_NEW(tx, Model__NamedMatch, model__named_match);
                m->name = name;
                m->value = PB_NEW(tx, Model__StringMatch, model__string_match);
                m->value->kind = v[i].regex ? MODEL__STRING_MATCH__KIND__REGEX : MODEL__STRING_MATCH__KIND__EXACT;
                m->value->value = pb_str(v[i].value);
                (*ret)[(*ret_n)++] = m;
        }
}

/* "/service/method", as gRPC puts it into the path. */
static void grpc_path(struct tx *tx, const struct http_match *h, Model__Match *m)
{
        const char *service = h->grpc_service[0] == '.' && !h->grpc_regex ? h->grpc_service + 1 : h->grpc_service;
        if (h->grpc_regex || !*service) {
                m->path_kind = MODEL__MATCH__PATH_KIND__REGEX;
                m->path = pb_str(tx_printf(tx, "/(?:%s)/(?:%s)", *service ? service : "[^/]+", *h->grpc_method ? h->grpc_method : "[^/]+"));
        } else {
                m->path_kind = *h->grpc_method ? MODEL__MATCH__PATH_KIND__EXACT : MODEL__MATCH__PATH_KIND__PREFIX;
                m->path = pb_str(tx_printf(tx, "/%s%s%s", service, *h->grpc_method ? "/" : "", h->grpc_method));
        }
}

static Model__Match *match(struct tx *tx, const struct http_match *h)
{
        Model__Match *m = PB_NEW(tx, Model__Match, model__match);
        static const Model__Match__PathKind kinds[] = { [PATH_EXACT] = MODEL__MATCH__PATH_KIND__EXACT,
                                                        [PATH_PREFIX] = MODEL__MATCH__PATH_KIND__PREFIX,
                                                        [PATH_REGEX] = MODEL__MATCH__PATH_KIND__REGEX };
        m->path_kind = kinds[h->path_type];
        m->path = pb_str(h->path);
        if (h->path_type == PATH_PREFIX) { /* by segment: "/a/" and "/a" are one prefix; "/" stays */
                char *p = pb_str(tx_dup(tx, h->path));
                size_t n = strlen(p);
                while (n > 1 && p[n - 1] == '/')
                        p[--n] = '\0';
                m->path = p;
        }
        if (*h->grpc_service || *h->grpc_method)
                grpc_path(tx, h, m);
        m->method = pb_str(h->method);
        named_matches(tx, h->headers, h->n_headers, true, &m->headers, &m->n_headers);
        named_matches(tx, h->query, h->n_query, false, &m->query, &m->n_query);
        return m;
}

/* A TCPRoute's or UDPRoute's: an invalid backend keeps its weight, and its share is refused. */
static void l4_rule(struct tx *tx, struct tx_route *route, struct tx_rule *rule)
{
        rule->legs = TX_ARRAY(tx, struct tx_l4_leg, rule->r->n_backends);
        for (size_t i = 0; i < rule->r->n_backends; i++) {
                struct tx_backend b = translate_l4_backend(tx, route->route, &rule->r->backends[i], &rule->legs[rule->n_legs++]);
                if (b.reason)
                        unresolved(route, b.reason, b.why);
                struct tx_l4_leg *leg = &rule->legs[rule->n_legs - 1];
                if (leg->s)
                        leg->policy = backend_policy_of(tx, leg->s, leg->p, &rule->uses);
        }
}

static void translate_rule(struct tx *tx, struct tx_route *route, struct tx_rule *rule)
{
        const struct object *o = &route->route->o;
        rule->pb = PB_NEW(tx, Model__Rule, model__rule);
        rule->pb->name = pb_str(rule->r->name);
        rule->pb->source = source_of(tx, o, rule->r->name, rule->index, 0);
        const struct quarantine *q = quarantine_find(tx, o, "", rule->index);
        if (q) {
                rule->dropped = true;
                partial(tx, route, rule->index, "UnsupportedValue", q->reason);
                return;
        }
        if (object_is_l4_route(o->kind)) {
                l4_rule(tx, route, rule);
                return;
        }
        rule->pb->grpc = o->kind == OBJECT_GRPC_ROUTE;
        rule_action(tx, route, rule);
        rule_limits(tx, rule);
        rule_session(tx, rule);
        rule->matches = TX_ARRAY(tx, Model__Match *, rule->r->n_matches);
        for (size_t i = 0; i < rule->r->n_matches; i++)
                rule->matches[i] = match(tx, &rule->r->matches[i]);
}

void translate_route(struct tx *tx, struct tx_route *route)
{
        const struct http_route *r = route->route;
        route->rules = TX_ARRAY(tx, struct tx_rule, r->n_rules);
        route->n_rules = r->n_rules;
        size_t n_dropped = 0;
        for (size_t i = 0; i < r->n_rules; i++) {
                route->rules[i].r = &r->rules[i];
                route->rules[i].index = (uint32_t)i + 1;
                translate_rule(tx, route, &route->rules[i]);
                n_dropped += route->rules[i].dropped;
        }
        const struct quarantine *q = quarantine_find(tx, &r->o, "", 0);
        if (!q && r->n_rules && n_dropped == r->n_rules)
                q = quarantine_find(tx, &r->o, "", 1);
        if (q) {
                route->dead = true;
                route->dead_why = tx_dup(tx, q->reason);
                route->partial_reason = NULL; /* nothing of it is in use */
        }
        /* hostnames for `gatectl get routes` */
        const char **v = TX_ARRAY(tx, const char *, r->hostnames.n);
        for (size_t i = 0; i < r->hostnames.n; i++)
                v[i] = tx_dup(tx, r->hostnames.v[i]);
        route->report->hostnames = (struct strings){ v, r->hostnames.n };
}
