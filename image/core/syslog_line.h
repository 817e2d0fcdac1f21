/* image/core/syslog_line.h - what journald forwards (RFC 3164's old form) -> one line of RFC 5424.  Layer: image/core, pure.
 * Thread rule: any.  Never fails: what has no header becomes the message of a line with default values (RFC 5424, 6.2). */
#pragma once
#include "lib/base.h"

#define SYSLOG_LINE_MAX 2048 /* RFC 5424, 6.1: every receiver should take as much; the rest is cut */
/* in: "<30>Nov 23 06:31:43 l4lb[812]: text".  host: ours; timestamp: RFC 3339, of now: the one in the line has no year.
 * Returns the length of the line in ret, NUL-terminated; control characters of the message are blanks. */
size_t syslog_line(struct span in, const char *host, const char *timestamp, char ret[SYSLOG_LINE_MAX + 1]) NONNULL(2, 3, 4);
