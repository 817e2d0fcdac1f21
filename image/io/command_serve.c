/* image/io/command_serve.c - `gatehouse-system serve`: the admin socket of the box.  See serve.h. */
#include "lib/base.h"
#include "image/io/commands.h"
#include "image/io/path.h"
#include "image/io/serve.h"
#include "lib/io/log.h"
#include "lib/io/notify.h"

#include <signal.h>

#define SOCKET "/run/gatehouse/system.sock"

static const struct admin_query queries[] = {
#define Q(name, fn, help) {name, help, fn},
        SERVE_QUERIES(Q)
#undef Q
        {NULL, NULL, NULL},
};

static void on_signal(void *arg, int signo)
{
        log_info("stopping", "signal=%d", signo);
        loop_stop(arg);
}

static int run(struct serve *s, struct err *reterr)
{
        static const int signals[] = {SIGTERM, SIGINT};
        char path[HOST_PATH_MAX];
        struct admin *admin = NULL;
        struct notify notify;
        host_path(s->h, path, SOCKET);
        int r = loop_signals(s->loop, signals, ARRAY_SIZE(signals), on_signal, s->loop);
        if (r < 0)
                return err_set(reterr, -r, "signals", "%s", strerror(-r));
        r = path_mkparent(path, reterr);
        if (r == 0)
                r = apply_new(s->h, s->loop, &s->apply, reterr);
        if (r == 0)
                r = admin_new(s->loop, path, NULL, 0, queries, s, &admin, reterr);
        notify_init(&notify, s->loop, NULL, NULL);
        if (r == 0) {
                log_info("ready", "socket=%s", LOG_ESC(path));
                notify_ready(&notify, "answering on %s", path);
                r = loop_run(s->loop);
                notify_stopping(&notify);
                if (r < 0)
                        (void)err_set(reterr, -r, "loop", "%s", strerror(-r)); /* r says it already */
        }
        notify_fini(&notify);
        admin_free(admin);
        apply_free(s->apply);
        return r;
}

int command_serve(const struct host *h, int argc, char **argv)
{
        static const char help[] = "usage: gatehouse-system serve\n"
                                   "Answers gatectl system on /run/gatehouse/system.sock: status, apply, confirm, cancel, show.\n"
                                   "What was applied and not confirmed in time is taken back.  SIGTERM ends it.\n";
        struct err e = {0};
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        if (argc != 1) {
                fputs(help, stderr);
                return COMMAND_USAGE;
        }
        signal(SIGPIPE, SIG_IGN);
        struct serve s = {.h = h, .loop = loop_new()};
        if (!s.loop)
                return command_fail(&(struct err){.place = "loop", .msg = "cannot make an event loop"});
        s.started_ms = loop_now_ms(s.loop);
        int r = run(&s, &e);
        loop_free(s.loop);
        return r < 0 ? command_fail(&e) : COMMAND_OK;
}
