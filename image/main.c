/* image/main.c - gatehouse-system: options before the command, then the command's own function. */
#include "lib/base.h"
#include "image/io/commands.h"
#include "lib/io/log.h"
#include "lib/io/random.h"

#include <getopt.h>

static const struct {
        const char *name;
        command_fn *fn;
        const char *args, *what;
} commands[] = {
#define C(name, fn, args, what) {name, fn, args, what},
        COMMANDS(C)
#undef C
};

static void usage(FILE *f)
{
        fputs("usage: gatehouse-system [--root DIR] [--daemons DIR] [--systemctl PROGRAM] [--creds PROGRAM] COMMAND [ARGUMENT...]\n"
              "The appliance's own program: configuration, data ports, updates, console.\n"
              "\n",
              f);
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                fprintf(f, "  %-10s %-18s %s\n", commands[i].name, commands[i].args, commands[i].what);
        fputs("\n"
              "      --root DIR           work on the system below DIR; nothing is started or reloaded\n"
              "      --daemons DIR        where l4lb, l7gw and gatehouse-agent are (default /usr/lib/gatehouse)\n"
              "      --systemctl PROGRAM  what starts and reloads units (default /usr/bin/systemctl; none with --root)\n"
              "      --creds PROGRAM      what seals to the TPM (default /usr/bin/systemd-creds; none with --root)\n"
              "      --help, --version    COMMAND --help explains a command\n",
              f);
}

int main(int argc, char **argv)
{
        enum { OPT_ROOT = 256, OPT_DAEMONS, OPT_SYSTEMCTL, OPT_CREDS, OPT_VERSION };
        static const struct option options[] = {
                {"root", required_argument, NULL, OPT_ROOT},
                {"daemons", required_argument, NULL, OPT_DAEMONS},
                {"systemctl", required_argument, NULL, OPT_SYSTEMCTL},
                {"creds", required_argument, NULL, OPT_CREDS},
                {"help", no_argument, NULL, 'h'},
                {"version", no_argument, NULL, OPT_VERSION},
                {NULL, 0, NULL, 0},
        };
        struct host h = {.root = "", .daemons = "/usr/lib/gatehouse"};
        map_seed_random();
        log_init("system", LOG_INFO);
        for (int o; (o = getopt_long(argc, argv, "+h", options, NULL)) != -1;) {
                switch (o) {
                case OPT_ROOT:
                        h.root = strcmp(optarg, "/") == 0 ? "" : optarg;
                        break;
                case OPT_DAEMONS:
                        h.daemons = optarg;
                        break;
                case OPT_SYSTEMCTL:
                        h.systemctl = optarg;
                        break;
                case OPT_CREDS:
                        h.creds = optarg;
                        break;
                case 'h':
                        usage(stdout);
                        return COMMAND_OK;
                case OPT_VERSION:
                        puts("gatehouse-system " GH_VERSION);
                        return COMMAND_OK;
                default:
                        usage(stderr);
                        return COMMAND_USAGE;
                }
        }
        if (!h.systemctl)
                h.systemctl = *h.root ? "" : "/usr/bin/systemctl";
        if (!h.creds)
                h.creds = *h.root ? "" : "/usr/bin/systemd-creds";
        argc -= optind;
        argv += optind;
        optind = 1;
        for (size_t i = 0; argc > 0 && i < ARRAY_SIZE(commands); i++)
                if (strcmp(argv[0], commands[i].name) == 0)
                        return commands[i].fn(&h, argc, argv);
        usage(stderr);
        return COMMAND_USAGE;
}
