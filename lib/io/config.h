/* lib/io/config.h - daemon configuration files (libconfig): typed, bounded, strict.  Layer: lib/io.
 * Every getter names file:line on error; conf_done() fails on any setting nobody asked for.  Thread rule: one thread.
 * Errors are sticky: the first one is kept, later getters return the default; check once with conf_done. */
#pragma once
#include "lib/core/ipaddr.h"

struct conf;          /* an open file */
struct conf_group;    /* one group { ... } in it; borrowed from conf */

int conf_open(const char *path, struct conf **ret, struct err *reterr) MUST_USE;
/* The same from memory; place stands for the path in messages. */
int conf_open_text(struct span text, const char *place, struct conf **ret, struct err *reterr) MUST_USE;
void conf_close(struct conf *c);
const struct conf_group *conf_root(struct conf *c);
int conf_done(struct conf *c, struct err *reterr) MUST_USE; /* first error, or an unknown setting */

/* Required getters fail when absent; _or getters take a default.  Strings are borrowed until conf_close. */
const char *conf_str(const struct conf_group *g, const char *key);
const char *conf_str_or(const struct conf_group *g, const char *key, const char *def);
int64_t conf_int(const struct conf_group *g, const char *key, int64_t min, int64_t max);
int64_t conf_int_or(const struct conf_group *g, const char *key, int64_t min, int64_t max, int64_t def);
bool conf_bool_or(const struct conf_group *g, const char *key, bool def);
bool conf_addr(const struct conf_group *g, const char *key, struct ipaddr *ret);      /* required */
bool conf_addr_or_unset(const struct conf_group *g, const char *key, struct ipaddr *ret); /* absent: ret->af = 0 */
const struct conf_group *conf_sub(const struct conf_group *g, const char *key);         /* required group */
const struct conf_group *conf_sub_or_null(const struct conf_group *g, const char *key);
/* Lists of groups `key = ( {...}, {...} )` and arrays/lists of strings `key = [ "a", "b" ]`; absent = length 0. */
size_t conf_list_len(const struct conf_group *g, const char *key);
const struct conf_group *conf_list_group(const struct conf_group *g, const char *key, size_t i);
const char *conf_list_str(const struct conf_group *g, const char *key, size_t i);
/* For checks of the caller's own: records file:line of key with a message. */
void conf_error(const struct conf_group *g, const char *key, const char *fmt, ...) PRINTF(3, 4);
