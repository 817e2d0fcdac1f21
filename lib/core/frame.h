/* lib/core/frame.h - the control socket's frames: header, limits, resumable decoder.  Layer: lib/core, pure.
 *
 *   0        4      5       6        8          12         16         20
 *   | "GHC1" | type | flags | 0 (16) | len (32) | seq (32) | crc32c   | body: len bytes, one message of lib/control.proto |
 *
 * Big endian.  len <= FRAME_MAX_BODY; crc32c covers the first 16 bytes and the body.  A frame whose type is unknown is
 * skipped unless FRAME_CRITICAL is set.  We only receive that flag: it is for types that a later version may add, and no
 * type of this one needs it.  Thread rule: one thread per decoder. */
#pragma once
#include "lib/core/buf.h"

#define FRAME_HEADER_BYTES 20
#define FRAME_MAX_BODY (256u * 1024)
#define FRAME_CRITICAL 0x01 /* received only */
#define FRAME_MAX_MANIFEST_SECTIONS 65536
#define SECTION_CHUNK_BYTES (192u * 1024)
#define SECTION_MAX_BYTES (64u * 1024 * 1024)

#define FRAME_TYPES(F) /* F(ID, wire number); the message of that name in control.proto, SECTION: SectionChunk */ \
        F(HELLO, 1) F(WELCOME, 2) F(MANIFEST, 3) F(NEED, 4) F(SECTION, 5) F(PREPARED, 6) F(NACK, 7) F(ACTIVATE, 8) \
        F(ABORT, 9) F(ACTIVE, 10) F(ENDPOINTS, 11) F(STATUS, 12) F(PING, 13) F(PONG, 14) F(QUERY, 15) F(REPLY, 16)
enum frame_type {
#define F(id, n) FRAME_##id = n,
        FRAME_TYPES(F)
#undef F
        FRAME_TYPE_N
};
const char *frame_type_str(enum frame_type t);

enum frame_rc { FRAME_OK, FRAME_MORE, FRAME_BAD_MAGIC, FRAME_BAD_LENGTH, FRAME_BAD_CRC, FRAME_BAD_TYPE };
const char *frame_rc_str(enum frame_rc rc);

struct frame {
        enum frame_type type;
        uint8_t flags;
        uint32_t seq;
        struct span body; /* borrowed from the decoder's input until it is consumed */
};

/* Tries to take one frame from the front of in.  FRAME_OK: *ret filled, *ret_used = bytes to consume (a skipped unknown
 * frame has ret->type == FRAME_TYPE_N).  FRAME_MORE: wait for more.  Anything else: close the connection. */
enum frame_rc frame_decode(struct span in, struct frame *ret, size_t *ret_used) NONNULL(2, 3) MUST_USE;
/* Appends one frame with a protobuf-c message as its body; -E2BIG if it does not fit a frame. */
struct ProtobufCMessage;
int frame_encode_msg(struct buf *out, enum frame_type type, uint32_t seq, const struct ProtobufCMessage *m) NONNULL(1, 4) MUST_USE;
