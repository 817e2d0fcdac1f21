/* agent/core/httproute_rules.c - HTTPRoute's rules that span fields.  The CRD's expression stands beside each; fields
 * are already typed, in their limits, and defaulted. */
#include "lib/base.h"

#include "agent/core/httproute_rules.h"

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

/* "If multiple entries specify equivalent header names, the first MUST be considered and subsequent ones MUST be
 * ignored": the CRD refuses only names equal byte by byte, so those equal but for case are dropped here.  name is the
 * first member of both item types. */
static size_t drop_equivalent(const void *items, size_t n, size_t size, size_t name_offset)
{
        char *p = (char *)(uintptr_t)items;
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
                const char *name = *(const char **)(p + i * size + name_offset);
                bool seen = false;
                for (size_t k = 0; k < kept && !seen; k++)
                        seen = span_ieq(span_str(name), span_str(*(const char **)(p + k * size + name_offset)));
                if (!seen && kept++ != i)
                        memcpy(p + (kept - 1) * size, p + i * size, size);
        }
        return kept;
}

static bool ends_with(const char *s, const char *end)
{
        size_t n = strlen(s), m = strlen(end);
        return n >= m && is(s + n - m, end);
}

/* The eleven rules of HTTPPathMatch, for Exact and PathPrefix. */
int rules_path(struct decoder *d, const struct node *map, void *obj)
{
        static const char *const never[] = { "//", "/./", "/../", "%2f", "%2F", "#" };
        const struct http_match *m = obj;
        const struct node *at = node_get(map, "value");
        if (m->path_type == PATH_REGEX)
                return 0;
        size_t mark = decoder_enter(d, "value");
        if (m->path[0] != '/')
                return decoder_fail(d, at, "must start with \"/\"");
        for (size_t i = 0; i < ARRAY_SIZE(never); i++)
                if (strstr(m->path, never[i]))
                        return decoder_fail(d, at, "must not contain \"%s\"", never[i]);
        if (ends_with(m->path, "/..") || ends_with(m->path, "/."))
                return decoder_fail(d, at, "must not end with \"/..\" or \"/.\"");
        if (!format_ok(FORMAT_URI_PATH, span_str(m->path)))
                return decoder_fail(d, at, "%s", format_str(FORMAT_URI_PATH));
        decoder_leave(d, mark);
        return 0;
}

/* service: ^(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$   method: ^[A-Za-z_][A-Za-z_0-9]*$ */
static bool grpc_name(const char *s, bool dots)
{
        bool start = true;
        if (dots && *s == '.')
                s++;
        for (; *s; s++) {
                bool letter = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || *s == '_';
                if (!letter && !(*s >= '0' && *s <= '9' && !start) && !(*s == '.' && dots && !start))
                        return false;
                start = *s == '.';
        }
        return !start;
}

/* has(self.type) ? has(self.service) || has(self.method) : true; Exact: both are names */
int rules_grpc_method(struct decoder *d, const struct node *map, void *obj)
{
        const struct http_match *m = obj;
        if (!*m->grpc_service && !*m->grpc_method)
                return decoder_fail(d, map, "one or both of service and method must be given");
        if (m->grpc_regex)
                return 0;
        if (*m->grpc_service && !grpc_name(m->grpc_service, true))
                return decoder_fail(d, node_get(map, "service"), "service must only contain letters, digits, \"_\" and \".\"");
        if (*m->grpc_method && !grpc_name(m->grpc_method, false))
                return decoder_fail(d, node_get(map, "method"), "method must only contain letters, digits and \"_\"");
        return 0;
}

int rules_grpc_match(struct decoder *d, const struct node *map, void *obj)
{
        struct http_match *m = obj;
        const char *service = m->grpc_service, *method = m->grpc_method;
        int r = rules_match(d, map, obj);
        m->grpc_service = service ? service : ""; /* without method: {} nobody has set them */
        m->grpc_method = method ? method : "";
        m->path_type = PATH_PREFIX;
        m->path = "/";
        m->method = "";
        return r;
}

