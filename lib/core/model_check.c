/* lib/core/model_check.c - checks of the objects both tiers share, and the helpers of the other parts. */
#include "lib/core/model_check.h"

#include <stdarg.h>

#define ID_MAX_BYTES 1024

int check_fail(struct model_check *c, unsigned stage, const Model__Source *src, const char *fmt, ...)
{
        char msg[sizeof c->e->err.msg];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(msg, sizeof msg, fmt, ap);
        va_end(ap);
        model_error_set(c->e, stage, c->section, src, "%s", msg);
        return -EINVAL;
}

int check_oom(struct model_check *c)
{
        check_fail(c, LIMIT, NULL, "needs more memory than its size allows");
        return -ENOMEM;
}

int check_limit(struct model_check *c, const Model__Source *src, const char *what, size_t n, size_t max)
{
        return n <= max ? 0 : check_fail(c, LIMIT, src, "%zu %s, the limit is %zu", n, what, max);
}

/* Ids are keys of maps and words of logs: printable ASCII without spaces. */
int check_id(struct model_check *c, const Model__Source *src, const char *what, const char *id)
{
        size_t n = strlen(id);
        if (n == 0)
                return check_fail(c, CHECK, src, "%s without an id", what);
        if (n > ID_MAX_BYTES)
                return check_fail(c, LIMIT, src, "%s id over %d bytes", what, ID_MAX_BYTES);
        for (size_t i = 0; i < n; i++)
                if (id[i] <= ' ' || id[i] > '~')
                        return check_fail(c, CHECK, src, "%s id holds a character that is not printable ASCII", what);
        return 0;
}

int check_unique(struct model_check *c, const Model__Source *src, struct map *seen, const char *what, const char *id)
{
        int r = check_id(c, src, what, id);
        if (r < 0)
                return r;
        if (map_get(seen, span_str(id)))
                return check_fail(c, CHECK, src, "two objects share the %s id %s", what, id);
        return map_put(seen, span_str(id), (void *)id) < 0 ? check_oom(c) : 0;
}

int check_addr(struct model_check *c, const Model__Source *src, const char *what, ProtobufCBinaryData addr)
{
        if (addr.len != 4 && addr.len != 16)
                return check_fail(c, CHECK, src, "%s of %zu bytes", what, addr.len);
        return 0;
}

int check_port(struct model_check *c, const Model__Source *src, const char *what, uint32_t port)
{
        return port <= UINT16_MAX ? 0 : check_fail(c, CHECK, src, "%s: port %u", what, port);
}

int check_prefixes(struct model_check *c, const Model__Source *src, Model__Prefix *const *p, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                int r = check_addr(c, src, "prefix", p[i]->addr);
                if (r < 0)
                        return r;
                if (p[i]->len > p[i]->addr.len * 8)
                        return check_fail(c, CHECK, src, "prefix length %u", p[i]->len);
        }
        return 0;
}

