/* image/io/command_update.c - `gatehouse-system update|rollback|reset|wipe|fault`: what changes the disk, each a short
 * program of its own, run by units (update, wipe, fault) or by hand. */
#include "lib/base.h"
#include "image/core/keyvalue.h"
#include "image/io/boot_site.h"
#include "image/io/boot_state.h"
#include "image/io/commands.h"
#include "image/io/path.h"
#include "image/io/reset.h"
#include "image/io/update_request.h"
#include "lib/io/log.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

static int reboot(const struct host *h, struct err *reterr)
{
        static const char *const args[] = {"--no-block", "reboot", NULL};
        return host_systemctl(h, args, reterr);
}

/* ---------------------------------------------------------------- update */

struct progress {
        const struct host *h;
        const char *source;
        enum update_step step;
        uint64_t done, total, shown; /* shown: percent */
};

/* The state file; it is a display: that it cannot be written is no reason to stop. */
static void state_put(const struct progress *p, const char *state, const char *version, const char *error)
{
        char path[HOST_PATH_MAX];
        struct buf b;
        struct err e;
        buf_init(&b, 4096);
        keyvalue_put(&b, "state", span_str(state));
        keyvalue_put(&b, "source", span_str(p->source));
        keyvalue_put(&b, "step", span_str(update_step_str(p->step)));
        buf_printf(&b, "done=%" PRIu64 "\ntotal=%" PRIu64 "\n", p->done, p->total);
        if (version)
                keyvalue_put(&b, "version", span_str(version));
        if (error)
                keyvalue_put(&b, "error", span_str(error));
        host_path(p->h, path, UPDATE_STATE_PATH);
        if (b.failed || path_mkparent(path, &e) < 0 ||
            path_write(path, buf_span(&b), 0644, (unsigned)-1, false, &e) < 0)
                log_warn("update_state", "path=%s action=%s", LOG_ESC(path), LOG_ESC("going on without a display"));
        buf_fini(&b);
}

static void progressed(void *arg, enum update_step s, uint64_t done, uint64_t total)
{
        struct progress *p = arg;
        uint64_t percent = total ? done * 100 / total : 0;
        bool step = s != p->step;
        p->done = done;
        p->total = total;
        p->step = s;
        if (!step && percent == p->shown)
                return;
        p->shown = percent;
        state_put(p, "running", NULL, NULL);
        if (step || percent % 10 == 0)
                log_info("update_progress", "step=%s percent=%" PRIu64, LOG_ESC(update_step_str(s)), percent);
}

static int job_make(const struct host *h, const struct update_request *q, struct boot_site *s, struct update_job *ret,
                    char keys[2][HOST_PATH_MAX], struct err *reterr)
{
        struct version floor;
        int r = boot_site_read(h, s, reterr);
        if (r == 0)
                r = boot_site_disk(h, s, reterr);
        if (r == 0)
                r = boot_floor_read(h, &floor, reterr);
        if (r < 0)
                return r;
        host_path(h, keys[0], UPDATE_KEYS_OF_IMAGE);
        host_path(h, keys[1], UPDATE_KEYS_OF_CONFIG);
        *ret = (struct update_job){.source = q->source,
                                   .disk = s->disk,
                                   .esp = s->esp,
                                   .key_dirs = {keys[0], keys[1]},
                                   .running = s->version,
                                   .floor = version_cmp(&floor, &s->minimum) > 0 ? floor : s->minimum,
                                   .roothash = s->roothash,
                                   .downgrade = q->downgrade,
                                   .progress = progressed};
        return 0;
}

static int update_run(const struct host *h, const struct update_request *q)
{
        struct progress p = {.h = h, .source = q->source};
        char keys[2][HOST_PATH_MAX], version[VERSION_STR_MAX];
        struct boot_site s;
        struct update_job j;
        struct update_manifest m;
        struct err e = {.place = ""};
        state_put(&p, "running", NULL, NULL);
        int r = job_make(h, q, &s, &j, keys, &e);
        j.arg = &p;
        if (r == 0)
                r = update_install(&j, &m, &e);
        if (r < 0) {
                char text[sizeof e.place + sizeof e.msg + 4];
                snprintf(text, sizeof text, "%s: %s", e.place, e.msg);
                state_put(&p, "failed", NULL, text);
                log_error("update_refused", "source=%s place=%s reason=%s action=%s", LOG_ESC(q->source),
                          LOG_ESC(e.place), LOG_ESC(e.msg), LOG_ESC("the running version stays"));
                return command_fail(&e);
        }
        version_str(&m.version, version);
        state_put(&p, "done", version, NULL);
        log_info("update_installed", "source=%s version=%s reboot=%s", LOG_ESC(q->source), version,
                 q->reboot ? "yes" : "no");
        return q->reboot && reboot(h, &e) < 0 ? command_fail(&e) : COMMAND_OK;
}

