/* image/io/commands.h - what main dispatches to.  Layer: image/io.  Thread rule: one command per process, its main thread. */
#pragma once
#include "image/io/commands.tbl.h"
#include "image/io/host.h"

enum { COMMAND_OK = 0, COMMAND_FAILED = 1, COMMAND_USAGE = 2 };
/* argv[0] is the command's own name; getopt works on it as in a main (optind is 1). */
typedef int command_fn(const struct host *h, int argc, char **argv);
#define C(name, fn, args, what) command_fn fn;
COMMANDS(C)
#undef C

/* "place: message" on stderr; returns COMMAND_FAILED. */
int command_fail(const struct err *e) NONNULL(1);
/* True when argv[1] is --help or -h: text was printed. */
bool command_help(int argc, char **argv, const char *text) NONNULL(2, 3);
