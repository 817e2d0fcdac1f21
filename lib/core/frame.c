/* lib/core/frame.c - see frame.h. */
#include "lib/core/frame.h"

#include "lib/core/cursor.h"
#include "lib/core/hash.h"

#include <protobuf-c/protobuf-c.h>

static const uint8_t magic[4] = {'G', 'H', 'C', '1'};

const char *frame_type_str(enum frame_type t)
{
        switch (t) {
#define F(id, n)                                                                                                       \
        case FRAME_##id:                                                                                               \
                return #id;
                FRAME_TYPES(F)
#undef F
        case FRAME_TYPE_N:
                break;
        }
        return "unknown";
}

const char *frame_rc_str(enum frame_rc rc)
{
        switch (rc) {
        case FRAME_OK:
                return "ok";
        case FRAME_MORE:
                return "incomplete frame";
        case FRAME_BAD_MAGIC:
                return "not a frame: bad magic";
        case FRAME_BAD_LENGTH:
                return "frame over its length limit";
        case FRAME_BAD_CRC:
                return "frame checksum mismatch";
        case FRAME_BAD_TYPE:
                return "critical frame of an unknown type";
        }
        return "unknown";
}

static uint32_t frame_crc(const uint8_t *header, const uint8_t *body, size_t n)
{
        return crc32c(crc32c(0, header, FRAME_HEADER_BYTES - 4), body, n);
}

enum frame_rc frame_decode(struct span in, struct frame *ret, size_t *ret_used)
{
        size_t seen = MIN(in.n, sizeof magic);
        if (seen && memcmp(in.p, magic, seen) != 0) /* at the first wrong byte, not after twenty */
                return FRAME_BAD_MAGIC;
        if (in.n < FRAME_HEADER_BYTES)
                return FRAME_MORE;
        struct cursor c = cur_of(SPAN(in.p + sizeof magic, in.n - sizeof magic));
        uint8_t type, flags;
        uint16_t reserved;
        uint32_t len, seq, crc;
        if (!cur_u8(&c, &type) || !cur_u8(&c, &flags) || !cur_u16_be(&c, &reserved) || !cur_u32_be(&c, &len) ||
            !cur_u32_be(&c, &seq) || !cur_u32_be(&c, &crc))
                return FRAME_MORE;
        if (len > FRAME_MAX_BODY)
                return FRAME_BAD_LENGTH;
        struct span body;
        if (!cur_span(&c, len, &body))
                return FRAME_MORE;
        if (crc != frame_crc(in.p, body.p, body.n))
                return FRAME_BAD_CRC;
        bool known = type > 0 && type < FRAME_TYPE_N;
        if (!known && (flags & FRAME_CRITICAL))
                return FRAME_BAD_TYPE;
        *ret = (struct frame){
                .type = known ? (enum frame_type)type : FRAME_TYPE_N, .flags = flags, .seq = seq, .body = body};
        *ret_used = FRAME_HEADER_BYTES + (size_t)len;
        return FRAME_OK;
}

/* Header in front of n body bytes that are already at h + FRAME_HEADER_BYTES. */
static void frame_seal(uint8_t *h, enum frame_type type, uint32_t seq, size_t n)
{
        memcpy(h, magic, sizeof magic);
        h[4] = (uint8_t)type;
        h[5] = 0;
        put_u16_be(h + 6, 0);
        put_u32_be(h + 8, (uint32_t)n);
        put_u32_be(h + 12, seq);
        put_u32_be(h + 16, frame_crc(h, h + FRAME_HEADER_BYTES, n));
}

int frame_encode_msg(struct buf *out, enum frame_type type, uint32_t seq, const struct ProtobufCMessage *m)
{
        size_t n = protobuf_c_message_get_packed_size(m);
        if (n > FRAME_MAX_BODY)
                return -E2BIG;
        uint8_t *h = buf_reserve(out, FRAME_HEADER_BYTES + n);
        if (!h)
                return -ENOMEM;
        size_t packed = protobuf_c_message_pack(m, h + FRAME_HEADER_BYTES);
        BUG_ON(packed != n);
        frame_seal(h, type, seq, n);
        out->n += FRAME_HEADER_BYTES + n;
        return 0;
}
