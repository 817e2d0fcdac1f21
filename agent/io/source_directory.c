/* agent/io/source_directory.c - a directory of manifests in, a directory of statuses out: the two as one source. */
#include "lib/base.h"
#include "agent/io/source.h"
#include "agent/io/status_dir.h"
#include "lib/io/log.h"

struct source_directory {
        struct source s;
        struct directory *in;
        struct status_dir *out;
        struct arena held;
        struct generations *generations;
        bool unwritten; /* .generations is not as generations has it */
        const struct source_events *ev; void *arg;
};

/* Objects get their generations here, and the file is written first: no status ever tells one that a restart forgets. */
static void dir_load(void *arg, struct object **objs, size_t n, const struct load_errors *errs)
{
        struct source_directory *d = arg;
        int r = errs ? 0 : generations_assign(d->generations, objs, n);
        if (r < 0)
                log_error("generations_failed", "errno=%d will=\"count in memory\"", -r);
        d->unwritten |= r > 0;
        r = d->unwritten ? status_dir_write_generations(d->out, d->generations) : 0;
        if (r < 0)
                log_error("generations_not_written", "errno=%d will=\"try again with the next load\"", -r);
        d->unwritten = r < 0;
        d->ev->load(d->arg, objs, n, errs);
}

static int dir_write(struct source *s, const struct status_doc *docs, size_t n)
{
        return status_dir_write(CONTAINER_OF(s, struct source_directory, s)->out, docs, n);
}

static void dir_free(struct source *s)
{
        struct source_directory *d = CONTAINER_OF(s, struct source_directory, s);
        directory_free(d->in);
        status_dir_close(d->out);
        generations_free(d->generations);
        arena_fini(&d->held);
        free(d);
}

static const struct source_ops ops = { .write = dir_write, .free = dir_free };

int source_directory_new(struct loop *l, const struct settings *conf, struct status_memory *m, const struct source_events *ev, void *arg,
                         struct source **ret, struct err *reterr)
{
        struct source_directory *d = calloc(1, sizeof *d);
        struct vip_grant *held = NULL;
        BUG_ON(!d); /* boot */
        d->s = (struct source){ .ops = &ops, .name = conf->directory };
        d->ev = ev;
        d->arg = arg;
        d->generations = generations_new();
        BUG_ON(!d->generations); /* boot */
        arena_init(&d->held, 16 * 1024, SIZE_MAX); /* bounded by the files */
        int r = status_dir_open(conf->status_dir, &d->out, reterr);
        if (r == 0) {
                r = status_dir_read(d->out, m, &d->held, &held, &d->s.n_held);
                d->s.held = held;
                if (r == 0)
                        r = status_dir_read_generations(d->out, d->generations);
                if (r < 0)
                        r = err_set(reterr, -r, conf->status_dir, "cannot read: %s", strerror(-r));
        }
        *ret = &d->s; /* load() may ask for what is held */
        if (r == 0) {
                d->in = directory_new(l, conf->directory, conf->settle_ms, conf->default_namespace, dir_load, d, reterr);
                r = d->in ? 0 : -EIO;
        }
        if (r < 0) {
                dir_free(&d->s);
                *ret = NULL;
        }
        return r;
}
