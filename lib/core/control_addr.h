/* lib/core/control_addr.h - where an agent listens on the control socket, as the settings write it.  Layer: lib/core, pure.
 *   unix:/run/gatehouse/agent.sock      tls:192.0.2.5:7443      tls:[2001:db8::5]:7443
 * Addresses, not names: a data plane must find its agent before and without any name service. */
#pragma once
#include "lib/core/ipaddr.h"

#define CONTROL_PATH_MAX 108 /* sun_path, with its NUL */
#define CONTROL_ADDR_STR_MAX (CONTROL_PATH_MAX + 8)
enum control_addr_kind { CONTROL_UNIX, CONTROL_TLS };
struct control_addr {
        enum control_addr_kind kind;
        char path[CONTROL_PATH_MAX]; /* unix */
        struct ipaddr ip;            /* tls */
        uint16_t port;
};
/* 0, or -EINVAL with what is expected in *ret_why (a literal). */
int control_addr_parse(struct span text, struct control_addr *ret, const char **ret_why) NONNULL(2, 3) MUST_USE;
/* ADDRESS:PORT alone, as it stands behind "tls:". */
int control_addr_parse_ip(struct span text, struct control_addr *ret, const char **ret_why) NONNULL(2, 3) MUST_USE;
const char *control_addr_str(const struct control_addr *a, char ret[CONTROL_ADDR_STR_MAX]) NONNULL(1, 2);
