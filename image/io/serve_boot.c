/* image/io/serve_boot.c - queries about the image that runs: slot and update in status, update, rollback, reset.  See serve.h. */
#include "lib/base.h"
#include "image/io/boot_site.h"
#include "image/io/serve.h"
#include "image/io/update_auto.h"
#include "image/io/update_request.h"
#include "lib/io/log.h"

void serve_status_boot(struct serve *s, struct json *out)
{
        boot_site_status(s->h, out);
}

/* The answer goes out while systemd stops the others first. */
static int reboot(struct serve *s, const char *why, struct err *reterr)
{
        static const char *const args[] = {"--no-block", "reboot", NULL};
        log_info("rebooting", "reason=%s", LOG_ESC(why));
        return host_systemctl(s->h, args, reterr);
}

static void said(struct json *out, const char *what, const char *more)
{
        json_obj(out);
        json_key(out, "result");
        json_str(out, what);
        if (more) {
                json_key(out, "version");
                json_str(out, more);
        }
        json_end(out);
}

int serve_update(void *arg, char *const *argv, size_t argc, struct json *out, struct err *reterr)
{
        struct serve *s = arg;
        struct update_request q = {.source = ""};
        for (size_t i = 0; i < argc; i++) {
                if (strcmp(argv[i], "--downgrade") == 0)
                        q.downgrade = true;
                else if (strcmp(argv[i], "--reboot") == 0)
                        q.reboot = true;
                else if (argv[i][0] == '-' || q.source[0] || strlen(argv[i]) >= sizeof q.source)
                        return err_set(reterr, EINVAL, "update", "[--downgrade] [--reboot] [SOURCE], not \"%s\"", argv[i]);
                else
                        snprintf(q.source, sizeof q.source, "%s", argv[i]);
        }
        struct update_source from;
        int r = q.source[0] ? 0 : update_source_read(s->h, &from, reterr);
        if (r == 0 && !q.source[0])
                snprintf(q.source, sizeof q.source, "%s", from.url);
        if (r == 0)
                r = update_request_start(s->h, &q, reterr);
        if (r == 0)
                said(out, "started: gatectl system status shows how far it is", NULL);
        return r;
}

int serve_rollback(void *arg, char *const *argv, size_t argc, struct json *out, struct err *reterr)
{
        struct serve *s = arg;
        char to[32];
        (void)argv;
        if (argc)
                return err_set(reterr, EINVAL, "rollback", "takes no arguments");
        int r = rollback_request(s->h, to, reterr);
        if (r == 0)
                r = reboot(s, "rollback", reterr);
        if (r == 0)
                said(out, "restarting into the other slot", to);
        return r;
}

int serve_reset(void *arg, char *const *argv, size_t argc, struct json *out, struct err *reterr)
{
        struct serve *s = arg;
        if (argc != 1 || strcmp(argv[0], "--yes") != 0)
                return err_set(reterr, EINVAL, "reset", "wipes configuration, state and logs: say --yes");
        int r = reset_request(s->h, reterr);
        if (r == 0)
                r = reboot(s, "factory reset", reterr);
        if (r == 0)
                said(out, "restarting; the data partition is wiped on the way", NULL);
        return r;
}
