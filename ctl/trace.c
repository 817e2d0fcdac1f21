/* ctl/trace.c - `gatectl trace request`: one question to every shard, one answer per address. */
#include "lib/base.h"
#include "ctl/ask.h"
#include "ctl/table.h"

#define ARGS_MAX 64

static void print_routes(const json_t *asked)
{
        static const char *const heads[] = { "ROUTE", "RULE", "MATCH", "HOST", "PATH", "VERDICT" };
        struct table *t = table_new(heads, ARRAY_SIZE(heads));
        const json_t *o;
        size_t i;
        json_array_foreach(asked, i, o)
        {
                char rule[24], match[24], path[1200];
                snprintf(path, sizeof path, "%s %s", json_text(o, "path_kind"), json_text(o, "path"));
                const char *cells[] = { json_text(o, "route"), json_number_text(o, "rule", rule), json_number_text(o, "match", match),
                                        *json_text(o, "host") ? json_text(o, "host") : "*", path, json_text(o, "verdict") };
                table_row(t, cells);
        }
        table_print_free(t);
}

static void print_backends(const json_t *backends)
{
        static const char *const heads[] = { "BACKEND", "WEIGHT", "OF", "READY" };
        struct table *t = table_new(heads, ARRAY_SIZE(heads));
        const json_t *o;
        size_t i;
        json_array_foreach(backends, i, o)
        {
                char weight[24], of[24], ready[24], fail[64] = "";
                if (*json_number_text(o, "fail_status", ready))
                        snprintf(fail, sizeof fail, "answers %s", ready);
                const char *cells[] = { *json_text(o, "cluster") ? json_text(o, "cluster") : "(invalid)", json_number_text(o, "weight", weight),
                                        json_number_text(o, "of", of), *fail ? fail : json_number_text(o, "endpoints_ready", ready) };
                table_row(t, cells);
        }
        table_print_free(t);
}

static void print_answer(const json_t *a)
{
        char port[24], status[24];
        const json_t *sent = json_object_get(a, "sent");
        printf("%s port %s  listener %s  ->  %s %s", json_text(a, "address"), json_number_text(a, "port", port),
               *json_text(a, "listener") ? json_text(a, "listener") : "none", json_text(a, "outcome"), json_number_text(a, "status", status));
        if (sent)
                printf("as %s %s%s%s%s", json_text(sent, "method"), json_text(sent, "host"), json_text(sent, "path"),
                       *json_text(sent, "query") ? "?" : "", json_text(sent, "query"));
        printf(" %s\n", json_text(a, "location"));
        print_routes(json_object_get(a, "asked"));
        if (json_object_get(a, "backends"))
                print_backends(json_object_get(a, "backends"));
}

/* Asks one daemon; NULL when it is none of ours, with *ret_failed when it is and refuses. */
static json_t *ask_shard(const struct ctl *c, const char *name, const char *const *argv, size_t argc, bool *ret_failed)
{
        struct err e;
        json_t *status, *answer = NULL;
        if (ask_daemon(c, name, "status", NULL, 0, &status, &e) < 0)
                return NULL; /* gatectl status tells of it */
        bool shard = strcmp(json_text(status, "daemon"), "l7gw") == 0;
        json_decref(status);
        if (shard && ask_daemon(c, name, "trace", argv, argc, &answer, &e) < 0) {
                fprintf(stderr, "gatectl: %s: %s\n", name, e.msg);
                *ret_failed = true;
                return NULL;
        }
        return shard ? answer : NULL;
}

int ctl_trace(const struct ctl *c, const char *const *argv, size_t argc)
{
        const char *args[ARGS_MAX];
        size_t n_args = 0, n_names = 0, n_shards = 0;
        char **names = NULL;
        struct err e;
        json_t *all = json_object(), *a;
        bool bad = false;
        if (!strchr(argv[0], ':'))
                args[n_args++] = argv[0];
        else
                args[n_args++] = "GET";
        for (size_t i = n_args == 1 && !strchr(argv[0], ':') ? 1 : 0; i < argc && n_args < ARGS_MAX; i++)
                args[n_args++] = argv[i];
        if (ask_names(c, &names, &n_names, &e) < 0) {
                fprintf(stderr, "gatectl: %s: %s\n", e.place, e.msg);
                json_decref(all);
                return CTL_FAILED;
        }
        for (size_t i = 0; i < n_names && !bad; i++) {
                json_t *answer = ask_shard(c, names[i], args, n_args, &bad);
                size_t k;
                if (!answer)
                        continue;
                n_shards++;
                if (!c->json) {
                        printf("== %s%s\n", names[i], json_array_size(answer) ? "" : ": no listener on that port");
                        json_array_foreach(answer, k, a)
                                print_answer(a);
                }
                (void)json_object_set_new(all, names[i], answer); /* takes it, whatever happens */
        }
        if (c->json && !bad)
                json_print(all);
        if (n_shards == 0 && !bad)
                fprintf(stderr, "gatectl: no shard answers in %s\n", c->run_dir);
        names_free(names, n_names);
        json_decref(all);
        return bad || n_shards == 0 ? CTL_FAILED : CTL_OK;
}