int rules_match(struct decoder *d, const struct node *map, void *obj)
{
        struct http_match *m = obj;
        m->n_headers =
                drop_equivalent(m->headers, m->n_headers, sizeof *m->headers, offsetof(struct value_match, name));
        m->grpc_service = m->grpc_method = "";
        return 0;
}

int rules_header_edit(struct decoder *d, const struct node *map, void *obj)
{
        struct header_edit *e = obj;
        e->n_set = drop_equivalent(e->set, e->n_set, sizeof *e->set, offsetof(struct name_value, name));
        e->n_add = drop_equivalent(e->add, e->n_add, sizeof *e->add, offsetof(struct name_value, name));
        return 0;
}

/* self.type == 'ReplaceFullPath' ? has(self.replaceFullPath) : true, and the three like it */
int rules_modifier(struct decoder *d, const struct node *map, void *obj)
{
        const char *type = span_eq_str(node_get(map, "type")->text, "ReplaceFullPath") ? "replaceFullPath"
                                                                                        : "replacePrefixMatch";
        const char *other = is(type, "replaceFullPath") ? "replacePrefixMatch" : "replaceFullPath";
        if (!node_present(map, type))
                return decoder_fail(d, map, "%s must be set for this type", type);
        if (node_present(map, other))
                return decoder_fail(d, node_get(map, other), "%s must not be set for this type", other);
        return 0;
}

int rules_redirect(struct decoder *d, const struct node *map, void *obj)
{
        const struct http_filter *f = obj;
        unsigned s = f->redirect.status;
        if (s == 301 || s == 302 || s == 303 || s == 307 || s == 308)
                return 0;
        (void)decoder_enter(d, "statusCode");
        return decoder_fail(d, node_get(map, "statusCode"), "must be 301, 302, 303, 307 or 308");
}

int rules_mirror(struct decoder *d, const struct node *map, void *obj)
{
        const struct http_filter *f = obj;
        /* !(has(self.percent) && has(self.fraction)) */
        if (f->mirror.has_percent && f->mirror.has_fraction)
                return decoder_fail(d, map, "only one of percent and fraction may be set");
        /* self.numerator <= self.denominator */
        if (f->mirror.has_fraction && f->mirror.numerator > f->mirror.denominator)
                return decoder_fail(d, node_get(map, "fraction"), "fraction: numerator must not exceed denominator");
        return 0;
}

/* !('*' in self && self.size() > 1) */
static int only_star(struct decoder *d, const struct node *map, const char *field, const struct strings *s)
{
        for (size_t i = 0; i < s->n && s->n > 1; i++)
                if (is(s->v[i], "*"))
                        return decoder_fail(d, node_get(map, field), "%s must not have \"*\" beside other values",
                                            field);
        return 0;
}
int rules_cors(struct decoder *d, const struct node *map, void *obj)
{
        const struct http_filter *f = obj;
        int r = only_star(d, map, "allowOrigins", &f->cors.allow_origins);
        if (r == 0)
                r = only_star(d, map, "allowMethods", &f->cors.allow_methods);
        return r ? r : only_star(d, map, "allowHeaders", &f->cors.allow_headers);
}

/* self.protocol == 'GRPC' ? has(self.grpc) : true, has(self.grpc) ? self.protocol == 'GRPC' : true, and for HTTP */
int rules_auth(struct decoder *d, const struct node *map, void *obj)
{
        const struct http_filter *f = obj;
        bool grpc = is(f->auth.protocol, "GRPC");
        if (grpc ? !f->auth.has_grpc : !f->auth.has_http)
                return decoder_fail(d, map, "%s must be set for protocol %s", grpc ? "grpc" : "http", f->auth.protocol);
        if (grpc ? f->auth.has_http : f->auth.has_grpc)
                return decoder_fail(d, map, "%s must not be set for protocol %s", grpc ? "http" : "grpc",
                                    f->auth.protocol);
        return 0;
}

