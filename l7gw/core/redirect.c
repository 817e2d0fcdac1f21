/* l7gw/core/redirect.c - the Location of a redirect.  (Gateway API HTTPRequestRedirectFilter; RFC 9110 10.2.2) */
#include "lib/base.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/filter.h"
#include "l7gw/core/path.h"
#include "l7gw/core/path_edit.h"
#include "lib/control.pb-c.h"

/* The port to write, 0 = none: the redirect's own; with a scheme in the redirect, that scheme's; else the listener's.
 * A scheme's default is never written. */
static uint16_t redirect_port(const Model__Redirect *r, struct span scheme, uint16_t listener_port)
{
        uint16_t dflt = scheme_port(scheme);
        uint16_t port = r->port ? (uint16_t)r->port : r->scheme[0] ? dflt : listener_port;
        return port == dflt ? 0 : port;
}

int redirect_location(const Model__Redirect *r, const Model__RouteEntry *entry, const struct msg *req, uint16_t listener_port,
                      struct span *ret, struct arena *a)
{
        struct span scheme = r->scheme[0] ? span_str(r->scheme) : req->scheme;
        struct span host = r->hostname[0] ? span_str(r->hostname) : req->host, path;
        if (host.n == 0)
                return -EINVAL;
        struct path_edit edit;
        int rc = path_edit_build(a, r->path, &edit);
        if (rc == 0)
                rc = path_edit_apply(a, &edit, entry, req->path, &path);
        if (rc < 0)
                return rc;
        if (path.n && path.p[0] != '/') /* "*" */
                path = SPAN_NULL;
        uint16_t port = redirect_port(r, scheme, listener_port);
        char port_text[8] = "";
        if (port)
                snprintf(port_text, sizeof port_text, ":%u", port);
        char *s = arena_printf(a, "%.*s://%.*s%s%.*s%s%.*s", SPAN_FMT(scheme), SPAN_FMT(host), port_text, SPAN_FMT(path),
                               req->has_query ? "?" : "", SPAN_FMT(req->query));
        if (!s)
                return -ENOMEM;
        *ret = span_str(s);
        BUG_ON(!chars_all(*ret, CH_TARGET)); /* all parts are checked or encoded before */
        return 0;
}

static int invalid(struct model_error *e, const char *section, const Model__Source *src, const char *what, const char *value)
{
        model_error_set(e, CONTROL__NACK_STAGE__NACK_CHECK, section, src, "redirect: %s: \"%s\"", what, value);
        return -EINVAL;
}

static int path_check(const Model__Redirect *r, const Model__Source *owner, const char *section, struct model_error *reterr)
{
        struct arena a;
        struct path_edit edit;
        arena_init(&a, 4096, SIZE_MAX);
        int rc = path_edit_build(&a, r->path, &edit);
        arena_fini(&a);
        if (rc == -EINVAL)
                return invalid(reterr, section, owner, "replacement is not a path", r->path->value);
        if (rc == -ENOTSUP)
                model_error_set(reterr, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, section, owner,
                                "redirect: path by regular expression is not supported");
        else if (rc < 0)
                model_error_set(reterr, CONTROL__NACK_STAGE__NACK_INTERNAL, section, owner, "out of memory");
        return rc;
}

int redirect_check(const Model__Redirect *r, const Model__Source *owner, const char *section, struct model_error *reterr)
{
        struct span scheme = span_str(r->scheme), host = span_str(r->hostname);
        if (scheme.n && !scheme_port(scheme))
                return invalid(reterr, section, owner, "scheme is not http or https", r->scheme);
        if (!chars_all(host, CH_HOST))
                return invalid(reterr, section, owner, "not a host name", r->hostname);
        if (r->port > 65535)
                return invalid(reterr, section, owner, "port over 65535", "");
        switch (r->status) {
        case 301:
        case 302:
        case 303:
        case 307:
        case 308:
                return path_check(r, owner, section, reterr);
        }
        return invalid(reterr, section, owner, "status is not 301, 302, 303, 307 or 308", "");
}
