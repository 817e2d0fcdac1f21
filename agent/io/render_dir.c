/* agent/io/render_dir.c - see render_dir.h. */
#include "lib/base.h"
#include "agent/io/render_dir.h"
#include "agent/core/render.h"
#include "agent/core/status.h"
#include "agent/io/directory.h"

static int render_statuses(const struct translation *t, const char *controller, struct buf *out)
{
        struct status_memory *m = status_memory_new();
        struct status_set *s = NULL;
        struct status_doc *docs;
        CLEANUP(arena_fini) struct arena a;
        size_t n;
        arena_init(&a, 64 * 1024, SIZE_MAX);
        int r = m ? status_build(m, t, NULL, 0, 0, 0, &s) : -ENOMEM;
        if (r == 0)
                r = status_docs(s, controller, &a, &docs, &n);
        for (size_t i = 0; r == 0 && i < n; i++) {
                buf_str(out, "---\n");
                buf_add(out, docs[i].text.p, docs[i].text.n);
        }
        status_free(s);
        status_memory_free(m);
        return r;
}

int render_store(const struct store *s, const struct translate_conf *conf, const struct vip_grant *held, size_t n_held,
                 const struct quarantine *q, size_t n_q, struct buf *out, struct err *reterr)
{
        struct translation *t;
        int r = translate(s, conf, held, n_held, q, n_q, 1, NULL, &t, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < t->n_pools; i++) {
                buf_printf(out, "# pool %s\n", t->pools[i].pool);
                r = render_manifest(t->pools[i].manifest, out);
        }
        buf_str(out, "# l4\n");
        if (r == 0)
                r = render_manifest(t->l4, out);
        buf_str(out, "# statuses\n");
        if (r == 0)
                r = render_statuses(t, conf->controller_name, out);
        translation_free(t);
        if (r == 0 && out->failed)
                r = -ENOMEM;
        return r < 0 ? err_set(reterr, -r, "render", "cannot render: %s", strerror(-r)) : 0;
}

int render_dir(const char *path, const struct settings *conf, FILE *out)
{
        struct object **objs;
        size_t n;
        struct load_counts counts;
        struct load_errors errs = { 0 };
        struct store_changes changes;
        struct err e = { 0 };
        if (directory_load(path, conf->default_namespace, &objs, &n, &counts, &errs) < 0) {
                for (size_t i = 0; i < errs.n; i++)
                        log_error("load_failed", "place=%s why=%s", LOG_ESC(errs.v[i].place), LOG_ESC(errs.v[i].msg));
                return 1;
        }
        struct store *s = store_new();
        BUG_ON(!s); /* boot */
        CLEANUP(buf_fini) struct buf b;
        buf_init(&b, SIZE_MAX);
        int r = store_apply_all(s, objs, n, &changes, &e);
        free(objs);
        if (r == 0)
                r = render_store(s, &conf->translate, NULL, 0, NULL, 0, &b, &e);
        if (r < 0)
                log_error("render_failed", "place=%s why=%s", LOG_ESC(e.place), LOG_ESC(e.msg));
        else if (fwrite(b.p, 1, b.n, out) != b.n)
                r = -EIO;
        store_free(s);
        return r < 0 ? 1 : 0;
}
