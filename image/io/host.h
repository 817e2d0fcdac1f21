/* image/io/host.h - the box a command works on: its root directory and the programs on it.  Layer: image/io.
 * Thread rule: written by main before a command runs, then read-only.
 * A root other than "" serves the build of the image and tests: every path of README.md is then below it, and what would
 * move the running system (systemctl) is the program given with --systemctl, or not done when that is "". */
#pragma once
#include "lib/base.h"

#define HOST_PATH_MAX 512
struct host {
        const char *root;      /* "" = this system */
        const char *daemons;   /* directory of l4lb, l7gw, gatehouse-agent */
        const char *systemctl; /* program; "" = none */
        const char *creds;     /* systemd-creds, which speaks to the TPM; "" or NULL = as if there were no TPM */
};

/* root + path (absolute); longer than HOST_PATH_MAX is a bug of the caller: paths are ours.  Returns buf. */
const char *host_path(const struct host *h, char buf[HOST_PATH_MAX], const char *fmt, ...) NONNULL(1, 2, 3) PRINTF(3, 4);
/* Runs a program without a shell, stdin from /dev/null; its output (both streams, at most n - 1 bytes, NUL-terminated) goes
 * to out, or to ours when out is NULL.  The exit status, 128 + signal, or -errno when it cannot be started or outlives
 * timeout_ms (then it is killed: -ETIMEDOUT). */
int host_run(const char *const *argv, unsigned timeout_ms, char *out, size_t n) NONNULL(1) MUST_USE;
/* systemctl VERB UNIT...: 0, or -errno and *reterr with what it said.  args ends with NULL. */
int host_systemctl(const struct host *h, const char *const *args, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
