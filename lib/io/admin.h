/* lib/io/admin.h - a daemon's admin socket: gatectl asks QUERY{name, args}, the daemon answers REPLY{json}.
 * Layer: lib/io.  Thread rule: the loop's thread.  Same framing, credentials and limits as the control socket.
 * Every daemon offers at least: "status" (JSON), "metrics" (JSON string holding Prometheus text), "help". */
#pragma once
#include "lib/core/json.h"
#include "lib/io/transport.h"

#define ADMIN_MAX_REPLY_BYTES (64u * 1024 * 1024)
#define ADMIN_MAX_CONNECTIONS 64
struct admin;
struct admin_query {
        const char *name, *help;
        /* Writes one JSON value; <0 with *reterr for an error reply. */
        int (*fn)(void *arg, char *const *argv, size_t argc, struct json *out, struct err *reterr);
};
/* queries: array ended by name == NULL, borrowed. */
int admin_new(struct loop *l, const char *path, const uint32_t *uids, size_t n_uids, const struct admin_query *queries,
              void *arg, struct admin **ret, struct err *reterr) MUST_USE;
void admin_free(struct admin *a);
/* Client side, blocking with a deadline: for gatectl and tests.  *ret_json is malloc'd. */
int admin_ask(const char *path, const char *name, const char *const *argv, size_t argc, unsigned timeout_ms,
              char **ret_json, struct err *reterr) MUST_USE;
