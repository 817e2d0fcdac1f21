/* image/io/setup.c - see setup.h. */
#include "lib/base.h"
#include "image/io/setup.h"
#include "image/core/activate.h"
#include "image/io/config_load.h"
#include "image/io/path.h"
#include "lib/io/log.h"

#include <sys/sysinfo.h>
#include <unistd.h>

#define CHECK_ROOT "/run/gatehouse/check"
#define CHECK_TIMEOUT_MS 30000

static struct machine this_machine(void)
{
        struct sysinfo si = {0};
        (void)sysinfo(&si); /* cannot fail with a good pointer */
        long cpus = sysconf(_SC_NPROCESSORS_CONF);
        return (struct machine){.cpus = cpus > 0 ? (unsigned)cpus : 1,
                                .memory_mb = (unsigned)((uint64_t)si.totalram * si.mem_unit / (1024 * 1024))};
}

static void setup_init(struct setup *s)
{
        *s = (struct setup){0};
        arena_init(&s->arena, 64 * 1024, 16u * IMAGE_MAX_FILE_BYTES);
        files_init(&s->files, &s->arena);
}

static int make(const struct seed_copy *seed, const char *place, const char *root, bool placeholders, struct setup *ret, struct err *reterr)
{
        setup_init(ret);
        int r = config_load_text(seed->cfg, place, &ret->c, reterr);
        if (r == 0) {
                const struct render in = {.c = ret->c, .seed = &seed->seed, .machine = this_machine(), .root = root, .placeholders = placeholders, .locked = seed->locked};
                r = render_all(&in, &ret->files, reterr);
        }
        if (r < 0)
                setup_fini(ret);
        return r;
}

int setup_make(const struct host *h, const struct seed_copy *seed, const char *place, struct setup *ret, struct err *reterr)
{
        return make(seed, place, h->root, false, ret, reterr);
}

void setup_unconfigured(struct setup *ret)
{
        setup_init(ret);
        render_unconfigured(&ret->files);
}

void setup_fini(struct setup *s)
{
        config_free(s->c);
        files_fini(&s->files);
        arena_wipe(&s->arena);
        arena_fini(&s->arena);
        *s = (struct setup){0};
}

/* The value of key=... in a daemon's log line, unquoted; "" when it is not there. */
static void log_value(const char *line, const char *key, char *ret, size_t n)
{
        const char *p = strstr(line, key);
        size_t used = 0;
        if (p) {
                p += strlen(key);
                bool quoted = *p == '"';
                for (p += quoted; *p && *p != '\n' && *p != (quoted ? '"' : ' ') && used + 1 < n; p++)
                        if (*p != '\\' || !p[1])
                                ret[used++] = *p;
        }
        ret[used] = '\0';
}

static int check_file(const struct host *h, const char *daemon, const char *file, struct err *reterr)
{
        char program[HOST_PATH_MAX], said[2048], place[sizeof reterr->place], why[sizeof reterr->msg];
        snprintf(program, sizeof program, "%s/%s", h->daemons, daemon);
        const char *const argv[] = {program, "--check", "-c", file, NULL};
        int r = host_run(argv, CHECK_TIMEOUT_MS, said, sizeof said);
        if (r == 0)
                return 0;
        if (r < 0)
                return err_set(reterr, -r, program, "cannot check the rendered file: %s", strerror(-r));
        log_value(said, " place=", place, sizeof place);
        log_value(said, strstr(said, " reason=") ? " reason=" : " why=", why, sizeof why);
        if (!*why)
                snprintf(why, sizeof why, "status %d: %.200s", r, said);
        return err_set(reterr, EINVAL, daemon, "refuses what is rendered for it: %s: %s", place, why);
}

static int check_all(const struct host *h, const struct host *scratch, const struct setup *s, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        bool own = s->c->role != ROLE_SHARDS; /* load balancer and agent are here */
        int r = own ? check_file(h, "l4lb", host_path(scratch, path, RENDER_ETC "/l4lb.cfg"), reterr) : 0;
        for (size_t i = 0; r == 0 && i < config_shards(s->c); i++) {
                struct shard_plan p;
                plan_shard(s->c, i, &p);
                r = check_file(h, "l7gw", host_path(scratch, path, RENDER_ETC "/l7gw/%s.cfg", p.name), reterr);
        }
        return r < 0 || !own ? r : check_file(h, "gatehouse-agent", host_path(scratch, path, RENDER_ETC "/agent.cfg"), reterr);
}

int setup_check(const struct host *h, const struct seed_copy *seed, const char *place, struct err *reterr)
{
        char root[HOST_PATH_MAX];
        struct err late; /* of the clearing away */
        struct setup s;
        struct path_list changed;
        struct host scratch = *h;
        scratch.root = host_path(h, root, CHECK_ROOT);
        int r = path_remove_tree(root, reterr);
        if (r == 0)
                r = make(seed, place, root, true, &s, reterr);
        if (r < 0)
                return r;
        r = path_mkdirs(root, 0700, reterr);
        if (r == 0)
                r = files_write(&scratch, &s.files, &changed, reterr);
        if (r == 0)
                r = check_all(h, &scratch, &s, reterr);
        if (path_remove_tree(root, &late) < 0 && r == 0)
                r = err_set(reterr, EIO, late.place, "%s", late.msg);
        setup_fini(&s);
        return r;
}

int setup_put(const struct host *h, struct setup *s, struct path_list *ret_changed, struct err *reterr)
{
        int r = files_write(h, &s->files, ret_changed, reterr);
        if (r == 0 && s->c && !*h->root && sethostname(s->c->name, strlen(s->c->name)) < 0)
                log_warn("hostname_not_set", "reason=%s", LOG_ESC(strerror(errno)));
        return r;
}

static bool is_gone(void *arg, const char *path)
{
        return !files_find(arg, path);
}

int setup_activate(const struct host *h, struct setup *s, const struct path_list *changed, struct err *reterr)
{
        struct activate_step *steps;
        size_t n;
        if (activate_plan(changed->v, changed->n, is_gone, &s->files, &s->arena, &steps, &n) < 0)
                return err_set(reterr, ENOMEM, "", "out of memory");
        for (size_t i = 0; i < n; i++) {
                const char *args[ACTIVATE_MAX_UNITS + 2] = {steps[i].verb};
                for (size_t k = 0; steps[i].units[k]; k++)
                        args[k + 1] = steps[i].units[k];
                int r = host_systemctl(h, args, reterr);
                if (r < 0)
                        return r;
                log_info("activated", "step=%s unit=%s", LOG_ESC(steps[i].verb), LOG_ESC(steps[i].units[0] ? steps[i].units[0] : ""));
        }
        return 0;
}
