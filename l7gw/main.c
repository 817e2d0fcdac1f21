/* l7gw/main.c - options, start, run, stop. */
#include "lib/base.h"
#include "l7gw/io/control.h"
#include "lib/io/random.h"

#include <getopt.h>

static const char usage[] = "usage: l7gw -c FILE [--check]\n"
                            "  -c, --config FILE  configuration (see configs/l7gw.cfg)\n"
                            "      --check        check the configuration and exit\n"
                            "      --help         this text\n"
                            "      --version      the version\n"
                            "SIGTERM drains and exits; SIGHUP opens the access log again.\n";

static int check(const char *path)
{
        struct options o;
        struct err err;
        int r = options_load(path, &o, &err);
        if (r == 0) {
                r = agents_conf_check(&o.agents, IDENTITY_L7, o.pool, o.name, &err);
                options_fini(&o);
        }
        if (r < 0)
                fprintf(stderr, "l7gw: %s: %s\n", err.place, err.msg);
        else
                puts("configuration ok");
        return r < 0;
}

static int serve(const char *path)
{
        static struct control c;
        struct err err = { { 0 } };
        int r = control_start(&c, path, &err);
        if (r < 0)
                fprintf(stderr, "l7gw: %s: %s\n", err.place, err.msg);
        else
                r = control_run(&c);
        control_stop(&c);
        return r < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
        enum { OPT_CHECK = 256, OPT_HELP, OPT_VERSION };
        static const struct option longs[] = {
                { "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, OPT_CHECK },
                { "help", no_argument, NULL, OPT_HELP }, { "version", no_argument, NULL, OPT_VERSION }, { 0 },
        };
        const char *path = NULL;
        bool only_check = false;
        int o;
        map_seed_random();
        while ((o = getopt_long(argc, argv, "c:", longs, NULL)) != -1) {
                switch (o) {
                case 'c':
                        path = optarg;
                        break;
                case OPT_CHECK:
                        only_check = true;
                        break;
                case OPT_HELP:
                        fputs(usage, stdout);
                        return 0;
                case OPT_VERSION:
                        puts("l7gw " GH_VERSION);
                        return 0;
                default:
                        fputs(usage, stderr);
                        return 2;
                }
        }
        if (!path || optind != argc) {
                fputs(usage, stderr);
                return 2;
        }
        return only_check ? check(path) : serve(path);
}