/* !(has(self.cors) && self.type != 'CORS') and !(!has(self.cors) && self.type == 'CORS'), for each type */
int rules_filter(struct decoder *d, const struct node *map, void *obj)
{
        static const struct {
                enum http_filter_type type;
                const char *name, *field;
        } filters[] = {
#define F(id, name, field) { FILTER_##id, name, field },
                HTTP_FILTERS(F)
#undef F
        };
        struct http_filter *f = obj;
        f->extension.namespace = ""; /* fields of other filters: a string is never NULL */
        if (!f->mirror.backend.place)
                f->mirror.backend.place = "";
        if (!f->auth.backend.place)
                f->auth.backend.place = "";
        for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
                bool has = node_present(map, filters[i].field);
                if (has && f->type != filters[i].type)
                        return decoder_fail(d, node_get(map, filters[i].field), "%s must not be set unless type is %s",
                                            filters[i].field, filters[i].name);
                if (!has && f->type == filters[i].type)
                        return decoder_fail(d, map, "%s must be set when type is %s", filters[i].field,
                                            filters[i].name);
        }
        return 0;
}

/* A list of filters: RequestRedirect excludes URLRewrite; some types only once. */
static int check_filters(struct decoder *d, const struct node *list, const struct http_filter *f, size_t n)
{
        unsigned seen[FILTER_EXTERNAL_AUTH + 1] = { 0 };
        for (size_t i = 0; i < n; i++) {
                bool once = f[i].type == FILTER_REQUEST_HEADER || f[i].type == FILTER_RESPONSE_HEADER ||
                            f[i].type == FILTER_REDIRECT || f[i].type == FILTER_REWRITE || f[i].type == FILTER_CORS;
                if (seen[f[i].type]++ && once)
                        return decoder_fail(d, decoder_item(d, "filters", list, i),
                                            "this type of filter must not be repeated");
                if (seen[FILTER_REDIRECT] && seen[FILTER_REWRITE])
                        return decoder_fail(d, decoder_item(d, "filters", list, i),
                                            "RequestRedirect and URLRewrite must not be used together");
        }
        return 0;
}

/* (size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true */
static int check_port(struct decoder *d, const struct node *map, const struct backend_ref *b)
{
        if (!b->has_port && !b->ref.group[0] && is(b->ref.kind, "Service"))
                return decoder_fail(d, map, "port is required for a Service");
        return 0;
}
int rules_backend_object(struct decoder *d, const struct node *map, void *obj)
{
        struct backend_ref *b = obj;
        b->weight = 1;
        return check_port(d, map, b);
}
int rules_backend(struct decoder *d, const struct node *map, void *obj)
{
        const struct backend_ref *b = obj;
        int r = check_port(d, map, b);
        return r ? r : check_filters(d, node_get(map, "filters"), b->filters, b->n_filters);
}

/* !(has(request) && has(backendRequest) && request != 0s && backendRequest > request) */
int rules_timeouts(struct decoder *d, const struct node *map, void *obj)
{
        const struct http_rule *r = obj;
        if (r->has_request_timeout && r->has_backend_timeout && r->request_timeout_ms &&
            r->backend_timeout_ms > r->request_timeout_ms)
                return decoder_fail(d, map, "backendRequest must not be longer than request");
        return 0;
}

int rules_session(struct decoder *d, const struct node *map, void *obj)
{
        const struct http_rule *r = obj;
        /* !has(self.cookieConfig) || self.cookieConfig.lifetimeType != 'Permanent' || has(self.absoluteTimeout) */
        if (r->session.permanent && !r->session.has_absolute_timeout)
                return decoder_fail(d, map, "a Permanent cookie needs absoluteTimeout");
        /* !has(self.cookieConfig) || self.type == 'Cookie' */
        if (r->session.type != SESSION_COOKIE && node_get(map, "cookieConfig"))
                return decoder_fail(d, map, "cookieConfig is only for type Cookie");
        return 0;
}

