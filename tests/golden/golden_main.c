/* tests/golden/golden_main.c - manifests in, model and statuses out, compared with files (TAP).
 *   golden DIR            DIR/inputs/NAME.yaml -> DIR/outputs/NAME.txt; UPDATE=1 in the environment rewrites the outputs
 * Comment lines of an input steer its case:
 *   # config: FILE.cfg                                     of inputs/include/ (default.cfg)
 *   # include: FILE.yaml                                   of inputs/include/, read first
 *   # held: NAMESPACE/GATEWAY ADDRESS                      an address the Gateway's last status names
 *   # quarantine: KIND NAMESPACE/NAME SECTION|- RULE REASON...
 * The list of supported features is in the output of the case `simple` alone: a new one touches one file.
 * Every case is translated again with its objects in other orders, and must give the same bytes. */
#include "lib/base.h"
#include "agent/core/decode.h"
#include "agent/io/render_dir.h"
#include "agent/io/yaml.h"
#include <dirent.h>
#include <unistd.h>

#define CASE_MAX_OBJECTS 512
#define SHUFFLES 8

struct fixture {
        char dir[512], config[256];
        struct arena a;
        struct object *objs[CASE_MAX_OBJECTS]; size_t n;
        struct vip_grant held[16]; size_t n_held;
        struct quarantine q[16]; size_t n_q;
};

static void die(const char *what, const struct err *e)
{
        printf("Bail out! %s: %s: %s\n", what, e->place, e->msg);
        exit(1);
}

static struct span read_file(struct arena *a, const char *path)
{
        FILE *f = fopen(path, "rb");
        if (!f)
                return SPAN_NULL;
        size_t cap = 4u << 20;
        char *p = arena_alloc(a, cap);
        BUG_ON(!p);
        size_t n = fread(p, 1, cap, f);
        BUG_ON(n == cap);
        fclose(f);
        return SPAN(p, n);
}

static void load_yaml(struct fixture *f, const char *name, struct span text)
{
        struct yaml_docs docs;
        struct err e = { 0 };
        if (yaml_read(text, name, &f->a, &docs, &e) < 0)
                die(name, &e);
        for (size_t i = 0; i < docs.n; i++) {
                struct object *o = NULL;
                if (object_decode(docs.v[i], name, "default", &o, &e) < 0)
                        die(name, &e);
                BUG_ON(f->n == CASE_MAX_OBJECTS);
                if (o)
                        f->objs[f->n++] = o;
        }
}

static void directive(struct fixture *f, const char *key, char *value)
{
        char path[1024], a[300], b[300], c[300];
        unsigned rule;
        int at = 0;
        if (strcmp(key, "config") == 0) {
                (void)snprintf(f->config, sizeof f->config, "%s", value);
        } else if (strcmp(key, "include") == 0) {
                (void)snprintf(path, sizeof path, "%s/inputs/include/%s", f->dir, value);
                struct span s = read_file(&f->a, path);
                BUG_ON(!s.p);
                load_yaml(f, value, s);
        } else if (strcmp(key, "held") == 0 && sscanf(value, "%299s %299s", a, b) == 2) {
                f->held[f->n_held].gateway = arena_strdup(&f->a, a);
                BUG_ON(ipaddr_parse(span_str(b), &f->held[f->n_held++].addr) < 0);
        } else if (strcmp(key, "quarantine") == 0 && sscanf(value, "%299s %299s %299s %u %n", a, b, c, &rule, &at) == 4) {
                char *slash = strchr(b, '/');
                BUG_ON(!slash);
                *slash = '\0';
                f->q[f->n_q++] = (struct quarantine){ arena_strdup(&f->a, a), arena_strdup(&f->a, b), arena_strdup(&f->a, slash + 1),
                                                      arena_strdup(&f->a, strcmp(c, "-") == 0 ? "" : c), rule, 1,
                                                      arena_strdup(&f->a, value + at) };
        }
}

static void directives(struct fixture *f, struct span text)
{
        char *copy = arena_printf(&f->a, "%.*s", SPAN_FMT(text));
        BUG_ON(!copy);
        for (char *l = copy, *end; *l; l = end + 1) {
                end = strchr(l, '\n');
                BUG_ON(!end); /* a text file ends its last line */
                *end = '\0';
                char *colon = strchr(l, ':');
                if (strncmp(l, "# ", 2) != 0 || !colon)
                        continue;
                *colon = '\0';
                directive(f, l + 2, colon + 1 + strspn(colon + 1, " "));
        }
}

static void features_hide(struct buf *out)
{
        static const char head[] = "  supportedFeatures:\n", item[] = "  - name: ";
        char *p = (char *)out->p;
        for (;;) {
                char *end = (char *)out->p + out->n, *to;
                p = memmem(p, (size_t)(end - p), head, sizeof head - 1);
                if (!p)
                        return;
                p = to = p + sizeof head - 1;
                while ((size_t)(end - to) > sizeof item && memcmp(to, item, sizeof item - 1) == 0)
                        to = (char *)memchr(to, '\n', (size_t)(end - to)) + 1; /* lines end: it is our own output */
                memmove(p, to, (size_t)(end - to));
                out->n -= (size_t)(to - p);
        }
}

