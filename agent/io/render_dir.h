/* agent/io/render_dir.h - one directory of manifests -> model and statuses as text.  Layer: agent/io.
 * What golden tests compare and what `gatehouse-agent --render DIR` prints. */
#pragma once
#include "agent/io/settings.h"
#include <stdio.h>

/* Translates s and appends a stable text form: each pool's manifest, the l4 manifest, then the statuses as they are with no
 * data plane connected, at time 0.  -errno with *reterr. */
int render_store(const struct store *s, const struct translate_conf *conf, const struct vip_grant *held, size_t n_held,
                 const struct quarantine *q, size_t n_q, struct buf *out, struct err *reterr) MUST_USE;
/* Loads path and prints; returns an exit status.  Errors go to the log. */
int render_dir(const char *path, const struct settings *conf, FILE *out);
