/* l4lb/main.c - wires: options, settings, EAL, control thread. */
#include "lib/base.h"
#include "l4lb/io/control.h"
#include "l4lb/io/eal.h"
#include "lib/io/random.h"

#include <getopt.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static const char usage[] = "Usage: l4lb -c FILE [--check]\n"
                            "The layer-4 front tier: spreads connections to VIPs over a pool of shards.\n"
                            "\n"
                            "  -c, --config FILE  configuration (see configs/l4lb.cfg)\n"
                            "      --check        validate the configuration and exit: 0 good, 1 bad\n"
                            "      --help         this text\n"
                            "      --version      print the version\n"
                            "\n"
                            "Runs in the foreground and logs to stderr.  SIGTERM or SIGINT ends it.\n";

struct options {
        const char *config;
        bool check;
};

/* -1 = go on, else the exit status. */
static int options_read(int argc, char **argv, struct options *ret)
{
        static const struct option longs[] = {{"config", required_argument, NULL, 'c'},
                                              {"check", no_argument, NULL, 'k'},
                                              {"help", no_argument, NULL, 'h'},
                                              {"version", no_argument, NULL, 'v'},
                                              {NULL, 0, NULL, 0}};
        for (int o; (o = getopt_long(argc, argv, "c:h", longs, NULL)) != -1;) {
                switch (o) {
                case 'c':
                        ret->config = optarg;
                        break;
                case 'k':
                        ret->check = true;
                        break;
                case 'h':
                        fputs(usage, stdout);
                        return 0;
                case 'v':
                        puts("l4lb " GH_VERSION);
                        return 0;
                default:
                        fputs(usage, stderr);
                        return 1;
                }
        }
        if (!ret->config || optind != argc) {
                fputs(usage, stderr);
                return 1;
        }
        return -1;
}

static void on_signal(void *arg, int signo)
{
        log_info("stopping", "signal=%d", signo);
        loop_stop(arg);
}

static int fatal(const char *event, const struct err *e)
{
        log_error(event, "place=%s reason=%s", LOG_ESC(e->place), LOG_ESC(e->msg));
        return 1;
}

static int serve(const struct settings *s, struct loop *l)
{
        static const int signals[] = {SIGTERM, SIGINT};
        struct control *c = NULL;
        struct err e = {0};
        if (loop_signals(l, signals, ARRAY_SIZE(signals), on_signal, l) < 0)
                return fatal("start_failed", &(struct err){"signals", "cannot handle signals"});
        signal(SIGPIPE, SIG_IGN);
        if (setpriority(PRIO_PROCESS, 0, s->nice) < 0) /* before EAL: its threads inherit it */
                log_warn("priority_not_set", "nice=%d reason=%s", s->nice, LOG_ESC(strerror(errno)));
        if (eal_init(s, &e) < 0)
                return fatal("start_failed", &e);
        int r = control_new(s, l, &c, &e);
        if (r == 0)
                r = control_run(c, &e);
        if (r < 0)
                (void)fatal("stopped", &e); /* said; clean up all the same */
        control_free(c);
        eal_fini();
        if (r == 0)
                log_info("stopped", "name=%s", s->name);
        return r < 0;
}

int main(int argc, char **argv)
{
        static struct settings s;
        struct options o = {0};
        struct err e = {0};
        map_seed_random();
        int r = options_read(argc, argv, &o);
        if (r >= 0)
                return r;
        log_init("l4lb", LOG_INFO);
        if (settings_load(o.config, &s, &e) < 0 || control_check(&s, &e) < 0)
                return fatal("config_refused", &e);
        if (o.check)
                return agents_conf_check(&s.agents, IDENTITY_L4, NULL, s.name, &e) < 0 ? fatal("config_refused", &e) : 0;
        log_init("l4lb", s.log_level);
        struct loop *l = loop_new();
        if (!l)
                return fatal("start_failed", &(struct err){"loop", "cannot make an event loop"});
        r = serve(&s, l);
        loop_free(l);
        return r;
}
