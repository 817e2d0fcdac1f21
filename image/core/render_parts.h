/* image/core/render_parts.h - the parts render_all is made of; nobody else includes this.  Layer: image/core, pure. */
#pragma once
#include "image/core/render.h"

int render_daemons(const struct render *r, struct files *out, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
void render_network(const struct render *r, struct files *out) NONNULL(1, 2);
void render_services(const struct render *r, struct files *out) NONNULL(1, 2);

/* "10.0.0.1/24" and "10.0.0.1" in one of a few rotating buffers would be shared state: the caller brings it. */
#define PREFIX_STR_MAX (IPADDR_STR_MAX + 4)
const char *prefix_str(const struct ipprefix *p, char ret[PREFIX_STR_MAX]) NONNULL(1, 2);
const char *network_str(const struct ipprefix *p, char ret[PREFIX_STR_MAX]) NONNULL(1, 2); /* host bits cleared */
/* `, "x"` and such: every element of a libconfig array of strings, escaped. */
void cfg_str(struct buf *b, const char *s) NONNULL(1, 2);                            /* "s" with \" and \\ */
void cfg_strings(struct buf *b, const char *const *v, size_t n) NONNULL(1);          /* [ "a", "b" ] */
void cfg_prefixes(struct buf *b, const struct ipprefix *v, size_t n) NONNULL(1);     /* [ "10.0.0.1/24" ] */
