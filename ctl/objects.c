/* ctl/objects.c - `gatectl get gateways|routes`: objects as the agent sees them; and the raw queries `ask` and `metrics`. */
#include "lib/base.h"
#include "ctl/ask.h"
#include "ctl/table.h"

#include "lib/core/buf.h"

static int failed(const struct err *e)
{
        fprintf(stderr, "gatectl: %s: %s\n", e->place, e->msg);
        return CTL_FAILED;
}

/* "True", or "False (Reason)"; "" when the condition is absent. */
static const char *condition_text(const json_t *conditions, const char *type, char *buf, size_t n)
{
        const json_t *c;
        size_t i;
        buf[0] = 0;
        json_array_foreach(conditions, i, c)
        {
                if (strcmp(json_text(c, "type"), type) != 0)
                        continue;
                const char *status = json_text(c, "status");
                if (strcmp(status, "True") == 0)
                        snprintf(buf, n, "True");
                else
                        snprintf(buf, n, "%s (%s)", status, json_text(c, "reason"));
        }
        return buf;
}

/* Strings of an array joined by commas. */
static void join(const json_t *array, struct buf *out)
{
        const json_t *s;
        size_t i;
        buf_reset(out);
        json_array_foreach(array, i, s)
        {
                if (i)
                        buf_str(out, ",");
                buf_str(out, json_string_value(s) ? json_string_value(s) : "?");
        }
}

static void row_gateway(struct table *t, const json_t *g, struct buf *addresses)
{
        char accepted[128], programmed[128], gen[24], routes[24];
        const json_t *conditions = json_object_get(g, "conditions"), *l;
        json_int_t attached = 0;
        size_t i;
        json_array_foreach(json_object_get(g, "listeners"), i, l)
                attached += json_integer_value(json_object_get(l, "attached_routes"));
        snprintf(routes, sizeof routes, "%" JSON_INTEGER_FORMAT, attached);
        join(json_object_get(g, "addresses"), addresses);
        const char *cells[] = { json_text(g, "namespace"), json_text(g, "name"), json_text(g, "class"), json_text(g, "pool"),
                                buf_cstr(addresses), condition_text(conditions, "Accepted", accepted, sizeof accepted),
                                condition_text(conditions, "Programmed", programmed, sizeof programmed),
                                json_number_text(g, "generation", gen), routes };
        table_row(t, cells);
}

static void row_route(struct table *t, const json_t *r, struct buf *hostnames)
{
        const json_t *p;
        size_t i;
        join(json_object_get(r, "hostnames"), hostnames);
        json_array_foreach(json_object_get(r, "parents"), i, p)
        {
                char accepted[128], resolved[128], gen[24];
                const json_t *conditions = json_object_get(p, "conditions");
                const char *cells[] = { json_text(r, "namespace"), json_text(r, "name"), buf_cstr(hostnames), json_text(p, "parent"),
                                        condition_text(conditions, "Accepted", accepted, sizeof accepted),
                                        condition_text(conditions, "ResolvedRefs", resolved, sizeof resolved),
                                        json_number_text(r, "generation", gen) };
                table_row(t, cells);
        }
}

static int get(const struct ctl *c, const char *query, const char *const *heads, size_t n_heads,
               void (*row)(struct table *t, const json_t *o, struct buf *scratch))
{
        json_t *list, *o;
        struct err e;
        size_t i;
        if (ask_daemon(c, AGENT_SOCKET, query, NULL, 0, &list, &e) < 0)
                return failed(&e);
        if (c->json) {
                json_print(list);
        } else {
                struct table *t = table_new(heads, n_heads);
                struct buf scratch;
                buf_init(&scratch, 1u << 20);
                json_array_foreach(list, i, o)
                        row(t, o, &scratch);
                buf_fini(&scratch);
                table_print_free(t);
        }
        json_decref(list);
        return CTL_OK;
}

int ctl_gateways(const struct ctl *c)
{
        static const char *const heads[] = { "NAMESPACE", "NAME", "CLASS", "POOL", "ADDRESSES", "ACCEPTED", "PROGRAMMED",
                                             "GENERATION", "ROUTES" };
        return get(c, "gateways", heads, ARRAY_SIZE(heads), row_gateway);
}

int ctl_routes(const struct ctl *c)
{
        static const char *const heads[] = { "NAMESPACE", "NAME", "HOSTNAMES", "PARENT", "ACCEPTED", "RESOLVED", "GENERATION" };
        return get(c, "routes", heads, ARRAY_SIZE(heads), row_route);
}

int ctl_ask(const struct ctl *c, const char *name, const char *query, const char *const *argv, size_t argc)
{
        json_t *j;
        struct err e;
        if (ask_daemon(c, name, query, argv, argc, &j, &e) < 0)
                return failed(&e);
        json_print(j);
        json_decref(j);
        return CTL_OK;
}

int ctl_metrics(const struct ctl *c, const char *name)
{
        json_t *j;
        struct err e;
        if (ask_daemon(c, name, "metrics", NULL, 0, &j, &e) < 0)
                return failed(&e);
        if (c->json || !json_is_string(j))
                json_print(j);
        else
                fputs(json_string_value(j), stdout);
        json_decref(j);
        return CTL_OK;
}
