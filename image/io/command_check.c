/* image/io/command_check.c - `gatehouse-system check FILE`, and what all commands share: help and errors. */
#include "lib/base.h"
#include "image/io/commands.h"
#include "image/io/config_load.h"

int command_fail(const struct err *e)
{
        fprintf(stderr, "gatehouse-system: %s%s%s\n", e->place, *e->place ? ": " : "", e->msg);
        return COMMAND_FAILED;
}

bool command_help(int argc, char **argv, const char *text)
{
        bool asked = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
        if (asked)
                fputs(text, stdout);
        return asked;
}

int command_check(const struct host *h, int argc, char **argv)
{
        static const char help[] = "usage: gatehouse-system check FILE\n"
                                   "Validates a gatehouse.cfg and says what it makes of the box.  Touches nothing.\n"
                                   "Exit status: 0 good, 1 refused (file:line: setting: why), 2 used wrongly.\n";
        struct config *c;
        struct err e = {0};
        (void)h; /* the file is named as it is: any machine may check it */
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        if (argc != 2) {
                fputs(help, stderr);
                return COMMAND_USAGE;
        }
        if (config_load(argv[1], &c, &e) < 0)
                return command_fail(&e);
        printf("%s: good: %s, %s, %zu data NICs, %zu shards in %zu pools\n", argv[1], c->name, config_role_names[c->role],
               c->n_data, config_shards(c), c->n_groups);
        config_free(c);
        return COMMAND_OK;
}
