/* l7gw/core/h1_fields.h - field lines of an HTTP/1.1 head and the normal form made of them.  Layer: l7gw/core, pure.
 * Private to the h1 files, but for what h2_message must judge alike.  Thread rule: one thread. */
#pragma once
#include "l7gw/core/h1.h"

/* Parses the field lines [p, end), which end with the CRLF of the last one; lowers names in place.
 * Fills m->fields with every line as received. */
enum h1_rc h1_fields_parse(uint8_t *p, uint8_t *end, const struct h1_limits *lim, struct msg *m) NONNULL(1, 2, 3, 4) MUST_USE;
/* Takes framing and connection handling out of m->fields into m (requirements 7-10, 20, 21, 29, 33, 35). */
enum h1_rc h1_request_normalise(struct msg *m) NONNULL(1) MUST_USE;
enum h1_rc h1_response_normalise(struct msg *m, struct span method) NONNULL(1) MUST_USE;
/* True for a name that may not come in a trailer section, or may not be believed there (RFC 9110 6.5.1). */
bool h1_trailer_forbidden(struct span name);
/* A name that becomes one of ours when a gateway-interface server turns "-" and "_" into the same (requirement 31). */
bool h1_name_is_twin(struct span name);
