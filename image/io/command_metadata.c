/* image/io/command_metadata.c - `gatehouse-system metadata`: once the network is there, asks the cloud's metadata service and
 * hands what is new to serve.  Not before: a box that has a configuration serves without waiting for a network. */
#include "lib/base.h"
#include "image/io/adopt.h"
#include "image/io/commands.h"
#include "image/io/source.h"
#include "lib/io/admin.h"
#include "lib/io/log.h"

#include <time.h>
#include <unistd.h>

#define SERVICE "http://169.254.169.254"
#define PAUSE_S 2
#define TRIES 45 /* no address before DHCP is through: a switch may take 30 s to open a port */
#define ANSWER_MS 60000

/* Until the service answers, with pauses; -EHOSTUNREACH when none ever does. */
static int ask(const char *base, unsigned tries, struct seed_copy *found, struct err *reterr)
{
        int r = -EHOSTUNREACH;
        for (unsigned i = 0; i < tries && r == -EHOSTUNREACH; i++) {
                if (i)
                        sleep(PAUSE_S);
                r = source_metadata(base, found, reterr);
        }
        return r;
}

static int hand_over(const struct host *h, const struct seed_copy *found, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        CLEANUP(freep) char *reply = NULL;
        CLEANUP(freep) char *text = strndup((const char *)found->cfg.p, found->cfg.n);
        if (!text)
                return err_set(reterr, ENOMEM, "", "out of memory");
        const char *args[] = {source_names[found->source], "gatehouse.cfg", text};
        int r = admin_ask(host_path(h, path, "/run/gatehouse/system.sock"), "adopt", args, ARRAY_SIZE(args), ANSWER_MS, &reply, reterr);
        if (r == 0)
                log_info("handed_over", "source=%s reply=%s", source_names[found->source], LOG_ESC(reply));
        return r;
}

int command_metadata(const struct host *h, int argc, char **argv)
{
        static const char help[] = "usage: gatehouse-system metadata [URL]\n"
                                   "Asks the metadata service (EC2 by IMDSv2, then GCE; URL instead of " SERVICE ")\n"
                                   "for user data that begins with \"# gatehouse.cfg\", and hands it to serve when it is new.\n"
                                   "Exit status: 0 also when there is no such service or no such data.\n";
        struct seed_copy found;
        struct err e = {0};
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        if (argc > 2) {
                fputs(help, stderr);
                return COMMAND_USAGE;
        }
        seed_copy_init(&found);
        int r = ask(argc == 2 ? argv[1] : SERVICE, argc == 2 ? 1 : TRIES, &found, &e);
        if (r == 0)
                r = hand_over(h, &found, &e);
        else
                log_info("no_metadata", "place=%s reason=%s", LOG_ESC(e.place), LOG_ESC(e.msg));
        seed_copy_fini(&found);
        return r < 0 && r != -EHOSTUNREACH && r != -ENOENT ? command_fail(&e) : COMMAND_OK;
}