/* "", "*.example" or "a.example"; only the shape: the agent has applied the DNS rules. */
int check_hostname(struct model_check *c, const Model__Source *src, const char *host)
{
        const char *s = strncmp(host, "*.", 2) == 0 ? host + 2 : host;
        bool bad = (s != host && s[0] == 0) || s[0] == '.' || strlen(s) > 253;
        for (; *s && !bad; s++)
                bad = !((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '-' || *s == '_' || *s == '.' ||
                        *s == ':' || *s == '[' || *s == ']'); /* brackets and colons: an address literal in a rewrite */
        return bad ? check_fail(c, CHECK, src, "hostname is not lower-case DNS form") : 0;
}

int check_token(struct model_check *c, const Model__Source *src, const char *what, const char *s, bool lower)
{
        static const char punctuation[] = "!#$%&'*+-.^_`|~"; /* RFC 9110 5.6.2 */
        if (!*s)
                return check_fail(c, CHECK, src, "%s without a name", what);
        for (; *s; s++) {
                bool upper = *s >= 'A' && *s <= 'Z';
                if (upper && lower)
                        return check_fail(c, CHECK, src, "%s is not lower case", what);
                if (!upper && !(*s >= 'a' && *s <= 'z') && !(*s >= '0' && *s <= '9') && !strchr(punctuation, *s))
                        return check_fail(c, CHECK, src, "%s is not a token", what);
        }
        return 0;
}

/* What is written into a header must not be able to end it (RFC 9110 5.5). */
int check_line(struct model_check *c, const Model__Source *src, const char *what, const char *s)
{
        return strpbrk(s, "\r\n") ? check_fail(c, CHECK, src, "%s holds a line end", what) : 0;
}

int check_weights(struct model_check *c, const Model__Source *src, uint64_t sum)
{
        return sum <= UINT32_MAX
                       ? 0
                       : check_fail(c, LIMIT, src, "the weights sum to %llu, over 2^32-1", (unsigned long long)sum);
}

int check_fraction(struct model_check *c, const Model__Source *src, const Model__Fraction *f)
{
        if (f && (f->denominator == 0 || f->numerator > f->denominator))
                return check_fail(c, CHECK, src, "fraction %u/%u", f->numerator, f->denominator);
        return 0;
}

int check_ref(struct model_check *c, const Model__Source *src, const struct map *by_id, const char *what,
              const char *id, bool required)
{
        if (!id[0])
                return required ? check_fail(c, CHECK, src, "a %s is required", what) : 0;
        return map_get(by_id, span_str(id)) ? 0 : check_fail(c, CHECK, src, "there is no %s %s", what, id);
}

int check_headers(struct model_check *c, const Model__Source *src, Model__Header *const *h, size_t n)
{
        int r = 0;
        for (size_t i = 0; r == 0 && i < n; i++) {
                r = check_token(c, src, "header", h[i]->name, false);
                if (r == 0)
                        r = check_line(c, src, "header value", h[i]->value);
        }
        return r;
}

int check_header_edit(struct model_check *c, const Model__Source *src, const Model__HeaderEdit *h)
{
        if (!h)
                return 0;
        int r = check_headers(c, src, h->set, h->n_set);
        if (r == 0)
                r = check_headers(c, src, h->add, h->n_add);
        for (size_t i = 0; r == 0 && i < h->n_remove; i++)
                r = check_token(c, src, "header", h->remove[i], false);
        return r;
}

static int check_lines(struct model_check *c, const Model__Source *src, const char *what, char *const *s, size_t n)
{
        int r = 0;
        for (size_t i = 0; r == 0 && i < n; i++)
                r = check_line(c, src, what, s[i]);
        return r;
}

int check_cors(struct model_check *c, const Model__Source *src, const Model__Cors *p)
{
        int r = check_lines(c, src, "CORS origin", p->allow_origins, p->n_allow_origins);
        if (r == 0)
                r = check_lines(c, src, "CORS method", p->allow_methods, p->n_allow_methods);
        if (r == 0)
                r = check_lines(c, src, "CORS header", p->allow_headers, p->n_allow_headers);
        return r < 0 ? r : check_lines(c, src, "CORS header", p->expose_headers, p->n_expose_headers);
}

int check_external_auth(struct model_check *c, const Model__Source *src, const Model__ExternalAuth *a)
{
        int r = check_ref(c, src, &c->m->cluster_by_id, "cluster", a->cluster, true);
        return r < 0 ? r : check_line(c, src, "path", a->path);
}

int check_health(struct model_check *c, const Model__Source *src, const Model__HealthCheck *h)
{
        if (!h || h->type == MODEL__HEALTH_CHECK_TYPE__HC_NONE)
                return 0;
        int r = check_port(c, src, "health check", h->port);
        if (r == 0)
                r = check_line(c, src, "health check path", h->path);
        if (r == 0)
                r = check_line(c, src, "health check host", h->host);
        if (r == 0 && (h->interval_ms == 0 || h->timeout_ms == 0))
                r = check_fail(c, CHECK, src, "health check without an interval or a timeout");
        return r;
}

int check_outlier(struct model_check *c, const Model__Source *src, const Model__Outlier *o)
{
        if (o && (o->max_eject_pct > 100 || o->panic_pct > 100))
                return check_fail(c, CHECK, src, "outlier: a percentage is over 100");
        return 0;
}

int check_named(struct model_check *c, const Model__Source *src, Model__NamedMatch *const *p, size_t n, bool header)
{
        int r = check_limit(c, src, "conditions in one match", n, MODEL_MAX_HEADERS_PER_MATCH);
        for (size_t i = 0; r == 0 && i < n; i++) {
                if (header)
                        r = check_token(c, src, "header match", p[i]->name, true);
                else if (!p[i]->name[0])
                        r = check_fail(c, CHECK, src, "a match without a name");
                if (r == 0 && !p[i]->value && !p[i]->present_only)
                        r = check_fail(c, CHECK, src, "match of %s has no value", p[i]->name);
        }
        return r;
}

/* id may be empty.  kind: the name of a field of Policy's oneof. */
int check_policy_ref(struct model_check *c, const Model__Source *src, const char *kind, const char *id)
{
        if (!id[0])
                return 0;
        const Model__Policy *pol = map_get(&c->m->policy_by_id, span_str(id));
        if (!pol)
                return check_fail(c, CHECK, src, "there is no policy %s", id);
        const ProtobufCFieldDescriptor *f =
                protobuf_c_message_descriptor_get_field_by_name(&model__policy__descriptor, kind);
        BUG_ON(!f);
        if ((uint32_t)pol->kind_case != f->id)
                return check_fail(c, CHECK, src, "policy %s is not of kind %s", id, kind);
        return 0;
}

/* A field of Policies has the name of the kind in Policy that it may refer to: the descriptors are the table. */
int check_policies(struct model_check *c, const Model__Source *src, const Model__Policies *p)
{
        for (unsigned i = 0; p && i < model__policies__descriptor.n_fields; i++) {
                const ProtobufCFieldDescriptor *f = &model__policies__descriptor.fields[i];
                const char *id = *(char *const *)(const void *)((const char *)p + f->offset);
                int r = check_policy_ref(c, src, f->name, id);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_endpoints(struct model_check *c, const Model__EndpointSet *s)
{
        int r = check_limit(c, s->source, "endpoints in one set", s->n_endpoints, MODEL_MAX_ENDPOINTS_PER_SET);
        uint64_t sum = 0;
        for (size_t i = 0; r == 0 && i < s->n_endpoints; i++) {
                const Model__Endpoint *e = s->endpoints[i];
                sum += e->weight ? e->weight : 1;
                r = check_addr(c, s->source, "endpoint address", e->addr);
                if (r == 0)
                        r = check_port(c, s->source, s->id, e->port);
        }
        return r < 0 ? r : check_weights(c, s->source, sum);
}

int model_check_endpoint_set(const Model__EndpointSet *set, const char *section, struct model_error *reterr)
{
        struct model_check c = {.section = section, .e = reterr};
        int r = check_message(&c, &set->base);
        if (r == 0)
                r = check_id(&c, set->source, "endpoint set", set->id);
        return r < 0 ? r : check_endpoints(&c, set);
}

static int check_upstream_tls(struct model_check *c, const Model__Cluster *k)
{
        const Model__UpstreamTls *t = k->tls;
        if (!t)
                return 0;
        if (!t->trust[0] && !t->system_trust)
                return check_fail(c, CHECK, k->source, "cluster %s: TLS without anything to trust", k->id);
        int r = check_ref(c, k->source, &c->m->trust_by_id, "trust", t->trust, false);
        if (r == 0)
                r = check_ref(c, k->source, &c->m->certificate_by_id, "certificate", t->client_certificate, false);
        if (r == 0)
                r = check_line(c, k->source, "SNI", t->sni);
        if (r == 0 && !t->sni[0] && t->n_sans == 0)
                r = check_fail(c, CHECK, k->source, "cluster %s: TLS without a name to verify", k->id);
        for (size_t i = 0; i < t->n_sans && r == 0; i++)
                if ((strncmp(t->sans[i], "dns:", 4) != 0 && strncmp(t->sans[i], "uri:", 4) != 0) || !t->sans[i][4])
                        r = check_fail(c, CHECK, k->source, "cluster %s: name %.64s to verify: \"dns:\" or \"uri:\" expected", k->id, t->sans[i]);
        return r;
}

static int check_cluster(struct model_check *c, const Model__Cluster *k)
{
        if (!k->endpoint_set[0] == !k->dns_name[0])
                return check_fail(c, CHECK, k->source, "cluster %s: exactly one of endpoint_set and dns_name", k->id);
        if (!k->dns_name[0] != !k->dns_port || k->dns_port > UINT16_MAX)
                return check_fail(c, CHECK, k->source, "cluster %s: dns_name and dns_port go together", k->id);
        int r = check_ref(c, k->source, &c->m->endpoint_set_by_id, "endpoint set", k->endpoint_set, false);
        if (r == 0)
                r = check_upstream_tls(c, k);
        if (r == 0)
                r = check_health(c, k->source, k->health_check);
        if (r == 0)
                r = check_outlier(c, k->source, k->outlier);
        if (r == 0 && k->panic_pct > 100)
                r = check_fail(c, CHECK, k->source, "cluster %s: panic_pct is over 100", k->id);
        return r;
}

static int check_certificate(struct model_check *c, const Model__Certificate *t)
{
        if (t->fingerprint.len != 0 && t->fingerprint.len != SHA256_BYTES)
                return check_fail(c, CHECK, t->source, "certificate %s: fingerprint of %zu bytes", t->id,
                                  t->fingerprint.len);
        if (t->chain_pem.len == 0)
                return check_fail(c, CHECK, t->source, "certificate %s: empty", t->id);
        if (c->m->locked) /* it is in a section that we were not given */
                return 0;
        return check_ref(c, t->source, &c->m->key_by_id, "key", t->key, true);
}

static int check_jwt(struct model_check *c, const Model__Source *src, const Model__Jwt *j)
{
        int r = 0;
        for (size_t i = 0; r == 0 && i < j->n_providers; i++) {
                const Model__JwtProvider *p = j->providers[i];
                r = check_ref(c, src, &c->m->cluster_by_id, "cluster", p->jwks_cluster, false);
                for (size_t k = 0; r == 0 && k < p->n_claim_headers; k++)
                        r = check_token(c, src, "claim header", p->claim_headers[k]->header, false);
        }
        return r;
}

static int check_authorization(struct model_check *c, const Model__Source *src, const Model__Authorization *a)
{
        int r = 0;
        for (size_t i = 0; r == 0 && i < a->n_rules; i++) {
                const Model__AuthorizationRule *u = a->rules[i];
                r = check_prefixes(c, src, u->sources, u->n_sources);
                if (r == 0)
                        r = check_named(c, src, u->headers, u->n_headers, true);
                if (r == 0)
                        r = check_named(c, src, u->claims, u->n_claims, false);
        }
        return r;
}

static int check_policy(struct model_check *c, const Model__Policy *p)
{
        const struct map *clusters = &c->m->cluster_by_id;
        int r = 0;
        switch (p->kind_case) {
        case MODEL__POLICY__KIND_EXTERNAL_AUTH:
                return check_external_auth(c, p->source, p->external_auth);
        case MODEL__POLICY__KIND_GLOBAL_RATE_LIMIT:
                return check_ref(c, p->source, clusters, "cluster", p->global_rate_limit->cluster, true);
        case MODEL__POLICY__KIND_TRACING:
                r = check_ref(c, p->source, clusters, "cluster", p->tracing->cluster, true);
                return r < 0 ? r : check_fraction(c, p->source, p->tracing->sample);
        case MODEL__POLICY__KIND_ACCESS_LOG:
                return check_fraction(c, p->source, p->access_log->sample);
        case MODEL__POLICY__KIND_FAULT:
                r = check_fraction(c, p->source, p->fault->delay);
                return r < 0 ? r : check_fraction(c, p->source, p->fault->abort);
        case MODEL__POLICY__KIND_JWT:
                return check_jwt(c, p->source, p->jwt);
        case MODEL__POLICY__KIND_CORS:
                return check_cors(c, p->source, p->cors);
        case MODEL__POLICY__KIND_AUTHORIZATION:
                return check_authorization(c, p->source, p->authorization);
        case MODEL__POLICY__KIND_HEADERS:
                for (size_t i = 0; r == 0 && i < p->headers->n_request; i++)
                        r = check_header_edit(c, p->source, p->headers->request[i]);
                for (size_t i = 0; r == 0 && i < p->headers->n_response; i++)
                        r = check_header_edit(c, p->source, p->headers->response[i]);
                return r;
        case MODEL__POLICY__KIND_RATE_LIMIT:
                if (p->rate_limit->n_rules == 0)
                        r = check_fail(c, CHECK, p->source, "rate limit %s without a rule", p->id);
                return r;
        case MODEL__POLICY__KIND_BASIC_AUTH:
        case MODEL__POLICY__KIND_API_KEY:
        case MODEL__POLICY__KIND_COMPRESSION:
        case MODEL__POLICY__KIND_BUFFER:
        case MODEL__POLICY__KIND_RESPONSE:
        case MODEL__POLICY__KIND_CLIENT:
                return 0;
        case MODEL__POLICY__KIND__NOT_SET:
        case _MODEL__POLICY__KIND__CASE_IS_INT_SIZE:
                break;
        }
        return check_fail(c, CHECK, p->source, "policy %s says nothing", p->id);
}

int check_section(struct model_check *c, const Model__Section *s)
{
        int r = 0;
        switch (s->body_case) {
        case MODEL__SECTION__BODY_GATEWAY:
                return check_gateway(c, s->gateway);
        case MODEL__SECTION__BODY_CLUSTERS:
                for (size_t i = 0; r == 0 && i < s->clusters->n_clusters; i++)
                        r = check_cluster(c, s->clusters->clusters[i]);
                return r;
        case MODEL__SECTION__BODY_ENDPOINT_SETS:
                for (size_t i = 0; r == 0 && i < s->endpoint_sets->n_sets; i++)
                        r = check_endpoints(c, s->endpoint_sets->sets[i]);
                return r;
        case MODEL__SECTION__BODY_CERTIFICATES:
                for (size_t i = 0; r == 0 && i < s->certificates->n_certificates; i++)
                        r = check_certificate(c, s->certificates->certificates[i]);
                return r;
        case MODEL__SECTION__BODY_KEYS:
                for (size_t i = 0; i < s->keys->n_keys; i++)
                        if (s->keys->keys[i]->pem.len == 0)
                                return check_fail(c, CHECK, NULL, "key %s: empty", s->keys->keys[i]->id);
                return 0;
        case MODEL__SECTION__BODY_TRUSTS:
                for (size_t i = 0; i < s->trusts->n_trusts; i++)
                        if (s->trusts->trusts[i]->ca_pem.len == 0)
                                return check_fail(c, CHECK, s->trusts->trusts[i]->source, "trust %s: empty",
                                                  s->trusts->trusts[i]->id);
                return 0;
        case MODEL__SECTION__BODY_POLICIES:
                for (size_t i = 0; r == 0 && i < s->policies->n_policies; i++)
                        r = check_policy(c, s->policies->policies[i]);
                return r;
        case MODEL__SECTION__BODY_L4:
                return check_l4(c, s->l4);
        case MODEL__SECTION__BODY__NOT_SET:
        case _MODEL__SECTION__BODY__CASE_IS_INT_SIZE:
                break;
        }
        return check_fail(c, CONTROL__NACK_STAGE__NACK_DECODE, NULL, "the section is empty");
}
