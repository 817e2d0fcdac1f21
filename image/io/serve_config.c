/* image/io/serve_config.c - queries about the configuration: status, apply, adopt, confirm, cancel, show.  See serve.h. */
#include "lib/base.h"
#include "image/io/adopt.h"
#include "image/io/config_load.h"
#include "image/io/path.h"
#include "image/io/serve.h"
#include "lib/io/log.h"

int serve_status(void *arg, char *const *argv, size_t argc, struct json *out, struct err *reterr)
{
        static serve_part_fn *const parts[] = {
#define P(fn) fn,
                SERVE_STATUS(P)
#undef P
        };
        struct serve *s = arg;
        (void)argv;
        if (argc)
                return err_set(reterr, EINVAL, "status", "takes no arguments");
        json_obj(out);
        json_key(out, "daemon");
        json_str(out, "system");
        json_key(out, "uptime_s");
        json_u64(out, (loop_now_ms(s->loop) - s->started_ms) / 1000);
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
                parts[i](s, out);
        json_end(out);
        return 0;
}

static void refused(const struct host *h, struct json *out)
{
        char path[HOST_PATH_MAX];
        struct arena a;
        struct span text = SPAN_NULL;
        struct err none; /* no note: nothing was refused */
        arena_init(&a, 4096, 16384);
        json_key(out, "refused");
        if (path_read(host_path(h, path, ADOPT_NOTE), 4096, &a, &text, &none) < 0)
                text = SPAN_NULL;
        while (text.n && text.p[text.n - 1] == '\n')
                text.n--;
        json_span(out, text);
        arena_fini(&a);
}

static void vips(const struct config *c, struct json *out)
{
        char a[IPADDR_STR_MAX], text[IPADDR_STR_MAX + 8];
        json_key(out, "vip_pools");
        json_arr(out);
        for (size_t i = 0; c && i < c->n_vips; i++) {
                snprintf(text, sizeof text, "%s/%u", ipaddr_str(&c->vips[i].addr, a), c->vips[i].len);
                json_str(out, text);
        }
        json_end(out);
}

void serve_status_config(struct serve *s, struct json *out)
{
        struct seed_copy cur;
        struct config *c = NULL;
        struct err e;
        seed_copy_init(&cur);
        bool has = store_load(s->h, apply_in_force(s->apply), &cur, &e) == 0 && config_load_text(cur.cfg, "gatehouse.cfg", &c, &e) == 0;
        json_key(out, "configured");
        json_bool(out, has);
        json_key(out, "name");
        json_str(out, has ? c->name : "");
        json_key(out, "source");
        json_str(out, has ? source_names[cur.source] : "");
        apply_describe(s->apply, out);
        refused(s->h, out);
        vips(c, out);
        config_free(c);
        seed_copy_fini(&cur);
}

static int take_part(struct seed_copy *f, const char *name, const char *text, struct seed_file *manifests, struct err *reterr)
{
        static const char folder[] = "manifests/";
        if (strcmp(name, "gatehouse.cfg") == 0) {
                f->cfg = span_str(text);
        } else if (strcmp(name, "kubeconfig") == 0) {
                f->seed.kubeconfig = span_str(text);
        } else if (strncmp(name, folder, sizeof folder - 1) == 0 && seed_copy_is_manifest(name + sizeof folder - 1)) {
                if (f->seed.n_manifests == IMAGE_MAX_MANIFESTS)
                        return err_set(reterr, E2BIG, name, "more than %d manifests", IMAGE_MAX_MANIFESTS);
                manifests[f->seed.n_manifests++] = (struct seed_file){.name = name + sizeof folder - 1, .bytes = span_str(text)};
        } else {
                return err_set(reterr, EINVAL, name, "is none of gatehouse.cfg, kubeconfig, manifests/NAME.yaml");
        }
        return 0;
}

/* NAME TEXT pairs, borrowed. */
static int take_parts(struct seed_copy *f, char *const *argv, size_t argc, struct seed_file *manifests, struct err *reterr)
{
        int r = argc % 2 ? err_set(reterr, EINVAL, "", "names and texts come in pairs") : 0;
        f->seed.manifests = manifests;
        for (size_t i = 0; r == 0 && i < argc; i += 2)
                r = take_part(f, argv[i], argv[i + 1], manifests, reterr);
        return r == 0 && f->cfg.n == 0 ? err_set(reterr, EINVAL, "", "no gatehouse.cfg") : r;
}

