/* agent/main.c - options and wiring of gatehouse-agent. */
#include "lib/base.h"
#include "agent/io/kubeconfig.h"
#include "agent/io/pipeline.h"
#include "agent/io/queries.h"
#include "agent/io/render_dir.h"
#include "lib/io/notify.h"
#include "lib/io/random.h"
#include <getopt.h>
#include <signal.h>

static const char usage[] =
        "usage: gatehouse-agent -c FILE [--check | --render DIR]\n"
        "Translates Gateway API objects into the data planes' model and keeps l4lb and l7gw programmed.\n"
        "  -c, --config FILE   configuration (configs/agent.cfg explains every setting)\n"
        "      --check         validate the configuration and exit\n"
        "      --render DIR    translate the manifests of DIR with this configuration, print model and statuses, exit\n"
        "      --help, --version\n"
        "SIGTERM and SIGINT end it; data planes go on serving.\n";

struct running {
        struct loop *loop;
        struct notify notify;
};

static void on_signal(void *arg, int signo)
{
        struct running *run = arg;
        log_info("stopping", "signal=%d", signo);
        notify_stopping(&run->notify);
        loop_stop(run->loop);
}

static int fail(const struct err *e)
{
        log_error("start_failed", "place=%s why=%s", LOG_ESC(e->place), LOG_ESC(e->msg));
        return 1;
}

/* What --check looks at beyond the file itself: credentials, which must be there anyhow.  Here those of the control socket, */
static int check_tls(const struct settings *conf)
{
        const struct identity self = { .role = IDENTITY_AGENT };
        struct err e = { 0 };
        if (conf->push.n_tls == 0)
                return 0;
        struct credentials *c = credentials_new(&conf->push.credentials, &self);
        BUG_ON(!c); /* boot */
        int r = credentials_refresh(c, &e);
        credentials_free(c);
        return r < 0 ? fail(&e) : 0;
}

/* and here those of the source. */
static int check_source(const struct settings *conf)
{
        struct kubeconfig *k = NULL;
        struct err e = { 0 };
        if (conf->kubernetes && kube_credentials(&conf->kube, &k, &e) < 0)
                return fail(&e);
        kubeconfig_free(k);
        return 0;
}

static int run(const struct settings *conf)
{
        static const int signals[] = { SIGTERM, SIGINT };
        struct err e = { 0 };
        struct pipeline *p = NULL;
        struct admin *admin = NULL;
        struct loop *l = loop_new();
        if (!l)
                return fail(&(struct err){ .place = "loop", .msg = "cannot make an event loop" });
        struct running running = { .loop = l };
        notify_init(&running.notify, l, NULL, NULL);
        int r = loop_signals(l, signals, ARRAY_SIZE(signals), on_signal, &running);
        if (r < 0)
                (void)err_set(&e, -r, "signals", "%s", strerror(-r)); /* r says it already */
        agent_queries_start();
        if (r == 0)
                r = pipeline_new(l, conf, &p, &e);
        if (r == 0)
                r = admin_new(l, conf->admin, conf->push.uids, conf->push.n_uids, agent_queries, p, &admin, &e);
        if (r == 0) {
                struct pipeline_view v;
                pipeline_view(p, &v);
                log_info("ready", "source=%s socket=%s", LOG_ESC(v.source->name), LOG_ESC(conf->push.socket));
                notify_ready(&running.notify, "source %s", v.source->name);
                r = loop_run(l);
                if (r < 0)
                        (void)err_set(&e, -r, "loop", "%s", strerror(-r)); /* r says it already */
        }
        int rc = r < 0 ? fail(&e) : 0;
        admin_free(admin);
        pipeline_free(p);
        notify_fini(&running.notify);
        loop_free(l);
        return rc;
}

int main(int argc, char **argv)
{
        enum { OPT_CHECK = 256, OPT_RENDER, OPT_HELP, OPT_VERSION };
        static const struct option options[] = {
                { "config", required_argument, NULL, 'c' },     { "check", no_argument, NULL, OPT_CHECK },
                { "render", required_argument, NULL, OPT_RENDER }, { "help", no_argument, NULL, OPT_HELP },
                { "version", no_argument, NULL, OPT_VERSION },  { NULL, 0, NULL, 0 },
        };
        const char *config = NULL, *render = NULL;
        bool check = false;
        int c;
        map_seed_random();
        while ((c = getopt_long(argc, argv, "c:", options, NULL)) >= 0) {
                switch (c) {
                case 'c':
                        config = optarg;
                        break;
                case OPT_CHECK:
                        check = true;
                        break;
                case OPT_RENDER:
                        render = optarg;
                        break;
                case OPT_HELP:
                        fputs(usage, stdout);
                        return 0;
                case OPT_VERSION:
                        puts("gatehouse-agent " GH_VERSION);
                        return 0;
                default:
                        fputs(usage, stderr);
                        return 2;
                }
        }
        if (!config || optind < argc) {
                fputs(usage, stderr);
                return 2;
        }
        struct settings *conf;
        struct err e = { 0 };
        log_init("agent", LOG_INFO);
        if (settings_load(config, &conf, &e) < 0)
                return fail(&e);
        log_init("agent", conf->log_level);
        int rc = check ? check_tls(conf) | check_source(conf) : render ? render_dir(render, conf, stdout) : run(conf);
        settings_free(conf);
        return rc;
}
