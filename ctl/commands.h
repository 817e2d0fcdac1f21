/* ctl/commands.h - gatectl's commands.  Each returns the process's exit status.  Thread rule: single-threaded program. */
#pragma once
#include "lib/base.h"

enum { CTL_OK = 0, CTL_FAILED = 1, CTL_USAGE = 2 };
struct ctl {
        const char *run_dir;
        unsigned timeout_ms;
        bool json;
};

int ctl_status(const struct ctl *c);
int ctl_gateways(const struct ctl *c);
int ctl_routes(const struct ctl *c);
int ctl_check(const struct ctl *c, const char *dir);
/* Where a request would go: asked of every shard, which answer the same or tell that they do not. */
int ctl_trace(const struct ctl *c, const char *const *argv, size_t argc);
int ctl_metrics(const struct ctl *c, const char *name);
int ctl_system(const struct ctl *c, int argc, char **argv); /* argv[0]: what follows `system` */
int ctl_pki(int argc, char **argv); /* argv[0] is `pki` itself */
int ctl_ask(const struct ctl *c, const char *name, const char *query, const char *const *argv, size_t argc);