static int start(struct serve *s, enum source source, unsigned confirm_s, char *const *argv, size_t argc, bool only_new, struct json *out,
                 struct err *reterr)
{
        struct seed_file manifests[IMAGE_MAX_MANIFESTS];
        struct seed_copy found, cur;
        struct err none;
        seed_copy_init(&found);
        seed_copy_init(&cur);
        found.source = source;
        int r = take_parts(&found, argv, argc, manifests, reterr);
        bool has = only_new && store_load(s->h, STORE_CURRENT, &cur, &none) == 0;
        bool nothing_new = r == 0 && has && !adopt_is_new(&found, &cur);
        if (r == 0 && !nothing_new)
                r = apply_start(s->apply, &found, confirm_s, reterr);
        if (r < 0)
                log_warn("apply_refused", "source=%s place=%s reason=%s", source_names[source], LOG_ESC(reterr->place), LOG_ESC(reterr->msg));
        if (r < 0 && only_new)
                adopt_note(s->h, reterr);
        found.seed = (struct seed){0};
        seed_copy_fini(&found);
        seed_copy_fini(&cur);
        if (r < 0)
                return r;
        json_obj(out);
        json_key(out, "result");
        json_str(out, nothing_new ? "unchanged" : "checked");
        apply_describe(s->apply, out);
        json_end(out);
        return 0;
}

int serve_apply(void *arg, char *const *argv, size_t argc, struct json *out, struct err *reterr)
{
        char *end;
        unsigned long confirm_s = argc ? strtoul(argv[0], &end, 10) : 0;
        if (!argc || *argv[0] < '0' || *argv[0] > '9' || *end || confirm_s > APPLY_CONFIRM_MAX_S)
                return err_set(reterr, EINVAL, "apply", "the first argument is seconds to confirm in, 0 to %u", APPLY_CONFIRM_MAX_S);
        return start(arg, FROM_APPLY, (unsigned)confirm_s, argv + 1, argc - 1, false, out, reterr);
}

int serve_adopt(void *arg, char *const *argv, size_t argc, struct json *out, struct err *reterr)
{
        for (int i = 0; argc && i < FROM_APPLY; i++)
                if (strcmp(argv[0], source_names[i]) == 0)
                        return start(arg, (enum source)i, 0, argv + 1, argc - 1, true, out, reterr);
        return err_set(reterr, EINVAL, "adopt", "the first argument is a source");
}

static int answer(struct serve *s, int r, struct json *out)
{
        if (r < 0)
                return r;
        json_obj(out);
        apply_describe(s->apply, out);
        json_end(out);
        return 0;
}

int serve_confirm(void *arg, char *const *argv, size_t argc, struct json *out, struct err *reterr)
{
        struct serve *s = arg;
        (void)argv;
        return argc ? err_set(reterr, EINVAL, "confirm", "takes no arguments") : answer(s, apply_confirm(s->apply, reterr), out);
}

int serve_cancel(void *arg, char *const *argv, size_t argc, struct json *out, struct err *reterr)
{
        struct serve *s = arg;
        (void)argv;
        return argc ? err_set(reterr, EINVAL, "cancel", "takes no arguments") : answer(s, apply_cancel(s->apply, reterr), out);
}

/* The file as it was given: who may ask here may read it on the disk as well. */
int serve_show(void *arg, char *const *argv, size_t argc, struct json *out, struct err *reterr)
{
        struct serve *s = arg;
        struct seed_copy c;
        enum store_slot slot = STORE_CURRENT;
        if (argc == 1 && strcmp(argv[0], "previous") == 0)
                slot = STORE_PREVIOUS;
        else if (argc == 1 && strcmp(argv[0], "candidate") == 0)
                slot = STORE_CANDIDATE;
        else if (argc && (argc > 1 || strcmp(argv[0], "current") != 0))
                return err_set(reterr, EINVAL, "show", "current, previous or candidate");
        seed_copy_init(&c);
        int r = store_load(s->h, slot, &c, reterr);
        if (r == 0) {
                json_obj(out);
                json_key(out, "source");
                json_str(out, source_names[c.source]);
                json_key(out, "kubeconfig");
                json_bool(out, c.seed.kubeconfig.n > 0);
                json_key(out, "manifests");
                json_u64(out, c.seed.n_manifests);
                json_key(out, "text");
                json_span(out, c.cfg);
                json_end(out);
        }
        seed_copy_fini(&c);
        return r;
}
