/* lib/io/agents.h - the agents a data plane dials, as its settings name them.  Layer: lib/io.
 *   control = { agents = [ "unix:/run/gatehouse/agent.sock", "tls:192.0.2.5:7443" ]; tls = { certificate; key; ca; }; ... }
 * In this order, the first that answers; tls is needed when one of them is another box. */
#pragma once
#include "lib/core/control_addr.h"
#include "lib/io/credentials.h"

#define AGENTS_MAX 8 /* a data plane has one agent and perhaps a second one to turn to */
struct agents_conf {
        struct control_addr at[AGENTS_MAX];
        size_t n; /* 0 = none: last known good only */
        bool tls; /* one of them at least */
        struct credentials_conf credentials;
};
void agents_conf_read(const struct conf_group *control, struct agents_conf *ret) NONNULL(1, 2); /* errors are conf_done's */
/* Are the credentials there, and ours?  0, or -errno with the file as place.  For --check. */
int agents_conf_check(const struct agents_conf *a, enum identity_role role, const char *pool, const char *name, struct err *reterr)
        NONNULL(1, 4) MUST_USE;
/* Our name as certificates carry it: 0, or -EINVAL with what is wrong with it. */
int agents_identity(enum identity_role role, const char *pool, const char *name, struct identity *ret, struct err *reterr)
        NONNULL(3, 4) MUST_USE;
