/* ctl/main.c - gatectl, the operator's command: options, one function per command, nothing else.
 * It speaks to the daemons' admin sockets (lib/io/admin.h) and reads manifests with the agent's own decoder. */
#include "lib/base.h"

#include "ctl/commands.h"

#include <getopt.h>

static void usage(FILE *f)
{
        fprintf(f, "usage: gatectl [-d RUN_DIR] [-o table|json] [-t MS] COMMAND\n"
                   "\n"
                   "  status              every daemon of this appliance: generation, connections, endpoints' health;\n"
                   "                      exit status 0 when all answer and serve the same configuration\n"
                   "  get gateways        Gateways as the agent sees them: addresses, pool, conditions\n"
                   "  get routes          routes and their parents' conditions\n"
                   "  check DIR           validate a directory of manifests; touches nothing, needs no daemon\n"
                   "  trace request [METHOD] URL [NAME:VALUE...]\n"
                   "                      where an HTTP request would go, and why: listener, routes asked, backends\n"
                   "  metrics NAME        Prometheus text of one daemon (its socket's name without .sock)\n"
                   "  system COMMAND      the box itself: status, apply, confirm, cancel, show, diff, update, rollback, reset;\n"
                   "                      system --help lists them\n"
                   "  pki COMMAND         certificates for control sockets between boxes: init, issue, show; pki --help lists them\n"
                   "  ask NAME QUERY [ARG...]   any admin query, raw JSON; QUERY help lists them\n"
                   "\n"
                   "  -d, --run-dir DIR   where the admin sockets are (default /run/gatehouse)\n"
                   "  -o, --output KIND   table (default) or json\n"
                   "  -t, --timeout MS    per question (default 2000)\n"
                   "  -h, --help    -V, --version\n");
}

static int dispatch(const struct ctl *c, int argc, char **argv)
{
        if (argc == 1 && strcmp(argv[0], "status") == 0)
                return ctl_status(c);
        if (argc == 2 && strcmp(argv[0], "get") == 0 && strcmp(argv[1], "gateways") == 0)
                return ctl_gateways(c);
        if (argc == 2 && strcmp(argv[0], "get") == 0 && strcmp(argv[1], "routes") == 0)
                return ctl_routes(c);
        if (argc == 2 && strcmp(argv[0], "check") == 0)
                return ctl_check(c, argv[1]);
        if (argc == 2 && strcmp(argv[0], "metrics") == 0)
                return ctl_metrics(c, argv[1]);
        if (argc >= 3 && strcmp(argv[0], "trace") == 0 && strcmp(argv[1], "request") == 0)
                return ctl_trace(c, (const char *const *)argv + 2, (size_t)argc - 2);
        if (argc >= 3 && strcmp(argv[0], "ask") == 0)
                return ctl_ask(c, argv[1], argv[2], (const char *const *)argv + 3, (size_t)argc - 3);
        usage(stderr);
        return CTL_USAGE;
}

/* Where the command is: behind the options.  What follows `system` or `pki` has options of its own. */
static int command_at(int argc, char **argv)
{
        int i = 1;
        while (i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0) {
                bool takes_next = (strlen(argv[i]) == 2 && strchr("dot", argv[i][1])) || strcmp(argv[i], "--run-dir") == 0 ||
                                  strcmp(argv[i], "--output") == 0 || strcmp(argv[i], "--timeout") == 0;
                i += takes_next ? 2 : 1;
        }
        return i;
}

int main(int argc, char **argv)
{
        int at = command_at(argc, argv), n_own = 0;
        char **own = NULL; /* from the command on, when its options are its own */
        if (at < argc && (strcmp(argv[at], "system") == 0 || strcmp(argv[at], "pki") == 0)) {
                own = argv + at;
                n_own = argc - at;
                argc = at + 1;
        }
        static const struct option options[] = {
                { "run-dir", required_argument, NULL, 'd' }, { "output", required_argument, NULL, 'o' },
                { "timeout", required_argument, NULL, 't' }, { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'V' },       { 0 },
        };
        struct ctl c = { .run_dir = "/run/gatehouse", .timeout_ms = 2000 };
        /* Options may stand before or after the command, but what follows `ask` is passed on as it is. */
        for (int o; (o = getopt_long(argc, argv, "d:o:t:hV", options, NULL)) != -1;) {
                switch (o) {
                case 'd':
                        c.run_dir = optarg;
                        break;
                case 'o':
                        c.json = strcmp(optarg, "json") == 0;
                        if (!c.json && strcmp(optarg, "table") != 0) {
                                fprintf(stderr, "gatectl: -o takes table or json, not %s\n", optarg);
                                return CTL_USAGE;
                        }
                        break;
                case 't': {
                        char *end;
                        unsigned long v = strtoul(optarg, &end, 10);
                        if (*end || v == 0 || v > 600000) {
                                fprintf(stderr, "gatectl: -t takes milliseconds, 1 to 600000, not %s\n", optarg);
                                return CTL_USAGE;
                        }
                        c.timeout_ms = (unsigned)v;
                        break;
                }
                case 'h':
                        usage(stdout);
                        return 0;
                case 'V':
                        printf("gatectl %s\n", GH_VERSION);
                        return 0;
                default:
                        usage(stderr);
                        return CTL_USAGE;
                }
        }
        if (own && strcmp(own[0], "pki") == 0)
                return ctl_pki(n_own, own);
        if (own)
                return ctl_system(&c, n_own - 1, own + 1);
        return dispatch(&c, argc - optind, argv + optind);
}
