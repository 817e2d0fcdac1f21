/* ctl/status.c - `gatectl status`: one line per daemon, then the health of what they send traffic to.
 * Every daemon is asked itself, so that the picture is whole when the agent is down. */
#include "lib/base.h"
#include "ctl/ask.h"
#include "ctl/table.h"

struct answer {
        const char *name;      /* of its socket */
        json_t *status;        /* NULL: see error */
        json_t *endpoints;     /* l4lb: backends, l7gw: clusters; NULL = none */
        struct err error;
};

static bool is_data_plane(const struct answer *a)
{
        const char *d = json_text(a->status, "daemon");
        return strcmp(d, "l4lb") == 0 || strcmp(d, "l7gw") == 0;
}

static void ask_one(const struct ctl *c, struct answer *a)
{
        if (ask_daemon(c, a->name, "status", NULL, 0, &a->status, &a->error) < 0)
                return;
        const char *daemon = json_text(a->status, "daemon");
        const char *query = strcmp(daemon, "l4lb") == 0 ? "backends" : strcmp(daemon, "l7gw") == 0 ? "clusters" : NULL;
        struct err ignored; /* a daemon that answers status and not this is shown without endpoints */
        if (query && ask_daemon(c, a->name, query, NULL, 0, &a->endpoints, &ignored) < 0)
                a->endpoints = NULL;
}

static void print_daemons(const struct answer *v, size_t n)
{
        static const char *const heads[] = { "NAME", "DAEMON", "VERSION", "UPTIME", "GENERATION", "HASH",
                                             "AGENT", "CONNECTIONS", "REQUESTS", "STATE" };
        struct table *t = table_new(heads, ARRAY_SIZE(heads));
        for (size_t i = 0; i < n; i++) {
                const json_t *s = v[i].status;
                char up[24], upt[32] = "", gen[24], conns[24], reqs[24], hash[13] = "";
                if (!s) {
                        const char *cells[] = { v[i].name, "", "", "", "", "", "", "", "", v[i].error.msg };
                        table_row(t, cells);
                        continue;
                }
                if (*json_number_text(s, "uptime_s", up))
                        snprintf(upt, sizeof upt, "%ss", up);
                snprintf(hash, sizeof hash, "%.12s", json_text(s, "hash"));
                const json_t *ac = json_object_get(s, "agent_connected");
                const char *cells[] = {
                        v[i].name, json_text(s, "daemon"), json_text(s, "version"), upt, json_number_text(s, "generation", gen),
                        hash, !ac ? "" : json_is_true(ac) ? "connected" : "absent", json_number_text(s, "connections", conns),
                        json_number_text(s, "requests_total", reqs),
                        json_is_true(json_object_get(s, "draining")) ? "draining" :
                        *json_text(s, "source_error")                ? json_text(s, "source_error") :
                                                                       "ok",
                };
                table_row(t, cells);
        }
        table_print_free(t);
}

static void print_backends(struct table *t, const struct answer *a)
{
        const json_t *b;
        size_t i;
        json_array_foreach(a->endpoints, i, b)
        {
                const char *cells[] = { a->name, json_text(b, "pool"), json_text(b, "name"), json_text(b, "addr"),
                                        json_is_true(json_object_get(b, "admin_down")) ? "down (configured)" : json_text(b, "health") };
                table_row(t, cells);
        }
}

/* Those of a cluster that get no requests, and why. */
static void print_members(struct table *t, const struct answer *a, const json_t *cl)
{
        const json_t *m;
        size_t i;
        json_array_foreach(json_object_get(cl, "members"), i, m)
        {
                char health[160];
                if (!*json_text(m, "why"))
                        continue;
                snprintf(health, sizeof health, "%s: %s", json_text(m, "state"), json_text(m, "why"));
                const char *cells[] = { a->name, json_text(cl, "cluster"), "", json_text(m, "endpoint"), health };
                table_row(t, cells);
        }
}

static void print_clusters(struct table *t, const struct answer *a)
{
        const json_t *cl;
        size_t i;
        json_array_foreach(a->endpoints, i, cl)
        {
                char total[24], ready[24], health[64];
                json_number_text(cl, "endpoints", total);
                json_number_text(cl, "ready", ready);
                snprintf(health, sizeof health, "%s/%s ready", ready, total);
                const char *cells[] = { a->name, json_text(cl, "cluster"), "", "", health };
                table_row(t, cells);
                print_members(t, a, cl);
        }
}

static void print_endpoints(const struct answer *v, size_t n)
{
        static const char *const heads[] = { "SEEN BY", "POOL OR CLUSTER", "ENDPOINT", "ADDRESS", "HEALTH" };
        struct table *t = table_new(heads, ARRAY_SIZE(heads));
        for (size_t i = 0; i < n; i++) {
                if (strcmp(json_text(v[i].status, "daemon"), "l4lb") == 0)
                        print_backends(t, &v[i]);
                else
                        print_clusters(t, &v[i]);
        }
        printf("\n");
        table_print_free(t);
}

/* All answer, and the shards of a pool (and the l4 members) serve the same configuration. */
static bool all_well(const struct answer *v, size_t n)
{
        bool well = n > 0;
        for (size_t i = 0; i < n; i++) {
                if (!v[i].status)
                        return false;
                for (size_t k = 0; k < i; k++)
                        if (is_data_plane(&v[i]) && strcmp(json_text(v[i].status, "daemon"), json_text(v[k].status, "daemon")) == 0 &&
                            strcmp(json_text(v[i].status, "pool"), json_text(v[k].status, "pool")) == 0 &&
                            strcmp(json_text(v[i].status, "hash"), json_text(v[k].status, "hash")) != 0)
                                well = false;
        }
        return well;
}

static void print_json(const struct answer *v, size_t n, bool well)
{
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++) {
                json_t *o = json_pack("{s:s}", "socket", v[i].name);
                if (v[i].status)
                        json_object_set(o, "status", v[i].status);
                else
                        json_object_set_new(o, "error", json_string(v[i].error.msg));
                if (v[i].endpoints)
                        json_object_set(o, strcmp(json_text(v[i].status, "daemon"), "l4lb") == 0 ? "backends" : "clusters",
                                        v[i].endpoints);
                json_array_append_new(list, o);
        }
        json_t *j = json_pack("{s:b, s:o}", "ok", well, "daemons", list);
        BUG_ON(!j);
        json_print(j);
        json_decref(j);
}

int ctl_status(const struct ctl *c)
{
        char **names;
        size_t n;
        struct err e;
        if (ask_names(c, &names, &n, &e) < 0) {
                fprintf(stderr, "gatectl: %s: %s\n", e.place, e.msg);
                return CTL_FAILED;
        }
        if (n == 0) {
                fprintf(stderr, "gatectl: %s: no admin sockets: is anything running? (-d names another directory)\n", c->run_dir);
                names_free(names, n);
                return CTL_FAILED;
        }
        struct answer *v = calloc(n, sizeof *v);
        BUG_ON(!v);
        for (size_t i = 0; i < n; i++) {
                v[i].name = names[i];
                ask_one(c, &v[i]);
        }
        bool well = all_well(v, n);
        if (c->json) {
                print_json(v, n, well);
        } else {
                print_daemons(v, n);
                print_endpoints(v, n);
        }
        for (size_t i = 0; i < n; i++) {
                json_decref(v[i].status);
                json_decref(v[i].endpoints);
        }
        free(v);
        names_free(names, n);
        return well ? CTL_OK : CTL_FAILED;
}