/* A fresh store each time: store_apply_all takes the objects, so they are decoded anew. */
static void render(const char *dir, const char *name, unsigned order, struct buf *out)
{
        static struct fixture f; /* large; one at a time */
        char path[1024];
        struct err e = { 0 };
        struct settings *conf;
        struct store_changes changes;
        f = (struct fixture){ 0 };
        (void)snprintf(f.dir, sizeof f.dir, "%s", dir);
        (void)snprintf(f.config, sizeof f.config, "default.cfg");
        arena_init(&f.a, 64 * 1024, SIZE_MAX);
        (void)snprintf(path, sizeof path, "%s/inputs/%s.yaml", dir, name);
        struct span text = read_file(&f.a, path);
        BUG_ON(!text.p);
        directives(&f, text);
        load_yaml(&f, name, text);
        uint32_t seed = order * 2654435761u + 1;
        for (size_t i = f.n; order && i > 1; i--) { /* Fisher-Yates over a small generator: the same on every run */
                seed = seed * 1664525u + 1013904223u;
                size_t k = (seed >> 8) % i;
                struct object *o = f.objs[i - 1];
                f.objs[i - 1] = f.objs[k];
                f.objs[k] = o;
        }
        (void)snprintf(path, sizeof path, "%s/inputs/include/%s", dir, f.config);
        if (settings_load(path, &conf, &e) < 0)
                die(path, &e);
        struct store *s = store_new();
        if (!s || store_apply_all(s, f.objs, f.n, &changes, &e) < 0)
                die(name, &e);
        buf_reset(out);
        if (render_store(s, &conf->translate, f.held, f.n_held, f.q, f.n_q, out, &e) < 0)
                die(name, &e);
        if (strcmp(name, "simple") != 0)
                features_hide(out);
        store_free(s);
        settings_free(conf);
        arena_fini(&f.a);
}

static void first_difference(struct span want, struct span got)
{
        size_t line = 1, i = 0, start = 0;
        for (; i < want.n && i < got.n && want.p[i] == got.p[i]; i++)
                if (want.p[i] == '\n') {
                        line++;
                        start = i + 1;
                }
        size_t we = start, ge = start;
        while (we < want.n && want.p[we] != '\n')
                we++;
        while (ge < got.n && got.p[ge] != '\n')
                ge++;
        printf("# line %zu\n#   want: %.*s\n#   got:  %.*s\n", line, (int)(we - start), (const char *)want.p + start, (int)(ge - start),
               (const char *)got.p + start);
}

static bool run_case(const char *dir, const char *name, bool update)
{
        char path[1024];
        CLEANUP(buf_fini) struct buf first, again;
        CLEANUP(arena_fini) struct arena a;
        bool ok = true;
        arena_init(&a, 64 * 1024, SIZE_MAX);
        buf_init(&first, SIZE_MAX);
        buf_init(&again, SIZE_MAX);
        render(dir, name, 0, &first);
        for (unsigned i = 1; ok && i <= SHUFFLES; i++) {
                render(dir, name, i, &again);
                ok = span_eq(buf_span(&first), buf_span(&again));
                if (!ok) {
                        printf("# the order of the input changes the output\n");
                        first_difference(buf_span(&first), buf_span(&again));
                }
        }
        (void)snprintf(path, sizeof path, "%s/outputs/%s.txt", dir, name);
        if (update) {
                FILE *f = fopen(path, "wb");
                BUG_ON(!f);
                BUG_ON(fwrite(first.p, 1, first.n, f) != first.n);
                fclose(f);
                return ok;
        }
        struct span want = read_file(&a, path);
        if (!want.p)
                printf("# no outputs/%s.txt: UPDATE=1 writes it\n", name);
        if (ok && !span_eq(want, buf_span(&first))) {
                ok = false;
                if (want.p)
                        first_difference(want, buf_span(&first));
        }
        return ok;
}

static int name_cmp(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int main(int argc, char **argv)
{
        char path[1024], *names[256];
        size_t n = 0, failed = 0;
        BUG_ON(argc != 2);
        (void)snprintf(path, sizeof path, "%s/inputs", argv[1]);
        DIR *d = opendir(path);
        BUG_ON(!d);
        for (const struct dirent *de; (de = readdir(d));) {
                size_t len = strlen(de->d_name);
                if (len > 5 && strcmp(de->d_name + len - 5, ".yaml") == 0) {
                        BUG_ON(n == ARRAY_SIZE(names));
                        names[n] = strndup(de->d_name, len - 5);
                        BUG_ON(!names[n++]);
                }
        }
        closedir(d);
        qsort(names, n, sizeof *names, name_cmp);
        bool update = getenv("UPDATE") != NULL;
        printf("1..%zu\n", n);
        log_init("golden", LOG_ERROR);
        for (size_t i = 0; i < n; i++) {
                bool ok = run_case(argv[1], names[i], update);
                failed += !ok;
                printf("%sok %zu - %s\n", ok ? "" : "not ", i + 1, names[i]);
                free(names[i]);
        }
        return failed || n < 25; /* an empty folder proves nothing */
}