/* A prefix can be replaced only where exactly one PathPrefix match says which. */
static int check_prefix(struct decoder *d, const struct node *list, const struct http_rule *rule,
                        const struct http_filter *f, size_t n)
{
        bool one_prefix = rule->n_matches == 1 && rule->matches[0].path_type == PATH_PREFIX;
        for (size_t i = 0; i < n && !one_prefix; i++)
                if ((f[i].type == FILTER_REDIRECT && f[i].redirect.path_type == PATH_REPLACE_PREFIX) ||
                    (f[i].type == FILTER_REWRITE && f[i].rewrite.path_type == PATH_REPLACE_PREFIX))
                        return decoder_fail(
                                d, decoder_item(d, "filters", list, i),
                                "replacePrefixMatch needs exactly one match in the rule, of type PathPrefix");
        return 0;
}

int rules_rule(struct decoder *d, const struct node *map, void *obj)
{
        const struct http_rule *rule = obj;
        const struct node *filters = node_get(map, "filters"), *backends = node_get(map, "backendRefs");
        int r = check_filters(d, filters, rule->filters, rule->n_filters);
        if (r == 0)
                r = check_prefix(d, filters, rule, rule->filters, rule->n_filters);
        for (size_t i = 0; i < rule->n_backends && r == 0; i++) {
                const struct backend_ref *b = &rule->backends[i];
                size_t mark = decoder_enter(d, "backendRefs");
                (void)decoder_enter_index(d, i);
                r = check_prefix(d, node_get(backends->items[i].value, "filters"), rule, b->filters, b->n_filters);
                if (r == 0)
                        decoder_leave(d, mark);
        }
        /* size(self.backendRefs) > 0 ? self.filters.all(f, !has(f.requestRedirect)) : true */
        for (size_t i = 0; i < rule->n_filters && r == 0; i++)
                if (rule->filters[i].type == FILTER_REDIRECT && rule->n_backends)
                        r = decoder_fail(d, decoder_item(d, "filters", filters, i),
                                         "RequestRedirect must not be used together with backendRefs");
        return r;
}

static bool same_parent(const struct parent_ref *a, const struct parent_ref *b)
{
        return is(a->group, b->group) && is(a->kind, b->kind) && is(a->namespace, b->namespace) && is(a->name, b->name);
}
static int check_parents(struct decoder *d, const struct node *list, const struct http_route *route)
{
        for (size_t i = 0; i < route->n_parents; i++) {
                const struct parent_ref *a = &route->parents[i];
                for (size_t k = 0; k < i; k++) {
                        const struct parent_ref *b = &route->parents[k];
                        if (!same_parent(a, b))
                                continue;
                        if (!a->section_name[0] != !b->section_name[0] || !a->port != !b->port)
                                return decoder_fail(d, decoder_item(d, "parentRefs", list, i),
                                                    "sectionName or port must be given in all references to one parent "
                                                    "or in none (as in item %zu)", k);
                        if (is(a->section_name, b->section_name) && a->port == b->port)
                                return decoder_fail(d, decoder_item(d, "parentRefs", list, i),
                                                    "is the same reference as item %zu", k);
                }
        }
        return 0;
}

int rules_route(struct decoder *d, const struct node *map, void *obj)
{
        const struct http_route *route = obj;
        const struct node *rules = node_get(map, "rules");
        size_t matches = 0;
        int r = check_parents(d, node_get(map, "parentRefs"), route);
        if (r < 0)
                return r;
        for (size_t i = 0; i < route->n_rules; i++) {
                const struct http_rule *a = &route->rules[i];
                for (size_t k = 0; k < i && a->name[0]; k++)
                        if (is(a->name, route->rules[k].name))
                                return decoder_fail(d, decoder_item(d, "rules", rules, i),
                                                    "name \"%s\" is already that of item %zu", a->name, k);
                matches += a->n_matches;
                if (matches > 128)
                        return decoder_fail(d, decoder_item(d, "rules", rules, i),
                                            "all rules together must have at most 128 matches");
        }
        return 0;
}
