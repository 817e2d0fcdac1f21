/* ctl/check.c - `gatectl check DIR`: what the agent would say of a directory of manifests.  It reads the files with the
 * agent's own decoder and store and touches nothing. */
#include "lib/base.h"
#include "ctl/ask.h"

#include "agent/core/store.h"
#include "agent/io/directory.h"

static int report(const struct ctl *c, const char *dir, const struct load_counts *n, const struct load_errors *errs)
{
        bool ok = errs->total == 0;
        if (!c->json) {
                for (size_t i = 0; i < errs->n; i++)
                        fprintf(stderr, "%s: %s\n", errs->v[i].place, errs->v[i].msg);
                if (errs->total > errs->n)
                        fprintf(stderr, "%zu more errors\n", errs->total - errs->n);
                if (ok)
                        printf("%s: %zu files, %zu objects, valid (%zu documents of other kinds ignored)\n", dir, n->files,
                               n->objects, n->ignored);
                else
                        fprintf(stderr, "%s: refused, %zu error%s\n", dir, errs->total, errs->total == 1 ? "" : "s");
                return ok ? CTL_OK : CTL_FAILED;
        }
        json_t *list = json_array();
        for (size_t i = 0; i < errs->n; i++)
                json_array_append_new(list, json_pack("{s:s, s:s}", "place", errs->v[i].place, "message", errs->v[i].msg));
        json_t *j = json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:o}", "directory", dir, "valid", ok, "files", (json_int_t)n->files,
                              "objects", (json_int_t)n->objects, "ignored", (json_int_t)n->ignored, "error_count",
                              (json_int_t)errs->total, "errors", list);
        BUG_ON(!j);
        json_print(j);
        json_decref(j);
        return ok ? CTL_OK : CTL_FAILED;
}

int ctl_check(const struct ctl *c, const char *dir)
{
        struct object **objs = NULL;
        size_t n = 0;
        struct load_counts counts = { 0 };
        struct load_errors errs = { 0 };
        int r = directory_load(dir, "default", &objs, &n, &counts, &errs);
        if (r == 0) { /* duplicates show only when everything stands side by side */
                struct store *s = store_new();
                BUG_ON(!s);
                struct store_changes changes;
                if (store_apply_all(s, objs, n, &changes, &errs.v[0]) < 0)
                        errs.n = errs.total = 1;
                free(objs);
                store_free(s);
        } else if (errs.total == 0) {
                (void)err_set(&errs.v[0], -r, dir, "cannot load: %s", strerror(-r));
                errs.n = errs.total = 1;
        }
        return report(c, dir, &counts, &errs);
}