int command_update(const struct host *h, int argc, char **argv)
{
        static const char help[] =
                "usage: gatehouse-system update [--downgrade] [--reboot] SOURCE | --requested\n"
                "Installs an update into the slot that is not running.  SOURCE: a directory, an archive, http(s)://.\n"
                "      --downgrade  an older version is wanted\n"
                "      --reboot     and boot it\n"
                "      --requested  what `gatectl system update` asked for\n";
        enum { OPT_DOWNGRADE = 256, OPT_REBOOT, OPT_REQUESTED };
        static const struct option options[] = {{"downgrade", no_argument, NULL, OPT_DOWNGRADE},
                                                {"reboot", no_argument, NULL, OPT_REBOOT},
                                                {"requested", no_argument, NULL, OPT_REQUESTED},
                                                {NULL, 0, NULL, 0}};
        struct update_request q = {.source = ""};
        struct err e = {.place = ""};
        bool requested = false;
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
                q.downgrade |= o == OPT_DOWNGRADE;
                q.reboot |= o == OPT_REBOOT;
                requested |= o == OPT_REQUESTED;
                if (o == '?')
                        return COMMAND_USAGE;
        }
        if (argc - optind != (requested ? 0 : 1) || (!requested && strlen(argv[optind]) >= sizeof q.source)) {
                fputs(help, stderr);
                return COMMAND_USAGE;
        }
        if (requested && update_request_take(h, &q, &e) < 0)
                return command_fail(&e);
        if (!requested)
                snprintf(q.source, sizeof q.source, "%s", argv[optind]);
        return update_run(h, &q);
}

/* ---------------------------------------------------------------- rollback, reset */

int command_rollback(const struct host *h, int argc, char **argv)
{
        static const char help[] = "usage: gatehouse-system rollback [--reboot]\nBoots the other slot next.\n";
        char to[VERSION_STR_MAX];
        struct err e = {.place = ""};
        bool wants = argc == 2 && strcmp(argv[1], "--reboot") == 0;
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        if (argc != 1 && !wants) {
                fputs(help, stderr);
                return COMMAND_USAGE;
        }
        if (rollback_request(h, to, &e) < 0 || (wants && reboot(h, &e) < 0))
                return command_fail(&e);
        printf("version %s boots next\n", to);
        return COMMAND_OK;
}

int command_reset(const struct host *h, int argc, char **argv)
{
        static const char help[] =
                "usage: gatehouse-system reset --yes\n"
                "Factory reset: wipes the data partition (configuration, state, logs) and reboots.  The image stays.\n";
        struct err e = {.place = ""};
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        if (argc != 2 || strcmp(argv[1], "--yes") != 0) {
                fputs(help, stderr);
                return COMMAND_USAGE;
        }
        return reset_request(h, &e) < 0 || reboot(h, &e) < 0 ? command_fail(&e) : COMMAND_OK;
}

static void wiped(uint64_t done, uint64_t total)
{
        printf("factory reset: %" PRIu64 " of %" PRIu64 " MiB wiped\n", done >> 20, total >> 20);
        fflush(stdout);
}

int command_wipe(const struct host *h, int argc, char **argv)
{
        static const char help[] =
                "usage: gatehouse-system wipe\nOn boot: does what a factory reset asked for, if one did.\n";
        struct boot_site s;
        struct err e = {.place = ""};
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        int r = boot_site_read(h, &s, &e);
        if (r == 0)
                r = boot_site_disk(h, &s, &e);
        if (r == 0)
                r = reset_run(s.disk, wiped, &e);
        if (r < 0)
                return command_fail(&e);
        if (r > 0)
                log_info("factory_reset", "disk=%s action=%s", s.disk,
                         LOG_ESC("systemd-repart makes the data partition anew"));
        return COMMAND_OK;
}

/* ---------------------------------------------------------------- faults, in test images */

#define FAULT_DROPIN "/run/systemd/system/l4lb.service.d/99-fault.conf"

static int fault_l4lb(const struct host *h, struct err *reterr)
{
        static const char text[] =
                "[Service]\nExecStart=\nExecStart=/usr/lib/gatehouse/gatehouse-system fault --fail\n";
        char path[HOST_PATH_MAX];
        host_path(h, path, FAULT_DROPIN);
        int r = path_mkparent(path, reterr);
        return r < 0 ? r : path_write(path, span_str(text), 0644, (unsigned)-1, false, reterr);
}

static int fault_panic(const struct host *h, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        int fd = open(host_path(h, path, "/proc/sysrq-trigger"), O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "c", 1) != 1)
                return err_set(reterr, errno, path, "cannot crash: %s", strerror(errno));
        close(fd);
        return 0;
}

int command_fault(const struct host *h, int argc, char **argv)
{
        static const char help[] =
                "usage: gatehouse-system fault\n"
                "Test images: breaks what gatehouse.fault= of the kernel's command line names: panic, l4lb, health.\n";
        struct boot_site s;
        struct err e = {.place = ""};
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        if (argc == 2 && strcmp(argv[1], "--fail") == 0)
                return COMMAND_FAILED;
        int r = boot_site_read(h, &s, &e);
        if (r == 0 && *s.fault)
                log_warn("fault", "kind=%s", LOG_ESC(s.fault));
        if (r == 0 && strcmp(s.fault, "panic") == 0)
                r = fault_panic(h, &e);
        else if (r == 0 && strcmp(s.fault, "l4lb") == 0)
                r = fault_l4lb(h, &e);
        return r < 0 ? command_fail(&e) : COMMAND_OK;
}
