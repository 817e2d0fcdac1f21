/* ctl/ask.h - questions to the daemons of one appliance, answers as parsed JSON.  Thread rule: single-threaded program. */
#pragma once
#include "ctl/commands.h"

#include <jansson.h>

#define AGENT_SOCKET "agent-admin"
/* Asks RUN_DIR/NAME.sock.  0: *ret is the caller's (json_decref).  Else -errno and *reterr. */
int ask_daemon(const struct ctl *c, const char *name, const char *query, const char *const *argv, size_t argc, json_t **ret,
               struct err *reterr) MUST_USE;
/* Names (without .sock) of all admin sockets in RUN_DIR, sorted; the agent's control socket "agent" is not one.
 * *ret and its strings are the caller's: names_free. */
int ask_names(const struct ctl *c, char ***ret, size_t *ret_n, struct err *reterr) MUST_USE;
void names_free(char **names, size_t n);
void json_print(const json_t *j); /* indented, to stdout */
const char *json_text(const json_t *object, const char *key);          /* "" when absent or no string */
const char *json_number_text(const json_t *object, const char *key, char buf[24]); /* "" when absent */
