/* l7gw/core/h2_guard.h - frames that are wrong because of what the client said before, and that nghttp2 lets pass because it
 * forgets closed streams and ignores priorities.  Layer: l7gw/core, pure.  Thread rule: one worker.
 * It sees the connection's bytes before nghttp2 does, wherever they are cut, and remembers the newest H2_GUARD_STREAMS streams:
 *   DATA or HEADERS on a stream that the client itself has reset, or has ended and that is gone: STREAM_CLOSED (RFC 9113 5.1)
 *   HEADERS on a stream skipped earlier: PROTOCOL_ERROR (5.1.1)
 *   PRIORITY on stream 0, or on a stream that is to depend on itself: PROTOCOL_ERROR (6.3; RFC 7540 5.3.1)
 * What still comes for a stream that we have reset is no error: it was on its way (5.4.2). */
#pragma once
#include "lib/base.h"

#define H2_GUARD_STREAMS 256 /* more than may be open and on their way at once */
struct h2_guard {
        uint32_t newest; /* stream */
        uint32_t useless; /* frames that nghttp2 drops unseen: PRIORITY, unknown types; the caller takes them */
        struct {
                uint32_t half_id : 30, ended : 1, reset : 1; /* id / 2: all are odd */
        } streams[H2_GUARD_STREAMS];
        uint8_t bytes[14]; /* of a frame: its header and, of PRIORITY and HEADERS, the dependency */
        uint32_t have, left; /* bytes of them; payload still to come */
        uint32_t skip;       /* of the connection preface */
};
void h2_guard_init(struct h2_guard *g) NONNULL(1);
/* Returns how many bytes of in are well; fewer than in.n: *ret_code is the HTTP/2 error of the frame behind them.
 * is_open(arg, id): does the stream still exist? */
size_t h2_guard_check(struct h2_guard *g, struct span in, bool (*is_open)(void *arg, uint32_t id), void *arg, uint32_t *ret_code)
        NONNULL(1, 3, 5) MUST_USE;
