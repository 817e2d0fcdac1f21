/* l7gw/core/cors.c - see cors.h. */
#include "lib/base.h"
#include "l7gw/core/cors.h"
#include "l7gw/core/chars.h"
#include "lib/control.pb-c.h"

struct origin { /* "https://" "*" ".example:8443": before and after the star; without a star, all in `before` */
        struct span before, after;
        bool star;
};
struct cors {
        const struct origin *origins;
        size_t n_origins;
        bool any_origin, any_method, any_header, credentials;
        struct span methods, headers, expose, max_age; /* as they go out; empty = not sent */
};

static int invalid(struct model_error *e, const char *section, const Model__Source *src, const char *what, const char *value)
{
        model_error_set(e, CONTROL__NACK_STAGE__NACK_CHECK, section, src, "CORS: %s: \"%s\"", what, value);
        return -EINVAL;
}

/* "a, b"; *any when it is the one word "*". */
static int list_build(struct arena *a, char *const *v, size_t n, struct span *ret, bool *any)
{
        char *text = NULL;
        if (n == 1 && strcmp(v[0], "*") == 0) {
                *any = true;
                *ret = SPAN_LIT("*");
                return 0;
        }
        for (size_t i = 0; i < n; i++) {
                if (!name_is_token(span_str(v[i])))
                        return -EINVAL;
                text = arena_printf(a, "%s%s%s", text ? text : "", text ? ", " : "", v[i]);
                if (!text)
                        return -ENOMEM;
        }
        *ret = span_str(text);
        return 0;
}

static int origins_build(struct arena *a, const Model__Cors *c, struct cors *ret)
{
        struct origin *o = arena_calloc(a, c->n_allow_origins + 1, sizeof *o);
        if (!o)
                return -ENOMEM;
        for (size_t i = 0; i < c->n_allow_origins; i++) {
                struct span s = span_str(c->allow_origins[i]);
                const uint8_t *star = s.n ? memchr(s.p, '*', s.n) : NULL;
                if (s.n == 0 || !chars_all(s, CH_TARGET))
                        return -EINVAL;
                if (s.n == 1 && star) {
                        ret->any_origin = true;
                        continue;
                }
                size_t n = star ? (size_t)(star - s.p) : s.n;
                o[ret->n_origins] = (struct origin){ SPAN(s.p, n), star ? SPAN(star + 1, s.n - n - 1) : SPAN_NULL, star != NULL };
                if (star && memchr(star + 1, '*', s.n - n - 1))
                        return -EINVAL;
                ret->n_origins++;
        }
        ret->origins = o;
        return 0;
}

int cors_build(struct arena *a, const Model__Cors *c, const Model__Source *src, const char *section, const struct cors **ret,
               struct model_error *reterr)
{
        struct cors *o = arena_calloc(a, 1, sizeof *o);
        bool star = false;
        const char *what = "origins", *first = c->n_allow_origins ? c->allow_origins[0] : "";
        int r = o ? origins_build(a, c, o) : -ENOMEM;
        if (r == 0) {
                what = "methods", first = c->n_allow_methods ? c->allow_methods[0] : "";
                r = list_build(a, c->allow_methods, c->n_allow_methods, &o->methods, &o->any_method);
        }
        if (r == 0) {
                what = "headers", first = c->n_allow_headers ? c->allow_headers[0] : "";
                r = list_build(a, c->allow_headers, c->n_allow_headers, &o->headers, &o->any_header);
        }
        if (r == 0) {
                what = "headers to expose", first = c->n_expose_headers ? c->expose_headers[0] : "";
                r = list_build(a, c->expose_headers, c->n_expose_headers, &o->expose, &star);
        }
        if (r == -EINVAL)
                return invalid(reterr, section, src, what, first);
        if (r == 0) {
                char *age = arena_printf(a, "%u", c->max_age_s);
                o->max_age = c->max_age_s ? span_str(age) : SPAN_NULL;
                r = age ? 0 : -ENOMEM;
        }
        if (r < 0) {
                model_error_set(reterr, CONTROL__NACK_STAGE__NACK_INTERNAL, section, src, "out of memory");
                return r;
        }
        o->credentials = c->allow_credentials;
        *ret = o;
        return 0;
}

bool cors_is_preflight(const struct msg *req)
{
        return span_eq_str(req->method, "OPTIONS") && msg_find_id(req, FIELD_ORIGIN) &&
               msg_find(req, SPAN_LIT("access-control-request-method"));
}

struct span cors_origin(const struct msg *req)
{
        struct span found = SPAN_NULL;
        size_t n = 0;
        for (size_t i = 0; i < req->n_fields; i++)
                if (req->fields[i].id == FIELD_ORIGIN && n++ == 0)
                        found = req->fields[i].value;
        return n == 1 ? found : SPAN_NULL;
}

static bool same(struct span a, struct span b) /* scheme and host: any case */
{
        for (size_t i = 0; i < a.n; i++)
                if (char_lower[a.p[i]] != char_lower[b.p[i]])
                        return false;
        return true;
}

bool cors_admits(const struct cors *c, struct span origin)
{
        if (origin.n == 0)
                return false;
        if (c->any_origin)
                return true;
        for (size_t i = 0; i < c->n_origins; i++) {
                const struct origin *o = &c->origins[i];
                size_t fixed = o->before.n + o->after.n;
                if (origin.n < fixed + o->star || (!o->star && origin.n != fixed))
                        continue;
                struct span mid = SPAN(origin.p + o->before.n, origin.n - fixed);
                if (same(o->before, origin) && same(o->after, SPAN(mid.p + mid.n, o->after.n)) && chars_all(mid, CH_HOST))
                        return true;
        }
        return false;
}

/* A browser that sends credentials takes no star for an answer: the word it asked for is repeated. */
static int wish(const struct cors *c, bool any, struct span configured, const struct field *asked, const char *name, struct msg *resp)
{
        if (any && c->credentials)
                configured = asked ? asked->value : SPAN_NULL;
        return configured.n ? msg_set(resp, span_str(name), configured) : 0;
}

int cors_preflight_fields(const struct cors *c, const struct msg *req, struct msg *resp)
{
        int r = wish(c, c->any_method, c->methods, msg_find(req, SPAN_LIT("access-control-request-method")),
                     "access-control-allow-methods", resp);
        if (r == 0)
                r = wish(c, c->any_header, c->headers, msg_find(req, SPAN_LIT("access-control-request-headers")),
                         "access-control-allow-headers", resp);
        if (r == 0 && c->max_age.n)
                r = msg_set(resp, SPAN_LIT("access-control-max-age"), c->max_age);
        return r;
}

int cors_response_fields(const struct cors *c, struct span origin, struct msg *resp)
{
        static const char *const ours[] = { "access-control-allow-origin", "access-control-allow-credentials",
                                            "access-control-expose-headers" };
        bool star = c->any_origin && !c->credentials;
        int r = 0;
        for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
                msg_remove(resp, span_str(ours[i]));
        if (!star) /* caches: another origin gets another answer (Fetch 3.2.5) */
                r = msg_add(resp, SPAN_LIT("vary"), SPAN_LIT("origin"));
        if (r < 0 || !cors_admits(c, origin))
                return r;
        r = msg_set(resp, span_str(ours[0]), star ? SPAN_LIT("*") : origin);
        if (r == 0 && c->credentials)
                r = msg_set(resp, span_str(ours[1]), SPAN_LIT("true"));
        if (r == 0 && c->expose.n)
                r = msg_set(resp, span_str(ours[2]), c->expose);
        return r;
}
