/* image/io/config_read.h - the parts config_load is made of; nobody else includes this.  Layer: image/io.
 * Each reads its settings of root into c; what is wrong goes to the conf's first error. */
#pragma once
#include "image/core/config.h"
#include "lib/io/config.h"

const char *read_str(struct config *c, const struct conf_group *g, const char *key, const char *def) NONNULL(1, 2, 3, 4);
void read_name(struct config *c, const struct conf_group *g, const char *key, size_t max, const char **ret) NONNULL(1, 2, 3, 5);
/* An array of strings; NULL-free, at most max. */
size_t read_strings(struct config *c, const struct conf_group *g, const char *key, const char **ret, size_t max) NONNULL(1, 2, 3, 4);
size_t read_prefixes(const struct conf_group *g, const char *key, struct ipprefix *ret, size_t max, bool host_bits) NONNULL(1, 2, 3);
void read_prefix(const struct conf_group *g, const char *key, const char *text, bool host_bits, struct ipprefix *ret) NONNULL(1, 2, 3, 5);
void read_network(struct config *c, const struct conf_group *root) NONNULL(1, 2);  /* management, backend, data, routes, vip_pools */
void read_services(struct config *c, const struct conf_group *root) NONNULL(1, 2); /* ntp, dns, syslog, bgp, update, debug */
/* Roles l4 and shards: names and addresses of a group's shards; and, when all else was read, `control` and what fits together. */
void read_far_group(struct config *c, const struct conf_group *g, struct shard_group *s) NONNULL(1, 2, 3);
void read_far(struct config *c, const struct conf_group *root) NONNULL(1, 2);
